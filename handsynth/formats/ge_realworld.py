"""Ge et al. (CVPR 2019), real-world test set: 256 x 256 crops of one left hand, joints in cm.

Reads and writes ``images/NNNNN.jpg``, ``params.mat`` and ``pose_gt.mat``. The crops are used as published, each with
its own camera K = [fx, fy, cx - x, cy - y] * 256 / w, from the box (x, y, w, h) in the original image.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, camera_rows, states
from handsynth.formats.format import Field
from handsynth.formats.layout import (
    inside,
    listing,
    of_side,
    require_fields,
    require_files,
    require_names,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.matfiles import numbers, read_mat, words, write_mat
from handsynth.hand.joints import gather, scatter
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color, write_jpeg
from handsynth.imaging.registration import fitted, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import Settings


class GeRealWorldOptions(Settings, frozen=True, kw_only=True):
    """How the set is split."""

    test_from: int | None = None
    """First file number of the test split; default the manifest's."""


class GeRealWorld:
    """See :class:`handsynth.formats.format.Format`.

    ``write`` numbers train samples from 0 and test samples from ``test_from``; it resizes square images to 256 x 256,
    draws others as large as they fit, stores the camera with the box
    (0, 0, 256, 256), mirrors right hands, and drops depth and masks.
    """

    name: ClassVar[str] = "ge_realworld"
    summary: ClassVar[str] = "Ge et al. 2019: real RGB crops of a left hand, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "joints_mm": Field(tolerance=1e-3, note="float32 centimetres"),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-6),
        "split": Field(),
        "side": Field(note="always left"),
    }
    cropped: ClassVar[bool] = True
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = GeRealWorldOptions

    def annotations(self, root: Path, options: GeRealWorldOptions) -> list[Path]:
        return require_files([root / "params.mat", root / "pose_gt.mat"], root, self.name)

    def catalogue(self, root: Path, options: GeRealWorldOptions) -> Iterator[pa.Table]:
        params_file, pose_file = self.annotations(root, options)
        manifest = load_manifest(self.name)
        pose = numbers(read_mat(pose_file, ["pose_gt"])["pose_gt"], (None, 21, 3), "pose_gt", pose_file)
        count = len(pose)
        params = read_mat(params_file, ["image_path", "cam_param", "bbox", "pose_root"])
        names = words(params["image_path"], "image_path", params_file)
        if len(names) != count:
            raise DataError(
                sentence(f"one image_path for each of the {count} poses in pose_gt.mat", str(len(names)), params_file)
            )
        intrinsics = numbers(params["cam_param"], (count, 4), "cam_param", params_file)
        boxes = numbers(params["bbox"], (count, 4), "bbox", params_file)
        origin = numbers(params["pose_root"], (count, 3), "pose_root", params_file)
        if not np.allclose(origin, pose[:, 0], atol=1e-3):
            raise DataError(
                sentence("pose_root equal to joint 0 of pose_gt", "other rows", root, "cut both files' rows alike")
            )
        if (boxes[:, 2] <= 0).any():
            raise DataError(sentence("boxes wider than 0", "an empty one", params_file, "use the publisher's own file"))
        files = [_file_number(name, root) for name in names]
        require_names((Path(name).name for name in names), listing(root / "images"), root / "images", params_file.name)

        crop = intrinsics.copy()
        crop[:, 2:] -= boxes[:, :2]
        crop *= (manifest.image_size[0] / boxes[:, 2])[:, None]
        joints = gather(pose, manifest.order) * manifest.to_mm
        cameras = camera_rows(crop, *manifest.image_size)
        keypoints = project_rows(joints, cameras)
        keys = [PurePosixPath(name).stem for name in names]
        test_from = _test_from(options)
        yield build_table(
            count,
            key=keys,
            frame=keys,
            moment=keys,
            split=["train" if number < test_from else "test" for number in files],
            side=manifest.sides[0],
            joints_mm=joints,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=cameras,
            rgb_file=names,
        )

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        path = inside(root, row["rgb_file"])
        assert sample.camera is not None
        return replace(sample, rgb=require_size(read_color(path, window), sample.camera, path))

    def write(self, root: Path, samples: Iterable[HandSample], options: GeRealWorldOptions) -> None:
        manifest = load_manifest(self.name)
        width, height = manifest.image_size
        test_from = _test_from(options)
        next_number = {"train": 0, "test": test_from}
        names, cameras, poses = [], [], []
        for given in samples:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            sided = of_side(given, manifest.sides[0])
            assert sided.camera is not None
            sample = seen_by(sided, fitted(sided.camera, width, height))
            assert sample.rgb is not None
            assert sample.joints_mm is not None
            assert sample.camera is not None
            split = "test" if sample.split == "test" else "train"
            number = next_number[split]
            if split == "train" and number >= test_from:
                raise DataError(
                    sentence(f"at most {test_from} train samples", "more", root, "raise the option test_from")
                )
            next_number[split] += 1
            name = f"images/{number:05d}.jpg"
            write_jpeg(root / name, sample.rgb)
            names.append(name)
            cameras.append([sample.camera.fx, sample.camera.fy, sample.camera.cx, sample.camera.cy])
            poses.append(scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm)
        pose = np.array(poses, dtype=np.float32).reshape(-1, 21, 3)
        count = len(pose)
        write_mat(
            root / "params.mat",
            {
                "image_path": np.array(names, dtype=str),
                "cam_param": np.array(cameras, dtype=np.float64).reshape(-1, 4),
                "bbox": np.tile(np.array([[0, 0, width, height]], dtype=np.int32), (count, 1)),
                "pose_root": pose[:, 0],
                "pose_scale": np.full(count, 5, dtype=np.uint8),  # the publishers' constant
            },
        )
        write_mat(root / "pose_gt.mat", {"pose_gt": pose})


def _test_from(options: GeRealWorldOptions) -> int:
    first = load_manifest("ge_realworld").test_from if options.test_from is None else options.test_from
    assert first is not None
    return first


def _file_number(name: str, root: Path) -> int:
    inside(root, name)
    match = re.fullmatch(r"images/(\d+)\.(?:jpg|png)", name)
    if match is None:
        raise DataError(sentence("image_path like images/00012.jpg", repr(name), root / "params.mat"))
    return int(match[1])
