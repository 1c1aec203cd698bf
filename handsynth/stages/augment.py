"""Augment a reduced set: images in the held-out poses, made from sources of the reduced set, and judged if asked for.

Leak-free by construction: the generator's training pixels and every source come from the reduced set; a held-out
sample lends its joints and camera alone; what judges the images knows the reduced set alone. Batches run on Dask, see
``generation.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.runtime import progress
from handsynth.runtime.cluster import check_scheduler, check_workers, run_tasks
from handsynth.runtime.seeds import rng
from handsynth.stages import matching
from handsynth.stages.compiled_images import choose_plan, eager_seconds
from handsynth.stages.depth_provider import CAPSULES
from handsynth.stages.generation import Task, make_shard
from handsynth.stages.judge import Filter, choose_filter
from handsynth.stages.origins import origin_words
from handsynth.stages.simulated_arm import SIMULATOR, refuse_training, render_held_out
from handsynth.stages.summary import kept_summary
from handsynth.stages.systems import image_generators, lineage, used_folder, with_used
from handsynth.stages.train import train
from handsynth.stages.used import main_store, trained_run
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store, open_store
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import finish, writing
from handsynth.training import compilation
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.loop import Device
from handsynth.training.run import read_run
from handsynth.training.splits import Split, split_store

_SHARD = 64
_MOST_MM = 40.0
_COMPILED = {"compiled": True}
"""In the plan of a store that compiled networks made; the plans of others say nothing of it."""


def augment(
    store: str | None = None,
    alpha: float = 0.4,
    generator: str = "mmhand",
    run: str | None = None,
    preset: str | None = None,
    steps: int | None = None,
    count: int | None = None,
    match: str = "nearest",
    depth: str = CAPSULES,
    guide: str | None = None,
    judge: str | None = None,
    most_mm: float | None = None,
    seed: int = 0,
    contiguous: bool = False,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
    settings: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    yes: bool = True,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> str:
    """Make an augmented store ``NAME-ALPHA-GENERATOR`` and return its address.

    Trains the generator on the reduced set first where no run of the same store, split, alpha and seed exists.

    Args:
        alpha: share of the training split that is the reduced set, between 0 and 1.
        run: trained run of the generator to use as it is: one on another store, or made of others' weights.
        count: images to make; by default one for every held-out training pose. Poses are drawn by the seed.
        match: ``nearest`` source pose of the reduced set (MM-Hand's INNM), or a ``random`` source.
        depth, guide: of the generator's training, see :func:`handsynth.stages.train.train`.
        judge: run of an estimator that knows this reduced set alone, saw no generated image and did not guide the
            generator. It gives every image a score, its pose error in mm; by default no image is judged and all stay.
        most_mm: score up to which a judged image is kept, 40 by default; the others stay in the store, but join no
            training.
        precision: of the generator's training and of generation: ``float32``, ``bf16``, or ``auto``: bf16 on a GPU.
        compile: the networks, in training and in generation, for speed: ``on``, ``off``, or ``auto``: on a GPU where
            the estimate of the one or the other is over ten minutes; what is gone on with goes on as it began. Without
            a working compiler they run as they are.

    Raises:
        UsageError: wrong values or names, a run or a judge that saw more of this store than its reduced set or that is
            not independent, or a long training without ``yes``.
        StoreError: a store of that name was made with other settings.
        MissingError: no scheduler answers at the address.
    """
    space = Workspace.of(workspace)
    if generator not in (known := [*image_generators(), SIMULATOR]):
        raise UsageError(sentence(f"one of {', '.join(known)}", repr(generator), "--generator"))
    if not 0 < alpha < 1:
        found = f"{alpha:g}" + (", which holds no pose out" if alpha == 1 else "")
        raise UsageError(sentence("a share between 0 and 1", found, "--alpha"))
    if most_mm is not None and judge is None:
        raise UsageError(sentence("a judge that says how far images err", "none", f"--most-mm {most_mm:g}", "--judge"))
    most_mm = _MOST_MM if most_mm is None else most_mm
    if not most_mm > 0:
        raise UsageError(sentence("an error above 0 mm", f"{most_mm:g}", "--most-mm"))
    matching.check_match(match)
    compilation.check_mode(compile)
    check_workers(workers)
    where = Device.choose(device, precision)
    data = main_store(space, store)
    split = split_store(data, alpha, seed, contiguous)
    split.check_held_out(alpha)
    targets = _targets(split, count, seed)
    if generator == SIMULATOR:
        others = {
            "match": match != "nearest",
            "depth": depth != CAPSULES,
            "precision": precision != "auto",
            "compile": compile == "on",
        }
        refuse_training(run=run, preset=preset, steps=steps, guide=guide, judge=judge, **others)
        return render_held_out(
            space, data, split, targets, alpha=alpha, contiguous=contiguous, seed=seed, settings=settings,
            workers=workers, scheduler=scheduler, overwrite=overwrite, dry_run=dry_run,
        )  # fmt: skip
    if run is not None and (preset is not None or steps is not None or settings or guide or depth != CAPSULES):
        found = "settings of a training beside it"
        advice = "leave out --preset, --steps, --depth, --guide and --set"
        raise UsageError(sentence("a run alone", found, f"--run {run}", advice))
    if not dry_run:
        check_scheduler(scheduler)
    chosen = choose_filter(space, judge, data, split, _guides(space, run, guide)) if judge else None
    if run is not None:
        folder = trained_run(space, data, run, generator, split).folder
    else:
        folder = train(
            generator,
            data.address,
            alpha=alpha,
            preset=preset,
            steps=steps,
            seed=seed,
            contiguous=contiguous,
            depth=depth,
            guide=guide,
            device=device,
            precision=precision,
            compile=compile,
            settings=settings,
            yes=yes,
            dry_run=dry_run,
            workspace=space,
        )
    name = images_name(
        store_name(data.address), alpha, generator, seed, contiguous, preset, match, depth, guide, run, judge, most_mm
    )
    address = space.new_store(name)
    if dry_run:
        progress.say(f"would make {len(targets)} images in {address}")
        return address
    choices = {
        "alpha": alpha,
        "contiguous": contiguous,
        "seed": seed,
        "match": match,
        "precision": where.precision,
        **({"judge": _filter_settings(chosen, most_mm)} if chosen else {}),
    }
    eager, compiled = (_plan(data, split, folder, generator, targets, choices | how) for how in ({}, _COMPILED))
    estimate = partial(eager_seconds, folder, data, split, targets, where)
    plan = choose_plan(compile, eager, compiled, address, where, estimate, overwrite)
    with writing(address, plan, overwrite=overwrite) as todo:
        if todo:
            matching.write_matches(address, targets, *matching.match(data, split, targets, match, seed))
        tasks = [Task(address, plan, data.address, str(folder), where, shard, chosen) for shard in todo]
        # One process feeds one GPU; on a CPU every core is a worker.
        workers = workers or (1 if where.accelerator == "cuda" else None)
        done = plan.slots - sum(len(plan.slot_range(shard)) for shard in todo)
        with progress.task(f"making images with {generator}", plan.slots) as advance:
            advance(done)
            for record in run_tasks(make_shard, tasks, workers=workers, scheduler=scheduler):
                advance(record.filled)
        finish(address, plan)
    if chosen is not None:
        progress.say(f"{store_name(address)}: {kept_summary(open_store(address))}")
    return address


def images_name(
    store: str, alpha: float, generator: str, seed: int = 0, contiguous: bool = False, preset: str | None = None,
    match: str = "nearest", depth: str = CAPSULES, guide: str | None = None, run: str | None = None,
    judge: str | None = None, most_mm: float | None = None,
) -> str:  # fmt: skip
    """Name of an augmented store; the arguments are those of :func:`augment`, ``store`` a name."""
    parts = [store, f"{alpha:g}", generator]
    if contiguous:
        parts.append("contiguous")
    if match != "nearest":
        parts.append(match)
    if preset:
        parts.append(preset)
    if depth != CAPSULES:
        parts.append(f"depth-{Path(depth).name}")
    if guide:
        parts.append(f"guide-{Path(guide).name}")
    if run:
        parts.append(f"from-{Path(run).name}")
    if judge:
        limit = _MOST_MM if most_mm is None else most_mm
        parts.append(f"judged-{limit:g}mm-{Path(judge).name.removeprefix(f'{store}-')}")
    if seed:
        parts.append(f"seed{seed}")
    return "-".join(parts)


def _guides(space: Workspace, run: str | None, guide: str | None) -> frozenset[str]:
    """Lineages of the estimators that taught the generator its poses, or will."""
    if run is None:
        return lineage(space.run(guide)) if guide is not None else frozenset()
    used = [(place, info.guide) for place, info in with_used(space.run(run)) if info.guide is not None]
    return frozenset().union(*(lineage(used_folder(place, guide)) for place, guide in used))


def _filter_settings(chosen: Filter, most_mm: float) -> dict[str, Any]:
    return {
        "name": chosen.folder.name,
        "weights": chosen.weights,
        "settings_hash": chosen.settings_hash,
        "most_mm": most_mm,
        **({"starts": list(chosen.starts)} if chosen.starts else {}),
    }


def _targets(split: Split, count: int | None, seed: int) -> np.ndarray:
    if count is None:
        return split.held_out
    if not 1 <= count <= len(split.held_out):
        found = f"{count} of {len(split.held_out)} held-out poses"
        raise UsageError(sentence("at least 1 and at most every held-out pose", found, "--count"))
    return np.sort(rng(seed, "targets").permutation(split.held_out)[:count])


def _plan(
    data: Store, split: Split, run: Path, generator: str, targets: np.ndarray, choices: dict[str, Any]
) -> StorePlan:
    info = read_run(run)
    checkpoint = latest_checkpoint(run / "checkpoints")
    assert checkpoint is not None  # train() returned, so there is one
    return StorePlan(
        source=Source(kind="generator", name=generator, hash=data.hash),
        settings={
            "store": store_name(data.address),
            **origin_words(data),
            **choices,
            "reduced_set": split.hash,
            "targets": len(targets),
            "preset": info.preset,
            "generator": placeless(info.settings),
            "steps": info.steps,
            "checkpoint": load_checkpoint(checkpoint)[0].weights,
            **({"depth": msgspec.to_builtins(info.depth)} if info.depth else {}),
            **({"guide": msgspec.to_builtins(info.guide)} if info.guide else {}),
            **({"converted": info.converted} if info.converted else {}),
        },
        slots=len(targets),
        size=info.settings["size"],
        shard_size=_SHARD,
        pixels=("rgb",),
        provenance=True,
    )


def placeless(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a store may hold them: of a file of weights its checksum, not where it lay on this machine."""
    held = {"sha256": settings["sha256"]} if "sha256" in settings else settings
    return {name: placeless(value) if isinstance(value, dict) else value for name, value in held.items()}
