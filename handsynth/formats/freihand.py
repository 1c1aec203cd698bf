"""FreiHAND (Zimmermann et al., ICCV 2019): colour crops of right hands, four appearance versions of every training one.

Reads and writes ``training/rgb/00000000.jpg``, ``training/mask/00000000.jpg``, ``training_K.json``,
``training_xyz.json`` and, where they are there, ``training_scale.json`` and the same for ``evaluation``. With n
annotated samples, image i + n v is version v of sample i; all versions of a sample share its moment and its mask.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, camera_rows, intrinsics, stacked, states
from handsynth.formats.format import Field
from handsynth.formats.jsonfiles import read_json, write_json
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    of_side,
    require_fields,
    require_files,
    require_folder,
    require_names,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera
from handsynth.hand.joints import FIRST_PHALANX, HAND, MIDDLE_MCP, MIDDLE_PIP, gather, scatter
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color, read_raw, write_jpeg
from handsynth.imaging.registration import fitted, same_camera, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

Version = Literal["gs", "hom", "sample", "auto"]
VERSIONS: tuple[Version, ...] = ("gs", "hom", "sample", "auto")
"""Green screen, homogenised, coloured with and without sample points; the publishers' words and order."""
_SETS = {"training": "train", "evaluation": "test"}
_RELEASES = {"v1": 1.0, "v2": 2.0}
_LAST_HAND_CODE = FIRST_PHALANX + 14
_MASK_THRESHOLD = 128
_AGREE_MM = 1e-2
_SCALE_SHARE = 0.02
"""How far ``scale`` may lie from the bone that it is taken to measure."""


class FreiHandOptions(Settings, frozen=True, kw_only=True):
    """Which images, and what is known of the copy."""

    versions: tuple[Version, ...] | None = None
    """Appearance versions of the training set; by default all that are there."""
    release: Literal["v1", "v2"] | None = None
    """Kept as ``extra["release"]``; no annotation file tells."""


