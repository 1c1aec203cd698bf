"""Light on a traced hand: diffuse light that bleeds red at its edge, highlights, soft shadow, ambient occlusion.

Linear light in, linear light out; pixels only, so the geometry stays exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from handsynth.simulator.skin import Skin, appearance
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import View

_BLEED = (0.34, 0.16, 0.11)
"""How far red, green and blue light travels under the skin, as a wrap of the cosine."""
_SHADOW_STEPS, _SHADOW_REACH_MM = 14, 140.0
_OCCLUSION_MM = (2.5, 6.0, 12.0, 22.0)
_FOOTPRINT_PX = 0.6
"""Standard deviation of the pixel's own blur, which smooths the outline."""


@dataclass(frozen=True)
class Light:
    """One lamp, far away, and light from all around; camera axes, linear.

    Attributes:
        direction: (3,) unit vector to the lamp.
        color: (3,) of the lamp.
        sky, ground: (3,) light from above (-y) and from below.
        softness: half angle of the lamp as a tangent: 0.05 sharp shadows, 0.5 soft ones.
    """

    direction: np.ndarray
    color: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    softness: float


def random_light(rng: np.random.Generator) -> Light:
    """Draw a lamp above and on the camera's side of the hand, from warm bulb to blue sky, and what surrounds it."""
    azimuth, height = rng.uniform(-1.4, 1.4), rng.uniform(0.0, 1.15)
    direction = np.array([np.sin(azimuth) * np.cos(height), -np.sin(height), -np.cos(azimuth) * np.cos(height)])
    warmth = rng.normal(0, 0.09)
    color = np.array([1 + warmth, 1.0, 1 - warmth]) * rng.uniform(0.65, 1.1)
    ambient = rng.uniform(0.32, 0.65)
    sky = ambient * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    ground = sky * rng.uniform(0.35, 0.8) * rng.uniform(0.85, 1.1, 3)
    return Light(direction, color, sky, ground, float(rng.uniform(0.06, 0.4)))


@torch.no_grad()
def shade(surfaces: Sequence[Surface], which: int, view: View, skin: Skin, light: Light, shadows: bool) -> torch.Tensor:
    """Linear colours (M, 3) of the view of one hand, all hands casting shadows.

    Args:
        surfaces: all hands of the scene, in the camera's frame.
        which: the one that ``view`` shows.
        view: M points.
        skin, light: the appearance.
        shadows: whether to march shadows and occlusion, the dearer part.
    """
    surface = surfaces[which]
    albedo, gloss = appearance(skin, surface.cones, surface.center_mm, view)
    normals = view.normals
    to_light = _vector(light.direction)
    facing = (normals * to_light).sum(-1)
    lit, open_share = torch.ones(len(normals)), torch.ones(len(normals))
    if shadows:
        lit = torch.where(facing > -0.3, _shadow(surfaces, surface, view, to_light, light.softness), 0.0)
        open_share = _occlusion(surfaces, surface, view)
    bleed = _vector(np.array(_BLEED))
    diffuse = ((facing[:, None] + bleed) / (1 + bleed)).clamp(min=0) * lit[:, None] ** (1 - bleed)
    up = (0.5 - 0.5 * normals[:, 1:2]) ** 1.5
    around = _vector(light.ground) + up * _vector(light.sky - light.ground)
    # Light in the folds has bounced off skin and is tinted by it.
    around = around * open_share[:, None] ** (1.3 - 0.6 * albedo)
    color = albedo * (diffuse * _vector(light.color) + around)
    to_eye = -torch.nn.functional.normalize(view.points + _vector(surface.center_mm), dim=-1)
    half = torch.nn.functional.normalize(to_eye + to_light, dim=-1)
    shine = (normals * half).sum(-1).clamp(min=0)
    fresnel = 0.04 + 0.5 * (1 - (normals * to_eye).sum(-1).clamp(0, 1)) ** 5
    highlight = gloss * (0.16 * shine**18 + 0.10 * shine**60) * lit * (facing > 0)
    rim = gloss * fresnel * 0.25 * open_share
    return color + highlight[:, None] * _vector(light.color) + rim[:, None] * around


