"""How a hand moves: forward kinematics, and natural poses placed before a camera. numpy, vectorised.

Angles are (N, 5, 4) radians, thumb to pinky: deviation of the base joint in the plane of the palm (towards the thumb
is positive; for the thumb out of the palm, towards the viewer of an open hand), then flexion of the base, middle and
last joint. The thumb's are CMC (palmar abduction and flexion across the palm), MCP and IP.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from handsynth.hand.joints import J
from handsynth.simulator.anatomy import Anatomy, random_anatomies
from handsynth.simulator.limits import LIMITS, within_limits
from handsynth.simulator.orientation import Orientation, random_rotations
from handsynth.simulator.synergies import natural_angles

__all__ = [
    "FRAMES",
    "LIMITS",
    "WRIST_LIMITS",
    "Side",
    "joints_mm",
    "natural_angles",
    "palmar_directions",
    "random_poses",
    "random_rotations",
    "within_limits",
]

Side = Literal["left", "right", "random"]

WRIST_LIMITS = np.deg2rad([[-45.0, 45.0], [-18.0, 25.0]])
"""Palmar flexion and deviation towards the thumb of hand against forearm, radians."""

_BLOCK = 1 << 14  # poses worked on at a time, so that the intermediate arrays stay in the cache


def _finger_frames() -> np.ndarray:
    """(5, 3, 3) columns: flexion axis, straight finger, direction it flexes to; right-handed like the hand frame."""
    frames = []
    # The thumb bends across the palm towards the little finger, so it deviates out of the palm. Its plane of flexion
    # was set after real thumbs: their bending axes lie 42 (ge_realworld) and 58 degrees (msra14) from an upright one.
    along = np.array([0.66, 0.66, 0.36])
    pulp = np.array([-0.75, 0.59, 0.30])
    along /= np.linalg.norm(along)
    pulp -= along * (pulp @ along)
    pulp /= np.linalg.norm(pulp)
    frames.append(np.stack([np.cross(along, pulp), along, pulp], axis=-1))
    # The long fingers fan out a little, so that they meet when they curl.
    for degrees in (4.0, 1.0, -3.5, -8.0):
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        frames.append(np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]))
    return np.stack(frames)


FRAMES = _finger_frames()


def joints_mm(anatomy: Anatomy, angles: np.ndarray) -> np.ndarray:
    """Forward kinematics: N right hands and angles (N, 5, 4) to joints (N, 21, 3) in the hand frame, wrist at 0."""
    flexion = np.cumsum(angles[..., 1:], axis=-1)
    reach = anatomy.phalanges_mm * np.cos(flexion)
    aside, ahead = reach * np.sin(angles[..., :1]), reach * np.cos(angles[..., :1])
    local = [np.cumsum(part, axis=-1) for part in (aside, ahead, anatomy.phalanges_mm * np.sin(flexion))]
    joints = np.zeros((len(anatomy), J, 3))
    chains = joints[:, 1:].reshape(-1, 5, 4, 3)  # canonical order: fingers one after the other, base to tip
    chains[:, :, 0] = anatomy.bases_mm
    for axis in range(3):  # component by component: three times as fast as many products of small matrices
        row = FRAMES[:, axis, :, None]
        along = row[:, 0] * local[0] + row[:, 1] * local[1] + row[:, 2] * local[2]
        chains[:, :, 1:, axis] = anatomy.bases_mm[:, :, None, axis] + along
    joints[:, 1:] = chains.reshape(-1, J - 1, 3)
    return joints


def palmar_directions(angles: np.ndarray) -> np.ndarray:
    """(N, 5, 3, 3) unit vectors in the hand frame: per phalanx the way its palmar side looks."""
    flexion = np.cumsum(angles[..., 1:], axis=-1)
    deviation = angles[..., :1]
    local = np.stack([-np.sin(deviation) * np.sin(flexion), -np.cos(deviation) * np.sin(flexion), np.cos(flexion)], -1)
    return np.asarray(local @ FRAMES.swapaxes(-1, -2))


def random_poses(
    rng: np.random.Generator, count: int, side: Side = "right", orientation: Orientation = "frontal"
) -> np.ndarray:
    """Draw natural poses of random hands before a camera, fast: for tests, benchmarks and pose libraries.

    Args:
        rng: see ``runtime.seeds``.
        count: N.
        side: of all poses; "random" draws each.
        orientation: how the hands are turned.

    Returns:
        (N, 21, 3) float64 mm, camera frame (x right, y down, z forward); the middle of the hand lies 350 to 550 mm
        before the camera and less than 60 mm off its axis.
    """
    out = np.empty((count, J, 3))
    for start in range(0, count, _BLOCK):
        block = out[start : start + _BLOCK]
        n = len(block)
        joints = joints_mm(random_anatomies(rng, n), natural_angles(rng, n))
        if side != "right":
            joints[..., 0] *= -1.0 if side == "left" else rng.choice([-1.0, 1.0], (n, 1))
        joints = joints @ random_rotations(rng, n, orientation).swapaxes(-1, -2)
        center = rng.uniform([-60, -60, 350], [60, 60, 550], (n, 3)) - joints.mean(1)
        np.add(joints, center[:, None], out=block)
    return out
