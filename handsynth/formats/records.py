"""A sample's words and numbers as JSON: the members ``KEY.json`` of webdataset, what coco says beyond COCO.

Reads and writes no file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import INDEX, JOINTS, gather, permutation
from handsynth.hand.rows import WORDS
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample, Side

DEPTH_UNIT = "depth_unit"
"""Name in a catalogue row's ``extra``: mm per step of the stored depth. Loaded samples no longer carry it."""

_ADVICE = "use the copy that handsynth wrote, or mend that entry"
_MAX_SIDE_PX = 65535


class CameraRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``Camera`` in JSON, px."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: list[float] = []


class RigidRecord(msgspec.Struct, kw_only=True):
    """``RigidTransform`` in JSON: X_to = rotation X_from + translation_mm."""

    rotation: list[list[float]]
    translation_mm: list[float]


class SampleRecord(msgspec.Struct, kw_only=True, omit_defaults=True):
    """``HandSample`` without its pixels in JSON; what is not known is left out, an unknown point is null.

    ``joints`` names the points of all lists of points, states and flags, in their order; without it they are ours.
    """

    key: str | None = None
    side: Side = "unknown"
    subject: str | None = None
    sequence: str | None = None
    frame: str | None = None
    view: str | None = None
    moment: str | None = None
    split: str | None = None
    mirrored: bool = False
    joints: list[str] | None = None
    joints_mm: list[list[float] | None] | None = None
    keypoints_px: list[list[float] | None] | None = None
    joint_state: list[int] | None = None
    keypoint_state: list[int] | None = None
    visible: list[bool] | None = None
    camera: CameraRecord | None = None
    depth_camera: CameraRecord | None = None
    depth_from_color: RigidRecord | None = None
    world_from_camera: RigidRecord | None = None
    extra: dict[str, list[float | None]] = {}
    depth_unit_mm: float | None = None


def to_record(sample: HandSample) -> SampleRecord:
    """Words and numbers of a sample; float32 in as many digits as bring it back exactly."""
    return SampleRecord(
        key=sample.key,
        **{word: getattr(sample, word) for word in WORDS},
        mirrored=sample.mirrored,
        joints=list(JOINTS),
        joints_mm=_point_list(sample.joints_mm),
        keypoints_px=_point_list(sample.keypoints_px),
        joint_state=sample.joint_state.tolist(),
        keypoint_state=sample.keypoint_state.tolist(),
        visible=None if sample.visible is None else sample.visible.tolist(),
        camera=camera_record(sample.camera),
        depth_camera=camera_record(sample.depth_camera),
        depth_from_color=_rigid_record(sample.depth_from_color),
        world_from_camera=_rigid_record(sample.world_from_camera),
        extra={name: _numbers(value) for name, value in sorted(sample.extra.items())},
    )


def from_record(record: SampleRecord, key: str, where: object) -> HandSample:
    """The sample of a record, pixels left out; ``key`` and a moment of its own where the record has none.

    Points that its source names otherwise than our 21 go to ``extra["source_mm"]`` and ``extra["source_px"]``. A
    point that is null is absent, whatever its state says.

    Raises:
        DataError: lists of another length than ``joints``, states beyond 2, numbers that are not finite.
    """
    names: Sequence[str] = JOINTS if record.joints is None else record.joints
    try:
        order = permutation(names)
    except ValueError as error:
        raise DataError(sentence("every joint once", str(error), where, _ADVICE)) from None
    joints = _points(record.joints_mm, len(names), 3, "joints_mm", where)
    keypoints = _points(record.keypoints_px, len(names), 2, "keypoints_px", where)
    extra = {name: _extra(name, values, where) for name, values in record.extra.items()}
    if record.depth_unit_mm is not None:
        extra[DEPTH_UNIT] = np.array([_positive(record.depth_unit_mm, "depth_unit_mm", where)], dtype=np.float32)
    if any(name not in INDEX for name in names):
        extra |= {} if joints is None else {"source_mm": joints}
        extra |= {} if keypoints is None else {"source_px": keypoints}
    ours = [None if points is None else gather(points, order) for points in (joints, keypoints)]
    states = [
        _states(given, points, len(names), order, name, where)
        for given, points, name in zip(
            (record.joint_state, record.keypoint_state), ours, ("joint_state", "keypoint_state"), strict=True
        )
    ]
    visible = None
    if record.visible is not None:
        _require_length(record.visible, len(names), "visible", where)
        visible = gather(np.array(record.visible, dtype=np.bool_)[:, None], order, fill=False)[:, 0]
    key = record.key or key
    return HandSample(
        key=key,
        **{word: getattr(record, word) for word in WORDS} | {"moment": record.moment or key},
        mirrored=record.mirrored,
        joints_mm=ours[0],
        keypoints_px=ours[1],
        joint_state=states[0],
        keypoint_state=states[1],
        visible=visible,
        camera=to_camera(record.camera, where),
        depth_camera=to_camera(record.depth_camera, where),
        depth_from_color=_rigid(record.depth_from_color, where),
        world_from_camera=_rigid(record.world_from_camera, where),
        extra=extra,
    )


