"""Light on hands, sleeves and things: diffuse light that bleeds red at its edge, highlights, soft shadow, occlusion.

Linear light in, linear light out; pixels only, so the geometry stays exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from handsynth.simulator import coat as looks
from handsynth.simulator import environment
from handsynth.simulator.coat import Coat
from handsynth.simulator.compile import compiled
from handsynth.simulator.environment import Light
from handsynth.simulator.light import received_light

_FOOTPRINT_PX = 0.7
"""Standard deviation of the pixel's own blur, which smooths the outline."""
_THROUGH = (1.0, 0.22, 0.1)
"""Colour of light that has come through a finger."""
_DARK = 1e-300  # no share of a lamp, where a logarithm is taken


@dataclass(frozen=True)
class Layer:
    """What M pixels see of one body.

    Attributes:
        rows, columns: (M,) their places.
        z_mm: (M,) camera z.
        parts: (M,) uint8 mask codes; 0 of a thing.
        color: (M, 3) linear, None where nobody asked for it.
    """

    rows: np.ndarray
    columns: np.ndarray
    z_mm: np.ndarray
    parts: np.ndarray
    color: np.ndarray | None


def shade(
    bones: np.ndarray, points: np.ndarray, normals: np.ndarray, coat: Coat, light: Light, shadows: bool
) -> np.ndarray:
    """Linear colours (M, 3) of points of one body.

    Args:
        bones: (K, 16) what takes light away, of ``light.blockers``.
        points, normals: (M, 3) camera frame mm, and outward, of the body's exact shape.
        coat: how it looks, with the normals of its relief.
        light: in the camera's frame.
        shadows: whether to march shadows and occlusion, the dearer part.
    """
    lit, openness = np.ones(len(points)), np.ones(len(points))
    if shadows and len(points):
        key = light.lamps[0]
        lit, openness = received_light(bones, points, normals, key.direction, key.softness)
    color = np.empty((len(points), 3))
    _shade(light.table, coat.numbers, np.ascontiguousarray(points), lit, openness, color)
    return color


@compiled
def _shade(
    light: np.ndarray, coats: np.ndarray, points: np.ndarray, lit: np.ndarray, openness: np.ndarray, color: np.ndarray
) -> None:
    for i in range(len(points)):
        shade_at(light, coats[i], points[i], lit[i], openness[i], color[i])


@compiled
def shade_at(
    light: np.ndarray, coat: np.ndarray, point: np.ndarray, lit: float, openness: float, color: np.ndarray
) -> None:
    """Write the linear colour of one point into color (3,).

    Args:
        light: ``Light.table``, in the camera's frame.
        coat: (11,) how the point looks, see ``coat``.
        point: camera frame mm, the first three numbers count.
        lit, openness: of ``received_light``.
        color: see above.
    """
    nx, ny, nz = coat[looks.NORMAL], coat[looks.NORMAL + 1], coat[looks.NORMAL + 2]
    gloss, thin = coat[looks.GLOSS], coat[looks.THIN]
    far = math.sqrt(point[0] * point[0] + point[1] * point[1] + point[2] * point[2])
    ex, ey, ez = -point[0] / far, -point[1] / far, -point[2] / far
    facing_eye = min(max(nx * ex + ny * ey + nz * ez, 0.0), 1.0)
    away = 1.0 - facing_eye
    rim = gloss * (0.04 + 0.5 * away * away * away * away * away) * 0.3 * openness
    diffuse = environment.around(light, nx, ny, nz)
    mirror = 2.0 * facing_eye
    mirrored = environment.around(light, mirror * nx - ex, mirror * ny - ey, mirror * nz - ez)
    open_log, lit_log = math.log(openness), math.log(max(lit, _DARK))
    for channel in range(3):
        albedo = coat[looks.ALBEDO + channel]
        # Light in the folds has bounced off skin and is tinted by it.
        color[channel] = albedo * diffuse[channel] * math.exp((1.7 - 0.7 * albedo) * open_log) + rim * mirrored[channel]
    for row in range(environment.LAMPS, len(light), environment.LAMP_ROWS):
        # Only the first lamp's shadows are followed; the others reach what lies open.
        share, share_log = (lit, lit_log) if row == environment.LAMPS else (openness, open_log)
        dx, dy, dz = light[row, 0], light[row, 1], light[row, 2]
        facing, highlight = nx * dx + ny * dy + nz * dz, 0.0
        if facing > 0.0:
            hx, hy, hz = ex + dx, ey + dy, ez + dz
            size = math.sqrt(hx * hx + hy * hy + hz * hz)
            highlight = gloss * _shine((nx * hx + ny * hy + nz * hz) / size) * share
        through = thin * max(-facing, 0.0) * openness
        for channel in range(3):
            bleed = coat[looks.BLEED + channel]
            wrapped = max((facing + bleed) / (1.0 + bleed), 0.0) * math.exp((1.0 - bleed) * share_log)
            reflected = coat[looks.ALBEDO + channel] * (wrapped + through * _THROUGH[channel])
            color[channel] += (reflected + highlight) * light[row + 1, channel]


@compiled
def _shine(cosine: float) -> float:
    """A broad and a narrow highlight by the cosine of normal and half way: its 18th and 60th power."""
    cosine = max(cosine, 0.0)
    second = cosine * cosine
    fourth = second * second
    eighth = fourth * fourth
    sixteenth = eighth * eighth
    return 0.16 * sixteenth * second + 0.10 * sixteenth * sixteenth * sixteenth * eighth * fourth


def composed(layers: Sequence[Layer], height: int, width: int) -> np.ndarray:
    """(H, W, 4) float32 linear colours times coverage, and coverage; nearer bodies first, outlines smoothed."""
    out = np.zeros((height, width, 4), dtype=np.float32)
    nearest = np.full((height, width), np.inf)
    for layer in layers:
        assert layer.color is not None
        front = layer.z_mm < nearest[layer.rows, layer.columns]
        rows, columns = layer.rows[front], layer.columns[front]
        nearest[rows, columns] = layer.z_mm[front]
        out[rows, columns, :3] = layer.color[front]
        out[rows, columns, 3] = 1
    return np.asarray(cv2.GaussianBlur(out, (0, 0), _FOOTPRINT_PX))


def cast_shadow(background: np.ndarray, covered: np.ndarray, light: Light, rng: np.random.Generator) -> np.ndarray:
    """Darken a linear background (H, W, 3) where what covers it (H, W) would keep the lamp out; an impression only."""
    height, width = background.shape[:2]
    far = max(height, width) * rng.uniform(0.03, 0.12)
    deep = rng.uniform(0.2, 0.6)
    lamp = light.lamps[0]
    away = np.array([[1, 0, -far * lamp.direction[0]], [0, 1, -far * lamp.direction[1]]], dtype=np.float32)
    moved = cv2.warpAffine(covered.astype(np.float32), away, (width, height), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), max(1.0, far * (0.25 + lamp.softness)))
    return np.asarray(background * (1 - deep * soft[..., None]), dtype=np.float32)
