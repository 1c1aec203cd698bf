"""Augment a reduced set: images in the held-out poses, made from the nearest sources of the reduced set.

Leak-free by construction: the generator's training pixels and every source come from the reduced set; a held-out
sample lends its joints and camera alone. Batches run on Dask; a task carries paths and a range, loads the generator
once per worker and writes its own shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from handsynth.errors import UsageError, sentence
from handsynth.generators import generator_names
from handsynth.hand.sample import ABSENT, DERIVED
from handsynth.imaging.warp import Box, crop
from handsynth.poseindex.neighbours import NeighbourIndex
from handsynth.runtime import files, progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.seeds import rng
from handsynth.stages.systems import build_system
from handsynth.stages.train import pose_features, train, trained_run
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store, open_store
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import Item, finish, write_shard, writing
from handsynth.training.batches import Hands
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.loop import Device, load_trained
from handsynth.training.run import read_run
from handsynth.training.splits import Split, split_store
from handsynth.training.system import PairBatch

_SHARD = 64
_BATCH = 16
"""Images per forward pass; fixed, like the threads of a task, so that the number of workers changes nothing."""
_MATCHES = "index/matches.parquet"


@dataclass(frozen=True)
class _Task:
    address: str
    plan: StorePlan
    store: str
    run: str
    device: str
    shard: int


def augment(
    store: str | None = None,
    alpha: float = 0.4,
    generator: str = "mmhand",
    run: str | None = None,
    preset: str | None = None,
    steps: int | None = None,
    count: int | None = None,
    seed: int = 0,
    contiguous: bool = False,
    device: str = "auto",
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

    Raises:
        UsageError: wrong values or names, a run that saw more of this store than its reduced set, or a long training
            without ``yes``.
        StoreError: a store of that name was made with other settings.
    """
    space = Workspace.of(workspace)
    if generator not in generator_names():
        raise UsageError(sentence(f"one of {', '.join(generator_names())}", repr(generator), "--generator"))
    if not 0 < alpha < 1:
        found = f"{alpha:g}" + (", which holds no pose out" if alpha == 1 else "")
        raise UsageError(sentence("a share between 0 and 1", found, "--alpha"))
    where = Device.choose(device).accelerator
    data = space.store(store)
    if data.info.augmented:
        raise UsageError(sentence("a store of real or simulated images", "an augmented one", data.address))
    split = split_store(data, alpha, seed, contiguous)
    targets = _targets(split, count, seed)
    if run is not None:
        if preset is not None or steps is not None or settings:
            found = "settings of a training beside it"
            raise UsageError(sentence("a run alone", found, f"--run {run}", "leave out --preset, --steps and --set"))
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
            device=device,
            settings=settings,
            yes=yes,
            dry_run=dry_run,
            workspace=space,
        )
    name = "-".join(
        [
            store_name(data.address),
            f"{alpha:g}",
            generator,
            *(["contiguous"] if contiguous else []),
            *([preset] if preset else []),
            *([f"from-{folder.name}"] if run else []),
            *([f"seed{seed}"] if seed else []),
        ]
    )
    address = space.new_store(name)
    if dry_run:
        progress.say(f"would make {len(targets)} images in {address}")
        return address
    plan = _plan(data, split, folder, generator, alpha, contiguous, seed, targets)
    with writing(address, plan, overwrite=overwrite) as todo:
        if todo:
            sources, distances = match(data, split, targets)
            _write_matches(address, targets, sources, distances)
        tasks = [_Task(address, plan, data.address, str(folder), where, shard) for shard in todo]
        # One process feeds one GPU; on a CPU every core is a worker.
        workers = workers or (1 if where == "cuda" else None)
        done = plan.slots - sum(len(plan.slot_range(shard)) for shard in todo)
        with progress.task(f"making images with {generator}", plan.slots) as advance:
            advance(done)
            for record in run_tasks(_make_shard, tasks, workers=workers, scheduler=scheduler):
                advance(record.filled)
        finish(address, plan)
    return address


