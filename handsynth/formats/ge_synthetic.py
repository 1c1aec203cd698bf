"""Ge et al. (CVPR 2019), synthetic set: rendered left hands, 500 poses seen by 25 cameras in 30 lightings.

Reads and writes ``images/l01/cam01/PREFIX_l01_cam01_.0001.png`` (alpha is the hand's mask) and
``3D_labels/{handGestures,camPosition,val-camera}.txt``. Poses are cm in one world; each pose has its own cameras:
X_camera = (X - t) (Rz Ry Rx) diag(1, -1, -1) for row vectors, K with one focal length and the image's centre.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched, build_table, camera_rows, rigid_rows, states
from handsynth.formats.format import Field, NoOptions
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    of_side,
    require_fields,
    require_files,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.textfiles import floats, named_points, read_lines
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import FIRST_PHALANX, HAND, gather, scatter
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_raw, write_png
from handsynth.imaging.registration import fitted, same_camera, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings

_LIGHT = re.compile(r"l\d{2}")
_CAMERA = re.compile(r"cam(?!00)\d{2}")
_IMAGE = re.compile(r".*_(l\d{2})_(cam(?!00)\d{2})_\.(\d{4}|[1-9]\d{4,8})\.png")
_KEY = re.compile(r"(l\d{2})/(cam(?!00)\d{2})/\d{4,9}")
_LABELS = ("handGestures.txt", "camPosition.txt", "val-camera.txt")
_PREFIX = "hand"
_CAMERAS = 25
_FLIP = np.diag([1.0, -1.0, -1.0])
_OPAQUE = 255
_LAST_HAND_CODE = FIRST_PHALANX + 14
_SAME_MM = 5e-3
_FILL = 0.95
_LOOKING_ALONG_Z = RigidTransform.of(_FLIP, np.zeros(3))


@dataclass(frozen=True)
class _Labels:
    """The text files: (P, 21, 3) world mm in the source's order, and by camera (P, 7) as stored; validation cameras."""

    poses: np.ndarray
    cameras: dict[str, np.ndarray]
    validation: frozenset[str]


