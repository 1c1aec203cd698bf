"""Which source of the reduced set lends its look to which target pose, and the pair as a generator's batch."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.errors import UsageError, sentence
from handsynth.poseindex.distance import pose_distance
from handsynth.poseindex.neighbours import NeighbourIndex
from handsynth.runtime import files
from handsynth.runtime.seeds import rng
from handsynth.stages.train import pose_features
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.splits import Split
from handsynth.training.system import PairBatch

MATCHES = ("nearest", "random")
"""``nearest`` is MM-Hand's INNM (section 3.3.1); ``random`` its ablation, table 3 d."""
_FILE = "index/matches.parquet"


def match(
    store: Store, split: Split, targets: np.ndarray, how: str = "nearest", seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A source in the reduced set for every target slot: (slots, pose distances).

    Args:
        how: one of :data:`MATCHES`; the nearest is exact, the random one drawn by ``seed``.

    Raises:
        UsageError: no such way to match.
    """
    check_match(how)
    wanted = pose_features(store, targets)
    if how == "random":
        sources = rng(seed, "match").choice(split.reduced, len(targets))
        return sources, pose_distance(pose_features(store, sources), wanted)
    nearest, distance = NeighbourIndex(pose_features(store, split.reduced)).query(wanted)
    return split.reduced[nearest], distance


def check_match(how: str) -> None:
    """Refuse what is none of :data:`MATCHES`.

    Raises:
        UsageError: it is not.
    """
    if how not in MATCHES:
        raise UsageError(sentence(f"one of {', '.join(MATCHES)}", repr(how), "--match"))


def pair_batch(sources: Hands, targets: Hands, rows: np.ndarray) -> PairBatch:
    """Sources with pixels, targets as joints and camera alone: no held-out image is read."""
    return PairBatch(sources.batch(rows), targets.batch(rows, pixels=False))


def write_matches(address: str, targets: np.ndarray, sources: np.ndarray, distances: np.ndarray) -> None:
    """Keep the pairs in an augmented store, row by slot, for the workers to read."""
    table = pa.table({"target_slot": targets, "source_slot": sources, "pose_distance": distances})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    files.write(files.join(address, _FILE), memoryview(buffer.getvalue()))


def read_matches(address: str, slots: range) -> dict[str, np.ndarray]:
    """``target_slot``, ``source_slot`` and ``pose_distance`` of these slots of an augmented store."""
    table = pq.read_table(pa.BufferReader(files.read(files.join(address, _FILE))))
    part = table.slice(slots.start, len(slots))
    return {name: column.to_numpy() for name, column in zip(part.column_names, part.columns, strict=True)}
