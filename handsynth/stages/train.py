"""Train a generator or an estimator on a store: one run folder, resumable, safe to run twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from handsynth import __version__
from handsynth.errors import StoreError, UsageError, sentence
from handsynth.poseindex.distance import unit
from handsynth.poseindex.identity import identity
from handsynth.runtime import progress
from handsynth.runtime.settings import canonical_json
from handsynth.stages.systems import build_system, choose_settings
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training import loop
from handsynth.training.batches import BatchSource, HandBatches, Hands, PairBatches
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.run import RunInfo, StartRef, StoreRef, read_run, write_run
from handsynth.training.splits import Split, split_store
from handsynth.training.system import System

_LONG_SECONDS = 3600.0


def train(
    system: str,
    store: str | None = None,
    *,
    alpha: float = 1.0,
    add: str | None = None,
    preset: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    contiguous: bool = False,
    start: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    settings: Sequence[str] = (),
    name: str | None = None,
    overwrite: bool = False,
    yes: bool = True,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Train a system and return its run folder.

    Args:
        system: ``hpm3d``, ``mmhand``, ...
        store: name or address; the only store of the workspace by default.
        alpha: share of the training split's moments to train on.
        add: store that joins the training set: an augmented one, which must come from this reduced set, whose kept
            samples count like the others; or a simulated one, whose training split fills half of every batch.
        steps: optimisation steps; the preset's by default. Arms of a comparison need equal steps.
        start: trained run of the same system whose weights to begin with: pre-train on many hands, then go on with few.
        precision: ``float32``, ``bf16``, or ``auto``: bf16 on a GPU, float32 on a CPU.
        settings: ``key=value`` texts over the preset.
        name: run folder; by default made from store, system, alpha, and what was added or started from.
        yes: train even where the estimate is over an hour.
        dry_run: say what would be done, train nothing.

    Raises:
        UsageError: wrong names or values, a start that has seen what this training must not, or a long training
            without ``yes``.
        StoreError: a run of that name was made with other settings.
    """
    space, where = Workspace.of(workspace), loop.Device.choose(device, precision)
    data = space.store(store)
    chosen_preset, chosen = choose_settings(system, preset, where, settings)
    split = split_store(data, alpha, seed, contiguous)
    added = _added(space, data, add, split) if add is not None else None
    begin = trained_run(space, data, start, system, split) if start is not None else None
    trained = build_system(system, chosen, seed)
    batches = _batches(trained, data, split, added, seed)
    info = RunInfo(
        name=name
        or run_name(
            data, system, alpha, seed, contiguous, added.name if added else None, preset, begin.name if begin else None
        ),
        system=system,
        family=trained.family,
        preset=chosen_preset,
        settings=msgspec.json.decode(canonical_json(chosen)),
        store=StoreRef(name=store_name(data.address), hash=data.hash),
        added=StoreRef(name=added.name, hash=added.store.hash) if added else None,
        start=StartRef(name=begin.name, weights=begin.weights) if begin else None,
        alpha=alpha,
        contiguous=contiguous,
        seed=seed,
        precision=where.precision,
        steps=steps if steps is not None else trained.settings.steps,
        samples=len(split.reduced),
        added_samples=len(added.slots) if added else 0,
        parameters=sum(p.numel() for net in trained.networks().values() for p in net.parameters() if p.requires_grad),
        reduced_set=split.hash,
        handsynth=__version__,
    )
    if info.steps < 1:
        raise UsageError(sentence("at least 1 step", str(info.steps), "--steps"))
    folder = space.new_run(info.name)
    if not overwrite and is_finished(folder, info):
        progress.say(f"{info.name} is trained already: {folder}")
        return folder
    _refuse_other(folder, info, overwrite)
    if not dry_run and overwrite:
        _clear(folder)
    seconds = loop.estimate_seconds(lambda: build_system(system, chosen, seed), batches, where, info.steps)
    _announce(info, where, seconds)
    if seconds > _LONG_SECONDS and not yes:
        found = f"an estimate of {progress.duration(seconds)}"
        raise UsageError(
            sentence("a training under an hour", found, info.name, "add --yes, or choose a smaller --preset")
        )
    if dry_run:
        return folder
    write_run(folder, msgspec.structs.replace(info, estimated_seconds=round(seconds, 1)))
    first = begin.checkpoint if begin else None
    loop.train(trained, batches, folder, steps=info.steps, seed=seed, device=where, title=info.name, start=first)
    return folder


def run_name(
    store: Store, system: str, alpha: float, seed: int, contiguous: bool, added: str | None, preset: str | None,
    start: str | None = None,
) -> str:  # fmt: skip
    """Default name of a run: what sets it apart from its neighbours, nothing else."""
    parts = [store_name(store.address), system]
    if alpha < 1:
        parts.append(f"{alpha:g}")
    if contiguous:
        parts.append("contiguous")
    if added:
        # The augmented store's own name repeats the store, alpha and seed.
        kind = added.removeprefix(f"{parts[0]}-").removeprefix(f"{alpha:g}-").removesuffix(f"-seed{seed}")
        parts.append(f"add-{kind}")
    if start:
        parts.append(f"from-{start}")
    if preset:
        parts.append(preset)
    if seed:
        parts.append(f"seed{seed}")
    return "-".join(parts)


