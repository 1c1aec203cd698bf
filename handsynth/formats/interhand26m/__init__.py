"""InterHand2.6M (Moon et al., ECCV 2020): one or two hands seen by some hundred calibrated cameras.

Reads and writes ``images/train/Capture0/SEQUENCE/cam400026/image1.jpg`` and
``annotations/train/InterHand2.6M_train_{data,camera,joint_3d}.json``, and the same for val and test. Stored joints are
in the world; each camera gets its own: X_cam = camrot (X_world - campos). Each hand of an image is one sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, rigid_rows, states
from handsynth.formats.format import Field
from handsynth.formats.interhand26m.read import (
    SIDES,
    Annotations,
    Cameras,
    Joints,
    annotation_files,
    read_annotations,
    read_cameras,
    read_images,
    read_joints,
)
from handsynth.formats.interhand26m.write import Writer
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
from handsynth.hand.joints import gather
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

_SPLITS = ("train", "val", "test")
_FOLDERS_KEPT = 256
_KNOWN_BAD = "cameras"


class InterHandOptions(Settings, frozen=True, kw_only=True):
    """Which images, and what becomes of hands without a wrist."""

    split: Literal["all", "train", "val", "test"] = "all"
    """One split only; all takes those that have a folder below images/."""
    rootless: Literal["absent", "keep"] = "absent"
    """A hand whose wrist is not valid: no joint of it is, as in the publishers' evaluation; or as labelled."""


class InterHand26M:
    """See :class:`handsynth.formats.format.Format`.

    A hand of an image is a sample where ``hand_type`` names it or one of its joints is valid; a joint is known where
    both files say that it is valid. All cameras and both hands of a frame are one moment. The publishers' box stays in
    ``extra["box_px"]`` (its two corners), images of a camera known to be wrong have ``extra["known_bad"]`` = 1, and
    ``extra["hand_type_valid"]`` is 0 where the publishers doubt which hands are seen.

    ``write`` keeps the size of images, which data.json names, and a sample's capture, sequence, camera and frame where
    they are InterHand2.6M's kind; others go to Capture0 under new numbers, one camera per calibration. Distortion is
    undone. Hands of one moment and camera share an image; a second hand of the same side, and views of a moment without
    a common world, get a frame of their own. Samples of no split go to train. Without a world the camera's frame is the
    world. Depth, masks and visibility are dropped.
    """

    name: ClassVar[str] = "interhand26m"
    summary: ClassVar[str] = "InterHand2.6M: real RGB of one or two hands from many cameras, 21 joints each"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "joints_mm": Field(tolerance=1e-3, note="float32 in the world"),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-6),
        "world_from_camera": Field(),
        "split": Field(),
        "side": Field(),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = InterHandOptions

    def annotations(self, root: Path, options: InterHandOptions) -> list[Path]:
        return [path for split in self._splits(root, options) for path in annotation_files(root, split)]

    def catalogue(self, root: Path, options: InterHandOptions) -> Iterator[pa.Table]:
        for split in self._splits(root, options):
            yield from self._split_tables(root, split, options)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        return replace(sample, rgb=require_size(read_color(path, window), sample.camera, path))

    def write(self, root: Path, samples: Iterable[HandSample], options: InterHandOptions) -> None:
        writer = Writer(root)
        for sample in samples:
            writer.add(sample)
        writer.finish()

    def _splits(self, root: Path, options: InterHandOptions) -> list[str]:
        """The wanted splits; their annotation files are there."""
        require_folder(root, self.name)
        wanted = _SPLITS if options.split == "all" else (options.split,)
        splits = [split for split in wanted if (root / "images" / split).is_dir()]
        if not splits:
            folders = " or ".join(f"images/{split}" for split in wanted)
            raise nothing_found(f"a folder {folders}", root, self.name)
        require_files([path for split in splits for path in annotation_files(root, split)], root, self.name)
        return splits

    def _split_tables(self, root: Path, split: str, options: InterHandOptions) -> Iterator[pa.Table]:
        data, camera_file, joint_file = annotation_files(root, split)
        cameras, joints, images = read_cameras(camera_file), read_joints(joint_file), read_images(data)
        ids = images.column("id").to_numpy()
        labelled = np.zeros(len(ids), dtype=np.bool_)
        contents = lru_cache(_FOLDERS_KEPT)(listing)
        with progress.task(f"reading annotations of interhand26m {split}", len(ids)) as advance:
            for annotations in read_annotations(data):
                places = np.minimum(np.searchsorted(ids, annotations.image_ids), len(ids) - 1)
                strange = ids[places] != annotations.image_ids
                if strange.any():
                    found = f"image_id {annotations.image_ids[strange][0]}"
                    raise DataError(sentence("annotations of listed images", found, data, "do not mix releases"))
                labelled[places] = True
                batch = images.take(places)
                _require_images(root, f"images/{split}", batch.column("file").to_pylist(), contents, data)
                yield _table(split, batch, annotations, cameras, joints, options, data)
                advance(len(places))
        if not labelled.all():
            found = f"none for {int((~labelled).sum())} of {len(ids)}, image id {ids[~labelled][0]} first"
            raise DataError(sentence("an annotation for every image", found, data, "fetch or extract the file again"))


