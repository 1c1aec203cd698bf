"""NYU (Tompson et al., TOG 2014): Kinect depth and registered colour of hands, 36 points of a fitted hand model.

Reads and writes ``dataset/test/depth_1_0000001.png``, ``rgb_1_0000001.png`` and ``joint_data.mat``; file n holds row
n - 1. Stored points have y up, so y is negated. All 36 stay in ``extra["nyu_mm"]``; of the 21 joints the fingers' are
labelled and the wrist is derived as the manifest says. ``synthdepth`` images are neither read nor written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, states
from handsynth.formats.depthfiles import read_depth_bytes
from handsynth.formats.format import Field
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
from handsynth.formats.manifest import Manifest, load_manifest
from handsynth.formats.matfiles import numbers, read_mat, words, write_mat
from handsynth.hand.joints import INDEX, MIDDLE_MCP, WRIST, gather, scatter
from handsynth.hand.rows import from_row
from handsynth.hand.sample import DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import read_color, split_bytes, write_png
from handsynth.imaging.registration import registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import Settings

_PARTS = ("train", "test")
_KINDS = {"rgb": "rgb", "depth": "depth_mm"}
_BACKGROUND_MM = 2001
"""The sensor's far end, stored wherever it sees nothing nearer."""
_ROWS = 16384
_MOST_ROWS = 800_000
"""A MATLAB v5 variable holds 2 GB."""
_PALM = {
    "PALM_1": (0.0, 0.16),
    "PALM_2": (0.0, -0.16),
    "PALM_3": (0.72, 0.0),
    "PALM_4": (0.64, 0.22),
    "PALM_5": (0.47, 0.0),
    "PALM_6": (-0.05, 0.0),
}
"""Where the palm's points lie, from the wrist: along the bone to the middle MCP and across to the little finger's
side, in lengths of that bone. Proportions of the publishers' hand model, brought to the scale of the test labels."""


class NyuOptions(Settings, frozen=True, kw_only=True):
    """Which of the three cameras."""

    camera: Literal[1, 2, 3] = 1
    """1 is the front one, which published numbers are of."""


@dataclass(frozen=True)
class _Part:
    """The training or the test folder: names in it, and the kinds of image that must be there."""

    name: str
    folder: Path
    names: frozenset[str]
    kinds: tuple[str, ...]


