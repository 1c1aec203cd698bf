"""Sleeves: what cloth looks like where it is seen. Linear light."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from handsynth.simulator import coat, trace
from handsynth.simulator.compile import compiled
from handsynth.simulator.relief import bent, noise, resolved

_COLORS, _STRIPE, _ALONG, _FOLDS, _WEAVE = 0, 6, 7, 8, 9  # columns of a sleeve's row
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

    def row(self, footprint_mm: float) -> np.ndarray:
        """(10,) float64, what ``cloth_at`` reads; a pixel covers ``footprint_mm`` on the sleeve."""
        weave = self.weave * resolved(1.2, footprint_mm)
        return np.array([*self.colors.reshape(-1), self.stripe_mm, self.along, self.folds, weave])


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


@compiled
def cloth_at(cloth: np.ndarray, texture: np.ndarray, axes: np.ndarray, seen: np.ndarray, out: np.ndarray) -> None:
    """Write the look of one point of a sleeve into out (11,), see ``coat``.

    Args:
        cloth, texture: of ``Cloth``.
        axes: (9,) radial, distal and palmar direction of the hand, one after the other.
        seen: (16,) the point, as ``trace.describe`` writes it.
        out: the look.
    """
    x, y, z = seen[trace.PLACE], seen[trace.PLACE + 1], seen[trace.PLACE + 2]
    soft, ax, ay, az = noise(texture, x, y, z, 14.0, 22.0, 14.0)
    deep, bx, by, bz = noise(texture, x + 5.0, y + 5.0, z + 5.0, 9.0, 6.0, 9.0)
    weave = noise(texture, x, y, z, 0.9, 1.6, 0.9)[0]
    folds, stripe = cloth[_FOLDS], 0.0
    if cloth[_STRIPE] > 0.0:
        phase = (x if cloth[_ALONG] > 0.0 else y) + 1.2 * deep
        stripe = min(max(0.5 + 1.5 * math.sin(2.0 * math.pi * phase / cloth[_STRIPE]), 0.0), 1.0)
    light = 1.0 + 0.2 * cloth[_WEAVE] * weave + 0.12 * folds * min(soft + deep, 0.0)
    for channel in range(3):
        first, second = cloth[_COLORS + channel], cloth[_COLORS + 3 + channel]
        albedo = (first + stripe * (second - first)) * light
        out[coat.ALBEDO + channel] = min(max(albedo, coat.DARKEST), coat.LIGHTEST)
        out[coat.BLEED + channel] = 0.2
    ax, ay, az = folds * (1.6 * ax + 0.7 * bx), folds * (1.6 * ay + 0.7 * by), folds * (1.6 * az + 0.7 * bz)
    out[coat.NORMAL], out[coat.NORMAL + 1], out[coat.NORMAL + 2] = bent(
        seen[trace.NORMAL],
        seen[trace.NORMAL + 1],
        seen[trace.NORMAL + 2],
        ax * axes[0] + ay * axes[3] + az * axes[6],
        ax * axes[1] + ay * axes[4] + az * axes[7],
        ax * axes[2] + ay * axes[5] + az * axes[8],
    )
    out[coat.GLOSS], out[coat.THIN] = 0.06, 0.0
