"""Samples into the InterHand2.6M tree: images at once, the numbers of all samples into the annotation files at the end.

Writes ``images/SPLIT/CaptureN/SEQUENCE/camM/imageF.jpg``, ``annotations/SPLIT/InterHand2.6M_SPLIT_*.json`` and
``annotations/skeleton.txt``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.formats.interhand26m.read import SIDES, annotation_files
from handsynth.formats.layout import require_fields
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import RigidTransform
from handsynth.hand.joints import INDEX, JOINTS, PARENTS, scatter
from handsynth.hand.sample import ABSENT, HandSample
from handsynth.imaging.codecs import write_jpeg
from handsynth.imaging.registration import seen_by
from handsynth.runtime import files

_SEQUENCE = re.compile(r"Capture(\d{1,9})/(\w+)")
_VIEW = re.compile(r"cam(\d{1,9})")
_NUMBER = re.compile(r"\d{1,9}")
_FILLER = 1.0
_BOX_SCALE = 1.2
_SAME_HAND_MM = 1.0

Calibration = tuple[float, ...]
"""campos (3), camrot row by row (9), focal (2), princpt (2)."""


@dataclass
class _Capture:
    """What one capture of one split holds so far."""

    cameras: dict[str, Calibration] = field(default_factory=dict)
    names: dict[Calibration, str] = field(default_factory=dict)
    moments: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    world_mm: dict[int, np.ndarray] = field(default_factory=dict)
    """Frame -> (42, 3) float32, NaN where not known."""
    images: dict[tuple[int, str], _Image] = field(default_factory=dict)
    """(frame, camera) -> image."""
    next_frame: int = 0


@dataclass
class _Image:
    """One image: its labels so far, and the box (2, 2) of the projected joints, low and high corner in px."""

    file: str
    sequence: str
    size: tuple[int, int]
    subject: int | None
    valid: np.ndarray
    seen: set[str]
    box_px: np.ndarray


class Writer:
    """Takes samples one by one; :meth:`finish` writes the annotation files."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._captures: dict[str, dict[str, _Capture]] = {}
        self._subjects: dict[str, int] = {}

    def add(self, given: HandSample) -> None:
        """Write the sample's image, unless its other hand's already is the same, and remember its numbers.

        Raises:
            DataError: it lacks colour, a camera, joints or a side.
        """
        require_fields(given, "interhand26m", "rgb", "camera")
        if given.joints_mm is None:
            require_fields(given, "interhand26m", "joints_mm")
        if given.side not in SIDES:
            raise DataError(sentence("a left or right hand", f"side {given.side}", f"sample {given.key}"))
        sample = _undistorted(given)
        assert sample.rgb is not None
        split = sample.split if sample.split in ("train", "val", "test") else "train"
        number, sequence = _place_words(sample.sequence)
        capture = self._captures.setdefault(split, {}).setdefault(number, _Capture())
        camera = _camera_name(capture, sample)
        world, valid = _world_rows(sample)
        frame = _frame_for(capture, sample, camera, world)
        known = capture.world_mm.setdefault(frame, np.full((42, 3), np.nan, dtype=np.float32))
        known[valid] = world[valid]
        image = capture.images.get((frame, camera))
        if image is None:
            file = f"Capture{number}/{sequence}/cam{camera}/image{frame}.jpg"
            size = (sample.rgb.shape[1], sample.rgb.shape[0])
            box = np.array([[np.inf, np.inf], [-np.inf, -np.inf]])
            image = _Image(file, sequence, size, self._subject(sample), np.zeros(42, np.bool_), set(), box)
            capture.images[frame, camera] = image
            write_jpeg(self._root / "images" / split / file, sample.rgb)
        image.valid |= valid
        image.seen.add(sample.side)
        keypoints = sample.projected()
        assert keypoints is not None
        keypoints = keypoints[np.isfinite(keypoints).all(-1)]
        image.box_px = np.stack(
            [np.min([image.box_px[0], *keypoints], axis=0), np.max([image.box_px[1], *keypoints], axis=0)]
        )

    def finish(self) -> None:
        """Write the annotation files of all splits."""
        for split, captures in self._captures.items():
            data, cameras, joints = annotation_files(self._root, split)
            files.write(cameras, msgspec.json.encode({name: _calibrations(item) for name, item in captures.items()}))
            files.write(joints, *_joined(b"{", (_frames(name, item) for name, item in captures.items()), b"}"))
            images = [
                msgspec.json.encode(_image_entry(number, name, frame, camera, image))
                for number, (name, frame, camera, image) in enumerate(_all_images(captures))
            ]
            labels = [
                msgspec.json.encode(_label_entry(number, image))
                for number, (_, _, _, image) in enumerate(_all_images(captures))
            ]
            files.write(data, *_joined(b'{"images":[', images, b'],"annotations":['), *_joined(b"", labels, b"]}"))
        if self._captures:
            files.write(self._root / "annotations" / "skeleton.txt", _skeleton().encode())

    def _subject(self, sample: HandSample) -> int | None:
        word = sample.subject
        if word is None:
            return None
        return int(word) if _NUMBER.fullmatch(word) else self._subjects.setdefault(word, len(self._subjects))


