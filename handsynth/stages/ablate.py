"""The ablation of MM-Hand (section 4.2.3, table 3): what each of its parts brings to an estimator's training.

Five variants, each adding one part to the one before. A variant's generator is trained on a reduced set, makes an image
for every held-out pose, and an estimator is trained on both and scored on the test split. All generators take equally
many steps, and so do all estimators. Variants d and e are one generator that gets other sources.

What is made already is not made again, so the same command goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from handsynth.errors import UsageError, sentence
from handsynth.runtime import files, progress
from handsynth.runtime.cluster import check_workers
from handsynth.stages.augment import augment
from handsynth.stages.cells import scores_of
from handsynth.stages.evaluate import evaluate
from handsynth.stages.systems import by_system, check_steps, choose_settings
from handsynth.stages.train import train
from handsynth.stages.used import main_store
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training import compilation
from handsynth.training.loop import Device
from handsynth.training.run import read_run

GENERATOR, ESTIMATOR = "mmhand", "hpm3d"
SCORES = ("auc_20_50_tail", "epe_mean_mm")
_COLUMNS = ("variant", "seed", *SCORES, "preset", "steps", "generator_steps", "run")


@dataclass(frozen=True)
class Variant:
    """One row of table 3.

    Attributes:
        generator: the variant whose generator it uses: its own, or an earlier one's.
        attention, depth_stream, curriculum: settings of that generator.
        match: how sources are chosen for the held-out poses.
    """

    generator: str
    attention: bool
    depth_stream: bool
    curriculum: bool
    match: str = "random"

    def assignments(self) -> tuple[str, ...]:
        """Settings over a preset; contour maps in every variant."""
        switches = ("attention", "depth_stream", "curriculum")
        return ("pose_input=contour", *(f"{name}={str(getattr(self, name)).lower()}" for name in switches))


VARIANTS = {
    "a": Variant("a", attention=False, depth_stream=False, curriculum=False),
    "b": Variant("b", attention=True, depth_stream=False, curriculum=False),
    "c": Variant("c", attention=True, depth_stream=True, curriculum=False),
    "d": Variant("d", attention=True, depth_stream=True, curriculum=True),
    "e": Variant("d", attention=True, depth_stream=True, curriculum=True, match="nearest"),
}
"""a) a ResNet generator that sees contour maps; b) + attention masks; c) + depth maps; d) + curriculum; e) + nearest
sources. Before c) no depth map goes in, before d) pairs come in random order, before e) sources are random."""


def ablate(
    store: str | None = None,
    alpha: float = 0.4,
    seeds: Sequence[int] = (0,),
    preset: str | None = None,
    steps: int | None = None,
    generator_steps: int | None = None,
    settings: Sequence[str] = (),
    contiguous: bool = False,
    device: str = "auto",
    compile: str = "auto",
    workers: int | None = None,
    yes: bool = True,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Train and score every variant once per seed; returns a CSV file of the scores.

    It is ``runs/STORE-ablation-ALPHA-PRESET.csv``, with the columns of :func:`ablation_frame`, written anew after every
    row. All variants of one seed come before the next seed.

    Args:
        alpha: share of the training split that is the reduced set, between 0 and 1.
        seeds: of reduced sets, trainings and random sources.
        preset: of generators and estimators; by default ``small`` on a GPU, else ``tiny``.
        steps: of the estimators; their preset's by default.
        generator_steps: of the generators; their preset's by default.
        settings: ``SYSTEM.key=value`` texts over the presets of ``mmhand`` and ``hpm3d``; not those that the variants
            set.
        contiguous: draw whole sequences, so that neighbouring video frames stay together.
        compile: all networks, in training and in generation: ``on`` or ``off``; ``auto`` is off, as in ``reduce``.
        workers: processes that make the images of one store; one per core by default.

    Raises:
        UsageError: wrong values, or other numbers of steps or another ``compile`` than those of what is there, before
            anything is trained; or a long training without ``yes``.
        StoreError: a run of one of the names was made with other settings.
    """
    space = Workspace.of(workspace)
    data = main_store(space, store)
    if not 0 < alpha < 1:
        raise UsageError(sentence("a share between 0 and 1", f"{alpha:g}", "--alpha"))
    if not seeds:
        raise UsageError(sentence("at least one seed", "none", "--seed"))
    check_steps("--steps", steps)
    check_steps("--generator-steps", generator_steps)
    compilation.check_mode(compile)
    check_workers(workers)
    where = Device.choose(device)
    own = by_system(settings, (GENERATOR, ESTIMATOR))
    _refuse_settings_of_variants(own.get(GENERATOR, ()))
    of_generator, of_estimator = own.get(GENERATOR, ()), own.get(ESTIMATOR, ())
    preset, chosen = choose_settings(ESTIMATOR, preset, where, of_estimator)
    lengths = {"steps": _steps(steps, chosen)}
    for variant in VARIANTS.values():
        _, chosen = choose_settings(GENERATOR, preset, where, (*of_generator, *variant.assignments()))
        lengths["generator_steps"] = _steps(generator_steps, chosen)
    _refuse_other_lengths(ablation_frame(space, data, alpha, preset, contiguous), lengths, space)
    compile = compilation.for_all_arms(compile, where.torch_device)
    prefix = _prefix(data, alpha, contiguous)
    _refuse_other_kernels(space, prefix, preset, compile == "on")
    shared: dict[str, Any] = {
        "alpha": alpha,
        "contiguous": contiguous,
        "device": device,
        "compile": compile,
        "yes": yes,
        "workspace": space,
    }
    path = space.root / "runs" / f"{prefix}-{preset}.csv"
    for number, (seed, (letter, variant)) in enumerate(product(seeds, VARIANTS.items()), start=1):
        progress.say(f"[{number}/{len(seeds) * len(VARIANTS)}] variant {letter}, seed {seed}")
        if dry_run:
            continue
        generator = train(
            GENERATOR,
            data.address,
            preset=preset,
            steps=generator_steps,
            seed=seed,
            settings=(*of_generator, *variant.assignments()),
            name=_run_name(prefix, variant.generator, GENERATOR, preset, seed),
            **shared,
        )
        made = augment(
            data.address,
            generator=GENERATOR,
            run=generator.name,
            match=variant.match,
            seed=seed,
            workers=workers,
            **shared,
        )
        run = train(
            ESTIMATOR,
            data.address,
            add=made,
            preset=preset,
            steps=steps,
            seed=seed,
            settings=of_estimator,
            name=_run_name(prefix, letter, ESTIMATOR, preset, seed),
            **shared,
        )
        if scores_of(run) is None:
            evaluate(str(run), data.address, device=device, workspace=space)
        frame = ablation_frame(space, data, alpha, preset, contiguous)
        files.write(path, frame.to_csv(index=False).encode())
    return path


