"""DexYCB (Chao et al., CVPR 2021): people grasp objects before eight RGB-D cameras, one hand in each sequence.

Reads and writes ``20200709-subject-01/20200709_141754/meta.yml``, below it ``836212060125/color_000000.jpg``,
``aligned_depth_to_color_000000.png`` and ``labels_000000.npz``, and ``calibration/``. Joints are metres in the camera
of each view; depth is mm, registered to colour.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.arrayfiles import read_npz
from handsynth.formats.columns import build_table, camera_rows, rigid_rows
from handsynth.formats.depthfiles import read_depth16
from handsynth.formats.dexycb_rules import (
    HAND_CODE,
    NOT_LABELLED,
    SEQUENCE,
    SEQUENCES,
    Setup,
    index_of,
    intrinsics_file,
    official_split,
)
from handsynth.formats.dexycb_writer import DexYcbWriter
from handsynth.formats.format import Field
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    require_files,
    require_folder,
    require_names,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.yamlfiles import read_yaml
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import BACKGROUND, HAND, gather
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_color
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

_SUBJECT = re.compile(r"\d{8}-subject-\d\d")
_SERIAL = re.compile(r"\d{12}")
_LABELS = re.compile(r"labels_\d{6}\.npz")


class DexYcbOptions(Settings, frozen=True, kw_only=True):
    """Which of the official splits."""

    split: Setup = "s0"
    """Unseen in the test: s0 nothing in particular, s1 subjects, s2 cameras, s3 grasped objects."""


class _Meta(msgspec.Struct):
    """What is read of ``meta.yml``."""

    num_frames: int
    mano_sides: list[Literal["left", "right"]]
    extrinsics: str


class _Intrinsics(msgspec.Struct):
    fx: float
    fy: float
    ppx: float
    ppy: float


class _Lenses(msgspec.Struct):
    color: _Intrinsics


class _Extrinsics(msgspec.Struct):
    extrinsics: dict[str, list[float]]


@dataclass(frozen=True)
class _Sequence:
    """One folder; ``place`` is its place among its subject's, None where the subject has not all of them."""

    subject: str
    name: str
    place: int | None

    @property
    def path(self) -> str:
        return f"{self.subject}/{self.name}"


