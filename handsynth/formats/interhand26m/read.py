"""The three annotation files of one InterHand2.6M split, streamed into compact arrays.

The JSON of the train split is far over a gigabyte; here it becomes a table of words per image, (F, 42, 3) joints by
capture and frame, and calibrations by capture and camera. Python objects live for one capture or one batch only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched
from handsynth.formats.jsonfiles import read_json, stream_items, stream_pairs, typed

SIDES = ("right", "left")
"""Rows 0-20 and 21-41 of the source."""

_BATCH = 512
"""Items that are Python objects at one time; the garbage collector looks through many thousand again and again."""
_BATCHES_TOGETHER = 8
_ROTATION_TOLERANCE = 1e-3
_ADVICE = "do not mix releases"
_WORDS = ("capture", "sequence", "camera", "frame", "subject")
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())
_TABLE = pa.schema(
    [
        ("id", pa.int64()),
        ("file", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        *((word, _DICTIONARY) for word in _WORDS),
    ]
)

Triple = tuple[float, float, float]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Side = Annotated[int, msgspec.Meta(ge=1, le=2**16)]
Word = int | str


class _Image(msgspec.Struct):
    id: Count
    file_name: str
    width: Side
    height: Side
    capture: Word
    seq_name: str
    camera: Word
    frame_idx: Word
    subject: Word | None = None


class _Annotation(msgspec.Struct):
    image_id: Count
    bbox: tuple[float, float, float, float]
    joint_valid: list[Any]
    hand_type: Literal["right", "left", "interacting"]
    hand_type_valid: bool | float = True


class _Frame(msgspec.Struct):
    world_coord: list[Triple]
    joint_valid: list[Any]


class _Capture(msgspec.Struct):
    campos: dict[str, Triple]
    camrot: dict[str, tuple[Triple, Triple, Triple]]
    focal: dict[str, tuple[float, float]]
    princpt: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Annotations:
    """A batch of B annotations.

    Attributes:
        image_ids: (B,) int64.
        boxes_px: (B, 4) x, y, width, height.
        valid: (B, 42) bool.
        seen: (B, 2) bool, whether ``hand_type`` names the right and the left hand.
        seen_valid: (B,) bool, ``hand_type_valid``.
    """

    image_ids: np.ndarray
    boxes_px: np.ndarray
    valid: np.ndarray
    seen: np.ndarray
    seen_valid: np.ndarray


@dataclass(frozen=True)
class Joints:
    """All frames of a split: row by (capture, frame), (F, 42, 3) float32 mm in the world, (F, 42) bool."""

    rows: dict[tuple[str, str], int]
    world_mm: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True)
class Cameras:
    """All calibrations of a split: row by (capture, camera); X_cam = rotation (X_world - position).

    ``rotations`` (C, 3, 3), ``positions_mm`` (C, 3), ``intrinsics`` (C, 4) fx, fy, cx, cy; float64.
    """

    rows: dict[tuple[str, str], int]
    rotations: np.ndarray
    positions_mm: np.ndarray
    intrinsics: np.ndarray


def annotation_files(root: Path, split: str) -> tuple[Path, Path, Path]:
    """Paths of the data, camera and joint_3d files."""
    folder = root / "annotations" / split
    data, camera, joints = (folder / f"InterHand2.6M_{split}_{kind}.json" for kind in ("data", "camera", "joint_3d"))
    return data, camera, joints


def read_images(path: Path) -> pa.Table:
    """One row per image, sorted by ``id``: file name, size in px, and the words of capture, sequence and so on.

    Raises:
        MissingError, DataError: the file is not there, is damaged, lists no image or one twice.
    """
    parts = []
    for batch in batched(stream_items(path, "images.item"), _BATCH):
        images = typed(batch, list[_Image], f"images of {path}")
        columns: dict[str, list[Any]] = {
            "id": [image.id for image in images],
            "file": [image.file_name for image in images],
            "width": [image.width for image in images],
            "height": [image.height for image in images],
            "capture": [str(image.capture) for image in images],
            "sequence": [image.seq_name for image in images],
            "camera": [str(image.camera) for image in images],
            "frame": [str(image.frame_idx) for image in images],
            "subject": [None if image.subject is None else str(image.subject) for image in images],
        }
        plain = {
            name: pa.array(values, pa.string()).dictionary_encode() if name in _WORDS else values
            for name, values in columns.items()
        }
        parts.append(pa.table(plain, schema=_TABLE))
    if not parts:
        raise DataError(sentence("a list of images", "none", path, "fetch or extract the file again"))
    table = pa.concat_tables(parts).unify_dictionaries().combine_chunks()
    ids = table.column("id").to_numpy()
    if not (np.diff(ids) > 0).all():
        table = table.take(pc.sort_indices(table.column("id"))).combine_chunks()
        ids = table.column("id").to_numpy()
        if not (np.diff(ids) > 0).all():
            twice = int(ids[1:][np.diff(ids) == 0][0])
            raise DataError(sentence("every image once", f"id {twice} more than once", path, _ADVICE))
    return table


def read_annotations(path: Path) -> Iterator[Annotations]:
    """Annotations in the file's order, in batches.

    Raises:
        MissingError, DataError: the file is not there or is damaged.
    """
    batches = (_annotation_arrays(batch, path) for batch in batched(stream_items(path, "annotations.item"), _BATCH))
    for group in batched(batches, _BATCHES_TOGETHER):
        yield Annotations(*(np.concatenate(arrays) for arrays in zip(*group, strict=True)))


def read_joints(path: Path) -> Joints:
    """Joints of all captures, one capture at a time.

    Raises:
        MissingError, DataError: the file is not there or is damaged.
    """
    rows: dict[tuple[str, str], int] = {}
    worlds, valids = [np.zeros((0, 42, 3), np.float32)], [np.zeros((0, 42), np.bool_)]
    for capture, value in stream_pairs(path):
        where = f"capture {capture} of {path}"
        frames = typed(value, dict[str, _Frame], where)
        for frame in frames:
            rows[capture, frame] = len(rows)
        try:
            world = np.array([item.world_coord for item in frames.values()], dtype=np.float32).reshape(-1, 42, 3)
        except ValueError:
            raise DataError(sentence("42 points in every frame", "others", where, _ADVICE)) from None
        if len(world) != len(frames) or len(rows) != sum(map(len, worlds)) + len(world):
            raise DataError(sentence("42 points in every frame, and every frame once", "others", where, _ADVICE))
        worlds.append(world)
        valids.append(_flags([item.joint_valid for item in frames.values()], where))
    return Joints(rows, np.concatenate(worlds), np.concatenate(valids))


def read_cameras(path: Path) -> Cameras:
    """Calibrations of all captures.

    Raises:
        MissingError, DataError: the file is not there or is damaged, a camera lacks a part, or camrot is no rotation.
    """
    captures = read_json(path, dict[str, _Capture])
    rows: dict[tuple[str, str], int] = {}
    rotations, positions, intrinsics = [], [], []
    for name, capture in captures.items():
        parts = (capture.campos, capture.camrot, capture.focal, capture.princpt)
        for camera in capture.campos.keys() | capture.camrot.keys():
            if not all(camera in part for part in parts):
                raise DataError(
                    sentence(
                        "campos, camrot, focal and princpt", "fewer", f"camera {camera} of capture {name} of {path}"
                    )
                )
            rows[name, camera] = len(rows)
            positions.append(capture.campos[camera])
            rotations.append(capture.camrot[camera])
            intrinsics.append((*capture.focal[camera], *capture.princpt[camera]))
    turns = np.array(rotations, dtype=np.float64).reshape(-1, 3, 3)
    wrong = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) > _ROTATION_TOLERANCE
    wrong |= np.linalg.det(turns) < 0
    if wrong.any():
        capture_name, camera = list(rows)[int(np.flatnonzero(wrong)[0])]
        where = f"camera {camera} of capture {capture_name} of {path}"
        raise DataError(sentence("a rotation as camrot", "a matrix that is none", where, "fetch the file again"))
    count = len(rows)
    return Cameras(
        rows,
        turns,
        np.array(positions, dtype=np.float64).reshape(count, 3),
        np.array(intrinsics, dtype=np.float64).reshape(count, 4),
    )


def _annotation_arrays(batch: list[Any], path: Path) -> tuple[np.ndarray, ...]:
    """The fields of :class:`Annotations`, in their order."""
    items = typed(batch, list[_Annotation], f"annotations of {path}")
    return (
        np.array([item.image_id for item in items], dtype=np.int64),
        np.array([item.bbox for item in items], dtype=np.float64),
        _flags([item.joint_valid for item in items], f"annotations of {path}"),
        np.array([[item.hand_type in (side, "interacting") for side in SIDES] for item in items]),
        np.array([bool(item.hand_type_valid) for item in items]),
    )


def _flags(values: list[list[Any]], where: str) -> np.ndarray:
    """(N, 42) bool from lists of 42 flags, each a number, a truth value or a list of one."""
    try:
        flags = np.array(values, dtype=np.float64)
    except (ValueError, TypeError):
        flags = np.zeros(0)
    if flags.shape not in ((len(values), 42), (len(values), 42, 1)):
        raise DataError(sentence("42 flags in every joint_valid", "others", where, _ADVICE))
    return flags.reshape(-1, 42) > 0
