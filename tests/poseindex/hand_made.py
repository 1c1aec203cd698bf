"""The hand-made poses of the facts and random stand-ins for hands."""

from __future__ import annotations

import numpy as np


def pose_a() -> np.ndarray:
    """(21, 3) u, v in px and z in mm: wrist below, five straight fingers side by side."""
    fingers = [(40 + 44 * f, 180 - 35 * j, 400 + 5 * f + 3 * j) for f in range(5) for j in range(4)]
    return np.array([(128, 230, 400), *fingers], dtype=np.float64)


def pose_b() -> np.ndarray:
    """Pose A with the index finger shortened in v and leaning away in z."""
    pose = pose_a()
    pose[5:9, 1] += 10 * np.arange(4)
    pose[5:9, 2] += 8 * np.arange(4)
    return pose


def blobs(seed: int, count: int) -> np.ndarray:
    """(N, 21, 3) points scattered 30 mm about (0, 0, 500): no hands, but poses to every formula."""
    return np.random.default_rng(seed).normal(size=(count, 21, 3)) * 30 + (0, 0, 500)
