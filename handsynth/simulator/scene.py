"""One moment before the cameras, drawn from (settings, index): who, which hands, how they stand, light and place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.runtime.seeds import rng as stream
from handsynth.runtime.settings import Settings
from handsynth.simulator import background
from handsynth.simulator.anatomy import Anatomy, random_anatomies
from handsynth.simulator.contact import PRESS_MM, gap_mm
from handsynth.simulator.kinematics import WRIST_LIMITS, joints_mm, natural_angles, random_rotations
from handsynth.simulator.render import Light, random_light
from handsynth.simulator.rigs import FIXED_SIDE, CameraName, Rig, place
from handsynth.simulator.skin import Skin, random_skin
from handsynth.simulator.surface import Cones, hand_cones

_CANDIDATES = 32
_MIRROR = np.diag([-1.0, 1.0, 1.0])
_ARM_Z = {"crop": (-0.35, 0.75)}
_FAR_ARM_Z = (-0.3, 0.4)
"""Range of z of the arm's direction: towards the camera it would hide the hand, away from it end in a wide picture."""


class SimulatorSettings(Settings, frozen=True, kw_only=True):
    """What to simulate. Ranges are (low, high), drawn evenly per image unless said otherwise."""

    seed: int = 0
    camera: CameraName = "crop"
    side: Literal["left", "right", "both", "random"] = "random"
    """"both" puts two hands into one image. STB always shows left hands and MSRA15 right ones."""
    subjects: int = 4
    """People; image i shows person i mod subjects."""
    size: int = 256
    """Image side of the crop camera, px; the other cameras have their publisher's sizes."""
    scale: float = 1.0
    """Factor on image sizes, the cameras following: 0.25 makes quick miniatures."""
    skin_tones: tuple[float, float] = (0.0, 1.0)
    """0 lightest to 1 darkest, per person."""
    backgrounds: tuple[background.Kind, ...] = background.KINDS
    shadows: bool = True
    exposure: tuple[float, float] = (0.8, 1.35)
    white_balance: float = 0.06
    """Standard deviation of the colour cast."""
    blur_px: tuple[float, float] = (0.2, 0.7)
    noise: tuple[float, float] = (0.0, 0.025)
    """Standard deviation of linear light at white."""
    depth_noise_mm: float = 0.0
    """Standard deviation of the depth sensor; 0 keeps depth exact."""
    depth_step_mm: float = 0.0
    """Depth is rounded to multiples of this; 0 keeps it exact."""

    def __post_init__(self) -> None:
        fixed = FIXED_SIDE.get(self.camera)
        if fixed is not None and self.side not in ("random", fixed):
            raise UsageError(sentence(f"side {fixed} or random", self.side, f"settings of camera {self.camera}"))
        if self.subjects < 1 or self.size < 16 or not 0.02 <= self.scale <= 4:
            found = f"subjects {self.subjects}, size {self.size}, scale {self.scale}"
            raise UsageError(sentence("subjects >= 1, size >= 16, scale 0.02 to 4", found, "the simulator's settings"))
        if self.camera == "msra15" and self.subjects > 9:
            raise UsageError(sentence("at most 9 subjects", str(self.subjects), "settings of camera msra15"))
        if not self.backgrounds:
            raise UsageError(sentence("at least one kind of background", "none", "the simulator's settings"))


@dataclass(frozen=True)
class PosedHand:
    """One hand in the scene's frame.

    Attributes:
        side: left or right.
        joints_mm: (21, 3) float64.
        radii_mm: (21,) flesh around each joint.
        cones: its surface.
    """

    side: Literal["left", "right"]
    joints_mm: np.ndarray
    radii_mm: np.ndarray
    cones: Cones


@dataclass(frozen=True)
class Scene:
    """Everything that fixes one moment; the scene's frame is that of the rig's first lens."""

    index: int
    subject: int
    hands: tuple[PosedHand, ...]
    rig: Rig
    skin: Skin
    light: Light


