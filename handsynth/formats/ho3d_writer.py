"""Lays HO-3D out: see :class:`handsynth.formats.ho3d.Ho3d` for what is made to fit, and how."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.formats.layout import FrameNumbers, of_side, require_fields
from handsynth.formats.manifest import load_manifest
from handsynth.formats.pickles import write_pickle
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import WRIST, scatter
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import split_bytes, write_jpeg, write_png
from handsynth.imaging.registration import fitted, registered, seen_by
from handsynth.runtime import files, progress

DEPTH_STEP_MM = 0.12498664727900177
"""One step of the 16-bit depth, the constant of the publishers' scripts."""
_SEQUENCE = re.compile(r"[A-Z][A-Za-z]+\d{1,2}")
_MADE = "HS"
_OBJECT = ("objTrans", "objRot")
_TRAIN_ONLY = ("handPose", "handTrans", "handBeta", "objCorners3D", "objCorners3DRest", "objName", "objLabel")


def multi_camera_group(sequence: str, calibrated: Container[str]) -> tuple[str | None, str | None]:
    """Group and camera digit of a sequence; both None where its camera stood alone.

    Args:
        calibrated: groups that have a calibration, beside those that the publishers name.
    """
    group, view = sequence[:-1], sequence[-1]
    shared = group in load_manifest("ho3d").groups["multi_camera"] or group in calibrated
    return (group, view) if shared else (None, None)


