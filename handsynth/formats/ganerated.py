"""GANerated Hands (Mueller et al., CVPR 2018): rendered left hands made to look real, with and without objects.

Reads and writes ``data/noObject/0001/0001_color_composed.png`` and beside it ``_joint2D.txt``,
``_joint_pos_global.txt`` and ``_crop_params.txt``; writes the normalised ``_joint_pos.txt`` as well. Images are crops
and keep their own camera: K' = scale (K - crop).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats.columns import batched, build_table, camera_rows
from handsynth.formats.format import Field
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    of_side,
    require_fields,
    require_folder,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.textfiles import floats, read_lines
from handsynth.hand.camera import Camera
from handsynth.hand.joints import MIDDLE_MCP, WRIST, gather, scatter
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_color, write_png
from handsynth.imaging.registration import fitted, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings

_PARTS = ("noObject", "withObject")
_FOLDER = re.compile(r"\d{4}")
_FRAME = re.compile(r"\d{4}|[1-9]\d{4,8}")
_SEQUENCE = re.compile(rf"({'|'.join(_PARTS)})/\d{{4}}")
_IMAGE = "color_composed.png"
_NUMBERS = {"joint2D.txt": 42, "joint_pos_global.txt": 63, "crop_params.txt": 3}
_FRAMES_PER_FOLDER = 1024


class GaneratedOptions(Settings, frozen=True, kw_only=True):
    """How the set is split."""

    test_folders: tuple[str, ...] | None = None
    """Folders of the test split in both parts, like 0001; default the manifest's."""


@dataclass(frozen=True)
class _Folder:
    """One folder with its frames, in order."""

    sequence: str
    frames: tuple[str, ...]

    def paths(self, root: Path, frame: str) -> list[Path]:
        """The text files of one frame, in the order of ``_NUMBERS``."""
        return [root / "data" / self.sequence / f"{frame}_{kind}" for kind in _NUMBERS]


