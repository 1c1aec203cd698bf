"""Hands before a camera, in colour: traced, lit and painted here on the CPU; ``cuda`` does the same for batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.hand.camera import Camera
from handsynth.simulator.cloth import Cloth
from handsynth.simulator.complexion import hand_coat
from handsynth.simulator.environment import Light
from handsynth.simulator.render import Layer, shade
from handsynth.simulator.skin import Skin
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import trace


@dataclass(frozen=True)
class Paint:
    """What colours the hands of a picture.

    Attributes:
        skin: the person's.
        cloth: of the sleeves, if there are any.
        light: in the camera's frame.
        shadows: whether to march shadows and occlusion.
    """

    skin: Skin
    cloth: Cloth
    light: Light
    shadows: bool


@dataclass(frozen=True)
class Sitter:
    """One hand before a camera, in whose frame it is.

    Attributes:
        surface, camera: see above.
        bones: (K, 16) all that takes light away there, of ``light.blockers``.
        paint: None where no colours are wanted.
    """

    surface: Surface
    camera: Camera
    bones: np.ndarray
    paint: Paint | None


def painted(sitter: Sitter) -> Layer:
    """What the camera sees of the hand."""
    view, paint, color = trace(sitter.surface, sitter.camera), sitter.paint, None
    if paint is not None:
        footprint = footprint_mm(view.z_mm, sitter.camera)
        coat = hand_coat(paint.skin, paint.cloth, sitter.surface, view, footprint)
        color = shade(sitter.bones, view.points, view.normals, coat, paint.light, paint.shadows)
    return Layer(view.rows, view.columns, view.z_mm, view.parts, color)


def footprint_mm(z_mm: np.ndarray, camera: Camera) -> float:
    """What one pixel covers on a hand whose points have the camera z (M,)."""
    return float(z_mm.mean()) / camera.fx if len(z_mm) else 1.0
