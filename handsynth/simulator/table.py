"""One hand as the table of numbers that ``field`` reads: its cones, and the flesh and folds that follow from them.

Sizes are chosen by eye after photographs, as shares of the radius they belong to or in mm of a hand whose palm is
``cones.REFERENCE_PALM_MM`` long.
"""

from __future__ import annotations

import itertools

import numpy as np

from handsynth.simulator import field
from handsynth.simulator.cones import PHALANX_COUNT, REFERENCE_PALM_MM, Cones

PALM_LINES = (
    ((-42, 60), (-28, 64), (-10, 66), (4, 72), (14, 82)),
    ((-38, 50), (-20, 50), (0, 56), (18, 64), (29, 67)),
    ((30, 66), (18, 56), (6, 42), (2, 26), (4, 12)),
    ((-19, -4), (19, -3)),
    ((-20, 3), (20, 3)),
)
"""Lines of the palm (heart, head, life) and of the wrist as polylines in the hand frame, mm."""
_LINE_DEPTH_MM, _LINE_WIDTH_MM = 0.28, 1.1

# Pads per phalanx, base to tip: from and to (shares of the length), off the bone and radius (shares of the radius).
_PADS = ((0.45, 0.75, 0.2, 0.92), (0.3, 0.7, 0.18, 0.94), (0.3, 1.0, 0.26, 0.88))
_STEEPEST = 0.95
_PALMAR_CREASE, _DORSAL_CREASE, _CREASE_GAP = 0.026, 0.02, 0.27
_NAIL_WIDTH, _NAIL_LENGTH, _NAIL_CORNER = 0.76, 0.82, 0.6
_PLATE_MM = 0.25
_HOLLOW = (-1.0, 50.0, 45.5, 35.0)  # centre in the hand frame and radius


def pack(cones: Cones) -> np.ndarray:
    """(R, 16) float64, rows and columns as named in ``field``; the frame and unit of the cones."""
    palm = float(np.linalg.norm(cones.ends_mm[6, 0] - cones.wrist_mm))  # to the middle MCP
    scale = palm / REFERENCE_PALM_MM
    trunk = len(cones.parts) - PHALANX_COUNT
    table = np.zeros((field.TRUNK + trunk, field.COLUMNS))
    ends, radii = cones.ends_mm, cones.radii_mm
    for finger in range(5):
        rows = slice(3 * finger, 3 * finger + 3)
        _finger(table, finger, ends[rows], radii[rows], cones, scale)
    _solids(table[field.TRUNK :], ends[PHALANX_COUNT:], radii[PHALANX_COUNT:], cones.parts[PHALANX_COUNT:])
    table[field.TRUNK :, field.SAY] = field.TRUNK_SAY_MM
    _palm(table, cones, scale)
    for rows, column in ((slice(field.RINGS, field.LINES), slice(10, 12)), (slice(field.LINES, field.PULPS), 5)):
        table[rows, column] = np.minimum(table[rows, column], field.SHELL_MM)
    return table


