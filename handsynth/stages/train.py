"""Train a generator or an estimator on a store: one run folder, resumable, safe to run twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from handsynth.stages.depth_provider import CAPSULES, FIT_SECONDS, SIMULATOR
from handsynth.stages.origins import poses_of
from handsynth.stages.systems import build_system, check_steps, choose_settings, system_kind, used_depth, used_judge
from handsynth.stages.used import Added, added_store, main_store, refuse_judge, trained_run
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training import compilation, loop
from handsynth.training.batches import BatchSource, DepthBatches, HandBatches, Hands, PairBatches
from handsynth.training.checkpoints import latest_checkpoint
from handsynth.training.run import DepthRef, RunInfo, RunRef, StoreRef, read_run, write_run
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
    weights_seed: int | None = None,
    contiguous: bool = False,
    start: str | None = None,
    depth: str = CAPSULES,
    guide: str | None = None,
    device: str = "auto",
    precision: str = "auto",
    compile: str = "auto",
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
        weights_seed: of weights, order and pairs, where another network on the reduced set of ``seed`` is wanted.
        start: trained run of the same system whose weights to begin with: pre-train on many hands, then go on with few.
        depth: of a generator that reads depth maps, what makes them from joints: ``capsules``, ``simulator``, or a
            trained run of a system that makes depth. One on another store is usual; one on this store must have learned
            from the same reduced set.
        guide: trained run of the estimator in a generator's pose loss (``mmhand`` with ``pose_maps_weight`` or
            ``pose_depth_weight`` above 0), which saw nothing of this store but the reduced set.
        precision: ``float32``, ``bf16``, or ``auto``: bf16 on a GPU, float32 on a CPU.
        compile: the networks, for speed: ``on``, ``off``, or ``auto``: on a GPU where the estimate is over ten minutes;
            a training that is resumed goes on as it began. Without a working compiler they run as they are.
        settings: ``key=value`` texts over the preset.
        name: run folder; by default made from store, system, alpha, and what was added or started from.
        yes: train even where the estimate is over an hour.
        dry_run: say what would be done, train nothing.

    Raises:
        UsageError: wrong names or values, a start, a guide or a depth run that has seen what this training must not,
            or a long training without ``yes``.
        StoreError: a run of that name was made with other settings.
        DataError: the start has other networks.
    """
    space, where = Workspace.of(workspace), loop.Device.choose(device, precision)
    compilation.check_mode(compile)
    data = main_store(space, store)
    chosen_preset, chosen = choose_settings(system, preset, where, settings)
    split = split_store(data, alpha, seed, contiguous)
    added = added_store(space, data, add, split) if add is not None else None
    begin = trained_run(space, data, start, system, split) if start is not None else None
    own_seed = seed if weights_seed is None else weights_seed
    depths = _depth_ref(space, data, depth, system, chosen, split)
    judging = _guide_ref(space, data, guide, chosen, split)
    name = name or run_name(
        data, system, alpha, seed, contiguous, added.name if added else None, preset, begin.name if begin else None,
        depths.name if depths else None, judging.name if judging else None, weights_seed,
    )  # fmt: skip
    folder = space.new_run(name)
    if folder.name in [used.name for used in (begin, depths and depths.run, judging) if used]:
        raise UsageError(sentence("another name than those of runs it uses", folder.name, "--name", "choose another"))
    provider, judge = used_depth(folder, depths), used_judge(folder, judging)
    trained = build_system(system, chosen, own_seed, provider, judge)
    if begin is not None:
        loop.take_weights(trained, begin.checkpoint)
    if added is not None:
        refuse_judge(added, trained, own_seed, begin)
    batches = training_batches(trained, data, split, added, own_seed)
    info = RunInfo(
        name=name,
        system=system,
        family=trained.family,
        preset=chosen_preset,
        settings=msgspec.json.decode(canonical_json(chosen)),
        store=StoreRef(name=store_name(data.address), hash=data.hash, poses_of=poses_of(data)),
        added=StoreRef(name=added.name, hash=added.store.hash) if added else None,
        start=begin.ref if begin else None,
        depth=depths,
        guide=judging,
        alpha=alpha,
        contiguous=contiguous,
        seed=seed,
        weights_seed=weights_seed,
        precision=where.precision,
        steps=steps if steps is not None else trained.settings.steps,
        samples=len(split.reduced),
        added_samples=len(added.slots) if added else 0,
        parameters=sum(p.numel() for net in trained.networks().values() for p in net.parameters() if p.requires_grad),
        reduced_set=split.hash,
        handsynth=__version__,
    )
    check_steps("--steps", info.steps)
    if not overwrite and is_finished(folder, info):
        progress.say(f"{info.name} is trained already: {folder}")
        return folder
    _refuse_other(folder, info, overwrite)
    seconds = _estimate(lambda: build_system(system, chosen, own_seed, provider, judge), batches, where, info)
    _announce(info, where, seconds)
    if seconds > _LONG_SECONDS and not yes:
        found = f"an estimate of {progress.duration(seconds)}"
        raise UsageError(
            sentence("a training under an hour", found, info.name, "add --yes, or choose a smaller --preset")
        )
    if dry_run:
        return folder
    if overwrite:
        _clear(folder)
    begun = read_run(folder) if latest_checkpoint(folder / "checkpoints") is not None else None
    compiled = _compiles(compile, begun, where, seconds)
    ever = compiled or (begun is not None and begun.compiled)
    write_run(folder, msgspec.structs.replace(info, estimated_seconds=round(seconds, 1), compiled=ever))
    loop.train(
        trained, batches, folder, steps=info.steps, seed=own_seed, device=where, title=info.name, compiled=compiled
    )
    return folder


