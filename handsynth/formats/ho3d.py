"""HO-3D versions 2 and 3 (Hampali et al., CVPR 2020): right hands with objects, RGB-D, up to five cameras at once.

Reads and writes ``train.txt``, ``train/ABF10/{rgb,depth,meta}/0000.{jpg,png,pkl}``, the same for ``evaluation``,
``evaluation_xyz.json`` and ``calibration/ABF1/calibration/``. Stored joints are metres in an OpenGL camera.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched, build_table, camera_rows, rigid_rows, states
from handsynth.formats.depthfiles import read_depth_bytes
from handsynth.formats.format import Field
from handsynth.formats.ho3d_writer import DEPTH_STEP_MM, Ho3dWriter, multi_camera_group
from handsynth.formats.jsonfiles import read_json
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
from handsynth.formats.pickles import is_small, read_pickle
from handsynth.formats.textfiles import floats, read_lines
from handsynth.hand.camera import RigidTransform
from handsynth.hand.joints import gather
from handsynth.hand.pose import bone_lengths
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

_SPLITS = {"train": "train", "evaluation": "test"}
_LINE = re.compile(r"([A-Za-z]+\d+)/(\d{4,6})")
_GROUP = re.compile(r"[A-Za-z]+\d+")
_ENDINGS = {"v2": ("png",), "v3": ("jpg",), "auto": ("jpg", "png")}
_SAME_ROOT_MM = 5.0
_ADVICE = "fetch or extract the file again"


class Ho3dOptions(Settings, frozen=True, kw_only=True):
    """Which version."""

    version: Literal["auto", "v2", "v3"] = "auto"
    """Version 2 has colour as PNG, version 3 as JPEG; auto takes what is there and writes version 3."""


@dataclass(frozen=True)
class _Frame:
    """One line of a list file."""

    sequence: str
    number: str
    line: int


class Ho3d:
    """See :class:`handsynth.formats.format.Format`.

    Only frames that the list files name are read. Evaluation frames know the wrist alone, unless
    ``evaluation_xyz.json`` is there; their bounding box is ``extra["box_px"]``, its two corners.

    ``write`` keeps a sample's sequence and frame where they are HO-3D's, otherwise makes one group of sequences for
    each split, a sequence for each view, and numbers frames by moment. Left hands are mirrored, images drawn as large
    as they fit into 640 x 480, depth is registered to colour, masks are dropped, object and MANO poses are None.
    Calibrations are written where cameras are known or several views share moments. Evaluation joints go into
    ``evaluation_xyz.json`` where all of them are known, else only the wrist is kept.
    """

    name: ClassVar[str] = "ho3d"
    summary: ClassVar[str] = (
        "HO-3D v2 and v3: real RGB-D of right hands with objects, 21 joints, wrist only in the test"
    )
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG in version 3, exact in version 2"),
        "depth_mm": Field(tolerance=0.07, note="steps of 0.125 mm up to 8 m"),
        "joints_mm": Field(tolerance=1e-3, note="float32 metres"),
        "joint_state": Field(),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-6),
        "world_from_camera": Field(),
        "split": Field(),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = Ho3dOptions

    def annotations(self, root: Path, options: Ho3dOptions) -> list[Path]:
        folders = self._folders(root)
        found = require_files([root / f"{folder}.txt" for folder in folders], root, self.name)
        found += [path for path in [root / "evaluation_xyz.json"] if path.is_file()]
        found += sorted((root / "calibration").glob("*/calibration/*.txt"))
        for folder in folders:
            for sequence in sorted(listing(root / folder)):
                meta = root / folder / sequence / "meta"
                found += [meta / name for name in sorted(listing(meta)) if name.endswith(".pkl")]
        return found

    def catalogue(self, root: Path, options: Ho3dOptions) -> Iterator[pa.Table]:
        groups = frozenset(listing(root / "calibration"))
        for folder in self._folders(root):
            frames = _read_list(root / f"{folder}.txt")
            xyz = _read_evaluation(root, len(frames)) if folder == "evaluation" else None
            by_sequence: dict[str, list[_Frame]] = {}
            for frame in frames:
                by_sequence.setdefault(frame.sequence, []).append(frame)
            with progress.task(f"reading annotations of {self.name}, {folder}", len(frames)) as advance:
                for sequence in sorted(by_sequence):
                    ordered = sorted(by_sequence[sequence], key=lambda frame: (int(frame.number), frame.line))
                    files = self._files(root, f"{folder}/{sequence}", ordered, options)
                    for part in batched(zip(ordered, *files, strict=True)):
                        yield self._part_table(root, folder, sequence, part, xyz, groups)
                        advance(len(part))

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        rgb = require_size(read_color(path, window), sample.camera, path)
        depth = None
        if row["depth_file"] is not None:
            path = inside(root, row["depth_file"])
            depth = read_depth_bytes(path, sample.camera, 1, 0, window, DEPTH_STEP_MM)
        return replace(sample, rgb=rgb, depth_mm=depth)

    def write(self, root: Path, samples: Iterable[HandSample], options: Ho3dOptions) -> None:
        Ho3dWriter(root, _ENDINGS[options.version][0]).write(samples)

    def _folders(self, root: Path) -> list[str]:
        require_folder(root, self.name)
        folders = [name for name in _SPLITS if (root / name).is_dir() or (root / f"{name}.txt").is_file()]
        if not folders:
            raise nothing_found("the folders train and evaluation", root, self.name)
        return folders

    def _files(
        self, root: Path, place: str, frames: Sequence[_Frame], options: Ho3dOptions
    ) -> tuple[list[str], list[str | None]]:
        """Names of a sequence's images; raises DataError where one that is listed is not there."""
        numbers = [frame.number for frame in frames]
        meta, rgb, depth = (listing(root / place / kind) for kind in ("meta", "rgb", "depth"))
        lists = f"{place.split('/')[0]}.txt"
        require_names((f"{number}.pkl" for number in numbers), meta, root / place / "meta", lists)
        endings = _ENDINGS[options.version]
        ending = next((ending for ending in endings if f"{numbers[0]}.{ending}" in rgb), endings[0])
        require_names((f"{number}.{ending}" for number in numbers), rgb, root / place / "rgb", lists)
        if depth:
            require_names((f"{number}.png" for number in numbers), depth, root / place / "depth", lists)
        colors = [f"{place}/rgb/{number}.{ending}" for number in numbers]
        return colors, [f"{place}/depth/{number}.png" if depth else None for number in numbers]

    def _part_table(
        self,
        root: Path,
        folder: str,
        sequence: str,
        part: Sequence[tuple[_Frame, str, str | None]],
        xyz: np.ndarray | None,
        calibrated: frozenset[str],
    ) -> pa.Table:
        manifest = load_manifest(self.name)
        frames = [frame for frame, _, _ in part]
        metas = [_read_meta(root / folder / sequence / "meta" / f"{frame.number}.pkl") for frame in frames]
        stored = np.stack([joints for joints, _, _ in metas])
        if xyz is not None:
            stored = _completed(stored, xyz[[frame.line for frame in frames]], root)
        joints = gather(stored, manifest.order) * manifest.to_mm
        cameras = camera_rows(np.stack([camera for _, camera, _ in metas]), *manifest.image_size)
        keypoints = project_rows(joints, cameras)
        group, view = multi_camera_group(sequence, calibrated)
        world = _read_extrinsics(root, group, view) if group and view else None
        numbers = [frame.number for frame in frames]
        return build_table(
            len(frames),
            key=[f"{folder}/{sequence}/{number}" for number in numbers],
            side=manifest.sides[0],
            sequence=sequence,
            frame=numbers,
            view=view,
            moment=[f"{group or sequence}/{number}" for number in numbers],
            split=_SPLITS[folder],
            joints_mm=joints,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=cameras,
            world_from_camera=None
            if world is None
            else rigid_rows(np.array(world.rotation), np.array([world.translation_mm]))[0],
            extra={"box_px": np.stack([box for _, _, box in metas])},
            rgb_file=[color for _, color, _ in part],
            depth_file=[depth for _, _, depth in part],
        )


