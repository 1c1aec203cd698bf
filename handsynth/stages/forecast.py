"""What ingesting would read, how long it would take and how large the store would be, from a few dozen samples.

Reads a catalogue, the sizes of some image files and the pixels of a few; writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from handsynth.formats.format import FILE_COLUMNS
from handsynth.hand.sample import HandSample
from handsynth.imaging import codecs
from handsynth.runtime import progress
from handsynth.runtime.cluster import one_thread
from handsynth.store import schema, shards
from handsynth.store.schema import ARRAYS, StorePlan
from handsynth.store.write import Reject

if TYPE_CHECKING:
    import pyarrow as pa

Take = Callable[[Sequence[Mapping[str, Any]]], Iterable[HandSample | Reject]]
"""Catalogue rows to samples as the store takes them, in order."""

_STATED = 1000
"""Files per kind whose size is asked for; the others are taken to be like them."""
_TRIED = 16
"""Places of the catalogue at which two neighbours each are read; neighbours may share an image."""


def forecast(table: pa.Table, root: Path, plan: StorePlan, address: str, workers: int, take: Take) -> list[str]:
    """Sentences for the user."""
    return [_reading(table, root), *_writing(table, plan, address, workers, take)]


def _reading(table: pa.Table, root: Path) -> str:
    kinds, total, known, sampled = [], 0.0, False, False
    for column, kind in zip(FILE_COLUMNS, ("colour", "depth", "mask"), strict=True):
        names = pc.unique(table.column(column)).drop_null()
        if not len(names):
            continue
        kinds.append(f"{len(names)} {kind}")
        some = names.take(_spread(len(names), _STATED)).to_pylist()
        sizes = [size for name in some if (size := _size(root / name)) is not None]
        known, sampled = known or bool(sizes), sampled or len(some) < len(names)
        total += float(np.mean(sizes)) * len(names) if sizes else 0.0
    about = "about " if sampled else ""
    room = f", {about}{_bytes(total)}" if known else ""
    return f"would read {len(table)} samples from {' + '.join(kinds)} images in {root}{room}"


def _writing(table: pa.Table, plan: StorePlan, address: str, workers: int, take: Take) -> list[str]:
    pairs = [table.slice(start, 2).to_pylist() for start in _spread(len(table), _TRIED)]
    samples: list[HandSample | Reject] = []
    seconds, counted = 0.0, 0
    with one_thread(), codecs.sharing():
        for number, rows in enumerate([pairs[0], *pairs]):  # the first once more: it opens what all others use
            start = time.perf_counter()
            taken = list(take(rows))
            if number:
                seconds, counted = seconds + time.perf_counter() - start, counted + len(rows)
                samples += taken
    each = seconds / counted
    who = f"{workers} workers" if workers > 1 else "1 worker"
    rejects = [sample for sample in samples if isinstance(sample, Reject)]
    texts = [
        f"would take about {progress.duration(each * plan.slots / workers)} with {who}: "
        f"{each * 1e3:.1f} ms each of {counted} samples tried here"
    ]
    if rejects:
        texts.append(
            f"{len(rejects)} of {counted} samples tried would be rejected; the first because: {rejects[0].reason}"
        )
    good = [sample for sample in samples if isinstance(sample, HandSample)]
    texts.append(
        f"would write {plan.slots} samples of {plan.size} px to {address}: {', '.join(plan.pixels)}, "
        f"{_bytes(plan.slots * _sample_bytes(plan, good))}{'' if plan.codec == 'raw' else ' compressed'}"
    )
    return texts


def _sample_bytes(plan: StorePlan, samples: Sequence[HandSample]) -> float:
    """Mean bytes of one sample's pixels in the store; rows are a thousandth of them."""
    raw = float(sum(ARRAYS[field].image_bytes(plan.size) for field in plan.pixels))
    if plan.codec == "raw" or not samples:
        return raw
    total = 0
    for sample in samples:
        for field in plan.pixels:
            image = getattr(sample, ARRAYS[field].sample_field)
            if image is not None:
                stored = schema.depth_to_stored(image) if field == "depth" else image
                total += len(shards.encode(stored, plan.codec))
    return total / len(samples)


def _spread(count: int, at_most: int) -> np.ndarray:
    """Up to ``at_most`` distinct places among ``count``, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, at_most)).astype(np.int64))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= 0.95 * size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.0f} kB"