def _finger(table: np.ndarray, finger: int, ends: np.ndarray, radii: np.ndarray, cones: Cones, scale: float) -> None:
    """Fill the rows of one finger: ends (3, 2, 3) and radii (3, 2) of its phalanges."""
    pulps, parts = cones.pulps[3 * finger : 3 * finger + 3], cones.parts[3 * finger : 3 * finger + 3]
    bones = ends[:, 1] - ends[:, 0]
    units = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
    places, sizes = [*ends], [*radii]
    for segment, (begin, end, off, size) in enumerate(_PADS):
        thick = radii[segment, :1] + np.array([begin, end]) * (radii[segment, 1] - radii[segment, 0])
        if finger == 0 and segment == 0:
            off, size = 0.0, 0.7  # the thenar muscle is the pad of the thumb's metacarpal
        places.append(
            ends[segment, 0] + np.array([[begin], [end]]) * bones[segment] + (off * thick)[:, None] * pulps[segment]
        )
        sizes.append(size * thick)
    # The head of the metacarpal stands out at the back when the finger bends away from it.
    first = 1 if finger == 0 else 0
    dorsal, thick = -pulps[0] if finger == 0 else -cones.axes[:, 2], radii[first, 0]
    to_wrist = -units[0] if finger == 0 else -cones.axes[:, 1]
    head = ends[first, 0] + (0.2 if finger else 0.1) * thick * dorsal
    places.append(np.stack([head + 0.4 * thick * to_wrist, head]))
    sizes.append(np.array([0.7, 0.78]) * thick)
    tip, unit, pulp, thick = ends[2, 1], units[2], pulps[2], radii[2, 1]
    places.append(np.stack([ends[2, 0] + 0.3 * bones[2], tip + 0.45 * thick * unit]))
    sizes.append(np.array([radii[2, 0] + 0.3 * (thick - radii[2, 0]), 0.95 * thick]) + _PLATE_MM * scale)
    rows = slice(field.FINGER_ROWS * finger, field.FINGER_ROWS * (finger + 1))
    owners = [*parts, *parts, parts[first], parts[2]]
    _solids(table[rows], np.array(places), np.array(sizes), np.array(owners))
    table[rows, field.SAY] = field.JOINT_BLEND_MM
    table[rows, field.SAY][[0, field.PAD, field.KNUCKLE]] = field.ROOT_SAY_MM
    outline = (_NAIL_WIDTH * thick, _NAIL_LENGTH * thick, _NAIL_CORNER * _NAIL_WIDTH * thick)
    table[field.NAILS + finger, :15] = [
        *(tip - 0.15 * thick * unit), *_cross(unit, pulp), *unit, *pulp, *outline
    ]  # fmt: skip
    for joint in range(2):
        bend = float(units[joint] @ units[joint + 1])
        thick = radii[joint, 1]
        depths = (_PALMAR_CREASE * thick, _DORSAL_CREASE * thick * max(bend, 0.0))  # bent skin is taut
        table[field.RINGS + 3 * finger + joint, :13] = [
            *ends[joint + 1, 0],
            *_unit(units[joint] + units[joint + 1]),
            *_unit(pulps[joint] + pulps[joint + 1]),
            thick,
            *depths,
            _CREASE_GAP * thick,
        ]
    # The first crease of a finger lies beyond the web, not at the knuckle.
    root = ends[0, 0] + 0.45 * bones[0]
    depth = 0.0 if finger == 0 else _PALMAR_CREASE * radii[0, 0]
    table[field.RINGS + 3 * finger + 2, :13] = [*root, *units[0], *pulps[0], radii[0, 0], depth, 0.0, 0.0]


def _palm(table: np.ndarray, cones: Cones, scale: float) -> None:
    """Fill the rows of the frame, the lines, the hollow and the sleeve."""
    table[field.FRAME, :13] = [*cones.axes.T.reshape(-1), *cones.wrist_mm, scale]
    segments = [pair for line in PALM_LINES for pair in itertools.pairwise(line)]
    assert len(segments) == field.LINE_COUNT
    for row, (start, end) in enumerate(np.array(segments) * scale):
        length = np.linalg.norm(end - start)
        sizes = (length, _LINE_DEPTH_MM * scale, _LINE_WIDTH_MM * scale)
        table[field.LINES + row, :7] = [*start, *((end - start) / length), *sizes]
    table[field.PULPS : field.PULPS + PHALANX_COUNT, :3] = cones.pulps
    *center, radius = np.array(_HOLLOW) * scale
    arm = _unit(cones.ends_mm[-2:, 1].mean(0) - cones.ends_mm[-2:, 0].mean(0))
    worn = cones.sleeve
    cuff = cones.wrist_mm + (worn.cuff_mm if worn else 0.0) * arm
    hollow = cones.wrist_mm + cones.axes @ center
    table[field.FRAME + 1, :11] = [*hollow, radius, *cuff, *-arm, worn.thickness_mm if worn else 0.0]


def _solids(rows: np.ndarray, ends_mm: np.ndarray, radii_mm: np.ndarray, parts: np.ndarray) -> None:
    """Fill rows (K, 16) with K round cones: ends (K, 2, 3), radii (K, 2), mask codes (K,)."""
    axis = ends_mm[:, 1] - ends_mm[:, 0]
    length = np.linalg.norm(axis, axis=-1)
    # A sphere inside the other one would leave no cone.
    slope = np.clip((radii_mm[:, 0] - radii_mm[:, 1]) / length, -_STEEPEST, _STEEPEST)
    rows[:, :3], rows[:, 3:6] = ends_mm[:, 0], axis / length[:, None]
    rows[:, field.LENGTH], rows[:, field.RADIUS], rows[:, field.SLOPE] = length, radii_mm[:, 0], slope
    rows[:, field.LEAN] = slope / np.sqrt(1 - slope**2)
    rows[:, field.PART], rows[:, field.THICKEST] = parts, radii_mm.max(1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(3,) cross product; numpy's own costs twenty times as much for two vectors."""
    (x, y, z), (u, v, w) = a.tolist(), b.tolist()
    return np.array([y * w - z * v, z * u - x * w, x * v - y * u])


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))