def pose_features(store: Store, slots: np.ndarray) -> np.ndarray:
    """(n, 7) unit pose identities (MM-Hand eq. 6) of these slots."""
    return unit(identity(store.column("joints_mm", slots), store.column("keypoints_px", slots)))


def is_finished(folder: Path, info: RunInfo) -> bool:
    """Whether the folder holds this very training, done."""
    if not (folder / "run.json").is_file() or not _same(read_run(folder), info):
        return False
    newest = latest_checkpoint(folder / "checkpoints")
    return newest is not None and int(newest.stem) >= info.steps


@dataclass(frozen=True)
class _Added:
    name: str
    store: Store
    slots: np.ndarray
    balanced: bool = False


def _added(space: Workspace, data: Store, add: str, split: Split) -> _Added:
    """The kept samples of an augmented store or the training split of a simulated one.

    Refused where they were made from another reduced set, or in the poses of a store: those would leak.
    """
    store = space.store(add)
    plan = store.info.plan
    if plan.source.kind == "simulator" and "poses" not in plan.settings and store.hash != data.hash:
        return _Added(store_name(store.address), store, split_store(store).reduced, balanced=True)
    if [plan.source.hash, plan.settings.get("reduced_set")] != [data.hash, split.hash]:
        advice = "augment with the same store, --alpha, --seed and --contiguous as this training"
        raise UsageError(
            sentence(
                "generated samples made from this reduced set, or other simulated ones",
                "another origin",
                store.address,
                advice,
            )
        )
    return _Added(store_name(store.address), store, store.kept)


@dataclass(frozen=True)
class TrainedRun:
    """A run whose weights may be used where a reduced set alone must have been seen."""

    name: str
    folder: Path
    checkpoint: Path
    weights: str


def trained_run(space: Workspace, data: Store, name: str, system: str, split: Split) -> TrainedRun:
    """A run to begin with or to augment with.

    Raises:
        UsageError: it is not of that system, has no checkpoint, or it or what it began with read more of this store
            than its reduced set.
    """
    folder = space.run(name)
    info = read_run(folder)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if info.system != system or checkpoint is None:
        found = "one without checkpoints" if checkpoint is None else f"one of {info.system}"
        raise UsageError(sentence(f"a trained run of {system}", found, folder, "train it first"))
    seen: RunInfo | None = info
    while seen is not None:
        if seen.store.hash == data.hash and seen.reduced_set != split.hash:
            advice = "start from a run with the same --alpha, --seed and --contiguous, or on another store"
            raise UsageError(
                sentence("a start that saw this reduced set alone", f"{seen.name}, which saw more", folder, advice)
            )
        seen = read_run(space.run(seen.start.name)) if seen.start else None
    return TrainedRun(folder.name, folder, checkpoint, load_checkpoint(checkpoint)[0].weights)


def _batches(system: System, data: Store, split: Split, added: _Added | None, seed: int) -> BatchSource:
    size, count = system.settings.size, system.settings.batch
    hands = Hands(data, split.reduced, size)
    if system.family == "generator":
        if added is not None:
            raise UsageError(sentence("an estimator", f"the generator {system.name}", "--add", "leave --add out"))
        if len(hands) < 2:
            raise UsageError(sentence("at least 2 training samples", str(len(hands)), data.address, "raise --alpha"))
        features = pose_features(data, split.reduced)
        return PairBatches(hands, features, count, seed, system.settings.curriculum, system.settings.redraw_pairs)
    if added is None:
        return HandBatches([hands], count, seed)
    return HandBatches([hands, Hands(added.store, added.slots, size)], count, seed, added.balanced)


def _same(old: RunInfo, new: RunInfo) -> bool:
    def core(info: RunInfo) -> dict[str, Any]:
        return msgspec.to_builtins(msgspec.structs.replace(info, estimated_seconds=0.0, handsynth=""))

    return core(old) == core(new)


def _refuse_other(folder: Path, info: RunInfo, overwrite: bool) -> None:
    if overwrite or not (folder / "run.json").is_file() or _same(read_run(folder), info):
        return
    old, new = msgspec.to_builtins(read_run(folder)), msgspec.to_builtins(info)
    skipped = ("estimated_seconds", "handsynth")
    differ = [key for key in new if old.get(key) != new[key] and key not in skipped]
    advice = "use another --name, or --overwrite to train again"
    raise StoreError(sentence("a run of the same settings", f"another {', '.join(differ)}", folder, advice))


def _clear(folder: Path) -> None:
    import shutil

    if (folder / "run.json").is_file():
        shutil.rmtree(folder)


def _announce(info: RunInfo, device: loop.Device, seconds: float) -> None:
    added = f" + {info.added_samples} of {info.added.name}" if info.added else ""
    data = f"{info.samples} samples of {info.store.name}{added}"
    progress.say(
        f"training {info.system} ({info.preset}, {info.parameters / 1e6:.1f} M parameters) on {data} "
        f"for {info.steps} steps on {device.accelerator}: about {progress.duration(seconds)}"
    )
