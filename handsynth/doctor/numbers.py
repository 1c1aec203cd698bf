"""Checks of labels against each other; no image is opened. Each gives one finding, and says so where it cannot."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.doctor.labels import Groups
from handsynth.doctor.scores import Scores
from handsynth.doctor.thresholds import DECISIVE, ENOUGH, REPROJECTION_PX
from handsynth.formats.manifest import Checks
from handsynth.hand.joints import BONES, JOINTS
from handsynth.store.findings import SHOWN, Finding, Status, not_checkable

UNITS = {"centimetres": 10.0, "metres": 1000.0, "tenths of a millimetre": 0.1, "micrometres": 0.001}
"""Factor that brings a unit to millimetres."""
_BONE_OFF = 0.25
"""A bone this share longer or shorter than its subject's median is a mislabelled one."""
_SMOOTH_MM = 40.0
"""Median step from frame to frame above which a sequence is not a film."""
_JUMP_MM, _JUMP_TIMES = 40.0, 8.0
_MANY_JUMPS = 0.01
"""Share of steps; recordings are cut now and then."""


@dataclass(frozen=True)
class Evidence:
    """What the checks on numbers work on."""

    table: pa.Table
    scores: Scores
    groups: Groups
    checks: Checks
    independent_2d: bool
    palm_root: bool = False
    sides: tuple[str, ...] = ()
    """Sides that the dataset's manifest knows; empty where any may be."""
    limit_px: float = REPROJECTION_PX
    """Median distance of projected from labelled joints above which they do not agree."""

    def finding(self, check: str, status: Status, text: str, bad: np.ndarray, badness: np.ndarray) -> Finding:
        """A finding on the rows ``bad`` (N,) bool, the largest ``badness`` (N,) first."""
        rows = np.flatnonzero(bad)
        rows = rows[np.argsort(-np.nan_to_num(badness[rows]), kind="stable")]
        worst = tuple(keys_of(self.table, rows[:SHOWN]))
        return Finding(check=check, status=status, count=len(rows), worst=worst, text=text)


def keys_of(table: pa.Table, rows: Sequence[int] | np.ndarray) -> list[str]:
    """Keys of some rows."""
    keys = table.column("key")
    return [str(keys[int(row)].as_py()) for row in rows]


def check_numbers(evidence: Evidence) -> list[Finding]:
    """All checks on numbers, in the order in which they are shown."""
    return [
        keys(evidence),
        finite(evidence),
        reprojection(evidence),
        inside(evidence),
        before_camera(evidence),
        sides(evidence),
        palms(evidence),
        bones(evidence),
        jumps(evidence),
    ]


def keys(evidence: Evidence) -> Finding:
    """Every sample has a key of its own."""
    column = evidence.table.column("key")
    if pc.count_distinct(column).as_py() == len(column):
        return Finding(check="keys", status="ok", text="every key stands for one sample")
    counts = pc.value_counts(column)
    twice = [entry["values"].as_py() for entry in counts if entry["counts"].as_py() > 1]
    text = f"{len(twice)} keys stand for more than one sample"
    return Finding(check="keys", status="fault", count=len(twice), worst=tuple(twice[:SHOWN]), text=text)


def finite(evidence: Evidence) -> Finding:
    """Every joint and keypoint whose state says it is known is a number, and so is every camera."""
    bad = evidence.scores.broken
    count = int(bad.sum())
    text = f"{count} samples hold known values that are no finite numbers" if count else "all known values are finite"
    return evidence.finding("finite numbers", "fault" if count else "ok", text, bad, bad.astype(float))


def reprojection(evidence: Evidence) -> Finding:
    """Projected 3-D joints against 2-D joints that were labelled apart from them."""
    name = "reprojection"
    if not evidence.independent_2d:
        return not_checkable(name, "2-D joints were not labelled apart from 3-D ones")
    scores = evidence.scores
    known = np.isfinite(scores.error_px) & ~scores.marked
    if not known.any():
        return not_checkable(name, "no sample has labelled joints, keypoints and a camera")
    limit = evidence.limit_px
    expected = evidence.checks.reprojection_px or limit
    median = float(np.median(scores.error_px[known]))
    far = known & (scores.worst_px > max(expected, limit))
    status: Status = "fault" if median > limit else "ok"
    if status == "ok" and (far[known].mean() > 0.01 or median > expected):
        status = "warning"
    text = (
        f"median {median:.3g} px between projected and labelled joints, at most {scores.worst_px[known].max():.3g} px; "
        f"up to {expected:g} px is expected"
    )
    return evidence.finding(name, status, text, far, scores.worst_px)


def inside(evidence: Evidence) -> Finding:
    """Share of joints inside their image; below one half, axes or camera are wrong."""
    name = "joints inside the image"
    scores = evidence.scores
    known = scores.known.astype(int)
    if not known.any():
        return not_checkable(name, "no sample has joints and an image of known size")
    share = float(scores.inside.sum(dtype=int) / known.sum())
    out = known - scores.inside
    least = evidence.checks.inside_share
    expected = None if least is None else min(least, 0.99)
    status: Status = "fault" if share < 0.5 else "warning" if expected and share < expected else "ok"
    text = f"{100 * share:.1f} % of the joints lie inside their image"
    if least:
        text += f"; at least {100 * least:g} % is expected"
    return evidence.finding(name, status, text, out > 0, out)