def draw_scene(settings: SimulatorSettings, index: int) -> Scene:
    """The scene of one index: a pure function of the settings and the index."""
    subject = index % settings.subjects
    person = stream(settings.seed, "simulator", "person", subject)
    anatomy = random_anatomies(person, 1)
    skin = random_skin(person, settings.skin_tones)
    rng = stream(settings.seed, "simulator", "pose", index)
    sides = _sides(settings, rng)
    arm_z = _ARM_Z.get(settings.camera, _FAR_ARM_Z)
    hands = [_pose(rng, anatomy, side, arm_z, paired=len(sides) == 2) for side in sides]
    if len(hands) == 2:
        hands = _side_by_side(rng, hands)
    joints = np.concatenate([hand.joints_mm for hand in hands])
    rig, shift = place(settings.camera, rng, joints, settings.size, settings.scale)
    hands = [_moved(hand, shift) for hand in hands]
    light = random_light(stream(settings.seed, "simulator", "light", index))
    return Scene(index, subject, tuple(hands), rig, skin, light)


def _sides(settings: SimulatorSettings, rng: np.random.Generator) -> tuple[Literal["left", "right"], ...]:
    if settings.side == "both":
        return ("left", "right")
    if settings.side != "random":
        return (settings.side,)
    drawn: Literal["left", "right"] = "left" if rng.random() < 0.5 else "right"
    return (FIXED_SIDE.get(settings.camera, drawn),)


def _pose(
    rng: np.random.Generator,
    anatomy: Anatomy,
    side: Literal["left", "right"],
    arm_z: tuple[float, float],
    paired: bool,
) -> PosedHand:
    """A natural pose whose parts do not run into each other, turned, with the wrist at the origin."""
    angles = natural_angles(rng, _CANDIDATES)
    same = anatomy.select(np.zeros(_CANDIDATES, dtype=int))
    joints = joints_mm(same, angles)
    gaps = gap_mm(same, joints)
    free = gaps > PRESS_MM
    chosen = int(np.argmax(free)) if free.any() else int(np.argmax(gaps))
    wrist = np.clip(rng.normal(0, np.deg2rad([18.0, 8.0])), WRIST_LIMITS[:, 0], WRIST_LIMITS[:, 1])
    cones = hand_cones(anatomy, angles[chosen], joints[chosen], wrist)
    mirror = _MIRROR if side == "left" else np.eye(3)
    turns = random_rotations(rng, _CANDIDATES) @ mirror
    arms = turns @ _unit(cones.ends_mm[-1, 1] - cones.ends_mm[-1, 0])
    good = (arms[:, 2] > arm_z[0]) & (arms[:, 2] < arm_z[1])
    if paired:
        # Two arms come from below, one from either side, and do not cross the other hand.
        good &= (arms[:, 1] > 0.4) & (arms[:, 0] * (1 if side == "right" else -1) > -0.1)
    turn = turns[int(np.argmax(good))] if good.any() else turns[int(np.argmin(np.abs(arms[:, 2])))]
    radii = np.concatenate([anatomy.wrist_mm[0, 1:], anatomy.radii_mm[0].reshape(-1)])
    return PosedHand(side, joints[chosen] @ turn.T, radii, cones.moved(turn, np.zeros(3)))


def _side_by_side(rng: np.random.Generator, hands: list[PosedHand]) -> list[PosedHand]:
    """Left hand left, right hand right, apart by their extents; sometimes one before the other instead."""
    left, right = hands
    if rng.random() < 0.7:
        gap = left.joints_mm[:, 0].max() - right.joints_mm[:, 0].min()
        apart = np.array([gap + rng.uniform(28, 60), rng.normal(0, 25), rng.normal(0, 25)])
    else:
        gap = left.joints_mm[:, 2].max() - right.joints_mm[:, 2].min()
        apart = np.array([rng.uniform(40, 110), rng.normal(0, 25), gap + rng.uniform(30, 60)])
    return [left, _moved(right, apart)]


def _moved(hand: PosedHand, shift_mm: np.ndarray) -> PosedHand:
    return replace(hand, joints_mm=hand.joints_mm + shift_mm, cones=hand.cones.moved(np.eye(3), shift_mm))


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))
