"""MHP (Gomez-Donoso et al., 2019): right hands before four calibrated webcams, labelled by a Leap Motion.

Reads and writes ``annotated_frames/data_1/0_webcam_1.jpg``, ``0_joints.txt`` beside it and
``calibrations/data_1/webcam_1/{rvec,tvec}.pkl``; ``augmented_samples`` where asked. Labels lie in one world per folder
and come to each webcam by X_camera = R(rvec) X_world + tvec. The source's palm position stays in ``extra["palm_mm"]``
and the wrist is derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from scipy.spatial.transform import Rotation

from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats.columns import build_table, rigid_rows, states
from handsynth.formats.format import Field
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    of_side,
    points_with_palm,
    require_fields,
    require_files,
    require_folder,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.pickles import is_small, read_pickle, write_pickle
from handsynth.formats.textfiles import named_points, read_lines
from handsynth.hand.camera import RigidTransform
from handsynth.hand.joints import INDEX, WRIST, gather
from handsynth.hand.pose import wrist_from_palm
from handsynth.hand.rows import from_row
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color, write_jpeg
from handsynth.imaging.registration import seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings

_FOLDER = re.compile(r"data_([1-9]\d*)")
_IMAGE = re.compile(r"(0|[1-9]\d*)_webcam_([1-4])\.jpg")
_LABELS = re.compile(r"(0|[1-9]\d*)_joints\.txt")
_WEBCAMS = (1, 2, 3, 4)
_PARTS = {"annotated": "annotated_frames", "augmented": "augmented_samples"}
_NORMAL = "PALM_NORMAL"
_RING_MCP = INDEX["ring_mcp"]
_SAME_MM = 5e-3
_NO_MOVE = RigidTransform.of(np.zeros(3), np.zeros(3))


class MhpOptions(Settings, frozen=True, kw_only=True):
    """Which images, and how they are split."""

    images: Literal["annotated", "augmented", "both"] = "annotated"
    """The frames; their altered copies, which share labels and moments with them; or both."""
    test_folders: tuple[str, ...] | None = None
    """Folders of the test split, like data_12; default the manifest's."""


@dataclass(frozen=True)
class _Recording:
    """One folder: its images as (part, frame, webcam), frame by frame, and the frames that have labels."""

    name: str
    images: tuple[tuple[str, int, int], ...]
    labelled: tuple[int, ...]


