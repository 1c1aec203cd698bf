"""Sphere tracing: the exact depth, normal, part and place on the hand that each pixel of a camera sees.

Pixels go in square blocks. A block first lists the cones that its bundle of rays can meet at all, walks the stretch
that is free for all of its rays at once, then follows each ray by itself, always with the short list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from handsynth.hand.camera import Camera
from handsynth.hand.joints import FIRST_PHALANX, OTHER_BODY
from handsynth.simulator import field
from handsynth.simulator.compile import compiled
from handsynth.simulator.surface import NORMAL_STEP_MM, Surface

HIT_MM = 0.02
"""A ray that is this near to the surface goes the rest in one step."""
_GRAZE_MM = 0.05  # what a ray that runs out of steps may still be away, at the silhouette
BLOCK = 4
"""Pixels on a side of a block."""
_STEPS = 256
_NEAREST_MM = 20.0  # nothing is seen nearer to the camera
# Columns of what ``describe`` writes of a pixel, see ``View``.
POINT, NORMAL, PART, ALONG, LENGTH, PALMAR, PLACE, CREASE, NAIL, CLOTH = 0, 3, 6, 7, 8, 9, 10, 13, 14, 15
NUMBERS = 16


@dataclass(frozen=True)
class View:
    """What M pixels of a camera see of the hand; lengths in mm, camera frame unless said otherwise.

    Attributes:
        rows, columns: (M,) int64 pixel places, neighbours mostly near each other.
        numbers: (M, 16) float64, a row per pixel as ``describe`` writes it.
    """

    rows: np.ndarray
    columns: np.ndarray
    numbers: np.ndarray

    @property
    def points(self) -> np.ndarray:
        """(M, 3) surface points."""
        return self.numbers[:, POINT : POINT + 3]

    @property
    def z_mm(self) -> np.ndarray:
        """(M,) camera z."""
        return self.numbers[:, POINT + 2]

    @property
    def normals(self) -> np.ndarray:
        """(M, 3) outward."""
        return self.numbers[:, NORMAL : NORMAL + 3]

    @property
    def parts(self) -> np.ndarray:
        """(M,) uint8 mask codes."""
        return self.numbers[:, PART].astype(np.uint8)

    @property
    def phalanx(self) -> np.ndarray:
        """(M,) int64 0 to 14, thumb to pinky and base to tip, of the phalanx seen; -1 on palm, arm and cloth."""
        parts = self.parts.astype(np.int64)
        return np.where((parts >= FIRST_PHALANX) & (parts < OTHER_BODY), parts - FIRST_PHALANX, -1)

    @property
    def along_mm(self) -> np.ndarray:
        """(M,) place along the axis of the nearest cone, from its start."""
        return self.numbers[:, ALONG]

    @property
    def length_mm(self) -> np.ndarray:
        """(M,) length of that axis; that of a last phalanx ends at the centre of its last sphere."""
        return self.numbers[:, LENGTH]

    @property
    def palmar(self) -> np.ndarray:
        """(M,) how much outward is palmar, -1 back to 1 palm: on a phalanx of the direction across its bone, else of
        the normal."""
        return self.numbers[:, PALMAR]

    @property
    def local_mm(self) -> np.ndarray:
        """(M, 3) place in the hand frame (radial, distal, palmar; a left hand's like a right one's)."""
        return self.numbers[:, PLACE : PLACE + 3]

    @property
    def crease_mm(self) -> np.ndarray:
        """(M,) depth of the crease the point lies in, 0 on smooth skin."""
        return self.numbers[:, CREASE]

    @property
    def nail_mm(self) -> np.ndarray:
        """(M,) signed distance to the outline of the finger's nail, negative on the nail; large elsewhere."""
        return self.numbers[:, NAIL]

    @property
    def cloth(self) -> np.ndarray:
        """(M,) bool, the sleeve."""
        return self.numbers[:, CLOTH] > 0

    def depth_mm(self, height: int, width: int) -> np.ndarray:
        """(H, W) float32 camera z; NaN where the hand is not seen."""
        out = np.full((height, width), np.nan, dtype=np.float32)
        out[self.rows, self.columns] = self.z_mm
        return out

    def mask(self, height: int, width: int) -> np.ndarray:
        """(H, W) uint8 mask codes."""
        out = np.zeros((height, width), dtype=np.uint8)
        out[self.rows, self.columns] = self.parts
        return out


def trace(surface: Surface, camera: Camera) -> View:
    """Trace the pixels of a camera, in whose frame the surface is, against the surface; distorted lenses too."""
    height, width = camera.height, camera.width
    lens = np.array([camera.fx, camera.fy, camera.cx, camera.cy])
    bent = bent_rays(camera) if camera.distortion else np.empty((0, 0, 2))
    pixels = np.empty((height * width, 2), dtype=np.int64)
    numbers = np.empty((height * width, NUMBERS))
    count = _trace(surface.table, lens, bent, height, width, pixels, numbers)
    pixels = pixels[:count].copy()
    return View(pixels[:, 0], pixels[:, 1], numbers[:count].copy())


