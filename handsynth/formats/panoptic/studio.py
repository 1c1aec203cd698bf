"""Panoptic Studio: 3-D hands of people in a dome, seen by calibrated HD cameras.

Reads ``SEQUENCE/calibration_SEQUENCE.json``, ``SEQUENCE/hdHand3d/handRecon3D_hd00000100.json`` and
``SEQUENCE/hdImgs/00_05/00_05_00000100.jpg``. Stored joints are cm in the dome's world: X_cam = R X_world + t.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched, build_table, states
from handsynth.formats.jsonfiles import read_json
from handsynth.formats.layout import listing
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import gather
from handsynth.hand.sample import DERIVED
from handsynth.runtime import progress

_FRAME_FILE = re.compile(r"handRecon3D_hd(\d{8,12})\.json")
HD_PANEL = 0
VIEW = re.compile(r"00_(\d{2,9})")
SIDES = ("left", "right")
_BATCH = 256
_ROTATION_TOLERANCE = 1e-3
_MOST_SKEW_PX = 0.1
"""Our cameras know none; this much moves no joint of an image by a tenth of a pixel."""

Triple = tuple[float, float, float]
Side = Annotated[int, msgspec.Meta(ge=1, le=2**16)]
Node = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class _Lens(msgspec.Struct):
    panel: Node
    node: Node
    resolution: tuple[Side, Side]
    K: tuple[Triple, Triple, Triple]
    R: tuple[Triple, Triple, Triple]
    t: tuple[tuple[float], tuple[float], tuple[float]]
    distCoef: tuple[float, float, float, float, float]


class _Calibration(msgspec.Struct):
    cameras: list[_Lens]


class _Hand(msgspec.Struct):
    landmarks: list[float] = []
    validity: list[bool | float] | None = None
    averageScore: list[float] | None = None


class _Person(msgspec.Struct):
    id: int = -1
    left_hand: _Hand | None = None
    right_hand: _Hand | None = None


class _Frame(msgspec.Struct):
    people: list[_Person] | None = None


@dataclass(frozen=True)
class _View:
    """One HD camera of a sequence, and its images: frame -> name of the file."""

    name: str
    camera: Camera
    camera_from_world: RigidTransform
    images: dict[int, str]


@dataclass(frozen=True)
class _Hands:
    """H hands of some frames: frame, (place among the frame's people, their id), side, joints, scores.

    ``world_mm`` (H, 21, 3) is NaN where not valid, ``scores`` (H, 21) where not said; the source's order.
    """

    frames: np.ndarray
    people: list[tuple[int, int]]
    sides: list[str]
    world_mm: np.ndarray
    scores: np.ndarray


def label_files(root: Path) -> list[Path]:
    """Calibrations and hands of all sequences that have images, then the first and last image of each camera.

    Those stand for their folder: a camera whose images are taken later, or more of them, make another catalogue.
    """
    found = []
    for sequence in _sequences(root):
        folder = root / sequence
        images = []
        for view in sorted(filter(VIEW.fullmatch, listing(folder / "hdImgs"))):
            numbered = _images(folder, view)
            ends = sorted({min(numbered), max(numbered)}) if numbered else []
            images += [folder / "hdImgs" / view / numbered[frame] for frame in ends]
        if images:
            found += [calibration_file(folder), *(path for _, path in _frame_files(folder)), *images]
    return found


def catalogue(root: Path) -> Iterator[pa.Table]:
    """All hands of all images.

    Raises:
        DataError: a file is damaged, or images of a camera have no calibration.
    """
    for sequence in _sequences(root):
        folder = root / sequence
        views = [view for view in _views(folder) if view.images]
        if not views:
            continue
        files = _frame_files(folder)
        pictured = set().union(*(view.images for view in views))
        lacking = sum(len(files) - sum(frame in view.images for frame, _ in files) for view in views)
        if lacking:
            progress.say(
                f"{sequence}: {lacking} of {len(files) * len(views)} labelled images of {len(views)} cameras are not "
                "there and are left out"
            )
        files = [(frame, path) for frame, path in files if frame in pictured]
        with progress.task(f"reading annotations of panoptic {sequence}", len(files)) as advance:
            for batch in batched(files, _BATCH):
                hands = _read_hands(batch)
                here = {frame for frame, _ in batch}
                tables = [_view_table(sequence, view, hands) for view in views if not here.isdisjoint(view.images)]
                yield pa.concat_tables(tables)
                advance(len(batch))


def _sequences(root: Path) -> list[str]:
    return [name for name in sorted(listing(root)) if calibration_file(root / name).is_file()]


def calibration_file(folder: Path) -> Path:
    """The calibration of a sequence, by its folder."""
    return folder / f"calibration_{folder.name}.json"


def _frame_files(folder: Path) -> list[tuple[int, Path]]:
    matches = map(_FRAME_FILE.fullmatch, listing(folder / "hdHand3d"))
    return sorted((int(match[1]), folder / "hdHand3d" / match[0]) for match in matches if match)


def _images(folder: Path, view: str) -> dict[int, str]:
    pattern = re.compile(rf"{view}_(\d{{8,12}})\.(?:jpg|png)")
    matches = map(pattern.fullmatch, sorted(listing(folder / "hdImgs" / view)))
    return {int(match[1]): match[0] for match in matches if match}


def _views(folder: Path) -> list[_View]:
    """The HD cameras that have a folder of images, in the order of their names."""
    path = calibration_file(folder)
    to_mm = load_manifest("panoptic").to_mm
    lenses = {f"{lens.panel:02d}_{lens.node:02d}": lens for lens in read_json(path, _Calibration).cameras}
    views = []
    for name in sorted(filter(VIEW.fullmatch, listing(folder / "hdImgs"))):
        lens = lenses.get(name)
        if lens is None or lens.panel != HD_PANEL:
            raise DataError(sentence(f"a calibration of {name}, as hdImgs has", "none", path, "do not mix sequences"))
        turn = np.array(lens.R)
        if np.abs(turn @ turn.T - np.eye(3)).max() > _ROTATION_TOLERANCE or np.linalg.det(turn) < 0:
            raise DataError(sentence(f"a rotation as R of {name}", "a matrix that is none", path, "fetch it again"))
        (fx, skew, cx), (_, fy, cy), _ = lens.K
        if abs(skew) > _MOST_SKEW_PX:
            raise DataError(sentence(f"K of {name} without skew", f"{skew:.3g} px", path, "fetch it again"))
        distortion = lens.distCoef if any(lens.distCoef) else ()
        views.append(
            _View(
                name,
                Camera(fx, fy, cx, cy, *lens.resolution, distortion),
                RigidTransform.of(turn, np.ravel(lens.t) * to_mm),
                _images(folder, name),
            )
        )
    return views


def _read_hands(files: list[tuple[int, Path]]) -> _Hands:
    to_mm = load_manifest("panoptic").to_mm
    frames, people, sides, points, scores = [], [], [], [], []
    for frame, path in files:
        for place, person in enumerate(read_json(path, _Frame).people or []):
            for side, hand in zip(SIDES, (person.left_hand, person.right_hand), strict=True):
                if hand is None or not hand.landmarks:
                    continue
                where = f"{side} hand of person {place} in {path}"
                valid = np.array(_numbers(hand.validity, 21, 1.0, where)) > 0
                stored = np.reshape(_numbers(hand.landmarks, 63, np.nan, where), (21, 3))
                frames.append(frame)
                people.append((place, person.id))
                sides.append(side)
                points.append(np.where(valid[:, None], stored * to_mm, np.nan))
                scores.append(_numbers(hand.averageScore, 21, np.nan, where))
    return _Hands(
        np.array(frames, dtype=np.int64),
        people,
        sides,
        np.array(points).reshape(-1, 21, 3),
        np.array(scores).reshape(-1, 21),
    )


def _numbers(values: list[Any] | None, count: int, fill: float, where: str) -> list[float]:
    if values is None:
        return [fill] * count
    if len(values) != count:
        raise DataError(sentence(f"{count} numbers", str(len(values)), where, "fetch or extract the file again"))
    return [float(value) for value in values]


def _view_table(sequence: str, view: _View, hands: _Hands) -> pa.Table:
    """The hands that have a joint inside an image of this camera."""
    order = load_manifest("panoptic").order
    camera = view.camera
    joints = view.camera_from_world.apply(gather(hands.world_mm, order))
    keypoints = camera.project(joints)
    limits = np.array([camera.width, camera.height]) - 0.5
    with np.errstate(invalid="ignore"):
        inside = ((keypoints >= -0.5) & (keypoints < limits)).all(-1).any(-1)
    inside &= np.isin(hands.frames, list(view.images))
    rows = np.flatnonzero(inside)
    frames = [int(hands.frames[i]) for i in rows]
    people = [hands.people[i] for i in rows]
    sides = [hands.sides[i] for i in rows]
    return build_table(
        len(rows),
        key=[
            f"{sequence}/{view.name}/{frame:08d}-{place}-{side}"
            for frame, (place, _), side in zip(frames, people, sides, strict=True)
        ],
        side=sides,
        subject=[f"{sequence}/{number}" if number >= 0 else None for _, number in people],
        sequence=sequence,
        frame=[str(frame) for frame in frames],
        view=view.name,
        moment=[f"{sequence}/{frame}" for frame in frames],
        joints_mm=joints[rows],
        keypoints_px=keypoints[rows],
        keypoint_state=states(keypoints[rows], DERIVED),
        camera=camera,
        world_from_camera=view.camera_from_world.inverse(),
        extra={"score": gather(hands.scores[rows][..., None], order)[..., 0]},
        rgb_file=[f"{sequence}/hdImgs/{view.name}/{view.images[frame]}" for frame in frames],
    )