def composite(background: np.ndarray, layers: Sequence[tuple[View, torch.Tensor]]) -> np.ndarray:
    """Lay hands over a linear background (H, W, 3), nearer pixels first; outlines are smoothed, inside colours kept.

    Returns:
        (H, W, 3) float32 linear.
    """
    height, width = background.shape[:2]
    hand = np.zeros((height, width, 4), dtype=np.float32)
    nearest = np.full((height, width), np.inf, dtype=np.float32)
    for view, color in layers:
        rows, columns, z = view.rows.numpy(), view.columns.numpy(), view.z_mm.numpy()
        front = z < nearest[rows, columns]
        rows, columns = rows[front], columns[front]
        nearest[rows, columns] = z[front]
        hand[rows, columns, :3] = color.numpy()[front]
        hand[rows, columns, 3] = 1
    smooth = cv2.GaussianBlur(hand, (0, 0), _FOOTPRINT_PX)
    return np.asarray(smooth[..., :3] + (1 - smooth[..., 3:]) * background, dtype=np.float32)


def cast_shadow(
    background: np.ndarray, masks: Sequence[np.ndarray], light: Light, rng: np.random.Generator
) -> np.ndarray:
    """Darken a linear background (H, W, 3) where hands just before it would keep the lamp out; an impression only."""
    height, width = background.shape[:2]
    far = max(height, width) * rng.uniform(0.03, 0.12)
    away = np.array([[1, 0, -far * light.direction[0]], [0, 1, -far * light.direction[1]]], dtype=np.float32)
    hands = np.asarray(np.stack(masks).any(0), dtype=np.float32)
    moved = cv2.warpAffine(hands, away, (width, height), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), max(1.0, far * (0.25 + light.softness)))
    return np.asarray(background * (1 - rng.uniform(0.2, 0.6) * soft[..., None]), dtype=np.float32)


def _vector(value: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(value, dtype=torch.float32)


def _nearest(surfaces: Sequence[Surface], home: Surface, points: torch.Tensor) -> torch.Tensor:
    """Distance (R,) to any of the hands; points are relative to the home surface's centre."""
    distances = [s.distance(points + _vector(home.center_mm - s.center_mm)) for s in surfaces]
    return torch.stack(distances).amin(0)


def _shadow(
    surfaces: Sequence[Surface], home: Surface, view: View, to_light: torch.Tensor, softness: float
) -> torch.Tensor:
    """Share of the lamp that each point sees (M,), by how closely the ray to it passes the hands (Quilez)."""
    lit = torch.ones(len(view.points))
    origin = view.points + 1.2 * view.normals
    active = torch.arange(len(origin))
    travelled = torch.full((len(origin),), 1.5)
    for _ in range(_SHADOW_STEPS):
        distance = _nearest(surfaces, home, origin[active] + travelled[active, None] * to_light)
        lit[active] = torch.minimum(lit[active], 0.5 + 0.5 * distance / (softness * travelled[active]))
        travelled[active] = travelled[active] + distance.clamp(2.0, 30.0)
        active = active[(lit[active] > 0) & (travelled[active] < _SHADOW_REACH_MM)]
        if len(active) == 0:
            break
    lit = lit.clamp(0, 1)
    return lit * lit * (3 - 2 * lit)


def _occlusion(surfaces: Sequence[Surface], home: Surface, view: View) -> torch.Tensor:
    """Openness (M,) in [0, 1]: how much nearer the hand is along the normal than open space would be."""
    closed, weight, total = torch.zeros(len(view.points)), 1.0, 0.0
    for reach in _OCCLUSION_MM:
        distance = _nearest(surfaces, home, view.points + reach * view.normals)
        closed = closed + weight * (1 - distance / reach).clamp(0, 1)
        total += weight
        weight *= 0.8
    return (1 - 1.25 * closed / total).clamp(0.08, 1)
