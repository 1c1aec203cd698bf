"""What the exchange formats share: pictures as bytes, depth in 16-bit steps, names of pictures inside larger files.

Used by coco, parquet, rgbd_folder and webdataset. Reads and writes no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.format import FILE_COLUMNS, Field
from handsynth.formats.layout import inside
from handsynth.formats.records import DEPTH_UNIT
from handsynth.hand.joints import OTHER_BODY
from handsynth.hand.rows import to_table
from handsynth.hand.sample import ABSENT, DERIVED, HandSample
from handsynth.imaging.codecs import encode_jpeg, encode_png
from handsynth.imaging.registration import registered

ImageCodec = Literal["png", "jpeg"]

EVERYTHING: Mapping[str, Field] = {
    "rgb": Field(note="exact as PNG; JPEG where the option image asks for it"),
    "depth_mm": Field(tolerance=0.051, note="steps of 0.1 mm to 6.55 m, coarser beyond"),
    **{
        name: Field()
        for name in (
            "mask",
            "joints_mm",
            "joint_state",
            "keypoints_px",
            "keypoint_state",
            "visible",
            "camera",
            "depth_camera",
            "depth_from_color",
            "world_from_camera",
            "side",
            "mirrored",
            "subject",
            "sequence",
            "frame",
            "view",
            "moment",
            "split",
        )
    },
}
"""Fields of a format that holds all of ``HandSample``."""

REGISTERED: Mapping[str, Field] = {
    name: field for name, field in EVERYTHING.items() if name not in ("depth_camera", "depth_from_color")
} | {"depth_mm": Field(tolerance=0.051, note="registered; steps of 0.1 mm to 6.55 m, coarser beyond")}
"""The same of a format that holds depth at its colour pixels only."""
_FULL = 65535


def to_rows(samples: Iterable[HandSample], files: Sequence[Mapping[str, str | None]]) -> pa.Table:
    """A part of a catalogue: samples without pixels, and for each the ``FILE_COLUMNS`` that it has."""
    return to_table(samples, [(name, pa.string()) for name in FILE_COLUMNS], files)


def color_bytes(rgb: np.ndarray, codec: ImageCodec, quality: int) -> tuple[bytes, str]:
    """A colour picture as PNG or JPEG, and its file ending."""
    return (encode_jpeg(rgb, quality), "jpg") if codec == "jpeg" else (encode_png(rgb), "png")


def fitting_unit(depth_mm: np.ndarray, unit_mm: float) -> float:
    """``unit_mm``, or the least power of ten times it whose 16-bit steps reach the furthest measurement."""
    far = np.max(depth_mm, initial=0.0, where=np.isfinite(depth_mm))
    while far > _FULL * unit_mm:
        unit_mm *= 10
    return unit_mm


def depth_steps(depth_mm: np.ndarray, unit_mm: float) -> np.ndarray:
    """(H, W) uint16 steps of ``unit_mm``; 0 where there is no measurement, or one beyond the range."""
    steps = np.rint(np.nan_to_num(depth_mm.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) / unit_mm)
    return np.where((steps >= 1) & (steps <= _FULL), steps, 0).astype(np.uint16)


def depth_from_steps(picture: np.ndarray, unit_mm: float, where: object) -> np.ndarray:
    """Inverse of :func:`depth_steps`: (H, W) float32 mm, NaN for 0.

    Raises:
        DataError: the picture is not one channel of 8 or 16 bits.
    """
    if picture.ndim != 2 or picture.dtype not in (np.uint8, np.uint16):
        found = f"{picture.dtype} of shape {picture.shape}"
        raise DataError(sentence("a depth picture of one channel, 16 bits", found, where))
    return np.where(picture == 0, np.nan, picture * np.float64(unit_mm)).astype(np.float32)


def hand_mask(picture: np.ndarray, where: object) -> np.ndarray:
    """The mask of a picture.

    Raises:
        DataError: it is not one 8-bit channel of codes 0 to 18.
    """
    if picture.ndim != 2 or picture.dtype != np.uint8 or picture.max(initial=0) > OTHER_BODY:
        raise DataError(sentence(f"an 8-bit mask of codes 0 to {OTHER_BODY}", "something else", where))
    return picture


def take_unit(sample: HandSample, default_mm: float) -> tuple[HandSample, float]:
    """A catalogue row's sample without its ``DEPTH_UNIT``, and that unit in mm."""
    if DEPTH_UNIT not in sample.extra:
        return sample, default_mm
    kept = {name: value for name, value in sample.extra.items() if name != DEPTH_UNIT}
    # float32 holds 0.1 as 0.10000000149; the digits that were meant are fewer.
    return replace(sample, extra=kept), float(f"{float(sample.extra[DEPTH_UNIT][0]):.6g}")


def require_picture(sample: HandSample, layout: str) -> None:
    """Raise DataError where a sample has neither colour nor depth."""
    if sample.rgb is None and sample.depth_mm is None:
        raise DataError(sentence(f"rgb or depth_mm to write {layout}", "neither", f"sample {sample.key}"))


def with_registered_depth(sample: HandSample) -> HandSample:
    """The sample with depth at its colour pixels.

    Raises:
        DataError: nothing says how its depth lies to its colour.
    """
    try:
        return registered(sample)
    except ValueError as error:
        found = str(error)
        raise DataError(sentence("depth registered to colour, or both cameras", found, sample.key)) from None


def same_picture(first: HandSample, second: HandSample, *names: str) -> bool:
    """Whether two samples show one picture: equal camera, moment and view, and pixels in the fields ``names``."""
    if any(getattr(first, name) != getattr(second, name) for name in ("moment", "view", "split", "camera")):
        return False
    for name in names:
        a, b = getattr(first, name), getattr(second, name)
        if (a is None) != (b is None) or (a is not None and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")):
            return False
    return first.moment is not None


def file_word(word: str | None, default: str) -> str:
    """A word as part of a file name: letters, digits, '-' and '_'; ``default`` where nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", word or "").strip("_")[:64] or default


def split_of(name: str) -> str | None:
    """The split that a file name speaks of, where it speaks of one only."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    found = {split for split, names in _SPLITS.items() if words & names}
    return found.pop() if len(found) == 1 else None


_SPLITS = {"train": {"train", "training"}, "val": {"val", "valid", "validation"}, "test": {"test", "testing"}}


def packed(file: str, first: int, second: int) -> str:
    """What a catalogue says of a picture inside a larger file: ``shards/train-000000.tar#1536,20480``."""
    return f"{file}#{first},{second}"


def unpacked(root: Path, name: str) -> tuple[Path, int, int]:
    """The larger file and the two numbers of :func:`packed`.

    Raises:
        DataError: the name leads out of the root, or says no place inside a file.
    """
    inside(root, name)
    match = re.fullmatch(r"(.+)#(\d{1,18}),(\d{1,18})", name, flags=re.DOTALL)
    if match is None:
        raise DataError(sentence("FILE#NUMBER,NUMBER, a picture inside a file", repr(name), root))
    return inside(root, match[1]), int(match[2]), int(match[3])


def projected(sample: HandSample) -> HandSample:
    """The sample with joints projected to keypoints, marked as derived, where it has no keypoints."""
    points = sample.projected()
    if sample.keypoints_px is not None or points is None:
        return sample
    state = np.where(np.isfinite(points).all(-1), DERIVED, ABSENT).astype(np.uint8)
    return replace(sample, keypoints_px=points, keypoint_state=state)
