"""Lays DexYCB out: see :class:`handsynth.formats.dexycb.DexYcb` for what is made to fit, and how."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.formats.arrayfiles import write_npz
from handsynth.formats.dexycb_rules import (
    HAND_CODE,
    NOT_LABELLED,
    SEQUENCE,
    SEQUENCES,
    Setup,
    index_of,
    intrinsics_file,
    official_split,
)
from handsynth.formats.layout import FrameNumbers, require_fields
from handsynth.formats.manifest import load_manifest
from handsynth.formats.yamlfiles import write_yaml
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import FIRST_PHALANX, HAND, scatter
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import write_jpeg, write_png
from handsynth.imaging.registration import registered, seen_by

_LAST_HAND_CODE = FIRST_PHALANX + 14
_NOBODY = "unknown"
_MANO_SHAPES, _MANO_POSES = 10, 51


class DexYcbWriter:
    """Lays samples out one by one and remembers what the calibration and the meta files must say."""

    def __init__(self, root: Path, setup: Setup) -> None:
        self._root = root
        self._setup = setup
        self._numbers = FrameNumbers()
        self._cameras: dict[str, Camera] = {}
        self._views: dict[str, str] = {}
        self._held: dict[tuple[str, str], tuple[str, str]] = {}  # (subject, sequence) -> (side, split)
        self._made: dict[tuple[str, str, str], str] = {}  # (subject, side, split) -> sequence
        self._moves: dict[tuple[str, str, str], RigidTransform | None] = {}

    def write(self, samples: Iterable[HandSample]) -> None:
        for sample in samples:
            self._write_sample(sample)
        for serial, camera in self._cameras.items():
            color = {"fx": camera.fx, "fy": camera.fy, "ppx": camera.cx, "ppy": camera.cy}
            write_yaml(intrinsics_file(self._root, serial), {"color": color})
        write_yaml(self._root / "calibration" / f"mano_{_NOBODY}" / "mano.yml", {"betas": [0.0] * _MANO_SHAPES})
        for subject in sorted({subject for subject, _ in self._held}):
            self._write_subject(subject)

    def _write_sample(self, given: HandSample) -> None:
        manifest = load_manifest("dexycb")
        labelled = given.joints_mm is not None and bool(np.isfinite(given.joints_mm).any())
        require_fields(given, "dexycb", "rgb", "camera", *(("joints_mm",) if labelled else ()))
        subject, serial = self._place(given)
        sequence = self._sequence(given, subject)
        own = given.sequence == sequence and given.subject == subject
        wanted = int(given.frame) if own and re.fullmatch(r"\d{6}", given.frame or "") else None  # type: ignore[arg-type]
        number = self._numbers.number(f"{subject}/{sequence}", serial, given, wanted)

        assert given.camera is not None
        genuine = (given.camera.width, given.camera.height) == manifest.image_size and not given.camera.distortion
        camera = self._cameras.setdefault(serial, given.camera if genuine else manifest.camera("nominal"))
        sample = seen_by(registered(given), camera)
        view = (subject, sequence, serial)
        if self._moves.setdefault(view, sample.world_from_camera) != sample.world_from_camera:
            self._moves[view] = None  # a camera that moves has no place in the calibration

        assert sample.rgb is not None
        folder = self._root / subject / sequence / serial
        write_jpeg(folder / f"color_{number:06d}.jpg", sample.rgb)
        if sample.depth_mm is not None:
            whole = np.clip(np.rint(np.nan_to_num(sample.depth_mm)), 0, 65535).astype(np.uint16)
            write_png(folder / f"aligned_depth_to_color_{number:06d}.png", whole)
        write_npz(folder / f"labels_{number:06d}.npz", _label_arrays(sample, labelled))

    def _place(self, sample: HandSample) -> tuple[str, str]:
        """Subject and camera that can hold the sample's split; its own where they can."""
        manifest = load_manifest("dexycb")
        subjects, serials = manifest.groups["subjects"], manifest.groups["serials"]
        split = _split_of(sample)
        view = sample.view or ""
        mapped = view if view in serials else self._views.setdefault(view, serials[len(self._views) % len(serials)])
        for subject in (*(s for s in subjects if s == sample.subject), *subjects):
            for serial in (mapped, *serials):
                indices = subjects.index(subject), serials.index(serial)
                if any(official_split(self._setup, *indices, place) == split for place in range(SEQUENCES)):
                    return subject, serial
        raise AssertionError(f"{self._setup} has no {split}")

    def _sequence(self, sample: HandSample, subject: str) -> str:
        """The sample's own sequence where it fits, else one made for its side and split."""
        side = "left" if sample.side == "left" else "right"
        split = _split_of(sample) if self._setup in ("s0", "s3") else ""
        own = sample.sequence or ""
        if (
            sample.subject == subject
            and SEQUENCE.fullmatch(own)
            and self._held.setdefault((subject, own), (side, split)) == (side, split)
        ):
            return own
        if (subject, side, split) not in self._made:
            numbers = iter(range(10**6))
            name = next(n for i in numbers if (subject, n := f"{subject[:8]}_{i:06d}") not in self._held)
            self._made[subject, side, split] = name
            self._held[subject, name] = side, split
        return self._made[subject, side, split]

    def _write_subject(self, subject: str) -> None:
        """Meta files of all sequences, with as many empty ones before each as its split asks for."""
        index = index_of("subjects", subject)
        folders: list[tuple[str, str]] = []
        previous, fillers = f"{subject[:8]}-", itertools.count()
        for name in sorted(sequence for owner, sequence in self._held if owner == subject):
            side, split = self._held[subject, name]
            while split and len(folders) < SEQUENCES and official_split(self._setup, index, 0, len(folders)) != split:
                folders.append((f"{previous}{next(fillers):02d}", "right"))
            folders.append((name, side))
            previous, fillers = f"{name}_", itertools.count()
        if len(folders) > SEQUENCES:
            found = f"{len(folders)} with those between"
            raise DataError(sentence(f"at most {SEQUENCES} sequences for {subject}", found, self._root))
        while len(folders) < SEQUENCES:
            folders.append((f"{previous}{next(fillers):02d}", "right"))
        for name, side in folders:
            self._write_meta(subject, name, side)

    def _write_meta(self, subject: str, sequence: str, side: str) -> None:
        manifest = load_manifest("dexycb")
        serials = manifest.groups["serials"]
        meta = {
            "serials": list(serials),
            "num_frames": self._numbers.count(f"{subject}/{sequence}"),
            "extrinsics": sequence,
            "ycb_ids": [],
            "ycb_grasp_ind": 0,
            "mano_sides": [side],
            "mano_calib": [_NOBODY],
        }
        write_yaml(self._root / subject / sequence / "meta.yml", meta)
        moves = {serial: self._moves.get((subject, sequence, serial)) for serial in serials}
        known = {serial: _flat(move) for serial, move in moves.items() if move is not None}
        if known:
            tag = _flat(RigidTransform.of(np.eye(3), np.zeros(3)))
            extrinsics = {"master": next(iter(known)), "extrinsics": {**known, "apriltag": tag}}
            write_yaml(self._root / "calibration" / f"extrinsics_{sequence}" / "extrinsics.yml", extrinsics)


