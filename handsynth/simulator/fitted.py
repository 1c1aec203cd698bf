"""Hands fitted to somebody's joints: the records, and the joints they give again. ``fit`` makes them.

A fitted hand is the simulator's own with one more freedom, since real hands do not share our axes: each finger is
turned as a whole about its base, by a rotation that belongs to the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from handsynth.hand.joints import J
from handsynth.simulator.anatomy import Anatomy
from handsynth.simulator.kinematics import joints_mm, palmar_directions

FittedSide = Literal["left", "right"]


@dataclass(frozen=True)
class FittedPerson:
    """Whose hand it is; the right one, in the hand frame of ``anatomy``, also where ``side`` is left.

    Attributes:
        side: of the joints that are fitted; a left hand is the right one with x negated.
        anatomy: of length 1.
        turns: (5, 3, 3) rotations in the hand frame, of each finger about its base against ``kinematics.FRAMES``.
    """

    side: FittedSide
    anatomy: Anatomy
    turns: np.ndarray

    @classmethod
    def of(cls, anatomy: Anatomy, side: FittedSide) -> FittedPerson:
        """The simulator's own hand (``anatomy`` of length 1), its fingers not turned."""
        return cls(side, anatomy, np.broadcast_to(np.eye(3), (5, 3, 3)))

    @property
    def mirror(self) -> np.ndarray:
        """(3, 3) diagonal: negates x for a left hand."""
        return np.diag([-1.0 if self.side == "left" else 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class FittedPoses:
    """N poses of one person; a frame with too few joints to fit is NaN throughout.

    Attributes:
        angles: (N, 5, 4) radians, as in ``kinematics``.
        rotation: (N, 3, 3) proper; camera axes from those of the hand frame, after ``FittedPerson.mirror``.
        translation_mm: (N, 3) the wrist in the camera's frame.
        residual_mm: (N, 21) from the fitted joint to the given one; NaN where none was given.
        beyond_limits_deg: (N, 5, 4) by how much each angle leaves its range (``kinematics.LIMITS``); 0 inside.
    """

    angles: np.ndarray
    rotation: np.ndarray
    translation_mm: np.ndarray
    residual_mm: np.ndarray
    beyond_limits_deg: np.ndarray

    def __len__(self) -> int:
        return len(self.angles)


def fitted_joints_mm(person: FittedPerson, poses: FittedPoses) -> np.ndarray:
    """(N, 21, 3) the model's joints in the camera's frame."""
    placed = person.mirror @ poses.rotation.swapaxes(-1, -2)
    return np.asarray(hand_joints_mm(person, poses.angles) @ placed + poses.translation_mm[:, None])


def hand_joints_mm(person: FittedPerson, angles: np.ndarray) -> np.ndarray:
    """Angles (N, 5, 4) to joints (N, 21, 3) of the right hand in the hand frame, wrist at 0."""
    joints = joints_mm(person.anatomy.select(np.zeros(len(angles), dtype=int)), angles)
    chains = joints[:, 1:].reshape(-1, 5, 4, 3)
    bases = chains[:, :, :1]
    turned = bases + (chains - bases) @ person.turns.swapaxes(-1, -2)
    return np.concatenate([joints[:, :1], turned.reshape(-1, J - 1, 3)], axis=1)


def hand_palmar_directions(person: FittedPerson, angles: np.ndarray) -> np.ndarray:
    """(N, 5, 3, 3) unit vectors in the hand frame of the right hand: per phalanx the way its palmar side looks."""
    return np.asarray(palmar_directions(angles) @ person.turns.swapaxes(-1, -2))
