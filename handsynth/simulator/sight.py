"""What one camera sees of a scene: its hands and things, which is nearest at each pixel, and how far."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.simulator.items import Item, ItemView, see_item
from handsynth.simulator.scene import Scene
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import View, trace

NOBODY, THING = -1, -2
"""Owners of pixels that show no hand."""


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
    rotation, translation = np.array(from_scene.rotation), np.array(from_scene.translation_mm)
    surfaces = tuple(Surface.of(hand.cones.moved(rotation, translation)) for hand in scene.hands)
    views = tuple(trace(surface, camera) for surface in surfaces)
    items = tuple(item.moved(rotation, translation) for item in scene.items)
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
