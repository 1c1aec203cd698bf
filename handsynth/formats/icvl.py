"""ICVL (Tang et al., CVPR 2014): depth of left-looking hands with 16 points, and copies turned in the image plane.

Reads and writes ``Training/labels.txt``, ``Testing/test_seq_1.txt`` and ``test_seq_2.txt`` (an image and 16 times u px,
v px, depth mm a line) and the 16-bit pictures below ``Training/Depth`` and ``Testing/Depth``. Joints are the labels
lifted by the camera. There is no wrist and no DIP; "mid" stands in for the PIP, approximately and marked so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched, build_table, states
from handsynth.formats.depthfiles import read_depth16
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
from handsynth.formats.textfiles import each_line, floats
from handsynth.hand.joints import INDEX, WRIST, gather, scatter
from handsynth.hand.pose import palm_from_wrist
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, HandSample
from handsynth.imaging.codecs import write_png
from handsynth.imaging.registration import registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files
from handsynth.runtime.settings import Settings

_TRAINING = "Training/labels.txt"
_TURN = re.compile(r"-?\d{1,3}([-.]\d)?")
"""Folder of copies turned by so many degrees; recordings are named by their date."""
_RECORDING = re.compile(r"2014\d{3,}")
_IMAGE = re.compile(r"image_(\d+)\.png")
_LINE_END = " \r\r\n"
_APPROXIMATE = [INDEX[name] for name in ("thumb_mcp", "index_pip", "middle_pip", "ring_pip", "pinky_pip")]
"""Slots filled by the source's "mid" points."""


class IcvlOptions(Settings, frozen=True, kw_only=True):
    """Originals only, or the turned copies as well."""

    rotated: bool = False
    """Also read the training images that were turned in the image plane, some fourteen for each original."""


@dataclass(frozen=True)
class _Place:
    """Where a labelled image stands: its recording, its frame there, and by how much it was turned."""

    name: str
    recording: str
    frame: str
    turn: str | None


