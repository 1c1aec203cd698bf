"""RHD (Zimmermann and Brox, ICCV 2017): rendered people, both hands of every image labelled.

Reads and writes ``training/{color,depth,mask}/00000.png``, ``training/anno_training.pickle`` and the same for
``evaluation``. Every image has its own calibration; each of its hands is one sample, ``training/00111-left``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, camera_rows
from handsynth.formats.depthfiles import read_depth_bytes
from handsynth.formats.format import Field, NoOptions
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    require_fields,
    require_files,
    require_folder,
    require_names,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.pickles import read_pickle, write_pickle
from handsynth.hand.joints import BACKGROUND, FIRST_PHALANX, HAND, OTHER_BODY, PALM_PART, gather, scatter
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_color, read_raw, split_bytes, write_png
from handsynth.imaging.registration import fitted, registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import Settings

_FOLDERS = {"training": "train", "evaluation": "test"}
_SIDES = ("left", "right")
_SHAPES = {"uv_vis": (42, 3), "xyz": (42, 3), "K": (3, 3)}
_FULL_SCALE_MM = 5000.0
_PERSON = 1
_CODES = 34


class Rhd:
    """See :class:`handsynth.formats.format.Format`.

    A hand whose rows are all zero is not labelled and gives no sample (the publishers label both hands, also those
    out of the image). ``write`` joins neighbouring samples of one moment and view into one image, leaves the rows of
    a hand that is not given at zero, numbers images from 0 in each folder, draws images as large as they fit into
    320 x 320, calls joints visible that lie inside the image where nothing is known, and gives hand pixels of an
    unknown part to the palm.
    """

    name: ClassVar[str] = "rhd"
    summary: ClassVar[str] = "RHD: rendered RGB, depth and part masks of both hands, 21 joints each"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(),
        "depth_mm": Field(tolerance=0.04, note="65535 steps to 5 m; further is 5 m"),
        "mask": Field(note="hand pixels of an unknown part become palm"),
        "joints_mm": Field(tolerance=1e-3, note="float32 metres"),
        "joint_state": Field(),
        "keypoints_px": Field(tolerance=1e-3, note="float32"),
        "keypoint_state": Field(),
        "visible": Field(),
        "camera": Field(tolerance=1e-3, note="float32"),
        "split": Field(),
        "side": Field(),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = NoOptions

    def annotations(self, root: Path, options: NoOptions) -> list[Path]:
        require_folder(root, self.name)
        folders = [folder for folder in _FOLDERS if (root / folder).is_dir()]
        if not folders:
            raise nothing_found("the folders training and evaluation", root, self.name)
        return require_files([root / folder / f"anno_{folder}.pickle" for folder in folders], root, self.name)

    def catalogue(self, root: Path, options: NoOptions) -> Iterator[pa.Table]:
        for path in self.annotations(root, options):
            yield self._folder_table(root, path)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        camera = sample.camera
        assert camera is not None
        path = inside(root, row["rgb_file"])
        rgb = require_size(read_color(path, window), camera, path)
        depth = mask = None
        if row["depth_file"] is not None:
            depth = read_depth_bytes(inside(root, row["depth_file"]), camera, 0, 1, window, _FULL_SCALE_MM / 65535)
        if row["mask_file"] is not None:
            path = inside(root, row["mask_file"])
            codes = require_size(read_raw(path, window), camera, path)
            if codes.ndim != 2 or codes.dtype != np.uint8 or codes.max() >= _CODES:
                raise DataError(sentence("an 8-bit mask of codes 0 to 33", "something else", path))
            mask = _to_ours(sample.side)[codes]
        return replace(sample, rgb=rgb, depth_mm=depth, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: NoOptions) -> None:
        entries: dict[str, dict[int, dict[str, np.ndarray]]] = {}
        seen: set[tuple[str, ...]] = set()
        for image, hands in groupby(samples, _image_of):
            if image in seen:
                raise DataError(sentence("the hands of one image after each other", "others between", str(image)))
            seen.add(image)
            folder = "evaluation" if image[0] == "test" else "training"
            numbered = entries.setdefault(folder, {})
            number = len(numbered)
            numbered[number] = self._write_image(root / folder, number, list(hands))
        for folder, numbered in entries.items():
            write_pickle(root / folder / f"anno_{folder}.pickle", numbered)

    def _folder_table(self, root: Path, path: Path) -> pa.Table:
        manifest = load_manifest(self.name)
        folder = path.parent.name
        numbers, arrays = _stacked(read_pickle(path), path)
        names = [f"{number:05d}.png" for number in numbers]
        files: dict[str, list[str] | None] = {}
        for column, kind in (("rgb_file", "color"), ("depth_file", "depth"), ("mask_file", "mask")):
            found = listing(path.parent / kind)
            if kind == "color" or found:
                require_names(names, found, path.parent / kind, path.name)
            files[column] = [f"{folder}/{kind}/{name}" for name in names] if found else None

        # (N, 42, D) to (2 N, 21, D): left and right of an image follow each other.
        order = manifest.order
        joints = gather(arrays["xyz"].reshape(-1, 21, 3), order) * manifest.to_mm
        uv_vis = gather(arrays["uv_vis"].reshape(-1, 21, 3), order)
        k = np.repeat(arrays["K"], 2, axis=0)
        intrinsics = np.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], axis=1)
        labelled = np.flatnonzero((joints != 0).any((1, 2)) | (uv_vis != 0).any((1, 2)))
        ids = [(name[:-4], side) for name in names for side in _SIDES]

        def words(pattern: str) -> list[str]:
            return [pattern.format(*ids[i]) for i in labelled]

        def pick(column: str) -> list[str] | None:
            paths = files[column]
            return None if paths is None else [paths[i // 2] for i in labelled]

        return build_table(
            len(labelled),
            key=words(f"{folder}/{{0}}-{{1}}"),
            side=words("{1}"),
            sequence=folder,
            frame=words("{0}"),
            moment=words(f"{folder}/{{0}}"),
            split=_FOLDERS[folder],
            joints_mm=joints[labelled],
            keypoints_px=uv_vis[labelled, :, :2],
            visible=uv_vis[labelled, :, 2] == 1,
            camera=camera_rows(intrinsics[labelled], *manifest.image_size),
            rgb_file=pick("rgb_file"),
            depth_file=pick("depth_file"),
            mask_file=pick("mask_file"),
        )

    def _write_image(self, folder: Path, number: int, hands: list[HandSample]) -> dict[str, np.ndarray]:
        manifest = load_manifest(self.name)
        width, height = manifest.image_size
        uv_vis, xyz = np.zeros((42, 3), np.float32), np.zeros((42, 3), np.float32)
        codes: np.ndarray | None = None
        for given in hands:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            if given.side not in _SIDES or sum(other.side == given.side for other in hands) > 1:
                raise DataError(sentence("one left and one right hand at most", f"side {given.side}", given.key))
            assert given.camera is not None
            sample = seen_by(registered(given), fitted(given.camera, width, height))
            rows = slice(0, 21) if sample.side == "left" else slice(21, 42)
            assert sample.joints_mm is not None
            xyz[rows] = scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm
            uv_vis[rows] = scatter(_uv_vis(sample), manifest.order, 21)
            if sample.mask is not None:
                theirs = _to_theirs(sample.side)[sample.mask]
                # What one hand's mask calls part of the body may be the other hand.
                codes = theirs if codes is None else np.where(theirs > _PERSON, theirs, np.maximum(codes, theirs))
        assert sample.rgb is not None
        assert sample.camera is not None
        name = f"{number:05d}.png"
        write_png(folder / "color" / name, sample.rgb)
        if sample.depth_mm is not None:
            steps = np.rint(np.clip(np.nan_to_num(sample.depth_mm) / _FULL_SCALE_MM, 0, 1) * 65535).astype(np.uint16)
            high, low = split_bytes(steps)
            write_png(folder / "depth" / name, np.stack([high, low, np.zeros_like(low)], axis=-1))
        if codes is not None:
            write_png(folder / "mask" / name, codes)
        return {"K": sample.camera.matrix.astype(np.float32), "uv_vis": uv_vis, "xyz": xyz}


def _image_of(sample: HandSample) -> tuple[str, ...]:
    return sample.split or "", sample.moment or sample.key, sample.view or ""


def _uv_vis(sample: HandSample) -> np.ndarray:
    """(21, 3) float32: pixels and 1 where visible."""
    keypoints = sample.projected()
    assert keypoints is not None
    if sample.keypoints_px is not None:
        keypoints = np.where(np.isfinite(sample.keypoints_px), sample.keypoints_px, keypoints)
    width, height = sample.size[1], sample.size[0]
    visible = sample.visible
    if visible is None:
        visible = np.all((keypoints >= -0.5) & (keypoints < np.array([width, height]) - 0.5), axis=-1)
    flags = np.asarray(visible, dtype=np.float32)[:, None]
    return np.concatenate([np.nan_to_num(keypoints), flags], axis=1).astype(np.float32)


def _stacked(annotations: Any, path: Path) -> tuple[list[int], dict[str, np.ndarray]]:
    """Sorted numbers and their arrays (N, ...) as float64.

    Raises:
        DataError: the pickle is not number -> uv_vis, xyz, K of the right shapes.
    """
    if not isinstance(annotations, dict) or not annotations:
        raise DataError(sentence("a dictionary of images", type(annotations).__name__, path))
    for number, entry in annotations.items():
        if not isinstance(number, int) or number < 0 or not isinstance(entry, dict):
            raise DataError(sentence("image number -> arrays", f"{number!r} -> {type(entry).__name__}", path))
        for name, shape in _SHAPES.items():
            value = entry.get(name)
            if not isinstance(value, np.ndarray) or value.shape != shape:
                found = f"shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
                raise DataError(sentence(f"{name} of shape {shape}", found, f"entry {number} of {path}"))
    numbers = sorted(annotations)
    arrays = {name: np.stack([annotations[n][name] for n in numbers]).astype(np.float64) for name in _SHAPES}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise DataError(sentence(f"finite numbers in {name}", "NaN or infinity", path, "fetch the file again"))
    return numbers, arrays


@cache
def _to_ours(side: str) -> np.ndarray:
    """(256,) uint8: RHD code to ours for the hand of that side; the other hand and the person are other body.

    RHD numbers each finger from tip to palm (2 to 4 left thumb ... 14 to 16 little, 17 palm; right 16 higher).
    """
    table = np.full(256, OTHER_BODY, dtype=np.uint8)
    table[0] = BACKGROUND
    first = 2 if side == "left" else 18
    for finger in range(5):
        for segment in range(3):
            table[first + 3 * finger + segment] = FIRST_PHALANX + 3 * finger + (2 - segment)
    table[first + 15] = PALM_PART
    return table


@cache
def _to_theirs(side: str) -> np.ndarray:
    """Inverse of :func:`_to_ours`; other body becomes the person, a hand's unknown part its palm."""
    table = np.zeros(256, dtype=np.uint8)
    ours = _to_ours(side)
    first = 2 if side == "left" else 18
    table[ours[first : first + 16]] = np.arange(first, first + 16)
    table[OTHER_BODY] = _PERSON
    table[HAND] = table[PALM_PART]
    return table