def ablation_frame(
    space: Workspace, data: Store, alpha: float, preset: str | None = None, contiguous: bool = False
) -> pd.DataFrame:
    """What was measured of the ablation on a store at a share, by variant and seed; no rows where nothing was.

    An estimator without the run of its generator makes no row: nothing says how long that was trained.

    Columns: ``variant`` (``a`` to ``e``), ``seed``, ``auc_20_50_tail`` (share), ``epe_mean_mm``, ``preset`` and
    ``steps`` of the estimator, ``generator_steps``, ``run``.

    Args:
        preset: whose runs; by default all, which must then be of one preset and of equal steps.
        contiguous: whether on reduced sets of whole sequences.

    Raises:
        UsageError: rows are not comparable: presets or numbers of steps differ.
    """
    prefix = _prefix(data, alpha, contiguous)
    rows: list[dict[str, Any]] = []
    for letter, name in product(VARIANTS, space.run_names()):
        if not name.startswith(f"{prefix}-{letter}-{ESTIMATOR}-"):
            continue
        folder = space.run(name)
        info, scored = read_run(folder), scores_of(folder)
        if scored is None or info.added is None or info.store.hash != data.hash or preset not in (None, info.preset):
            continue
        maker = _run_name(prefix, VARIANTS[letter].generator, GENERATOR, info.preset, info.seed)
        if maker not in space.run_names():
            continue
        values = {score: scored.rows[0].values[score] for score in SCORES}
        generator_steps = read_run(space.run(maker)).steps
        trained = {"preset": info.preset, "steps": info.steps, "generator_steps": generator_steps, "run": name}
        rows.append({"variant": letter, "seed": info.seed, **values, **trained})
    frame = pd.DataFrame(rows, columns=list(_COLUMNS)).sort_values(["variant", "seed"], ignore_index=True)
    kinds = frame[["preset", "steps", "generator_steps"]].drop_duplicates()
    if len(kinds) > 1:
        found = "; ".join(
            f"{kind.preset}, {kind.steps} and {kind.generator_steps} steps" for kind in kinds.itertuples()
        )
        advice = "name one preset, or remove the runs that do not belong"
        raise UsageError(sentence("ablation runs of one preset and equal steps", found, space.root / "runs", advice))
    return frame


def _steps(told: int | None, settings: Any) -> int:
    """As many as were told, else those of the settings."""
    return settings.steps if told is None else told


def _refuse_settings_of_variants(texts: Sequence[str]) -> None:
    fixed = [text.partition("=")[0] for text in VARIANTS["a"].assignments()]
    wrong = [text for text in texts if text.partition("=")[0].strip() in fixed]
    if wrong:
        expected = f"other settings than {', '.join(fixed)}, which the variants differ in or share"
        raise UsageError(sentence(expected, ", ".join(wrong), f"--set {GENERATOR}"))


def _refuse_other_lengths(there: pd.DataFrame, wanted: dict[str, int], space: Workspace) -> None:
    """Rows of other numbers of steps do not go into one table: say so while nothing is trained yet."""
    if there.empty:
        return
    words = "{steps} and {generator_steps} steps of estimator and generator"
    found, expected = (words.format_map(each) for each in (wanted, there.iloc[0].to_dict()))
    if found != expected:
        advice = "ask for as many, or remove the runs there are"
        raise UsageError(sentence(f"{expected}, as in the rows there are", found, space.root / "runs", advice))


def _refuse_other_kernels(space: Workspace, prefix: str, preset: str, compiled: bool) -> None:
    """Compiled networks learn otherwise than eager ones: all runs there are must be of the kind that is wanted."""
    starts = tuple(f"{prefix}-{letter}-{system}-{preset}" for letter in VARIANTS for system in (GENERATOR, ESTIMATOR))
    for name in space.run_names():
        if name.startswith(starts) and read_run(space.run(name)).compiled != compiled:
            wanted, found = ("compiled", "eager") if compiled else ("eager", "compiled")
            advice = f"--compile {'off' if compiled else 'on'}, or remove the runs there are"
            raise UsageError(
                sentence(f"{wanted} trainings in one table", f"{found} {name}", space.root / "runs", advice)
            )


def _prefix(data: Store, alpha: float, contiguous: bool) -> str:
    return "-".join([store_name(data.address), "ablation", f"{alpha:g}", *(["contiguous"] if contiguous else [])])


def _run_name(prefix: str, variant: str, system: str, preset: str, seed: int) -> str:
    parts = [prefix, variant, system, preset, *([f"seed{seed}"] if seed else [])]
    return "-".join(parts)
