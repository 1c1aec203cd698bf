"""Small settings and posed surfaces for the simulator's tests."""

from __future__ import annotations

import numpy as np
import torch

from handsynth.hand.camera import Camera
from handsynth.runtime.seeds import rng
from handsynth.simulator.scene import Scene, SimulatorSettings, draw_scene
from handsynth.simulator.surface import Surface

SIZE = 48


def small(**changes: object) -> SimulatorSettings:
    """Crop settings with small images and no randomness of the sensor's."""
    return SimulatorSettings(**({"size": SIZE, "seed": 3} | changes))  # type: ignore[arg-type]


def drawn(index: int, **changes: object) -> tuple[Scene, Surface, Camera]:
    """A scene, the surface of its first hand and its camera."""
    scene = draw_scene(small(**changes), index)
    return scene, Surface(scene.hands[0].cones), scene.rig.lenses[0].camera


def near_surface(surface: Surface, count: int, seed: int = 0) -> torch.Tensor:
    """(count, 3) points within some centimetres of the hand, relative to the surface's centre."""
    random = rng(seed, "points")
    ends = (surface.cones.ends_mm - surface.center_mm)[:-2]
    place = random.integers(len(ends), size=count)
    share = random.random((count, 1))
    points = ends[place, 0] + share * (ends[place, 1] - ends[place, 0]) + random.normal(0, 14, (count, 3))
    return torch.as_tensor(np.asarray(points, dtype=np.float32))
