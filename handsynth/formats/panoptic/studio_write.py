"""Samples into Panoptic Studio sequences: images at once, the numbers of all samples at the end.

Writes ``SEQUENCE/hdImgs/00_05/00_05_00000100.jpg``, ``SEQUENCE/hdHand3d/handRecon3D_hd00000100.json`` and
``SEQUENCE/calibration_SEQUENCE.json``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.formats.jsonfiles import write_json
from handsynth.formats.layout import require_fields
from handsynth.formats.manifest import load_manifest
from handsynth.formats.panoptic.studio import HD_PANEL, SIDES, VIEW, calibration_file
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import scatter
from handsynth.hand.sample import ABSENT, HandSample
from handsynth.imaging.codecs import write_jpeg

_SEQUENCE = re.compile(r"\d{6}_\w+")
_NUMBER = re.compile(r"\d{1,9}")
_SAME_HAND_MM = 1.0


@dataclass
class _WrittenHand:
    """World joints (21, 3) mm, NaN where not known, scores (21,), and the cameras that it was written for."""

    world_mm: np.ndarray
    scores: np.ndarray
    views: set[str]


@dataclass
class _Written:
    """What one sequence holds so far; people of a frame are hands by side."""

    cameras: dict[str, tuple[float, ...]] = field(default_factory=dict)
    names: dict[tuple[float, ...], str] = field(default_factory=dict)
    lenses: dict[str, tuple[Camera, RigidTransform]] = field(default_factory=dict)
    moments: dict[tuple[str, ...], list[int]] = field(default_factory=dict)
    people: dict[int, list[dict[str, _WrittenHand]]] = field(default_factory=dict)
    images: set[tuple[int, str]] = field(default_factory=set)
    next_frame: int = 0


def write(root: Path, samples: Iterable[HandSample]) -> None:
    """Lay samples out as the publishers do; see :class:`handsynth.formats.panoptic.Panoptic`.

    Raises:
        DataError: a sample lacks colour, a camera, joints or a side.
    """
    sequences: dict[str, _Written] = {}
    for sample in samples:
        require_fields(sample, "panoptic", "rgb", "camera")
        if sample.joints_mm is None:
            require_fields(sample, "panoptic", "joints_mm")
        if sample.side not in SIDES:
            raise DataError(sentence("a left or right hand", f"side {sample.side}", f"sample {sample.key}"))
        name = _sequence_name(sample.sequence)
        written = sequences.setdefault(name, _Written())
        view = _camera_name(written, sample)
        frame = _place(written, sample, view)
        if (frame, view) not in written.images:
            written.images.add((frame, view))
            assert sample.rgb is not None
            write_jpeg(root / name / "hdImgs" / view / f"{view}_{frame:08d}.jpg", sample.rgb)
    for name, written in sequences.items():
        for frame, people in written.people.items():
            label = {"fpsType": "hd_29_97", "people": [_person(i, hands) for i, hands in enumerate(people)]}
            write_json(root / name / "hdHand3d" / f"handRecon3D_hd{frame:08d}.json", label)
        cameras = [_lens(view, *lens) for view, lens in written.lenses.items()]
        write_json(calibration_file(root / name), {"cameras": cameras})


def _sequence_name(own: str | None) -> str:
    if own and _SEQUENCE.fullmatch(own):
        return own
    return f"000000_{own}" if own and re.fullmatch(r"\w+", own) else "000000_hands"


def _camera_name(written: _Written, sample: HandSample) -> str:
    """The camera's name in its sequence: the sample's own where it fits and is free; one name per calibration."""
    camera = sample.camera
    assert camera is not None
    move = _world(sample).inverse()
    numbers = (*np.ravel(move.rotation), *move.translation_mm, *camera.matrix.ravel(), *camera.distortion)
    calibration = tuple(round(float(number), 6) for number in (*numbers, camera.width, camera.height))
    own = sample.view if VIEW.fullmatch(sample.view or "") else None
    if own and written.cameras.get(own) == calibration:
        return own
    if calibration in written.names:
        return written.names[calibration]
    free = len(written.cameras)
    name = own or f"00_{free:02d}"
    while name in written.cameras:
        name, free = f"00_{free:02d}", free + 1
    written.cameras[name], written.lenses[name] = calibration, (camera, move)
    written.names[calibration] = name
    return name


def _world(sample: HandSample) -> RigidTransform:
    return sample.world_from_camera or RigidTransform.of(np.eye(3), np.zeros(3))


def _place(written: _Written, sample: HandSample, view: str) -> int:
    """The frame that holds this hand: that of its moment, unless this camera has seen just this hand there already."""
    assert sample.joints_mm is not None
    valid = (sample.joint_state != ABSENT) & np.isfinite(sample.joints_mm).all(-1)
    world = np.where(valid[:, None], _world(sample).apply(sample.joints_mm), np.nan)
    scores = np.reshape(sample.extra.get("score", valid.astype(np.float64)), 21)
    moment: tuple[str, ...] = (sample.moment or sample.key,)
    if sample.world_from_camera is None:
        moment = (*moment, sample.view or "")
    frames = written.moments.setdefault(moment, [])
    for frame in frames:
        people = written.people[frame]
        same = [hands[sample.side] for hands in people if sample.side in hands and _same(hands[sample.side], world)]
        if same and view not in same[0].views:
            same[0].views.add(view)
            return frame
        if not same:
            _add_hand(people, sample.side, _WrittenHand(world, scores, {view}))
            return frame
    own = sample.frame or ""
    frame = int(own) if _NUMBER.fullmatch(own) else written.next_frame
    while frame in written.people:
        frame, written.next_frame = written.next_frame, written.next_frame + 1
    frames.append(frame)
    _add_hand(written.people.setdefault(frame, []), sample.side, _WrittenHand(world, scores, {view}))
    return frame


def _same(hand: _WrittenHand, world_mm: np.ndarray) -> bool:
    return not (np.abs(hand.world_mm - world_mm) > _SAME_HAND_MM).any()


def _add_hand(people: list[dict[str, _WrittenHand]], side: str, hand: _WrittenHand) -> None:
    """To the first person without a hand of that side; whose hands belong together is not known."""
    for hands in people:
        if side not in hands:
            hands[side] = hand
            return
    people.append({side: hand})


def _person(number: int, hands: dict[str, _WrittenHand]) -> dict[str, Any]:
    manifest = load_manifest("panoptic")
    person: dict[str, Any] = {"id": number}
    for side, hand in hands.items():
        points = scatter(hand.world_mm, manifest.order, 21) / manifest.to_mm
        scores = scatter(hand.scores[:, None].astype(np.float64), manifest.order, 21)[:, 0]
        valid = np.isfinite(points).all(-1)
        person[f"{side}_hand"] = {
            "landmarks": np.where(valid[:, None], points, 0).ravel().tolist(),
            "averageScore": np.nan_to_num(scores).tolist(),
            "averageReproError": [0.0] * 21,
            "validity": valid.tolist(),
            "visibility": [[] for _ in range(21)],
        }
    return person


def _lens(view: str, camera: Camera, camera_from_world: RigidTransform) -> dict[str, Any]:
    translation = np.array(camera_from_world.translation_mm) / load_manifest("panoptic").to_mm
    return {
        "name": view,
        "type": "hd",
        "resolution": [camera.width, camera.height],
        "panel": HD_PANEL,
        "node": int(view.split("_")[1]),
        "K": camera.matrix.tolist(),
        "distCoef": [*(*camera.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]],
        "R": [list(row) for row in camera_from_world.rotation],
        "t": translation[:, None].tolist(),
    }