def match(store: Store, split: Split, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest source in the reduced set for every target slot: (slots, pose distances). MM-Hand's INNM, exact."""
    index = NeighbourIndex(pose_features(store, split.reduced))
    nearest, distance = index.query(pose_features(store, targets))
    return split.reduced[nearest], distance


def pair_batch(sources: Hands, targets: Hands, rows: np.ndarray) -> PairBatch:
    """Sources with pixels, targets as joints and camera alone: no held-out image is read."""
    return PairBatch(sources.batch(rows), targets.batch(rows, pixels=False))


def _targets(split: Split, count: int | None, seed: int) -> np.ndarray:
    if count is None:
        return split.held_out
    if not 1 <= count <= len(split.held_out):
        found = f"{count} of {len(split.held_out)} held-out poses"
        raise UsageError(sentence("at least 1 and at most every held-out pose", found, "--count"))
    return np.sort(rng(seed, "targets").permutation(split.held_out)[:count])


def _plan(
    data: Store, split: Split, run: Path, generator: str, alpha: float, contiguous: bool, seed: int, targets: np.ndarray
) -> StorePlan:
    info = read_run(run)
    checkpoint = latest_checkpoint(run / "checkpoints")
    assert checkpoint is not None  # train() returned, so there is one
    return StorePlan(
        source=Source(kind="generator", name=generator, hash=data.hash),
        settings={
            "store": store_name(data.address),
            "alpha": alpha,
            "contiguous": contiguous,
            "seed": seed,
            "reduced_set": split.hash,
            "targets": len(targets),
            "preset": info.preset,
            "generator": _placeless(info.settings),
            "steps": info.steps,
            "checkpoint": load_checkpoint(checkpoint)[0].weights,
            **({"converted": info.converted} if info.converted else {}),
        },
        slots=len(targets),
        size=info.settings["size"],
        shard_size=_SHARD,
        pixels=("rgb",),
        provenance=True,
    )


def _placeless(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as a store may hold them: of a file of weights its checksum, not where it lay on this machine."""
    held = {"sha256": settings["sha256"]} if "sha256" in settings else settings
    return {name: _placeless(value) if isinstance(value, dict) else value for name, value in held.items()}


def _write_matches(address: str, targets: np.ndarray, sources: np.ndarray, distances: np.ndarray) -> None:
    table = pa.table({"target_slot": targets, "source_slot": sources, "pose_distance": distances})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    files.write(files.join(address, _MATCHES), memoryview(buffer.getvalue()))


def _make_shard(task: _Task) -> ShardRecord:
    return write_shard(task.address, task.plan, task.shard, _generate(task))


def _generate(task: _Task) -> Iterator[Item]:
    generator = _load(task.run, task.plan.settings["checkpoint"], task.device)
    store = _open(task.store)
    table = pq.read_table(pa.BufferReader(files.read(files.join(task.address, _MATCHES))))
    matches = {name: column.to_numpy() for name, column in zip(table.column_names, table.columns, strict=True)}
    slots = np.array(task.plan.slot_range(task.shard))
    sources = Hands(store, matches["source_slot"][slots], task.plan.size)
    targets = Hands(store, matches["target_slot"][slots], task.plan.size)
    for start in range(0, len(slots), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(slots)))
        images = generator.generate(pair_batch(sources, targets, rows).to(task.device)).float().cpu()
        pixels = (images.permute(0, 2, 3, 1) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        for row, rgb in zip(rows, pixels, strict=True):
            slot = int(slots[row])
            yield slot, *_sample(task.plan, store, matches, slot, rgb)


def _sample(
    plan: StorePlan, store: Store, matches: dict[str, np.ndarray], slot: int, rgb: np.ndarray
) -> tuple[Any, dict[str, Any]]:
    source_slot, target_slot = int(matches["source_slot"][slot]), int(matches["target_slot"][slot])
    pose = store.sample(target_slot, pixels=False)
    moved = crop(pose, Box(0, 0, store.info.plan.size), plan.size)
    sample = replace(
        moved,
        key=f"{pose.key}@{plan.source.name}",
        rgb=rgb,
        keypoints_px=moved.projected() if moved.keypoints_px is None else moved.keypoints_px,
        keypoint_state=np.where(pose.keypoint_state == ABSENT, DERIVED, pose.keypoint_state).astype(np.uint8),
        visible=None,
        extra={},
    )
    provenance = {
        "source_key": store.column("key", [source_slot])[0],
        "target_key": pose.key,
        "source_slot": source_slot,
        "target_slot": target_slot,
        "pose_distance": float(matches["pose_distance"][slot]),
        "generator": plan.source.name,
        "checkpoint": plan.settings["checkpoint"],
        "seed": plan.settings["seed"],
        "kept": True,
        "reason": "",
    }
    return sample, provenance


@lru_cache(maxsize=1)
def _load(run: str, checkpoint: str, device: str) -> Any:
    """The generator of a run on its device, loaded once per worker."""
    folder = Path(run)
    info = read_run(folder)
    newest = latest_checkpoint(folder / "checkpoints")
    assert newest is not None
    system = build_system(info.system, info.settings, info.seed)
    found = load_trained(system, newest, info.seed)
    if found != checkpoint:
        raise UsageError(
            sentence(f"the checkpoint {checkpoint[:12]}", f"another ({found[:12]})", newest, "--overwrite")
        )
    return system


@lru_cache(maxsize=2)
def _open(address: str) -> Store:
    return open_store(address)