def before_camera(evidence: Evidence) -> Finding:
    """Joints at z <= 0 cannot be seen."""
    name = "joints before the camera"
    scores = evidence.scores
    known = np.isfinite(scores.followed_mm).all(-1).any(1) | (scores.behind > 0)
    if not known.any():
        return not_checkable(name, "no sample has 3-D joints")
    behind = scores.behind > 0
    share = float(behind[known].mean())
    status: Status = "fault" if share > 0.5 else "warning" if share > 0 else "ok"
    text = f"{int(behind.sum())} of {int(known.sum())} samples have joints behind the camera" if share else ""
    return evidence.finding(name, status, text or "all joints lie before their camera", behind, scores.behind)


def sides(evidence: Evidence) -> Finding:
    """Share of bent hands whose chirality is that of their declared side; undeclared ones have the manifest's."""
    name = "chirality against side"
    scores = evidence.scores
    only = {"left": -1, "right": 1}.get(evidence.sides[0], 0) if len(evidence.sides) == 1 else 0
    declared = np.where(scores.sign == 0, only, scores.sign)
    wrong = np.zeros(len(declared), dtype=bool)
    status: Status = "not checkable"
    texts, foreign = [], 0
    least = evidence.checks.side_share or 0.9
    for side, sign in (("left", -1), ("right", 1)):
        if evidence.sides and side not in evidence.sides:
            foreign += int((scores.sign == sign).sum())
        with np.errstate(invalid="ignore"):
            bent = (declared == sign) & (np.abs(scores.turn) > DECISIVE) & ~scores.marked
        count = int(bent.sum())
        if not count:
            continue
        right = bent & (scores.turn * sign > 0)
        wrong |= bent & ~right
        share = float(right.sum() / count)
        texts.append(f"{100 * share:.1f} % of {count} bent {side} hands turn as {side} hands do")
        if count >= ENOUGH:
            here: Status = "fault" if share < 0.5 else "warning" if share < least else "ok"
            status = max(status, here, key=("not checkable", "ok", "warning", "fault").index)
    if status == "not checkable":
        texts.append(f"fewer than {ENOUGH} bent hands of a declared side")
    if foreign:
        texts.append(f"{foreign} hands are of a side that the manifest does not know")
        status = "warning" if status == "ok" else status
    return evidence.finding(name, status, "; ".join(texts), wrong, np.abs(scores.turn))


def palms(evidence: Evidence) -> Finding:
    """Wrist to middle MCP: a unit that is off by ten or a thousand shows. Without a wrist, the knuckles' width does."""
    name = "palm length"
    scores = evidence.scores
    low, high = evidence.checks.palm_mm
    length, what = scores.palm_mm * (2.0 if evidence.palm_root else 1.0), "wrist to middle MCP"
    if not np.isfinite(length).any():
        # A middle finger's first bone is about half as long as the palm, so it stands in for it.
        length, what = 2.0 * scores.bones_mm[:, _MIDDLE_PROXIMAL], "twice the middle finger's first bone"
    known = np.isfinite(length) & ~scores.marked
    if not known.any():
        return not_checkable(name, "no sample has a wrist and a middle MCP")
    median = float(np.median(length[known]))
    outside = known & ((length < low) | (length > high))
    text = f"median {median:.4g} mm from {what}; {low:g} to {high:g} mm is expected"
    status: Status = "warning" if outside[known].mean() > 0.05 else "ok"
    if not low <= median <= high:
        unit = unit_of(median, low, high)
        # Small odds and ends of a source's own points are a warning; ten times too long or too short is a fault.
        status = "fault" if unit or not low / 1.5 <= median <= 1.5 * high else "warning"
        text += f"; are the joints in {unit}?" if unit else ""
    return evidence.finding(name, status, text, outside, np.abs(np.log(np.maximum(length, 1e-9) / np.sqrt(low * high))))


def unit_of(palm: float, low: float, high: float) -> str:
    """The unit in which a palm would be of a likely length; empty where there is none."""
    return next((unit for unit, times in UNITS.items() if low <= times * palm <= high), "")


_MIDDLE_PROXIMAL = BONES.index((JOINTS.index("middle_mcp"), JOINTS.index("middle_pip")))


