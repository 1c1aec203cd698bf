"""Sleeves: what cloth looks like where it is seen. Linear light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.simulator.relief import bent, noise
from handsynth.simulator.skin import Coat
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import View

_CELLS = 16


@dataclass(frozen=True)
class Cloth:
    """One sleeve.

    Attributes:
        colors: (2, 3) linear albedo of the cloth and of its stripes.
        stripe_mm: period of the stripes, 0 for none; ``along`` the arm or around it.
        along: see above.
        folds, weave: depth of folds, and strength of the fine pattern, 1 is usual.
        texture: (C, C, C) pattern in [-1, 1], repeating.
    """

    colors: np.ndarray
    stripe_mm: float
    along: bool
    folds: float
    weave: float
    texture: np.ndarray


def draw_cloth(rng: np.random.Generator) -> Cloth:
    """Draw a sleeve: mostly dark, white or grey, some coloured, some striped."""
    value = float(rng.choice([rng.uniform(0.01, 0.08), rng.uniform(0.08, 0.35), rng.uniform(0.45, 0.8)]))
    tint = np.exp(rng.normal(0, rng.choice([0.08, 0.25, 0.7]), 3))
    color = np.clip(value * tint / tint.mean(), 0.008, 0.85)
    other = np.clip(rng.uniform(0.02, 0.8) * np.exp(rng.normal(0, 0.3, 3)), 0.008, 0.85)
    stripe = float(rng.uniform(4, 30)) if rng.random() < 0.25 else 0.0
    texture = rng.uniform(-1, 1, (_CELLS,) * 3).astype(np.float32)
    return Cloth(
        np.stack([color, other]), stripe, bool(rng.random() < 0.4), float(rng.uniform(0.3, 1.6)),
        float(rng.uniform(0.2, 1.2)), texture,
    )  # fmt: skip


def cloth_coat(cloth: Cloth, surface: Surface, view: View, footprint_mm: float) -> Coat:
    """The sleeve that a view shows at M points; ``footprint_mm`` is what a pixel covers there."""
    places = view.local_mm
    soft, soft_slope = noise(cloth.texture, places, np.array([14.0, 22.0, 14.0]))
    deep, deep_slope = noise(cloth.texture, places + 5.0, np.array([9.0, 6.0, 9.0]))
    weave, _ = noise(cloth.texture, places, np.array([0.9, 1.6, 0.9]))
    slope = cloth.folds * (1.6 * soft_slope + 0.7 * deep_slope)
    albedo = np.tile(cloth.colors[0], (len(places), 1))
    if cloth.stripe_mm > 0:
        phase = places[:, 0 if cloth.along else 1] + 1.2 * deep
        stripe = np.clip(0.5 + 1.5 * np.sin(2 * np.pi * phase / cloth.stripe_mm), 0, 1)[:, None]
        albedo = albedo + stripe * (cloth.colors[1] - albedo)
    fine = float(np.exp(-0.5 * (footprint_mm / 1.2) ** 2))
    albedo = albedo * (1 + 0.2 * cloth.weave * fine * weave + 0.12 * cloth.folds * np.minimum(soft + deep, 0))[:, None]
    space = slope @ surface.cones.axes.T
    still = np.zeros(len(places))
    return Coat(np.clip(albedo, 0.004, 0.97), still + 0.06, bent(view.normals, space), np.full(3, 0.2), still)