class DexYcb:
    """See :class:`handsynth.formats.format.Format`.

    The mask knows the hand (1) only: objects count as background. MANO parameters and poses of objects are not read.

    ``write`` keeps a sample's subject, sequence, frame and camera where they are DexYCB's and agree with its split;
    otherwise it makes one sequence for each split and side, gives each view a camera of its own, and numbers frames
    by moment. A camera keeps the intrinsics of its first sample where that is 640 x 480 px, else it gets the
    manifest's nominal ones; other samples are resampled. Hands of unknown side are called right. So that each
    sequence has the place that its split asks for, folders without frames fill every subject up to 100. MANO
    parameters are zero (the publishers' sign for none), ``seg`` is left out where a sample has no mask, the frame of
    the tag is taken to be the common frame, forearms and other bodies are dropped.
    """

    name: ClassVar[str] = "dexycb"
    summary: ClassVar[str] = "DexYCB: real RGB-D of hands with objects, 8 calibrated cameras, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "depth_mm": Field(tolerance=0.5, note="whole mm"),
        "mask": Field(note="the hand as a whole"),
        "joints_mm": Field(tolerance=1e-3, note="float32 metres"),
        "joint_state": Field(),
        "keypoints_px": Field(),
        "camera": Field(tolerance=1e-3),
        "world_from_camera": Field(),
        "split": Field(),
        "side": Field(),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = DexYcbOptions

    def annotations(self, root: Path, options: DexYcbOptions) -> list[Path]:
        require_folder(root, self.name)
        found, serials = [], set()
        for sequence in _sequences(root):
            folder = root / sequence.path
            found += require_files([folder / "meta.yml"], root, self.name)
            for serial in _serials(folder):
                serials.add(serial)
                found += [folder / serial / name for name in _labels(listing(folder / serial))]
        if not serials:
            raise nothing_found("folders like 20200709-subject-01 with sequences and cameras in them", root, self.name)
        intrinsics = [intrinsics_file(root, serial) for serial in sorted(serials)]
        extrinsics = sorted((root / "calibration").glob("extrinsics_*/extrinsics.yml"))
        return [*require_files(intrinsics, root, self.name), *extrinsics, *found]

    def catalogue(self, root: Path, options: DexYcbOptions) -> Iterator[pa.Table]:
        require_folder(root, self.name)
        sequences = list(_sequences(root))
        cameras: dict[str, Camera] = {}
        extrinsics: dict[str, dict[str, RigidTransform]] = {}
        lacking = promised = 0
        with progress.task(f"reading annotations of {self.name}", len(sequences)) as advance:
            for sequence in sequences:
                folder = root / sequence.path
                meta = read_yaml(folder / "meta.yml", _Meta)
                if not meta.mano_sides:
                    raise DataError(sentence("the side of the hand in mano_sides", "none", folder / "meta.yml"))
                if meta.extrinsics not in extrinsics:
                    extrinsics[meta.extrinsics] = _read_extrinsics(root, meta.extrinsics)
                serials = _serials(folder)
                for serial in serials:
                    if serial not in cameras:
                        cameras[serial] = _read_camera(intrinsics_file(root, serial))
                moves = extrinsics[meta.extrinsics]
                for _, group in groupby(serials, moves.__contains__):
                    table = self._views_table(root, sequence, list(group), meta, cameras, moves, options.split)
                    lacking -= len(table)
                    if len(table):
                        yield table
                lacking += meta.num_frames * len(serials)
                promised += meta.num_frames * len(serials)
                advance()
        if lacking > 0:
            progress.say(f"{self.name}: {lacking} of the {promised} frames that meta.yml files count are not here")
        unplaced = {sequence.subject for sequence in sequences if sequence.place is None}
        if unplaced and options.split in ("s0", "s3"):
            progress.say(
                f"{self.name}: {', '.join(sorted(unplaced))} without all {SEQUENCES} sequences: which split of "
                f"{options.split} theirs are in is not known"
            )

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        camera = sample.camera
        assert camera is not None
        path = inside(root, row["rgb_file"])
        rgb = require_size(read_color(path, window), camera, path)
        depth = mask = None
        if row["depth_file"] is not None:
            depth = read_depth16(inside(root, row["depth_file"]), camera, window)
        if row["mask_file"] is not None:
            path = inside(root, row["mask_file"])
            seg = read_npz(path, [], optional=["seg"]).get("seg")
            if seg is not None:
                if seg.ndim != 2 or seg.dtype != np.uint8:
                    raise DataError(sentence("seg of 8-bit codes", f"{seg.shape} {seg.dtype}", path))
                seg = require_size(seg, camera, path)
                mask = np.where(seg == HAND_CODE, HAND, BACKGROUND).astype(np.uint8)
        return replace(sample, rgb=rgb, depth_mm=depth, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: DexYcbOptions) -> None:
        DexYcbWriter(root, options.split).write(samples)

    def _views_table(
        self,
        root: Path,
        sequence: _Sequence,
        serials: list[str],
        meta: _Meta,
        cameras: Mapping[str, Camera],
        moves: Mapping[str, RigidTransform],
        setup: Setup,
    ) -> pa.Table:
        manifest = load_manifest(self.name)
        subject = index_of("subjects", sequence.subject)
        frames: list[tuple[str, str]] = []
        depth: list[bool] = []
        points, pixels = [], []
        for serial in serials:
            folder = root / sequence.path / serial
            names = listing(folder)
            labels = _labels(names)
            numbers = [name[7:13] for name in labels]
            if numbers and int(numbers[-1]) >= meta.num_frames:
                found = f"frame {numbers[-1]}"
                raise DataError(sentence(f"{meta.num_frames} frames, as meta.yml says", found, folder))
            require_names((f"color_{number}.jpg" for number in numbers), names, folder, "the labels_*.npz beside them")
            bare = sum(name.startswith("color_") for name in names) - len(numbers)
            if bare:
                raise DataError(
                    sentence("a labels_*.npz for each image", f"{bare} images without", folder, "extract the rest")
                )
            has_depth = any(name.startswith("aligned_depth_to_color_") for name in names)
            if has_depth:
                wanted = (f"aligned_depth_to_color_{number}.png" for number in numbers)
                require_names(wanted, names, folder, "the labels_*.npz beside them")
            for name, number in zip(labels, numbers, strict=True):
                joints, keypoints = _read_labels(folder / name)
                points.append(joints)
                pixels.append(keypoints)
                frames.append((serial, number))
                depth.append(has_depth)
        place = f"{sequence.path}/{{0}}/"
        intrinsics = np.array([[c.fx, c.fy, c.cx, c.cy] for c in (cameras[serial] for serial, _ in frames)])
        world = [moves[serial] for serial, _ in frames] if serials[0] in moves else None

        def words(pattern: str) -> list[str]:
            return [pattern.format(*frame) for frame in frames]

        return build_table(
            len(frames),
            key=words(f"{place}{{1}}"),
            side=meta.mano_sides[0],
            subject=sequence.subject,
            sequence=sequence.name,
            frame=words("{1}"),
            view=words("{0}"),
            moment=words(f"{sequence.path}/{{1}}"),
            split=[official_split(setup, subject, index_of("serials", serial), sequence.place) for serial, _ in frames],
            joints_mm=gather(np.array(points).reshape(-1, 21, 3), manifest.order) * manifest.to_mm,
            keypoints_px=gather(np.array(pixels).reshape(-1, 21, 2), manifest.order),
            camera=camera_rows(intrinsics.reshape(-1, 4), *manifest.image_size),
            world_from_camera=None
            if world is None
            else rigid_rows(
                np.array([move.rotation for move in world]).reshape(-1, 3, 3),
                np.array([move.translation_mm for move in world]).reshape(-1, 3),
            ),
            rgb_file=words(f"{place}color_{{1}}.jpg"),
            depth_file=[
                f"{sequence.path}/{serial}/aligned_depth_to_color_{number}.png" if has else None
                for (serial, number), has in zip(frames, depth, strict=True)
            ],
            mask_file=words(f"{place}labels_{{1}}.npz"),
        )


