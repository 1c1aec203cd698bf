"""Repeating noise in space with its slope: patterns and fine relief of skin, cloth and things, one point at a time.

Compiled for CPU and GPU alike, as ``field`` is.
"""

from __future__ import annotations

import math

import numpy as np

from handsynth.simulator.compile import compiled


@compiled
def noise(
    texture: np.ndarray, x: float, y: float, z: float, wide: float, long: float, deep: float
) -> tuple[float, float, float, float]:
    """Smooth noise in [-1, 1] at a place and its slope per unit along x, y and z.

    Trilinear between cells, with weights that are smooth where cells meet.

    Args:
        texture: (C, C, C) float32 values in [-1, 1], repeating.
        x, y, z: the place.
        wide, long, deep: size of a grain along x, y and z.
    """
    cells = texture.shape[0]
    x, y, z = x / wide, y / long, z / deep
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    x, y, z = x - fx, y - fy, z - fz
    dx, dy, dz = 6.0 * x * (1.0 - x), 6.0 * y * (1.0 - y), 6.0 * z * (1.0 - z)
    x, y, z = x * x * (3.0 - 2.0 * x), y * y * (3.0 - 2.0 * y), z * z * (3.0 - 2.0 * z)
    i, j, k = int(fx) % cells, int(fy) % cells, int(fz) % cells
    i1, j1, k1 = (i + 1 if i + 1 < cells else 0), (j + 1 if j + 1 < cells else 0), (k + 1 if k + 1 < cells else 0)
    a, b, c, d = texture[i, j, k], texture[i1, j, k], texture[i, j1, k], texture[i1, j1, k]
    e, f, g, h = texture[i, j, k1], texture[i1, j, k1], texture[i, j1, k1], texture[i1, j1, k1]
    low = (a + x * (b - a)) * (1.0 - y) + (c + x * (d - c)) * y
    high = (e + x * (f - e)) * (1.0 - y) + (g + x * (h - g)) * y
    along_x = ((b - a) * (1.0 - y) + (d - c) * y) * (1.0 - z) + ((f - e) * (1.0 - y) + (h - g) * y) * z
    along_y = ((c - a) * (1.0 - x) + (d - b) * x) * (1.0 - z) + ((g - e) * (1.0 - x) + (h - f) * x) * z
    return low + z * (high - low), dx * along_x / wide, dy * along_y / long, dz * (high - low) / deep


@compiled
def lines(
    value: float, sx: float, sy: float, sz: float, width: float, cell: float
) -> tuple[float, float, float, float]:
    """Winding lines of one width where noise of a grain ``cell`` crosses 0: strength in [0, 1] and its slope.

    Args:
        value, sx, sy, sz: of ``noise``.
        width: of the lines, in units of the places.
        cell: size of the noise's grain.
    """
    steep = max(math.sqrt(sx * sx + sy * sy + sz * sz), 1e-9)
    away = value / steep / width
    # Where noise is flat a line would become a blot: it fades instead.
    fade = min(steep * cell / 0.7, 1.0)
    strength = math.exp(-(away * away)) * (fade * fade)
    factor = -2.0 * strength * away / (width * steep)
    return strength, factor * sx, factor * sy, factor * sz


@compiled
def bent(nx: float, ny: float, nz: float, sx: float, sy: float, sz: float) -> tuple[float, float, float]:
    """Unit normal of a surface with the normal n, raised by a height whose slope in space is s."""
    along = sx * nx + sy * ny + sz * nz
    x, y, z = nx - (sx - along * nx), ny - (sy - along * ny), nz - (sz - along * nz)
    size = math.sqrt(x * x + y * y + z * z)
    return x / size, y / size, z / size


def resolved(size_mm: float, footprint_mm: float) -> float:
    """How much of a pattern is left when pixels average over it; ``size_mm`` is half its period."""
    return math.exp(-0.5 * (footprint_mm / size_mm) ** 2)