def _undistorted(sample: HandSample) -> HandSample:
    assert sample.camera is not None
    return seen_by(sample, replace(sample.camera, distortion=())) if sample.camera.distortion else sample


def _place_words(sequence: str | None) -> tuple[str, str]:
    """Number of the capture and name of the sequence: the sample's own where they are the publishers' kind."""
    own = _SEQUENCE.fullmatch(sequence or "")
    if own:
        return str(int(own[1])), own[2]
    return "0", sequence if sequence and re.fullmatch(r"\w+", sequence) else "0000_any"


def _camera_name(capture: _Capture, sample: HandSample) -> str:
    """The camera's name in its capture: the sample's own where it fits and is free; one name per calibration."""
    camera, move = sample.camera, sample.world_from_camera
    assert camera is not None
    rotation = np.eye(3) if move is None else np.array(move.rotation).T
    position = (0.0, 0.0, 0.0) if move is None else move.translation_mm
    calibration = (*position, *rotation.ravel().tolist(), camera.fx, camera.fy, camera.cx, camera.cy)
    rounded = tuple(round(number, 6) for number in calibration)
    own = _VIEW.fullmatch(sample.view or "")
    if own and capture.cameras.get(own[1]) == calibration:
        return own[1]
    if rounded in capture.names:
        return capture.names[rounded]
    name = own[1] if own else f"{len(capture.cameras):06d}"
    free = len(capture.cameras)
    while name in capture.cameras:
        name, free = f"{free:06d}", free + 1
    capture.cameras[name], capture.names[rounded] = calibration, name
    return name


def _world_rows(sample: HandSample) -> tuple[np.ndarray, np.ndarray]:
    """(42, 3) float32 mm in the world, NaN where not known, and (42,) bool: both hands' rows in the source's order."""
    manifest = load_manifest("interhand26m")
    move = sample.world_from_camera or RigidTransform.of(np.eye(3), np.zeros(3))
    assert sample.joints_mm is not None
    valid = (sample.joint_state != ABSENT) & np.isfinite(sample.joints_mm).all(-1)
    points = np.where(valid[:, None], move.apply(sample.joints_mm / manifest.to_mm), np.nan)
    world: np.ndarray = np.full((42, 3), np.nan, dtype=np.float32)
    rows = slice(0, 21) if sample.side == SIDES[0] else slice(21, 42)
    world[rows] = scatter(points, manifest.order, 21)
    return world, np.asarray(np.isfinite(world).all(-1))


