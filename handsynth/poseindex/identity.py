"""Pose identities: the feature vectors whose angle is a pose distance. Arrays in, arrays out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from handsynth.hand.joints import TIPS, WRIST, J

_BLOCK = 1024  # poses at a time: the buffers of the hull stay in a core's cache


def identity(
    joints_mm: Float[np.ndarray, "N 21 3"], keypoints_px: Float[np.ndarray, "N 21 2"]
) -> Float[np.ndarray, "N 7"]:
    """MM-Hand's pose identity f (eq. 6).

    Five distances from the tips, thumb to pinky, to the palm point; the distance from the centroid of the 21 joints
    to the palm point (both mm); the square root of the area of the convex hull of the 2-D joints (px of the recorded
    view). The palm point is joint 0 as given: the wrist, or the palm centre where a source labels that.

    Args:
        joints_mm: (N, 21, 3), any frame and unit.
        keypoints_px: (N, 21, 2).

    Returns:
        (N, 7) float64, all >= 0; NaN where a joint that a feature needs is NaN.
    """
    out = np.empty((len(joints_mm), 7))
    for first in range(0, len(out), _BLOCK):
        part = slice(first, first + _BLOCK)
        # Axes first (3, 21, n): every operation then runs along the poses.
        from_palm = joints_mm[part].transpose(2, 1, 0).astype(np.float64, order="C")
        from_palm -= from_palm[:, WRIST, None].copy()
        out[part, :5] = np.sqrt(np.square(from_palm[:, TIPS]).sum(0)).T
        centroid = from_palm[:, 0].copy()
        for joint in range(1, J):  # in this order, so that the bits do not depend on how many poses there are
            centroid += from_palm[:, joint]
        out[part, 5] = np.sqrt(np.square(centroid / J).sum(0))
    out[:, 6] = np.sqrt(hull_area(keypoints_px))
    return out


def joint_difference(joints_mm: Float[np.ndarray, "N 21 3"]) -> Float[np.ndarray, "N 60"]:
    """The published code's features: joint i minus joint i - 1, i = 1 to 20, in storage order.

    Invariant to translation, and by the angle to scale; jumps from tip to next finger included.
    """
    joints = joints_mm.astype(np.float64)
    return (joints[:, 1:] - joints[:, :-1]).reshape(len(joints), 3 * (J - 1))


def hull_area(points: Float[np.ndarray, "N P 2"]) -> Float[np.ndarray, " N"]:
    """Area of the convex hull of each of N sets of P points, exact to rounding; NaN where a point is NaN.

    A longest path less a shortest one. Sort the points by x. Among all chains of them that run from the first to the
    last, x never falling, the upper hull has the largest area under it and the lower hull the smallest, for chords
    between points of a convex region stay in it. Both extremes follow from one pass over all pairs, without finding
    the hull and in vector operations alone.
    """
    area = np.empty(len(points))
    scratch = np.empty((4, points.shape[1], _BLOCK))
    for first in range(0, len(points), _BLOCK):
        part = slice(first, first + _BLOCK)
        x, y = _sorted_by_x(points[part])
        least, most, width, height = scratch[..., : x.shape[1]]
        least[0] = most[0] = 0.0
        for j in range(1, len(x)):
            trapezoid, rest = width[:j], height[:j]  # twice the area under the chord from each earlier point
            np.subtract(x[j], x[:j], out=trapezoid)
            np.add(y[:j], y[j], out=rest)
            trapezoid *= rest
            np.add(least[:j], trapezoid, out=rest)
            np.minimum.reduce(rest, axis=0, out=least[j])
            trapezoid += most[:j]
            np.maximum.reduce(trapezoid, axis=0, out=most[j])
        area[part] = np.maximum(most[-1] - least[-1], 0.0) / 2
    return area


def _sorted_by_x(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y (P, n) of n sets of points, sorted by x and relative to the first."""
    n, count = points.shape[:2]
    x, y = points.transpose(2, 0, 1).astype(np.float64, order="C")
    order = np.ascontiguousarray((np.argsort(x, axis=1) + count * np.arange(n)[:, None]).T)
    x, y = x.ravel().take(order), y.ravel().take(order)
    x -= x[0].copy()
    y -= y[0].copy()
    return x, y
