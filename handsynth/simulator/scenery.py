"""Places made of things: rooms, shelves, landscapes, clutter, people and print. (H, W, 3) float32 sRGB, about [0, 1].

Impressions, not models: what matters is that edges, colours and sizes are as varied as behind real hands, and that
skin that is no hand occurs too.
"""

from __future__ import annotations

import cv2
import numpy as np

from handsynth.simulator.palette import Palette, cloud, ramp
from handsynth.simulator.tones import lab_to_linear, skin_lab, to_srgb

_FINE = 4  # bits below the pixel in drawn corners
_CIRCLE = np.stack([np.cos(np.arange(24) * (2 * np.pi / 24)), np.sin(np.arange(24) * (2 * np.pi / 24))], axis=-1)


def room(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    """A wall, a floor or table, and box-like furniture with lit and shaded faces."""
    image = _filled(palette.pick(rng, 0.3), height, width)
    horizon = int(height * rng.uniform(0.35, 0.95))
    image[horizon:] = palette.pick(rng)
    size = max(height, width)
    if rng.random() < 0.4:  # a window or a lamp
        x, y, w, h = rng.uniform([-0.1, -0.1, 0.15, 0.2], [0.8, 0.4, 0.5, 0.6]) * size
        paint = np.clip(rng.uniform(0.8, 1.0) + rng.normal(0, 0.03, 3), 0, 1)
        _polygon(image, np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]]), paint)
    for _ in range(int(rng.integers(3, 10))):
        color = palette.pick(rng)
        x, w = rng.uniform(-0.2, 1.0) * width, rng.uniform(0.08, 0.5) * size
        bottom, tall = min(horizon + rng.uniform(-0.3, 0.5) * height, height * 1.1), rng.uniform(0.08, 0.6) * size
        deep = np.array([rng.uniform(-0.25, 0.25), -rng.uniform(0.03, 0.2)]) * size * 0.6
        front = np.array([[x, bottom], [x + w, bottom], [x + w, bottom - tall], [x, bottom - tall]])
        top = np.array([front[3], front[2], front[2] + deep, front[3] + deep])
        side = front[[1, 2]] if deep[0] > 0 else front[[0, 3]]
        flank = np.concatenate([side, side[::-1] + deep])
        for face, light in ((flank, rng.uniform(0.5, 0.8)), (top, rng.uniform(1.0, 1.3)), (front, 1.0)):
            _polygon(image, face, color * light)
    return image * (1 + 0.07 * cloud(rng, height, width, 10, 4))


def shelves(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    """Rows of like things on boards, as in shops, kitchens and book cases."""
    image = _filled(palette.pick(rng, 0, 0.35) * 0.7, height, width)
    rows = int(rng.integers(2, 5))
    tall = height / rows
    top = -rng.random() * tall
    while top < height:
        bottom, x = top + 0.88 * tall, -rng.random() * 0.1 * width
        while x < width:
            color = palette.pick(rng)
            label = palette.pick(rng, 0.5)
            wide, high = rng.uniform(0.03, 0.11) * width, rng.uniform(0.35, 0.85) * tall
            round_ = rng.random() < 0.6
            for _ in range(int(rng.integers(1, 7))):
                _package(image, x, bottom - high, wide, high, color, label, round_)
                x += wide * rng.uniform(1.0, 1.15)
            x += rng.choice([0.0, 0.03, 0.1]) * width
        board = palette.pick(rng, 0.4)
        _box(image, 0, bottom, width, max(0.06 * tall, 1), board)
        top += tall
    for _ in range(int(rng.integers(0, 3))):  # posts and door frames
        x, wide = rng.uniform(-0.1, 1.0) * width, rng.uniform(0.02, 0.12) * width
        _box(image, x, 0, wide, height, palette.pick(rng))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 4), 1.12)
    image = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(image * (1 + 0.05 * cloud(rng, height, width, 12, 4)))


