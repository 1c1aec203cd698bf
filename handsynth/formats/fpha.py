"""FPHA (Garcia-Hernando et al., CVPR 2018): daily actions seen by an RGB-D camera on the shoulder, right hands.

Reads and writes ``Video_files/Subject_1/put_salt/1/color/color_0000.jpeg``, ``.../depth/depth_0000.png`` and
``Hand_pose_annotation_v1/Subject_1/put_salt/1/skeleton.txt``. Labels lie in the depth camera's frame and are brought
to colour: X_color = R X_label + t.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, states
from handsynth.formats.depthfiles import read_depth16
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
from handsynth.formats.manifest import load_manifest
from handsynth.formats.textfiles import floats, read_lines
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import gather, scatter
from handsynth.hand.rows import from_row
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color, write_jpeg, write_png
from handsynth.imaging.registration import depth_seen_by, registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime import files, progress
from handsynth.runtime.settings import Settings

_SUBJECT = re.compile(r"Subject_[1-6]")
_ACTION = re.compile(r"[a-z]+(_[a-z]+)*")
_REPETITION = re.compile(r"\d{1,3}")
_SEQUENCE = re.compile(r"[a-z]+(_[a-z]+)*/\d{1,3}")
_LABELS = ("Hand_pose_annotation_v1_1", "Hand_pose_annotation_v1")
_ACTION_SPLIT = "data_split_action_recognition.txt"
_HEADS = {"Training": "train", "Test": "test"}
_MOST_FRAMES = 10_000
"""File names have four digits."""
_PART_ROWS = 4096


class FphaOptions(Settings, frozen=True, kw_only=True):
    """Which pixels, and which of the official splits."""

    camera: Literal["color", "depth"] = "color"
    """Samples of the colour camera, or depth images alone as their own camera saw them."""
    depth: Literal["registered", "raw", "none"] = "registered"
    """Beside colour: warped into its camera at its resolution; as stored, with its own camera; or left out."""
    split: Literal["subject", "object", "action"] = "subject"
    """New in the test: subjects, objects, or nothing (the action recognition file, half and half)."""


@dataclass(frozen=True)
class _Sequence:
    """One ``skeleton.txt``."""

    subject: str
    action: str
    repetition: str
    labels: Path

    @property
    def path(self) -> str:
        return f"{self.subject}/{self.action}/{self.repetition}"


@dataclass
class _Part:
    """Rows of a part of the catalogue, gathered sequence by sequence."""

    words: dict[str, list[Any]] = field(default_factory=dict)
    points: list[np.ndarray] = field(default_factory=list)

    def add(self, points: np.ndarray, **words: list[Any]) -> None:
        self.points.append(points)
        for name, values in words.items():
            self.words.setdefault(name, []).extend(values)

    def __len__(self) -> int:
        return sum(map(len, self.points))


class Fpha:
    """See :class:`handsynth.formats.format.Format`.

    Images without a row in ``skeleton.txt`` stay, with absent joints. Sequences that the publishers say to ignore are
    kept and marked: ``extra["known_bad"]`` is 1. Subjects without videos are left out, and said.

    ``write`` keeps a sample's subject and sequence where they are FPHA's and agree with its split, otherwise makes a
    sequence for each split. Samples of other cameras are resampled into colour (or into depth, by the option), depth
    is warped to the depth camera, left hands are mirrored, masks are dropped, frames are numbered from 0.
    """

    name: ClassVar[str] = "fpha"
    summary: ClassVar[str] = "FPHA: real first-person RGB-D of right hands in daily actions, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG; not with camera = depth"),
        "depth_mm": Field(tolerance=0.5, note="whole mm; exactly so with depth = raw, else warped and back"),
        "joints_mm": Field(tolerance=1e-3, note="text of four digits behind the point"),
        "joint_state": Field(),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-3),
        "split": Field(),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = FphaOptions

    def annotations(self, root: Path, options: FphaOptions) -> list[Path]:
        sequences, _ = self._sequences(root)
        listed = [root / _ACTION_SPLIT] if options.split == "action" else []
        return require_files([*listed, *(sequence.labels for sequence in sequences)], root, self.name)

    def catalogue(self, root: Path, options: FphaOptions) -> Iterator[pa.Table]:
        sequences, unseen = self._sequences(root)
        if unseen:
            progress.say(f"{self.name}: no videos of {', '.join(unseen)} in {root / 'Video_files'}; left out")
        listed = _read_action_split(root / _ACTION_SPLIT) if options.split == "action" else {}
        part, bare = _Part(), 0
        with progress.task(f"reading annotations of {self.name}", len(sequences)) as advance:
            for sequence in sequences:
                bare += self._add(part, root, sequence, options, _split(sequence.path, options, listed))
                if len(part) >= _PART_ROWS:
                    yield _table(part, options)
                    part = _Part()
                advance()
        if len(part):
            yield _table(part, options)
        if bare:
            progress.say(f"{self.name}: {bare} images have no row in their skeleton.txt; their joints are absent")

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        depth_file = row["depth_file"]
        if row["rgb_file"] is None:
            path = inside(root, depth_file)
            return replace(sample, depth_mm=read_depth16(path, sample.camera, window))
        path = inside(root, row["rgb_file"])
        sample = replace(sample, rgb=require_size(read_color(path, window), sample.camera, path))
        if depth_file is None:
            return sample
        camera, move = _depth_lens()
        depth = read_depth16(inside(root, depth_file), camera)
        raw = replace(sample, depth_mm=depth, depth_camera=camera, depth_from_color=move)
        return registered(raw, window) if row["depth_camera"] is None else raw

    def write(self, root: Path, samples: Iterable[HandSample], options: FphaOptions) -> None:
        manifest = load_manifest(self.name)
        camera, depth_from_color = _depth_lens()
        rows: dict[str, list[np.ndarray]] = {}
        splits: dict[str, str] = {}
        made: dict[str, str] = {}
        pixels = "rgb" if options.camera == "color" else "depth_mm"
        for given in samples:
            require_fields(given, self.name, pixels, "joints_mm", "camera")
            sided = of_side(given, manifest.sides[0])
            sample = (
                seen_by(sided, manifest.camera("color"))
                if options.camera == "color"
                else replace(seen_by(registered(sided), camera), rgb=None)
            )
            sequence = _place(given, options, rows, splits, made)
            points = rows.setdefault(sequence, [])
            video = root / "Video_files" / sequence
            if sample.rgb is not None:
                write_jpeg(video / "color" / f"color_{len(points):04d}.jpeg", sample.rgb)
            if sample.depth_mm is not None and (options.depth != "none" or options.camera == "depth"):
                depth = depth_seen_by(sample, *_depth_lens()) if options.camera == "color" else sample.depth_mm
                whole = np.clip(np.rint(np.nan_to_num(depth)), 0, 65535).astype(np.uint16)
                write_png(video / "depth" / f"depth_{len(points):04d}.png", whole)
            assert sample.joints_mm is not None
            joints = sample.joints_mm if options.camera == "depth" else depth_from_color.apply(sample.joints_mm)
            points.append(scatter(np.asarray(joints, np.float64), manifest.order, 21) / manifest.to_mm)
        for sequence, frames in rows.items():
            lines = [
                " ".join([str(i), *(f"{number:.4f}" for number in frame.ravel())]) for i, frame in enumerate(frames)
            ]
            files.write(root / _LABELS[1] / sequence / "skeleton.txt", "\n".join([*lines, ""]).encode())
        if options.split == "action":
            _write_action_split(root / _ACTION_SPLIT, splits)

    def _sequences(self, root: Path) -> tuple[list[_Sequence], list[str]]:
        """All label files whose subject has videos, in a fixed order; and the subjects that have none.

        Raises:
            MissingError: there is none.
        """
        require_folder(root, self.name)
        folder = next((root / name for name in _LABELS if (root / name).is_dir()), None)
        if folder is None:
            raise nothing_found(f"the folder {_LABELS[1]}", root, self.name)
        videos = frozenset(filter(_SUBJECT.fullmatch, listing(root / "Video_files")))
        labelled = sorted(filter(_SUBJECT.fullmatch, listing(folder)))
        absent = [subject for subject in labelled if subject not in videos]
        found = [
            _Sequence(subject, action, repetition, folder / subject / action / repetition / "skeleton.txt")
            for subject in labelled
            if subject in videos
            for action in sorted(filter(_ACTION.fullmatch, listing(folder / subject)))
            for repetition in sorted(filter(_REPETITION.fullmatch, listing(folder / subject / action)), key=int)
        ]
        if not found:
            raise nothing_found("folders like Video_files/Subject_1 and their skeleton.txt files", root, self.name)
        return found, absent

    def _add(self, part: _Part, root: Path, sequence: _Sequence, options: FphaOptions, split: str | None) -> int:
        """Add a sequence's rows; returns how many of its images have no label."""
        points = read_skeleton(sequence.labels)
        video = root / "Video_files" / sequence.path
        kinds = {
            "color": ("color_{}.jpeg", listing(video / "color")),
            "depth": ("depth_{}.png", listing(video / "depth")),
        }
        pattern, names = kinds[options.camera]
        expression = re.compile(pattern.format(r"\d{4}").replace(".", r"\."))
        count = max(len(points), sum(expression.fullmatch(name) is not None for name in names))
        frames = [f"{i:04d}" for i in range(count)]
        paths: dict[str, list[str | None]] = {}
        for kind, (pattern, found) in kinds.items():
            wanted = kind == options.camera or (kind == "depth" and options.depth != "none" and bool(found))
            if wanted:
                require_names(map(pattern.format, frames), found, video / kind, sequence.labels.name)
            base = f"Video_files/{sequence.path}/{kind}/"
            paths[kind] = [base + pattern.format(frame) if wanted else None for frame in frames]
        bad = load_manifest(self.name).bad_frames(sequence.path)
        part.add(
            np.concatenate([points, np.full((count - len(points), 21, 3), np.nan)]),
            key=[f"{sequence.path}/{frame}" for frame in frames],
            subject=[sequence.subject] * count,
            sequence=[f"{sequence.action}/{sequence.repetition}"] * count,
            frame=frames,
            split=[split] * count,
            rgb_file=paths["color"] if options.camera == "color" else [None] * count,
            depth_file=paths["depth"],
            known_bad=[1.0 if i in bad else np.nan for i in range(count)],
        )
        return count - len(points)


