"""A few numbers for every sample of a table: what the checks on labels need, and no more.

The table is read in slices, so a mapped catalogue of a million rows costs some 200 bytes a row.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.doctor.labels import project, read_labels, turns
from handsynth.hand.joints import INDEX
from handsynth.hand.pose import bone_lengths, palm_length
from handsynth.hand.rows import column
from handsynth.hand.sample import ABSENT
from handsynth.runtime import progress

_SLICE = 1 << 14
FOLLOWED = tuple(INDEX[name] for name in ("middle_mcp", "thumb_tip", "index_tip", "middle_tip", "pinky_tip"))
"""Joints whose way through a sequence is watched."""


@dataclass(frozen=True)
class Scores:
    """N samples.

    Attributes:
        error_px, worst_px: (N,) median and largest distance of projected from labelled 2-D joints; NaN unknown.
        known, inside, behind: (N,) counts of joints that are known, lie in the image, and lie at z <= 0.
        turn: (N,) chirality.
        sign: (N,) int8, 1 declared right, -1 left.
        palm_mm: (N,) wrist to middle MCP.
        bones_mm: (N, 20) lengths between labelled joints.
        followed_mm: (N, 5, 3) labelled joints ``FOLLOWED``.
        broken: (N,) bool, known values that are no finite numbers, or half a camera.
        marked: (N,) bool, known to be bad and marked so by the format.
    """

    error_px: np.ndarray
    worst_px: np.ndarray
    known: np.ndarray
    inside: np.ndarray
    behind: np.ndarray
    turn: np.ndarray
    sign: np.ndarray
    palm_mm: np.ndarray
    bones_mm: np.ndarray
    followed_mm: np.ndarray
    broken: np.ndarray
    marked: np.ndarray


def score(table: pa.Table, image_size: int | None = None) -> Scores:
    """Scores of all rows.

    Args:
        table: columns of ``hand.rows.row_schema``.
        image_size: side of square images, for samples without a camera.
    """
    parts = []
    with progress.task("checking labels", len(table)) as advance:
        for start in range(0, max(len(table), 1), _SLICE):
            piece = table.slice(start, _SLICE)
            with warnings.catch_warnings():  # a sample without joints has no median
                warnings.simplefilter("ignore", RuntimeWarning)
                parts.append(_score(piece, image_size))
            advance(len(piece))
    return Scores(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _score(table: pa.Table, image_size: int | None) -> dict[str, np.ndarray]:
    labels = read_labels(table)
    joints, cameras = labels.all_joints_mm, labels.cameras
    error = np.linalg.norm(labels.projected() - labels.keypoints_px, axis=-1)
    keypoints = column(table, "keypoints_px").astype(np.float64)
    projected = project(joints, cameras)
    points = np.where(np.isfinite(keypoints), keypoints, projected)
    size = np.where(np.isfinite(cameras[:, -2:]), cameras[:, -2:], image_size or np.nan)[:, None]
    known = np.isfinite(joints).all(-1) | np.isfinite(keypoints).all(-1)
    known &= np.isfinite(size).all(-1)
    with np.errstate(invalid="ignore"):
        inside = ((points >= -0.5) & (points < size - 0.5)).all(-1) & known
        behind = joints[..., 2] <= 0
    broken = np.isfinite(cameras).any(1) & ~np.isfinite(cameras).all(1)
    for values, states in (("joints_mm", "joint_state"), ("keypoints_px", "keypoint_state")):
        broken |= ((column(table, states) != ABSENT) & ~np.isfinite(column(table, values)).all(-1)).any(1)
    marks = pc.map_lookup(table.column("extra"), pa.scalar("known_bad"), "first")
    return {
        "error_px": np.nanmedian(error, axis=1).astype(np.float32),
        "worst_px": np.nanmax(error, axis=1).astype(np.float32),
        "known": known.sum(1).astype(np.uint8),
        "inside": inside.sum(1).astype(np.uint8),
        "behind": behind.sum(1).astype(np.uint8),
        "turn": turns(joints).astype(np.float32),
        "sign": labels.sign,
        "palm_mm": palm_length(joints).astype(np.float32),
        "bones_mm": bone_lengths(labels.joints_mm).astype(np.float32),
        "followed_mm": labels.joints_mm[:, list(FOLLOWED)].astype(np.float32),
        "broken": broken,
        "marked": np.asarray(marks.is_valid().to_numpy()),
    }
