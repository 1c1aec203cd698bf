"""People and their hands before a camera: natural poses, named gestures, or hands in motion, turned as is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np

from handsynth.runtime.seeds import rng as stream
from handsynth.simulator.anatomy import Anatomy, Person, Sex, random_person
from handsynth.simulator.cones import Cones, hand_cones
from handsynth.simulator.contact import relaxed
from handsynth.simulator.gestures import DISTINCT, made_by_people
from handsynth.simulator.kinematics import WRIST_LIMITS, joints_mm, natural_angles
from handsynth.simulator.orientation import Orientation, random_rotations
from handsynth.simulator.sequences import Motion, sequence_angles, sequence_rotations

Poses = Literal["natural", "gestures", "sequences"]
"""``natural``: synergies, gestures and mixtures. ``gestures``: the named ones. ``sequences``: from gesture to gesture,
neighbouring frames after each other."""

_CANDIDATES = 32  # orientations to choose from
_MIRROR = np.diag([-1.0, 1.0, 1.0])
_ARM_AHEAD = 0.85  # cosine: an arm that comes nearer to the way to a camera would hide the hand from it
_REACH = 1.15  # of a moving hand about its middle knuckle, in lengths of its palm
_MOTIONS = 16  # kept: hands and clips that one process may be busy with


@dataclass(frozen=True)
class PosedHand:
    """One hand in the scene's frame.

    Attributes:
        side: left or right.
        joints_mm: (21, 3) float64.
        radii_mm: (21,) flesh around each joint.
        cones: its surface.
        extent_mm: (K, 3) points that a picture must hold: its joints; of a hand in motion, as far as it may reach.
    """

    side: Literal["left", "right"]
    joints_mm: np.ndarray
    radii_mm: np.ndarray
    cones: Cones
    extent_mm: np.ndarray

    def shifted(self, by_mm: np.ndarray) -> PosedHand:
        """The hand moved by (3,) mm."""
        return replace(
            self,
            joints_mm=self.joints_mm + by_mm,
            cones=self.cones.moved(np.eye(3), by_mm),
            extent_mm=self.extent_mm + by_mm,
        )


@dataclass(frozen=True)
class Bearing:
    """How hands may stand before the cameras.

    Attributes:
        how: frontal or uniform.
        arm_z: range of z of the arm's direction: towards the first camera it would hide the hand, away from it end in a
            wide picture.
        eyes: (V, 3) unit vectors to all cameras.
        paired: whether two arms must come from below, one from either side.
    """

    how: Orientation
    arm_z: tuple[float, float]
    eyes: np.ndarray
    paired: bool

    def chosen(self, turns: np.ndarray, arm: np.ndarray, side: str) -> int:
        """Number of the first of some turns (N, 3, 3) of a hand whose arm runs along (3,) that will do, or the best."""
        arms = turns @ arm
        hidden = (arms @ self.eyes[1:].T > _ARM_AHEAD).any(-1)
        good = ~hidden
        if self.how == "frontal":
            good &= (arms[:, 2] > self.arm_z[0]) & (arms[:, 2] < self.arm_z[1])
        if self.paired:
            good &= (arms[:, 1] > 0.4) & (arms[:, 0] * (1 if side == "right" else -1) > -0.1)
        return int(np.argmax(good)) if good.any() else int(np.argmin(np.abs(arms[:, 2])))


def draw_person(
    seed: int, subject: int, ages_years: tuple[float, float], children: float, sexes: tuple[Sex, ...]
) -> Person:
    """Who a subject is: the same in every scene of a seed."""
    attempt = 0
    while True:
        person = random_person(stream(seed, "simulator", "person", subject, attempt), ages_years, children)
        if person.sex in sexes:
            return person
        attempt += 1


def still_hand(
    rng: np.random.Generator, poses: Poses, anatomy: Anatomy, side: Literal["left", "right"], bearing: Bearing
) -> PosedHand:
    """Draw a hand whose parts do not run into each other, turned, with the wrist at the origin.

    Args:
        rng: for everything.
        poses: ``natural`` or ``gestures``.
        anatomy: of length 1.
        side: which hand.
        bearing: how it may be turned.
    """
    if poses == "gestures":
        angles = made_by_people(rng, DISTINCT[int(rng.integers(len(DISTINCT)))], 1)
    else:
        angles = natural_angles(rng, 1)
    angles = relaxed(anatomy, angles)[0]
    wrist = np.clip(rng.normal(0, np.deg2rad([18.0, 8.0])), WRIST_LIMITS[:, 0], WRIST_LIMITS[:, 1])
    hand, _ = _turned(rng, anatomy, angles, wrist, side, bearing, np.eye(3))
    return hand


def moving_hand(
    seed: int,
    clip: str,
    frame: int,
    frames: int,
    rate_hz: float,
    anatomy: Anatomy,
    side: Literal["left", "right"],
    bearing: Bearing,
) -> PosedHand:
    """One frame of a hand in motion, with the wrist at the origin.

    Args:
        seed: of the simulation.
        clip: name of the clip, which fixes its motion.
        frame: which of its frames.
        frames: how many it has.
        rate_hz: frames per second.
        anatomy: of length 1.
        side: which hand; the hands of a clip move each in its own way.
        bearing: how the hand may be turned; the same for the whole clip.
    """
    number = int(stream(seed, "simulator", "clip", clip, side).integers(1 << 62))
    values = tuple(getattr(anatomy, name).tobytes() for name in Anatomy.__dataclass_fields__)
    motion, sway = _motion(seed, number, frames, rate_hz, _Held(anatomy, values))
    rng = stream(seed, "simulator", "clip", clip, side, "bearing")
    angles, wrist = motion.angles[frame], motion.wrist_angles[frame]
    hand, turn = _turned(rng, anatomy, angles, wrist, side, bearing, sway[frame])
    around = turn[:, 1] + _REACH * np.vstack([np.eye(3), -np.eye(3)])
    return replace(hand, extent_mm=float(anatomy.palm_mm[0]) * around)


@dataclass(frozen=True)
class _Held:
    """An anatomy as a key of a cache."""

    anatomy: Anatomy
    values: tuple[bytes, ...]

    def __hash__(self) -> int:
        return hash(self.values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self.values == other.values


@lru_cache(maxsize=_MOTIONS)
def _motion(seed: int, number: int, frames: int, rate_hz: float, held: _Held) -> tuple[Motion, np.ndarray]:
    """The motion of a clip, and how it sways (F, 3, 3) about its first frame."""
    rotations = sequence_rotations(seed, number, frames, rate_hz)
    return sequence_angles(seed, number, frames, held.anatomy, rate_hz), rotations[0].T @ rotations


def _turned(
    rng: np.random.Generator,
    anatomy: Anatomy,
    angles: np.ndarray,
    wrist: np.ndarray,
    side: Literal["left", "right"],
    bearing: Bearing,
    sway: np.ndarray,
) -> tuple[PosedHand, np.ndarray]:
    """The hand, and the (3, 3) turn from the hand frame before its sway."""
    joints = joints_mm(anatomy, angles[None])[0]
    cones = hand_cones(anatomy, angles, joints, wrist)
    mirror = _MIRROR if side == "left" else np.eye(3)
    turns = random_rotations(rng, _CANDIDATES, bearing.how) @ mirror
    # The straight arm decides, so that all frames of a clip choose alike.
    turn = turns[bearing.chosen(turns, np.array([0.0, -1.0, 0.0]), side)]
    placed = joints @ (turn @ sway).T
    return PosedHand(side, placed, flesh_mm(anatomy), cones.moved(turn @ sway, np.zeros(3)), placed), turn


def flesh_mm(anatomy: Anatomy) -> np.ndarray:
    """(21,) radius of the flesh around each joint of one hand."""
    return np.concatenate([anatomy.wrist_mm[0, 1:], anatomy.radii_mm[0].reshape(-1)])
