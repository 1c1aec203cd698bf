"""How a hand moves: joint limits, natural poses, forward kinematics and placement before a camera. numpy, vectorised.

Angles are (N, 5, 4) radians, thumb to pinky: deviation of the base joint in the plane of the palm (towards the thumb
is positive; for the thumb towards the index finger), then flexion of the base, middle and last joint. The thumb's are
CMC (two degrees of freedom), MCP and IP.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from handsynth.hand.joints import J
from handsynth.simulator.anatomy import Anatomy, random_anatomies

Side = Literal["left", "right", "random"]

LIMITS = np.deg2rad(
    [
        [[-24, 22], [-20, 38], [-10, 58], [-12, 80]],
        [[-15, 22], [-18, 90], [-3, 108], [-3, 80]],
        [[-14, 14], [-18, 90], [-3, 108], [-3, 80]],
        [[-20, 15], [-18, 90], [-3, 108], [-3, 80]],
        [[-28, 18], [-18, 90], [-3, 108], [-3, 80]],
    ]
)
"""(5, 4, 2) lowest and highest angle, radians: active ranges of motion of adults."""

DIP_PER_PIP = 0.64
"""The last joints of the long fingers follow the middle ones; mean ratio of the natural coupling (about 2/3)."""
DIP_SLACK = np.deg2rad(12.0)
"""How far a last joint may stray from that coupling."""
WRIST_LIMITS = np.deg2rad([[-45.0, 45.0], [-18.0, 25.0]])
"""Palmar flexion and deviation towards the thumb of hand against forearm, radians."""

# Palm to the camera, fingers up: x stays, y and z of the hand frame run against the camera's.
_UPRIGHT = np.diag([1.0, -1.0, -1.0])
_BLOCK = 1 << 14  # poses worked on at a time, so that the intermediate arrays stay in the cache


def _finger_frames() -> np.ndarray:
    """(5, 3, 3) columns: flexion axis, straight finger, direction it flexes to; right-handed like the hand frame."""
    frames = []
    # The thumb's plane of flexion crosses the palm; its pulp looks to the little finger.
    along = np.array([0.66, 0.66, 0.36])
    pulp = np.array([-0.62, 0.12, 0.78])
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


def natural_angles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw (N, 5, 4) angles within the limits: open hands, fists, hands half closed, and fingers each on their own."""
    kind = rng.random((count, 1))
    curl_open = 0.22 * rng.random((count, 5))
    curl_together = rng.random((count, 1)) + 0.12 * rng.standard_normal((count, 5))
    curl_apart = np.where(rng.random((count, 5)) < 0.5, 0.15, 0.7) + 0.3 * (rng.random((count, 5)) - 0.3)
    curl = np.select([kind < 0.22, kind < 0.62], [curl_open, curl_together], curl_apart)
    # Bent knuckles with straight fingers, or hooked fingers with straight knuckles.
    knuckle = 0.22 * rng.standard_normal((count, 1))
    noise = rng.standard_normal((3, count, 5)) * np.deg2rad([6.0, 6.0, 4.0])[:, None, None]
    angles = np.empty((count, 5, 4))
    angles[..., 1] = np.deg2rad(-8 + 84 * curl * (1 + knuckle)) + noise[0]
    angles[..., 2] = np.deg2rad(3 + 98 * curl * (1 - knuckle)) + noise[1]
    np.clip(angles[..., 1:3], LIMITS[:, 1:3, 0], LIMITS[:, 1:3, 1], out=angles[..., 1:3])
    angles[..., 3] = DIP_PER_PIP * angles[..., 2] + np.clip(noise[2], -DIP_SLACK, DIP_SLACK)
    # Bent knuckles lock the fingers side by side.
    fan = np.deg2rad([0.0, 11.0, 1.0, -7.0, -15.0]) * (1.1 * rng.random((count, 1)) - 0.15)
    stray = np.deg2rad(2.0) * rng.standard_normal((count, 5))
    angles[..., 0] = (fan + stray) * np.clip(np.cos(angles[..., 1]), 0.12, 1)
    thumb = rng.random((count, 4))
    angles[:, 0, 0] = np.deg2rad(-22 + 40 * thumb[:, 0])
    angles[:, 0, 1] = np.deg2rad(-14 + 30 * thumb[:, 1] + 18 * np.clip(curl[:, 0], 0, 1))
    angles[:, 0, 2] = np.deg2rad(-4 + 45 * np.clip(curl[:, 0], 0, 1) * thumb[:, 2])
    angles[:, 0, 3] = np.deg2rad(-8 + 70 * np.clip(curl[:, 0], 0, 1) * thumb[:, 3])
    return np.clip(angles, LIMITS[..., 0], LIMITS[..., 1], out=angles)


