"""What one camera sees of a scene: its hands and things, which is nearest at each pixel, and how far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.simulator.items import Item, ItemView, see_item
from handsynth.simulator.scene import Scene
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import View, trace

NOBODY, THING = -1, -2
"""Owners of pixels that show no hand."""

Device = Literal["cpu", "cuda"]
"""What traces hands."""


@dataclass(frozen=True)
class Glance:
    """A scene, and a camera that stands where ``from_scene`` leads to."""

    scene: Scene
    from_scene: RigidTransform
    camera: Camera


@dataclass(frozen=True)
class Sight:
    """Everything in the frame of the camera.

    Attributes:
        surfaces, views: of the hands, left before right.
        items, item_views: of the things.
        depth_mm: (H, W) float32 camera z of what is nearest, NaN where nothing is.
        owner: (H, W) number of the hand that is nearest, ``NOBODY`` or ``THING``.
    """

    surfaces: tuple[Surface, ...]
    views: tuple[View, ...]
    items: tuple[Item, ...]
    item_views: tuple[ItemView, ...]
    depth_mm: np.ndarray
    owner: np.ndarray


def see(scene: Scene, from_scene: RigidTransform, camera: Camera) -> Sight:
    """Trace the hands and things of a scene with a camera that stands where ``from_scene`` leads to."""
    return next(see_all([Glance(scene, from_scene, camera)]))


def see_all(glances: Sequence[Glance], device: Device = "cpu") -> Iterator[Sight]:
    """The sight of each glance, in their order; on a GPU the hands of all are traced together.

    Raises:
        UsageError: there is no GPU.
    """
    surfaces = [_surfaces(glance) for glance in glances]
    pairs = [(hand, glance.camera) for glance, hands in zip(glances, surfaces, strict=True) for hand in hands]
    views: Iterator[View] = (trace(hand, camera) for hand, camera in pairs)
    if device == "cuda":
        from handsynth.simulator.cuda import trace_batch  # users of the CPU need not wait for numba.cuda

        views = iter(trace_batch([hand for hand, _ in pairs], [camera for _, camera in pairs]))
    for glance, hands in zip(glances, surfaces, strict=True):
        yield _sight(glance, hands, tuple(islice(views, len(hands))))


def _surfaces(glance: Glance) -> tuple[Surface, ...]:
    """The hands of a scene in the camera's frame."""
    rotation, translation = np.array(glance.from_scene.rotation), np.array(glance.from_scene.translation_mm)
    return tuple(Surface.of(hand.cones.moved(rotation, translation)) for hand in glance.scene.hands)


def _sight(glance: Glance, surfaces: tuple[Surface, ...], views: tuple[View, ...]) -> Sight:
    """What is nearest at each pixel, from the views of the hands."""
    camera = glance.camera
    rotation, translation = np.array(glance.from_scene.rotation), np.array(glance.from_scene.translation_mm)
    items = tuple(item.moved(rotation, translation) for item in glance.scene.items)
    item_views = tuple(see_item(item, camera) for item in items)
    depth = np.full((camera.height, camera.width), np.inf, dtype=np.float32)
    owner = np.full((camera.height, camera.width), NOBODY)
    seen: list[tuple[int, View | ItemView]] = [*enumerate(views), *((THING, view) for view in item_views)]
    for number, view in seen:
        place = (view.rows, view.columns)
        z = view.z_mm.astype(np.float32)
        nearer = z < depth[place]
        depth[place] = np.where(nearer, z, depth[place])
        owner[place] = np.where(nearer, number, owner[place])
    depth[owner == NOBODY] = np.nan
    return Sight(surfaces, views, items, item_views, depth, owner)
