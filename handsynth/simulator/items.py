"""Simple things in a hand or before it: balls, sticks, boxes and cards, met by rays exactly.

A held thing grows or moves until it touches the skin and is never inside it. Things hide what is behind them from
colour, depth and mask alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from handsynth.hand.camera import Camera
from handsynth.simulator import coat, field
from handsynth.simulator.coat import Coat
from handsynth.simulator.compile import compiled
from handsynth.simulator.relief import noise
from handsynth.simulator.surface import Surface

Shape = Literal["ball", "stick", "box"]

_CELLS = 12
_PUSHES = 24
_TOUCH_MM = 0.3
"""How near a held thing comes to the skin."""
_THUMB_TIP, _TIPS, _MIDDLE_BASE = 4, (8, 12, 16), 9


@dataclass(frozen=True)
class Item:
    """One thing.

    Attributes:
        shape: a box has 2 x 3 sides; a stick is a cylinder along its second axis; a ball uses the first half size.
        half_mm: (3,) half sizes along the axes; a stick's radius is the first.
        center_mm: (3,).
        axes: (3, 3) columns: its axes, orthonormal.
        colors: (2, 3) linear albedo of the thing and of its pattern.
        pattern_mm: grain or period of the pattern, 0 for none.
        banded: whether the pattern goes in bands along the second axis.
        gloss: strength of the highlight.
        texture: (C, C, C) in [-1, 1], repeating.
    """

    shape: Shape
    half_mm: np.ndarray
    center_mm: np.ndarray
    axes: np.ndarray
    colors: np.ndarray
    pattern_mm: float
    banded: bool
    gloss: float
    texture: np.ndarray

    def moved(self, rotation: np.ndarray, translation_mm: np.ndarray) -> Item:
        """Rotate (also with a mirror) and shift."""
        return replace(self, center_mm=rotation @ self.center_mm + translation_mm, axes=rotation @ self.axes)

    def distance(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) points to exact signed distances (...,) mm, negative inside."""
        local = (points_mm - self.center_mm) @ self.axes
        if self.shape == "ball":
            return np.asarray(np.linalg.norm(local, axis=-1) - self.half_mm[0])
        if self.shape == "stick":
            around = np.linalg.norm(local[..., [0, 2]], axis=-1)
            beyond = np.stack([around - self.half_mm[0], np.abs(local[..., 1]) - self.half_mm[1]], axis=-1)
        else:
            beyond = np.abs(local) - self.half_mm
        return np.asarray(np.linalg.norm(np.maximum(beyond, 0), axis=-1) + np.minimum(beyond.max(-1), 0))


@dataclass(frozen=True)
class ItemView:
    """What M pixels see of a thing; the fields are those of ``trace.View``, ``local_mm`` along the thing's axes."""

    rows: np.ndarray
    columns: np.ndarray
    points: np.ndarray
    z_mm: np.ndarray
    normals: np.ndarray
    local_mm: np.ndarray


def see_item(item: Item, camera: Camera) -> ItemView:
    """The nearest points of a thing, exact, at the pixels of a camera in whose frame it is; distorted lenses too."""
    height, width = camera.height, camera.width
    v, u = np.mgrid[0:height, 0:width].reshape(2, -1)
    rays = camera.lift(np.stack([u, v], -1), np.ones(len(u)))
    # Only what is near the ball around the thing.
    reach = float(np.linalg.norm(item.half_mm))
    square = (rays**2).sum(-1)
    off = (item.center_mm @ item.center_mm) - (rays @ item.center_mm) ** 2 / square
    near = np.nonzero(off <= reach**2)[0]
    rays = rays[near]
    origin, direction = -item.center_mm @ item.axes, rays @ item.axes
    with np.errstate(divide="ignore", invalid="ignore"):
        z, normal = _meet(item, origin, direction)
    met = np.isfinite(z) & (z > 0)
    points = rays[met] * z[met, None]
    normals = normal[met] @ item.axes.T
    local = (points - item.center_mm) @ item.axes
    return ItemView(v[near][met], u[near][met], points, z[met], normals, local)


def item_coat(item: Item, view: ItemView) -> Coat:
    """The look of a thing at M points."""
    out = np.empty((len(view.z_mm), coat.COLUMNS))
    _item_coat(item.colors, item.pattern_mm, item.banded, item.gloss, item.texture, view.local_mm, view.normals, out)
    return Coat(out)