def _split_of(sample: HandSample) -> str:
    return sample.split if sample.split in ("val", "test") else "train"


def _label_arrays(sample: HandSample, labelled: bool) -> dict[str, np.ndarray]:
    manifest = load_manifest("dexycb")
    arrays = {
        "pose_y": np.zeros((0, 3, 4), np.float32),
        "pose_m": np.zeros((1, _MANO_POSES), np.float32),
        "joint_3d": np.full((1, 21, 3), NOT_LABELLED, np.float32),
        "joint_2d": np.full((1, 21, 2), NOT_LABELLED, np.float32),
    }
    if labelled:
        assert sample.joints_mm is not None
        projected = sample.projected()
        assert projected is not None
        keypoints = projected if sample.keypoints_px is None else sample.keypoints_px
        keypoints = np.where(np.isfinite(keypoints), keypoints, projected)
        joints = scatter(sample.joints_mm.astype(np.float64), manifest.order, 21) / manifest.to_mm
        arrays["joint_3d"] = joints.astype(np.float32)[None]
        arrays["joint_2d"] = scatter(keypoints, manifest.order, 21).astype(np.float32)[None]
    if sample.mask is not None:
        hand = (sample.mask >= HAND) & (sample.mask <= _LAST_HAND_CODE)
        arrays["seg"] = np.where(hand, HAND_CODE, 0).astype(np.uint8)
    return arrays


def _flat(move: RigidTransform) -> list[float]:
    """12 numbers row by row, metres."""
    matrix = np.column_stack([np.array(move.rotation), np.array(move.translation_mm) / 1000])
    return [float(number) for number in matrix.ravel()]
