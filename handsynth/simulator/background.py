"""Procedural places to hold a hand in: gradients, blotches, stripes, grainy walls and rooms of boxes. sRGB."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

Kind = Literal["gradient", "blotches", "stripes", "texture", "room"]
KINDS: tuple[Kind, ...] = ("gradient", "blotches", "stripes", "texture", "room")


def draw(rng: np.random.Generator, kind: Kind, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32 sRGB in [0, 1]."""
    painter = {"gradient": _gradient, "blotches": _blotches, "stripes": _stripes, "texture": _texture, "room": _room}
    image = painter[kind](rng, height, width)
    if rng.random() < 0.75:
        # The camera focuses on the hand.
        image = cv2.GaussianBlur(image, (0, 0), float(max(height, width) * rng.uniform(0.002, 0.012)))
    image = image * (1 + 0.25 * (_ramp(rng, height, width) - 0.5))
    return np.asarray(np.clip(image, 0, 1), dtype=np.float32)


def _color(rng: np.random.Generator) -> np.ndarray:
    """(3,) colours as rooms have them: mostly muted, seldom vivid."""
    grey = rng.uniform(0.06, 0.92)
    chroma = rng.normal(0, 0.045 if rng.random() < 0.75 else 0.14, 3)
    return np.asarray(np.clip(grey + chroma, 0.02, 0.98), dtype=np.float32)


def _ramp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 1) from 0 to 1 along a drawn direction."""
    angle = rng.uniform(0, 2 * np.pi)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    ramp = u / width * np.cos(angle) + v / height * np.sin(angle)
    low, high = ramp.min(), ramp.max()
    return np.asarray((ramp - low) / max(high - low, 1e-6), dtype=np.float32)[..., None]


def _cloud(rng: np.random.Generator, height: int, width: int, cells: float, octaves: int) -> np.ndarray:
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


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    ramp = _ramp(rng, height, width) ** rng.uniform(0.6, 1.8)
    first, second = _color(rng), _color(rng)
    return first + (second - first) * ramp * 0.7 + 0.02 * _cloud(rng, height, width, 6, 3)


def _blotches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    image = np.tile(_color(rng), (height, width, 1))
    for _ in range(int(rng.integers(2, 5))):
        share = 1 / (1 + np.exp(-9 * _cloud(rng, height, width, rng.uniform(2, 6), 3)))
        image = image + (_color(rng) - image) * share
    return image


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    period = max(height, width) / rng.uniform(3, 16)
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    phase = (u * np.cos(angle) + v * np.sin(angle)) / period + rng.random()
    wave = np.clip(0.5 + 3 * (np.abs(phase % 1 - 0.5) - 0.5 * rng.uniform(0.3, 0.7)), 0, 1)[..., None]
    first, second = _color(rng), _color(rng)
    image = first + (second - first) * wave.astype(np.float32) * rng.uniform(0.35, 1.0)
    return image * (1 + 0.06 * _cloud(rng, height, width, 8, 4))


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    base = _color(rng)
    stretch = rng.choice([1.0, 1.0, 6.0])  # wood and cloth run one way
    noise = _cloud(rng, int(np.ceil(height / stretch)) + 1, width, rng.uniform(8, 40), 4)[..., 0]
    noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    if rng.random() < 0.5:
        noise = np.abs(noise) * 2 - 1
    return base * (1 + rng.uniform(0.1, 0.4) * noise) + 0.03 * _cloud(rng, height, width, 3, 2)


def _room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A wall, a floor or table, and box-like furniture with lit and shaded faces."""
    image = np.ascontiguousarray(np.broadcast_to(_color(rng), (height, width, 3)).astype(np.float32))
    horizon = int(height * rng.uniform(0.35, 0.95))
    image[horizon:] = _color(rng)
    size = max(height, width)
    for _ in range(int(rng.integers(3, 10))):
        color = _color(rng)
        x, w = rng.uniform(-0.2, 1.0) * width, rng.uniform(0.08, 0.5) * size
        bottom, tall = min(horizon + rng.uniform(-0.3, 0.5) * height, height * 1.1), rng.uniform(0.08, 0.6) * size
        deep = np.array([rng.uniform(-0.25, 0.25), -rng.uniform(0.03, 0.2)]) * size * 0.6
        front = np.array([[x, bottom], [x + w, bottom], [x + w, bottom - tall], [x, bottom - tall]])
        top = np.array([front[3], front[2], front[2] + deep, front[3] + deep])
        side = front[[1, 2]] if deep[0] > 0 else front[[0, 3]]
        flank = np.concatenate([side, side[::-1] + deep])
        for face, light in ((flank, rng.uniform(0.5, 0.8)), (top, rng.uniform(1.0, 1.3)), (front, 1.0)):
            paint = np.clip(color * light, 0, 1).tolist()
            cv2.fillConvexPoly(image, np.round(face * 16).astype(np.int32), paint, cv2.LINE_8, 4)
    return image * (1 + 0.07 * _cloud(rng, height, width, 10, 4))