class Ganerated:
    """See :class:`handsynth.formats.format.Format`.

    ``write`` keeps a sample's own folder where it is GANerated's, otherwise fills the test folders of noObject with
    test samples and its other folders with the rest, 1024 frames each; its own frame number is kept where that is
    free. Images are drawn as large as they fit into 256 x 256 and resampled where the lens is distorted or its two
    focal lengths differ; right hands are mirrored, projected joints stand in for missing 2-D labels, depth and masks
    are dropped.
    """

    name: ClassVar[str] = "ganerated"
    summary: ClassVar[str] = "GANerated Hands: crops of rendered left hands made to look real, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(),
        "joints_mm": Field(tolerance=1e-3, note="text digits"),
        "joint_state": Field(),
        "keypoints_px": Field(tolerance=1e-3, note="text digits"),
        "keypoint_state": Field(),
        "camera": Field(tolerance=1e-3, note="text digits"),
        "split": Field(),
        "side": Field(note="always left"),
    }
    cropped: ClassVar[bool] = True
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = GaneratedOptions

    def annotations(self, root: Path, options: GaneratedOptions) -> list[Path]:
        return [path for folder in self._folders(root) for frame in folder.frames for path in folder.paths(root, frame)]

    def catalogue(self, root: Path, options: GaneratedOptions) -> Iterator[pa.Table]:
        test = _test_folders(options)
        folders = self._folders(root)
        frames = ((folder, frame) for folder in folders for frame in folder.frames)
        total = sum(len(folder.frames) for folder in folders)
        with progress.task(f"reading annotations of {self.name}", total) as advance:
            for batch in batched(frames):
                rows = np.empty((len(batch), sum(_NUMBERS.values())))
                for row, (folder, frame) in zip(rows, batch, strict=True):
                    row[:] = _read_frame(folder.paths(root, frame))
                    advance()
                yield self._table([(folder.sequence, frame) for folder, frame in batch], rows, test)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        return replace(sample, rgb=require_size(read_color(path, window), sample.camera, path))

    def write(self, root: Path, samples: Iterable[HandSample], options: GaneratedOptions) -> None:
        manifest = load_manifest(self.name)
        places = _Places.of(_test_folders(options))
        texts: list[tuple[str, int, np.ndarray]] = []
        for given in samples:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            sided = of_side(given, manifest.sides[0])
            assert sided.camera is not None
            sample = seen_by(sided, _published(fitted(sided.camera, *manifest.image_size)))
            assert sample.rgb is not None
            sequence, frame = places.place(sample)
            write_png(root / _stem(sequence, f"{frame:04d}", _IMAGE), sample.rgb)
            texts.append((sequence, frame, _numbers(sample)))
        for sequence, frame, numbers in texts:
            parts = _split(numbers.astype(np.float64))
            for kind, part in parts.items():
                files.write(root / _stem(sequence, f"{frame:04d}", kind), _line(part))
            joints = parts["joint_pos_global.txt"].reshape(21, 3)
            files.write(root / _stem(sequence, f"{frame:04d}", "joint_pos.txt"), _line(_normalised(joints)))

    def _folders(self, root: Path) -> list[_Folder]:
        """All folders with frames; every frame has its image and its three text files."""
        require_folder(root, self.name)
        found = []
        for part in _PARTS:
            for name in sorted(filter(_FOLDER.fullmatch, listing(root / "data" / part))):
                place = root / "data" / part / name
                frames = _frames(place)
                if frames:
                    found.append(_Folder(f"{part}/{name}", frames))
        if not found:
            raise nothing_found(f"images like data/noObject/0001/0001_{_IMAGE}", root, self.name)
        return found

    def _table(self, places: list[tuple[str, str]], rows: np.ndarray, test: tuple[str, ...]) -> pa.Table:
        manifest = load_manifest(self.name)
        whole = manifest.camera("original")
        parts = _split(rows)
        crop, scale = parts["crop_params.txt"][:, :2], parts["crop_params.txt"][:, 2:]
        intrinsics = scale * (np.array([whole.fx, whole.fy, whole.cx, whole.cy]) - np.pad(crop, ((0, 0), (2, 0))))
        joints = parts["joint_pos_global.txt"].reshape(-1, 21, 3)
        keys = [f"{sequence}/{frame}" for sequence, frame in places]
        return build_table(
            len(places),
            key=keys,
            sequence=[sequence for sequence, _ in places],
            frame=[frame for _, frame in places],
            moment=keys,
            split=["test" if sequence[-4:] in test else "train" for sequence, _ in places],
            side=manifest.sides[0],
            joints_mm=gather(joints, manifest.order) * manifest.to_mm,
            keypoints_px=gather(parts["joint2D.txt"].reshape(-1, 21, 2), manifest.order),
            camera=camera_rows(intrinsics, *manifest.image_size),
            rgb_file=[_stem(sequence, frame, _IMAGE) for sequence, frame in places],
        )


@dataclass
class _Places:
    """Where a writer puts its frames.

    Attributes:
        free: folders that samples of a split, test or not, may fill next.
        filling: the folders that they fill now.
        taken: frame numbers in use, by sequence.
        highest: the highest of them.
    """

    free: dict[bool, Iterator[str]]
    filling: dict[bool, str] = field(default_factory=dict)
    taken: dict[str, set[int]] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, test: tuple[str, ...]) -> _Places:
        return cls({True: iter(test), False: (name for i in range(1, 10000) if (name := f"{i:04d}") not in test)})

    def place(self, sample: HandSample) -> tuple[str, int]:
        """Sequence and frame number of a sample's files."""
        frame, sequence = sample.frame or "", sample.sequence or ""
        own = _SEQUENCE.fullmatch(sequence) is not None
        if not own:
            sequence = self._folder(sample.split == "test")
        used = self.taken.setdefault(sequence, set())
        keeps = own and _FRAME.fullmatch(frame) is not None and int(frame) not in used
        number = int(frame) if keeps else self.highest.get(sequence, 0) + 1
        used.add(number)
        self.highest[sequence] = max(number, self.highest.get(sequence, 0))
        return sequence, number

    def _folder(self, test: bool) -> str:
        """The sequence of a split that has room."""
        while True:
            sequence = self.filling.get(test)
            if sequence is not None and self.highest.get(sequence, 0) < _FRAMES_PER_FOLDER:
                return sequence
            name = next(self.free[test], None)
            if name is None:
                split = "test" if test else "train"
                raise DataError(
                    sentence(f"room for all {split} samples", "its folders full", "ganerated", "set test_folders")
                )
            self.filling[test] = f"{_PARTS[0]}/{name}"


