"""The pose index of a store: identities, matches inside the training split, histogram of pose distances.

Written below ``index/`` of the store: ``identity.parquet`` (slot and the seven numbers of MM-Hand eq. 6),
``index.json`` (what it was made from, units, histogram) and ``distances.svg``. Rebuilt when the store has changed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.poseindex.curriculum import draw_pairs
from handsynth.poseindex.distance import pose_distance, unit
from handsynth.poseindex.identity import identity
from handsynth.poseindex.neighbours import NeighbourIndex
from handsynth.reports.plots import distance_histogram
from handsynth.runtime import files, progress
from handsynth.runtime.seeds import rng
from handsynth.runtime.settings import Settings, parse, pretty_json
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.splits import split_store

INDEX_VERSION = 1
_NAMES = (
    "thumb_tip_mm",
    "index_tip_mm",
    "middle_tip_mm",
    "ring_tip_mm",
    "pinky_tip_mm",
    "centroid_mm",
    "sqrt_hull_area_px",
)


class IndexInfo(Settings, frozen=True, kw_only=True):
    """``index/index.json``."""

    version: int = INDEX_VERSION
    store_hash: str
    distance: str = "paper"
    """MM-Hand eq. 5: angle between pose identities, divided by pi; in [0, 0.5]."""
    area_unit: str
    """The hull area is that of the joints in this view."""
    samples: int
    nearest_median: float
    """Median distance from a training pose to the nearest other moment's."""
    random_median: float
    """Median distance of random training pairs."""
    bin_edges: list[float]
    nearest_histogram: list[int]
    random_histogram: list[int]


def index(store: str | None = None, overwrite: bool = False, workspace: str | Path | Workspace | None = None) -> str:
    """Index a store's poses; returns the address of ``index/index.json``.

    Raises:
        MissingError, UsageError, StoreError: see :meth:`Workspace.store`.
    """
    data = Workspace.of(workspace).store(store)
    address = files.join(data.address, "index", "index.json")
    if not overwrite and is_current(data):
        progress.say(f"the index of {data.address} is up to date")
        return address
    features = identity(data.column("joints_mm"), data.column("keypoints_px"))
    columns = {"slot": data.slots} | {name: features[:, i] for i, name in enumerate(_NAMES)}
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), buffer)
    files.write(files.join(data.address, "index", "identity.parquet"), memoryview(buffer.getvalue()))
    nearest, random = _distances(data, unit(features))
    edges = np.linspace(0, max(float(np.quantile(random, 0.99)), 1e-6), 41)
    info = IndexInfo(
        store_hash=data.hash,
        area_unit=f"px of the store's {data.info.plan.size} px crops",
        samples=len(data.slots),
        nearest_median=float(np.median(nearest)),
        random_median=float(np.median(random)),
        bin_edges=edges.tolist(),
        nearest_histogram=np.histogram(nearest, edges)[0].tolist(),
        random_histogram=np.histogram(random, edges)[0].tolist(),
    )
    files.write(files.join(data.address, "index", "distances.svg"), distance_histogram(nearest, random).encode())
    files.write(address, pretty_json(info))
    return address


def is_current(store: Store) -> bool:
    """Whether the store has an index of this version, made from these very samples."""
    address = files.join(store.address, "index", "index.json")
    if not files.exists(address):
        return False
    info = parse(files.read(address), IndexInfo, address)
    return (info.version, info.store_hash) == (INDEX_VERSION, store.hash)


def _distances(store: Store, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every other training moment's nearest pose, and of random pairs, inside the training split."""
    split = split_store(store, alpha=0.5)
    rows = {int(slot): row for row, slot in enumerate(store.slots)}
    halves = [features[[rows[int(slot)] for slot in part]] for part in (split.reduced, split.held_out)]
    # Half of the moments against the other half: neighbours inside one moment would make it look too easy.
    _, nearest = NeighbourIndex(halves[0]).query(halves[1]) if len(halves[1]) else (None, np.zeros(1))
    everyone = np.concatenate(halves)
    if len(everyone) < 2:
        return nearest, np.zeros(1)
    source, target = draw_pairs(rng(0, "histogram"), len(everyone))
    return nearest, pose_distance(everyone[source], everyone[target])
