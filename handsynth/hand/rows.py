"""The words and numbers of ``HandSample`` as Arrow rows: the common table of catalogues and stores.

pyarrow is imported inside the functions: ``hand`` stays importable with numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import J
from handsynth.hand.sample import HandSample

if TYPE_CHECKING:
    import pyarrow as pa

WORDS = ("side", "subject", "sequence", "frame", "view", "moment", "split")
PIXEL_FIELDS = ("rgb", "depth_mm", "mask")
_CAMERA = 11  # fx, fy, cx, cy, k1, k2, p1, p2, k3, width, height
_RIGID = 12  # rotation row by row, then translation in mm


def row_schema() -> pa.Schema:
    """Arrow schema of a sample without its pixels."""
    import pyarrow as pa

    def fixed(kind: pa.DataType, count: int) -> pa.DataType:
        return pa.list_(pa.field("item", kind, nullable=False), count)

    fields = [
        pa.field("key", pa.string(), nullable=False),
        *(pa.field(word, pa.string()) for word in WORDS),
        pa.field("mirrored", pa.bool_(), nullable=False),
        pa.field("joints_mm", fixed(pa.float32(), J * 3)),
        pa.field("keypoints_px", fixed(pa.float32(), J * 2)),
        pa.field("joint_state", fixed(pa.uint8(), J), nullable=False),
        pa.field("keypoint_state", fixed(pa.uint8(), J), nullable=False),
        pa.field("visible", fixed(pa.bool_(), J)),
        pa.field("camera", fixed(pa.float64(), _CAMERA)),
        pa.field("depth_camera", fixed(pa.float64(), _CAMERA)),
        pa.field("depth_from_color", fixed(pa.float64(), _RIGID)),
        pa.field("world_from_camera", fixed(pa.float64(), _RIGID)),
        pa.field("extra", pa.map_(pa.string(), pa.list_(pa.float32()))),
    ]
    return pa.schema(fields)


def to_row(sample: HandSample) -> dict[str, Any]:
    """Plain values of one sample, pixels left out; ``extra`` points are named ``*_px`` (M, 2) or ``*_mm`` (M, 3)."""
    row: dict[str, Any] = {"key": sample.key, "mirrored": sample.mirrored}
    row |= {word: getattr(sample, word) for word in WORDS}
    for name in ("joints_mm", "keypoints_px", "joint_state", "keypoint_state", "visible"):
        value = getattr(sample, name)
        row[name] = None if value is None else value.ravel()
    row["camera"] = _camera_row(sample.camera)
    row["depth_camera"] = _camera_row(sample.depth_camera)
    row["depth_from_color"] = _rigid_row(sample.depth_from_color)
    row["world_from_camera"] = _rigid_row(sample.world_from_camera)
    row["extra"] = [(name, np.asarray(value, dtype=np.float32).ravel()) for name, value in sorted(sample.extra.items())]
    return row


def from_row(row: Mapping[str, Any]) -> HandSample:
    """A sample without pixels, from one row (as ``Table.to_pylist`` gives it)."""

    def array(name: str, dtype: Any, *shape: int) -> np.ndarray | None:
        value = row[name]
        return None if value is None else np.asarray(value, dtype=dtype).reshape(shape)

    state = array("joint_state", np.uint8, J)
    keypoint_state = array("keypoint_state", np.uint8, J)
    assert state is not None
    assert keypoint_state is not None
    return HandSample(
        key=row["key"],
        mirrored=bool(row["mirrored"]),
        joints_mm=array("joints_mm", np.float32, J, 3),
        keypoints_px=array("keypoints_px", np.float32, J, 2),
        joint_state=state,
        keypoint_state=keypoint_state,
        visible=array("visible", np.bool_, J),
        camera=_camera(row["camera"]),
        depth_camera=_camera(row["depth_camera"]),
        depth_from_color=_rigid(row["depth_from_color"]),
        world_from_camera=_rigid(row["world_from_camera"]),
        extra={name: _points(name, value) for name, value in dict(row["extra"] or []).items()},
        **{word: row[word] for word in WORDS},
    )


def to_table(
    samples: Iterable[HandSample], columns: Sequence[tuple[str, Any]] = (), values: Sequence[Mapping[str, Any]] = ()
) -> pa.Table:
    """Arrow table of samples; further ``columns`` (name, Arrow type) are filled from ``values``, a mapping each."""
    import pyarrow as pa

    schema = row_schema()
    for name, kind in columns:
        schema = schema.append(pa.field(name, kind))
    rows = [to_row(sample) for sample in samples]
    if columns:
        rows = [row | {name: value.get(name) for name, _ in columns} for row, value in zip(rows, values, strict=True)]
    return pa.Table.from_pylist(rows, schema=schema)


def column(table: pa.Table, name: str) -> np.ndarray:
    """A fixed-size list column as one array: joints (N, 21, 3), keypoints (N, 21, 2), others (N, width).

    Rows where the whole value is null come out as NaN (floats), 0 or False.
    """
    import pyarrow as pa

    chunk = table.column(name).combine_chunks()
    if isinstance(chunk, pa.ChunkedArray):
        chunk = pa.concat_arrays(chunk.chunks) if chunk.num_chunks else pa.array([], type=chunk.type)
    width = chunk.type.list_size
    kind = chunk.type.value_type.to_pandas_dtype()
    out = np.full((len(chunk), width), np.nan if np.issubdtype(kind, np.floating) else 0, dtype=kind)
    known = ~np.asarray(chunk.is_null())
    out[known] = chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    shape = {"joints_mm": (J, 3), "keypoints_px": (J, 2)}.get(name, (width,))
    return out.reshape(len(chunk), *shape)


def project_rows(joints_mm: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """(N, 21, 3) joints through the (N, 11) camera column of each row to (N, 21, 2) px; NaN where there is none."""
    out = np.full((*joints_mm.shape[:-1], 2), np.nan)
    known = np.isfinite(cameras).all(1)
    if not known.any():
        return out
    distinct, which = np.unique(cameras[known], axis=0, return_inverse=True)
    order = np.argsort(which, kind="stable")
    rows = np.flatnonzero(known)[order]
    bounds = np.searchsorted(which[order], np.arange(len(distinct) + 1))
    for i, numbers in enumerate(distinct.tolist()):
        camera = _camera(numbers)
        assert camera is not None
        here = rows[bounds[i] : bounds[i + 1]]
        out[here] = camera.project(joints_mm[here])
    return out


def without_pixels(sample: HandSample) -> HandSample:
    """The same sample with its words and numbers only."""
    return replace(sample, rgb=None, depth_mm=None, mask=None)


def _points(name: str, value: Any) -> np.ndarray:
    dimensions = 2 if name.endswith("_px") else 3 if name.endswith("_mm") else 1
    array = np.asarray(value, dtype=np.float32)
    return array.reshape(-1, dimensions) if dimensions > 1 else array


def _camera_row(camera: Camera | None) -> list[float] | None:
    if camera is None:
        return None
    distortion = (*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
    return [camera.fx, camera.fy, camera.cx, camera.cy, *distortion, float(camera.width), float(camera.height)]


def _camera(value: Sequence[float] | None) -> Camera | None:
    if value is None:
        return None
    fx, fy, cx, cy, *distortion, width, height = (float(number) for number in value)
    return Camera(fx, fy, cx, cy, int(width), int(height), tuple(distortion) if any(distortion) else ())


def _rigid_row(move: RigidTransform | None) -> list[float] | None:
    return None if move is None else [*np.ravel(move.rotation).tolist(), *move.translation_mm]


def _rigid(value: Sequence[float] | None) -> RigidTransform | None:
    if value is None:
        return None
    numbers = np.asarray(value, dtype=np.float64)
    return RigidTransform.of(numbers[:9].reshape(3, 3), numbers[9:])
