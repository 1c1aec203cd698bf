"""Light on hands, sleeves and things: diffuse light that bleeds red at its edge, highlights, soft shadow, occlusion.

Linear light in, linear light out; pixels only, so the geometry stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from handsynth.simulator.environment import Light
from handsynth.simulator.light import blockers, received_light
from handsynth.simulator.skin import Coat
from handsynth.simulator.surface import Surface

_FOOTPRINT_PX = 0.7
"""Standard deviation of the pixel's own blur, which smooths the outline."""
_THROUGH = np.array([1.0, 0.22, 0.1])
"""Colour of light that has come through a finger."""


@dataclass(frozen=True)
class Layer:
    """What M pixels see of one body: their places, camera z in mm and linear colours (M, 3)."""

    rows: np.ndarray
    columns: np.ndarray
    z_mm: np.ndarray
    color: np.ndarray


def shade(
    surfaces: Sequence[Surface], solids: np.ndarray, points: np.ndarray, normals: np.ndarray, coat: Coat, light: Light,
    shadows: bool,
) -> np.ndarray:  # fmt: skip
    """Linear colours (M, 3) of points of one body.

    Args:
        surfaces: the hands, which take light away.
        solids: (K, 16) cones that do so too, see ``items``.
        points, normals: (M, 3) camera frame mm, and outward, of the body's exact shape.
        coat: how it looks, with the normals of its relief.
        light: in the camera's frame.
        shadows: whether to march shadows and occlusion, the dearer part.
    """
    lit, open_share = np.ones(len(points)), np.ones(len(points))
    key = light.lamps[0]
    if shadows and len(points):
        lit, open_share = received_light(blockers(surfaces, solids), points, normals, key.direction, key.softness)
    bent = coat.normals
    # Light in the folds has bounced off skin and is tinted by it.
    around = light.around(bent) * open_share[:, None] ** (1.7 - 0.7 * coat.albedo)
    to_eye = _unit(-points)
    facing_eye = np.clip((bent * to_eye).sum(-1), 0, 1)
    rim = coat.gloss * (0.04 + 0.5 * (1 - facing_eye) ** 5) * 0.3 * open_share
    mirrored = light.around(2 * facing_eye[:, None] * bent - to_eye)
    color = coat.albedo * around + rim[:, None] * mirrored
    for number, lamp in enumerate(light.lamps):
        # Only the first lamp's shadows are followed; the others reach what lies open.
        share = lit if number == 0 else open_share
        facing = bent @ lamp.direction
        diffuse = np.maximum((facing[:, None] + coat.bleed) / (1 + coat.bleed), 0)
        diffuse = diffuse * share[:, None] ** (1 - coat.bleed)
        shine = np.maximum((bent * _unit(to_eye + lamp.direction)).sum(-1), 0)
        highlight = coat.gloss * (0.16 * shine**18 + 0.10 * shine**60) * share * (facing > 0)
        through = (coat.thin * np.maximum(-facing, 0) * open_share)[:, None] * _THROUGH
        color = color + (coat.albedo * (diffuse + through) + highlight[:, None]) * lamp.color
    return np.asarray(color)


def composed(layers: Sequence[Layer], height: int, width: int) -> np.ndarray:
    """(H, W, 4) float32 linear colours times coverage, and coverage; nearer bodies first, outlines smoothed."""
    out = np.zeros((height, width, 4), dtype=np.float32)
    nearest = np.full((height, width), np.inf)
    for layer in layers:
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


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))
