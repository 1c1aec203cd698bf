"""How much of a lamp and of the surroundings the points of a hand see: soft shadow and ambient occlusion, compiled.

Both ask the bones' cones without blends and detail, which is enough for light and several times faster. Points come
in runs of neighbours; each run first lists the cones that can stand in its light, so nothing else is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from handsynth.simulator import field
from handsynth.simulator.compile import compiled
from handsynth.simulator.surface import Surface

RUN = 64
"""Points that share a list."""
_SHADOW_STEPS, _SHADOW_REACH_MM, _LONGEST_STEP_MM, _SHORTEST_STEP_MM = 40, 140.0, 12.0, 2.0
_OCCLUSION_MM = (2.5, 6.0, 12.0, 22.0)
_LIFT_MM = 1.2  # shadow rays start this far above the skin


def received_light(
    bones: np.ndarray, points_mm: np.ndarray, normals: np.ndarray, to_light: np.ndarray, softness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Shares of light at points of hands or beside them.

    Args:
        bones: (K, 16) what takes light away, of ``blockers``, in the frame of the points.
        points_mm, normals: (M, 3) float64, neighbours mostly near each other.
        to_light: (3,) unit vector to the lamp.
        softness: half angle of the lamp as a tangent.

    Returns:
        lit (M,) in [0, 1], the share of the lamp that is seen; openness (M,) in [0.08, 1] towards the surroundings.
    """
    lit, openness = np.empty(len(points_mm)), np.empty(len(points_mm))
    points, directions = np.ascontiguousarray(points_mm), np.ascontiguousarray(normals)
    _received(bones, points, directions, np.asarray(to_light, dtype=np.float64), softness, lit, openness)
    return lit, openness


def blockers(surfaces: Sequence[Surface], solids: np.ndarray | None = None) -> np.ndarray:
    """(K, 16) round cones, as ``field`` lays them out, that take light away: the bones of hands, and further ones.

    Args:
        surfaces: all hands, in one frame, which shade each other.
        solids: (L, 16) cones of things, see ``items``.
    """
    return np.concatenate([*(_bones(surface.table) for surface in surfaces), *([] if solids is None else [solids])])


def _bones(table: np.ndarray) -> np.ndarray:
    """(K, 16) the rows of a hand's table that are phalanges or trunk."""
    fingers = table[: field.NAILS].reshape(5, field.FINGER_ROWS, field.COLUMNS)[:, : field.PAD]
    return np.concatenate([fingers.reshape(-1, field.COLUMNS), table[field.TRUNK :]])


@compiled
def bone_distance(bones: np.ndarray, rows: np.ndarray, count: int, x: float, y: float, z: float) -> float:
    """Signed distance to the union of the listed cones; far where none is listed."""
    nearest = field.FAR_MM
    for i in range(count):
        nearest = min(nearest, field.cone(bones, rows[i], x, y, z)[0])
    return nearest


@compiled
def shadow(
    bones: np.ndarray, rows: np.ndarray, count: int, free: np.ndarray, point: np.ndarray, normal: np.ndarray,
    to_light: np.ndarray, softness: float,
) -> float:  # fmt: skip
    """Share of the lamp that a point sees, by how closely the ray to it passes the hands (Quilez).

    ``free`` (>= count,) is scratch: how far along the ray each cone is known to have no say.
    """
    if normal[0] * to_light[0] + normal[1] * to_light[1] + normal[2] * to_light[2] <= -0.3:
        return 0.0
    x, y, z = point[0] + _LIFT_MM * normal[0], point[1] + _LIFT_MM * normal[1], point[2] + _LIFT_MM * normal[2]
    lit, travelled = 1.0, 1.5
    sunk = min(bone_distance(bones, rows, count, point[0], point[1], point[2]), 0.0)  # in folds skin is below the cones
    for i in range(count):
        free[i] = 0.0
    for _ in range(_SHADOW_STEPS):
        # Farther off than this a cone neither shades nor shortens the step, and it comes nearer no faster than the ray.
        limit, gap = max(_LONGEST_STEP_MM, softness * _SHADOW_REACH_MM), field.FAR_MM
        px, py, pz = x + travelled * to_light[0], y + travelled * to_light[1], z + travelled * to_light[2]
        for i in range(count):
            if travelled >= free[i]:
                apart = field.cone(bones, rows[i], px, py, pz)[0]
                free[i] = travelled + apart - limit
                gap = min(gap, apart)
        gap -= sunk
        lit = min(lit, 0.5 + 0.5 * gap / (softness * travelled))
        travelled += min(max(gap, _SHORTEST_STEP_MM), _LONGEST_STEP_MM)
        if lit <= 0.0 or travelled >= _SHADOW_REACH_MM:
            break
    return field.smooth_step(lit)