@compiled
def _item_coat(
    colors: np.ndarray, pattern_mm: float, banded: bool, gloss: float, texture: np.ndarray, places: np.ndarray,
    normals: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    for i in range(len(places)):
        share, x, y, z = 0.0, places[i, 0], places[i, 1], places[i, 2]
        if pattern_mm > 0.0 and banded:
            share = min(max(0.5 + 2.0 * math.sin(2.0 * math.pi * y / pattern_mm), 0.0), 1.0)
        elif pattern_mm > 0.0:
            grain = noise(texture, x, y, z, pattern_mm, pattern_mm, pattern_mm)[0]
            share = min(max(0.5 + 2.5 * grain, 0.0), 1.0)
        for channel in range(3):
            albedo = colors[0, channel] + share * (colors[1, channel] - colors[0, channel])
            out[i, coat.ALBEDO + channel] = min(max(albedo, coat.DARKEST), coat.LIGHTEST)
            out[i, coat.NORMAL + channel] = normals[i, channel]
            out[i, coat.BLEED + channel] = 0.0
        out[i, coat.GLOSS], out[i, coat.THIN] = gloss, 0.0


def solids(items: Sequence[Item]) -> np.ndarray:
    """(K, 16) rows of round cones, as ``field`` lays them out, that stand for the things where they take light away."""
    rows = np.zeros((len(items), field.COLUMNS))
    for row, item in zip(rows, items, strict=True):
        longest = int(np.argmax(item.half_mm)) if item.shape == "box" else 1
        others = np.delete(item.half_mm, longest)
        radius = item.half_mm[0] if item.shape != "box" else max(min(others), 0.5 * max(others))
        half = 0.0 if item.shape == "ball" else max(item.half_mm[longest] - radius, 0.0)
        axis = item.axes[:, longest]
        row[:3], row[3:6] = item.center_mm - half * axis, axis
        row[field.LENGTH], row[field.RADIUS], row[field.THICKEST] = max(2 * half, 1e-6), radius, radius
    return rows


def held_item(rng: np.random.Generator, surface: Surface, joints_mm: np.ndarray) -> Item | None:
    """A thing that touches the hand from the palmar side, or None where this pose leaves no room for the drawn one.

    Args:
        rng: draws.
        surface: the hand.
        joints_mm: (21, 3) its joints, in the same frame.
    """
    axes = surface.cones.axes
    tips = joints_mm[list(_TIPS)].mean(0)
    start = 0.4 * (joints_mm[_THUMB_TIP] + tips) / 2 + 0.6 * (joints_mm[_MIDDLE_BASE] + 26 * axes[:, 2])
    kind = rng.random()
    if kind < 0.4:
        limit = rng.uniform(12, 38)
        center, clearance = _settled(surface, start, np.zeros((1, 3)), limit + _TOUCH_MM)
        radius = min(clearance - _TOUCH_MM, limit)
        return _item(rng, "ball", np.full(3, radius), center, np.eye(3)) if radius > 7 else None
    turned = _near(rng, axes[:, [1, 0, 2]], 0.3)  # what a fist grips lies across the hand
    if kind < 0.85:
        limit, half = rng.uniform(6, 30), rng.uniform(35, 110)
        along = np.linspace(-half, half, 1 + 2 * int(half / 4))[:, None] * turned[:, 1]
        center, clearance = _settled(surface, start, along, limit + _TOUCH_MM)
        # Spheres of this radius about the samples stay clear of the skin, and so does what they cover.
        radius = np.sqrt(max(min(clearance - _TOUCH_MM, limit) ** 2 - 2.2**2, 0.0))
        if radius < 4:
            return None
        if kind < 0.65:
            return _item(rng, "stick", np.array([radius, half - radius, radius]), center, turned)
        flat = rng.uniform(0.4, np.pi / 4)
        sides = np.array([radius * np.cos(flat), half - radius, radius * np.sin(flat)])
        return _item(rng, "box", sides, center, turned)
    card = _near(rng, axes, 0.5)
    sides = np.array([rng.uniform(27, 40), rng.uniform(43, 80), rng.uniform(0.4, 4)])
    u, v = np.meshgrid(np.linspace(-1, 1, 1 + int(sides[0])), np.linspace(-1, 1, 1 + int(sides[1])))
    grid = (u.reshape(-1, 1) * sides[0]) * card[:, 0] + (v.reshape(-1, 1) * sides[1]) * card[:, 1]
    needed = float(np.hypot(sides[2], 1.5)) + _TOUCH_MM
    center, clearance = _settled(surface, start, grid, needed)
    return _item(rng, "box", sides, center, card) if clearance >= needed else None


def item_before(rng: np.random.Generator, joints_mm: np.ndarray) -> Item:
    """A thing between the camera, at the origin, and a part of the hand; joints (21, 3) mm in the camera's frame."""
    nearest = float(joints_mm[:, 2].min())
    aim = joints_mm[int(rng.integers(len(joints_mm)))]
    share = rng.uniform(0.5, 0.85) * nearest / float(aim[2])
    extent = float(np.ptp(joints_mm, axis=0).max())
    radius = rng.uniform(0.06, 0.2) * extent * share
    axes = _near(rng, np.eye(3), 3.0)
    center = share * aim + rng.normal(0, radius, 3) * [1, 1, 0]
    kind = rng.random()
    if kind < 0.3:
        return _item(rng, "ball", np.full(3, radius), center, axes)
    long = radius * rng.uniform(1.5, 6)
    if kind < 0.6:
        return _item(rng, "stick", np.array([0.5 * radius, long, 0.5 * radius]), center, axes)
    return _item(rng, "box", np.array([radius, long, radius * rng.uniform(0.05, 0.8)]), center, axes)


def _item(rng: np.random.Generator, shape: Shape, half_mm: np.ndarray, center: np.ndarray, axes: np.ndarray) -> Item:
    colors = np.exp(rng.uniform(np.log(0.02), np.log(0.8), (2, 1))) * np.exp(rng.normal(0, 0.45, (2, 3)))
    pattern = float(rng.uniform(4, 30)) if rng.random() < 0.6 else 0.0
    texture = rng.uniform(-1, 1, (_CELLS,) * 3).astype(np.float32)
    gloss = float(rng.uniform(0, 1.5))
    return Item(
        shape, half_mm, center, axes, np.clip(colors, 0.01, 0.85), pattern, bool(rng.random() < 0.5), gloss, texture
    )  # fmt: skip


def _settled(surface: Surface, start: np.ndarray, offsets: np.ndarray, enough_mm: float) -> tuple[np.ndarray, float]:
    """Move points (K, 3) about a centre away from the skin until all are ``enough_mm`` clear of it.

    Returns:
        The best centre met, and how clear of the skin the points are there, mm.
    """
    center, best, clearance = start, start, -np.inf
    for _ in range(_PUSHES):
        gaps = surface.distance(center + offsets)
        worst = int(np.argmin(gaps))
        if gaps[worst] > clearance:
            best, clearance = center, float(gaps[worst])
        if clearance >= enough_mm:
            break
        way = surface.normals(center + offsets[worst : worst + 1])[0]
        center = center + way * min(max(enough_mm - gaps[worst], 0.5), 6.0)
    return best, clearance


def _near(rng: np.random.Generator, axes: np.ndarray, spread: float) -> np.ndarray:
    """(3, 3) orthonormal axes near the given ones."""
    turned, _ = np.linalg.qr(axes + spread * rng.normal(0, 0.5, (3, 3)))
    return np.asarray(turned * np.sign((turned * axes).sum(0) + 1e-12))


def _meet(item: Item, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Along rays (M, 3) from an origin (3,) in the thing's frame: factors (M,), NaN for a miss, and normals (M, 3)."""
    if item.shape == "ball":
        z = _quadratic((direction**2).sum(-1), direction @ origin, origin @ origin - item.half_mm[0] ** 2)
        return z, (origin + z[:, None] * direction) / item.half_mm[0]
    if item.shape == "box":
        return _slabs(origin, direction, item.half_mm)
    flat = [0, 2]
    side = _quadratic(
        (direction[:, flat] ** 2).sum(-1),
        direction[:, flat] @ origin[flat],
        origin[flat] @ origin[flat] - item.half_mm[0] ** 2,
    )
    point = origin + side[:, None] * direction
    out = np.where(np.abs(point[:, 1]) <= item.half_mm[1], side, np.nan)
    normal = point / item.half_mm[0] * [1, 0, 1]
    facing = -np.sign(direction[:, 1])
    cap = (facing * item.half_mm[1] - origin[1]) / direction[:, 1]
    rim = origin[flat] + cap[:, None] * direction[:, flat]
    capped = (rim**2).sum(-1) <= item.half_mm[0] ** 2
    out = np.where(capped, cap, out)
    return out, np.where(capped[:, None], facing[:, None] * np.array([0.0, 1.0, 0.0]), normal)


def _quadratic(a: np.ndarray, b: np.ndarray, c: float) -> np.ndarray:
    """The smaller root of a z^2 + 2 b z + c, NaN where there is none."""
    return np.asarray((-b - np.sqrt(b * b - a * c)) / a)


def _slabs(origin: np.ndarray, direction: np.ndarray, half_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = (-np.sign(direction) * half_mm - origin) / direction
    last = (np.sign(direction) * half_mm - origin) / direction
    # A ray along a side's plane is between its planes or never.
    along = direction == 0
    inside = np.abs(origin) <= half_mm
    first = np.where(along, np.where(inside, -np.inf, np.inf), first)
    last = np.where(along, np.where(inside, np.inf, -np.inf), last)
    axis = first.argmax(-1)
    enter = first.max(-1)
    normal = -np.sign(direction) * (np.arange(3) == axis[:, None])
    return np.where(enter <= last.min(-1), enter, np.nan), normal
