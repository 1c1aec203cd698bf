"""HanCo's files as they are written: what each holds, which samples make one frame, and how they are numbered.

Writes images, masks, calibrations and joints of one frame after the other; :mod:`handsynth.formats.hanco` reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import numpy as np

from handsynth.formats.freihand import write_mask
from handsynth.formats.jsonfiles import write_json
from handsynth.formats.layout import of_side, require_fields
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import RigidTransform
from handsynth.hand.joints import scatter
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import write_jpeg
from handsynth.imaging.registration import fitted, same_camera, seen_by

Variant = Literal["rgb", "rgb_merged", "rgb_homo", "rgb_color_auto", "rgb_color_sample"]
MAIN = "rgb"
"""The variant as recorded; the endings of the others are also those of their views' names."""
_ENDING = re.compile("|".join(f"{name.removeprefix(MAIN)}$" for name in get_args(Variant) if name != MAIN))
_AGREE_MM = 0.1
_STAY = RigidTransform.of(np.eye(3), np.zeros(3))


class Meta(msgspec.Struct):
    """``meta.json``: lists of frames by sequence."""

    is_train: list[list[bool | int]]
    subject_id: list[list[int | None]]
    is_valid: list[list[bool | int]]
    object_id: list[list[int | None]]
    has_fit: list[list[bool | int]]


class FrameWords(NamedTuple):
    """What ``meta.json`` says of one frame, in the order of :class:`Meta`."""

    is_train: bool | int
    subject_id: int | None
    is_valid: bool | int
    object_id: int | None
    has_fit: bool | int


class Calibration(msgspec.Struct):
    """K (C, 3, 3) and M (C, 4, 4)."""

    K: list[list[list[float]]]
    M: list[list[list[float]]]


def fitting(given: HandSample) -> HandSample:
    """The sample as this layout shows it: a right hand in a small picture, with all joints or none."""
    manifest = load_manifest("hanco")
    require_fields(given, "hanco", "rgb", "camera")
    if given.joints_mm is not None and np.isfinite(given.joints_mm).any():
        require_fields(given, "hanco", "joints_mm")
    else:
        given = replace(given, joints_mm=None)
    right = of_side(given, manifest.sides[0])
    assert right.camera is not None
    return seen_by(right, fitted(right.camera, *manifest.image_size))


def _base(view: str) -> str:
    """The camera's name, without the variant."""
    return _ENDING.sub("", view)


def _in_world(sample: HandSample) -> np.ndarray | None:
    """(21, 3) mm in the world, which is the camera's own frame where nothing else is known."""
    return None if sample.joints_mm is None else (sample.world_from_camera or _STAY).apply(sample.joints_mm)


@dataclass(frozen=True)
class Instant:
    """Samples of one moment that make one frame, by the names of their views."""

    views: dict[str, HandSample]

    @property
    def first(self) -> HandSample:
        return self.views[min(self.views)]

    @property
    def masked(self) -> bool:
        return all(sample.mask is not None for sample in self.views.values())

    def takes(self, sample: HandSample) -> bool:
        """Whether the sample is another view, or another variant of a view, of the same hand at the same place."""
        first, view = self.first, sample.view or ""
        if view in self.views or sample.world_from_camera is None or first.world_from_camera is None:
            return False
        for name, known in self.views.items():
            assert known.camera is not None
            assert sample.camera is not None
            if _base(name) == _base(view) and not same_camera(known.camera, sample.camera):
                return False
        here, there = _in_world(first), _in_world(sample)
        if here is None or there is None:
            return here is there
        return bool(np.allclose(here, there, rtol=0, atol=_AGREE_MM))

    def write(self, root: Path, place: tuple[str, str]) -> None:
        sequence, frame = place
        scale = load_manifest("hanco").to_mm
        cameras = sorted({_base(view) for view in self.views})
        k: list[Any] = [None] * len(cameras)
        m: list[Any] = [None] * len(cameras)
        for view, sample in self.views.items():
            number, ending = cameras.index(_base(view)), view.removeprefix(_base(view))
            assert sample.rgb is not None
            assert sample.camera is not None
            write_jpeg(root / f"{MAIN}{ending}" / sequence / f"cam{number}" / f"{frame}.jpg", sample.rgb)
            if self.masked and sample.mask is not None:
                write_mask(root / "mask_hand" / sequence / f"cam{number}" / f"{frame}.jpg", sample.mask)
            move = (sample.world_from_camera or _STAY).inverse()
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = np.array(move.rotation), np.array(move.translation_mm) / scale
            k[number], m[number] = sample.camera.matrix.tolist(), matrix.tolist()
        write_json(root / "calib" / sequence / f"{frame}.json", Calibration(K=k, M=m))
        world = _in_world(self.first)
        (root / "xyz" / sequence).mkdir(parents=True, exist_ok=True)
        if world is not None:
            stored = scatter(world, load_manifest("hanco").order, 21) / scale
            write_json(root / "xyz" / sequence / f"{frame}.json", stored.tolist())


@dataclass
class Book:
    """Numbers given to sequences, frames and subjects, and what ``meta.json`` is to say."""

    sequences: dict[tuple[Any, ...], int] = field(default_factory=dict)
    subjects: dict[str, int] = field(default_factory=dict)
    rows: dict[int, list[FrameWords]] = field(default_factory=dict)

    def place(self, instant: Instant) -> tuple[str, str]:
        """Names of the sequence and the frame."""
        first = instant.first
        source = (first.sequence, first.subject, instant.masked, *sorted(instant.views))
        if source not in self.sequences:
            word = first.sequence or ""
            number = int(word) if re.fullmatch(r"\d{4}", word) else 0
            while number in self.rows:
                number += 1
            self.sequences[source] = number
            self.rows[number] = []
        number = self.sequences[source]
        frames = self.rows[number]
        valid, fit, item = (_number(first, name) for name in ("is_valid", "has_fit", "object_id"))
        words = FrameWords(first.split != "test", self._subject(first.subject), bool(valid), item, bool(fit))
        frames.append(words)
        return f"{number:04d}", f"{len(frames) - 1:08d}"

    def meta(self) -> Meta:
        lists = [self.rows.get(number, []) for number in range(max(self.rows, default=-1) + 1)]
        columns: list[Any] = [[[row[place] for row in rows] for rows in lists] for place in range(5)]
        return Meta(*columns)

    def _subject(self, word: str | None) -> int | None:
        if word is None or word.isdecimal():
            return None if word is None else int(word)
        return self.subjects.setdefault(word, len(self.subjects))


def _number(sample: HandSample, name: str) -> int | None:
    value = np.ravel(sample.extra.get(name, np.nan))[0]
    return None if np.isnan(value) else int(value)
