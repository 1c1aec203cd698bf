"""COCO keypoints in JSON: its records, and the writer of one split. The manifest lists the keys beyond COCO's.

Writes ``annotations/SPLIT.json``, ``images/SPLIT/``, ``depth/SPLIT/`` and ``masks/SPLIT/``.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np

from handsynth.formats.exchange import ImageCodec, color_bytes, depth_steps, fitting_unit, same_picture
from handsynth.formats.records import SampleRecord, to_record
from handsynth.hand.joints import BONES, JOINTS
from handsynth.hand.sample import HandSample, Side
from handsynth.imaging.codecs import encode_png
from handsynth.runtime import files
from handsynth.runtime.settings import Settings

SIDES: dict[str, Side] = {"left": "left", "right": "right"}
"""``hand_type`` of an annotation in our words."""
_INFO = {"description": "hands written by handsynth", "version": "1"}
_CATEGORY = {
    "id": 1,
    "name": "hand",
    "supercategory": "hand",
    "keypoints": list(JOINTS),
    "skeleton": [[parent + 1, child + 1] for parent, child in BONES],
}


class CocoOptions(Settings, frozen=True, kw_only=True):
    """Where things lie, in which order joints do, and how pictures are written."""

    annotations: str = ""
    """Pattern of the JSON files below the root; default ``annotations/*.json``, else ``*.json``."""
    images: str = ""
    """Folder below the root that ``file_name`` starts from; default the root."""
    joints: str = ""
    """Names of the keypoints in the files' order, comma-separated, or the dataset whose order it is (``rhd``);
    default what the files' categories say."""
    image: ImageCodec = "png"
    """``png`` keeps colour exactly, ``jpeg`` is smaller."""
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    """Of JPEG."""
    depth_unit_mm: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    """Step of the 16-bit depth; ten times it, and so on, for an image that reaches further than 65535 steps."""


class CamParam(msgspec.Struct, kw_only=True, omit_defaults=True):
    focal: list[float]
    princpt: list[float]
    distortion: list[float] = []


class Image(msgspec.Struct, kw_only=True, omit_defaults=True):
    id: int
    file_name: str
    width: int
    height: int
    cam_param: CamParam | None = None
    depth_file_name: str | None = None
    depth_unit_mm: float | None = None


class Annotation(msgspec.Struct, kw_only=True):
    id: int
    image_id: int
    category_id: int = 1
    iscrowd: int = 0
    bbox: list[float] = []
    area: float = 0.0
    num_keypoints: int | None = None
    keypoints: list[list[float] | float] | None = None
    joint_cam: list[list[float] | None] | None = None
    joint_valid: list[list[float | bool] | float | bool] | None = None
    hand_type: str | None = None
    mask_file_name: str | None = None
    handsynth: SampleRecord | None = None


class Category(msgspec.Struct, kw_only=True):
    id: int
    keypoints: list[str] = []


class SplitWriter:
    """One split: pictures at once, images and annotations line by line, joined at the end."""

    def __init__(self, root: Path, split: str, options: CocoOptions, stack: ExitStack) -> None:
        self._root, self._split, self._options = root, split, options
        temporary = stack.enter_context(files.replacing(root / "annotations" / f"{split}.json"))
        self._file = stack.enter_context(temporary.open("wb"))
        self._later = stack.enter_context(tempfile.TemporaryFile(dir=temporary.parent))  # noqa: SIM115
        self._images = self._hands = 0
        self._last: HandSample | None = None
        self._file.write(b'{"info":' + msgspec.json.encode(_INFO) + b',"licenses":[],"categories":[')
        self._file.write(msgspec.json.encode(_CATEGORY) + b'],"images":[\n')

    def add(self, sample: HandSample) -> None:
        if self._last is None or not same_picture(self._last, sample, "rgb", "depth_mm"):
            self._add_image(sample)
        self._last = replace(sample, mask=None)
        number = self._hands
        self._later.write(b",\n" if number else b"")
        annotation = msgspec.structs.asdict(self._annotation(sample, number))
        self._later.write(msgspec.json.encode({name: value for name, value in annotation.items() if value is not None}))
        self._hands += 1

    def finish(self) -> None:
        self._file.write(b'\n],"annotations":[\n')
        self._later.seek(0)
        shutil.copyfileobj(self._later, self._file)
        self._file.write(b"\n]}\n")
        self._file.flush()

    def _add_image(self, sample: HandSample) -> None:
        number, options = self._images, self._options
        stem = f"{self._split}/{number:08d}"
        height, width = sample.size
        image = Image(id=number, file_name="", width=width, height=height)
        if sample.camera is not None:
            camera = sample.camera
            image.cam_param = CamParam(
                focal=[camera.fx, camera.fy], princpt=[camera.cx, camera.cy], distortion=list(camera.distortion)
            )
        if sample.depth_mm is not None:
            image.depth_file_name = image.file_name = f"depth/{stem}.png"
            image.depth_unit_mm = fitting_unit(sample.depth_mm, options.depth_unit_mm)
            steps = depth_steps(sample.depth_mm, image.depth_unit_mm)
            files.write(self._root / image.depth_file_name, encode_png(steps))
        if sample.rgb is not None:
            data, ending = color_bytes(sample.rgb, options.image, options.quality)
            image.file_name = f"images/{stem}.{ending}"
            files.write(self._root / image.file_name, data)
        self._file.write(b",\n" if number else b"")
        self._file.write(msgspec.json.encode(image))
        self._images += 1

    def _annotation(self, sample: HandSample, number: int) -> Annotation:
        record = to_record(sample)
        left, top, right, bottom = _extent(sample)
        annotation = Annotation(
            id=number,
            image_id=self._images - 1,
            bbox=[left, top, right - left, bottom - top],
            area=(right - left) * (bottom - top),
            hand_type=sample.side if sample.side in SIDES else None,
            handsynth=record,
        )
        if record.keypoints_px is not None:
            seen = record.visible or [False] * len(JOINTS)
            points = [
                [*point, 2.0 if here else 1.0] if point is not None else [0.0, 0.0, 0.0]
                for point, here in zip(record.keypoints_px, seen, strict=True)
            ]
            annotation.keypoints = [value for point in points for value in point]
            annotation.num_keypoints = sum(point is not None for point in record.keypoints_px)
        if record.joints_mm is not None:
            annotation.joint_valid = [float(point is not None) for point in record.joints_mm]
            annotation.joint_cam = [point or [0.0, 0.0, 0.0] for point in record.joints_mm]
        if sample.mask is not None:
            annotation.mask_file_name = f"masks/{self._split}/{number:08d}.png"
            files.write(self._root / annotation.mask_file_name, encode_png(sample.mask))
        # Said by COCO's own keys.
        record.joints = record.joints_mm = record.keypoints_px = record.camera = None
        return annotation


def _extent(sample: HandSample) -> tuple[float, float, float, float]:
    """Left, top, right, bottom of the known keypoints in the image, of its whole where there are none."""
    height, width = sample.size
    points = sample.keypoints_px
    known = np.zeros((0, 2)) if points is None else points[np.isfinite(points).all(-1)].astype(np.float64)
    if not len(known):
        return 0.0, 0.0, float(width), float(height)
    low, high = (np.clip(known.min(0), 0, [width, height]), np.clip(known.max(0), 0, [width, height]))
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
