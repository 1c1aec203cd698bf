"""The worker's side of ``augment``: read sources and poses, generate, judge, write a shard.

A task carries paths and a range, loads the generator and the judge once per worker and writes its own shard. Batches
are those of the shard, so the number of workers changes nothing. Whether the generator runs compiled stands in the
plan, for every worker alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric

from handsynth.errors import HandsynthError, UsageError, sentence
from handsynth.hand.sample import ABSENT, DERIVED, HandSample
from handsynth.imaging.warp import Box, crop
from handsynth.metrics.fidelity import keep
from handsynth.runtime.ledger import ShardRecord
from handsynth.stages.judge import FidelityJudge, Filter, filter_system
from handsynth.stages.matching import pair_batch, read_matches
from handsynth.stages.systems import load_run
from handsynth.store.read import Store, open_store
from handsynth.store.schema import StorePlan
from handsynth.store.write import Item, write_shard
from handsynth.training import compilation
from handsynth.training.batches import Hands
from handsynth.training.loop import Device
from handsynth.training.run import read_run
from handsynth.training.system import Generator

T = TypeVar("T")
BATCH = 16
"""Images per forward pass; fixed, like the threads of a task, so that the number of workers changes nothing."""


@dataclass(frozen=True)
class Task:
    """One shard to make.

    Attributes:
        address: of the augmented store, begun, with its matches.
        plan: its plan.
        store: address of the store that lends looks and poses.
        run: folder of the generator's run.
        device: where, and in which precision.
        shard: number.
        filter: whose word keeps or rejects an image; None keeps all.
    """

    address: str
    plan: StorePlan
    store: str
    run: str
    device: Device
    shard: int
    filter: Filter | None = None


def make_shard(task: Task) -> ShardRecord:
    """Generate and write one shard: all that a worker does."""
    return write_shard(task.address, task.plan, task.shard, _items(task))


def make(
    generator: Generator, sources: Hands, targets: Hands, device: torch.device, full: bool = False
) -> Iterator[np.ndarray]:
    """Read, condition and generate: the images of all pairs in order, in batches of (up to 16, S, S, 3) uint8.

    Args:
        generator: with its networks on ``device``, see :func:`ready`.
        sources, targets: equally many hands; of the targets no pixels are read.
        full: fill the last batch up with its last pair, whose copies are not given: a compiled generator would be
            compiled again for another shape.
    """

    def read(start: int) -> Any:
        rows = np.arange(start, min(start + BATCH, len(targets)))
        return pair_batch(sources, targets, np.pad(rows, (0, BATCH - len(rows)), mode="edge") if full else rows)

    batch = read(0)
    for start in range(0, len(targets), BATCH):
        made = _pixels(generator.generate(batch.to(device)))[: len(targets) - start]
        if start + BATCH < len(targets):
            batch = read(start + BATCH)  # while a GPU works on the one before
        yield made.cpu().numpy()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in another thread while the one before is used; what making raises is raised here."""
    end: Any = object()
    threads = torch.get_num_threads()  # sums must come out the same in either thread
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
        following = pool.submit(next, items, end)
        while (item := following.result()) is not end:
            following = pool.submit(next, items, end)
            yield item


def ready(run: Path, device: Device, compiled: bool = False) -> tuple[Generator, str]:
    """A run's generator on a device, in its precision there, and the hash of its weights.

    Drawing of poses and depth stays in float32 and is never compiled: only what the networks compute is.

    Raises:
        UsageError, DataError: see :func:`handsynth.stages.systems.load_run`.
    """
    system, weights = load_run(run, read_run(run))
    fabric = Fabric(accelerator=device.accelerator, devices=1, precision=device.precision)  # type: ignore[arg-type]
    networks = system.networks()
    bare = dict(networks)
    for name, network in bare.items():
        networks[name] = fabric.setup_module(network)
    if compiled:
        compilation.compile_networks(bare.values())
    return system, weights  # type: ignore[return-value]


