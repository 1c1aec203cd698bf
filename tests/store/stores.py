"""Small stores for tests: real samples, empty and rejected slots, a partial last shard."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import Box, crop
from handsynth.store.schema import Codec, Source, StorePlan
from handsynth.store.write import Item, Reject, finish, write_shard, writing
from tests.hands import make_samples

SIZE, SHARD = 24, 4
EMPTY, REJECTED, BARE = 5, 2, 6
"""Slots of :func:`make_store` without a sample, with a reject, and with a sample that lacks depth and mask."""


def square_samples(count: int, size: int = SIZE, seed: int = 0) -> list[HandSample]:
    """Samples as a store takes them."""
    return [crop(sample, Box(16, 0, 96), size) for sample in make_samples(count, seed)]


def make_plan(slots: int = 10, codec: Codec = "raw", **changes: object) -> StorePlan:
    plan = StorePlan(
        source=Source(kind="simulator", name="test"),
        slots=slots,
        size=SIZE,
        shard_size=SHARD,
        codec=codec,
        pixels=("rgb", "depth", "mask"),
    )
    return StorePlan(**{**{name: getattr(plan, name) for name in plan.__struct_fields__}, **changes})


def items(plan: StorePlan, shard: int) -> Iterator[Item]:
    """What goes into one shard: slot numbers choose samples, so any process makes the same."""
    samples = square_samples(plan.slots, plan.size)
    for slot in plan.slot_range(shard):
        if slot == REJECTED:
            yield slot, Reject(samples[slot].key, "a broken image"), None
        elif slot == BARE:
            yield slot, replace(samples[slot], depth_mm=None, mask=None), None
        elif slot != EMPTY:
            yield slot, samples[slot], None


def make_store(address: str, plan: StorePlan | None = None) -> str:
    plan = plan or make_plan()
    with writing(address, plan) as todo:
        for shard in reversed(todo):
            write_shard(address, plan, shard, items(plan, shard))
        finish(address, plan)
    return address


def same_folders(a: Path, b: Path) -> bool:
    """Whether two folders hold the same names and bytes, all the way down."""
    names = [sorted(path.relative_to(root) for path in root.rglob("*")) for root in (a, b)]
    files = [name for name in names[0] if (a / name).is_file()]
    return names[0] == names[1] and filecmp.cmpfiles(a, b, map(str, files), shallow=False)[1:] == ([], [])


def equal(a: HandSample, b: HandSample) -> bool:
    """Whether all but the pixels of two samples is the same."""

    def same(x: object, y: object) -> bool:
        if isinstance(x, np.ndarray):
            return isinstance(y, np.ndarray) and np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
        return x == y

    words = [name for name in HandSample.__dataclass_fields__ if name not in ("rgb", "depth_mm", "mask", "extra")]
    return all(same(getattr(a, name), getattr(b, name)) for name in words) and (
        a.extra.keys() == b.extra.keys() and all(same(a.extra[name], b.extra[name]) for name in a.extra)
    )