def _read_list(path: Path) -> list[_Frame]:
    frames = []
    for i, line in enumerate(read_lines(path)):
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(sentence("lines like ABF10/0000", repr(line[:60]), path, "use the publisher's own file"))
        frames.append(_Frame(match[1], match[2], i))
    return frames


def _read_meta(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Stored joints (21, 3) m, all but the wrist NaN in evaluation; fx, fy, cx, cy; box corners (2, 2) px or NaN.

    Raises:
        MissingError, DataError: the file is not there, or holds something else.
    """
    meta = read_pickle(path)
    if not isinstance(meta, dict):
        raise DataError(sentence("a dictionary", type(meta).__name__, path, _ADVICE))
    joints = np.full((21, 3), np.nan)
    if meta.get("handJoints3D") is not None:
        given = _numbers(meta["handJoints3D"], ((21, 3), (3,)), "handJoints3D", path)
        joints[: given.size // 3] = given.reshape(-1, 3)
    k = _numbers(meta.get("camMat"), ((3, 3),), "camMat", path)
    if min(k[0, 0], k[1, 1]) <= 0:
        raise DataError(sentence("positive focal lengths in camMat", f"{k[0, 0]}, {k[1, 1]}", path, _ADVICE))
    box = np.full((2, 2), np.nan)
    if meta.get("handBoundingBox") is not None:
        box = _numbers(meta["handBoundingBox"], ((4,),), "handBoundingBox", path).reshape(2, 2)
    return joints, np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2]]), box


def _numbers(value: Any, shapes: Sequence[tuple[int, ...]], name: str, path: Path) -> np.ndarray:
    """The value as finite float64 of one of the shapes."""
    wanted = f"{name} of shape {' or '.join(map(str, shapes))}"
    try:
        array = np.asarray(value if is_small(value) else ())
    except ValueError:  # lists of unequal length
        array = np.empty(0, object)
    if array.dtype.kind not in "iuf" or array.shape not in shapes:
        found = f"shape {array.shape} of {array.dtype}" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(sentence(wanted, found, path, _ADVICE))
    if not np.isfinite(array).all():
        raise DataError(sentence(f"finite numbers in {name}", "NaN or infinity", path, _ADVICE))
    return array.astype(np.float64)


def _read_evaluation(root: Path, count: int) -> np.ndarray | None:
    """(N, 21, 3) m as stored, row by row as evaluation.txt; None where the file is not there.

    Raises:
        DataError: another number of rows or joints, or an order of joints other than MANO's.
    """
    path = root / "evaluation_xyz.json"
    if not path.is_file():
        return None
    rows = read_json(path, list[list[tuple[float, float, float]]])
    if len(rows) != count or any(len(row) != 21 for row in rows):
        found = f"{len(rows)} of {sorted({len(row) for row in rows})}"
        raise DataError(sentence(f"{count} lists of 21 points, as evaluation.txt has lines", found, path, _ADVICE))
    xyz = np.array(rows, dtype=np.float64).reshape(-1, 21, 3)
    as_mano, as_is = (float(bone_lengths(each).sum()) for each in (gather(xyz, load_manifest("ho3d").order), xyz))
    if as_mano > as_is:
        raise DataError(sentence("joints in MANO's order", "bones longer than in another order", path, _ADVICE))
    return xyz


def _completed(stored: np.ndarray, xyz: np.ndarray, root: Path) -> np.ndarray:
    """Evaluation joints in place of the wrists alone, once both agree about the wrists."""
    apart = np.linalg.norm(stored[:, 0] - xyz[:, 0], axis=-1) * 1000
    apart = apart[np.isfinite(apart)]
    if len(apart) and np.median(apart) > _SAME_ROOT_MM:
        found = f"wrists {np.median(apart):.0f} mm from those of meta/"
        where = root / "evaluation_xyz.json"
        raise DataError(sentence("joints in the order of evaluation.txt", found, where, "fetch that of your version"))
    return np.where(np.isfinite(stored), stored, xyz)


def _read_extrinsics(root: Path, group: str, view: str) -> RigidTransform | None:
    """Common frame from the camera of that digit; None where the calibration does not say it.

    ``cam_orders.txt`` lists the cameras' digits; ``trans_i.txt`` is the 4 x 4 transform of the i-th, in metres.
    """
    folder = root / "calibration" / group / "calibration"
    if not (folder / "cam_orders.txt").is_file():
        return None
    words = " ".join(read_lines(folder / "cam_orders.txt")).split()
    order = floats(words, len(words), folder / "cam_orders.txt").astype(int).tolist()
    path = folder / f"trans_{order.index(int(view)) if int(view) in order else view}.txt"
    if int(view) not in order or not path.is_file():
        return None
    matrix = floats(" ".join(read_lines(path)).split(), 16, path).reshape(4, 4)
    if not np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-3):
        raise DataError(sentence("a rigid 4 x 4 transform", "another matrix", path, _ADVICE))
    return RigidTransform.of(matrix[:3, :3], matrix[:3, 3] * 1000)
