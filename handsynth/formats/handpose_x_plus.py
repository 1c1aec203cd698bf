"""handpose X plus (a repository's sample data): colour and depth of right hands with a fitted hand model.

Reads and writes, for every frame T of a folder, ``T_o.jpg``, ``T_depth.png``, ``T_Joint.obj`` and
``T_intrinsics.txt``. Depth is registered to colour.
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
from handsynth.formats.columns import batched, build_table, camera_rows, states
from handsynth.formats.depthfiles import read_depth16
from handsynth.formats.format import Field, NoOptions
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
from handsynth.formats.textfiles import floats, read_lines
from handsynth.hand.joints import gather, scatter
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color, write_jpeg, write_png
from handsynth.imaging.registration import fitted, registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings

_FRAME = re.compile(r"(\d+)_Joint\.obj")
_FOLDER = re.compile(r"case_\d+")
_INNER = "handpose_x_plus_datas"
_ONE_FOLDER = "case"
"""Sequence of files that lie in the dataset's folder itself."""


class HandposeXPlus:
    """See :class:`handsynth.formats.format.Format`.

    The gesture's word and the mesh are not read. ``write`` resizes 4:3 images to 640 x 480, draws others as large as
    they fit, registers depth and rounds it to whole millimetres, mirrors left hands, keeps folders like ``case_004``
    and makes one for every other sequence, keeps frame numbers that grow and counts on otherwise, writes the gesture
    ``None``, and drops masks, views and splits.
    """

    name: ClassVar[str] = "handpose_x_plus"
    summary: ClassVar[str] = "handpose X plus: real RGB and registered depth of right hands, 21 joints of a fitted mesh"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "depth_mm": Field(tolerance=0.5, note="whole mm"),
        "joints_mm": Field(tolerance=1e-5, note="mm in text"),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-6),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = NoOptions

    def annotations(self, root: Path, options: NoOptions) -> list[Path]:
        return [path for folder in self._folders(root) for frame in folder.frames for path in folder.labels(frame)]

    def catalogue(self, root: Path, options: NoOptions) -> Iterator[pa.Table]:
        folders = self._folders(root)
        for folder in folders:
            for ending in ("_o.jpg", "_depth.png") if folder.depth else ("_o.jpg",):
                wanted = (f"{frame}{ending}" for frame in folder.frames)
                require_names(wanted, folder.names, folder.path, "its _Joint.obj files")
        frames = [(folder, frame) for folder in folders for frame in folder.frames]
        with progress.task("reading annotations of handpose_x_plus", len(frames)) as advance:
            for batch in batched(frames):
                yield self._table(root, batch)
                advance(len(batch))

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        rgb = require_size(read_color(path, window), sample.camera, path)
        depth = None
        if row["depth_file"] is not None:
            depth = read_depth16(inside(root, row["depth_file"]), sample.camera, window)
        return replace(sample, rgb=rgb, depth_mm=depth)

    def write(self, root: Path, samples: Iterable[HandSample], options: NoOptions) -> None:
        manifest = load_manifest(self.name)
        numbers = _Numbers()
        for given in samples:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            right = registered(of_side(given, manifest.sides[0]))
            assert right.camera is not None
            sample = seen_by(right, fitted(right.camera, *manifest.image_size))
            assert sample.rgb is not None
            assert sample.joints_mm is not None
            assert sample.camera is not None
            place = root.joinpath(*numbers.place(sample))
            write_jpeg(place.with_name(f"{place.name}_o.jpg"), sample.rgb)
            if sample.depth_mm is not None:
                whole = np.clip(np.rint(np.nan_to_num(sample.depth_mm)), 0, 65535).astype(np.uint16)
                write_png(place.with_name(f"{place.name}_depth.png"), whole)
            points = scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm
            lines = ["v " + " ".join(map(repr, point)) for point in points.tolist()]
            camera = sample.camera
            texts = {
                "gesture.txt": "None",
                "intrinsics.txt": f"{camera.fx!r} {camera.fy!r} {camera.cx!r} {camera.cy!r}",
                "Joint.obj": "\n".join([*lines, ""]),
            }
            for ending, text in texts.items():
                files.write(place.with_name(f"{place.name}_{ending}"), text.encode())

    def _folders(self, root: Path) -> list[_Folder]:
        """Folders that hold frames: the root, or those in it, or in its handpose_x_plus_datas."""
        require_folder(root, self.name)
        base = root / _INNER if (root / _INNER).is_dir() else root
        folders = []
        for path in (base, *(base / name for name in sorted(listing(base)) if not name.startswith("."))):
            names = listing(path)
            frames = sorted((match[1] for match in map(_FRAME.fullmatch, names) if match), key=lambda n: (int(n), n))
            if frames:
                depth = any(name.endswith("_depth.png") for name in names)
                sequence = _ONE_FOLDER if path == base else path.name
                folders.append(_Folder(path, sequence, names, tuple(frames), depth))
                require_files((path / f"{frame}_intrinsics.txt" for frame in frames), root, self.name)
        if not folders:
            raise nothing_found("files like case_004/790154000_Joint.obj", root, self.name)
        return folders

    def _table(self, root: Path, batch: list[tuple[_Folder, str]]) -> pa.Table:
        manifest = load_manifest(self.name)
        count = len(batch)
        points, cameras = np.empty((count, 21, 3)), np.empty((count, 4))
        for i, (folder, frame) in enumerate(batch):
            joint_file, camera_file = folder.labels(frame)
            points[i] = read_points(joint_file)
            cameras[i] = floats(" ".join(read_lines(camera_file)).split(), 4, camera_file)
            if not (cameras[i, :2] > 0).all():
                raise DataError(sentence("focal lengths above 0", f"{cameras[i, :2]}", camera_file))
        joints = gather(points, manifest.order) * manifest.to_mm
        rows = camera_rows(cameras, *manifest.image_size)
        keypoints = project_rows(joints, rows)
        keys = [f"{folder.sequence}/{frame}" for folder, frame in batch]
        places = [(folder.path.relative_to(root) / frame).as_posix() for folder, frame in batch]
        return build_table(
            count,
            key=keys,
            sequence=[folder.sequence for folder, _ in batch],
            frame=[frame for _, frame in batch],
            moment=keys,
            side=manifest.sides[0],
            joints_mm=joints,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=rows,
            rgb_file=[f"{place}_o.jpg" for place in places],
            depth_file=[
                f"{place}_depth.png" if folder.depth else None for place, (folder, _) in zip(places, batch, strict=True)
            ],
        )