class FreiHand:
    """See :class:`handsynth.formats.format.Format`.

    ``view`` is the appearance version. Evaluation without ``evaluation_xyz.json`` gives rows without joints.
    ``extra["scale_m"]`` is the published scale. ``write`` resizes square images to 224 x 224, draws others as large as
    they fit, mirrors left hands, and numbers samples anew; samples of one moment become versions of one sample where
    their views are named like versions and their labels agree, otherwise samples of their own. Masks lose their parts
    and are written where every training sample of version ``gs`` has one; evaluation has none. ``scale`` is the length
    from middle MCP to middle PIP. MANO parameters and vertices are not written.
    """

    name: ClassVar[str] = "freihand"
    summary: ClassVar[str] = "FreiHAND: real RGB crops of right hands with hand masks, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "mask": Field(note="the whole hand; training only; JPEG"),
        "joints_mm": Field(tolerance=1e-3, note="metres in text"),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-6),
        "split": Field(),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = True
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = FreiHandOptions

    def annotations(self, root: Path, options: FreiHandOptions) -> list[Path]:
        return [path for part in self._sets(root) for path in part.paths]

    def catalogue(self, root: Path, options: FreiHandOptions) -> Iterator[pa.Table]:
        for part in self._sets(root):
            yield from self._tables(root, part, options)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        rgb = require_size(read_color(path, window), sample.camera, path)
        mask = None
        if row["mask_file"] is not None:
            mask = read_mask(inside(root, row["mask_file"]), sample.camera, window)
        return replace(sample, rgb=rgb, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: FreiHandOptions) -> None:
        manifest = load_manifest(self.name)
        books = {name: _Book() for name in _SETS}
        for given in samples:
            require_fields(given, self.name, "rgb", "camera")
            assert given.camera is not None
            right = of_side(given, manifest.sides[0])
            assert right.camera is not None
            sample = seen_by(right, fitted(right.camera, *manifest.image_size))
            name = "evaluation" if sample.split == "test" else "training"
            known = sample.joints_mm is not None and bool(np.isfinite(sample.joints_mm).any())
            if known or name == "training":
                require_fields(sample, self.name, "joints_mm")
            version = VERSIONS.index(sample.view) if sample.view in VERSIONS and name == "training" else 0
            index = books[name].place(sample, version, known)
            assert sample.rgb is not None
            write_jpeg(_image(root / name, version, index), sample.rgb)
            if name == "training" and version == 0 and sample.mask is not None:
                write_mask(root / name / "mask" / f"{index:08d}.jpg", sample.mask)
                books[name].masks += 1
        for name, book in books.items():
            if book.cameras:
                book.finish(root, name)

    def _sets(self, root: Path) -> list[_Set]:
        """The sets that are there, by their images or their annotations."""
        require_folder(root, self.name)
        parts = []
        for name in _SETS:
            k_file, xyz_file, scale_file = (root / f"{name}_{kind}.json" for kind in ("K", "xyz", "scale"))
            if not (k_file.is_file() or (root / name / "rgb").is_dir()):
                continue
            needed = [k_file, xyz_file] if name == "training" else [k_file]
            require_files(needed, root, self.name)
            parts.append(
                _Set(
                    name=name,
                    k=k_file,
                    xyz=xyz_file if xyz_file.is_file() else None,
                    scale=scale_file if scale_file.is_file() else None,
                )
            )
        if not parts:
            raise nothing_found("training/rgb with training_K.json, or evaluation/rgb with its own", root, self.name)
        return parts

    def _tables(self, root: Path, part: _Set, options: FreiHandOptions) -> Iterator[pa.Table]:
        manifest = load_manifest(self.name)
        name = part.name
        k = _entries(part.k, list[list[list[float]]], (3, 3), None)
        count = len(k)
        joints = np.full((count, 21, 3), np.nan)
        if part.xyz is not None:
            stored = _entries(part.xyz, list[list[list[float]]], (21, 3), count)
            joints = gather(stored, manifest.order) * manifest.to_mm
        scale = np.full(count, np.nan)
        if part.scale is not None:
            scale = _entries(part.scale, list[float], (), count)
            _judge_scale(scale, joints, part.scale)
        cameras = camera_rows(intrinsics(k, lambda i: f"entry {i} of {part.k}"), *manifest.image_size)
        keypoints = project_rows(joints, cameras)

        found = listing(root / name / "rgb")
        masked = name == "training" and bool(listing(root / name / "mask"))
        ids = [f"{i:08d}" for i in range(count)]
        if masked:
            masks = listing(root / name / "mask")
            require_names((f"{each}.jpg" for each in ids), masks, root / name / "mask", part.k.name)
        for version in self._versions(root, part, found, count, options):
            numbers = [f"{i + count * version:08d}" for i in range(count)]
            require_names((f"{each}.jpg" for each in numbers), found, root / name / "rgb", part.k.name)
            yield build_table(
                count,
                key=[f"{name}/{each}" for each in numbers],
                frame=ids,
                view=VERSIONS[version],
                moment=[f"{name}/{each}" for each in ids],
                split=_SETS[name],
                side=manifest.sides[0],
                joints_mm=None if part.xyz is None else joints,
                joint_state=states(joints),
                keypoints_px=None if part.xyz is None else keypoints,
                keypoint_state=states(keypoints, DERIVED),
                camera=cameras,
                extra={"scale_m": scale, "release": np.full(count, _RELEASES.get(options.release or "", np.nan))},
                rgb_file=[f"{name}/rgb/{each}.jpg" for each in numbers],
                mask_file=[f"{name}/mask/{each}.jpg" for each in ids] if masked else None,
            )

    def _versions(
        self, root: Path, part: _Set, found: frozenset[str], count: int, options: FreiHandOptions
    ) -> list[int]:
        """Versions to read. More images than the annotations reach to mean that n, and so every version, is wrong."""
        stems = (each.removesuffix(".jpg") for each in found if each.endswith(".jpg"))
        numbers = [int(stem) for stem in stems if stem.isdecimal()]
        most = len(VERSIONS) if part.name == "training" else 1
        if numbers and max(numbers) >= most * count:
            raise DataError(
                sentence(
                    f"images up to {most * count - 1:08d}, as the {count} entries of {part.k.name} allow",
                    f"{max(numbers):08d}",
                    root / part.name / "rgb",
                    "do not cut the annotations, or cut the images alike",
                )
            )
        there = sorted({number // count for number in numbers}) or [0]
        if options.versions is None or part.name != "training":
            return there
        wanted = sorted({VERSIONS.index(version) for version in options.versions})
        for version in wanted:
            if version not in there:
                raise nothing_found(f"images of the version {VERSIONS[version]} in training/rgb", root, self.name)
        return wanted


def read_mask(path: Path, camera: Camera, window: Box | None) -> np.ndarray:
    """(H, W) uint8, 1 on the hand, from a picture near 0 and near 255 (JPEG keeps neither exactly).

    Raises:
        MissingError, DataError: as ``read_raw``, or of another size or depth.
    """
    picture = require_size(read_raw(path, window), camera, path)
    if picture.dtype != np.uint8:
        raise DataError(sentence("an 8-bit mask", str(picture.dtype), path, "fetch the file again"))
    grey = picture if picture.ndim == 2 else picture[..., 0]
    return np.where(grey >= _MASK_THRESHOLD, HAND, 0).astype(np.uint8)


def write_mask(path: Path, mask: np.ndarray) -> None:
    """Inverse of :func:`read_mask`: 255 on the hand, whatever part; forearm and others are background."""
    write_jpeg(path, np.where((mask >= HAND) & (mask <= _LAST_HAND_CODE), 255, 0).astype(np.uint8))


@dataclass(frozen=True)
class _Set:
    """Annotation files of training or evaluation; None where one is not there."""

    name: str
    k: Path
    xyz: Path | None
    scale: Path | None

    @property
    def paths(self) -> list[Path]:
        return [path for path in (self.k, self.xyz, self.scale) if path is not None]


@dataclass
class _Book:
    """What was written of one set: labels by index, and which versions of it there are."""

    cameras: list[Camera] = field(default_factory=list)
    joints_mm: list[np.ndarray | None] = field(default_factory=list)
    by_moment: dict[str, int] = field(default_factory=dict)
    versions: dict[int, set[int]] = field(default_factory=dict)
    masks: int = 0

    def place(self, sample: HandSample, version: int, known: bool) -> int:
        """The sample's index: that of its moment where this version of it is still free and the labels agree."""
        assert sample.camera is not None
        moment = sample.moment or sample.key
        index = self.by_moment.get(moment)
        taken = self.versions.setdefault(version, set())
        if index is None or index in taken or not self._agrees(index, sample):
            index = len(self.cameras)
            self.by_moment[moment] = index
            self.cameras.append(sample.camera)
            self.joints_mm.append(sample.joints_mm if known else None)
        taken.add(index)
        return index

    def finish(self, root: Path, name: str) -> None:
        """Number the versions, now that n is known, and write the annotations."""
        count = len(self.cameras)
        for version, indices in sorted(self.versions.items()):
            if len(indices) != count:
                raise DataError(
                    sentence(
                        f"version {VERSIONS[version]} of each of the {count} samples",
                        str(len(indices)),
                        "the given samples",
                        "give all versions or only one",
                    )
                )
            if version == 0:
                continue
            folder = _image(root / name, version, 0).parent
            for index in range(count):
                number = index + count * version
                os.replace(_image(root / name, version, index), _image(root / name, 0, number))
            folder.rmdir()
        if 0 < self.masks < count:
            for index in range(count):
                (root / name / "mask" / f"{index:08d}.jpg").unlink(missing_ok=True)
            (root / name / "mask").rmdir()
        self._write_labels(root, name)

    def _agrees(self, index: int, sample: HandSample) -> bool:
        first = self.joints_mm[index]
        assert sample.camera is not None
        if first is None or sample.joints_mm is None or not same_camera(self.cameras[index], sample.camera):
            return False
        return bool(np.allclose(first, sample.joints_mm, rtol=0, atol=_AGREE_MM))

    def _write_labels(self, root: Path, name: str) -> None:
        manifest = load_manifest("freihand")
        labels: dict[str, list[Any]] = {"K": [camera.matrix.tolist() for camera in self.cameras]}
        known = [joints.astype(np.float64) for joints in self.joints_mm if joints is not None]
        if known and len(known) != len(self.cameras):
            found = f"{len(known)} of {len(self.cameras)}"
            raise DataError(sentence(f"joints of every or of no {name} sample", found, "the given samples"))
        if known:
            stored = scatter(np.stack(known), manifest.order, 21) / manifest.to_mm
            labels["xyz"] = stored.tolist()
            labels["scale"] = (_bone_mm(np.stack(known)) / 1000).tolist()
        for kind, values in labels.items():
            write_json(root / f"{name}_{kind}.json", values)


def _image(folder: Path, version: int, index: int) -> Path:
    """Where an image is put until the number of samples, and so its own number, is known."""
    return folder / (f".{VERSIONS[version]}" if version else "rgb") / f"{index:08d}.jpg"


def _entries(path: Path, kind: Any, shape: tuple[int, ...], count: int | None) -> np.ndarray:
    """(N, *shape) float64 from a list of entries.

    Raises:
        DataError: other shapes, or not ``count`` entries.
    """
    values = read_json(path, kind)
    if not values or count not in (None, len(values)):
        wanted = "at least one entry" if count is None else f"{count} entries, as there are calibration matrices"
        raise DataError(sentence(wanted, str(len(values)), path, "do not mix copies"))
    return stacked(values, shape, path.stem.partition("_")[2], lambda i: f"entry {i} of {path}")


def _bone_mm(joints_mm: np.ndarray) -> np.ndarray:
    """Middle MCP to middle PIP (N,) of (N, 21, 3)."""
    return np.linalg.norm(joints_mm[:, MIDDLE_MCP] - joints_mm[:, MIDDLE_PIP], axis=-1)


def _judge_scale(scale: np.ndarray, joints_mm: np.ndarray, path: Path) -> None:
    """Say so where the published scale is not what it is taken to be; nobody has confirmed it on real files."""
    bone = _bone_mm(joints_mm) / 1000
    off = np.abs(scale - bone) > _SCALE_SHARE * bone
    if off.any():
        count = f"{int(off.sum())} of {len(scale)}"
        progress.say(f"{path.name}: {count} scales are not the length middle MCP to middle PIP in metres")