def _table(
    split: str,
    images: pa.Table,
    annotations: Annotations,
    cameras: Cameras,
    joints: Joints,
    options: InterHandOptions,
    where: Path,
) -> pa.Table:
    """Samples of a batch of B annotations and their images: left before right hands, those that there are."""
    manifest = load_manifest("interhand26m")
    count = len(images)
    words = {name: images.column(name).to_pylist() for name in images.schema.names}
    camera_rows = _rows_of(cameras.rows, words["capture"], words["camera"], "a calibration", where)
    frame_rows = _rows_of(joints.rows, words["capture"], words["frame"], "3-D joints", where)
    rotations, positions = cameras.rotations[camera_rows], cameras.positions_mm[camera_rows]
    world = joints.world_mm[frame_rows].astype(np.float64) * manifest.to_mm
    points = np.einsum("bij,bkj->bki", rotations, world - positions[:, None]).reshape(count, 2, 21, 3)
    valid = (annotations.valid & joints.valid[frame_rows]).reshape(count, 2, 21)
    image, hand = np.nonzero((annotations.seen | valid.any(-1))[:, ::-1])
    hand = len(SIDES) - 1 - hand
    if options.rootless == "absent":
        valid = valid & valid[:, :, manifest.joints.index("wrist"), None]
    joints_mm = gather(np.where(valid[..., None], points, np.nan)[image, hand], manifest.order)
    sizes = np.array([words["width"], words["height"]], dtype=np.float64).T
    lenses = np.concatenate([cameras.intrinsics[camera_rows], np.zeros((count, 5)), sizes], axis=1)[image]
    keypoints = project_rows(joints_mm, lenses)
    corners = np.stack([annotations.boxes_px[:, :2], annotations.boxes_px[:, :2] + annotations.boxes_px[:, 2:]], axis=1)
    bad = np.isin(words["camera"], [str(number) for number in manifest.bad_frames(_KNOWN_BAD)])
    moments = [f"{split}/Capture{capture}/{frame}" for capture, frame in _pairs(words, "capture", "frame")]
    sequences = [f"Capture{capture}/{name}" for capture, name in _pairs(words, "capture", "sequence")]
    views = [f"cam{camera}" for camera in words["camera"]]
    sides = [SIDES[i] for i in hand]

    def each(values: list[Any]) -> list[Any]:
        return [values[i] for i in image]

    keys = (each(sequences), each(views), each(words["frame"]), sides)
    return build_table(
        len(image),
        key=[f"{split}/{sequence}/{view}/{frame}-{side}" for sequence, view, frame, side in zip(*keys, strict=True)],
        side=sides,
        subject=each(words["subject"]),
        sequence=each(sequences),
        frame=each(words["frame"]),
        view=each(views),
        moment=each(moments),
        split=split,
        joints_mm=joints_mm,
        keypoints_px=keypoints,
        keypoint_state=states(keypoints, DERIVED),
        camera=lenses,
        world_from_camera=rigid_rows(rotations.transpose(0, 2, 1), positions)[image],
        extra={
            "box_px": corners[image],
            "known_bad": np.where(bad, 1.0, np.nan)[image],
            "hand_type_valid": np.where(annotations.seen_valid, np.nan, 0.0)[image],
        },
        rgb_file=[f"images/{split}/{file}" for file in each(words["file"])],
    )


def _pairs(words: Mapping[str, list[str]], first: str, second: str) -> Iterator[tuple[str, str]]:
    return zip(words[first], words[second], strict=True)


def _rows_of(
    rows: Mapping[tuple[str, str], int], captures: list[str], names: list[str], what: str, where: Path
) -> np.ndarray:
    """(B,) int64: the row of each (capture, name)."""
    try:
        return np.array([rows[pair] for pair in zip(captures, names, strict=True)], dtype=np.int64)
    except KeyError as error:
        capture, name = error.args[0]
        found = f"none for {name} of capture {capture}"
        raise DataError(sentence(f"{what} for every image", found, where, "do not mix releases")) from None


def _require_images(
    root: Path, base: str, names: list[str], contents: Callable[[Path], frozenset[str]], labels: Path
) -> None:
    """Raise DataError where a listed image is not there, or its name leads out of the root."""
    by_folder: dict[str, list[str]] = {}
    for name in names:
        folder, _, file = f"{base}/{name}".rpartition("/")
        by_folder.setdefault(folder, []).append(file)
    for folder, wanted in by_folder.items():
        path = inside(root, folder)
        require_names(wanted, contents(path), path, labels.name)
