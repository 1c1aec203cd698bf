"""Repeating noise in space with its slope, compiled: patterns and fine relief of skin and cloth."""

from __future__ import annotations

import math

import numpy as np

from handsynth.simulator.compile import compiled


def noise(texture: np.ndarray, places: np.ndarray, cell: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smooth noise (M,) in [-1, 1] and its slope (M, 3) per unit of the places.

    Args:
        texture: (C, C, C) float32 values in [-1, 1], repeating.
        places: (M, 3).
        cell: size of a grain in units of the places, one or per axis (3,).
    """
    size = np.broadcast_to(np.asarray(cell, dtype=np.float64), 3)
    value, slope = np.empty(len(places)), np.empty((len(places), 3))
    _noise(texture, np.ascontiguousarray(places / size), value, slope)
    return value, slope / size


def lines(value: np.ndarray, slope: np.ndarray, width: float, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Winding lines of one width where noise of a grain ``cell`` crosses 0: strength (M,) in [0, 1], slope (M, 3)."""
    steep = np.maximum(np.linalg.norm(slope, axis=-1), 1e-9)
    away = value / steep / width
    # Where noise is flat a line would become a blot: it fades instead.
    strength = np.exp(-(away**2)) * np.minimum(steep * cell / 0.7, 1) ** 2
    return strength, (-2 * strength * away / (width * steep))[:, None] * slope


def bent(normals: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Unit normals (M, 3) of a surface raised by a height whose slope in space (M, 3) is given."""
    across = slope - (slope * normals).sum(-1, keepdims=True) * normals
    out = normals - across
    return np.asarray(out / np.linalg.norm(out, axis=-1, keepdims=True))


@compiled
def _noise(texture: np.ndarray, places: np.ndarray, value: np.ndarray, slope: np.ndarray) -> None:
    """Trilinear between cells, with weights that are smooth where cells meet."""
    cells = texture.shape[0]
    for m in range(len(places)):
        fx, fy, fz = math.floor(places[m, 0]), math.floor(places[m, 1]), math.floor(places[m, 2])
        x, y, z = places[m, 0] - fx, places[m, 1] - fy, places[m, 2] - fz
        dx, dy, dz = 6.0 * x * (1.0 - x), 6.0 * y * (1.0 - y), 6.0 * z * (1.0 - z)
        x, y, z = x * x * (3.0 - 2.0 * x), y * y * (3.0 - 2.0 * y), z * z * (3.0 - 2.0 * z)
        i, j, k = int(fx) % cells, int(fy) % cells, int(fz) % cells
        i1, j1, k1 = (i + 1) % cells, (j + 1) % cells, (k + 1) % cells
        a, b, c, d = texture[i, j, k], texture[i1, j, k], texture[i, j1, k], texture[i1, j1, k]
        e, f, g, h = texture[i, j, k1], texture[i1, j, k1], texture[i, j1, k1], texture[i1, j1, k1]
        low = (a + x * (b - a)) * (1.0 - y) + (c + x * (d - c)) * y
        high = (e + x * (f - e)) * (1.0 - y) + (g + x * (h - g)) * y
        value[m] = low + z * (high - low)
        slope[m, 2] = dz * (high - low)
        slope[m, 0] = dx * (((b - a) * (1.0 - y) + (d - c) * y) * (1.0 - z) + ((f - e) * (1.0 - y) + (h - g) * y) * z)
        slope[m, 1] = dy * (((c - a) * (1.0 - x) + (d - b) * x) * (1.0 - z) + ((g - e) * (1.0 - x) + (h - f) * x) * z)
