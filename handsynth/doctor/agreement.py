"""Findings about labels against pixels, from what a sample of frames said (``pixels.py``)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handsynth.doctor.mistakes import NEXT, PREVIOUS, Mistake, Move
from handsynth.doctor.numbers import Evidence
from handsynth.doctor.pixels import SHIFTS_MM, Look
from handsynth.store.findings import Finding, Status, not_checkable

_FEW = 3
"""Frames below which nothing is said."""
CLEARLY = 0.12
"""How much better other labels must fit pixels, in the mean, to be taken for the right ones."""
_DECIDED = 0.02
"""Difference of two fits that tells them apart."""
_MOVED_MM = 12.0
"""Colour and depth that lie closer than this belong together."""


@dataclass(frozen=True)
class Looks:
    """F frames.

    Attributes:
        rows: (F,) rows of the table.
        looks: what each said.
        mistakes: what ``fits`` are of.
        moves: what ``moves`` are of.
    """

    rows: np.ndarray
    looks: Sequence[Look]
    mistakes: Sequence[Mistake]
    moves: Sequence[Move]

    @property
    def fits(self) -> np.ndarray:
        """(F, M)."""
        return np.array([look.fits for look in self.looks]).reshape(-1, len(self.mistakes))

    def mean_fits(self) -> np.ndarray:
        """(M, 2) mean fit of each mistake, and of the labels as they are in the frames that it can be said of."""
        fits = self.fits
        known = np.isfinite(fits) & np.isfinite(fits[:, :1])
        enough = known.sum(0) >= max(_FEW, 0.25 * np.isfinite(fits[:, 0]).sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            mended = np.where(known, fits, 0).sum(0) / known.sum(0)
            own = np.where(known, fits[:, :1], 0).sum(0) / known.sum(0)
        return np.where(enough[:, None], np.stack([mended, own], axis=1), np.nan)


def check_pixels(evidence: Evidence, looks: Looks) -> list[Finding]:
    """All checks on labels against pixels, in the order in which they are shown."""
    return [
        surface(evidence, looks),
        on_mask(evidence, looks),
        colour_against_depth(evidence, looks),
        offset(evidence, looks),
    ]


def surface(evidence: Evidence, looks: Looks) -> Finding:
    """How far joints lie behind the surface that the depth map shows at their pixels."""
    name = "joints against surface depth"
    share = np.array([look.on_surface for look in looks.looks])
    if not np.isfinite(share).any():
        return not_checkable(name, "no sample has a depth map and joints")
    behind = np.array([look.behind_mm for look in looks.looks])
    low, high = evidence.checks.surface_mm
    if not np.isfinite(behind).any():
        text = "no depth was measured at any joint"
        return _finding(evidence, looks, name, "fault", text, np.isfinite(share), 1 - share)
    median, mean = float(np.nanmedian(behind)), float(np.nanmean(share))
    status: Status = "ok" if low <= median <= high else "warning"
    if abs(median) > 60 or mean < 0.25:
        status = "fault"
    elif mean < 0.5 and status == "ok":
        status = "warning"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmedian(behind, axis=1)
    with np.errstate(invalid="ignore"):
        bad = (share < 0.3) | (middle < low - 20) | (middle > high + 40)
    text = (
        f"joints lie {median:.1f} mm behind the surface in the median of {np.isfinite(share).sum()} samples, "
        f"{low:g} to {high:g} mm is expected; {100 * mean:.0f} % of the joints lie near the surface"
    )
    return _finding(evidence, looks, name, status, text, bad, 1 - share)


def on_mask(evidence: Evidence, looks: Looks) -> Finding:
    """Share of the joints in the image that lie on the hand's mask."""
    name = "joints on the mask"
    share = np.array([look.on_mask for look in looks.looks])
    if not np.isfinite(share).any():
        return not_checkable(name, "no sample has a mask of the hand and joints")
    mean, least = float(np.nanmean(share)), evidence.checks.mask_share
    status: Status = "fault" if mean < 0.35 else "warning" if mean < least else "ok"
    with np.errstate(invalid="ignore"):
        bad = share < 0.5
    text = (
        f"{100 * mean:.0f} % of the joints lie on the mask in {np.isfinite(share).sum()} samples; "
        f"at least {100 * least:g} % is expected"
    )
    return _finding(evidence, looks, name, status, text, bad, 1 - share)