def bent_rays(camera: Camera) -> np.ndarray:
    """(H, W, 2) x and y of every pixel's ray where z = 1, for lenses that bend them."""
    height, width = camera.height, camera.width
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    return np.ascontiguousarray(camera.lift(pixels, np.ones((height, width)))[..., :2])


@compiled
def ray(lens: np.ndarray, bent: np.ndarray, row: int, column: int) -> tuple[float, float]:
    """x and y of a pixel's ray where z = 1, from focal lengths and principal point (4,), or ``bent_rays`` if any."""
    if bent.shape[0] > 0:
        return bent[row, column, 0], bent[row, column, 1]
    return (column - lens[2]) / lens[0], (row - lens[3]) / lens[1]


@compiled
def bundle_rows(t: np.ndarray, x: float, y: float, spread: float, rows: np.ndarray) -> tuple[int, int, float, float]:
    """List what a bundle of rays about (x, y, 1), ``spread`` wide at z = 1, can meet.

    Returns:
        trunk and count of the list, and the range of z to search.
    """
    norm = math.sqrt(x * x + y * y + 1.0)
    ux, uy, uz = x / norm, y / norm, 1.0 / norm
    count, trunk = 0, 0
    near, far = field.FAR_MM, 0.0
    for k in range(t.shape[0] - field.TRUNK + field.NAILS):
        row = k + field.TRUNK
        if row >= t.shape[0]:
            row -= t.shape[0]
        reach = t[row, field.THICKEST] + t[row, field.SAY]
        if row >= t.shape[0] - 2:
            reach += t[field.FRAME + 1, 10]
        length = t[row, field.LENGTH]
        first, last = t[row, 2], t[row, 2] + length * t[row, 5]
        highest = max(first, last) + reach
        # The axis as seen along the ray: a segment in the plane across it; how near it comes to the ray.
        along = t[row, 0] * ux + t[row, 1] * uy + t[row, 2] * uz
        ax, ay, az = t[row, 0] - along * ux, t[row, 1] - along * uy, t[row, 2] - along * uz
        along = t[row, 3] * ux + t[row, 4] * uy + t[row, 5] * uz
        bx, by, bz = t[row, 3] - along * ux, t[row, 4] - along * uy, t[row, 5] - along * uz
        square = max(bx * bx + by * by + bz * bz, 1e-12)
        foot = min(max(-(ax * bx + ay * by + az * bz) / square, 0.0), length)
        ax, ay, az = ax + foot * bx, ay + foot * by, az + foot * bz
        reach += spread * max(highest, 0.0)
        if ax * ax + ay * ay + az * az <= reach * reach:
            rows[count] = row
            count += 1
            if row >= field.TRUNK:
                trunk = count
            near, far = min(near, min(first, last) - reach), max(far, highest)
    return trunk, count, max(near, _NEAREST_MM), far


@compiled
def march(
    t: np.ndarray,
    rows: np.ndarray,
    trunk: int,
    count: int,
    values: np.ndarray,
    x: float,
    y: float,
    z: float,
    far: float,
    spread: float,
) -> float:
    """Follow the ray (x, y, 1) from camera z until the surface is nearer than ``HIT_MM`` plus the bundle's radius.

    Returns:
        The z reached: of a bundle the last that is free for all of its rays. Beyond ``far`` where nothing is met.
    """
    # While a bundle advances its radius grows by spread per unit of z.
    norm = math.sqrt(x * x + y * y + 1.0) + spread
    free, before, step = 0.0, 0.0, 0.0
    for _ in range(_STEPS):
        before = free
        free = field.distance(t, rows, trunk, count, values, x * z, y * z, z, field.STEEP) - spread * z
        if free < HIT_MM:
            if spread == 0.0:
                # The rest by the slope of the last step, if there was one.
                slope = (before - free) / step if step > 0.0 else 1.0
                z += min(free / max(slope, 0.25), 2.0 * HIT_MM) / norm
            return z
        if z > far:
            return z
        step = free
        z += step / norm
    # A bundle that is still under way may hold rays that arrive.
    return z if spread > 0.0 or free < _GRAZE_MM else 2.0 * far + 1.0


@compiled
def covering(t: np.ndarray, rows: np.ndarray, count: int, x: float, y: float, z: float) -> tuple[int, bool]:
    """Of a surface point: the listed bone that is nearest, and whether cloth covers it."""
    return field.nearest_row(t, rows, count, x, y, z), field.sleeve_distance(t, x, y, z) < field.CLOTH_MM