def outdoor(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    """Sky, a line of trees or houses, and ground."""
    v = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    zenith = np.array([rng.uniform(0.3, 0.75), rng.uniform(0.5, 0.8), rng.uniform(0.75, 0.95)])
    haze = np.array([0.85, 0.88, 0.9]) * rng.uniform(0.85, 1.08)
    sky = zenith + (haze - zenith) * v**0.7
    sky = sky + np.clip(cloud(rng, height, width, 3, 5), 0, 1) * (0.95 - sky) * rng.uniform(0, 0.9)
    horizon = rng.uniform(0.2, 0.75)
    green = np.array([rng.uniform(0.12, 0.35), rng.uniform(0.2, 0.42), rng.uniform(0.06, 0.2)])
    leaves = green * (1 + 0.55 * cloud(rng, height, width, rng.uniform(10, 30), 5))
    edge = horizon - rng.uniform(0.05, 0.3) + 0.12 * cloud(rng, height, width, rng.uniform(3, 9), 4)
    image = np.where(v > edge, leaves, sky).astype(np.float32)
    for _ in range(int(rng.integers(0, 5))):  # houses with rows of windows
        x, wide, high = rng.uniform(-0.1, 0.9) * width, rng.uniform(0.1, 0.4) * width, rng.uniform(0.1, 0.5) * height
        top, color, pane = horizon * height - high, palette.pick(rng, 0.3), palette.pick(rng, 0, 0.4)
        _box(image, x, top, wide, high, color)
        step = max(wide / rng.integers(3, 7), 3.0)
        for row in np.arange(top + 0.4 * step, horizon * height - 0.6 * step, step):
            for column in np.arange(x + 0.3 * step, x + wide - 0.6 * step, step):
                _box(image, column, row, 0.4 * step, 0.55 * step, pane)
    ground = palette.pick(rng) if rng.random() < 0.5 else green * rng.uniform(0.9, 1.5)
    ground = ground * (1 + 0.2 * cloud(rng, height, width, 14, 5))
    return np.asarray(np.where(v > horizon, ground, image) * rng.uniform(0.75, 1.05))


def clutter(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    """Things over things, few large and many small: the statistics of photographs."""
    image = _filled(palette.pick(rng), height, width)
    strew(image, rng, palette, int(rng.integers(60, 200)))
    return image * (1 + 0.1 * cloud(rng, height, width, 16, 4))


def strew(image: np.ndarray, rng: np.random.Generator, palette: Palette, count: int) -> None:
    """Paint shapes over an image in place, large ones first, each shaded a little."""
    side = max(image.shape[:2])
    for size in np.sort(side * rng.uniform(0.4, 0.7) * (rng.random(count) * (9**2 - 1) + 1) ** -0.5)[::-1]:
        middle = rng.random(2) * [image.shape[1], image.shape[0]]
        color, shape = palette.pick(rng), rng.random()
        angle, flat = rng.uniform(0, 180), rng.uniform(0.2, 1.0)
        if shape < 0.35:
            _ellipse(image, middle, 0.5 * size, 0.5 * size * flat, angle, color)
            if rng.random() < 0.5:  # the lit side
                lit = middle - 0.1 * size * np.array([1, flat])
                _ellipse(image, lit, 0.3 * size, 0.25 * size * flat, angle, np.clip(color * 1.2, 0, 1))
        elif shape < 0.8:
            turn = np.deg2rad(angle if rng.random() < 0.4 else rng.normal(0, 4))
            along = 0.5 * size * np.array([np.cos(turn), np.sin(turn)])
            across = flat * np.array([-along[1], along[0]])
            corners = middle + np.array([-along - across, along - across, along + across, across - along])
            _polygon(image, corners, color)
            _polygon(image, corners[[2, 3, 0]], color * rng.uniform(0.75, 1.0))
        else:
            ends = np.array([middle, middle + size * rng.normal(0, 1, 2)])
            begin, end = (tuple(int(value) for value in np.round(point)) for point in ends)
            cv2.line(image, begin, end, color.tolist(), max(1, round(0.06 * size * flat)), cv2.LINE_8)


def person(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    """Somebody's clothes, neck and face, before something else: skin that is no hand."""
    image = room(rng, palette, height, width) if rng.random() < 0.6 else clutter(rng, palette, height, width)
    size = max(height, width) * rng.uniform(0.6, 1.5)
    face = rng.uniform([0.1, -0.15], [0.9, 0.55]) * [width, height]
    skin = np.clip(to_srgb(np.clip(0.9 * lab_to_linear(skin_lab(rng.uniform(-50, 62))), 0, 1)), 0, 1)
    hair = np.array([0.16, 0.11, 0.08]) * rng.uniform(0.4, 3.5)
    shirt, lips = palette.pick(rng), skin * [0.8, 0.55, 0.55]
    layer = image.copy()
    # From back to front: middles and half sizes in shares of the person's size.
    shapes = [
        ((0, -0.03), (0.17, 0.21), hair), ((0, 0.2), (0.075, 0.14), skin * 0.85), ((0, 0.62), (0.24, 0.36), shirt),
        ((-0.2, 0.48), (0.16, 0.18), shirt), ((0.2, 0.48), (0.16, 0.18), shirt), ((0, 1.1), (0.34, 0.7), shirt),
        ((0, 0.03), (0.13, 0.18), skin), ((0, 0.05), (0.018, 0.045), skin * 0.93), ((0, 0.13), (0.045, 0.012), lips),
    ]  # fmt: skip
    for side in (-1, 1):
        shapes += [((side * 0.055, 0), (0.024, 0.011), hair * 0.7), ((side * 0.055, -0.035), (0.032, 0.007), hair)]
    for middle, half, color in shapes:
        _ellipse(layer, face + size * np.array(middle), size * half[0], size * half[1], 0, color)
    changed = (np.abs(layer - image).max(-1, keepdims=True) > 0).astype(np.float32)
    # Light from one side and folds give the flat shapes some body.
    folds = 1 + 0.18 * cloud(rng, height, width, 5 * max(height, width) / size, 4)
    folds = folds + 0.4 * (ramp(rng, height, width) - 0.5)
    layer = cv2.GaussianBlur(layer, (0, 0), max(0.004 * size, 0.3))
    return np.asarray(image + changed * (layer * folds - image))


def printed(rng: np.random.Generator, palette: Palette, height: int, width: int) -> np.ndarray:
    """Lines of small marks on paper or a screen, or a grid of keys or tiles."""
    paper, ink = (palette.pick(rng, 0.6), palette.pick(rng, 0, 0.4))
    if rng.random() < 0.3:
        paper, ink = ink, paper
    image = _filled(paper, height, width)
    line = max(height, width) * rng.uniform(0.025, 0.12)
    keys = rng.random() < 0.4
    y = -line
    while y < height + line:
        x = -rng.random() * 3 * line
        while x < width:
            wide = line * (0.9 if keys else rng.uniform(0.2, 2.4))
            if keys or rng.random() < 0.93:
                _box(image, x, y, wide * (0.9 if keys else 1.0), line * (0.8 if keys else 0.45), ink)
            x += wide + line * (0.1 if keys else 0.3)
        y += line
    if rng.random() < 0.6:  # pictures beside the text
        x, y, w, h = rng.random(4) * [width, height, 0.6 * width, 0.5 * height]
        _box(image, x, y, w, h, palette.pick(rng))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 12), rng.uniform(1.2, 1.5))
    image = cv2.warpAffine(image, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(image * (1 + 0.04 * cloud(rng, height, width, 6, 4)))


def _package(
    image: np.ndarray, x: float, y: float, wide: float, high: float, color: np.ndarray, label: np.ndarray, round_: bool
) -> None:
    """A can, bottle or box with a label; round ones are darker at their sides."""
    strips = max(int(min(wide, 9)), 1) if round_ else 1
    across = (np.arange(strips) + 0.5) / strips
    light = 0.55 + 0.65 * np.sqrt(np.maximum(1 - (2.2 * across - 1.0) ** 2 / 1.45, 0)) if round_ else np.ones(1)
    for strip, (bare, covered) in enumerate(zip(light[:, None] * color, light[:, None] * label, strict=True)):
        left = x + strip * wide / strips
        _box(image, left, y, wide / strips + 1, high, bare)
        _box(image, left, y + 0.3 * high, wide / strips + 1, 0.35 * high, covered)
    if wide > 5:
        _box(image, x + 0.25 * wide, y + 0.38 * high, 0.5 * wide, max(0.06 * high, 1), color)
        _box(image, x + 0.2 * wide, y + 0.52 * high, 0.35 * wide, max(0.04 * high, 1), color * 0.6)
        _box(image, x + 0.1 * wide, y, 0.8 * wide, max(0.05 * high, 1), (color + label) / 2)


def _filled(color: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(color, (height, width, 3)), dtype=np.float32)


def _box(image: np.ndarray, x: float, y: float, wide: float, high: float, color: np.ndarray) -> None:
    """Paint a rectangle in place, cut at whole pixels."""
    left, top = max(round(x), 0), max(round(y), 0)
    right, bottom = max(round(x + wide), 0), max(round(y + high), 0)
    if left < right and top < bottom:
        cv2.rectangle(image, (left, top), (right - 1, bottom - 1), _paint(color), cv2.FILLED)


def _polygon(image: np.ndarray, corners: np.ndarray, color: np.ndarray) -> None:
    points = np.round(np.asarray(corners) * 2**_FINE).astype(np.int32)
    cv2.fillConvexPoly(image, points, _paint(color), cv2.LINE_8, _FINE)


def _ellipse(image: np.ndarray, middle: np.ndarray, a: float, b: float, angle_deg: float, color: np.ndarray) -> None:
    c, s = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    outline = _CIRCLE * [a, b] @ np.array([[c, s], [-s, c]])
    _polygon(image, outline + middle, color)


def _paint(color: np.ndarray) -> list[float]:
    """A colour as OpenCV takes it, cut to [0, 1]."""
    return [0.0 if value < 0.0 else 1.0 if value > 1.0 else value for value in color.tolist()]