@compiled
def occlusion(
    bones: np.ndarray, rows: np.ndarray, count: int, apart: np.ndarray, point: np.ndarray, normal: np.ndarray
) -> float:
    """Openness in [0.08, 1]: how much nearer the hand is along the normal than open space would be.

    ``apart`` (>= count,) is scratch: how far the point is from each cone.
    """
    closed, weight, total = 0.0, 1.0, 0.0
    sunk = 0.0
    for i in range(count):
        apart[i] = field.cone(bones, rows[i], point[0], point[1], point[2])[0]
        sunk = min(sunk, apart[i])
    for reach in _OCCLUSION_MM:
        x, y, z = point[0] + reach * normal[0], point[1] + reach * normal[1], point[2] + reach * normal[2]
        gap = field.FAR_MM
        for i in range(count):
            if apart[i] < 2.0 * reach:  # others are farther than the reach from there too
                gap = min(gap, field.cone(bones, rows[i], x, y, z)[0])
        closed += weight * min(max(1.0 - (gap - sunk) / reach, 0.0), 1.0)
        total += weight
        weight *= 0.8
    return min(max(1.0 - 1.25 * closed / total, 0.08), 1.0)


@compiled
def _received(
    bones: np.ndarray, points: np.ndarray, normals: np.ndarray, to_light: np.ndarray, softness: float,
    lit: np.ndarray, openness: np.ndarray,
) -> None:  # fmt: skip
    rows, scratch = np.empty(len(bones), dtype=np.uint32), np.empty(len(bones))
    for start in range(0, len(points), RUN):
        stop = min(start + RUN, len(points))
        x, y, z, radius = ball(points[start:stop])
        count = rows_around(bones, x, y, z, radius, rows)
        for i in range(start, stop):
            openness[i] = occlusion(bones, rows, count, scratch, points[i], normals[i])
        count = rows_in_the_way(bones, x, y, z, radius, to_light, softness, rows)
        for i in range(start, stop):
            lit[i] = shadow(bones, rows, count, scratch, points[i], normals[i], to_light, softness)


@compiled
def ball(points: np.ndarray) -> tuple[float, float, float, float]:
    """Middle and radius of a ball around the points (M, 3) of a run."""
    x, y, z, square = 0.0, 0.0, 0.0, 0.0
    for i in range(len(points)):
        x, y, z = x + points[i, 0], y + points[i, 1], z + points[i, 2]
    x, y, z = x / len(points), y / len(points), z / len(points)
    for i in range(len(points)):
        square = max(square, (points[i, 0] - x) ** 2 + (points[i, 1] - y) ** 2 + (points[i, 2] - z) ** 2)
    return x, y, z, math.sqrt(square)


@compiled
def rows_around(bones: np.ndarray, x: float, y: float, z: float, radius: float, rows: np.ndarray) -> int:
    """List the cones that can take openness from points of a ball; returns how many."""
    count = 0
    for row in range(len(bones)):
        # Nothing farther than this from the middle is nearer than the reach to a point of the run at that reach.
        if field.cone(bones, row, x, y, z)[0] <= radius + 2.0 * _OCCLUSION_MM[-1]:
            rows[count] = row
            count += 1
    return count


@compiled
def rows_in_the_way(
    bones: np.ndarray, x: float, y: float, z: float, radius: float, to_light: np.ndarray, softness: float,
    rows: np.ndarray,
) -> int:  # fmt: skip
    """List the cones that can stand between a ball and the lamp; returns how many."""
    count = 0
    for row in range(len(bones)):
        if _in_the_way(bones, row, x, y, z, radius + _LIFT_MM, to_light, softness):
            rows[count] = row
            count += 1
    return count


@compiled
def _in_the_way(
    bones: np.ndarray, row: int, x: float, y: float, z: float, radius: float, to_light: np.ndarray, softness: float
) -> bool:
    """Whether a cone can shade, or shorten a step of, the rays from a ball to the lamp."""
    half = 0.5 * bones[row, field.LENGTH]
    dx = bones[row, 0] + half * bones[row, 3] - x
    dy = bones[row, 1] + half * bones[row, 4] - y
    dz = bones[row, 2] + half * bones[row, 5] - z
    size = half + bones[row, field.THICKEST]
    along = dx * to_light[0] + dy * to_light[1] + dz * to_light[2]
    foot = min(max(along, 0.0), _SHADOW_REACH_MM)
    off = math.sqrt(max(dx * dx + dy * dy + dz * dz - along * along + (along - foot) ** 2, 0.0))
    penumbra = softness * min(foot + size + radius, _SHADOW_REACH_MM)
    return off <= size + radius + max(_LONGEST_STEP_MM, penumbra)
