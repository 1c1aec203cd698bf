"""Raw samples to what a store takes: a square around the hand, of the chosen side and root; or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import DataError, MissingError, sentence
from handsynth.formats.format import FILE_COLUMNS, Format
from handsynth.formats.layout import of_side
from handsynth.hand.joints import INDEX, WRIST
from handsynth.hand.pose import palm_from_wrist
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.warp import Box, crop, mask_box, square_box
from handsynth.store.write import Reject

_FARTHEST = 4.0
"""A crop wider than this many image sides belongs to a hand that is not in the image."""

PALM_FORMULA = "the source's palm centre, else half way from ring MCP to wrist (inverse of Hand3D's rule for STB)"
"""What joint 0 of a palm-rooted store is."""


def crops(
    format: Format, root: Path, settings: Mapping[str, Any], size: int, rows: Sequence[Mapping[str, Any]]
) -> Iterator[HandSample | Reject]:
    """Every row's sample as the store takes it, in order; images that neighbouring rows share are looked at together.

    Args:
        settings: of the store's plan: margin, cropped, root_joint, side.
        size: side of the store's images, px.
        rows: of the catalogue.
    """
    margin, cropped = settings["margin"], settings["cropped"]
    boxes = [None if cropped else _window(from_row(row), margin) for row in rows]
    for row, box, look in zip(rows, boxes, _looks(rows, boxes), strict=True):
        try:
            sample = square(format.load(root, row, look), size, margin, cropped, box)
        except (MissingError, DataError) as error:
            sample = Reject(row["key"], _without_root(str(error), root))
        if isinstance(sample, HandSample) and settings.get("side"):
            sample = of_side(sample, settings["side"])
        if isinstance(sample, HandSample) and settings["root_joint"] == "palm":
            sample = palm_rooted(sample)
        yield sample


def _looks(rows: Sequence[Mapping[str, Any]], boxes: Sequence[Box | None]) -> list[Box | None]:
    """What to decode for every row: neighbours that share their images share a look, so that these decode once."""
    looks: list[Box | None] = []
    for _, group in groupby(range(len(rows)), key=lambda i: [rows[i][column] for column in FILE_COLUMNS]):
        members = [boxes[i] for i in group]
        known = [box for box in members if box is not None]
        looks += [_around(known) if len(known) == len(members) else None] * len(members)
    return looks


def _around(boxes: Sequence[Box]) -> Box:
    """A square that holds all boxes and reaches no further right or down, which is what decoding costs."""
    right, bottom = max(box.x + box.side for box in boxes), max(box.y + box.side for box in boxes)
    side = max(right - min(box.x for box in boxes), bottom - min(box.y for box in boxes))
    return Box(right - side, bottom - side, side)


def square(sample: HandSample, size: int, margin: float, cropped: bool, box: Box | None = None) -> HandSample | Reject:
    """A sample as the store takes it: (size, size) around the hand, camera and points along.

    Args:
        cropped: the image is the publisher's own crop: it is only padded to a square and resized.
        box: the square around the known joints, where the caller has it already.
    """
    height, width = sample.size
    if cropped:
        side = max(height, width)
        return crop(sample, Box((width - side) // 2, (height - side) // 2, side), size)
    box = box or _window(sample, margin)
    if box is None and sample.mask is not None and sample.mask.any():
        box = mask_box(sample.mask, margin)
    if box is None:
        return Reject(sample.key, sentence("joints or a mask to crop around", "neither", sample.key))
    overlaps = -box.side < box.x < width and -box.side < box.y < height
    if not overlaps or box.side > _FARTHEST * max(height, width):
        found = f"a box of {box.side} px at {box.x}, {box.y}"
        return Reject(sample.key, sentence(f"a hand in the {width} x {height} image", found, sample.key))
    return crop(sample, box, size)


def palm_rooted(sample: HandSample) -> HandSample:
    """The sample with the palm centre as joint 0: the source's own where it has one, else derived from the wrist.

    The wrist goes to ``extra["wrist_mm"]`` and ``extra["wrist_px"]``.
    """
    changes: dict[str, Any] = {}
    extra = dict(sample.extra)
    for points, states, unit in (("joints_mm", "joint_state", "mm"), ("keypoints_px", "keypoint_state", "px")):
        values = getattr(sample, points)
        if values is None:
            continue
        palm, state = extra.get(f"palm_{unit}"), LABELLED
        if palm is None and unit == "px" and "palm_mm" in extra and sample.camera is not None:
            palm, state = sample.camera.project(extra["palm_mm"]), DERIVED
        if palm is None:
            palm, state = palm_from_wrist(values[WRIST], values[INDEX["ring_mcp"]]), DERIVED
        moved, moved_states = values.copy(), getattr(sample, states).copy()
        moved[WRIST] = np.reshape(palm, (-1, values.shape[1]))[0]
        moved_states[WRIST] = state if np.isfinite(moved[WRIST]).all() else ABSENT
        changes |= {points: moved, states: moved_states}
        extra[f"wrist_{unit}"] = values[WRIST : WRIST + 1]
    return replace(sample, **changes, extra=extra)


def _window(sample: HandSample, margin: float) -> Box | None:
    """The square that will be cut around a sample's known joints; needs no pixels."""
    points = _points(sample)
    return None if points is None else square_box(points, margin)


def _points(sample: HandSample) -> np.ndarray | None:
    """Known 2-D joints (M, 2), labelled or projected; None where there is none."""
    if sample.keypoints_px is not None and np.isfinite(sample.keypoints_px).all(-1).any():
        return sample.keypoints_px
    points = sample.projected()
    return points if points is not None and np.isfinite(points).all(-1).any() else None


def _without_root(reason: str, root: Path) -> str:
    """A store holds no absolute path, so that it is the same wherever the raw files lay."""
    for prefix in (f"{root}/", f"{root.resolve()}/"):
        reason = reason.replace(prefix, "")
    return reason