class Icvl:
    """See :class:`handsynth.formats.format.Format`.

    A turned copy has the moment and the sequence of its original, its angle is its view. All 16 points are kept as
    ``extra["icvl_mm"]``, the palm centre alone as ``extra["palm_mm"]``.

    ``write`` keeps a sample's recording (and angle) where it is ICVL's; other test samples go to test_seq_1, others to
    a new recording for each subject and sequence. Frames are numbered anew, copies of one moment alike. The palm centre
    is derived from the wrist where it is not known; wrist and DIPs are dropped. Samples of other cameras are resampled,
    right hands mirrored, colour and masks dropped.
    """

    name: ClassVar[str] = "icvl"
    summary: ClassVar[str] = "ICVL: real depth of left-looking hands, 16 points without wrist and DIPs"
    fields: ClassVar[Mapping[str, Field]] = {
        "depth_mm": Field(tolerance=0.5, note="whole mm"),
        "joints_mm": Field(tolerance=5e-3, note="labels have three decimals; wrist and DIPs are absent"),
        "keypoints_px": Field(tolerance=1e-3, note="three decimals; wrist and DIPs are absent"),
        "camera": Field(tolerance=1e-3),
        "split": Field(),
        "side": Field(note="always left, as seen"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = IcvlOptions

    def annotations(self, root: Path, options: IcvlOptions) -> list[Path]:
        require_folder(root, self.name)
        tests = load_manifest(self.name).test
        found = [root / name for name in (_TRAINING, *(f"Testing/{test}.txt" for test in tests))]
        found = [path for path in found if path.is_file()]
        if not found:
            raise nothing_found(f"{_TRAINING} or Testing/{tests[0]}.txt", root, self.name)
        return found

    def catalogue(self, root: Path, options: IcvlOptions) -> Iterator[pa.Table]:
        for path in self.annotations(root, options):
            listings: dict[str, frozenset[str]] = {}
            some = False
            for batch in batched(_labelled(path, options.rotated)):
                some = True
                places = [place for place, _ in batch]
                _require_images(root, path, places, listings)
                yield _table(root, path, places, np.stack([uvd for _, uvd in batch]))
            if not some and next(each_line(path), None) is not None:
                found = "copies turned in the image plane only"
                raise DataError(sentence("original recordings", found, path, "set the option rotated = true"))

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["depth_file"])
        return replace(sample, depth_mm=read_depth16(path, sample.camera, window))

    def write(self, root: Path, samples: Iterable[HandSample], options: IcvlOptions) -> None:
        manifest = load_manifest(self.name)
        recordings: dict[tuple[str | None, str | None], str] = {}
        numbers: dict[str, dict[str, int]] = {}
        taken: set[str] = set()
        lines: dict[str, list[str]] = {}
        for given in samples:
            require_fields(given, self.name, "depth_mm", "camera")
            sample = seen_by(registered(of_side(given, manifest.sides[0])), manifest.camera("depth"))
            own = sample.sequence or ""
            folder = own
            if sample.split == "test":
                recording = own if own in manifest.test else manifest.test[0]
                folder, images, labels = recording, "Testing/Depth", f"Testing/{recording}.txt"
            else:
                made = f"2014{len(recordings):08d}"
                recording = own if _RECORDING.fullmatch(own) else recordings.setdefault((sample.subject, own), made)
                turned = own == recording and sample.view is not None and _TURN.fullmatch(sample.view)
                folder, images, labels = recording, "Training/Depth", _TRAINING
                folder = f"{sample.view}/{recording}" if turned else recording
            numbered = numbers.setdefault(recording, {})
            name = f"{folder}/image_{numbered.setdefault(sample.moment or sample.key, len(numbered)):04d}.png"
            if name in taken:  # another view or hand of the same moment
                name = f"{folder}/image_{numbered.setdefault(sample.key, len(numbered)):04d}.png"
            taken.add(name)
            assert sample.depth_mm is not None
            depth = np.clip(np.rint(np.nan_to_num(sample.depth_mm)), 0, 65535).astype(np.uint16)
            words = " ".join(f"{number:.3f}" for number in _source_uvd(sample).ravel())
            write_png(root / images / name, depth)
            lines.setdefault(labels, []).append(f"{name} {words}{_LINE_END}")
        for labels, rows in lines.items():
            files.write(root / labels, "".join(rows).encode())


def _labelled(path: Path, rotated: bool) -> Iterator[tuple[_Place, np.ndarray]]:
    """Each wanted line of a label file: its image and (16, 3) u px, v px, depth mm."""
    count = len(load_manifest("icvl").joints)
    for line in each_line(path):
        name, *words = line.split()
        place = _place(name, path)
        if place.turn is None or rotated:
            yield place, floats(words, 3 * count, f"the line of {name} in {path}").reshape(count, 3)


def _place(name: str, path: Path) -> _Place:
    *folders, file = name.split("/")
    frame = _IMAGE.fullmatch(file)
    recording = "/".join(folder for folder in folders if not _TURN.fullmatch(folder))
    if frame is None or not recording:
        # A turned copy that does not say of what could not be kept together with its original.
        wanted = "lines that start like 201403121135/image_0000.png"
        raise DataError(sentence(wanted, repr(name[:60]), path, "use the publisher's own file"))
    turns = [folder for folder in folders if _TURN.fullmatch(folder) and folder != "0"]
    return _Place(name, recording, frame[1], "/".join(turns) or None)


def _images(path: Path) -> str:
    """Folder of the images that a label file names, below the root."""
    return f"{path.parent.name}/Depth"


def _require_images(root: Path, path: Path, places: list[_Place], listings: dict[str, frozenset[str]]) -> None:
    for folder, group in groupby(places, key=lambda place: place.name.rpartition("/")[0]):
        there = inside(root / _images(path), folder)
        if folder not in listings:
            listings[folder] = listing(there)
        require_names((place.name.rpartition("/")[2] for place in group), listings[folder], there, path.name)


def _table(root: Path, path: Path, places: list[_Place], uvd: np.ndarray) -> pa.Table:
    manifest = load_manifest("icvl")
    camera = manifest.camera("depth")
    uvd = np.where(uvd[..., 2:] > 0, uvd, np.nan)  # nothing lies behind the camera
    points = camera.lift(uvd[..., :2], uvd[..., 2])
    joints, keypoints = gather(points, manifest.order), gather(uvd[..., :2], manifest.order)
    state = states(joints)
    state[:, _APPROXIMATE] = np.where(state[:, _APPROXIMATE] == ABSENT, ABSENT, DERIVED)
    images = _images(path)
    return build_table(
        len(places),
        key=[place.name.removesuffix(".png") for place in places],
        sequence=[place.recording for place in places],
        frame=[place.frame for place in places],
        view=[place.turn for place in places],
        moment=[f"{place.recording}/{place.frame}" for place in places],
        split="test" if path.stem in manifest.test else "train",
        side=manifest.sides[0],
        joints_mm=joints,
        joint_state=state,
        keypoints_px=keypoints,
        keypoint_state=state,
        camera=camera,
        extra={"icvl_mm": points, "palm_mm": points[:, [manifest.joints.index("palm")]]},
        depth_file=[f"{images}/{place.name}" for place in places],
    )


def _source_uvd(sample: HandSample) -> np.ndarray:
    """(16, 3) u px, v px, depth mm: the sample's own points, else its joints and a palm centre.

    Raises:
        DataError: one of them is not known.
    """
    manifest = load_manifest("icvl")
    points = sample.extra.get("icvl_mm")
    if points is None:
        joints = np.full((21, 3), np.nan) if sample.joints_mm is None else sample.joints_mm.astype(np.float64)
        points = scatter(joints, manifest.order, len(manifest.joints))
        palm = sample.extra.get("palm_mm")
        points[manifest.joints.index("palm")] = (
            palm_from_wrist(joints[WRIST], joints[INDEX["ring_mcp"]]) if palm is None else np.reshape(palm, 3)
        )
    unknown = int((~np.isfinite(points).all(-1)).sum())
    if unknown:
        raise DataError(sentence("16 points to write icvl", f"{unknown} unknown", f"sample {sample.key}"))
    assert sample.camera is not None
    return np.concatenate([sample.camera.project(points), points[:, 2:]], axis=-1)
