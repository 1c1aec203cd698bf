"""MSRA15 (Sun et al., CVPR 2015): segmented depth of right hands, 9 subjects with 17 gestures each.

Reads and writes ``P0/1/000000_depth.bin`` and ``P0/1/joint.txt``; writes the publishers' ``_depth.jpg`` pictures as
well. Stored joints have y up and z backward, so both are negated. Depth is the camera's only image.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats.columns import build_table, states
from handsynth.formats.format import Field
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    of_side,
    require_fields,
    require_folder,
    require_names,
)
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera
from handsynth.hand.joints import FIRST_PHALANX, HAND, gather, scatter
from handsynth.hand.rows import from_row
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import write_jpeg
from handsynth.imaging.draw import depth_image
from handsynth.imaging.registration import registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files
from handsynth.runtime.settings import Settings

_SUBJECT = re.compile(r"P[0-8]")
_GESTURES = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")
_HEADER = struct.Struct("<6I")
_LAST_HAND_CODE = FIRST_PHALANX + 14


class Msra15Options(Settings, frozen=True, kw_only=True):
    """Which fold of leave-one-subject-out."""

    test_subject: str | None = None
    """P0 to P8; default the manifest's."""


class Msra15:
    """See :class:`handsynth.formats.format.Format`.

    Frames that the field knows to be mislabelled are kept and marked: ``extra["known_bad"]`` is 1. ``write`` keeps a
    sample's subject and gesture where they are MSRA15's, otherwise uses the test subject for test samples, the next
    one for others, and gesture 1; frames are numbered from 0 in each gesture. Depth is cut to the hand where the
    sample has a mask, as the publishers' is; left hands are mirrored, colour and masks dropped.
    """

    name: ClassVar[str] = "msra15"
    summary: ClassVar[str] = "MSRA15: real segmented depth of right hands, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "depth_mm": Field(note="the hand's pixels only, where the sample has a mask"),
        "joints_mm": Field(tolerance=5e-3, note="six digits"),
        "keypoints_px": Field(tolerance=2e-2, note="projected"),
        "camera": Field(tolerance=1e-3),
        "split": Field(),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = Msra15Options

    def annotations(self, root: Path, options: Msra15Options) -> list[Path]:
        require_folder(root, self.name)
        found = [
            root / subject / gesture / "joint.txt"
            for subject in sorted(filter(_SUBJECT.fullmatch, listing(root)))
            for gesture in sorted(listing(root / subject))
            if (root / subject / gesture / "joint.txt").is_file()
        ]
        if not found:
            raise nothing_found("folders like P0/1 with a joint.txt", root, self.name)
        return found

    def catalogue(self, root: Path, options: Msra15Options) -> Iterator[pa.Table]:
        test_subject = _test_subject(options)
        for path in self.annotations(root, options):
            yield self._gesture_table(path, test_subject)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["depth_file"])
        depth = read_bin(path, sample.camera)
        _require_hand(depth, path)
        return replace(sample, depth_mm=depth)

    def write(self, root: Path, samples: Iterable[HandSample], options: Msra15Options) -> None:
        manifest = load_manifest(self.name)
        test_subject = _test_subject(options)
        other_subject = f"P{(int(test_subject[1]) + 1) % 9}"
        sequences: dict[tuple[str, str], list[np.ndarray]] = {}
        for given in samples:
            require_fields(given, self.name, "depth_mm", "joints_mm", "camera")
            sample = seen_by(registered(of_side(given, manifest.sides[0])), manifest.camera("depth"))
            assert sample.depth_mm is not None
            assert sample.joints_mm is not None
            subject = sample.subject if _SUBJECT.fullmatch(sample.subject or "") else None
            subject = subject or (test_subject if sample.split == "test" else other_subject)
            gesture = sample.sequence if sample.sequence in _GESTURES else _GESTURES[0]
            frames = sequences.setdefault((subject, gesture), [])
            depth = sample.depth_mm
            if sample.mask is not None:
                depth = np.where((sample.mask >= HAND) & (sample.mask <= _LAST_HAND_CODE), depth, np.float32(np.nan))
            _require_hand(depth, f"sample {sample.key}")
            place = root / subject / gesture / f"{len(frames):06d}_depth"
            write_bin(place.with_name(f"{place.name}.bin"), depth)
            write_jpeg(place.with_name(f"{place.name}.jpg"), depth_image(depth))
            frames.append(scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm)
        for (subject, gesture), frames in sequences.items():
            lines = [str(len(frames)), *(" ".join(f"{number:.6g}" for number in frame.ravel()) for frame in frames)]
            files.write(root / subject / gesture / "joint.txt", "\r\n".join([*lines, ""]).encode())

    def _gesture_table(self, path: Path, test_subject: str) -> pa.Table:
        manifest = load_manifest(self.name)
        folder = path.parent
        gesture, subject = folder.name, folder.parent.name
        place = f"{subject}/{gesture}"
        stored = read_joints(path)
        count = len(stored)
        found = listing(folder)
        bins = sum(name.endswith("_depth.bin") for name in found)
        if bins != count:
            raise DataError(
                sentence(f"{count} depth files, as joint.txt labels", str(bins), folder, "extract the archive again")
            )
        frames = [f"{i:06d}" for i in range(count)]
        require_names((f"{frame}_depth.bin" for frame in frames), found, folder, path.name)
        camera = manifest.camera("depth")
        joints = gather(stored, manifest.order) * manifest.to_mm
        keypoints = camera.project(joints)
        bad = manifest.bad_frames(place)
        return build_table(
            count,
            key=[f"{place}/{frame}" for frame in frames],
            subject=subject,
            sequence=gesture,
            frame=frames,
            moment=[f"{place}/{frame}" for frame in frames],
            split="test" if subject == test_subject else "train",
            side=manifest.sides[0],
            joints_mm=joints,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=camera,
            extra={"known_bad": np.array([1.0 if i in bad else np.nan for i in range(count)])},
            depth_file=[f"{place}/{frame}_depth.bin" for frame in frames],
        )


