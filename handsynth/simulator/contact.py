"""Whether the fingers of a posed hand run into each other or into the palm, and how to get them out with little motion.

Flesh is a round bar along each bone: 15 phalanges and the four metacarpals of the palm. The gap of two bars is the
distance of their axes less both radii at the nearest points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.hand.joints import CHAINS
from handsynth.simulator.anatomy import Anatomy
from handsynth.simulator.gestures import GESTURES
from handsynth.simulator.kinematics import FRAMES, joints_mm
from handsynth.simulator.limits import to_limits

PRESS_MM = -3.5
"""Skin that touches gives way; a gap below this is one finger inside another."""

_PALM_SHARE = 0.135  # half the thickness of the palm, of its length
_PALM_RUN = (0.35, 0.9)  # from wrist to knuckle; beyond, the knuckle belongs to its finger
_BLOCK = 2048  # poses worked on at a time
_MARGIN_MM = 0.2  # corrections aim this much beyond the goal, so that they end
_DAMPING_MM2 = 4.0
_STEP_MM, _STEP_RAD = 6.0, 0.35  # largest correction in one round
_ROUNDS = 16
_OPENINGS = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)
_OPEN = GESTURES["five"].angles


@dataclass(frozen=True)
class _Pairs:
    """Bars that must stay apart: (P,) numbers of bars, shares of their length left out at their base, groups."""

    first: np.ndarray
    second: np.ndarray
    first_from: np.ndarray
    second_from: np.ndarray
    starts: np.ndarray  # (15,) where each group begins: ten pairs of fingers, then five fingers against the palm


def _pairs() -> _Pairs:
    rows: list[tuple[int, int, float, float]] = []
    starts = []
    for a in range(5):
        for b in range(a + 1, 5):
            starts.append(len(rows))
            for i in range(3):
                for j in range(3):
                    if a == 0 and i == 0 and j == 0:
                        continue  # the thumb's metacarpal and the knuckles are one palm
                    # Neighbours share the flesh of the web; so do the thumb's first two bones and the index finger.
                    skip = 0.3 if a == 0 or b == a + 1 else 0.15
                    webbed = i == 0 or (a == 0 and i == 1)
                    rows.append((3 * a + i, 3 * b + j, skip * webbed, skip * (j == 0)))
    for a in range(5):
        starts.append(len(rows))
        rows += [(3 * a + i, 15 + j, 0.5 * (i == 1), 0.0) for i in (1, 2) for j in range(4)]
    first, second, first_from, second_from = (np.array(column) for column in zip(*rows, strict=True))
    return _Pairs(first, second, first_from[:, None], second_from[:, None], np.array(starts))


_PAIRS = _pairs()
_GROUPS = len(_PAIRS.starts)


def gap_mm(anatomy: Anatomy, joints_mm: np.ndarray) -> np.ndarray:
    """Smallest gap between parts that should stay apart.

    Args:
        anatomy: N hands.
        joints_mm: (N, 21, 3), any frame.

    Returns:
        (N,) mm; negative where parts overlap.
    """
    out = np.empty(len(joints_mm))
    for start in range(0, len(out), _BLOCK):
        part = slice(start, start + _BLOCK)
        gaps = _contacts(anatomy.radii_mm[part], anatomy.palm_mm[part], joints_mm[part])[0]
        out[part] = gaps.min(1)
    return out


def relaxed(anatomy: Anatomy, angles: np.ndarray, gap_goal_mm: float = PRESS_MM) -> np.ndarray:
    """Move poses out of self-penetration by small corrections of their angles; poses that are free stay bit for bit.

    Each round takes the deepest contact of every pair of fingers and of every finger with the palm, and adds the
    shortest change of angles that opens them to first order, kept within the limits. Poses that stay caught (a finger
    on the wrong side of another) start again from a hand that is opened a little, then more.

    Args:
        anatomy: N hands.
        angles: (N, 5, 4) radians, within the limits.
        gap_goal_mm: smallest gap that is let be; below 0, or the open hand may not reach it either.

    Returns:
        (N, 5, 4) angles within the limits.
    """
    out = angles.copy()
    for start in range(0, len(out), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(out)))
        for opened in _OPENINGS:
            now = angles[rows] if opened == 0 else to_limits(angles[rows] + opened * (_OPEN - angles[rows]))
            out[rows], gaps = _rounds(anatomy.select(rows), now, gap_goal_mm)
            rows = rows[gaps < gap_goal_mm]
            if not len(rows):
                break
    return out


def _rounds(anatomy: Anatomy, angles: np.ndarray, goal_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """The most open angles (N, 5, 4) found on the way, and their smallest gaps (N,) mm."""
    best, best_gap = angles.copy(), np.full(len(angles), -np.inf)
    caught, now = np.arange(len(angles)), angles
    for attempt in range(_ROUNDS + 1):
        some = anatomy.select(caught)
        joints = joints_mm(some, now)
        gaps, on_first, on_second, which = _contacts(some.radii_mm, some.palm_mm, joints)
        smallest = gaps.min(1)
        better = smallest > best_gap[caught]
        best[caught[better]], best_gap[caught[better]] = now[better], smallest[better]
        open_ = smallest < goal_mm
        if attempt == _ROUNDS or not open_.any():
            break
        caught, now = caught[open_], now[open_]
        push = np.clip(goal_mm + _MARGIN_MM - gaps[open_], 0, _STEP_MM)
        step = _shortest(joints[open_], now, on_first[open_], on_second[open_], which[open_], push)
        now = to_limits(now + np.clip(step, -_STEP_RAD, _STEP_RAD))
    return best, best_gap


def _contacts(
    radii_mm: np.ndarray, palm_mm: np.ndarray, joints: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per group (N, 15): smallest gap, its points (N, 15, 3) on both axes, and the number of its pair."""
    chains = joints[:, np.array(CHAINS)]
    count = len(joints)
    wrist, knuckles = joints[:, None, 0], chains[:, 1:, 0]
    near, far = (wrist + share * (knuckles - wrist) for share in _PALM_RUN)
    start = np.concatenate([chains[:, :, :-1].reshape(count, 15, 3), near], axis=1)
    run = np.concatenate([chains[:, :, 1:].reshape(count, 15, 3), far], axis=1) - start
    palm = np.broadcast_to(_PALM_SHARE * palm_mm[:, None], (count, 4))
    at_start = np.concatenate([radii_mm[:, :, :-1].reshape(count, 15), palm], axis=1)
    widening = np.concatenate([radii_mm[:, :, 1:].reshape(count, 15), palm], axis=1) - at_start
    pairs = _PAIRS
    first_run, second_run = run[:, pairs.first], run[:, pairs.second]
    first, second = start[:, pairs.first], start[:, pairs.second]
    s, t = _nearest(first, first_run, pairs.first_from[:, 0], second, second_run, pairs.second_from[:, 0])
    first, second = first + s[..., None] * first_run, second + t[..., None] * second_run
    between = first - second
    gaps = np.sqrt(np.einsum("npc,npc->np", between, between))
    gaps -= at_start[:, pairs.first] + s * widening[:, pairs.first]
    gaps -= at_start[:, pairs.second] + t * widening[:, pairs.second]
    ends = np.append(pairs.starts[1:], len(pairs.first))
    which = np.stack([a + gaps[:, a:b].argmin(1) for a, b in zip(pairs.starts, ends, strict=True)], axis=1)
    row = np.arange(count)[:, None]
    return gaps[row, which], first[row, which], second[row, which], which


