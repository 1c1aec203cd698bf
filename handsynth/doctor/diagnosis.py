"""Which of the usual mistakes explains what is wrong, in words.

Every mistake is judged by all the evidence there is: 2-D labels, pixels, chirality, joints inside the image and before
the camera, palm length. It explains a fault if, once mended, everything that failed passes and nothing else fails.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from handsynth.doctor.agreement import CLEARLY, Looks, better
from handsynth.doctor.anatomy import Order
from handsynth.doctor.labels import Labels
from handsynth.doctor.mistakes import fit_intrinsics
from handsynth.doctor.numbers import Evidence
from handsynth.doctor.thresholds import DECISIVE, ENOUGH
from handsynth.hand.joints import JOINTS
from handsynth.hand.pose import palm_length
from handsynth.store.findings import Finding

_AS_GOOD = 0.06
"""Fits that differ by less are equally good."""
_TESTS = {
    "reprojection": ("reprojection",),
    "fit": ("joints against surface depth", "joints on the mask"),
    "turn": ("chirality against side",),
    "inside": ("joints inside the image",),
    "behind": ("joints before the camera",),
    "palm": ("palm length",),
}
"""Evidence -> the findings that it stands behind."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong.

    Attributes:
        failed: names of the evidence that fails.
        words: what explains it, completing "... if WORDS"; empty where nothing does.
    """

    failed: frozenset[str]
    words: str

    def told(self, findings: Sequence[Finding]) -> list[Finding]:
        """The findings with the explanation at those that it explains; labels that clearly fit elsewhere are faults."""
        if not self.failed:
            return list(findings)
        concerned = {check for test in self.failed for check in _TESTS[test]}
        checkable = [finding for finding in findings if finding.status != "not checkable"]
        off = {finding.check for finding in checkable if finding.status != "ok"} & concerned
        if "fit" in self.failed and self.words and not off.intersection(_TESTS["fit"]):
            # Both look passable by themselves, and yet other labels fit the pixels clearly better.
            off.update([finding.check for finding in checkable if finding.check in _TESTS["fit"]][:1])
        whom = "the images" if "fit" in self.failed else "each other"
        why = f"the labels agree with {whom} if {self.words}" if self.words else _NOTHING
        return [
            msgspec.structs.replace(
                finding, status="fault" if self.words else finding.status, text=f"{finding.text}; {why}", why=why
            )
            if finding.check in off
            else finding
            for finding in findings
        ]


_MIRRORED = (
    "the hands are mirrored back: left and right are exchanged, or one axis runs the other way "
    "(without depth, masks or 2-D labels nothing tells which)"
)
_NOTHING = "none of the usual mistakes explains it"


def diagnose(
    evidence: Evidence, labels: Labels, looks: Looks, findings: Sequence[Finding], order: Order | None = None
) -> Diagnosis:
    """Find out what explains the failing evidence.

    Args:
        labels: of some hundred rows, with neighbours and other hands.
        looks: what frames said, with all mistakes tried on them.
        findings: of the checks so far.
        order: in which the joints' proportions are right, where it is not the one they are in.
    """
    mistakes = looks.mistakes
    fits = looks.mean_fits()
    gains = fits[:, 0] - fits[:, 1]
    passes_now = _passes(evidence, labels)
    failed = {test for test, passed in passes_now.items() if passed is False}
    if better(looks) or any(each.status == "fault" and each.check in _TESTS["fit"] for each in findings):
        failed.add("fit")
    if not failed:
        return Diagnosis(frozenset(), "")
    if order is not None and "fit" not in failed:  # which joint is which does not show in pixels
        passes = _passes(evidence, labels.moved(labels.joints_mm[:, order.gather]))
        if all(passed is not False for test, passed in passes.items() if test != "reprojection" or test in failed):
            return Diagnosis(frozenset(failed), order.words)
    if failed == {"turn"} and passes_now["reprojection"] is None and not np.isfinite(gains).any():
        return Diagnosis(frozenset(failed), _MIRRORED)
    top = float(np.nanmax(gains)) if np.isfinite(gains).any() else 0.0

    def explains(place: int) -> bool:
        if "fit" in failed and not gains[place] >= max(top - _AS_GOOD, CLEARLY):
            return False
        # Where labels fit pixels as they are, what would tear them away is no explanation.
        if "fit" not in failed and np.isfinite(gains[place]) and gains[place] < -_AS_GOOD:
            return False
        passes = _passes(evidence, mistakes[place].mend(labels))
        # If 2-D and 3-D labels agree with each other, what moves the one moves the other.
        tests = [test for test in passes if test != "reprojection" or test in failed]
        return all(passes[test] is not False for test in tests) and all(
            passes[test] is True for test in failed if test != "fit"
        )

    for coarse in (False, True):
        for place in range(1, len(mistakes)):
            if mistakes[place].coarse == coarse and explains(place):
                return Diagnosis(frozenset(failed), mistakes[place].words)
        if not coarse and "reprojection" in failed:
            words = _swapped(labels, evidence.limit_px) or _intrinsics(labels, evidence.limit_px)
            if words:
                return Diagnosis(frozenset(failed), words)
    return Diagnosis(frozenset(failed), "")


def _passes(evidence: Evidence, labels: Labels) -> dict[str, bool | None]:
    """Whether each kind of evidence passes; None where it says nothing."""
    out: dict[str, bool | None] = dict.fromkeys(("reprojection", "turn", "inside", "behind", "palm"))
    projected = labels.projected()
    error = np.linalg.norm(projected - labels.keypoints_px, axis=-1)
    pairs = np.isfinite(labels.joints_mm).all(-1) & np.isfinite(labels.keypoints_px).all(-1)
    if evidence.independent_2d and pairs.any():
        # A joint behind the camera has no image; it is as wrong as can be.
        labelled = np.asarray(pairs.any(axis=0))
        error = np.where(pairs, np.nan_to_num(error, nan=1e9), np.nan)[:, labelled]
        out["reprojection"] = bool(np.nanmedian(error, axis=0).max() <= evidence.limit_px)
    turn = np.asarray(labels.turns() * labels.sign)
    decided = np.asarray(np.nan_to_num(np.abs(turn)) > DECISIVE)
    if decided.sum() >= ENOUGH:
        share = float((turn[decided] > 0).mean())
        out["turn"] = None if 0.5 <= share < 0.8 else share >= 0.8
    known = np.asarray(np.isfinite(labels.joints_mm).all(axis=-1))
    if known.any():
        behind = float((labels.joints_mm[..., 2][known] <= 0).mean())
        out["behind"] = behind <= 0.3
    seen = known & np.isfinite(labels.cameras).all(1)[:, None]
    if seen.any():
        with np.errstate(invalid="ignore"):
            within = (projected >= -0.5) & (projected < labels.cameras[:, None, -2:] - 0.5)
        out["inside"] = bool(np.all(within, axis=-1)[seen].mean() >= 0.5)
    palm = palm_length(labels.all_joints_mm) * (2.0 if evidence.palm_root else 1.0)
    if np.isfinite(palm).any():
        low, high = evidence.checks.palm_mm
        out["palm"] = bool(low / 1.5 <= float(np.nanmedian(palm)) <= high * 1.5)
    return out


def _swapped(labels: Labels, limit_px: float) -> str:
    """Words for joints whose 2-D labels are each other's; empty where that does not explain the distances."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        distance = np.nanmedian(
            np.linalg.norm(labels.projected()[:300, :, None] - labels.keypoints_px[:300, None], axis=-1), axis=0
        )
    known = np.flatnonzero(np.isfinite(np.diag(distance)))
    if len(known) < 2:
        return ""
    from scipy.optimize import linear_sum_assignment  # slow to import, seldom needed

    table = distance[np.ix_(known, known)]
    mine, theirs = linear_sum_assignment(table)
    moved = known[mine[mine != theirs]]
    if not len(moved) or float(np.median(table[mine, theirs])) > limit_px:
        return ""
    names = [f"{JOINTS[known[a]]} and {JOINTS[known[b]]}" for a, b in zip(mine, theirs, strict=True) if a < b]
    if len(moved) == 2:
        return f"{names[0]} are swapped"
    joints = ", ".join(JOINTS[joint] for joint in moved[:6].tolist())
    return f"{len(moved)} joints are taken in another order in 2-D than in 3-D ({joints}{', ...' * (len(moved) > 6)})"


def _intrinsics(labels: Labels, limit_px: float) -> str:
    rest, words = fit_intrinsics(labels)
    return words if rest <= limit_px else ""
