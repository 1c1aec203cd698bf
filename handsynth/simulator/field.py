"""The compiled half of the surface: the signed distance of one point to one hand, and what else one point needs.

Every function works on plain numbers and on arrays that the caller owns, with no Python object and no allocation, so
that ``numba.cuda`` can compile the same functions for a GPU. A hand is one float64 table (R, 16) as ``table.pack``
lays it out; its rows are named by the constants below. Most functions look only at the rows of a list: ``rows[:trunk]``
are rows of the trunk and ``rows[trunk:count]`` rows of the fingers, both ascending. All blends reach no further than
``REACH_MM``, so a list that leaves out what is farther than that beyond the nearest row changes nothing; on the skin
itself a cone has no say beyond its column ``SAY``.

The field never overestimates the distance: it is put together from distances to round cones, planes and spheres by
steps that keep it 1-Lipschitz. ``melt`` is the only blend; ``groove`` explains how creases stay within the bound.
"""

from __future__ import annotations

import math

import numpy as np

from handsynth.simulator.compile import compiled

COLUMNS = 16
# Rows of a hand's table. Per finger: three phalanges base to tip, their pads, the knuckle, the nail's plate.
FINGER_ROWS, PAD, KNUCKLE, PLATE = 8, 3, 6, 7
NAILS = 5 * FINGER_ROWS  # outlines of the nails, one per finger
RINGS = NAILS + 5  # creases across the fingers, three per finger
LINES, LINE_COUNT = RINGS + 15, 14  # lines of palm and wrist
PULPS = LINES + LINE_COUNT  # palmar directions of the phalanges, thumb to pinky and base to tip
FRAME = PULPS + 15  # axes, wrist, scale; then the hollow and the sleeve
TRUNK = FRAME + 2  # round cones of palm and arm, the arm's two last
# Columns of a round cone; start and unit axis come before.
LENGTH, RADIUS, SLOPE, LEAN, PART, THICKEST, SAY = 6, 7, 8, 9, 10, 11, 12

TRUNK_BLEND_MM, JOINT_BLEND_MM = 9.0, 2.5
BASE_BLEND_MM = (10.0, 8.0, 8.0, 8.0, 8.0)
REACH_MM = 19.0
"""No two blends are wider together: a cone that is this much farther than the nearest one has no say."""
TRUNK_SAY_MM, ROOT_SAY_MM = 14.0, 10.5
"""How near to the skin a cone of the trunk, or of the first phalanx, can change it by 0.03 mm or more."""
HOLLOW_MM = 8.0
"""The hollow of the palm is nowhere deeper."""
SHELL_MM = 0.5
"""Creases are nowhere deeper, so their depth matters only this near to the surface."""
STEEP, EXACT = 2.0, 1.0
"""One more than the steepest slope of a crease, which ``table`` keeps below 1: the field is then a safe distance.
With 1 the field is smooth at the skin, for normals and meshes, but a little too large beside creases."""
TIE_MM = 0.02
FAR_MM = 1e6
CLOTH_MM = 0.02
"""A point of the surface this near to the sleeve is cloth."""


@compiled
def cone(t: np.ndarray, row: int, x: float, y: float, z: float) -> tuple[float, float]:
    """Signed distance to a round cone, and how far beyond its axis' ends the touching sphere's centre would lie."""
    dx, dy, dz = x - t[row, 0], y - t[row, 1], z - t[row, 2]
    along = dx * t[row, 3] + dy * t[row, 4] + dz * t[row, 5]
    across2 = max(dx * dx + dy * dy + dz * dz - along * along, 0.0)
    # The sphere of the hull that touches nearest sits where the slanted normal through the point meets the axis.
    free = along - math.sqrt(across2) * t[row, LEAN]
    foot = min(max(free, 0.0), t[row, LENGTH])
    beside = along - foot
    return math.sqrt(across2 + beside * beside) - t[row, RADIUS] + foot * t[row, SLOPE], free - foot


@compiled
def fillet(a: float, b: float, width: float) -> float:
    """Union of two distances whose concave edge is filled by an arc of radius ``width``."""
    apart = a - b
    if abs(apart) >= width:
        return min(a, b)
    return 0.5 * (a + b + math.sqrt(2.0 * width * width - apart * apart)) - width


