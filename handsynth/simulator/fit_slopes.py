"""How the joints of a fitted hand move with its pose and its build: the analytic derivatives that ``fit`` steps by."""

from __future__ import annotations

import numpy as np

from handsynth.hand.joints import J
from handsynth.simulator.fitted import FittedPerson
from handsynth.simulator.kinematics import FRAMES

FREEDOMS = 26
"""Of one pose: three turns and three shifts of the hand, then the 20 angles, thumb to pinky."""
BUILD = 45
"""Of one person: 15 coordinates of bases, 15 bone lengths, 15 turns of fingers, each thumb to pinky."""

_PIVOT = np.array([0, 0, 1, 2])  # per angle of a finger, the joint it turns about
_MOVED = np.arange(4) > _PIVOT[:, None]  # (angle, joint) whether the angle moves the joint


def pose_slopes(person: FittedPerson, angles: np.ndarray, hand_mm: np.ndarray) -> np.ndarray:
    """(N, 21, 3, 26) how ``hand_joints_mm`` move, in the hand frame, with the freedoms of the pose.

    Args:
        person: whose hand.
        angles: (N, 5, 4) radians.
        hand_mm: (N, 21, 3), the joints of these angles.

    Returns:
        mm per radian of a small turn of the hand about its wrist and of each angle; per mm of shift.
    """
    slopes = np.zeros((len(angles), J, 3, FREEDOMS))
    slopes[..., :3] = -_cross_matrix(hand_mm)
    slopes[..., 3:6] = np.eye(3)
    frames = person.turns @ FRAMES
    deviation = angles[..., 0]
    flexing = np.stack([np.cos(deviation), -np.sin(deviation), np.zeros_like(deviation)], axis=-1)
    flexing = np.einsum("fij,nfj->nfi", frames, flexing)
    spreading = np.broadcast_to(-frames[..., 2], flexing.shape)
    axes = np.stack([spreading, flexing, flexing, flexing], axis=2)[:, :, :, None]
    chains = hand_mm[:, 1:].reshape(-1, 5, 4, 3)
    # (N, finger, angle, joint, 3)
    levers = (chains[:, :, None] - chains[:, :, _PIVOT, None]) * _MOVED[..., None]
    moved = np.moveaxis(np.cross(axes, levers), 2, -1)
    for finger in range(5):
        block = slopes[:, 1 + 4 * finger : 5 + 4 * finger]
        block[..., 6 + 4 * finger : 10 + 4 * finger] = moved[:, finger]
    return slopes


def build_slopes(person: FittedPerson, hand_mm: np.ndarray) -> np.ndarray:
    """(N, 21, 3, 45) how ``hand_joints_mm`` (N, 21, 3) move with the person's build: per mm of bases and lengths, and
    per radian of small turns of the fingers about their bases."""
    slopes = np.zeros((len(hand_mm), J, 3, BUILD))
    chains = hand_mm[:, 1:].reshape(-1, 5, 4, 3)
    along = np.diff(chains, axis=2) / person.anatomy.phalanges_mm[0, :, :, None]
    turning = -_cross_matrix(chains - chains[:, :, :1])
    for finger in range(5):
        block = slopes[:, 1 + 4 * finger : 5 + 4 * finger]
        first = 3 * finger
        block[..., first : first + 3] = np.eye(3)
        for bone in range(3):
            block[:, bone + 1 :, :, 15 + first + bone] = along[:, finger, None, bone]
        block[..., 30 + first : 33 + first] = turning[:, finger]
    return slopes


def small_rotations(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) rotation vectors, radians, to matrices (..., 3, 3)."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    cross = _cross_matrix(vectors)
    # sin x / x and (1 - cos x) / x^2, both finite at 0
    return np.asarray(
        np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * (cross @ cross)
    )


def _cross_matrix(vectors: np.ndarray) -> np.ndarray:
    """(..., 3) v to (..., 3, 3) with matrix @ u = v x u."""
    out = np.zeros((*vectors.shape, 3))
    x, y, z = np.moveaxis(vectors, -1, 0)
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -z, y, -x
    out[..., 1, 0], out[..., 2, 0], out[..., 2, 1] = z, -y, x
    return out
