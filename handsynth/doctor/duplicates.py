"""Images that a store holds more than once: harmless, contradicting each other, or on both sides of a split."""

from __future__ import annotations

import hashlib
from collections import defaultdict

import numpy as np

from handsynth.doctor.labels import Groups, read_labels
from handsynth.doctor.numbers import Evidence
from handsynth.runtime import progress
from handsynth.store.findings import Finding, Status, not_checkable
from handsynth.store.read import Store

_BATCH = 64
_LINES = 8
_OTHER_POSE_MM = 3.0


def duplicate_images(evidence: Evidence, store: Store, slots: np.ndarray, groups: Groups) -> Finding:
    """Exact duplicates of stored pixels among different moments.

    Args:
        slots: (N,) of the table's rows; reads some lines of every image, and all of those that look alike.
    """
    name = "duplicate images"
    field = next((field for field in ("rgb", "depth") if store.has(field)), None)
    if field is None:
        return not_checkable(name, "the store has neither colour nor depth")
    read = store.rgb if field == "rgb" else store.depth_mm
    alike: dict[bytes, list[int]] = defaultdict(list)
    step = max(store.info.plan.size // _LINES, 1)
    with progress.task("comparing images", len(slots)) as advance:
        for start in range(0, len(slots), _BATCH):
            images = read(slots[start : start + _BATCH])[:, step // 2 :: step]
            for position, image in enumerate(images):
                if not _is_empty(image):
                    alike[hashlib.blake2b(image.tobytes(), digest_size=12).digest()].append(start + position)
            advance(len(images))
    copies, twins, leaks = [], [], []
    for rows in alike.values():
        for row, first in _equal_pairs(read, slots, rows) if len(rows) > 1 else ():
            if groups.moment[row] == groups.moment[first] >= 0:
                continue  # the other hand of one image, or another copy of it that says so
            copies.append(row)
            if groups.split[row] != groups.split[first]:
                leaks.append(row)
            if _differ(evidence, row, first):
                twins.append(row)
    if not copies:
        return Finding(check=name, status="ok", text=f"no {field} image is there twice")
    contradicting = len(twins) > max(2, 0.01 * len(slots))
    status: Status = "fault" if contradicting else "warning"
    text = (
        f"{len(copies)} images equal one of another moment, {len(twins)} of them with other labels, "
        f"{len(leaks)} of them in another split"
    )
    bad, badness = np.zeros(len(slots), dtype=bool), np.zeros(len(slots))
    bad[copies] = True
    badness[leaks] += 1
    badness[twins] += 2
    return evidence.finding(name, status, text, bad, badness)


def _is_empty(image: np.ndarray) -> bool:
    """Nothing measured, or one value all over: such images are equal without being copies."""
    return bool(np.isnan(image).all() if image.dtype.kind == "f" else (image == image.flat[0]).all())


def _equal_pairs(read: object, slots: np.ndarray, rows: list[int]) -> list[tuple[int, int]]:
    """Rows whose whole image equals the first one's, with that first one."""
    assert callable(read)
    first = read(slots[rows[:1]])[0].tobytes()
    return [(row, rows[0]) for row in rows[1:] if read(slots[row : row + 1])[0].tobytes() == first]


def _differ(evidence: Evidence, row: int, other: int) -> bool:
    joints = read_labels(evidence.table.take([row, other])).joints_mm
    apart = np.linalg.norm(joints[0] - joints[1], axis=-1)
    return bool(np.isfinite(apart).any() and np.nanmean(apart) > _OTHER_POSE_MM)
