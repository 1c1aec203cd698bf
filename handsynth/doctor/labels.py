"""The labels of some samples as arrays, and how rows of a table belong together: sequences, moments, neighbours.

Reads tables of ``hand.rows.row_schema``, a slice or a few rows at a time, so a mapped table of a million rows is never
in memory as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.hand.joints import CHAINS
from handsynth.hand.pose import chirality
from handsynth.hand.rows import column, project_rows
from handsynth.hand.sample import LABELLED

_DISTORTION = slice(4, 9)
SIGNS = {"left": -1, "right": 1}
"""Sign of ``hand.pose.chirality``."""


@dataclass(frozen=True)
class Labels:
    """N samples' numbers; what is not labelled (absent or derived) is NaN unless said otherwise.

    Attributes:
        joints_mm: (N, 21, 3) camera frame.
        all_joints_mm: (N, 21, 3) the same with derived joints.
        keypoints_px: (N, 21, 2).
        cameras: (N, 11) the ``camera`` column.
        world_from_camera: (N, 12).
        sign: (N,) int8, 1 declared right, -1 left, 0 unknown.
        other, next, previous: labels of the other hand of the moment, and of the next and the previous frame of the
            sequence; NaN in rows that have none, None where nobody asked.
    """

    joints_mm: np.ndarray
    all_joints_mm: np.ndarray
    keypoints_px: np.ndarray
    cameras: np.ndarray
    world_from_camera: np.ndarray
    sign: np.ndarray
    other: Labels | None = None
    next: Labels | None = None
    previous: Labels | None = None

    def __len__(self) -> int:
        return len(self.joints_mm)

    def projected(self) -> np.ndarray:
        """(N, 21, 2) px of ``joints_mm``; NaN where there is no image."""
        return project(self.joints_mm, self.cameras)

    def turns(self) -> np.ndarray:
        """(N,) chirality, see :func:`turns`."""
        return turns(self.all_joints_mm)

    def moved(self, joints_mm: np.ndarray) -> Labels:
        """The same samples with other joints, all of them labelled."""
        return replace(self, joints_mm=joints_mm, all_joints_mm=joints_mm)


def read_labels(table: pa.Table) -> Labels:
    """Labels of all rows of a (small) table."""
    joints = column(table, "joints_mm").astype(np.float64)
    keypoints = column(table, "keypoints_px").astype(np.float64)
    labelled = np.where((column(table, "joint_state") == LABELLED)[..., None], joints, np.nan)
    drawn = np.where((column(table, "keypoint_state") == LABELLED)[..., None], keypoints, np.nan)
    return Labels(
        joints_mm=labelled,
        all_joints_mm=joints,
        keypoints_px=drawn,
        cameras=column(table, "camera"),
        world_from_camera=column(table, "world_from_camera"),
        sign=np.array([SIGNS.get(side, 0) for side in table.column("side").to_pylist()], dtype=np.int8),
    )


def project(joints_mm: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """(N, 21, 3) through (N, 11) cameras to (N, 21, 2) px; NaN where there is no camera, or no image of the joint."""
    bent = (np.nan_to_num(cameras[:, _DISTORTION]) != 0).any(1)
    z = joints_mm[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = np.where(z > 0, joints_mm[..., :2] / z, np.nan) * cameras[:, None, :2] + cameras[:, None, 2:4]
    if bent.any():
        pixels[bent] = project_rows(joints_mm[bent], cameras[bent])
    return np.asarray(pixels)


def turns(joints_mm: np.ndarray) -> np.ndarray:
    """(N,) ``hand.pose.chirality``; where a source knows no DIP, a finger bends once instead of twice."""
    joints = joints_mm.copy()
    for _, pip, dip, tip in CHAINS[1:]:
        lacks = ~np.isfinite(joints[:, dip]).all(-1)
        joints[lacks, dip] = (joints[lacks, pip] + joints[lacks, tip]) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return chirality(joints)


@dataclass(frozen=True)
class Groups:
    """How the rows of a table belong together; codes are numbers without a meaning of their own, -1 unknown.

    Attributes:
        subject, moment, split: (N,) int64.
        track: (N,) int64, one subject, sequence, view and side.
        frame: (N,) int64, the last number in the frame's word, -1 where there is none.
        sides: (N,) int8, see :class:`Labels`.
        order: (N,) rows sorted by track, then frame, without those that have no frame number.
    """

    subject: np.ndarray
    moment: np.ndarray
    split: np.ndarray
    track: np.ndarray
    frame: np.ndarray
    sides: np.ndarray
    order: np.ndarray

    def neighbours(self, rows: np.ndarray, step: int) -> np.ndarray:
        """(M,) rows of the same tracks whose frame number is larger by ``step``; -1 where there is none."""
        place = np.full(len(self.frame), -1)
        place[self.order] = np.arange(len(self.order))
        at = place[rows]
        there = np.clip(at + step, 0, max(len(self.order) - 1, 0))
        if not len(self.order):
            return np.full(len(rows), -1)
        found = self.order[there]
        good = (at >= 0) & (at + step == there) & (self.track[found] == self.track[rows])
        good &= self.frame[found] == self.frame[rows] + step
        return np.where(good, found, -1)


def read_groups(table: pa.Table) -> Groups:
    """Groups of all rows; keeps a few numbers per row."""
    codes = {name: _codes(table, name)[0] for name in ("subject", "sequence", "view", "moment", "split")}
    codes["side"], names = _codes(table, "side")
    track = np.zeros(len(table), dtype=np.int64)
    for name in ("subject", "sequence", "view", "side"):
        track = np.unique(track * (codes[name].max(initial=0) + 2) + codes[name] + 1, return_inverse=True)[1]
    digits = pc.extract_regex(table.column("frame"), r"(?P<number>\d{1,18})\D*$")
    number = pc.cast(pc.struct_field(digits, "number"), pa.int64())
    frame = np.asarray(pc.fill_null(number, -1).to_numpy())
    order = np.lexsort((frame, track))
    sides = np.array([*(SIGNS.get(name, 0) for name in names), 0], dtype=np.int8)[codes["side"]]
    return Groups(codes["subject"], codes["moment"], codes["split"], track, frame, sides, order[frame[order] >= 0])


def others(groups: Groups, table: pa.Table, rows: np.ndarray) -> np.ndarray:
    """(M,) rows of the other hand of the same moment and view; -1 where there is none."""
    out = np.full(len(rows), -1)
    if not ((groups.sides == 1).any() and (groups.sides == -1).any()):
        return out
    view = _codes(table, "view")[0]
    image = groups.moment * (view.max(initial=0) + 2) + view + 1
    order = np.argsort(image, kind="stable")
    starts = np.searchsorted(image[order], image[rows])
    for position, (row, start) in enumerate(zip(rows.tolist(), starts.tolist(), strict=True)):
        for other in order[start : start + 8].tolist():
            if (
                groups.moment[row] >= 0
                and image[other] == image[row]
                and groups.sides[other] == -groups.sides[row] != 0
            ):
                out[position] = other
                break
    return out


def read_sampled(table: pa.Table, groups: Groups, rows: np.ndarray) -> Labels:
    """Labels of some rows with those of their neighbours and other hands."""
    labels = read_labels(table.take(rows))

    def at(found: np.ndarray) -> Labels:
        there = found >= 0
        values = read_labels(table.take(np.maximum(found, 0)))
        joints = np.where(there[:, None, None], values.joints_mm, np.nan)
        cameras = np.where(there[:, None], values.cameras, np.nan)
        return replace(values.moved(joints), cameras=cameras)

    return replace(
        labels,
        other=at(others(groups, table, rows)),
        next=at(groups.neighbours(rows, 1)),
        previous=at(groups.neighbours(rows, -1)),
    )


def _codes(table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """(N,) numbers of a column's words, -1 for null, and the words."""
    words = table.column(name).combine_chunks()
    if isinstance(words, pa.ChunkedArray):
        words = pa.concat_arrays(words.chunks) if words.num_chunks else pa.array([], type=words.type)
    encoded = words.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int64), encoded.dictionary.to_pylist()