@dataclass(frozen=True)
class _Folder:
    """One folder of frames: its names, the frames in the order of their numbers, and whether they have depth."""

    path: Path
    sequence: str
    names: frozenset[str]
    frames: tuple[str, ...]
    depth: bool

    def labels(self, frame: str) -> tuple[Path, Path]:
        """Files of joints and intrinsics."""
        return self.path / f"{frame}_Joint.obj", self.path / f"{frame}_intrinsics.txt"


@dataclass
class _Numbers:
    """Folders and last frame numbers given so far, and which folders have depth."""

    folders: dict[tuple[str | None, bool], str] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)

    def place(self, sample: HandSample) -> tuple[str, str]:
        """Folder and frame. Samples with and without depth go to different folders."""
        source = (sample.sequence, sample.depth_mm is not None)
        if source not in self.folders:
            word, number = sample.sequence or "", len(self.folders)
            if not _FOLDER.fullmatch(word) or word in self.last:
                while (word := f"case_{number:03d}") in self.last:
                    number += 1
            self.folders[source] = word
        folder = self.folders[source]
        last = self.last.get(folder, -1)
        own = sample.frame or ""
        number = int(own) if re.fullmatch(r"\d{1,18}", own) and int(own) > last else last + 1
        self.last[folder] = number
        return folder, f"{number:09d}"


def read_points(path: Path) -> np.ndarray:
    """(21, 3) float64, the vertices of a Wavefront file as stored; other statements and comments do not matter.

    Raises:
        MissingError, DataError: the file is not there, or does not hold 21 points of three finite numbers.
    """
    rows = [line.split() for line in read_lines(path)]
    points = [row[1:] for row in rows if row[0] == "v"]
    if len(points) != 21:
        raise DataError(sentence("21 points 'v x y z'", str(len(points)), path, "fetch the file again"))
    return np.stack([floats(point, 3, path) for point in points])