@compiled
def melt(values: np.ndarray, start: int, stop: int, width: float) -> float:
    """``fillet`` of values[start:stop], which it leaves in disorder; their order does not matter.

    The result d solves sum(max(0, d + width - value)^2) = width^2. Its gradient is a convex mix of the values' own, so
    it keeps their Lipschitz bound; a value ``width`` above the least has no say.
    """
    kept, least = 0, values[start]
    for i in range(start + 1, stop):
        least = min(least, values[i])
    # The values that may have a say, as excess over the least, sorted: insertion is quickest for so few.
    for i in range(start, stop):
        excess = values[i] - least
        if excess < width:
            place = start + kept
            while place > start and values[place - 1] > excess:
                values[place] = values[place - 1]
                place -= 1
            values[place] = excess
            kept += 1
    limit, total, squares = width, 0.0, 0.0
    for k in range(1, kept):
        excess = values[start + k]
        if excess >= limit:
            break
        total += excess
        squares += excess * excess
        count = k + 1.0
        limit = (total + math.sqrt(max(total * total - count * (squares - width * width), 0.0))) / count
    return least + limit - width


@compiled
def smooth_step(value: float) -> float:
    """0 up to 0, 1 from 1 on; slope at most 1.5."""
    value = min(max(value, 0.0), 1.0)
    return value * value * (3.0 - 2.0 * value)


@compiled
def furrow(off2: float, width: float) -> float:
    """Cross section of a crease of depth 1 at the squared distance ``off2`` from its middle: 1 there, 0 from ``width``
    on; slope at most 1.54 / ``width``."""
    share = 1.0 - min(1.0, off2 / (width * width))
    return share * share


@compiled
def nail_outline(t: np.ndarray, finger: int, x: float, y: float, z: float) -> float:
    """Signed distance to the prism over a nail's rounded outline, on the back of the finger only."""
    row = NAILS + finger
    dx, dy, dz = x - t[row, 0], y - t[row, 1], z - t[row, 2]
    behind = -(dx * t[row, 9] + dy * t[row, 10] + dz * t[row, 11])
    corner = t[row, 14]
    u = abs(dx * t[row, 3] + dy * t[row, 4] + dz * t[row, 5]) - t[row, 12] + corner
    v = abs(dx * t[row, 6] + dy * t[row, 7] + dz * t[row, 8]) - t[row, 13] + corner
    outline = math.sqrt(max(u, 0.0) ** 2 + max(v, 0.0) ** 2) + min(max(u, v), 0.0) - corner
    return max(outline, -behind)


@compiled
def finger_groove(t: np.ndarray, finger: int, x: float, y: float, z: float) -> float:
    """Depth in mm of a finger's creases at a point: rings about the joints, and the fold around the nail."""
    deepest = 0.0
    for ring in range(3):
        row = RINGS + 3 * finger + ring
        dx, dy, dz = x - t[row, 0], y - t[row, 1], z - t[row, 2]
        radius, gap = t[row, 9], t[row, 12]
        width = 0.1 * radius
        along = abs(dx * t[row, 3] + dy * t[row, 4] + dz * t[row, 5])
        window = 3.6 - 2.0 * math.sqrt(dx * dx + dy * dy + dz * dz) / radius
        if along >= gap + width or window <= 0.0:
            continue
        palmar = (dx * t[row, 6] + dy * t[row, 7] + dz * t[row, 8]) / radius
        lines = max(furrow(along * along, width), 0.6 * furrow((along - gap) ** 2, width))
        depth = t[row, 10] if palmar > 0.0 else t[row, 11]
        deepest = max(deepest, lines * depth * smooth_step(2.0 * abs(palmar)) * smooth_step(window))
    scale = t[FRAME, 12]
    fold = 0.18 * scale * furrow((nail_outline(t, finger, x, y, z) - 0.3 * scale) ** 2, 0.55 * scale)
    return max(deepest, fold)