def _frame_for(capture: _Capture, sample: HandSample, camera: str, world: np.ndarray) -> int:
    """The frame that holds this hand: that of its moment, unless another hand of that side lies there already."""
    moment: tuple[str, ...] = (sample.moment or sample.key,)
    if sample.world_from_camera is None:
        moment = (*moment, sample.view or "")
    numbers = capture.moments.setdefault(moment, [])
    for number in numbers:
        image = capture.images.get((number, camera))
        apart = np.abs(capture.world_mm[number] - world)
        if (image is None or sample.side not in image.seen) and not (apart > _SAME_HAND_MM).any():
            return number
    own = sample.frame or ""
    number = int(own) if _NUMBER.fullmatch(own) else capture.next_frame
    while number in capture.world_mm:
        number, capture.next_frame = capture.next_frame, capture.next_frame + 1
    numbers.append(number)
    return number


def _calibrations(capture: _Capture) -> dict[str, dict[str, list[float] | list[list[float]]]]:
    cameras = {name: np.array(numbers) for name, numbers in capture.cameras.items()}
    return {
        "campos": {name: numbers[:3].tolist() for name, numbers in cameras.items()},
        "camrot": {name: numbers[3:12].reshape(3, 3).tolist() for name, numbers in cameras.items()},
        "focal": {name: numbers[12:14].tolist() for name, numbers in cameras.items()},
        "princpt": {name: numbers[14:16].tolist() for name, numbers in cameras.items()},
    }


def _frames(name: str, capture: _Capture) -> bytes:
    entries = (
        msgspec.json.encode(str(frame)) + b":" + msgspec.json.encode(_frame_entry(world))
        for frame, world in capture.world_mm.items()
    )
    return b"".join(_joined(msgspec.json.encode(name) + b":{", entries, b"}"))


def _frame_entry(world: np.ndarray) -> dict[str, object]:
    valid = np.isfinite(world).all(-1)
    return {
        "world_coord": np.where(valid[:, None], world, _FILLER).tolist(),
        "joint_valid": valid[:, None].tolist(),
        "hand_type": _hand_type({side for i, side in enumerate(SIDES) if valid[21 * i : 21 * i + 21].any()}),
        "hand_type_valid": True,
    }


def _all_images(captures: dict[str, _Capture]) -> Iterator[tuple[str, int, str, _Image]]:
    for name, capture in captures.items():
        for (frame, camera), image in capture.images.items():
            yield name, frame, camera, image


def _image_entry(number: int, capture: str, frame: int, camera: str, image: _Image) -> dict[str, object]:
    entry: dict[str, object] = {
        "id": number,
        "file_name": image.file,
        "width": image.size[0],
        "height": image.size[1],
        "capture": int(capture),
        "seq_name": image.sequence,
        "camera": camera,
        "frame_idx": frame,
    }
    return entry if image.subject is None else entry | {"subject": image.subject}


def _label_entry(number: int, image: _Image) -> dict[str, object]:
    low, high = image.box_px if np.isfinite(image.box_px).all() else np.zeros((2, 2))
    corner = (low + high) / 2 - (high - low) * _BOX_SCALE / 2
    return {
        "id": number,
        "image_id": number,
        "bbox": [*corner.tolist(), *((high - low) * _BOX_SCALE).tolist()],
        "joint_valid": image.valid[:, None].astype(int).tolist(),
        "hand_type": _hand_type(image.seen),
        "hand_type_valid": 1,
    }


def _hand_type(sides: set[str]) -> str:
    return next(iter(sides)) if len(sides) == 1 else "interacting"


def _joined(head: bytes, items: Iterable[bytes], tail: bytes) -> list[bytes]:
    chunks = [head]
    for item in items:
        chunks += [item, b","]
    return [*(chunks[:-1] if len(chunks) > 1 else chunks), tail]


def _skeleton() -> str:
    """Name, row and row of the parent of all 42 joints, as the publishers' code reads them; the names are ours."""
    joints = load_manifest("interhand26m").joints
    lines = ["# joint_name joint_id parent_joint_id"]
    for offset, side in zip((0, 21), SIDES, strict=True):
        for row, name in enumerate(joints):
            parent = PARENTS[INDEX[name]]
            above = -1 if parent < 0 else joints.index(JOINTS[parent]) + offset
            lines.append(f"{side[0]}_{name} {row + offset} {above}")
    return "\n".join([*lines, ""])
