"""COCO keypoints: one JSON per split with images, annotations and the names of the keypoints, as mmpose reads it.

Reads and writes ``annotations/train.json``, ``images/train/00000000.png``, and beside them ``depth/`` and ``masks/``.
What COCO has no word for stands under keys of mmpose's own sets (``cam_param``, ``joint_cam``, ``hand_type``) or in
``handsynth``; the manifest lists them. Files are streamed both ways; images are kept as columns while annotations pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats.cocojson import SIDES, Annotation, Category, CocoOptions, Image, SplitWriter
from handsynth.formats.columns import batched
from handsynth.formats.exchange import (
    REGISTERED,
    depth_from_steps,
    file_word,
    hand_mask,
    projected,
    require_picture,
    split_of,
    take_unit,
    to_rows,
    with_registered_depth,
)
from handsynth.formats.format import Field
from handsynth.formats.jsonfiles import stream_items
from handsynth.formats.layout import inside, listing, matching, nothing_found, require_folder, require_names
from handsynth.formats.manifest import load_manifest
from handsynth.formats.records import CameraRecord, SampleRecord, from_record
from handsynth.hand.joints import CHAINS, FINGERS, INDEX, JOINTS
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_color, read_raw
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

T = TypeVar("T")
_MMPOSE = {"thumb": "thumb", "index": "forefinger"} | {name: f"{name}_finger" for name in ("middle", "ring", "pinky")}
_ALIASES = {
    f"{_MMPOSE[finger]}{number}": JOINTS[joint]
    for finger, chain in zip(FINGERS, CHAINS, strict=True)
    for number, joint in enumerate(chain, start=1)
}
"""mmpose's names of keypoints, base first, in ours."""


class Coco:
    """See :class:`handsynth.formats.format.Format`.

    ``write`` numbers images from 0 in each split, ``train`` where there is none; neighbouring samples of one moment,
    view, camera and equal pixels share their image. Depth is registered to colour; of a sample without colour the
    depth is the image. Joints are projected where a sample has no keypoints; v is 2 for visible joints, 1 for
    occluded ones and where nothing is known.
    """

    name: ClassVar[str] = "coco"
    summary: ClassVar[str] = "COCO keypoints JSON, with camera and 3-D joints under keys of their own"
    fields: ClassVar[Mapping[str, Field]] = REGISTERED
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = CocoOptions

    def annotations(self, root: Path, options: CocoOptions) -> list[Path]:
        require_folder(root, self.name)
        patterns = [options.annotations] if options.annotations else ["annotations/*.json", "*.json"]
        for pattern in patterns:
            found = matching(root, pattern)
            if found:
                return found
        raise nothing_found(f"{' or '.join(patterns)}, files of annotations", root, self.name)

    def catalogue(self, root: Path, options: CocoOptions) -> Iterator[pa.Table]:
        for path in self.annotations(root, options):
            yield from _File(path, root, options).parts()

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample, unit_mm = take_unit(from_row(row), 1.0)
        rgb = depth = mask = None
        if row["rgb_file"] is not None:
            rgb = read_color(inside(root, row["rgb_file"]), window)
        if row["depth_file"] is not None:
            path = inside(root, row["depth_file"])
            depth = depth_from_steps(read_raw(path, window), unit_mm, path)
        if row["mask_file"] is not None:
            path = inside(root, row["mask_file"])
            mask = hand_mask(read_raw(path, window), path)
        loaded = replace(sample, rgb=rgb, depth_mm=depth, mask=mask)
        camera = loaded.camera
        for pixels in (rgb, depth, mask):
            if camera is not None and pixels is not None and pixels.shape[:2] != (camera.height, camera.width):
                found = f"{pixels.shape[1]} x {pixels.shape[0]}"
                where = row["rgb_file"] or row["depth_file"]
                raise DataError(sentence(f"{camera.width} x {camera.height} px", found, f"{where} of {row['key']}"))
        return loaded

    def write(self, root: Path, samples: Iterable[HandSample], options: CocoOptions) -> None:
        with ExitStack() as stack:
            writers: dict[str, SplitWriter] = {}
            for given in samples:
                require_picture(given, self.name)
                sample = projected(with_registered_depth(given))
                split = file_word(sample.split, "train")
                if split not in writers:
                    writers[split] = SplitWriter(root, split, options, stack)
                writers[split].add(sample)
            for writer in writers.values():
                writer.finish()


