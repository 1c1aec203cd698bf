"""STB (Zhang et al., ICIP 2017): a left hand before a RealSense F200 (SK) and a Bumblebee2 stereo camera (BB).

Reads and writes ``images/B1Counting/SK_color_0.png`` and its kin and ``labels/B1Counting_SK.mat``. SK labels lie in
the depth camera's frame and are brought to colour: X_color = R^T (X_label - t). BB labels lie in the left camera's
frame. Joint 0 of the source is the palm centre: it stays in ``extra["palm_mm"]`` and the wrist is derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import build_table, states
from handsynth.formats.depthfiles import read_depth_bytes
from handsynth.formats.format import Field
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    of_side,
    points_with_palm,
    require_fields,
    require_files,
    require_folder,
    require_names,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.formats.matfiles import numbers, read_mat, write_mat
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import INDEX, WRIST, gather
from handsynth.hand.pose import wrist_from_palm
from handsynth.hand.rows import from_row
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color, split_bytes, write_png
from handsynth.imaging.registration import depth_seen_by, registered, seen_by
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import Settings

_SEQUENCE = re.compile(r"B[1-6](Counting|Random)")
_PARTS = {"SK": ("SK_color", "SK_depth"), "BB": ("BB_left", "BB_right")}
_RING_MCP = INDEX["ring_mcp"]
_NO_MOVE = RigidTransform.of(np.zeros(3), np.zeros(3))


class StbOptions(Settings, frozen=True, kw_only=True):
    """Which cameras, and what becomes of SK depth."""

    part: Literal["SK", "BB", "both"] = "SK"
    depth: Literal["registered", "raw", "none"] = "registered"
    """Warped into the colour camera at its resolution; as stored, with its own camera; or left out."""


@dataclass(frozen=True)
class _View:
    """One lens: the prefix of its files, its labels, its camera and its place in the labels' frame."""

    prefix: str
    part: str
    camera: Camera
    from_labels: RigidTransform


@dataclass(frozen=True)
class _Block:
    """One label file and what stands beside it: names of the sequence's images, and prefixes that must be there."""

    sequence: str
    part: str
    labels: Path
    names: frozenset[str]
    prefixes: frozenset[str]


def _views() -> dict[str, _View]:
    manifest = load_manifest("stb")
    bb = manifest.camera("bb")
    views = (
        _View("SK_color", "SK", manifest.camera("sk_color"), manifest.transform("sk_depth_from_color").inverse()),
        _View("BB_left", "BB", bb, _NO_MOVE),
        _View("BB_right", "BB", bb, manifest.transform("bb_right_from_left")),
    )
    return {view.prefix: view for view in views}