@compiled
def hand_place(t: np.ndarray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """The point in the hand frame: radial, distal, palmar, mm from the wrist."""
    dx, dy, dz = x - t[FRAME, 9], y - t[FRAME, 10], z - t[FRAME, 11]
    return (
        dx * t[FRAME, 0] + dy * t[FRAME, 1] + dz * t[FRAME, 2],
        dx * t[FRAME, 3] + dy * t[FRAME, 4] + dz * t[FRAME, 5],
        dx * t[FRAME, 6] + dy * t[FRAME, 7] + dz * t[FRAME, 8],
    )


@compiled
def palm_groove(t: np.ndarray, x: float, y: float, z: float) -> float:
    """Depth in mm of the lines of palm and wrist at a point; they run on the palmar side."""
    radial, distal, palmar = hand_place(t, x, y, z)
    scale = t[FRAME, 12]
    window = smooth_step((palmar / scale - 3.0) / 6.0)
    deepest = 0.0
    if window <= 0.0:
        return deepest
    for line in range(LINE_COUNT):
        row = LINES + line
        dx, dy = radial - t[row, 0], distal - t[row, 1]
        along = min(max(dx * t[row, 2] + dy * t[row, 3], 0.0), t[row, 4])
        dx, dy = dx - along * t[row, 2], dy - along * t[row, 3]
        deepest = max(deepest, t[row, 5] * furrow(dx * dx + dy * dy, t[row, 6]))
    return deepest * window


@compiled
def groove(distance: float, depth: float, steep: float) -> float:
    """Lower a surface by ``depth`` >= 0; with ``STEEP`` without giving up the 1-Lipschitz bound.

    The zero set is that of ``distance + depth``; farther out than the depth the field stays as it was.
    """
    if steep == EXACT:
        return distance + depth
    return max(distance, min((distance + depth) / steep, distance + SHELL_MM))


@compiled
def shell(steep: float) -> float:
    """Up to which distance creases matter; a smooth field needs them a grid's cell farther than a safe one."""
    return 4.0 * SHELL_MM if steep == EXACT else SHELL_MM


@compiled
def sleeve_distance(t: np.ndarray, x: float, y: float, z: float) -> float:
    """Signed distance to the cloth around the arm, cut off at the cuff; far away where the arm is bare."""
    row = FRAME + 1
    if t[row, 10] <= 0.0:
        return FAR_MM
    last = t.shape[0] - 1
    tube = fillet(cone(t, last - 1, x, y, z)[0], cone(t, last, x, y, z)[0], TRUNK_BLEND_MM) - t[row, 10]
    cuff = (x - t[row, 4]) * t[row, 7] + (y - t[row, 5]) * t[row, 8] + (z - t[row, 6]) * t[row, 9]
    return -fillet(-tube, -cuff, 2.0)


@compiled
def trunk_distance(
    t: np.ndarray, rows: np.ndarray, trunk: int, values: np.ndarray, x: float, y: float, z: float, steep: float
) -> float:
    """Signed distance to the listed rows of palm and arm: blended, hollowed and creased."""
    for i in range(trunk):
        values[i] = cone(t, rows[i], x, y, z)[0]
    body = melt(values, 0, trunk, TRUNK_BLEND_MM)
    row = FRAME + 1
    dx, dy, dz = x - t[row, 0], y - t[row, 1], z - t[row, 2]
    hollow = t[row, 3] - math.sqrt(dx * dx + dy * dy + dz * dz)
    body = -fillet(-body, -hollow, 6.0)
    return groove(body, palm_groove(t, x, y, z), steep) if body < shell(steep) else body


@compiled
def distance(
    t: np.ndarray,
    rows: np.ndarray,
    trunk: int,
    count: int,
    values: np.ndarray,
    x: float,
    y: float,
    z: float,
    steep: float,
) -> float:
    """Signed distance in mm to the listed rows of one hand.

    Args:
        t: (R, 16) the hand.
        rows: (>= count,) unsigned row numbers, those of the trunk first.
        trunk, count: how many rows of the trunk, and in all.
        values: (>= R,) scratch.
        x, y, z: the point.
        steep: ``STEEP`` for a distance that is never too large, ``EXACT`` for a field that is smooth at the skin.
    """
    base = FAR_MM
    if trunk > 0:
        base = trunk_distance(t, rows, trunk, values, x, y, z, steep)
    nearest = base
    i = trunk
    while i < count:
        finger = rows[i] // FINGER_ROWS
        first = finger * FINGER_ROWS
        plate, bone, root, chain, roots = FAR_MM, FAR_MM, FAR_MM, 0, FINGER_ROWS
        while i < count and rows[i] < first + FINGER_ROWS:
            slot = rows[i] - first
            value = cone(t, rows[i], x, y, z)[0]
            if slot == PLATE:
                if value < nearest:
                    plate = max(value, nail_outline(t, finger, x, y, z))
            else:
                values[chain] = value
                chain += 1
                bone = min(bone, value)
            if slot in (0, PAD, KNUCKLE):
                values[roots] = value
                roots += 1
                root = min(root, value)
            i += 1
        # The finger blends along itself, and with the trunk by what belongs to its first phalanx; what cannot come out
        # nearer than what is there already is not worked out.
        skin = FAR_MM
        if chain > 0 and bone - JOINT_BLEND_MM < nearest:
            skin = melt(values, 0, chain, JOINT_BLEND_MM)
        width = BASE_BLEND_MM[finger]
        if roots > FINGER_ROWS and base < root + width and root - JOINT_BLEND_MM < base + width:
            root = melt(values, FINGER_ROWS, roots, JOINT_BLEND_MM)
            skin = min(skin, fillet(root, base, width))
        if skin < min(nearest, shell(steep)):
            skin = groove(skin, finger_groove(t, finger, x, y, z), steep)
        nearest = min(nearest, min(skin, plate))
    return min(nearest, sleeve_distance(t, x, y, z))


@compiled
def nearest_row(t: np.ndarray, rows: np.ndarray, count: int, x: float, y: float, z: float) -> int:
    """The listed bone nearest to a point: a phalanx or a row of the trunk."""
    best, found = 2 * FAR_MM, rows[0]
    for i in range(count):
        row = rows[i]
        if row < NAILS and row % FINGER_ROWS >= PAD:
            continue
        value, passed = cone(t, row, x, y, z)
        # Around a bent joint both bones end in one sphere: the nearer bone is the one whose end is less passed.
        value += TIE_MM * min(abs(passed), 10.0)
        if value < best:
            best, found = value, row
    return found


@compiled
def skin_rows(
    t: np.ndarray, rows: np.ndarray, trunk: int, count: int, x: float, y: float, z: float, few: np.ndarray
) -> tuple[int, int]:
    """List in ``few`` those of the listed rows that have a say in the skin at a point of it; returns (trunk, count)."""
    kept, kept_trunk = 0, 0
    for i in range(count):
        if cone(t, rows[i], x, y, z)[0] < t[rows[i], SAY] + SHELL_MM:
            few[kept] = rows[i]
            kept += 1
            if i < trunk:
                kept_trunk = kept
    return kept_trunk, kept


@compiled
def near_rows(t: np.ndarray, x: float, y: float, z: float, reach: float, rows: np.ndarray) -> tuple[int, int]:
    """List the rows that have a say in the field within ``reach`` of a point; returns (trunk, count)."""
    nearest = FAR_MM
    for row in range(t.shape[0]):
        if (row < NAILS and row % FINGER_ROWS != PLATE) or row >= TRUNK:
            nearest = min(nearest, cone(t, row, x, y, z)[0])
    limit = nearest + 2.0 * reach + REACH_MM + HOLLOW_MM
    count = 0
    for row in range(TRUNK, t.shape[0]):
        if cone(t, row, x, y, z)[0] <= limit:
            rows[count] = row
            count += 1
    trunk = count
    for row in range(NAILS):
        if cone(t, row, x, y, z)[0] <= limit:
            rows[count] = row
            count += 1
    return trunk, count


@compiled
def all_rows(t: np.ndarray, rows: np.ndarray) -> tuple[int, int]:
    """List every row; returns (trunk, count)."""
    trunk = t.shape[0] - TRUNK
    for i in range(trunk):
        rows[i] = TRUNK + i
    for i in range(NAILS):
        rows[trunk + i] = i
    return trunk, trunk + NAILS


@compiled
def normal(
    t: np.ndarray,
    rows: np.ndarray,
    trunk: int,
    count: int,
    values: np.ndarray,
    x: float,
    y: float,
    z: float,
    step: float,
) -> tuple[float, float, float]:
    """Outward unit normal by differences between the corners of a tetrahedron around the point."""
    a = distance(t, rows, trunk, count, values, x + step, y - step, z - step, EXACT)
    b = distance(t, rows, trunk, count, values, x - step, y - step, z + step, EXACT)
    c = distance(t, rows, trunk, count, values, x - step, y + step, z - step, EXACT)
    d = distance(t, rows, trunk, count, values, x + step, y + step, z + step, EXACT)
    nx, ny, nz = a - b - c + d, c - a - b + d, b - a - c + d
    size = max(math.sqrt(nx * nx + ny * ny + nz * nz), 1e-12)
    return nx / size, ny / size, nz / size