def read_joints(path: Path) -> np.ndarray:
    """(N, 21, 3) float64 as stored: mm, y up, z backward, source order.

    Raises:
        MissingError, DataError: the file is not there, a line lacks numbers, or the count line disagrees with the rows.
    """
    lines = files.read(path).decode("latin1").split("\n")
    rows = [line for line in lines[1:] if line.strip()]
    head = lines[0].strip()
    if not re.fullmatch(r"\d{1,9}", head) or int(head) != len(rows):
        raise DataError(
            sentence(
                f"as many rows as the count line says ({head[:20]!r})",
                f"{len(rows)} rows",
                path,
                "extract the archive again",
            )
        )
    if not rows:
        return np.zeros((0, 21, 3))
    try:
        values = np.loadtxt(rows, dtype=np.float64, comments=None, ndmin=2)
    except ValueError as error:
        raise DataError(sentence("63 numbers in each row", str(error), path, "extract the archive again")) from None
    if values.shape[1] != 63:
        raise DataError(sentence("63 numbers in each row", str(values.shape[1]), path, "extract the archive again"))
    joints = values.reshape(-1, 21, 3)
    if not np.isfinite(joints).all():
        raise DataError(sentence("finite numbers", "NaN or infinity", path, "extract the archive again"))
    return joints


def read_bin(path: Path, camera: Camera) -> np.ndarray:
    """(H, W) float32 mm of the whole image; NaN outside the stored box and where 0 is stored.

    The header is ``width height left top right bottom``, the box half open.

    Raises:
        MissingError, DataError: the file is not there, or its header does not fit the camera or the file's size.
    """
    data = files.read(path)
    if len(data) < _HEADER.size:
        raise DataError(sentence(f"a header of {_HEADER.size} bytes", f"{len(data)} bytes", path))
    width, height, left, top, right, bottom = _HEADER.unpack_from(data)
    if (width, height) != (camera.width, camera.height):
        raise DataError(sentence(f"a {camera.width} x {camera.height} image", f"{width} x {height}", path))
    if not (left <= right <= width and top <= bottom <= height):
        raise DataError(sentence("a box inside the image", f"({left}, {top}, {right}, {bottom})", path))
    size = _HEADER.size + 4 * (right - left) * (bottom - top)
    if len(data) != size:
        raise DataError(sentence(f"{size} bytes for its box", str(len(data)), path, "extract the archive again"))
    box = np.frombuffer(data, dtype="<f4", offset=_HEADER.size).reshape(bottom - top, right - left)
    depth = np.full((height, width), np.nan, dtype=np.float32)
    depth[top:bottom, left:right] = np.where(box > 0, box, np.nan)
    return depth


def write_bin(path: Path, depth_mm: np.ndarray) -> None:
    """Write the smallest box that holds all measurements of an (H, W) depth image."""
    v, u = np.nonzero(np.isfinite(depth_mm))
    left, top, right, bottom = (u.min(), v.min(), u.max() + 1, v.max() + 1) if len(u) else (0, 0, 0, 0)
    box = np.nan_to_num(depth_mm[top:bottom, left:right]).astype("<f4")
    height, width = depth_mm.shape
    files.write(path, _HEADER.pack(width, height, left, top, right, bottom), box.tobytes())


def _require_hand(depth_mm: np.ndarray, where: object) -> None:
    """Some of the publishers' files hold no measurement at all."""
    if not np.isfinite(depth_mm).any():
        raise DataError(sentence("depth of a hand", "no measurement", where))


def _test_subject(options: Msra15Options) -> str:
    subject = options.test_subject or load_manifest("msra15").test[0]
    if not _SUBJECT.fullmatch(subject):
        raise UsageError(sentence("a subject P0 to P8", repr(subject), "the option test_subject"))
    return subject