def run_name(
    store: Store, system: str, alpha: float, seed: int, contiguous: bool, added: str | None, preset: str | None,
    start: str | None = None, depth: str | None = None, guide: str | None = None, weights_seed: int | None = None,
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
    if depth:
        parts.append(f"depth-{depth}")
    if guide:
        parts.append(f"guide-{guide}")
    if preset:
        parts.append(preset)
    if weights_seed is not None:
        parts.append(f"weights{weights_seed}")
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


def _depth_ref(space: Workspace, data: Store, depth: str, system: str, settings: Any, split: Split) -> DepthRef | None:
    """What ``--depth`` names; None for capsules."""
    if depth == CAPSULES:
        return None
    kind = system_kind(system)
    if kind.family != "generator" or not kind.reads_depth or not getattr(settings, "depth_stream", True):
        raise UsageError(sentence("a generator that reads depth", system, f"--depth {depth}", "leave --depth out"))
    if depth == SIMULATOR:
        return DepthRef(kind="simulator")
    maker = read_run(space.run(depth)).system
    if getattr(system_kind(maker), "makes", "") != "depth":
        expected = f"{CAPSULES}, {SIMULATOR} or the run of a system that makes depth"
        raise UsageError(sentence(expected, f"a run of {maker}", f"--depth {depth}"))
    return DepthRef(kind="run", run=trained_run(space, data, depth, maker, split).ref)


def _guide_ref(space: Workspace, data: Store, guide: str | None, settings: Any, split: Split) -> RunRef | None:
    """What ``--guide`` names."""
    if guide is None:
        return None
    if not any(getattr(settings, f"pose_{what}_weight", 0) > 0 for what in ("maps", "depth")):
        advice = "train mmhand with --set pose_maps_weight=... or pose_depth_weight=..., or leave --guide out"
        raise UsageError(sentence("a system with a pose loss to guide", "none", f"--guide {guide}", advice))
    return trained_run(space, data, guide, read_run(space.run(guide)).system, split).ref


def training_batches(system: System, data: Store, split: Split, added: Added | None, seed: int) -> BatchSource:
    """What a system is trained on: pairs of the reduced set for a generator, else its hands and the added ones."""
    size, count = system.settings.size, system.settings.batch
    hands = Hands(data, split.reduced, size)
    if system.family == "generator":
        if added is not None:
            raise UsageError(sentence("an estimator", f"the generator {system.name}", "--add", "leave --add out"))
        if len(hands) < 2:
            raise UsageError(sentence("at least 2 training samples", str(len(hands)), data.address, "raise --alpha"))
        if getattr(system, "makes", "rgb") == "depth":
            if not data.has("depth"):
                raise UsageError(sentence(f"a store with depth for {system.name}", "one without", data.address))
            return DepthBatches(hands, count, seed)
        features = pose_features(data, split.reduced)
        chosen = system.settings
        groups = _sequences(data, split.reduced) if chosen.pairs == "sequence" else None
        return PairBatches(hands, features, count, seed, chosen.curriculum, chosen.redraw_pairs, groups)
    if added is None:
        return HandBatches([hands], count, seed)
    return HandBatches([hands, Hands(added.store, added.slots, size)], count, seed, added.balanced)


def _sequences(store: Store, slots: np.ndarray) -> np.ndarray:
    """A number for the sequence of each slot; those that name none have one together."""
    return np.unique([name or "" for name in store.column("sequence", slots)], return_inverse=True)[1]


def _estimate(build: Callable[[], System], batches: BatchSource, device: loop.Device, info: RunInfo) -> float:
    """Seconds that a training will take."""
    if info.depth is None or info.depth.kind != SIMULATOR:
        return loop.estimate_seconds(build, batches, device, info.steps)
    # A hand is fitted the first time it is met, not in every step.
    first = batches(0)
    return loop.estimate_seconds(build, lambda step: first, device, info.steps) + info.samples * FIT_SECONDS


def _compiles(mode: str, begun: RunInfo | None, device: loop.Device, seconds: float) -> bool:
    """Whether to compile: as asked; else as a run that is resumed has begun, or where it pays."""
    if mode == "auto":
        wanted = begun.compiled if begun else compilation.pays(device.torch_device, seconds)
    else:
        wanted = mode == "on"
    return wanted and compilation.can_compile(device.torch_device)


def _same(old: RunInfo, new: RunInfo) -> bool:
    def core(info: RunInfo) -> dict[str, Any]:
        return msgspec.to_builtins(msgspec.structs.replace(info, estimated_seconds=0.0, compiled=False, handsynth=""))

    return core(old) == core(new)


def _refuse_other(folder: Path, info: RunInfo, overwrite: bool) -> None:
    if overwrite or not (folder / "run.json").is_file() or _same(read_run(folder), info):
        return
    old, new = msgspec.to_builtins(read_run(folder)), msgspec.to_builtins(info)
    skipped = ("estimated_seconds", "compiled", "handsynth")
    differ = [key for key in new if old.get(key) != new[key] and key not in skipped]
    advice = f"handsynth train {info.system} takes another --name, or --overwrite to train again"
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