def colour_against_depth(evidence: Evidence, looks: Looks) -> Finding:
    """Whether the hand's outline in depth lies on edges in colour, or would if depth were moved."""
    name = "colour against depth"
    used = [place for place, look in enumerate(looks.looks) if look.shifts is not None]
    if len(used) < _FEW:
        return not_checkable(name, "no samples with colour and depth")
    shifts = np.array([looks.looks[place].shifts for place in used])
    mean = shifts.mean(0)
    best, here = int(mean.argmax()), int(np.abs(SHIFTS_MM).sum(1).argmin())
    moved = np.array([looks.looks[place].moves for place in used]).reshape(len(used), -1)
    winner = int(moved.mean(0).argmax()) if moved.shape[1] else -1
    top = max(float(mean[best]), float(moved.mean(0)[winner]) if winner >= 0 else -np.inf)
    if top < 0.8:
        return not_checkable(name, f"the hand's outline hardly shows in the colour of {len(used)} samples")
    agree = float((shifts[:, best] > shifts[:, here]).mean())
    distance = float(np.linalg.norm(SHIFTS_MM[best]))
    known = winner >= 0 and moved.mean(0)[winner] > mean[best] - 0.4
    gain, wins = top - float(mean[here]), agree
    if known:
        wins = max(agree, float((moved[:, winner] > shifts[:, here]).mean()))
    off = gain > 0.6 and wins > 0.7 and (distance > _MOVED_MM or (known and distance > 0))
    status: Status = "ok"
    text = f"the outline of the hand lies on edges of colour in {len(used)} samples"
    if off:
        status = "fault" if gain > 1.0 and wins > 0.8 and len(used) >= 8 else "warning"
        x, y = SHIFTS_MM[best]
        text = f"colour lies about {x:+.0f} mm (x) and {y:+.0f} mm (y) from depth in {len(used)} samples"
        if known:
            text += f"; they agree if {looks.moves[winner].words}"
    bad = np.zeros(len(looks.looks), dtype=bool)
    badness = np.zeros(len(looks.looks))
    if off:
        bad[used] = True
        badness[used] = shifts[:, best] - shifts[:, here]
    return _finding(evidence, looks, name, status, text, bad, badness)


def offset(evidence: Evidence, looks: Looks) -> Finding:
    """Whether the labels of a neighbouring frame fit a frame's pixels better than its own."""
    name = "frame numbers"
    words = [mistake.words for mistake in looks.mistakes]
    fits = looks.fits
    own = fits[:, 0]
    if not np.isfinite(own).any():
        return not_checkable(name, "needs depth or a mask")
    found: list[tuple[float, str, np.ndarray]] = []
    compared = 0
    for which, said in ((NEXT, "i + 1"), (PREVIOUS, "i - 1")):
        gain = fits[:, words.index(which)] - own
        decided = np.abs(gain) > _DECIDED
        compared = max(compared, int(decided.sum()))
        if decided.sum() >= 8 and (gain[decided] > 0).mean() > 0.75 and gain[decided].mean() > 0.03:
            found.append((float(gain[decided].mean()), said, gain))
    if compared < 8:
        return not_checkable(name, "too few samples whose neighbours in the sequence have other labels")
    if not found:
        text = f"in {compared} samples the labels fit their own frame better than the neighbours'"
        return Finding(check=name, status="ok", text=text)
    _, said, gain = max(found)
    text = f"the labels of frame {said} fit the image of frame i better than its own: frame numbers are off by one"
    with np.errstate(invalid="ignore"):
        return _finding(evidence, looks, name, "fault", text, gain > _DECIDED, gain)


def better(looks: Looks) -> bool:
    """Whether some mended labels fit the pixels clearly better than those as they are."""
    fits = looks.mean_fits()
    gain = fits[:, 0] - fits[:, 1]
    return bool(np.isfinite(gain).any() and np.nanmax(gain) > CLEARLY)


def _finding(
    evidence: Evidence, looks: Looks, check: str, status: Status, text: str, bad: np.ndarray, badness: np.ndarray
) -> Finding:
    """A finding on frames, told as one on rows."""
    rows_bad, rows_badness = np.zeros(len(evidence.table), dtype=bool), np.zeros(len(evidence.table))
    rows_bad[looks.rows[bad]] = True
    rows_badness[looks.rows] = np.nan_to_num(badness)
    return evidence.finding(check, status, text, rows_bad, rows_badness)