def read_skeleton(path: Path) -> np.ndarray:
    """(N, 21, 3) float64 as stored: mm, depth camera, source order; an empty file has N = 0.

    Raises:
        MissingError, DataError: the file is not there, a line is not 64 finite numbers, or frames do not follow on.
    """
    lines = read_lines(path)
    rows = [floats(line.split(), 64, f"line {i} of {path}") for i, line in enumerate(lines, 1)]
    values = np.array(rows).reshape(-1, 64)
    if not (np.diff(values[:, 0]) == 1).all():
        fault = int(np.flatnonzero(np.diff(values[:, 0]) != 1)[0]) + 2
        where = f"line {fault} of {path}"
        raise DataError(sentence("frame numbers in steps of 1", "another step", where, "extract the archive again"))
    return values[:, 1:].reshape(-1, 21, 3)


def _table(part: _Part, options: FphaOptions) -> pa.Table:
    manifest = load_manifest("fpha")
    camera, move = manifest.camera(options.camera), manifest.transform("color_from_depth")
    joints = gather(np.concatenate(part.points), manifest.order) * manifest.to_mm
    joints = move.apply(joints) if options.camera == "color" else joints
    keypoints = camera.project(joints)
    raw = options.camera == "color" and options.depth == "raw" and any(part.words["depth_file"])
    depth_camera, depth_from_color = _depth_lens()
    words = {name: values for name, values in part.words.items() if name != "known_bad"}
    return build_table(
        len(joints),
        **words,
        moment=part.words["key"],
        side=manifest.sides[0],
        joints_mm=joints,
        keypoints_px=keypoints,
        keypoint_state=states(keypoints, DERIVED),
        camera=camera,
        depth_camera=depth_camera if raw else None,
        depth_from_color=depth_from_color if raw else None,
        extra={"known_bad": np.array(part.words["known_bad"])},
    )


