"""Small settings and posed surfaces for the simulator's tests."""

from __future__ import annotations

import numpy as np

from handsynth.hand.camera import Camera
from handsynth.runtime.seeds import rng
from handsynth.simulator.looks import Looks
from handsynth.simulator.scene import Scene, SimulatorSettings, draw_scene
from handsynth.simulator.surface import Surface

SIZE = 48
BARE = Looks(sleeves=0, held=0, occluders=0)
"""Nothing but hands."""


def small(**changes: object) -> SimulatorSettings:
    """Crop settings with small images of bare hands."""
    return SimulatorSettings(**({"size": SIZE, "seed": 3, "looks": BARE} | changes))  # type: ignore[arg-type]


def drawn(index: int, **changes: object) -> tuple[Scene, Surface, Camera]:
    """A scene, the surface of its first hand and its camera."""
    scene = draw_scene(small(**changes), index)
    return scene, Surface.of(scene.hands[0].cones), scene.rig.lenses[0].camera


def near_surface(surface: Surface, count: int, seed: int = 0) -> np.ndarray:
    """(count, 3) points within some centimetres of the hand, camera frame."""
    random = rng(seed, "points")
    ends = surface.cones.ends_mm[:-2]
    place = random.integers(len(ends), size=count)
    share = random.random((count, 1))
    return np.asarray(
        ends[place, 0] + share * (ends[place, 1] - ends[place, 0]) + random.normal(0, 14, (count, 3)), dtype=np.float64
    )
