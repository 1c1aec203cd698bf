"""Natural poses: a few motions that fingers make together, gestures, and fingers each on their own.

No recordings stand behind the model. Its directions are chosen after what studies of grasping and of free hand motion
agree on (Santello, Flanders and Soechting 1998 and others after them): most of the variance is all fingers closing
together, then knuckles against middle joints, then the order of the fingers, with spread and thumb beside them. The
real poses at hand were used to check that what people do is reached, not to fit anything.
"""

from __future__ import annotations

import numpy as np

from handsynth.simulator.gestures import DISTINCT, DISTINCT_ANGLES
from handsynth.simulator.limits import LIMITS, to_limits

# Degrees; per finger deviation, base, middle; the last joints of the long fingers follow the middle ones.
_REST = np.array([[6, 6, 12, 14], [1, 26, 36, 0], [0, 30, 40, 0], [-1, 30, 42, 0], [-3, 28, 38, 0]], dtype=float)

_NONE = [0, 0, 0, 0]
_SYNERGIES = np.array(
    [
        # all fingers close, the ulnar ones a little more; the thumb comes along
        [[8, 0, 18, 20], [-2, 32, 40, 0], [0, 34, 42, 0], [1, 34, 42, 0], [4, 34, 40, 0]],
        # knuckles against middle joints: table top to hook
        [[0, 3, 0, 4], [0, 26, -34, 0], [0, 27, -36, 0], [0, 27, -36, 0], [0, 26, -33, 0]],
        # index open while the little finger closes, and the other way round
        [_NONE, [0, -20, -28, 0], [0, -6, -8, 0], [0, 12, 14, 0], [0, 20, 26, 0]],
        # spread
        [[0, -8, -2, -2], [9, 0, 0, 0], [1, 0, 0, 0], [-6, 0, 0, 0], [-13, 0, 0, 0]],
        # the thumb opposes: its metacarpal leaves the plane of the palm and comes across; and across alone
        [[14, 9, 2, 0], _NONE, _NONE, _NONE, _NONE],
        [[0, 11, 3, 0], _NONE, _NONE, _NONE, _NONE],
        # the thumb bends
        [[0, 2, 14, 28], _NONE, _NONE, _NONE, _NONE],
        # fingers that move by themselves: index, middle, little with some of the ring finger
        [_NONE, [0, 18, 30, 0], _NONE, _NONE, _NONE],
        [_NONE, _NONE, [0, 15, 24, 0], [0, 8, 12, 0], _NONE],
        [_NONE, _NONE, _NONE, [0, 8, 12, 0], [0, 18, 28, 0]],
    ],
    dtype=float,
)
"""(K, 5, 4) change of angles, degrees, per unit of each component."""
SYNERGY_COUNT = len(_SYNERGIES)

_CLOSING = (-1.1, 1.65)  # evenly from an open hand to a fist; the other components are normal
# Synergies up to the first, gestures and the ways between them up to the second, fingers of several gestures up to the
# third, then fingers that close each by another amount. The third kind shows every set of straight and folded fingers:
# without it a network learns the named sets by heart, and invents a finger where it meets another one.
_SHARES = (0.3, 0.6, 0.9)
_LOOSE_SYNERGIES = 0.15  # beside a gesture
_NOISE_DEGREES = np.array([3.5, 5.0, 5.0, 6.0])  # per angle
_LAST_JOINT = (0.5, 0.15)  # mean and deviation of last by middle joint, per hand: people differ from ``DIP_PER_PIP``
_SOFT_FROM = 0.75  # of half a range: beyond, joints resist more and more, and the end is never quite reached


def natural_angles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw (N, 5, 4) radians within the limits: synergies, gestures whole and mixed, fingers each on its own.

    Penetration is not looked at here: see ``contact.relaxed``.
    """
    kind = rng.random(count)
    gestures = np.flatnonzero((kind >= _SHARES[0]) & (kind < _SHARES[2]))
    apart = np.flatnonzero(kind >= _SHARES[2])
    weights = rng.standard_normal((count, SYNERGY_COUNT))
    weights[:, 0] = rng.uniform(*_CLOSING, count)
    weights[gestures, 0] -= sum(_CLOSING) / 2
    weights[gestures] *= _LOOSE_SYNERGIES
    moved = (weights @ _SYNERGIES.reshape(SYNERGY_COUNT, -1)).reshape(count, 5, 4)
    # Fingers by themselves: each closes by another amount.
    own = rng.uniform(*_CLOSING, (len(apart), 5))
    moved[apart] += (own - weights[apart, :1])[..., None] * _SYNERGIES[0]
    moved += _NOISE_DEGREES * rng.standard_normal((count, 5, 4))
    last = (_LAST_JOINT[0] + _LAST_JOINT[1] * rng.standard_normal(count))[:, None]
    shown = np.deg2rad(moved[gestures])
    shown[:, 1:, 3] += last[gestures] * shown[:, 1:, 2]
    shown += np.where(
        (kind[gestures] < _SHARES[1])[:, None, None],
        _mixed_gestures(rng, len(gestures)),
        _mixed_fingers(rng, len(gestures)),
    )
    moved += _REST
    moved[:, 1:, 3] += last * moved[:, 1:, 2]
    angles = np.deg2rad(moved)
    _soften(angles)
    angles[gestures] = shown
    return to_limits(angles)


def _soften(angles: np.ndarray) -> None:
    """Compress, in place, what angles (N, 5, 4) leave of the middle of their ranges."""
    middle, half = LIMITS.mean(-1), np.ptp(LIMITS, axis=-1) / 2
    beyond = angles - np.clip(angles, middle - _SOFT_FROM * half, middle + _SOFT_FROM * half)
    size = np.abs(beyond)
    size /= size + (1 - _SOFT_FROM) * half
    beyond *= size
    angles -= beyond


def _mixed_gestures(rng: np.random.Generator, count: int) -> np.ndarray:
    """(N, 5, 4) radians: one gesture in half of the cases, else a place on the way from one to another."""
    first, second = rng.integers(len(DISTINCT), size=(2, count))
    way = np.maximum(rng.uniform(-1, 1, count), 0)[:, None, None]
    return np.asarray(DISTINCT_ANGLES[first] * (1 - way) + DISTINCT_ANGLES[second] * way)


def _mixed_fingers(rng: np.random.Generator, count: int) -> np.ndarray:
    """(N, 5, 4) radians: every finger as in a gesture drawn for it alone."""
    return np.asarray(DISTINCT_ANGLES[rng.integers(len(DISTINCT), size=(count, 5)), np.arange(5)])