def _depth_lens() -> tuple[Camera, RigidTransform]:
    """The depth camera and the move from colour to it."""
    manifest = load_manifest("fpha")
    return manifest.camera("depth"), manifest.transform("color_from_depth").inverse()


def _split(sequence: str, options: FphaOptions, listed: Mapping[str, str]) -> str | None:
    """Split of a sequence like ``Subject_1/put_salt/1``; None where the action split does not list it."""
    manifest = load_manifest("fpha")
    subject, action, _ = sequence.split("/")
    if options.split == "action":
        return listed.get(sequence)
    test = subject in manifest.test if options.split == "subject" else action in manifest.groups["cross_object_test"]
    return "test" if test else "train"


def _place(
    sample: HandSample,
    options: FphaOptions,
    rows: Mapping[str, list[np.ndarray]],
    splits: dict[str, str],
    made: dict[str, str],
) -> str:
    """The sequence for a sample: its own where that fits its split, else one made for the split.

    ``splits`` says of each sequence which split it holds, ``made`` of each split which sequence was made last.
    """
    manifest = load_manifest("fpha")
    split = "test" if sample.split == "test" else "train"
    own = f"{sample.subject}/{sample.sequence}"
    named = _SUBJECT.fullmatch(sample.subject or "") and _SEQUENCE.fullmatch(sample.sequence or "")
    fits = named and _split(own, options, {own: split}) == split and len(rows.get(own, ())) < _MOST_FRAMES
    if fits and splits.setdefault(own, split) == split:
        return own
    if split not in made or len(rows.get(made[split], ())) >= _MOST_FRAMES:
        subjects = (f"Subject_{i}" for i in range(1, 7))
        candidates = (
            f"{subject}/{action}/{repetition}"
            for subject in subjects
            for action in manifest.groups["actions"]
            for repetition in range(1, 1000)
        )
        made[split] = next(
            name for name in candidates if name not in splits and _split(name, options, {name: split}) == split
        )
        splits[made[split]] = split
    return made[split]


def _read_action_split(path: Path) -> dict[str, str]:
    """Sequence -> split. Lines under ``Training N`` and ``Test N`` are ``Subject_1/put_salt/1 LABEL``.

    Raises:
        MissingError, DataError: the file is not there, or a line is something else.
    """
    listed: dict[str, str] = {}
    split = None
    for line in read_lines(path):
        words = line.split()
        if words[0] in _HEADS:
            split = _HEADS[words[0]]
        elif split is None or words[0].count("/") != 2:
            raise DataError(sentence("lines like Subject_1/put_salt/1 26", repr(line[:60]), path, "fetch it again"))
        else:
            listed[words[0]] = split
    return listed


def _write_action_split(path: Path, splits: Mapping[str, str]) -> None:
    actions = load_manifest("fpha").groups["actions"]
    lines = []
    for head, split in _HEADS.items():
        names = [name for name, held in splits.items() if held == split]
        lines.append(f"{head} {len(names)}")
        for name in names:
            action = name.split("/")[1]
            lines.append(f"{name} {actions.index(action) if action in actions else len(actions)}")
    files.write(path, "\n".join([*lines, ""]).encode())
