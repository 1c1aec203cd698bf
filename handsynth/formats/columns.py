"""Catalogue tables from whole arrays: one Arrow column per field, no row built by hand.

Used by the formats; the columns are those of ``hand.rows.row_schema``, then ``FILE_COLUMNS``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.format import FILE_COLUMNS
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.rows import row_schema, to_row
from handsynth.hand.sample import ABSENT, LABELLED, HandSample

T = TypeVar("T")


def catalogue_schema() -> pa.Schema:
    """Arrow schema of every catalogue."""
    schema = row_schema()
    for name in FILE_COLUMNS:
        schema = schema.append(pa.field(name, pa.string()))
    return schema


def build_table(count: int, extra: Mapping[str, np.ndarray] | None = None, **values: Any) -> pa.Table:
    """A catalogue of ``count`` rows.

    Args:
        extra: points or numbers by name, (count, ...); a row where all are NaN has no such entry.
        values: by column: one word, camera or transform for all rows, a list of words, or an array (count, ...).
            Columns left out are null; ``mirrored`` is False, states follow from the finite points.
    """
    values.setdefault("mirrored", np.zeros(count, dtype=np.bool_))
    for points, state in (("joints_mm", "joint_state"), ("keypoints_px", "keypoint_state")):
        if values.get(state) is None:
            values[state] = states(values[points]) if points in values else np.full((count, 21), ABSENT, np.uint8)
    columns = [
        _extra_column(count, extra or {}, field.type)
        if field.name == "extra"
        else _column(count, values.get(field.name), field)
        for field in catalogue_schema()
    ]
    return pa.Table.from_arrays(columns, schema=catalogue_schema())


def states(points: np.ndarray, known: int = LABELLED) -> np.ndarray:
    """(N, 21) uint8: ``known`` where (N, 21, D) points are finite, absent elsewhere."""
    return np.where(np.isfinite(points).all(-1), known, ABSENT).astype(np.uint8)


def stacked(values: Sequence[Any], shape: tuple[int, ...], name: str, where: Callable[[int], object]) -> np.ndarray:
    """Nested lists of numbers, one per entry, as one (N, *shape) float64 array.

    Args:
        where: place of entry i, for the error.

    Raises:
        DataError: the first entry of another shape, or with a number that is not finite.
    """
    array = _floats(values) if values else np.zeros((0, *shape))
    if array is not None and array.shape == (len(values), *shape) and np.isfinite(array).all():
        return array
    for i, value in enumerate(values):
        one = _floats(value)
        if one is None or one.shape != shape or not np.isfinite(one).all():
            found = "lists of unequal length"
            if one is not None:
                found = _sides(one.shape) if one.shape != shape else "NaN or infinity"
            wanted = f"{name} of {_sides(shape)}, finite"
            raise DataError(sentence(wanted, found, where(i), "fetch or extract the file again"))
    raise AssertionError("entries that fit one by one fit together")


def intrinsics(matrices: np.ndarray, where: Callable[[int], object]) -> np.ndarray:
    """fx, fy, cx, cy (N, 4) of calibration matrices (N, 3, 3).

    Args:
        where: place of matrix i, for the error.

    Raises:
        DataError: the first that has skew, a focal length that is not positive, or another last row than 0 0 1.
    """
    k = matrices.reshape(-1, 9)
    odd = (np.abs(k[:, [1, 3, 6, 7, 8]] - [0, 0, 0, 0, 1]) > 1e-3).any(1) | (k[:, [0, 4]] <= 0).any(1)
    if odd.any():
        place, advice = where(int(np.flatnonzero(odd)[0])), "use the publisher's own file"
        raise DataError(sentence("the calibration matrix of a pinhole without skew", "another", place, advice))
    return k[:, [0, 4, 2, 5]]


def camera_rows(intrinsics: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N, 4) fx, fy, cx, cy without distortion to (N, 11), the ``camera`` column."""
    size = np.broadcast_to(np.array([width, height], dtype=np.float64), (len(intrinsics), 2))
    return np.concatenate([intrinsics, np.zeros((len(intrinsics), 5)), size], axis=1)


def rigid_rows(rotations: np.ndarray, translations_mm: np.ndarray) -> np.ndarray:
    """Rotation matrices (N, 3, 3) and translations (N, 3) to (N, 12), a column of rigid transforms."""
    return np.concatenate([rotations.reshape(-1, 9), translations_mm], axis=1)


def batched(items: Iterable[T], size: int = 8192) -> Iterator[list[T]]:
    """Lists of up to ``size`` items, for catalogues that go file by file."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _floats(value: Any) -> np.ndarray | None:
    """float64 array; None of lists of unequal length."""
    try:
        return np.array(value, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        return None


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) + " numbers" if shape else "one number"


def _column(count: int, value: Any, field: pa.Field) -> pa.Array:
    if isinstance(value, Camera):
        value = to_row(HandSample(key="", camera=value))["camera"]
    elif isinstance(value, RigidTransform):
        value = to_row(HandSample(key="", depth_from_color=value))["depth_from_color"]
    if value is None:
        return pa.nulls(count, field.type)
    if pa.types.is_fixed_size_list(field.type):
        width = field.type.list_size
        rows = np.asarray(value)
        rows = np.broadcast_to(rows, (count, width)) if rows.shape == (width,) else rows.reshape(count, width)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which the catalogue refuses
            cast = rows.astype(field.type.value_type.to_pandas_dtype())
        flat = pa.array(cast.ravel(), type=field.type.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, type=field.type)
    return pa.array([value] * count if isinstance(value, str) else value, type=field.type)


def _extra_column(count: int, extra: Mapping[str, np.ndarray], kind: pa.MapType) -> pa.Array:
    """Map column from whole arrays: entries of a row in the order of their names."""
    names = sorted(extra)
    if not names or not count:
        return pa.MapArray.from_arrays(
            np.zeros(count + 1, np.int32), pa.array([], kind.key_type), pa.array([], kind.item_type), type=kind
        )
    with np.errstate(over="ignore"):
        blocks = [np.asarray(extra[name], dtype=np.float32).reshape(count, -1) for name in names]
    present = np.stack([~np.isnan(block).all(1) for block in blocks], axis=1)
    widths = np.array([block.shape[1] for block in blocks])
    row_starts = np.concatenate([[0], np.cumsum(present.sum(1))]).astype(np.int32)
    keys = np.broadcast_to(np.array(names, dtype=object), present.shape)[present]
    lengths = np.broadcast_to(widths, present.shape)[present]
    item_starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    flat = np.concatenate(blocks, axis=1)[np.repeat(present, widths, axis=1)]
    items = pa.ListArray.from_arrays(item_starts, pa.array(flat, pa.float32()), type=kind.item_type)
    return pa.MapArray.from_arrays(row_starts, pa.array(keys, kind.key_type), items, type=kind)