def camera_record(camera: Camera | None) -> CameraRecord | None:
    """A camera in JSON."""
    if camera is None:
        return None
    distortion = list(camera.distortion)
    return CameraRecord(
        fx=camera.fx,
        fy=camera.fy,
        cx=camera.cx,
        cy=camera.cy,
        width=camera.width,
        height=camera.height,
        distortion=distortion,
    )


def to_camera(record: CameraRecord | None, where: object) -> Camera | None:
    """Inverse of :func:`camera_record`.

    Raises:
        DataError: focal lengths or a size that no camera has, or more than five distortion coefficients.
    """
    if record is None:
        return None
    numbers = [record.fx, record.fy, record.cx, record.cy, *record.distortion]
    sound = np.isfinite(numbers).all() and record.fx > 0 and record.fy > 0 and len(record.distortion) <= 5
    if not sound or not (0 < record.width <= _MAX_SIDE_PX and 0 < record.height <= _MAX_SIDE_PX):
        found = ", ".join(f"{value:g}" for value in (*numbers, record.width, record.height))
        raise DataError(sentence("a camera: fx, fy, cx, cy, up to 5 of distortion, width, height", found, where))
    distortion = tuple(record.distortion) if any(record.distortion) else ()
    return Camera(record.fx, record.fy, record.cx, record.cy, record.width, record.height, distortion)


def _numbers(value: Any) -> list[float | None]:
    flat = np.asarray(value, dtype=np.float32).ravel()
    return [float(f"{number:.9g}") if np.isfinite(number) else None for number in flat.tolist()]


def _point_list(points: np.ndarray | None) -> list[list[float] | None] | None:
    if points is None:
        return None
    known = np.isfinite(points).all(-1)
    return [
        [float(f"{number:.9g}") for number in point] if here else None
        for point, here in zip(points.tolist(), known.tolist(), strict=True)
    ]


def _points(
    values: list[list[float] | None] | None, count: int, dimensions: int, name: str, where: object
) -> np.ndarray | None:
    if values is None:
        return None
    _require_length(values, count, name, where)
    out = np.full((count, dimensions), np.nan)
    for i, point in enumerate(values):
        if point is not None:
            _require_length(point, dimensions, f"point {i} of {name}", where)
            out[i] = point
    return _float32(out, name, where)


def _extra(name: str, values: list[float | None], where: object) -> np.ndarray:
    flat = _float32(np.array([np.nan if value is None else value for value in values], dtype=np.float64), name, where)
    dimensions = 2 if name.endswith("_px") else 3 if name.endswith("_mm") else 1
    if len(flat) % dimensions:
        raise DataError(sentence(f"points of {dimensions} numbers in {name}", f"{len(flat)} numbers", where, _ADVICE))
    return flat.reshape(-1, dimensions) if dimensions > 1 else flat


def _float32(values: np.ndarray, name: str, where: object) -> np.ndarray:
    if (np.abs(values) > np.finfo(np.float32).max).any():
        raise DataError(sentence(f"finite numbers in {name}", "one beyond float32", where, _ADVICE))
    return values.astype(np.float32)


def _states(
    given: list[int] | None, points: np.ndarray | None, count: int, order: np.ndarray, name: str, where: object
) -> np.ndarray:
    known = np.zeros(len(JOINTS), dtype=np.bool_) if points is None else np.isfinite(points).all(-1)
    if given is None:
        return np.where(known, LABELLED, ABSENT).astype(np.uint8)
    _require_length(given, count, name, where)
    if not all(ABSENT <= state <= DERIVED for state in given):
        raise DataError(sentence(f"states 0, 1 or 2 in {name}", "others", where, _ADVICE))
    state = gather(np.array(given, dtype=np.uint8)[:, None], order, fill=ABSENT)[:, 0]
    return np.where(known, state, ABSENT).astype(np.uint8)


def _require_length(values: Sequence[Any], count: int, name: str, where: object) -> None:
    if len(values) != count:
        raise DataError(sentence(f"{count} entries in {name}", str(len(values)), where, _ADVICE))


def _positive(value: float, name: str, where: object) -> float:
    if not 0 < value < np.inf:
        raise DataError(sentence(f"a positive {name}", f"{value:g}", where, _ADVICE))
    return value


def _rigid_record(move: RigidTransform | None) -> RigidRecord | None:
    if move is None:
        return None
    return RigidRecord(rotation=[list(row) for row in move.rotation], translation_mm=list(move.translation_mm))


def _rigid(record: RigidRecord | None, where: object) -> RigidTransform | None:
    if record is None:
        return None
    shapes = [len(record.translation_mm), len(record.rotation), *map(len, record.rotation)]
    if shapes != [3, 3, 3, 3, 3] or not np.isfinite([*np.ravel(record.rotation), *record.translation_mm]).all():
        raise DataError(sentence("a 3 x 3 rotation and a translation of 3", "something else", where, _ADVICE))
    return RigidTransform.of(np.array(record.rotation), np.array(record.translation_mm))