def within_limits(angles: np.ndarray, slack: float = 1e-9) -> np.ndarray:
    """(N,) whether angles (N, 5, 4) respect ``LIMITS`` and the coupling of the last joints."""
    inside = ((angles >= LIMITS[..., 0] - slack) & (angles <= LIMITS[..., 1] + slack)).all((-1, -2))
    stray = np.abs(angles[:, 1:, 3] - DIP_PER_PIP * angles[:, 1:, 2])
    return np.asarray(inside & (stray <= DIP_SLACK + slack).all(-1))


def joints_mm(anatomy: Anatomy, angles: np.ndarray) -> np.ndarray:
    """Forward kinematics: N right hands and angles (N, 5, 4) to joints (N, 21, 3) in the hand frame, wrist at 0."""
    flexion = np.cumsum(angles[..., 1:], axis=-1)
    reach = anatomy.phalanges_mm * np.cos(flexion)
    local = np.empty((len(anatomy), 5, 3, 3))
    local[..., 0] = reach * np.sin(angles[..., :1])
    local[..., 1] = reach * np.cos(angles[..., :1])
    local[..., 2] = anatomy.phalanges_mm * np.sin(flexion)
    joints = np.zeros((len(anatomy), J, 3))
    chains = joints[:, 1:].reshape(-1, 5, 4, 3)  # canonical order: fingers one after the other, base to tip
    chains[:, :, 0] = anatomy.bases_mm
    chains[:, :, 1:] = anatomy.bases_mm[:, :, None] + np.cumsum(local, axis=2) @ FRAMES.swapaxes(-1, -2)
    joints[:, 1:] = chains.reshape(-1, J - 1, 3)
    return joints


def palmar_directions(angles: np.ndarray) -> np.ndarray:
    """(N, 5, 3, 3) unit vectors in the hand frame: per phalanx the way its palmar side looks."""
    flexion = np.cumsum(angles[..., 1:], axis=-1)
    deviation = angles[..., :1]
    local = np.stack([-np.sin(deviation) * np.sin(flexion), -np.cos(deviation) * np.sin(flexion), np.cos(flexion)], -1)
    return np.asarray(local @ FRAMES.swapaxes(-1, -2))


def random_rotations(rng: np.random.Generator, count: int) -> np.ndarray:
    """(N, 3, 3) hand frame to camera axes: fingers mostly up, any face to the camera, seldom pointing at it."""
    turn = rng.uniform(-np.pi, np.pi, count)
    tilt = np.clip(np.deg2rad(28) * rng.standard_normal(count), -1.2, 1.2)
    roll = np.deg2rad(50) * rng.standard_normal(count)
    return _about(2, roll) @ _about(0, tilt) @ _UPRIGHT @ _about(1, turn)


def random_poses(rng: np.random.Generator, count: int, side: Side = "right") -> np.ndarray:
    """Draw natural poses of random hands before a camera, fast: for tests, benchmarks and pose libraries.

    Args:
        rng: see ``runtime.seeds``.
        count: N.
        side: of all poses; "random" draws each.

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
        joints = joints @ random_rotations(rng, n).swapaxes(-1, -2)
        center = rng.uniform([-60, -60, 350], [60, 60, 550], (n, 3)) - joints.mean(1)
        np.add(joints, center[:, None], out=block)
    return out


def _about(axis: int, angle: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations about one coordinate axis."""
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -out[:, j, i]
    return out
