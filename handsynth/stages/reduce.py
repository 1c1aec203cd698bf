"""The dataset-reduction experiment: shares x generators x estimators x seeds, each cell resumable by itself."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from handsynth.errors import UsageError, sentence
from handsynth.estimators import estimator_names
from handsynth.generators import generator_names
from handsynth.runtime import progress
from handsynth.stages.augment import augment
from handsynth.stages.evaluate import evaluate
from handsynth.stages.report import report
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace, store_name

_NONE = "none"


def reduce(
    store: str | None = None,
    alphas: Sequence[float] = (0.2, 0.4),
    generators: Sequence[str] = (_NONE, "mmhand"),
    estimators: Sequence[str] = ("hpm3d",),
    seeds: Sequence[int] = (0,),
    preset: str | None = None,
    steps: int | None = None,
    contiguous: bool = False,
    device: str = "auto",
    workers: int | None = None,
    yes: bool = True,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Train and score every cell, and the full set once per estimator and seed; returns the report.

    Args:
        alphas: shares of the training split, each between 0 and 1.
        generators: ``none`` is the reduced set alone.
        steps: of the estimators, equal in all cells; their preset's by default.

    Raises:
        UsageError: an unknown name or a share out of range, before anything is trained.
    """
    space = Workspace.of(workspace)
    data = space.store(store)
    _check("--generator", generators, [_NONE, *generator_names()])
    _check("--estimator", estimators, estimator_names())
    for alpha in alphas:
        if not 0 < alpha < 1:
            raise UsageError(sentence("a share between 0 and 1", f"{alpha:g}", "--alpha"))
    shared: dict[str, Any] = {
        "preset": preset,
        "contiguous": contiguous,
        "device": device,
        "yes": yes,
        "workspace": space,
    }
    cells = [(1.0, _NONE, *rest) for rest in product(estimators, seeds)]
    cells += list(product(alphas, generators, estimators, seeds))
    if dry_run:
        for alpha, generator, estimator, seed in cells:
            progress.say(f"cell: {estimator} on {alpha:g} of {data.address}, generator {generator}, seed {seed}")
        return space.root / "runs" / f"{store_name(data.address)}-reduction.html"
    folders: list[str] = []
    for number, (alpha, generator, estimator, seed) in enumerate(cells, start=1):
        progress.say(f"[{number}/{len(cells)}] {estimator}, alpha {alpha:g}, generator {generator}, seed {seed}")
        added = None
        if generator != _NONE:
            added = augment(data.address, alpha, generator, seed=seed, workers=workers, **shared)
            if added not in folders:
                folders.append(added)
        run = train(estimator, data.address, alpha=alpha, add=added, steps=steps, seed=seed, **shared)
        evaluate(str(run), data.address, device=device, workspace=space)
        folders.append(str(run))
    return report(folders, out=space.root / "runs" / f"{store_name(data.address)}-reduction.html", workspace=space)


def _check(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(sentence(f"names among {', '.join(known)}", ", ".join(unknown), option))
