"""Pose distance: the angle between feature vectors, over pi (MM-Hand eq. 5), and the two choices of features."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Float

from handsynth.errors import DataError, UsageError, sentence
from handsynth.poseindex.identity import identity, joint_difference

Features = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(joints_mm (N, 21, 3), keypoints_px (N, 21, 2)) to (N, D) float64."""

DISTANCES: Mapping[str, Features] = {
    "paper": identity,
    "joint_difference": lambda joints_mm, keypoints_px: joint_difference(joints_mm),
}
"""Features by the name of their distance: ``paper`` (7-D, eq. 6), ``joint_difference`` (60-D, the published code)."""


def features(
    distance: str, joints_mm: Float[np.ndarray, "N 21 3"], keypoints_px: Float[np.ndarray, "N 21 2"]
) -> Float[np.ndarray, "N D"]:
    """Feature vectors of a named distance.

    Raises:
        UsageError: no distance has that name.
    """
    if distance not in DISTANCES:
        raise UsageError(sentence(f"one of {', '.join(DISTANCES)}", repr(distance), "the name of a pose distance"))
    return DISTANCES[distance](joints_mm, keypoints_px)


def unit(f: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
    """Rows scaled to length 1, float64; the same row gives the same bits wherever it stands.

    Raises:
        DataError: a row is zero or not finite, so it has no direction.
    """
    columns = f.T.astype(np.float64, order="C")
    with np.errstate(over="ignore"):
        length = np.sqrt(_sum_of_squares(columns))
    bad = np.flatnonzero(~((length > 0) & (length < np.inf)))
    if bad.size:
        what = "a zero vector" if length[bad[0]] == 0 else "a value that is not finite"
        raise DataError(
            sentence("pose features with a direction", f"{what} ({bad.size} in all)", f"pose {bad[0]}", "leave it out")
        )
    columns /= length
    return np.ascontiguousarray(columns.T)


def pose_distance(f_u: Float[np.ndarray, "*#N D"], f_v: Float[np.ndarray, "*#N D"]) -> Float[np.ndarray, "*N"]:
    """d(u, v) = angle between f(u) and f(v), over pi: in [0, 1], and in [0, 0.5] for non-negative features.

    By 2 atan2(|u - v|, |u + v|) of the unit vectors, exact to rounding at all angles; arccos of their product loses
    half of the digits near 0. Symmetric bit for bit, and 0 for equal features.

    Args:
        f_u, f_v: (..., D) features, not necessarily of unit length; leading axes broadcast.

    Raises:
        DataError: a vector is zero or not finite.
    """
    u, v = (unit(f.reshape(-1, f.shape[-1])).reshape(f.shape) for f in (f_u, f_v))
    return unit_distance(u, v)


def unit_distance(u: Float[np.ndarray, "*#N D"], v: Float[np.ndarray, "*#N D"]) -> Float[np.ndarray, "*N"]:
    """:func:`pose_distance` of features that :func:`unit` made."""
    u, v = np.moveaxis(u, -1, 0), np.moveaxis(v, -1, 0)
    apart, together = np.sqrt(_sum_of_squares(u - v)), np.sqrt(_sum_of_squares(u + v))
    return np.asarray(np.arctan2(apart, together) * (2 / np.pi))


def chord(u: Float[np.ndarray, "N D"], v: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
    """|u - v| of unit vectors: monotone in their angle, so the nearest by chord is the nearest by distance."""
    return np.asarray(np.sqrt(_sum_of_squares((u - v).T)))


def _sum_of_squares(components: np.ndarray) -> np.ndarray:
    # (D, ...) one component after the other: a vector's sum never depends on its neighbours or on how many there are.
    total = np.square(components[0])
    for component in components[1:]:
        total += np.square(component)
    return np.asarray(total)
