"""Small stores for tests, made through the store's own writer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from handsynth.hand.sample import HandSample
from handsynth.stages.crops import square
from handsynth.store.read import Store, open_store
from handsynth.store.schema import PixelField, Source, StorePlan
from handsynth.store.write import finish, write_shard, writing
from tests.hands import make_samples


def make_store(
    folder: Path,
    samples: Sequence[HandSample] | None = None,
    *,
    count: int = 32,
    size: int = 64,
    shard_size: int = 8,
    kind: Literal["dataset", "simulator"] = "dataset",
    settings: Mapping[str, Any] | None = None,
    pixels: tuple[PixelField, ...] = ("rgb", "depth", "mask"),
) -> Store:
    """A finished store of colour, depth and mask; ``count`` made-up hands by default."""
    chosen = list(samples) if samples is not None else make_samples(count)
    source = Source(kind=kind, name="made-up")
    plan = StorePlan(
        source=source,
        settings=dict(settings or {}),
        slots=len(chosen),
        size=size,
        shard_size=shard_size,
        pixels=pixels,
    )
    with writing(str(folder), plan) as todo:
        for shard in todo:
            items = [(slot, square(chosen[slot], size, 0.25, False), None) for slot in plan.slot_range(shard)]
            write_shard(str(folder), plan, shard, items)
        finish(str(folder), plan)
    return open_store(str(folder))
