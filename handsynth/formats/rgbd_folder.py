"""Colour and aligned depth in a plain folder: own captures, HandRGBD, unlabelled depth.

Reads and writes ``color/SEQUENCE/000000.png``, ``depth/SEQUENCE/000000.png``, ``mask/...`` and ``joints.csv``; reads
``camera.json`` or ``camera.txt``. Patterns say where pictures lie; what their wildcards stand for tells partners.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import pyarrow as pa

from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats.columns import batched
from handsynth.formats.exchange import (
    REGISTERED,
    depth_from_steps,
    depth_steps,
    file_word,
    hand_mask,
    require_picture,
    same_picture,
    take_unit,
    to_rows,
    with_registered_depth,
)
from handsynth.formats.format import Field
from handsynth.formats.jointtable import HEADER, read_joints, sample_cells
from handsynth.formats.jsonfiles import read_json
from handsynth.formats.layout import inside, nothing_found, require_files, require_folder
from handsynth.formats.pictures import Frame, folders_of, frames_of, matches
from handsynth.formats.records import CameraRecord, SampleRecord, from_record
from handsynth.formats.textfiles import floats, read_lines
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample, Side
from handsynth.imaging.codecs import read_color, read_raw, write_png
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings, digest

_JOINTS = "joints.csv"
_CAMERAS = ("camera.json", "camera.txt")
_NUMBERS = ("fx", "fy", "cx", "cy", "width", "height")
_UNIT_MM = 1.0


class RgbdFolderOptions(Settings, frozen=True, kw_only=True):
    """Where pictures lie, what they mean, and how they are split."""

    color: str = "color/**/*"
    """Pattern of colour pictures below the root: ``*`` and ``?`` stand for parts of a name, ``**/`` for any folders;
    the ending .png, .jpg or .jpeg may be left out. Empty: there are none."""
    depth: str = "depth/**/*"
    """Pattern of depth pictures."""
    mask: str = "mask/**/*"
    """Pattern of masks."""
    pair: Literal["name", "number", "order"] = "name"
    """Partners are those whose wildcards stand for the same text (``name``), whose names end in the same number
    (``number``), or that come at the same place of each folder (``order``)."""
    depth_unit_mm: Annotated[float, msgspec.Meta(gt=0)] = _UNIT_MM
    """Millimetres per step of the stored depth."""
    fx: float | None = None
    fy: float | None = None
    cx: float | None = None
    cy: float | None = None
    width: int | None = None
    """With fx, fy, cx, cy and height: the camera of all pictures, px; else the file ``camera`` says it."""
    height: int | None = None
    distortion: tuple[float, ...] = ()
    """k1, k2, p1, p2, k3 of that camera."""
    camera: str = ""
    """File of the camera below the root; default camera.json or camera.txt where there is one."""
    side: Side = "unknown"
    """Of all hands that joints.csv says nothing about."""
    test: str = ""
    """Pattern of the sequence folders that are the test split."""
    test_share: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.0
    """Share of sequence folders that are the test split, drawn by their names."""


class RgbdFolder:
    """See :class:`handsynth.formats.format.Format`.

    Pictures may lack joints and a camera. Those that ``joints.csv`` names come first, in its order, then the others.
    ``write`` keeps sequences as folders (``train`` or the split where a sample has none), numbers frames anew in
    each, registers depth to colour, and gives neighbouring samples of one moment, view and equal pixels one picture.
    """

    name: ClassVar[str] = "rgbd_folder"
    summary: ClassVar[str] = "a plain folder of colour and aligned depth (own captures, HandRGBD), joints if known"
    fields: ClassVar[Mapping[str, Field]] = {
        name: field for name, field in REGISTERED.items() if name not in ("world_from_camera", "frame")
    } | {
        "rgb": Field(),
        "depth_mm": Field(tolerance=0.501, note="registered; whole steps of 1 mm unless the option says otherwise"),
        "sequence": Field(note="signs but letters, digits, '-' and '_' are replaced"),
    }
    cropped: ClassVar[bool] = True
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = RgbdFolderOptions

    def annotations(self, root: Path, options: RgbdFolderOptions) -> list[Path]:
        require_folder(root, self.name)
        patterns = [options.color, options.depth, options.mask]
        found = folders_of(root, patterns)
        if not found:
            wanted = " or ".join(pattern for pattern in patterns if pattern) or "pictures"
            raise nothing_found(f"pictures {wanted}", root, self.name)
        if options.camera:
            cameras = require_files([inside(root, options.camera)], root, self.name)
        else:
            cameras = [root / name for name in _CAMERAS if (root / name).is_file()][:1]
        return [*found, *cameras, *(path for path in [root / _JOINTS] if path.is_file())]

    def catalogue(self, root: Path, options: RgbdFolderOptions) -> Iterator[pa.Table]:
        paths = self.annotations(root, options)
        camera = _camera(paths, options)
        frames = frames_of(root, {"color": options.color, "depth": options.depth, "mask": options.mask}, options.pair)
        if not frames:
            raise nothing_found(f"pictures {options.color} or {options.depth}", root, self.name)
        split = _splits(frames.values(), options, root)
        unit_mm = None if options.depth_unit_mm == _UNIT_MM else options.depth_unit_mm

        def row(frame: Frame, record: SampleRecord, hand: int, where: object) -> tuple[HandSample, dict[str, Any]]:
            record.sequence, record.frame = frame.sequence, frame.frame
            record.moment = record.moment or frame.id
            record.split = record.split or split.get(frame.sequence, "train")
            record.camera = record.camera or camera
            record.depth_unit_mm = unit_mm if frame.depth else None
            names = {"rgb_file": frame.color, "depth_file": frame.depth, "mask_file": frame.mask}
            return from_record(record, frame.id if hand == 1 else f"{frame.id}-{hand}", where), names

        def rows() -> Iterator[tuple[HandSample, dict[str, Any]]]:
            hands: Counter[str] = Counter()
            table = root / _JOINTS
            if table in paths:
                for image, record, where in read_joints(table, options.side):
                    if image not in frames:
                        raise DataError(sentence("a picture of the folder", repr(image), where, "mend the path"))
                    hands[image] += 1
                    advance(hands[image] == 1)
                    yield row(frames[image], record, hands[image], where)
            for image, frame in frames.items():
                if image not in hands:
                    advance()
                    yield row(frame, SampleRecord(side=options.side), 1, root / image)

        with progress.task(f"reading annotations of {self.name}", len(frames)) as advance:
            for batch in batched(rows()):
                yield to_rows((sample for sample, _ in batch), [names for _, names in batch])

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample, unit_mm = take_unit(from_row(row), _UNIT_MM)
        rgb = depth = mask = None
        if row["rgb_file"] is not None:
            rgb = read_color(inside(root, row["rgb_file"]), window)
        if row["depth_file"] is not None:
            path = inside(root, row["depth_file"])
            depth = depth_from_steps(read_raw(path, window), unit_mm, path)
        if row["mask_file"] is not None:
            path = inside(root, row["mask_file"])
            mask = hand_mask(read_raw(path, window), path)
        sizes = [picture.shape[1::-1] for picture in (rgb, depth, mask) if picture is not None]
        if sample.camera is not None:
            sizes.insert(0, (sample.camera.width, sample.camera.height))
        for width, height in sizes:
            if (width, height) != sizes[0]:
                expected = f"pictures and camera of one size, {sizes[0][0]} x {sizes[0][1]} px"
                advice = "give the camera of these pictures, and depth at colour's pixels"
                where = root / (row["rgb_file"] or row["depth_file"])
                raise DataError(sentence(expected, f"{width} x {height}", where, advice))
        return replace(sample, rgb=rgb, depth_mm=depth, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: RgbdFolderOptions) -> None:
        numbers: Counter[str] = Counter()
        last: HandSample | None = None
        image = ""
        with ExitStack() as stack:
            temporary = stack.enter_context(files.replacing(root / _JOINTS))
            file = stack.enter_context(temporary.open("w", encoding="utf-8", newline=""))
            table = csv.writer(file, lineterminator="\n")
            table.writerow(HEADER)
            for given in samples:
                require_picture(given, self.name)
                sample = with_registered_depth(given)
                if last is None or not same_picture(last, sample, "rgb", "depth_mm", "mask"):
                    folder = file_word(sample.sequence, file_word(sample.split, "train"))
                    image = _write_pictures(root, f"{folder}/{numbers[folder]:06d}.png", sample, options)
                    numbers[folder] += 1
                last = sample
                table.writerow([image, *sample_cells(sample)])


def _write_pictures(root: Path, name: str, sample: HandSample, options: RgbdFolderOptions) -> str:
    """Write the pictures of a sample; returns the path by which joints.csv calls it."""
    if sample.rgb is not None:
        write_png(root / "color" / name, sample.rgb)
    if sample.depth_mm is not None:
        write_png(root / "depth" / name, depth_steps(sample.depth_mm, options.depth_unit_mm))
    if sample.mask is not None:
        write_png(root / "mask" / name, sample.mask)
    return f"{'depth' if sample.rgb is None else 'color'}/{name}"


def _camera(paths: list[Path], options: RgbdFolderOptions) -> CameraRecord | None:
    """The camera of all pictures, from the options or else from its file."""
    given = {name: getattr(options, name) for name in _NUMBERS}
    if any(value is not None for value in given.values()):
        lacking = [name for name, value in given.items() if value is None]
        if lacking:
            raise UsageError(sentence(", ".join(_NUMBERS), f"no {', '.join(lacking)}", "the options of the camera"))
        return CameraRecord(**given, distortion=list(options.distortion))
    path = next((path for path in paths if path.is_file() and path.name != _JOINTS), None)
    if path is None:
        return None
    if path.suffix == ".json":
        return read_json(path, CameraRecord)
    words = [line.replace("=", " ").replace(":", " ").replace(",", " ").split() for line in read_lines(path)]
    if all(len(line) == 2 and line[0].isidentifier() for line in words):
        told = dict(words)
        values = [told.get(name, "") for name in _NUMBERS]
    else:
        values = [word for line in words for word in line]
    fx, fy, cx, cy, width, height = floats([value for value in values if value], len(_NUMBERS), path).tolist()
    if not (width.is_integer() and height.is_integer()):
        raise DataError(sentence("a whole width and height, px", f"{width:g} x {height:g}", path))
    return CameraRecord(fx=fx, fy=fy, cx=cx, cy=cy, width=int(width), height=int(height))


def _splits(frames: Iterable[Frame], options: RgbdFolderOptions, root: Path) -> dict[str | None, str]:
    """Sequence -> split; a sequence that is not there is train."""
    sequences = sorted({frame.sequence for frame in frames if frame.sequence is not None})
    if options.test and options.test_share:
        raise UsageError(sentence("test or test_share", "both", "the options"))
    if options.test:
        chosen = matches(options.test)
        return {name: "test" for name in sequences if chosen(name)}
    if not options.test_share:
        return {}
    if len(sequences) < 2:
        advice = "put sequences into folders of their own, so that neighbouring frames stay on one side"
        raise DataError(sentence("two sequence folders to split", str(len(sequences)), root, advice))
    drawn = sorted(sequences, key=digest)
    count = min(max(math.ceil(options.test_share * len(sequences)), 1), len(sequences) - 1)
    return dict.fromkeys(drawn[:count], "test")