class _File:
    """One JSON file, passed through three times: categories, images, annotations."""

    def __init__(self, path: Path, root: Path, options: CocoOptions) -> None:
        self._path, self._root = path, root
        self._folder = options.images.rstrip("/")
        inside(root, self._folder)
        self._split = split_of(path.stem)
        self._given = _named(options.joints) if options.joints else None
        self._names = {
            category.id: [_ALIASES.get(name, name) for name in category.keypoints]
            for category in _typed(path, "categories.item", Category)
        }

    def parts(self) -> Iterator[pa.Table]:
        ids, images = self._images()
        seen = np.zeros(len(ids), dtype=np.bool_)
        present = lru_cache(maxsize=64)(listing)
        with progress.task(f"reading annotations of {self._path.name}", len(ids)) as advance:
            for batch in batched(_typed(self._path, "annotations.item", Annotation)):
                wanted = np.array([annotation.image_id for annotation in batch], dtype=np.int64)
                places = np.minimum(np.searchsorted(ids, wanted), max(len(ids) - 1, 0))
                lost = wanted[ids[places] != wanted] if len(ids) else wanted
                if len(lost):
                    raise DataError(sentence(f"image {lost[0]} among images", "none", self._path, "fetch it again"))
                advance(int((~seen[np.unique(places)]).sum()))
                seen[places] = True
                rows = images.take(pa.array(places)).to_pylist()
                yield self._table(zip(batch, rows, strict=True), present)
            for rest in batched(np.flatnonzero(~seen).tolist()):
                rows = images.take(pa.array(rest)).to_pylist()
                yield self._table(((None, row) for row in rows), present)
                advance(len(rows))

    def _images(self) -> tuple[np.ndarray, pa.Table]:
        """Sorted ids, and images in their order."""
        kind = pa.schema(
            [
                ("id", pa.int64()),
                ("file_name", pa.string()),
                ("width", pa.int64()),
                ("height", pa.int64()),
                ("camera", pa.list_(pa.float64())),
                ("depth_file_name", pa.string()),
                ("depth_unit_mm", pa.float64()),
            ]
        )
        parts = [kind.empty_table()]
        for batch in batched(_typed(self._path, "images.item", Image)):
            rows = []
            for image in batch:
                row = msgspec.structs.asdict(image)
                given = row.pop("cam_param")
                row["camera"] = None if given is None else [*given.focal, *given.princpt, *given.distortion]
                if given is not None and (len(given.focal), len(given.princpt)) != (2, 2):
                    raise DataError(sentence("focal and princpt of 2 numbers", "others", self._where(image.id)))
                rows.append(row)
            try:
                parts.append(pa.Table.from_pylist(rows, schema=kind))
            except (pa.ArrowException, OverflowError) as error:
                raise DataError(sentence("ids and sizes of 64 bits", str(error), self._path)) from None
        images = pa.concat_tables(parts).sort_by("id").combine_chunks()
        ids = images.column("id").to_numpy()
        if len(np.unique(ids)) != len(ids):
            twice = ids[1:][ids[1:] == ids[:-1]][0]
            raise DataError(sentence("every image id once", f"{twice} more than once", self._path))
        return ids, images

    def _table(self, pairs: Iterable[tuple[Annotation | None, dict[str, Any]]], present: Any) -> pa.Table:
        samples, names = [], []
        for annotation, image in pairs:
            samples.append(self._sample(annotation, image))
            rgb = str(PurePosixPath(self._folder, image["file_name"]))
            depth = image["depth_file_name"]
            depth = None if depth is None else str(PurePosixPath(self._folder, depth))
            mask = None if annotation is None else annotation.mask_file_name
            mask = None if mask is None else str(PurePosixPath(self._folder, mask))
            names.append({"rgb_file": None if rgb == depth else rgb, "depth_file": depth, "mask_file": mask})
        self._require({name for row in names for name in row.values() if name is not None}, present)
        return to_rows(samples, names)

    def _require(self, names: set[str], present: Any) -> None:
        folders: dict[str, list[str]] = {}
        for name in sorted(names):
            inside(self._root, name)
            folder, _, last = name.rpartition("/")
            folders.setdefault(folder, []).append(last)
        for folder, lasts in folders.items():
            require_names(lasts, present(self._root / folder), self._root / folder, self._path.name)

    def _sample(self, annotation: Annotation | None, image: Mapping[str, Any]) -> HandSample:
        known = annotation if annotation is not None else Annotation(id=0, image_id=image["id"])
        where = self._where(image["id"]) if annotation is None else f"annotation {known.id} of {self._path}"
        record = known.handsynth or SampleRecord(
            split=self._split,
            frame=str(image["id"]),
            moment=f"{self._path.stem}/{image['id']}",
            side=SIDES.get(known.hand_type or "", "unknown"),
        )
        record.camera, record.depth_unit_mm = _camera(image), image["depth_unit_mm"]
        keypoints = _triples(known.keypoints, where)
        if keypoints is not None or known.joint_cam is not None:
            count = len(keypoints if keypoints is not None else known.joint_cam or ())
            record.joints = self._order(known.category_id, count, where)
        if keypoints is not None:
            record.keypoints_px = [[x, y] if v > 0 else None for x, y, v in keypoints]
            if known.handsynth is None and any(v == 2 for _, _, v in keypoints):
                record.visible = [v == 2 for _, _, v in keypoints]
        if known.joint_cam is not None:
            valid = [1.0] * len(known.joint_cam)
            if known.joint_valid is not None:
                # Each is a flag or a list of one.
                valid = [flag for each in known.joint_valid for flag in (each if isinstance(each, list) else [each])]
            if len(valid) != len(known.joint_cam):
                raise DataError(sentence("joint_valid of every joint", str(len(valid)), where))
            record.joints_mm = [point if good else None for point, good in zip(known.joint_cam, valid, strict=True)]
        stem = self._path.stem
        key = f"{stem}/{image['id']}/none" if annotation is None else f"{stem}/{known.id}"
        return projected(from_record(record, key, where))

    def _order(self, category: int, count: int, where: str) -> list[str]:
        """Names of ``count`` keypoints, in ours where they are among the 21."""
        names = self._given or self._names.get(category) or []
        if len(names) != count or not set(names) & INDEX.keys():
            raise DataError(
                sentence(
                    f"names of the {count} keypoints in category {category}",
                    ", ".join(names[:30]) or "none",
                    where,
                    "name them by the option joints, comma-separated or as the dataset whose order it is",
                )
            )
        return names

    def _where(self, image: int) -> str:
        return f"image {image} of {self._path}"