def _stem(sequence: str, frame: str, kind: str) -> str:
    return f"data/{sequence}/{frame}_{kind}"


def _frames(folder: Path) -> tuple[str, ...]:
    """Frames of a folder, in order.

    Raises:
        DataError: a frame lacks its image or one of its text files.
    """
    kinds: dict[str, set[str]] = {kind: set() for kind in (_IMAGE, *_NUMBERS)}
    for name in listing(folder):
        frame, _, kind = name.partition("_")
        if kind in kinds and _FRAME.fullmatch(frame):
            kinds[kind].add(frame)
    every = set().union(*kinds.values())
    for kind, frames in kinds.items():
        if len(frames) < len(every):
            first = f"{min(every - frames)}_{kind}"
            raise DataError(
                sentence(
                    f"a file *_{kind} for each of the {len(every)} frames",
                    f"{len(frames)} ({first} is the first that lacks)",
                    folder,
                    "extract the rest, or remove what is there of such frames",
                )
            )
    return tuple(sorted(every, key=int))


def _read_frame(paths: list[Path]) -> np.ndarray:
    """(108,) the numbers of one frame's text files, one after the other."""
    parts = []
    for path, count in zip(paths, _NUMBERS.values(), strict=True):
        parts.append(floats(",".join(read_lines(path)).split(","), count, path))
    if parts[-1][2] <= 0:
        raise DataError(sentence("a scale above 0", f"{parts[-1][2]:g}", paths[-1], "extract the archive again"))
    return np.concatenate(parts)


def _split(numbers: np.ndarray) -> dict[str, np.ndarray]:
    """(..., 108) numbers by the file they belong to."""
    bounds = np.cumsum(list(_NUMBERS.values()))[:-1]
    return dict(zip(_NUMBERS, np.split(numbers, bounds, axis=-1), strict=True))


def _published(camera: Camera) -> Camera:
    """The nearest camera that crop parameters can say: square pixels, no distortion."""
    return replace(camera, fy=camera.fx, distortion=())


def _numbers(sample: HandSample) -> np.ndarray:
    """(108,) float32 what the text files of a sample hold."""
    manifest = load_manifest("ganerated")
    whole = manifest.camera("original")
    camera, keypoints = sample.camera, sample.projected()
    assert camera is not None
    assert keypoints is not None
    assert sample.joints_mm is not None
    if sample.keypoints_px is not None:
        keypoints = np.where(np.isfinite(sample.keypoints_px), sample.keypoints_px, keypoints)
    if not np.isfinite(keypoints).all():
        raise DataError(sentence("joints before the camera to write ganerated", "others", f"sample {sample.key}"))
    scale = camera.fx / whole.fx
    crop = [whole.cx - camera.cx / scale, whole.cy - camera.cy / scale, scale]
    joints = scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm
    return np.concatenate([scatter(keypoints, manifest.order, 21).ravel(), joints.ravel(), crop]).astype(np.float32)


def _normalised(joints: np.ndarray) -> np.ndarray:
    """(63,) joints about the middle MCP in lengths from wrist to middle MCP."""
    manifest = load_manifest("ganerated")
    wrist, middle = joints[manifest.order[WRIST]], joints[manifest.order[MIDDLE_MCP]]
    return ((joints - middle) / max(float(np.linalg.norm(wrist - middle)), 1e-9)).ravel()


def _line(numbers: np.ndarray) -> bytes:
    return (",".join(f"{number:.9g}" for number in numbers) + "\n").encode()


def _test_folders(options: GaneratedOptions) -> tuple[str, ...]:
    chosen = load_manifest("ganerated").test if options.test_folders is None else options.test_folders
    for name in chosen:
        if not _FOLDER.fullmatch(name):
            raise UsageError(sentence("folders like 0001", repr(name), "the option test_folders"))
    return chosen