class Stb:
    """See :class:`handsynth.formats.format.Format`.

    Both cameras took each frame at the same time (the publishers' README), so all views of a frame share its moment.
    ``write`` keeps a sample's own STB sequence, otherwise puts test samples into B1Counting and others into
    B2Counting; its view is the sample's own, otherwise that of the option ``part``. Samples of other cameras are
    resampled, frames are numbered by moment, the palm centre is derived from the wrist where it is not known,
    registered depth is warped to the depth camera, right hands are mirrored, masks are dropped.
    """

    name: ClassVar[str] = "stb"
    summary: ClassVar[str] = "STB: real RGB, depth and stereo of a left hand, 20 joints and a palm centre"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(),
        "depth_mm": Field(tolerance=0.5, note="whole mm; of SK, exactly so with depth = raw, else warped and back"),
        "joints_mm": Field(tolerance=1e-3, note="the wrist is derived from the palm centre"),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-3),
        "split": Field(),
        "side": Field(note="always left"),
    }
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = StbOptions

    def annotations(self, root: Path, options: StbOptions) -> list[Path]:
        return [block.labels for block in self._blocks(root, options)]

    def catalogue(self, root: Path, options: StbOptions) -> Iterator[pa.Table]:
        for block in self._blocks(root, options):
            value = read_mat(block.labels, ["handPara"])["handPara"]
            value = value[..., None] if value.ndim == 2 else value  # MATLAB drops a last side of 1
            labels = numbers(value, (3, 21, None), "handPara", block.labels).transpose(2, 1, 0)
            for view in _views().values():
                if view.part == block.part and view.prefix in block.prefixes:
                    yield self._view_table(root, block, view, labels, options)

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        manifest = load_manifest(self.name)
        path = inside(root, row["rgb_file"])
        assert sample.camera is not None
        rgb = require_size(read_color(path, window), sample.camera, path)
        if row["depth_file"] is None:
            return replace(sample, rgb=rgb)
        camera, move = manifest.camera("sk_depth"), manifest.transform("sk_depth_from_color")
        depth = read_depth_bytes(inside(root, row["depth_file"]), camera, 1, 0)
        raw = replace(sample, rgb=rgb, depth_mm=depth, depth_camera=camera, depth_from_color=move)
        return registered(raw, window) if sample.depth_camera is None else raw

    def write(self, root: Path, samples: Iterable[HandSample], options: StbOptions) -> None:
        manifest = load_manifest(self.name)
        labels: dict[tuple[str, str], dict[int, np.ndarray]] = {}
        moments: dict[str, dict[str, int]] = {}
        written: dict[tuple[str, str], set[int]] = {}
        for given in samples:
            require_fields(given, self.name, "rgb", "joints_mm", "camera")
            own = given.sequence or ""
            sequence = own if _SEQUENCE.fullmatch(own) else "B1Counting" if given.split == "test" else "B2Counting"
            view = _views().get(given.view or "") or _views()["BB_left" if options.part == "BB" else "SK_color"]
            numbered = moments.setdefault(sequence, {})
            number = numbered.setdefault(given.moment or given.key, len(numbered))
            if number in written.setdefault((sequence, view.prefix), set()):  # the other hand of the same image
                number = numbered.setdefault(given.key, len(numbered))
            written[sequence, view.prefix].add(number)
            sample = seen_by(of_side(given, manifest.sides[0]), view.camera)
            assert sample.rgb is not None
            write_png(root / _image(sequence, view.prefix, number), sample.rgb)
            if view.part == "SK" and sample.depth_mm is not None:
                depth = depth_seen_by(sample, manifest.camera("sk_depth"), manifest.transform("sk_depth_from_color"))
                whole = np.clip(np.rint(np.nan_to_num(depth)), 0, 65535).astype(np.uint16)
                high, low = split_bytes(whole)
                picture = np.stack([low, high, np.zeros_like(low)], axis=-1)
                write_png(root / _image(sequence, "SK_depth", number), picture)
            points = view.from_labels.inverse().apply(points_with_palm(sample, manifest))
            labels.setdefault((sequence, view.part), {}).setdefault(number, points / manifest.to_mm)
        for (sequence, part), frames in labels.items():
            if sorted(frames) != list(range(len(moments[sequence]))):
                found = f"{len(frames)} for {len(moments[sequence])} moments"
                raise DataError(sentence(f"every moment of {sequence} seen by {part}", found, "the samples"))
            stack = np.stack([frames[number] for number in range(len(frames))])
            write_mat(root / "labels" / f"{sequence}_{part}.mat", {"handPara": stack.transpose(2, 1, 0)})

    def _blocks(self, root: Path, options: StbOptions) -> list[_Block]:
        """Everything that is there and wanted. A kind of image may lack, but then in all sequences."""
        require_folder(root, self.name)
        contents = {name: listing(_images(root) / name) for name in listing(_images(root)) if _SEQUENCE.fullmatch(name)}
        labels = listing(root / "labels")
        kept = {
            prefix for prefixes in _PARTS.values() for prefix in prefixes if any(map(_has(prefix), contents.values()))
        }
        blocks = []
        for sequence, part in product(sorted(contents), _PARTS):
            prefixes = kept.intersection(_PARTS[part])
            there = f"{sequence}_{part}.mat" in labels or any(_has(prefix)(contents[sequence]) for prefix in prefixes)
            if prefixes and there and options.part in (part, "both"):
                [path] = require_files([root / "labels" / f"{sequence}_{part}.mat"], root, self.name)
                blocks.append(_Block(sequence, part, path, contents[sequence], frozenset(prefixes)))
        if not blocks:
            wanted = "SK or BB" if options.part == "both" else options.part
            raise nothing_found(f"folders like images/B1Counting with {wanted} images", root, self.name)
        return blocks

    def _view_table(self, root: Path, block: _Block, view: _View, labels: np.ndarray, options: StbOptions) -> pa.Table:
        manifest = load_manifest(self.name)
        sequence, count = block.sequence, len(labels)
        folder = (_images(root) / sequence).relative_to(root).as_posix()
        depth = view.part == "SK" and options.depth != "none" and "SK_depth" in block.prefixes
        for prefix in (view.prefix, "SK_depth") if depth else (view.prefix,):
            require_names((f"{prefix}_{i}.png" for i in range(count)), block.names, root / folder, block.labels.name)
            found = sum(map(_named(prefix), block.names))
            if found != count:
                wanted = f"{count} images {prefix}, as {block.labels.name} labels"
                raise DataError(sentence(wanted, str(found), root / folder, "do not mix copies"))
        source = view.from_labels.apply(labels * manifest.to_mm)
        palm = source[:, manifest.joints.index("palm")]
        joints = gather(source, manifest.order)
        joints[:, WRIST] = wrist_from_palm(palm, joints[:, _RING_MCP])
        joint_state = states(joints)
        joint_state[:, WRIST] = DERIVED
        keypoints = view.camera.project(joints)
        raw = depth and options.depth == "raw"
        return build_table(
            count,
            key=[f"{sequence}/{view.prefix}_{i}" for i in range(count)],
            sequence=sequence,
            frame=[str(i) for i in range(count)],
            view=view.prefix,
            moment=[f"{sequence}/{i}" for i in range(count)],
            split="test" if sequence in manifest.test else "train",
            side=manifest.sides[0],
            joints_mm=joints,
            joint_state=joint_state,
            keypoints_px=keypoints,
            keypoint_state=states(keypoints, DERIVED),
            camera=view.camera,
            depth_camera=manifest.camera("sk_depth") if raw else None,
            depth_from_color=manifest.transform("sk_depth_from_color") if raw else None,
            extra={"palm_mm": palm},
            rgb_file=[f"{folder}/{view.prefix}_{i}.png" for i in range(count)],
            depth_file=[f"{folder}/SK_depth_{i}.png" for i in range(count)] if depth else None,
        )


def _images(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def _image(sequence: str, prefix: str, number: int) -> str:
    return f"images/{sequence}/{prefix}_{number}.png"


def _named(prefix: str) -> Callable[[str], bool]:
    """Whether a file is one of that kind; third parties add others, like SK_depth_seg_0.png."""
    pattern = re.compile(rf"{prefix}_\d+\.png")
    return lambda name: pattern.fullmatch(name) is not None


def _has(prefix: str) -> Callable[[frozenset[str]], bool]:
    return lambda names: any(map(_named(prefix), names))