def _pixels(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, S, S) in [0, 1] to (B, S, S, 3) uint8, rounded."""
    return (images.float().permute(0, 2, 3, 1) * 255).round().clamp(0, 255).to(torch.uint8)


def _items(task: Task) -> Iterator[Item]:
    compiled = task.plan.settings.get("compiled", False)
    generator = _loaded(task.run, task.plan.settings["checkpoint"], task.device, compiled)
    store, device = _open(task.store), task.device.torch_device
    slots = task.plan.slot_range(task.shard)
    matches = read_matches(task.address, slots)
    sources, targets = (Hands(store, matches[f"{which}_slot"], task.plan.size) for which in ("source", "target"))
    judge = None
    if task.filter is not None:
        judge = FidelityJudge(filter_system(task.filter), store, targets.slots, device)
    batches = make(generator, sources, targets, device, full=compiled)
    poses = store.samples(targets.slots, pixels=False)
    origins = _provenance(task.plan, store, matches)
    row = 0
    # On a CPU generation takes every core there is; beside a GPU they are free to write what it has made.
    for pixels in ahead(batches) if device.type == "cuda" else batches:
        rows = np.arange(row, row + len(pixels))
        verdicts = _verdicts(judge, pixels, rows, task.plan)
        for rgb, verdict in zip(pixels, verdicts, strict=True):
            yield slots[row], _sample(task.plan, store.info.plan.size, next(poses), rgb), origins[row] | verdict
            row += 1


def _verdicts(
    judge: FidelityJudge | None, pixels: np.ndarray, rows: np.ndarray, plan: StorePlan
) -> list[dict[str, Any]]:
    """Score in mm, whether it is kept, and else why not, of each image as it is stored."""
    if judge is None:
        return [{"score": None, "kept": True, "reason": ""} for _ in rows]
    scores = judge.fidelity_mm(pixels.astype(np.float32) / 255, rows)
    kept, reasons = keep(scores, plan.settings["judge"]["most_mm"])
    return [
        {"score": None if np.isnan(score) else float(score), "kept": bool(stays), "reason": reason}
        for score, stays, reason in zip(scores, kept, reasons, strict=True)
    ]


def _sample(plan: StorePlan, size: int, pose: HandSample, rgb: np.ndarray) -> HandSample:
    """A generated image with the pose and the camera of its target, whose own image has this size."""
    moved = crop(pose, Box(0, 0, size), plan.size)
    return replace(
        moved,
        key=f"{pose.key}@{plan.source.name}",
        rgb=rgb,
        keypoints_px=moved.projected() if moved.keypoints_px is None else moved.keypoints_px,
        keypoint_state=np.where(pose.keypoint_state == ABSENT, DERIVED, pose.keypoint_state).astype(np.uint8),
        visible=None,
        extra={},
    )


def _provenance(plan: StorePlan, store: Store, matches: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Where each image of a shard comes from."""
    same = {
        "generator": plan.source.name,
        "checkpoint": plan.settings["checkpoint"],
        "seed": plan.settings["seed"],
    }
    keys = {f"{which}_key": store.column("key", matches[f"{which}_slot"]).tolist() for which in ("source", "target")}
    columns = keys | {name: values.tolist() for name, values in matches.items()}
    return [dict(zip(columns, values, strict=True)) | same for values in zip(*columns.values(), strict=True)]


@lru_cache(maxsize=1)
def _loaded(run: str, checkpoint: str, device: Device, compiled: bool) -> Generator:
    """The generator of a run, loaded once per worker."""
    if compiled and (why := compilation.why_not(device.torch_device)):
        expected, advice = "a working compiler, for the store is made by compiled networks", "--compile off"
        raise HandsynthError(sentence(expected, why, "this worker", advice))
    system, found = ready(Path(run), device, compiled)
    if found != checkpoint:
        raise UsageError(sentence(f"the checkpoint {checkpoint[:12]}", f"another ({found[:12]})", run, "--overwrite"))
    return system


@lru_cache(maxsize=2)
def _open(address: str) -> Store:
    return open_store(address)
