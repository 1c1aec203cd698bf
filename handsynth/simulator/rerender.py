"""Other people's poses, rendered: the hand that was fitted to given joints, before the camera that saw them.

``fit`` gives person and poses; here they become scenes with the looks of the settings, and samples. Labels are the
fitted hand's own joints, exact as everywhere in the simulator.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.runtime.seeds import rng as stream
from handsynth.simulator.cones import hand_cones
from handsynth.simulator.fitted import (
    FittedPerson,
    FittedPoses,
    fitted_joints_mm,
    hand_joints_mm,
    hand_palmar_directions,
)
from handsynth.simulator.kinematics import WRIST_LIMITS
from handsynth.simulator.posing import PosedHand, flesh_mm
from handsynth.simulator.props import draw_items, dressed
from handsynth.simulator.rigs import Lens, Rig
from handsynth.simulator.samples import BATCH, Shot, photographs
from handsynth.simulator.scene import Scene, SimulatorSettings, skin_of
from handsynth.simulator.sight import Device
from handsynth.simulator.words import Words

_NAMELESS = Words("", "", "", "", "")
_WRIST_DEGREES = (10.0, 5.0)  # of the forearm, which no label speaks of


def fitted_scene(
    settings: SimulatorSettings,
    person: FittedPerson,
    poses: FittedPoses,
    row: int,
    camera: Camera,
    index: int,
    subject: int,
) -> Scene:
    """One pose of a person before its camera, the only lens of the scene.

    Args:
        settings: seed, looks and depth sensor; camera, people and poses of theirs do not count.
        person: whose hand.
        poses: of that person; the one at ``row`` is fitted.
        row: which.
        camera: of the picture.
        index: number that fixes light, place and noise.
        subject: number that fixes the skin.
    """
    looks = settings.looks.settled()
    joints = fitted_joints_mm(person, poses)[row]
    hand = fitted_hand(person, poses, row, joints, _wrist(settings.seed, index))
    hands = dressed(looks, stream(settings.seed, "simulator", "dress", index), [hand])
    items = draw_items(looks, stream(settings.seed, "simulator", "items", index), hands)
    rig = Rig((Lens(None, camera),), center_mm=joints.mean(0))
    return Scene(index, str(index), subject, tuple(hands), rig, skin_of(settings.seed, subject, looks), items)


def render_fitted(settings: SimulatorSettings, scenes: Sequence[Scene], device: Device) -> Iterator[HandSample]:
    """The sample of each ``fitted_scene``, which has no words of its own yet.

    With device ``cuda`` a GPU traces and paints the hands of several scenes at once; results then differ by rounding.

    Raises:
        UsageError: there is no GPU.
    """
    shots = [Shot(scene, scene.rig.lenses[0], _NAMELESS) for scene in scenes]
    for first in range(0, len(shots), BATCH):
        for [sample] in photographs(settings, shots[first : first + BATCH], device):
            yield sample


def fitted_hand(
    person: FittedPerson, poses: FittedPoses, row: int, joints_mm: np.ndarray, wrist_angles: np.ndarray
) -> PosedHand:
    """One fitted hand with its surface.

    Args:
        person, poses: of ``fit``.
        row: which pose.
        joints_mm: (21, 3) of that pose, ``fitted_joints_mm``.
        wrist_angles: (2,) of the hand against the forearm, radians.
    """
    angles = poses.angles[row : row + 1]
    in_hand = hand_joints_mm(person, angles)[0]
    cones = hand_cones(person.anatomy, angles[0], in_hand, wrist_angles)
    cones = replace(cones, pulps=hand_palmar_directions(person, angles)[0].reshape(-1, 3))
    placed = cones.moved(poses.rotation[row] @ person.mirror, poses.translation_mm[row])
    return PosedHand(person.side, joints_mm, flesh_mm(person.anatomy), placed, joints_mm)


def _wrist(seed: int, index: int) -> np.ndarray:
    drawn = stream(seed, "simulator", "wrist", index).normal(0, np.deg2rad(_WRIST_DEGREES))
    return np.clip(drawn, WRIST_LIMITS[:, 0], WRIST_LIMITS[:, 1])
