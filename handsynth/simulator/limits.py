"""What joints can do: ranges of motion, and how the angles of one hand bind each other. numpy, vectorised.

Angles are (N, 5, 4) radians, thumb to pinky: deviation of the base joint in the plane of the palm (towards the thumb
is positive; for the thumb out of the palm), then flexion of the base, middle and last joint. The thumb's are CMC
(palmar abduction and flexion across the palm), MCP and IP.

The numbers are chosen: active ranges of healthy adults as textbooks give them, opened by some degrees where the real
poses at hand go further (bones of labelled joints, ``tests/simulator/real_poses.py``).
"""

from __future__ import annotations

import numpy as np

LIMITS = np.deg2rad(
    [
        [[-30, 42], [-26, 42], [-12, 70], [-20, 85]],
        [[-20, 24], [-20, 92], [-6, 115], [-15, 82]],
        [[-16, 16], [-20, 92], [-6, 115], [-15, 82]],
        [[-20, 16], [-20, 92], [-6, 118], [-15, 82]],
        [[-30, 20], [-20, 95], [-8, 115], [-15, 82]],
    ]
)
"""(5, 4, 2) lowest and highest angle of each joint by itself, radians."""

DIP_PER_PIP = 0.64
"""The last joints of the long fingers follow the middle ones; mean ratio of the natural coupling (about 2/3)."""
DIP_SLACK = np.deg2rad([-55.0, 20.0])
"""How far a last joint may stray below and above that coupling: a pressed tip or a fist keeps it straighter, but
nobody bends it much with the middle joint straight."""
FOLLOW_SLACK = np.deg2rad(80.0)
"""How far the flexion of neighbouring knuckles may differ: tendons are joined."""
BENT_SPREAD = 0.4
"""Share of its deviation that a long finger keeps at 90 degrees of flexion of its base: tight collateral ligaments."""
_FREE_SPREAD = np.deg2rad(20.0)  # up to this flexion the deviation is free

_LOW, _HIGH = LIMITS[..., 0], LIMITS[..., 1]
_THUMB_MIDDLE, _THUMB_HALF = LIMITS[0, :2].mean(-1), np.ptp(LIMITS[0, :2], axis=-1) / 2


def to_limits(angles: np.ndarray) -> np.ndarray:
    """The nearest angles (N, 5, 4) that the hand can take, coupling by coupling; those within the limits stay."""
    out = np.clip(angles, _LOW, _HIGH)
    for finger in (2, 3, 4):
        before = out[:, finger - 1, 1]
        np.clip(out[:, finger, 1], before - FOLLOW_SLACK, before + FOLLOW_SLACK, out=out[:, finger, 1])
    natural = DIP_PER_PIP * out[:, 1:, 2]
    lowest, highest = np.maximum(natural + DIP_SLACK[0], _LOW[1:, 3]), np.minimum(natural + DIP_SLACK[1], _HIGH[1:, 3])
    np.clip(out[:, 1:, 3], lowest, highest, out=out[:, 1:, 3])
    share = _spread_share(out[:, 1:, 1])
    np.clip(out[:, 1:, 0], share * _LOW[1:, 0], share * _HIGH[1:, 0], out=out[:, 1:, 0])
    beyond = _thumb_reach(out[:, 0, :2])
    far = beyond > 1
    out[far, 0, :2] = _THUMB_MIDDLE + (out[far, 0, :2] - _THUMB_MIDDLE) / beyond[far, None]
    return np.asarray(out)


def within_limits(angles: np.ndarray, slack: float = 1e-9) -> np.ndarray:
    """(N,) whether angles (N, 5, 4) respect ``LIMITS`` and the couplings, all but ``slack`` radians."""
    return np.asarray((np.abs(angles - to_limits(angles)) <= slack).all((-1, -2)))


def _spread_share(flexion: np.ndarray) -> np.ndarray:
    """Share of the range of deviation that is left at a flexion of the base joint."""
    loss = (np.abs(flexion) - _FREE_SPREAD) * ((1 - BENT_SPREAD) / (np.pi / 2 - _FREE_SPREAD))
    return 1 - np.clip(loss, 0, 1 - BENT_SPREAD)


def _thumb_reach(angles: np.ndarray) -> np.ndarray:
    """(N,) 1 on the border of what both axes (N, 2) of the thumb's CMC joint reach together, less inside."""
    part = np.square(np.square((angles - _THUMB_MIDDLE) / _THUMB_HALF))  # a superellipse cuts the corners
    return np.asarray(np.sqrt(np.sqrt(part[:, 0] + part[:, 1])))
