"""How hands are turned before the camera: mostly upright, or evenly over all orientations."""

from __future__ import annotations

from typing import Literal

import numpy as np

Orientation = Literal["frontal", "uniform"]
"""``frontal``: fingers mostly up, any face to the camera, seldom pointing at it. ``uniform``: no direction is
preferred."""

# Palm to the camera, fingers up: x stays, y and z of the hand frame run against the camera's.
_UPRIGHT = np.diag([1.0, -1.0, -1.0])


def random_rotations(rng: np.random.Generator, count: int, how: Orientation = "frontal") -> np.ndarray:
    """(N, 3, 3) rotations from the hand frame to camera axes."""
    if how == "uniform":
        return _from_quaternions(rng.standard_normal((count, 4)))
    turn = rng.uniform(-np.pi, np.pi, count)
    tilt = np.clip(np.deg2rad(28) * rng.standard_normal(count), -1.2, 1.2)
    roll = np.deg2rad(50) * rng.standard_normal(count)
    return about(2, roll) @ about(0, tilt) @ _UPRIGHT @ about(1, turn)


def about(axis: int, angle: np.ndarray) -> np.ndarray:
    """(N, 3, 3) rotations by ``angle`` (N,) radians about one coordinate axis."""
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -out[:, j, i]
    return out


def _from_quaternions(quaternions: np.ndarray) -> np.ndarray:
    """(N, 4) of any length but 0 to (N, 3, 3); normal numbers give all rotations alike (the 3-sphere has no pole)."""
    w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), -1, 0)
