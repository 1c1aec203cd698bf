"""Procedural places to hold a hand in: walls, patterns, rooms, shelves, landscapes, clutter, people, print. sRGB.

All colours of a place come from one drawn palette. ``scenery`` paints the places that are made of things.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from handsynth.simulator import scenery
from handsynth.simulator.looks import Kind
from handsynth.simulator.palette import Palette, cloud, ramp

_STREWN, _GRAINY = 0.3, 0.5  # shares of places with things about, and with a fine texture over all


def draw(rng: np.random.Generator, kind: Kind, palette: Palette, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 sRGB in [0, 1]; ``plain`` is one grey that nothing changes."""
    if kind == "plain":
        return np.full((height, width, 3), 0.5, dtype=np.float32)
    image = np.ascontiguousarray(_PAINTERS[kind](rng, palette, height, width), dtype=np.float32)
    if rng.random() < _STREWN:
        scenery.strew(image, rng, palette, int(rng.integers(3, 30)))
    # Places are seldom lit evenly.
    light = 1 + rng.uniform(0, 0.5) * (ramp(rng, height, width) - 0.5) + 0.12 * cloud(rng, height, width, 2.0, 1)
    if rng.random() < _GRAINY:
        finest = max(height, width) / rng.uniform(5, 16)
        light = light * (1 + rng.uniform(0.02, 0.2) * cloud(rng, height, width, finest, 2))
    return np.asarray(np.clip(image * light, 0, 1), dtype=np.float32)


def defocused(image: np.ndarray, radius_px: float) -> np.ndarray:
    """(H, W, 3) float32 seen through an open lens: every point becomes a disc."""
    if radius_px < 0.3:
        return image
    reach = int(np.ceil(radius_px))
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius_px + 0.5 - np.hypot(u, v), 0, 1)
    return np.asarray(cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)


def _gradient(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    share = ramp(rng, height, width) ** rng.uniform(0.6, 1.8)
    first, second = palette.pick(rng), palette.pick(rng)
    return first + (second - first) * share * 0.7 + 0.02 * cloud(rng, height, width, 6, 3)


def _blotches(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    image = np.tile(palette.pick(rng), (height, width, 1))
    for _ in range(int(rng.integers(2, 5))):
        share = 1 / (1 + np.exp(-rng.uniform(3, 12) * cloud(rng, height, width, rng.uniform(2, 6), 3)))
        image = image + (palette.pick(rng) - image) * share
    return image


def _stripes(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    period = max(height, width) / rng.uniform(3, 16)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    phase = (u * np.cos(angle) + v * np.sin(angle)) / period + rng.random()
    wave = np.clip(0.5 + 3 * (np.abs(phase % 1 - 0.5) - 0.5 * rng.uniform(0.3, 0.7)), 0, 1)[..., None]
    first, second = palette.pick(rng), palette.pick(rng)
    image = first + (second - first) * wave.astype(np.float32) * rng.uniform(0.35, 1.0)
    return image * (1 + 0.06 * cloud(rng, height, width, 8, 4))


def _texture(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    base = palette.pick(rng)
    stretch = rng.choice([1.0, 1.0, 6.0])  # wood and cloth run one way
    noise = cloud(rng, int(np.ceil(height / stretch)) + 1, width, rng.uniform(8, 40), 4)[..., 0]
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    if rng.random() < 0.5:
        noise = np.abs(noise) * 2 - 1
    return base * (1 + rng.uniform(0.1, 0.4) * noise) + 0.03 * cloud(rng, height, width, 3, 2)


Painter = Callable[[np.random.Generator, Palette, int, int], np.ndarray]

_PAINTERS: dict[str, Painter] = {
    "gradient": _gradient,
    "blotches": _blotches,
    "stripes": _stripes,
    "texture": _texture,
    "room": scenery.room,
    "shelves": scenery.shelves,
    "outdoor": scenery.outdoor,
    "clutter": scenery.clutter,
    "person": scenery.person,
    "print": scenery.printed,
}