def _sequences(root: Path) -> Iterator[_Sequence]:
    known = load_manifest("dexycb").groups["subjects"]
    for subject in sorted(name for name in listing(root) if _SUBJECT.fullmatch(name)):
        if subject not in known:
            raise DataError(sentence(f"subjects {known[0]} to {known[-1]}", subject, root, "keep other folders apart"))
        names = sorted(name for name in listing(root / subject) if SEQUENCE.fullmatch(name))
        whole = len(names) == SEQUENCES
        yield from (_Sequence(subject, name, i if whole else None) for i, name in enumerate(names))


def _serials(folder: Path) -> list[str]:
    """Cameras below a sequence.

    Raises:
        DataError: one is not among the eight.
    """
    known = load_manifest("dexycb").groups["serials"]
    found = sorted(name for name in listing(folder) if _SERIAL.fullmatch(name))
    other = [serial for serial in found if serial not in known]
    if other:
        raise DataError(sentence(f"cameras {known[0]} to {known[-1]}", other[0], folder, "keep other folders apart"))
    return found


def _labels(names: frozenset[str]) -> list[str]:
    return sorted(name for name in names if _LABELS.fullmatch(name))


def _read_camera(path: Path) -> Camera:
    color = read_yaml(path, _Lenses).color
    numbers = (color.fx, color.fy, color.ppx, color.ppy)
    if not np.isfinite(numbers).all() or min(color.fx, color.fy) <= 0:
        raise DataError(sentence("finite intrinsics", str(numbers), path, "fetch the file again"))
    return Camera(*numbers, *load_manifest("dexycb").image_size)


def _read_extrinsics(root: Path, name: str) -> dict[str, RigidTransform]:
    """Common frame from camera by serial; empty where the calibration is not there."""
    path = inside(root, f"calibration/extrinsics_{name}/extrinsics.yml")
    if not path.is_file():
        return {}
    moves = {}
    for serial, numbers in read_yaml(path, _Extrinsics).extrinsics.items():
        matrix = np.array(numbers)
        rigid = matrix.shape == (12,) and np.isfinite(matrix).all()
        matrix = matrix.reshape(3, 4) if rigid else np.zeros((3, 4))
        if not np.allclose(matrix[:, :3] @ matrix[:, :3].T, np.eye(3), atol=1e-3):
            raise DataError(sentence(f"a rigid 3 x 4 transform of {serial}", f"{len(numbers)} other numbers", path))
        moves[serial] = RigidTransform.of(matrix[:, :3], matrix[:, 3] * 1000)
    return moves


def _read_labels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(21, 3) m and (21, 2) px; NaN where the frame is not labelled.

    Raises:
        MissingError, DataError: the file is not there, or not of the published shape.
    """
    arrays = read_npz(path, ["joint_3d", "joint_2d"])
    found = []
    for name, size in (("joint_3d", 3), ("joint_2d", 2)):
        points = arrays[name]
        if points.shape != (1, 21, size) or points.dtype.kind != "f" or not np.isfinite(points).all():
            shape = f"{points.shape} of {points.dtype}"
            raise DataError(sentence(f"{name} of shape (1, 21, {size}), all finite", shape, path, "fetch it again"))
        none = bool((points == NOT_LABELLED).all())
        found.append(np.full((21, size), np.nan) if none else points[0].astype(np.float64))
    return found[0], found[1]