@compiled
def describe(
    t: np.ndarray,
    rows: np.ndarray,
    trunk: int,
    count: int,
    values: np.ndarray,
    x: float,
    y: float,
    z: float,
    few: np.ndarray,
    out: np.ndarray,
) -> None:
    """Write what ``View`` says of one surface point into out (16,), columns as named above.

    Args:
        t, rows, trunk, count, values: as for ``field.distance``.
        x, y, z: the point.
        few: (>= count,) unsigned scratch.
        out: see above.
    """
    few_trunk, few_count = field.skin_rows(t, rows, trunk, count, x, y, z, few)
    nx, ny, nz = field.normal(t, few, few_trunk, few_count, values, x, y, z, NORMAL_STEP_MM)
    row, cloth = covering(t, rows, count, x, y, z)
    dx, dy, dz = x - t[row, 0], y - t[row, 1], z - t[row, 2]
    along = dx * t[row, 3] + dy * t[row, 4] + dz * t[row, 5]
    radial, distal, palm = field.hand_place(t, x, y, z)
    part, crease, nail = t[row, field.PART], 0.0, field.FAR_MM
    frame = field.FRAME
    palmar = nx * t[frame, 6] + ny * t[frame, 7] + nz * t[frame, 8]
    if cloth:
        part = OTHER_BODY
    elif row < field.NAILS:
        finger = row // field.FINGER_ROWS
        crease, nail = field.finger_groove(t, finger, x, y, z), field.nail_outline(t, finger, x, y, z)
        pulp = field.PULPS + row - finger * (field.FINGER_ROWS - 3)
        dx, dy, dz = dx - along * t[row, 3], dy - along * t[row, 4], dz - along * t[row, 5]
        size = max(math.sqrt(dx * dx + dy * dy + dz * dz), 1e-9)
        palmar = (dx * t[pulp, 0] + dy * t[pulp, 1] + dz * t[pulp, 2]) / size
    else:
        crease = field.palm_groove(t, x, y, z)
    out[POINT], out[POINT + 1], out[POINT + 2] = x, y, z
    out[NORMAL], out[NORMAL + 1], out[NORMAL + 2] = nx, ny, nz
    out[PART], out[ALONG], out[LENGTH], out[PALMAR] = part, along, t[row, field.LENGTH], palmar
    out[PLACE], out[PLACE + 1], out[PLACE + 2] = radial, distal, palm
    out[CREASE], out[NAIL], out[CLOTH] = crease, nail, 1.0 if cloth else 0.0


@compiled
def block(
    t: np.ndarray,
    lens: np.ndarray,
    bent: np.ndarray,
    height: int,
    width: int,
    top: int,
    left: int,
    rows: np.ndarray,
    values: np.ndarray,
) -> tuple[int, int, float, float]:
    """List in ``rows`` what the block of pixels at (top, left) can meet, and walk what is free for all of its rays.

    Returns:
        trunk and count of the list, the z from which each ray goes on by itself, and the z where the search ends;
        count 0 where none of them meets anything.
    """
    bottom, right = min(top + BLOCK, height) - 1, min(left + BLOCK, width) - 1
    x0, y0 = ray(lens, bent, top, left)
    x1, y1 = ray(lens, bent, bottom, right)
    x, y, wide = 0.5 * (x0 + x1), 0.5 * (y0 + y1), 0.0
    for row in range(top, bottom + 1):
        step = 1 if row in (top, bottom) else max(right - left, 1)
        for column in range(left, right + 1, step):
            xp, yp = ray(lens, bent, row, column)
            wide = max(wide, (xp - x) ** 2 + (yp - y) ** 2)
    spread = math.sqrt(wide)
    trunk, count, near, far = bundle_rows(t, x, y, spread, rows)
    if count == 0:
        return 0, 0, near, far
    begin = march(t, rows, trunk, count, values, x, y, near, far, spread + 1e-9)
    if begin > far:
        return 0, 0, begin, far
    return trunk, count, begin, far


@compiled
def _trace(
    t: np.ndarray,
    lens: np.ndarray,
    bent: np.ndarray,
    height: int,
    width: int,
    pixels: np.ndarray,
    numbers: np.ndarray,
) -> int:
    """Fill pixels (H W, 2) and numbers (H W, 16) from the front; returns how many pixels see the hand."""
    rows, values = np.empty(t.shape[0], dtype=np.uint32), np.empty(t.shape[0])
    few, seen = np.empty(t.shape[0], dtype=np.uint32), 0
    for top in range(0, height, BLOCK):
        for left in range(0, width, BLOCK):
            trunk, count, begin, far = block(t, lens, bent, height, width, top, left, rows, values)
            if count == 0:
                continue
            for row in range(top, min(top + BLOCK, height)):
                for column in range(left, min(left + BLOCK, width)):
                    x, y = ray(lens, bent, row, column)
                    z = march(t, rows, trunk, count, values, x, y, begin, far, 0.0)
                    if z > far:
                        continue
                    pixels[seen, 0], pixels[seen, 1] = row, column
                    describe(t, rows, trunk, count, values, x * z, y * z, z, few, numbers[seen])
                    seen += 1
    return seen