class Mhp:
    """See :class:`handsynth.formats.format.Format`.

    Only images that are there give samples; how many webcam images lack is told. An image without labels gives a
    sample without joints. ``write`` keeps a sample's own folder, frame and webcam where they are MHP's and free;
    otherwise it puts test samples into the first test folder and others into the first folder that is none, numbers
    frames by moment, and gives each camera of a rig a webcam of its own. A fifth camera of a folder gets frames of its
    own, seen by webcam_1 from another place of the world. Images are resampled into the webcams' camera with its
    distortion, left hands are mirrored, the palm position is derived from the wrist where it is not known, the palm's
    normal from the knuckles (of unknown sign); depth and masks are dropped.
    """

    name: ClassVar[str] = "mhp"
    summary: ClassVar[str] = "MHP: real RGB of a right hand from four webcams, 20 joints and a palm position"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "joints_mm": Field(tolerance=1e-2, note="the wrist is derived from the palm position"),
        "keypoints_px": Field(tolerance=2e-2, note="projected"),
        "camera": Field(tolerance=1e-3),
        "world_from_camera": Field(tolerance=1e-3, note="of the first four cameras of a folder"),
        "split": Field(),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = MhpOptions

    def annotations(self, root: Path, options: MhpOptions) -> list[Path]:
        found: list[Path] = []
        for recording in self._recordings(root, options):
            webcams = sorted({webcam for _, _, webcam in recording.images})
            folder = root / "calibrations" / recording.name
            vectors = [folder / f"webcam_{webcam}" / f"{name}.pkl" for webcam in webcams for name in ("rvec", "tvec")]
            found += require_files(vectors, root, self.name)
            found += [_labels(root, recording.name, frame) for frame in recording.labelled]
            parts = sorted({part for part, _, _ in recording.images})
            found += [root / part / recording.name for part in parts]  # which images there are
        return found

    def catalogue(self, root: Path, options: MhpOptions) -> Iterator[pa.Table]:
        recordings = self._recordings(root, options)
        frames = sum(len(recording.labelled) for recording in recordings)
        images = sum(part == _PARTS["annotated"] for recording in recordings for part, _, _ in recording.images)
        if options.images != "augmented" and images < frames * len(_WEBCAMS):
            progress.say(f"{self.name}: {images} of {frames * len(_WEBCAMS)} webcam images are there")
        with progress.task(f"reading annotations of {self.name}", frames) as advance:
            for recording in recordings:
                words = load_manifest(self.name).source_words
                world = np.full((len(recording.labelled), 21, 3), np.nan)
                for row, frame in enumerate(recording.labelled):
                    path = _labels(root, recording.name, frame)
                    world[row] = named_points(read_lines(path), words, path, frozenset({_NORMAL}))
                    advance()
                yield self._table(root, recording, world, _test_folders(options))

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        return replace(sample, rgb=require_size(read_color(path, window), sample.camera, path))

    def write(self, root: Path, samples: Iterable[HandSample], options: MhpOptions) -> None:
        manifest = load_manifest(self.name)
        test = _test_folders(options)
        train = next(name for number in range(1, len(test) + 2) if (name := f"data_{number}") not in test)
        folders: dict[str, _Folder] = {}
        for given in samples:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            sample = seen_by(of_side(given, manifest.sides[0]), manifest.camera("webcam"))
            assert sample.rgb is not None
            own = sample.sequence or ""
            name = own if _FOLDER.fullmatch(own) else test[0] if sample.split == "test" and test else train
            part = _PARTS["augmented" if sample.key.startswith("augmented/") else "annotated"]
            frame, webcam = folders.setdefault(name, _Folder()).place(sample, part)
            write_jpeg(root / _image(part, name, frame, webcam), sample.rgb)
        for name, folder in folders.items():
            for webcam, world_from_camera in folder.places.items():
                move = world_from_camera.inverse()
                vectors = {
                    "rvec": Rotation.from_matrix(np.array(move.rotation)).as_rotvec(),
                    "tvec": np.array(move.translation_mm),
                }
                for vector, value in vectors.items():
                    path = root / "calibrations" / name / f"webcam_{webcam}" / f"{vector}.pkl"
                    write_pickle(path, value.reshape(3, 1))
            for frame, points in folder.world.items():
                files.write(_labels(root, name, frame), _joint_lines(points).encode())

    def _recordings(self, root: Path, options: MhpOptions) -> list[_Recording]:
        require_folder(root, self.name)
        wanted = [options.images] if options.images != "both" else list(_PARTS)
        names = sorted(filter(_FOLDER.fullmatch, listing(root / _PARTS["annotated"])), key=lambda name: int(name[5:]))
        found = []
        for name in names:
            labelled = sorted(map(int, _matches(_LABELS, root / _PARTS["annotated"] / name)))
            images = sorted(
                (_PARTS[part], int(frame), int(webcam))
                for part in wanted
                for frame, webcam in _matches(_IMAGE, root / _PARTS[part] / name)
            )
            if images:
                found.append(_Recording(name, tuple(images), tuple(labelled)))
        if not any(recording.labelled for recording in found):
            parts = " or ".join(_PARTS[part] for part in wanted)
            expected = f"webcam images below {parts}/data_1 and its kin, with annotated_frames/data_1/0_joints.txt"
            raise nothing_found(expected, root, self.name)
        return found

    def _table(self, root: Path, recording: _Recording, world: np.ndarray, test: tuple[str, ...]) -> pa.Table:
        manifest = load_manifest(self.name)
        name, count = recording.name, len(recording.images)
        row_of = {frame: row for row, frame in enumerate(recording.labelled)}
        rows = np.array([row_of.get(frame, -1) for _, frame, _ in recording.images])
        webcams = np.array([webcam for _, _, webcam in recording.images])
        # One more row, of NaN, for images without labels: its number is -1.
        world = np.concatenate([world, np.full((1, 21, 3), np.nan)]) * manifest.to_mm
        points = np.empty((count, 21, 3))
        places = np.empty((count, 12))
        for webcam in np.unique(webcams):
            here = webcams == webcam
            move = _read_calibration(root / "calibrations" / name / f"webcam_{webcam}")
            points[here] = move.apply(world[rows[here]])
            back = move.inverse()
            places[here] = rigid_rows(np.array([back.rotation]), np.array([back.translation_mm]))
        palm = points[:, manifest.joints.index("palm")]
        joints = gather(points, manifest.order)
        joints[:, WRIST] = wrist_from_palm(palm, joints[:, _RING_MCP])
        joint_state = states(joints)
        joint_state[:, WRIST] = np.where(joint_state[:, WRIST], DERIVED, 0)
        keypoints = manifest.camera("webcam").project(joints)
        paths = [_image(part, name, frame, webcam) for part, frame, webcam in recording.images]
        copies = ["augmented/" if part == _PARTS["augmented"] else "" for part, _, _ in recording.images]
        return build_table(
            count,
            key=[f"{copy}{name}/{Path(path).stem}" for copy, path in zip(copies, paths, strict=True)],
            sequence=name,
            frame=[str(frame) for _, frame, _ in recording.images],
            view=[f"webcam_{webcam}" for webcam in webcams],
            moment=[f"{name}/{frame}" for _, frame, _ in recording.images],
            split="test" if name in test else "train",
            side=manifest.sides[0],
            joints_mm=joints,
            joint_state=joint_state,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=manifest.camera("webcam"),
            world_from_camera=places,
            extra={"palm_mm": palm},
            rgb_file=paths,
        )