class Nyu:
    """See :class:`handsynth.formats.format.Format`.

    The sensor mirrors its images; they stay as they are, samples say ``mirrored`` and the side is as seen. Depth of
    2001 mm (background) and 0 is no measurement. 2-D joints are the publishers' ``joint_uvd``.

    ``write`` fills one camera, that of the options; the others' rows are NaN. Samples of other cameras are resampled,
    left hands mirrored, every view is a frame of its own, frames are numbered anew in each split and samples neither
    train nor test go to train. Of a sample without ``extra["nyu_mm"]`` the points that are no joints are derived: A
    points as middles of bones, palm points by the proportions of the publishers' hand model. Kinds of image that the
    first sample lacks are left out. Depth beyond 2 m becomes background; masks are dropped.
    """

    name: ClassVar[str] = "nyu"
    summary: ClassVar[str] = "NYU: real depth and registered RGB, 36 points, three mirrored Kinects"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(),
        "depth_mm": Field(tolerance=0.5, note="whole mm; none beyond 2 m"),
        "joints_mm": Field(tolerance=1e-3, note="the wrist is derived from two points of the palm"),
        "keypoints_px": Field(tolerance=1e-2, note="as labelled, else projected"),
        "camera": Field(tolerance=1e-3),
        "split": Field(),
        "side": Field(note="always right, as seen in mirrored images"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = NyuOptions

    def annotations(self, root: Path, options: NyuOptions) -> list[Path]:
        return require_files((part.folder / "joint_data.mat" for part in self._parts(root, options)), root, self.name)

    def catalogue(self, root: Path, options: NyuOptions) -> Iterator[pa.Table]:
        self.annotations(root, options)
        for part in self._parts(root, options):
            points, uvd = read_points(part.folder / "joint_data.mat", options.camera)
            _require_images(part, options.camera, len(points))
            for first in range(0, len(points), _ROWS):
                rows = slice(first, first + _ROWS)
                yield _table(root, part, options.camera, first, len(points), points[rows], uvd[rows])

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        rgb = depth = None
        if row["rgb_file"] is not None:
            path = inside(root, row["rgb_file"])
            rgb = require_size(read_color(path, window), sample.camera, path)
        if row["depth_file"] is not None:
            depth = read_depth_bytes(
                inside(root, row["depth_file"]), sample.camera, 1, 2, window, none=(0, _BACKGROUND_MM)
            )
        return replace(sample, rgb=rgb, depth_mm=depth)

    def write(self, root: Path, samples: Iterable[HandSample], options: NyuOptions) -> None:
        manifest = load_manifest(self.name)
        camera = manifest.camera("kinect")
        kinds: list[str] = []
        rows: dict[str, list[np.ndarray]] = {}
        for given in samples:
            require_fields(given, self.name, "joints_mm", "camera")
            kinds = kinds or [kind for kind, field in _KINDS.items() if getattr(given, field) is not None]
            require_fields(given, self.name, *(_KINDS[kind] for kind in kinds or _KINDS))
            sample = seen_by(registered(of_side(given, manifest.sides[0])), camera)
            part = rows.setdefault("test" if sample.split == "test" else "train", [])
            part.append(_labels(sample))
            if len(part) > _MOST_ROWS:
                found = f"sample {_MOST_ROWS + 1} of that split"
                raise DataError(sentence(f"at most {_MOST_ROWS} samples in a split of {self.name}", found, given.key))
            folder = root / "dataset" / ("test" if sample.split == "test" else "train")
            if "rgb" in kinds and sample.rgb is not None:
                write_png(folder / _image("rgb", options.camera, len(part)), sample.rgb)
            if "depth" in kinds and sample.depth_mm is not None:
                write_png(folder / _image("depth", options.camera, len(part)), _encode_depth(sample.depth_mm))
        for name, labels in rows.items():
            # The publishers' order of axes: camera, frame, point, coordinate.
            stack = np.full((2, manifest.counts["cameras"], len(labels), len(manifest.joints), 3), np.nan)
            for number, label in enumerate(labels):
                stack[:, options.camera - 1, number] = label
            names = np.array([manifest.source_words], dtype=object)
            variables = {"joint_names": names, "joint_xyz": stack[0], "joint_uvd": stack[1]}
            write_mat(root / "dataset" / name / "joint_data.mat", variables)

    def _parts(self, root: Path, options: NyuOptions) -> list[_Part]:
        """The folders that are there. A kind of image may lack, but then in both."""
        require_folder(root, self.name)
        base = root / "dataset" if (root / "dataset").is_dir() else root
        contents = {name: listing(base / name) for name in _PARTS}
        kinds = tuple(
            kind for kind in _KINDS if any(_count(kind, options.camera, names) for names in contents.values())
        )
        parts = [
            _Part(name, base / name, names, kinds)
            for name, names in contents.items()
            if "joint_data.mat" in names or any(_count(kind, options.camera, names) for kind in kinds)
        ]
        if not kinds or not parts:
            expected = f"images like dataset/test/depth_{options.camera}_0000001.png"
            raise nothing_found(expected, root, self.name)
        return parts


def read_points(path: Path, camera: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 36, 3) ``joint_xyz`` as stored (mm, y up) and (N, 36, 3) ``joint_uvd`` (px, px, mm) of camera 1, 2 or 3.

    Raises:
        MissingError, DataError: the file is not there, or does not hold the publishers' points in their order.
    """
    manifest = load_manifest("nyu")
    found = words(read_mat(path, ["joint_names"])["joint_names"], "joint_names", path)
    if tuple(word.strip() for word in found) != manifest.source_words:
        wrong = next((f"{a} for {b}" for a, b in zip(found, manifest.source_words, strict=False) if a != b), None)
        expected = f"the {len(manifest.joints)} joints of the publishers in their order"
        raise DataError(sentence(expected, wrong or f"{len(found)} joints", path, "use the publisher's own file"))
    # One after the other, and one camera of each: whole, the training file's two arrays fill 400 MB.
    points, uvd = (_of_camera(path, name, camera) for name in ("joint_xyz", "joint_uvd"))
    if len(points) != len(uvd):
        raise DataError(sentence(f"{len(points)} rows of joint_uvd, as of joint_xyz", str(len(uvd)), path))
    return points, uvd


def _of_camera(path: Path, name: str, camera: int) -> np.ndarray:
    manifest = load_manifest("nyu")
    value = read_mat(path, [name])[name]
    cameras, joints = manifest.counts["cameras"], len(manifest.joints)
    if value.ndim != 4 or len(value) != cameras:
        wanted, found = f"{name} of {cameras} x N x {joints} x 3 numbers", " x ".join(map(str, value.shape))
        raise DataError(sentence(wanted, found, path, "use the publisher's own file"))
    return numbers(value[camera - 1], (None, joints, 3), f"{name} of camera {camera}", path)


def _table(root: Path, part: _Part, view: int, first: int, total: int, points: np.ndarray, uvd: np.ndarray) -> pa.Table:
    """Rows ``first`` and on of a part of ``total`` rows."""
    manifest = load_manifest("nyu")
    camera = manifest.camera("kinect")
    count = len(points)
    source = points * manifest.to_mm
    joints = gather(source, manifest.order)
    joints[:, WRIST] = source[:, _places(manifest, manifest.derived["wrist"])].mean(1)
    keypoints = gather(uvd[..., :2], manifest.order)
    keypoints[:, WRIST] = camera.project(joints[:, WRIST])
    joint_state, keypoint_state = states(joints), states(keypoints)
    joint_state[:, WRIST] = keypoint_state[:, WRIST] = DERIVED
    numbered = range(first + 1, first + count + 1)
    folder = part.folder.relative_to(root).as_posix()
    sequences, subjects = _segments(manifest, part.name, np.arange(first, first + count), total)
    files = {f"{kind}_file": [f"{folder}/{_image(kind, view, n)}" for n in numbered] for kind in part.kinds}
    return build_table(
        count,
        key=[f"{part.name}/{view}_{n:07d}" for n in numbered],
        subject=subjects,
        sequence=sequences,
        frame=[f"{n:07d}" for n in numbered],
        view=str(view),
        moment=[f"{part.name}/{n:07d}" for n in numbered],
        split="test" if part.name in manifest.test else "train",
        side=manifest.sides[0],
        mirrored=np.ones(count, dtype=np.bool_),
        joints_mm=joints,
        joint_state=joint_state,
        keypoints_px=keypoints,
        keypoint_state=keypoint_state,
        camera=camera,
        extra={"nyu_mm": source, "palm_mm": source[:, _places(manifest, ["PALM_3"])]},
        **files,
    )


def _segments(manifest: Manifest, part: str, rows: np.ndarray, total: int) -> tuple[list[str], list[str] | None]:
    """Sequence and subject of each row. Row numbers mean what the manifest says in the publishers' whole files only."""
    segments = [segment for segment in manifest.segments if segment.part == part]
    if total != manifest.counts[part]:
        return [part] * len(rows), None
    which = np.searchsorted([segment.first for segment in segments], rows, side="right") - 1
    return [segments[i].sequence for i in which], [segments[i].subject for i in which]


def _require_images(part: _Part, camera: int, count: int) -> None:
    for kind in part.kinds:
        require_names((_image(kind, camera, n + 1) for n in range(count)), part.names, part.folder, "joint_data.mat")
        found = _count(kind, camera, part.names)
        if found != count:
            expected = f"{count} images {kind}_{camera}, as joint_data.mat labels"
            raise DataError(sentence(expected, str(found), part.folder, "do not mix copies"))


def _image(kind: str, camera: int, number: int) -> str:
    return f"{kind}_{camera}_{number:07d}.png"


def _count(kind: str, camera: int, names: frozenset[str]) -> int:
    pattern = re.compile(rf"{kind}_{camera}_\d+\.png")
    return sum(pattern.fullmatch(name) is not None for name in names)


def _encode_depth(depth_mm: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 as stored; no measurement becomes background, as the sensor has it."""
    whole = np.clip(np.rint(np.nan_to_num(depth_mm, nan=_BACKGROUND_MM)), 1, _BACKGROUND_MM).astype(np.uint16)
    high, low = split_bytes(whole)
    return np.stack([np.zeros_like(low), high, low], axis=-1)


def _labels(sample: HandSample) -> np.ndarray:
    """(2, 36, 3) float32: a row of ``joint_xyz`` and of ``joint_uvd``."""
    manifest = load_manifest("nyu")
    assert sample.camera is not None
    points = _source_points(sample)
    pixels = sample.camera.project(points)
    if sample.keypoints_px is not None:
        labelled = np.where((sample.keypoint_state == LABELLED)[:, None], sample.keypoints_px, np.nan)
        own = scatter(labelled.astype(np.float64), manifest.order, len(pixels))
        pixels = np.where(np.isfinite(own), own, pixels)
    uvd = np.concatenate([pixels, points[:, 2:]], axis=-1)
    return np.stack([points / manifest.to_mm, uvd]).astype(np.float32)


def _source_points(sample: HandSample) -> np.ndarray:
    """(36, 3) mm in the camera frame: the sample's own, else its joints and what is derived from them."""
    own = sample.extra.get("nyu_mm")
    if own is not None:
        return np.asarray(own, dtype=np.float64)
    manifest = load_manifest("nyu")
    assert sample.joints_mm is not None
    joints = sample.joints_mm.astype(np.float64)
    points = scatter(joints, manifest.order, len(manifest.joints))
    for place, name in enumerate(manifest.joints):
        if name.endswith("_A"):  # between the joints stored before and after it
            points[place] = (points[place - 1] + points[place + 1]) / 2
    along = joints[MIDDLE_MCP] - joints[WRIST]
    across = joints[INDEX["pinky_mcp"]] - joints[INDEX["index_mcp"]]
    across = across - along * (across @ along) / max(along @ along, 1e-9)
    across *= np.linalg.norm(along) / max(float(np.linalg.norm(across)), 1e-9)
    for name, (share_along, share_across) in _PALM.items():
        points[manifest.joints.index(name)] = joints[WRIST] + share_along * along + share_across * across
    return points


def _places(manifest: Manifest, names: Iterable[str]) -> list[int]:
    return [manifest.joints.index(name) for name in names]