class GeSynthetic:
    """See :class:`handsynth.formats.format.Format`.

    Only images that are there give samples, so single lightings and the publishers' small set for a first look can be
    read; folders with fewer images than poses are told. An alpha channel that is opaque all over says nothing of the
    hand and gives no mask. ``write`` keeps a sample's own lighting and camera where its key has them, otherwise uses
    l01, a validation camera for test and validation samples (whose split comes back as val) and another camera for
    the rest. Poses are numbered anew by moment, and every pose's camera rows that no image needs are zero. Images are
    resampled so that the optical axis meets their centre, smaller where the hand would leave the image; right hands
    are mirrored, mask parts become hand, the rest of the mask background, depth is dropped.
    """

    name: ClassVar[str] = "ge_synthetic"
    summary: ClassVar[str] = "Ge et al. 2019: rendered RGB and masks of a left hand from 25 cameras, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(),
        "mask": Field(note="hand without parts"),
        "joints_mm": Field(tolerance=1e-2, note="text digits, one pose for all cameras"),
        "keypoints_px": Field(tolerance=2e-2, note="projected"),
        "camera": Field(tolerance=1e-3),
        "world_from_camera": Field(tolerance=1e-3, note="text digits"),
        "split": Field(note="test comes back as val"),
        "side": Field(note="always left"),
    }
    cropped: ClassVar[bool] = True
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = NoOptions

    def annotations(self, root: Path, options: NoOptions) -> list[Path]:
        paths = require_files([root / "3D_labels" / name for name in _LABELS], root, self.name)
        folders = [root / "images" / light / camera for light, camera in _folders(root)]  # which images there are
        if not folders:
            raise nothing_found("folders like images/l01/cam01 with images", root, self.name)
        return [*paths, *folders]

    def catalogue(self, root: Path, options: NoOptions) -> Iterator[pa.Table]:
        labels = _read_labels(self.annotations(root, options)[: len(_LABELS)])
        for batch in batched(_images(root, labels)):
            yield self._table(batch, labels)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        if inside(root, row["mask_file"]) != path:
            raise DataError(sentence("colour and mask in one file", row["mask_file"], path, "list the images anew"))
        # All of it, whatever the window: whether alpha tells the hand shows in the whole picture only.
        picture = require_size(read_raw(path), sample.camera, path)
        if picture.ndim != 3 or picture.shape[2] != 4 or picture.dtype != np.uint8:
            raise DataError(sentence("an 8-bit image with alpha", f"{picture.shape} {picture.dtype}", path))
        alpha = picture[..., 3]
        mask = np.where(alpha > _OPAQUE // 2, HAND, 0).astype(np.uint8)
        known = bool((alpha < _OPAQUE).any())
        return replace(sample, rgb=np.ascontiguousarray(picture[..., :3]), mask=mask if known else None)

    def write(self, root: Path, samples: Iterable[HandSample], options: NoOptions) -> None:
        manifest = load_manifest(self.name)
        book = _Book(manifest.test)
        for given in samples:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            sided = of_side(given, manifest.sides[0])
            sample = seen_by(sided, _centred(sided))
            assert sample.rgb is not None
            light, camera, pose = book.place(sample)
            alpha = np.full(sample.rgb.shape[:2], _OPAQUE, dtype=np.uint8)
            if sample.mask is not None:
                alpha[(sample.mask < HAND) | (sample.mask > _LAST_HAND_CODE)] = 0
            name = f"{_PREFIX}_{light}_{camera}_.{pose:04d}.png"
            write_png(root / "images" / light / camera / name, np.dstack([sample.rgb, alpha]))
        folder = root / "3D_labels"
        files.write(folder / "handGestures.txt", *(_pose_lines(points) for points in book.poses))
        count = max([_CAMERAS, *(int(camera[3:]) for _, camera in book.cameras)])
        cameras = [f"cam{i:02d}" for i in range(1, count + 1)]
        blocks = (_camera_lines(book.cameras, pose, cameras) for pose in range(1, len(book.poses) + 1))
        files.write(folder / "camPosition.txt", *blocks)
        files.write(folder / "val-camera.txt", "".join(f"{name}\n" for name in manifest.test).encode())

    def _table(self, images: list[tuple[str, str, str, str]], labels: _Labels) -> pa.Table:
        manifest = load_manifest(self.name)
        numbers = np.array([int(pose) - 1 for _, _, pose, _ in images])
        rows = np.stack([labels.cameras[camera][n] for (_, camera, _, _), n in zip(images, numbers, strict=True)])
        width, height = manifest.image_size
        center = np.broadcast_to([width / 2, height / 2], (len(rows), 2))
        cameras = camera_rows(np.concatenate([rows[:, :1], rows[:, :1], center], axis=1), width, height)
        world_from_camera = rotation(rows[:, 4:]) @ _FLIP
        origin = rows[:, 1:4] * manifest.to_mm
        joints = gather(labels.poses[numbers], manifest.order)
        joints = (joints - origin[:, None]) @ world_from_camera
        keypoints = project_rows(joints, cameras)
        paths = [f"images/{light}/{camera}/{name}" for light, camera, _, name in images]
        return build_table(
            len(images),
            key=[f"{light}/{camera}/{pose}" for light, camera, pose, _ in images],
            frame=[pose for _, _, pose, _ in images],
            view=[camera for _, camera, _, _ in images],
            moment=[pose for _, _, pose, _ in images],
            split=["val" if camera in labels.validation else "train" for _, camera, _, _ in images],
            side=manifest.sides[0],
            joints_mm=joints,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=cameras,
            world_from_camera=rigid_rows(world_from_camera, origin),
            rgb_file=paths,
            mask_file=paths,
        )


def rotation(degrees: np.ndarray) -> np.ndarray:
    """(..., 3, 3) matrices Rz Ry Rx of x, y, z Euler angles (..., 3) in degrees, for column vectors."""
    (sx, sy, sz), (cx, cy, cz) = (np.moveaxis(trig(np.deg2rad(degrees)), -1, 0) for trig in (np.sin, np.cos))
    rows = [
        [cy * cz, sx * sy * cz - cx * sz, cx * sy * cz + sx * sz],
        [cy * sz, sx * sy * sz + cx * cz, cx * sy * sz - sx * cz],
        [-sy, sx * cy, cx * cy],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def euler_degrees(matrix: np.ndarray) -> np.ndarray:
    """(3,) x, y, z angles in degrees whose :func:`rotation` is the (3, 3) matrix; z is 0 where y is a right angle."""
    across = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    y = np.arctan2(-matrix[2, 0], across)
    if across < 1e-9:
        return np.rad2deg([np.arctan2(-matrix[1, 2], matrix[1, 1]), y, 0.0])
    return np.rad2deg([np.arctan2(matrix[2, 1], matrix[2, 2]), y, np.arctan2(matrix[1, 0], matrix[0, 0])])


@dataclass
class _Book:
    """What a writer has put down.

    Attributes:
        validation: cameras of the validation split.
        poses: (21, 3) world mm each, source order; the first is number 1.
        cameras: the 7 numbers of a pose's camera.
        numbers: poses that the samples of a moment were given.
        taken: lighting, camera and pose of each image.
    """

    validation: tuple[str, ...]
    poses: list[np.ndarray] = field(default_factory=list)
    cameras: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    taken: set[tuple[str, str, int]] = field(default_factory=set)

    def place(self, sample: HandSample) -> tuple[str, str, int]:
        """Lighting, camera and pose of a sample's image; its labels are kept."""
        own = _KEY.fullmatch(sample.key)
        light = own[1] if own else "l01"
        held_out = sample.split in ("val", "test")
        names = (
            [own[2]]
            if own
            else [name for i in range(1, _CAMERAS + 1) if ((name := f"cam{i:02d}") in self.validation) == held_out]
        )
        place = sample.world_from_camera or _LOOKING_ALONG_Z
        row, points = _camera_row(sample, place), _world_points(sample, place)
        numbers = self.numbers.setdefault(sample.moment or sample.key, [])
        for pose in numbers:
            if np.allclose(self.poses[pose - 1], points, rtol=0, atol=_SAME_MM):
                for camera in names:
                    known = self.cameras.setdefault((pose, camera), row)
                    if (light, camera, pose) not in self.taken and np.allclose(known, row, rtol=0, atol=1e-6):
                        self.taken.add((light, camera, pose))
                        return light, camera, pose
        self.poses.append(points)
        pose = len(self.poses)
        numbers.append(pose)
        self.cameras[pose, names[0]] = row
        self.taken.add((light, names[0], pose))
        return light, names[0], pose


def _folders(root: Path) -> Iterator[tuple[str, str]]:
    """Lightings and cameras that are there, in order."""
    for light in sorted(filter(_LIGHT.fullmatch, listing(root / "images"))):
        for camera in sorted(filter(_CAMERA.fullmatch, listing(root / "images" / light))):
            yield light, camera


def _images(root: Path, labels: _Labels) -> Iterator[tuple[str, str, str, str]]:
    """Lighting, camera, pose and file name of each image, in order; says what part of the set is there.

    Raises:
        DataError: an image lies in another folder than its name says, or has no labels.
    """
    folders = partial = 0
    for light, camera in _folders(root):
        folder = root / "images" / light / camera
        found = []
        for name in listing(folder):
            if not name.endswith(".png"):
                continue
            match = _IMAGE.fullmatch(name)
            if match is None or (match[1], match[2]) != (light, camera):
                wanted = f"images like PREFIX_{light}_{camera}_.0001.png"
                raise DataError(sentence(wanted, repr(name), folder, "put it where it belongs"))
            pose = int(match[3])
            row = labels.cameras.get(camera)
            if row is None or not 1 <= pose <= len(row) or row[pose - 1, 0] <= 0:
                counts = f"{len(labels.poses)} poses and {len(labels.cameras)} cameras in 3D_labels"
                raise DataError(sentence(f"an image of the {counts}", name, folder, "do not mix copies"))
            found.append((pose, light, camera, match[3], name))
        folders += 1
        partial += len(found) < len(labels.poses)
        for _, *image in sorted(found):
            yield (image[0], image[1], image[2], image[3])
    if partial:
        count = len(labels.poses)
        progress.say(f"ge_synthetic: {partial} of {folders} folders hold fewer images than the {count} labelled poses")


def _read_labels(paths: list[Path]) -> _Labels:
    manifest = load_manifest("ge_synthetic")
    pose_file, camera_file, validation_file = paths
    lines = read_lines(pose_file)
    size = len(manifest.source_words)
    if not lines or len(lines) % size:
        raise DataError(sentence(f"{size} lines a pose", f"{len(lines)} lines", pose_file, "fetch the file again"))
    poses = np.stack(
        [
            named_points(lines[i : i + size], manifest.source_words, f"pose {i // size + 1} of {pose_file}")
            for i in range(0, len(lines), size)
        ]
    )
    cameras, validation = _read_cameras(camera_file, len(poses)), read_lines(validation_file)
    for name in validation:
        if name not in cameras:
            raise DataError(sentence("names of cameras in camPosition.txt", repr(name[:40]), validation_file))
    return _Labels(poses * manifest.to_mm, cameras, frozenset(validation))


def _read_cameras(path: Path, poses: int) -> dict[str, np.ndarray]:
    """By camera (P, 7): focal px, position cm, Euler angles in degrees; a focal length of 0 has no image.

    Raises:
        DataError: a camera is missing in one of the poses, or a line does not hold 7 finite numbers.
    """
    rows: dict[str, list[np.ndarray]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        name, *words = line.split()
        if not _CAMERA.fullmatch(name):
            raise DataError(sentence("a camera like cam01", repr(name[:40]), f"line {number} of {path}"))
        rows.setdefault(name, []).append(floats(words, 7, f"line {number} of {path}"))
    for name, found in rows.items():
        if len(found) != poses:
            wanted = f"{poses} lines of {name}, one for each pose of handGestures.txt"
            raise DataError(sentence(wanted, str(len(found)), path, "fetch the file again"))
    return {name: np.stack(found) for name, found in rows.items()}


def _centred(sample: HandSample) -> Camera:
    """The camera that an image of the set has: one focal length, the principal point at the centre, hand inside."""
    manifest = load_manifest("ge_synthetic")
    width, height = manifest.image_size
    assert sample.camera is not None
    assert sample.joints_mm is not None
    own = fitted(sample.camera, width, height)
    same = Camera(own.fx, own.fx, width / 2, height / 2, width, height)
    if same_camera(own, same):
        return same
    ahead = sample.joints_mm[sample.joints_mm[:, 2] > 0].astype(np.float64)
    reach = float(np.abs(ahead[:, :2] / ahead[:, 2:]).max(initial=1e-6))
    focal = min(own.fx, _FILL * width / 2 / reach)
    return replace(same, fx=focal, fy=focal)


def _camera_row(sample: HandSample, place: RigidTransform) -> np.ndarray:
    """(7,) focal px, position cm, Euler angles in degrees."""
    assert sample.camera is not None
    position = np.array(place.translation_mm) / load_manifest("ge_synthetic").to_mm
    return np.array([sample.camera.fx, *position, *euler_degrees(np.array(place.rotation) @ _FLIP)])


def _world_points(sample: HandSample, place: RigidTransform) -> np.ndarray:
    """(21, 3) world mm in the source's order."""
    assert sample.joints_mm is not None
    return scatter(place.apply(sample.joints_mm), load_manifest("ge_synthetic").order, 21)


def _pose_lines(points_mm: np.ndarray) -> bytes:
    manifest = load_manifest("ge_synthetic")
    rows = zip(manifest.source_words, points_mm / manifest.to_mm, strict=True)
    return ("\n" + "".join(f"{name} {x:.10g} {y:.10g} {z:.10g}\n" for name, (x, y, z) in rows)).encode()


def _camera_lines(rows: Mapping[tuple[int, str], np.ndarray], pose: int, cameras: list[str]) -> bytes:
    empty = np.zeros(7)
    lines = (
        " ".join([name, *(f"{number:.10g}" for number in rows.get((pose, name), empty)), "\n"]) for name in cameras
    )
    return ("\n" + "".join(lines)).encode()