class Ho3dWriter:
    """Lays samples out one by one and remembers what the list files and calibrations must say."""

    def __init__(self, root: Path, ending: str) -> None:
        self._root = root
        self._ending = ending
        self._numbers = FrameNumbers()
        self._lines: dict[str, list[str]] = {}
        self._held: dict[str, str] = {}  # sequence -> folder
        self._made: dict[str, str] = {}  # folder -> group
        self._views: dict[str, dict[str, str]] = {}  # made group -> view -> digit
        self._groups: dict[str, set[str]] = {}  # multi-camera group -> its sequences
        self._cameras: dict[str, Camera] = {}
        self._moves: dict[str, RigidTransform | None] = {}
        self._xyz: list[np.ndarray] = []
        self._complete = True

    def write(self, samples: Iterable[HandSample]) -> None:
        for sample in samples:
            self._write_sample(sample)
        self._write_calibrations()
        if self._xyz and self._complete:
            values = [np.asarray(points, dtype=np.float64).tolist() for points in self._xyz]
            files.write(self._root / "evaluation_xyz.json", json.dumps(values).encode())
        elif self._xyz:
            progress.say("ho3d: not all evaluation samples have 21 joints, so evaluation_xyz.json is left out")
        for folder, lines in self._lines.items():
            files.write(self._root / f"{folder}.txt", "\n".join([*lines, ""]).encode())

    def _write_sample(self, given: HandSample) -> None:
        manifest = load_manifest("ho3d")
        folder = "evaluation" if given.split == "test" else "train"
        require_fields(given, "ho3d", "rgb", "camera")
        if folder == "train" or given.joints_mm is None:
            require_fields(given, "ho3d", "joints_mm")
        assert given.joints_mm is not None
        if not np.isfinite(given.joints_mm[WRIST]).all():
            raise DataError(sentence("a wrist to write ho3d", "none", f"sample {given.key}"))
        sided = registered(of_side(given, manifest.sides[0]))
        assert sided.camera is not None
        sample = seen_by(sided, fitted(sided.camera, *manifest.image_size))
        assert sample.joints_mm is not None
        assert sample.camera is not None
        assert sample.rgb is not None

        sequence, group = self._sequence(given, folder)
        own = sequence == given.sequence and re.fullmatch(r"\d{4}", given.frame or "")
        number = self._numbers.number(group, sequence, given, int(given.frame) if own else None)  # type: ignore[arg-type]
        frame = f"{number:04d}"
        place = self._root / folder / sequence
        write = write_jpeg if self._ending == "jpg" else write_png
        write(place / "rgb" / f"{frame}.{self._ending}", sample.rgb)
        if sample.depth_mm is not None:
            steps = np.clip(np.rint(np.nan_to_num(sample.depth_mm) / DEPTH_STEP_MM), 0, 65535).astype(np.uint16)
            high, low = split_bytes(steps)
            write_png(place / "depth" / f"{frame}.png", np.stack([low, high, np.zeros_like(low)], axis=-1))
        joints = scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm
        write_pickle(place / "meta" / f"{frame}.pkl", _meta(sample, joints.astype(np.float32), folder))
        if folder == "evaluation":
            self._xyz.append(joints.astype(np.float32))
            self._complete &= bool(np.isfinite(joints).all())
        self._lines.setdefault(folder, []).append(f"{sequence}/{frame}")
        self._cameras.setdefault(sequence, sample.camera)
        if self._moves.setdefault(sequence, sample.world_from_camera) != sample.world_from_camera:
            self._moves[sequence] = None  # a camera that moves has no place in the calibration

    def _sequence(self, sample: HandSample, folder: str) -> tuple[str, str]:
        """The sequence of a sample and the group within which its frames are numbered."""
        own = sample.sequence or ""
        fits = _SEQUENCE.fullmatch(own) and own[:-1] not in self._made.values()
        if fits and self._held.setdefault(own, folder) == folder:
            group = multi_camera_group(own, ())[0] or (own[:-1] if sample.view == own[-1] else own)
            if group != own:
                self._groups.setdefault(group, set()).add(own)
            return own, group
        if folder not in self._made:
            numbers = iter(range(1, 10**6))
            taken = {sequence[:-1] for sequence in self._held} | set(self._made.values())
            self._made[folder] = next(group for i in numbers if (group := f"{_MADE}{i}") not in taken)
        group = self._made[folder]
        views = self._views.setdefault(group, {})
        sequence = group + views.setdefault(sample.view or "", str(len(views) % 10))
        self._held[sequence] = folder
        self._groups.setdefault(group, set()).add(sequence)
        return sequence, group

    def _write_calibrations(self) -> None:
        named = load_manifest("ho3d").groups["multi_camera"]
        for group, members in self._groups.items():
            sequences = sorted(members)
            # Readers see by the calibration that sequences of a group which the publishers do not name share moments.
            shared = len(sequences) > 1 and group not in named
            if not shared and all(self._moves[sequence] is None for sequence in sequences):
                continue
            folder = self._root / "calibration" / group / "calibration"
            files.write(folder / "cam_orders.txt", "".join(f"{sequence[-1]}\n" for sequence in sequences).encode())
            for i, sequence in enumerate(sequences):
                c, move = self._cameras[sequence], self._moves[sequence]
                numbers = f"fx: {c.fx!r}, fy: {c.fy!r}, ppx: {c.cx!r}, ppy: {c.cy!r}\n"
                files.write(folder / f"cam_{i}_intrinsics.txt", numbers.encode())
                files.write(folder / f"cam_{i}_depth_scale.txt", f"{DEPTH_STEP_MM / 1000!r}\n".encode())
                if move is not None:
                    matrix = np.eye(4)
                    matrix[:3, :3], matrix[:3, 3] = move.rotation, np.array(move.translation_mm) / 1000
                    rows = (" ".join(repr(float(number)) for number in row) for row in matrix)
                    files.write(folder / f"trans_{i}.txt", "".join(f"{row}\n" for row in rows).encode())


def _meta(sample: HandSample, joints_m: np.ndarray, folder: str) -> dict[str, Any]:
    """What a frame's pickle holds; ``joints_m`` (21, 3) as stored."""
    assert sample.camera is not None
    meta: dict[str, Any] = dict.fromkeys(_OBJECT)
    meta["camMat"] = sample.camera.matrix
    if folder == "train":
        return meta | dict.fromkeys(_TRAIN_ONLY) | {"handJoints3D": joints_m}
    return meta | {"handJoints3D": joints_m[0], "handBoundingBox": _box(sample)}


def _box(sample: HandSample) -> np.ndarray | None:
    """(4,) x1, y1, x2, y2: the publishers' own, else around the projected joints; None where not all are known."""
    box = sample.extra.get("box_px")
    if box is not None:
        corners = np.asarray(box, dtype=np.float64).reshape(-1, 2)
        return np.concatenate([corners.min(0), corners.max(0)])
    projected = sample.projected()
    assert projected is not None
    if not np.isfinite(projected).all():
        return None
    return np.concatenate([projected.min(0), projected.max(0)]).astype(np.float64)