@dataclass
class _Folder:
    """What a writer has put into one data folder.

    Attributes:
        places: world from camera of each webcam in use.
        world: (21, 3) mm points of each frame, source order.
        frames: numbers that the samples of a moment were given.
        taken: part, frame and webcam of each image.
    """

    places: dict[int, RigidTransform] = field(default_factory=dict)
    world: dict[int, np.ndarray] = field(default_factory=dict)
    frames: dict[str, list[int]] = field(default_factory=dict)
    taken: set[tuple[str, int, int]] = field(default_factory=set)
    fresh: int = 0

    def place(self, sample: HandSample, part: str) -> tuple[int, int]:
        """Frame and webcam of a sample's image; its labels are kept."""
        own_place = sample.world_from_camera or _NO_MOVE
        webcam = self._webcam(sample.view or "", own_place)
        world = self.places.setdefault(webcam, own_place).apply(points_with_palm(sample, load_manifest("mhp")))
        numbers = self.frames.setdefault(sample.moment or sample.key, [])
        for number in numbers:
            same = np.allclose(self.world[number], world, rtol=0, atol=_SAME_MM)
            if same and (part, number, webcam) not in self.taken:
                break
        else:
            number = self._number(sample)
            numbers.append(number)
            self.world[number] = world
        self.taken.add((part, number, webcam))
        return number, webcam

    def _webcam(self, view: str, place: RigidTransform) -> int:
        """The sample's own webcam, one at the same place, a free one; at last the first, whose world then moves."""
        fitting = [webcam for webcam, known in self.places.items() if _same_place(known, place)]
        fitting += [webcam for webcam in _WEBCAMS if webcam not in self.places]
        own = [webcam for webcam in fitting if view == f"webcam_{webcam}"]
        return [*own, *fitting, _WEBCAMS[0]][0]

    def _number(self, sample: HandSample) -> int:
        frame = sample.frame or ""
        own = _FOLDER.fullmatch(sample.sequence or "") and re.fullmatch(r"0|[1-9]\d{0,8}", frame)
        if own and int(frame) not in self.world:
            return int(frame)
        while self.fresh in self.world:
            self.fresh += 1
        return self.fresh


def _matches(pattern: re.Pattern[str], folder: Path) -> list[Any]:
    """The groups of all names in a folder that are of the pattern."""
    return [
        match[1] if pattern.groups == 1 else match.groups()
        for match in map(pattern.fullmatch, listing(folder))
        if match
    ]


def _labels(root: Path, name: str, frame: int) -> Path:
    return root / _PARTS["annotated"] / name / f"{frame}_joints.txt"


def _image(part: str, name: str, frame: int, webcam: int) -> str:
    return f"{part}/{name}/{frame}_webcam_{webcam}.jpg"


def _same_place(a: RigidTransform, b: RigidTransform) -> bool:
    corners = 1000 * np.concatenate([np.eye(3), np.zeros((1, 3))])
    return bool(np.allclose(a.apply(corners), b.apply(corners), rtol=0, atol=_SAME_MM / 5))


def _read_calibration(folder: Path) -> RigidTransform:
    """Camera from world."""
    vectors = []
    for name in ("rvec", "tvec"):
        path = folder / f"{name}.pkl"
        value = read_pickle(path)
        try:
            vector = np.asarray(value if is_small(value) else (), dtype=np.float64).ravel()
        except (TypeError, ValueError, OverflowError):
            vector = np.empty(0)
        if vector.shape != (3,) or not np.isfinite(vector).all():
            found = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise DataError(sentence(f"{name} of 3 finite numbers", found, path, "extract the archive again"))
        vectors.append(vector)
    return RigidTransform.of(vectors[0], vectors[1])


def _joint_lines(points: np.ndarray) -> str:
    """The 22 lines of a label file; the normal is that of the plane through palm, index and little finger's base."""
    manifest = load_manifest("mhp")
    palm, index, pinky = (points[manifest.joints.index(name)] for name in ("palm", "index_mcp", "pinky_mcp"))
    normal = np.cross(index - palm, pinky - palm)
    normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
    rows = zip((*manifest.source_words, _NORMAL), [*(points / manifest.to_mm), normal], strict=True)
    return "".join(f"{name} {x:.6f} {y:.6f} {z:.6f}\n" for name, (x, y, z) in rows)


def _test_folders(options: MhpOptions) -> tuple[str, ...]:
    chosen = load_manifest("mhp").test if options.test_folders is None else options.test_folders
    for name in chosen:
        if not _FOLDER.fullmatch(name):
            raise UsageError(sentence("folders like data_12", repr(name), "the option test_folders"))
    return chosen