def _typed(path: Path, prefix: str, kind: type[T]) -> Iterator[T]:
    """Items of a list in the file, checked."""
    for i, item in enumerate(stream_items(path, prefix)):
        try:
            yield msgspec.convert(item, kind)
        except msgspec.ValidationError as error:
            where = f"{prefix.removesuffix('.item')}[{i}] of {path}"
            raise DataError(sentence("COCO's JSON", str(error), where, "mend that entry")) from None


def _named(joints: str) -> list[str]:
    """Names of the option ``joints``."""
    if "," not in joints:
        return list(load_manifest(joints).joints)
    names = [name.strip() for name in joints.split(",")]
    names = [_ALIASES.get(name, name) for name in names]
    if not set(names) & INDEX.keys():
        raise UsageError(sentence(f"names such as {', '.join(JOINTS[:3])}", repr(joints), "the option joints"))
    return names


def _triples(keypoints: list[list[float] | float] | None, where: str) -> list[list[float]] | None:
    if not keypoints:
        return None
    try:
        values = np.array(keypoints, dtype=np.float64).reshape(-1, 3)
    except ValueError:
        raise DataError(sentence("keypoints of x, y, v", f"{len(keypoints)} entries", where)) from None
    triples: list[list[float]] = values.tolist()
    return triples


def _camera(image: Mapping[str, Any]) -> CameraRecord | None:
    if image["camera"] is None:
        return None
    fx, fy, cx, cy, *distortion = image["camera"]
    return CameraRecord(fx=fx, fy=fy, cx=cx, cy=cy, width=image["width"], height=image["height"], distortion=distortion)
