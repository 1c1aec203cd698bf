"""What one camera sees of a scene: its hands and things in colour, which is nearest at each pixel, and how far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.simulator.items import Item, item_coat, see_item, solids
from handsynth.simulator.light import blockers
from handsynth.simulator.paint import Paint, Sitter, painted
from handsynth.simulator.render import Layer, shade
from handsynth.simulator.scene import Scene
from handsynth.simulator.surface import Surface

NOBODY, THING = -1, -2
"""Owners of pixels that show no hand."""

Device = Literal["cpu", "cuda"]
"""What traces and paints hands."""


@dataclass(frozen=True)
class Glance:
    """A scene, a camera that stands where ``from_scene`` leads to, and what colours hands and things, if wanted."""

    scene: Scene
    from_scene: RigidTransform
    camera: Camera
    paint: Paint | None = None


@dataclass(frozen=True)
class Sight:
    """Everything in the frame of the camera.

    Attributes:
        layers: the hands, left before right, then the things.
        depth_mm: (H, W) float32 camera z of what is nearest, NaN where nothing is.
        owner: (H, W) number of the hand that is nearest, ``NOBODY`` or ``THING``.
        parts: (H, W) uint8 mask code of the hand that is nearest, else 0.
    """

    layers: tuple[Layer, ...]
    depth_mm: np.ndarray
    owner: np.ndarray
    parts: np.ndarray


def see(scene: Scene, from_scene: RigidTransform, camera: Camera) -> Sight:
    """Trace the hands and things of a scene with a camera that stands where ``from_scene`` leads to."""
    return next(see_all([Glance(scene, from_scene, camera)]))


def see_all(glances: Sequence[Glance], device: Device = "cpu") -> Iterator[Sight]:
    """The sight of each glance, in their order; on a GPU the hands of all are traced and painted together.

    Raises:
        UsageError: there is no GPU.
    """
    groups = [_sitters(glance) for glance in glances]
    sitters = [sitter for group in groups for sitter in group]
    layers: Iterator[Layer] = map(painted, sitters)
    if device == "cuda":
        from handsynth.simulator.cuda import paint_batch  # users of the CPU need not wait for numba.cuda

        layers = iter(paint_batch(sitters))
    for glance, group in zip(glances, groups, strict=True):
        hands = list(islice(layers, len(group)))
        yield _sight(glance.camera, hands, _things(glance, [sitter.surface for sitter in group]))


def _sitters(glance: Glance) -> list[Sitter]:
    """The hands of a scene in the camera's frame."""
    rotation, translation = _placement(glance)
    surfaces = [Surface.of(hand.cones.moved(rotation, translation)) for hand in glance.scene.hands]
    bones = blockers(surfaces, solids(_items(glance)))
    return [Sitter(surface, glance.camera, bones, glance.paint) for surface in surfaces]


def _things(glance: Glance, surfaces: Sequence[Surface]) -> list[Layer]:
    """What is seen of the things of a scene, besides hands with these surfaces."""
    items, paint, layers = _items(glance), glance.paint, []
    for item in items:
        seen, color = see_item(item, glance.camera), None
        if paint is not None:
            bones = blockers(surfaces, solids([other for other in items if other is not item]))
            color = shade(bones, seen.points, seen.normals, item_coat(item, seen), paint.light, paint.shadows)
        layers.append(Layer(seen.rows, seen.columns, seen.z_mm, np.zeros(len(seen.rows), dtype=np.uint8), color))
    return layers


def _items(glance: Glance) -> list[Item]:
    rotation, translation = _placement(glance)
    return [item.moved(rotation, translation) for item in glance.scene.items]


def _placement(glance: Glance) -> tuple[np.ndarray, np.ndarray]:
    """Rotation (3, 3) and translation (3,) in mm of the scene into the camera's frame."""
    return np.array(glance.from_scene.rotation), np.array(glance.from_scene.translation_mm)


def _sight(camera: Camera, hands: Sequence[Layer], things: Sequence[Layer]) -> Sight:
    """What is nearest at each pixel."""
    size = (camera.height, camera.width)
    depth, owner = np.full(size, np.inf, dtype=np.float32), np.full(size, NOBODY)
    parts = np.zeros(size, dtype=np.uint8)
    for number, layer in [*enumerate(hands), *((THING, thing) for thing in things)]:
        z = layer.z_mm.astype(np.float32)
        nearer = z < depth[layer.rows, layer.columns]
        place = (layer.rows[nearer], layer.columns[nearer])
        depth[place], owner[place], parts[place] = z[nearer], number, layer.parts[nearer]
    depth[owner == NOBODY] = np.nan
    return Sight((*hands, *things), depth, owner, parts)
