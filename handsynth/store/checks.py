"""Do the numbers of a source make sense? Checks on a table of samples, a catalogue's before ingest or a store's after.

Every check yields a :class:`Finding`. Thresholds are those of real hands and of honest labels; where a source lacks
what a check needs, the finding is ``not checkable``, never ``ok``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

from handsynth.hand.pose import chirality, palm_length
from handsynth.hand.rows import column, project_rows
from handsynth.hand.sample import ABSENT, LABELLED
from handsynth.runtime.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["ok", "warning", "fault", "not checkable"]

REPROJECTION_PX = 2.0
"""Median distance of projected 3-D joints from independent 2-D labels above which the source is refused."""
PALM_MM = (50.0, 130.0)
"""Wrist to middle MCP of real hands, small children to large men."""
_DECISIVE = 0.5
"""|chirality| below which a hand is too straight to tell its side; bent hands have 3 to 6."""
_ENOUGH = 20
"""Bent hands of one side from which on their share of right signs decides."""
_WORST = 5


class Finding(Settings, frozen=True, kw_only=True):
    """What one check found."""

    check: str
    status: Status
    count: int = 0
    """Samples or files at fault."""
    worst: tuple[str, ...] = ()
    """Their keys, or paths in the store; the worst first, five at most."""
    text: str


def check_samples(table: pa.Table, *, independent_2d: bool, palm_root: bool = False) -> list[Finding]:
    """All checks on the numbers of samples.

    Args:
        table: columns of ``hand.rows.row_schema``, a row per sample.
        independent_2d: whether labelled keypoints were labelled apart from the joints.
        palm_root: whether joint 0 is the palm centre, about half way from the wrist to the middle MCP.
    """
    poses = _Poses(table)
    return [
        poses.keys_unique(),
        poses.finite(),
        poses.reprojection(independent_2d),
        poses.inside(),
        poses.sides(),
        poses.palms(2.0 if palm_root else 1.0),
    ]


class _Poses:
    """The columns that the checks share."""

    def __init__(self, table: pa.Table) -> None:
        self.keys = np.array(table.column("key").to_pylist(), dtype=object)
        self.side = np.array(table.column("side").to_pylist(), dtype=object)
        self.joints = column(table, "joints_mm").astype(np.float64)
        self.keypoints = column(table, "keypoints_px").astype(np.float64)
        self.joint_state = column(table, "joint_state")
        self.keypoint_state = column(table, "keypoint_state")
        self.cameras = column(table, "camera")
        self.projected = project_rows(self.joints, self.cameras)

    def keys_unique(self) -> Finding:
        names, counts = np.unique(self.keys.astype(str), return_counts=True)
        twice = names[counts > 1]
        return Finding(
            check="keys",
            status="fault" if len(twice) else "ok",
            count=len(twice),
            worst=tuple(twice[:_WORST].tolist()),
            text=f"{len(twice)} keys stand for more than one sample"
            if len(twice)
            else "every key stands for one sample",
        )

    def finite(self) -> Finding:
        """Every joint and keypoint whose state says it is known is a number, and so is every camera."""
        bad = np.zeros(len(self.keys), dtype=bool)
        for points, state in ((self.joints, self.joint_state), (self.keypoints, self.keypoint_state)):
            bad |= ((state != ABSENT) & ~np.isfinite(points).all(-1)).any(-1)
        partial = np.isfinite(self.cameras).any(1) & ~np.isfinite(self.cameras).all(1)
        bad |= partial
        count = int(bad.sum())
        text = (
            f"{count} samples hold known values that are no finite numbers" if count else "all known values are finite"
        )
        return self._finding("finite numbers", "fault" if count else "ok", text, bad, bad.astype(float))

    def reprojection(self, independent_2d: bool) -> Finding:
        name = "reprojection"
        if not independent_2d:
            return Finding(check=name, status="not checkable", text="2-D joints were not labelled apart from 3-D ones")
        labelled = (self.joint_state == LABELLED) & (self.keypoint_state == LABELLED)
        error = np.where(labelled, np.linalg.norm(self.projected - self.keypoints, axis=-1), np.nan)
        known = np.isfinite(error)
        if not known.any():
            return Finding(
                check=name, status="not checkable", text="no sample has labelled joints, keypoints and a camera"
            )
        median = float(np.median(error[known]))
        worst = np.where(known, error, 0.0).max(1)
        far = worst > REPROJECTION_PX
        status: Status = "fault" if median > REPROJECTION_PX else "warning" if far.mean() > 0.01 else "ok"
        text = (
            f"median {median:.3f} px between projected and labelled joints, at most {worst.max():.2f} px; "
            f"up to {REPROJECTION_PX:g} px is expected"
        )
        return self._finding(name, status, text, far, worst)

    def inside(self) -> Finding:
        """Share of joints inside the image; below one half, axes or camera are wrong."""
        name = "joints inside the image"
        points = np.where(np.isfinite(self.keypoints), self.keypoints, self.projected)
        known = np.isfinite(self.joints).all(-1) | np.isfinite(self.keypoints).all(-1)
        known &= np.isfinite(self.cameras).all(1)[:, None]
        if not known.any():
            return Finding(check=name, status="not checkable", text="no sample has joints and a camera")
        size = self.cameras[:, None, -2:]
        with np.errstate(invalid="ignore"):
            within = ((points >= -0.5) & (points < size - 0.5)).all(-1) & known
        share = float(within.sum() / known.sum())
        out = (known & ~within).sum(1)
        status: Status = "fault" if share < 0.5 else "warning" if share < 0.9 else "ok"
        return self._finding(name, status, f"{100 * share:.1f} % of the joints lie inside their image", out > 0, out)

    def sides(self) -> Finding:
        """Share of bent hands whose chirality is that of their declared side."""
        name = "chirality against side"
        with np.errstate(invalid="ignore", divide="ignore"):
            turn = chirality(self.joints)
        wrong = np.zeros(len(self.keys), dtype=bool)
        status: Status = "not checkable"
        texts = []
        for side, sign in (("left", -1), ("right", 1)):
            bent = (self.side == side) & (np.abs(turn) > _DECISIVE)
            count = int(bent.sum())
            if not count:
                continue
            right = bent & (turn * sign > 0)
            wrong |= bent & ~right
            share = float(right.sum() / count)
            texts.append(f"{100 * share:.1f} % of {count} bent {side} hands turn as {side} hands do")
            if count >= _ENOUGH:
                here: Status = "fault" if share < 0.5 else "warning" if share < 0.9 else "ok"
                status = max(status, here, key=("not checkable", "ok", "warning", "fault").index)
        if status == "not checkable":
            texts.append(f"fewer than {_ENOUGH} bent hands of a declared side")
        return self._finding(name, status, "; ".join(texts), wrong, np.nan_to_num(np.abs(turn)))

    def palms(self, factor: float) -> Finding:
        """Palm length: a unit that is off by ten or a thousand shows."""
        name = "palm length"
        length = factor * palm_length(self.joints)
        known = np.isfinite(length)
        if not known.any():
            return Finding(check=name, status="not checkable", text="no sample has a wrist and a middle MCP")
        low, high = PALM_MM
        median = float(np.median(length[known]))
        outside = known & ((length < low) | (length > high))
        text = f"median {median:.4g} mm from wrist to middle MCP; {low:g} to {high:g} mm is expected"
        status: Status = "warning" if outside[known].mean() > 0.05 else "ok"
        if not low <= median <= high:
            status = "fault"
            for unit, times in (("centimetres", 10.0), ("metres", 1000.0), ("tenths of a millimetre", 0.1)):
                if low <= times * median <= high:
                    text += f"; are the joints in {unit}?"
        return self._finding(name, status, text, outside, np.abs(np.nan_to_num(length) - sum(PALM_MM) / 2))

    def _finding(self, check: str, status: Status, text: str, at_fault: np.ndarray, badness: np.ndarray) -> Finding:
        rows = np.flatnonzero(at_fault)
        rows = rows[np.argsort(-badness[rows], kind="stable")][:_WORST]
        return Finding(
            check=check, status=status, count=int(at_fault.sum()), worst=tuple(map(str, self.keys[rows])), text=text
        )


def refusals(findings: list[Finding]) -> str:
    """The faults as one clause; empty where there is none."""
    return "; ".join(f"{finding.check}: {finding.text}" for finding in findings if finding.status == "fault")


Talk = Callable[[str], None]


def tell(findings: list[Finding], say: Talk) -> None:
    """Say every finding that is not ``ok``."""
    for finding in findings:
        if finding.status != "ok":
            say(f"{finding.check}: {finding.status}; {finding.text}")
