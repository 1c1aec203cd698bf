"""What a set of samples holds, counted: so that rewriting it in another layout can say what went missing.

Counts and sums only, so memory does not grow with the number of samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.formats.format import FILE_COLUMNS
from handsynth.hand.joints import JOINTS
from handsynth.hand.rows import WORDS, column, to_row
from handsynth.hand.sample import ABSENT, HandSample

_FIELDS = ("rgb", "depth_mm", "mask", "joints_mm", "keypoints_px", "visible", "camera", "world_from_camera")
_FILES = dict(zip(_FIELDS, FILE_COLUMNS, strict=False))
_WORDS = tuple(word for word in WORDS if word not in ("side", "frame"))
"""Frames are numbered anew by most layouts, and sides are counted one by one."""
_POINTS = {"joint_state": "3-D joints", "keypoint_state": "2-D joints"}
_CAMERA_PX = 1e-2


class Holdings:
    """Running counts of what samples hold."""

    def __init__(self) -> None:
        self.samples = 0
        self.known: Counter[str] = Counter()
        self.points = {state: np.zeros(len(JOINTS), dtype=np.int64) for state in _POINTS}
        self.extra: Counter[str] = Counter()
        self.sides: Counter[str] = Counter()
        self.cameras = np.zeros(6)

    def watch(self, samples: Iterable[HandSample], advance: Callable[[], object]) -> Iterator[HandSample]:
        """Pass samples on, counting them."""
        for sample in samples:
            self._add(sample)
            yield sample
            advance()

    def add_rows(self, table: pa.Table) -> None:
        """Count the rows of a part of a catalogue."""
        self.samples += len(table)
        for name in (*_FIELDS, *_WORDS):
            self.known[name] += len(table) - table.column(_FILES.get(name, name)).null_count
        for state, counts in self.points.items():
            counts += (column(table, state) != ABSENT).sum(0)
        for chunk in table.column("extra").chunks:
            self.extra.update({entry["values"]: entry["counts"] for entry in pc.value_counts(chunk.keys).to_pylist()})
        self.sides.update(table.column("side").to_pylist())
        self.cameras += np.nansum(column(table, "camera")[:, [0, 1, 2, 3, 9, 10]], axis=0)

    def _add(self, sample: HandSample) -> None:
        self.samples += 1
        self.known.update(name for name in (*_FIELDS, *_WORDS) if getattr(sample, name) is not None)
        for state, counts in self.points.items():
            counts += getattr(sample, state) != ABSENT
        self.extra.update(sample.extra)
        self.sides[sample.side] += 1
        if sample.camera is not None:
            self.cameras += np.array(to_row(sample)["camera"])[[0, 1, 2, 3, 9, 10]]


def differences(given: Holdings, written: Holdings) -> Iterator[str]:
    """What was given and is not there any more, a clause each."""
    if written.samples < given.samples:
        yield f"{given.samples - written.samples} of {given.samples} samples have no place"
    for name in (*_FIELDS, *_WORDS):
        if given.known[name] and not written.known[name]:
            yield f"no {name}"
        elif written.known[name] < given.known[name] and written.samples == given.samples:
            yield f"{name} of {given.known[name] - written.known[name]} samples"
    for state, title in _POINTS.items():
        lost = [name for name, had, has in zip(JOINTS, given.points[state], written.points[state], strict=True)
                if had and not has]  # fmt: skip
        if lost and len(lost) < len(JOINTS):
            yield f"no {', '.join(lost)} among the {title}"
    points = sorted(name for name in given.extra if not written.extra[name])
    if points:
        yield f"no extra {', '.join(points)}"
    for side in ("left", "right"):
        other = {"left": "right", "right": "left"}[side]
        gone = given.sides[side] - written.sides[side]
        turned = min(gone, written.sides[other] - given.sides[other])
        if written.samples == given.samples and gone > 0:
            if turned > 0:
                yield f"{turned} {side} hand{'s are' if turned > 1 else ' is'} mirrored"
            if gone > turned:
                yield f"the side of {gone - max(turned, 0)} {side} hands"
    moved = np.abs(given.cameras - written.cameras) / max(given.samples, 1)
    if given.known["camera"] and written.known["camera"] and (moved > _CAMERA_PX).any():
        yield "images are resampled into the layout's own camera"