def _nearest(
    p: np.ndarray, u: np.ndarray, low_s: np.ndarray, q: np.ndarray, v: np.ndarray, low_t: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where p + s u and q + t v (..., 3) come nearest, s in [low_s, 1] and t in [low_t, 1]."""
    w = p - q
    uu, vv, uv, uw, vw = (np.einsum("npc,npc->np", a, b) for a, b in ((u, u), (v, v), (u, v), (u, w), (v, w)))
    free = np.maximum(uu * vv - uv * uv, 1e-9 * uu * vv)
    s = np.clip((uv * vw - uw * vv) / free, low_s, 1)
    t = np.clip((uv * s + vw) / vv, low_t, 1)
    s = np.clip((uv * t - uw) / uu, low_s, 1)
    return s, t


def _shortest(
    joints: np.ndarray, angles: np.ndarray, first: np.ndarray, second: np.ndarray, which: np.ndarray, push: np.ndarray
) -> np.ndarray:
    """(N, 5, 4) least change of angles that opens contacts (N, 15) by ``push`` mm, to first order and damped."""
    away = first - second
    away /= np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-6)
    slopes = np.zeros((len(joints), _GROUPS, 5, 4))
    for bars, points, sign in ((_PAIRS.first, first, 1.0), (_PAIRS.second, second, -1.0)):
        _add_slopes(slopes, joints, angles, bars[which], points, sign * away)
    slopes *= (push > 0)[..., None, None]
    flat = slopes.reshape(len(joints), _GROUPS, 20)
    square = flat @ flat.swapaxes(-1, -2) + _DAMPING_MM2 * np.eye(_GROUPS)
    pull = np.linalg.solve(square, push[..., None])
    return np.asarray((flat.swapaxes(-1, -2) @ pull).reshape(-1, 5, 4))


def _add_slopes(
    slopes: np.ndarray, joints: np.ndarray, angles: np.ndarray, bars: np.ndarray, points: np.ndarray, away: np.ndarray
) -> None:
    """Add how far ``points`` (N, 15, 3) on ``bars`` move along ``away`` per radian of each angle."""
    chains = joints[:, np.array(CHAINS)]
    deviation = angles[..., 0]
    axis = np.stack([np.cos(deviation), -np.sin(deviation), np.zeros_like(deviation)], axis=-1)
    axis = np.einsum("fij,nfj->nfi", FRAMES, axis)
    row = np.arange(len(joints))[:, None]
    column = np.arange(_GROUPS)
    moves = bars < 15  # the palm stays
    finger, segment = np.minimum(bars, 14) // 3, np.minimum(bars, 14) % 3
    for joint in range(3):
        # A turn about an axis moves a point along away by axis . (lever x away).
        lever = np.cross(points - chains[row, finger, joint], away)
        lever *= (moves & (segment >= joint))[..., None]
        slopes[row, column, finger, joint + 1] += np.einsum("ngi,ngi->ng", axis[row, finger], lever)
        if joint == 0:
            slopes[row, column, finger, 0] -= np.einsum("ngi,ngi->ng", FRAMES[finger][..., 2], lever)
