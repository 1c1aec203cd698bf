"""What drawn places share: a palette of colours that go together, soft noise and ramps."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_COUNT = 8
_WARM, _GREEN = np.array([1.0, 0.1, -1.1]), np.array([-0.5, 1.0, -0.5])


@dataclass(frozen=True)
class Palette:
    """Attributes:
    colors: (K, 3) sRGB in [0, 1], dark to light.
    """

    colors: np.ndarray

    def pick(self, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """(3,) float32 one of the colours, a little changed; ``low`` and ``high`` bound its rank from dark to light."""
        place = int(rng.uniform(low, high) * len(self.colors)) % len(self.colors)
        return np.asarray(np.clip(self.colors[place] + rng.normal(0, 0.02, 3), 0.01, 0.99), dtype=np.float32)


def draw_palette(rng: np.random.Generator) -> Palette:
    """Colours as places have them: mostly muted and of one mood, seldom vivid; some places dark, some light."""
    middle, spread = rng.uniform(0.2, 0.72), rng.uniform(0.12, 0.32)
    grey = np.sort(np.clip(rng.normal(middle, spread, _COUNT), 0.03, 0.97))
    # Things, like daylight and lamps, lie mostly between orange and blue; few are green or magenta, few are vivid.
    mood = rng.normal(0.01, 0.035) * _WARM + rng.normal(0, 0.008) * _GREEN
    muted = rng.normal(0, 0.035, (_COUNT, 1)) * _WARM + rng.normal(0, 0.014, (_COUNT, 1)) * _GREEN
    vivid = rng.normal(0, 0.13, (_COUNT, 3))
    share = rng.choice([0.05, 0.12, 0.4], p=[0.45, 0.4, 0.15])
    chroma = np.where(rng.random((_COUNT, 1)) < share, vivid - vivid.mean(1, keepdims=True), muted) + mood
    return Palette(np.clip(grey[:, None] + chroma * (0.4 + 1.2 * np.sqrt(grey * (1 - grey)))[:, None], 0.01, 0.99))


def ramp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 1) from 0 to 1 along a drawn direction."""
    angle = rng.uniform(0, 2 * np.pi)
    v, u = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    out = u / width * np.cos(angle) + v / height * np.sin(angle)
    low, high = out.min(), out.max()
    return np.asarray((out - low) / max(high - low, 1e-6), dtype=np.float32)[..., None]


def cloud(rng: np.random.Generator, height: int, width: int, cells: float, octaves: int) -> np.ndarray:
    """(H, W, 1) smooth noise in [-1, 1] whose largest grains are 1 / ``cells`` of the longer side."""
    out = np.zeros((height, width), dtype=np.float32)
    amplitude, total = 1.0, 0.0
    for _ in range(octaves):
        per_pixel = cells / max(height, width)
        shape = (max(2, int(height * per_pixel) + 2), max(2, int(width * per_pixel) + 2))
        grid = rng.uniform(-1, 1, shape).astype(np.float32)
        out += amplitude * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        total += amplitude
        amplitude *= 0.55
        cells = min(cells * 2, max(height, width) / 2)
    return np.asarray(np.clip(out / total * 1.6, -1, 1))[..., None]