def bone_spread(scores: Scores, groups: Groups) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Robust relative spread (G, 20) of bone lengths in each of G subjects, each sample's largest relative deviation
    (N,) from its subject's medians, and the subjects' codes. Subjects with fewer than 20 samples are left out."""
    spreads, subjects = [], []
    deviation = np.full(len(scores.bones_mm), np.nan, dtype=np.float32)
    order = np.argsort(groups.subject, kind="stable")
    codes, starts = np.unique(groups.subject[order], return_index=True)
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # a bone that a source lacks has no median
        for code, rows in zip(codes.tolist(), np.split(order, starts)[1:], strict=True):
            rows = rows[~scores.marked[rows]]
            if code < 0 or np.isfinite(scores.bones_mm[rows]).any(1).sum() < ENOUGH:
                continue
            middle = np.nanmedian(scores.bones_mm[rows], axis=0)
            off = np.abs(scores.bones_mm[rows] - middle) / middle
            deviation[rows] = np.nanmax(off, axis=1)
            spreads.append(1.4826 * np.nanmedian(off, axis=0))
            subjects.append(code)
    return np.array(spreads).reshape(-1, len(BONES)), deviation, subjects


def bones(evidence: Evidence) -> Finding:
    """A subject's bones do not change their length."""
    name = "bone lengths per subject"
    spreads, deviation, subjects = bone_spread(evidence.scores, evidence.groups)
    if not subjects:
        return not_checkable(name, f"no subject is known with {ENOUGH} samples of labelled joints")
    filled = np.nan_to_num(spreads)
    place, bone = np.unravel_index(int(filled.argmax()), filled.shape)
    worst, allowed = float(filled[place, bone]), evidence.checks.bone_variation
    row = int(np.flatnonzero(evidence.groups.subject == subjects[place])[0])
    who = evidence.table.column("subject")[row].as_py()
    joints = "-".join(JOINTS[joint] for joint in BONES[bone])
    with np.errstate(invalid="ignore"):
        off = deviation > max(_BONE_OFF, 3 * allowed)
    status: Status = "warning" if worst > allowed or off.mean() > 0.02 else "ok"
    text = (
        f"{joints} of subject {who} varies most, by {100 * worst:.1f} % (robust standard deviation); "
        f"up to {100 * allowed:g} % is expected"
    )
    if off.any():
        text += f"; {int(off.sum())} samples have a bone that is {100 * _BONE_OFF:g} % or more off its subject's"
    return evidence.finding(name, status, text, off, deviation)


def jumps(evidence: Evidence) -> Finding:
    """From one frame of a film to the next, a hand moves little."""
    name = "label jumps"
    scores, groups = evidence.scores, evidence.groups
    order = groups.order
    if len(order) < ENOUGH:
        return not_checkable(name, "no sequences of numbered frames")
    first, second = order[:-1], order[1:]
    gap = groups.frame[second] - groups.frame[first]
    follows = (groups.track[first] == groups.track[second]) & (gap > 0) & (gap <= 5)
    follows &= ~(scores.marked[first] | scores.marked[second])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        moves = np.linalg.norm(scores.followed_mm[second] - scores.followed_mm[first], axis=-1)
        step = np.where(follows, np.nanmean(moves, axis=1) / np.maximum(gap, 1), np.nan)
    known = np.isfinite(step)
    if known.sum() < ENOUGH:
        return not_checkable(name, "no sequences of following frames with 3-D joints")
    track = groups.track[second]
    usual = np.full(int(groups.track.max()) + 1, np.nan)
    by_track = np.argsort(track[known], kind="stable")
    codes, starts = np.unique(track[known][by_track], return_index=True)
    for code, steps in zip(codes.tolist(), np.split(step[known][by_track], starts)[1:], strict=True):
        usual[code] = np.median(steps) if len(steps) >= 5 else np.nan
    smooth = known & (usual[track] < _SMOOTH_MM)
    if smooth.sum() < ENOUGH:
        middle = float(np.median(step[known]))
        return not_checkable(name, f"frames are no film: the median step from one to the next is {middle:.0f} mm")
    with np.errstate(invalid="ignore"):
        jumped = smooth & (step > np.maximum(_JUMP_MM, _JUMP_TIMES * usual[track]))
    # Away and back within two frames is a wrong label; away for good may be a cut in the film.
    spikes = np.zeros(len(jumped), dtype=bool)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        across = np.nanmean(
            np.linalg.norm(scores.followed_mm[second[1:]] - scores.followed_mm[first[:-1]], axis=-1), axis=1
        )
        spikes[:-1] = jumped[:-1] & jumped[1:] & (across < 0.5 * np.fmin(step[:-1], step[1:]))
    bad = np.zeros(len(groups.frame), dtype=bool)
    size = np.zeros(len(groups.frame))
    bad[second[jumped]], size[second[jumped]] = True, step[jumped]
    size[second[spikes]] += size.max(initial=0.0)  # the worst first
    count, share = int(jumped.sum()), float(jumped.sum() / smooth.sum())
    status: Status = "warning" if spikes.any() or (count > 2 and share > _MANY_JUMPS) else "ok"
    middle, largest = float(np.median(step[smooth])), float(step[jumped].max()) if count else 0.0
    text = f"median step {middle:.1f} mm a frame; " + (
        f"{count} steps ({100 * share:.2g} %) are jumps, the largest {largest:.0f} mm; "
        f"in {int(spikes.sum())} frames labels jump away and back"
        if count
        else "no jumps"
    )
    return evidence.finding(name, status, text, bad, size)
