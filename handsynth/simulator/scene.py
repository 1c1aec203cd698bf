"""One moment before the cameras, drawn from (settings, index): who, which hands, how they stand, light and place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.runtime.seeds import rng as stream
from handsynth.runtime.settings import Settings
from handsynth.simulator.anatomy import AGES_YEARS, CHILDREN, Sex
from handsynth.simulator.depth_sensor import DepthSensor
from handsynth.simulator.items import Item
from handsynth.simulator.looks import Looks
from handsynth.simulator.orientation import Orientation
from handsynth.simulator.posing import Bearing, PosedHand, Poses, draw_person, moving_hand, still_hand
from handsynth.simulator.presets import PRESETS, CameraName, fixed_side
from handsynth.simulator.props import draw_items, dressed
from handsynth.simulator.rigs import Rig, draw_rig, place
from handsynth.simulator.skin import Skin, draw_skin
from handsynth.simulator.words import Turns, Words, require_subjects, words_of

_NEAR_ARM_Z, _FAR_ARM_Z = (-0.35, 0.75), (-0.3, 0.4)
"""Range of z of the arm's direction, in pictures cut around hands and in whole ones, see ``Bearing``."""


class SimulatorSettings(Settings, frozen=True, kw_only=True):
    """What to simulate. Ranges are (low, high), drawn evenly per image unless said otherwise."""

    seed: int = 0
    camera: CameraName = "crop"
    side: Literal["left", "right", "both", "random"] = "random"
    """"both" puts two hands into one image. Datasets of one side (STB left, MSRA15 right ...) always show that one."""
    views: int = 0
    """Calibrated cameras around the hands, at the same moment; 0 is as many as the camera's dataset has."""
    subjects: int = 4
    """People; image i shows person i mod subjects."""
    test_subjects: int = 0
    """People of the test split, the last ones; 0 is as many as the camera's dataset has, or a quarter."""
    train_moments: int = 0
    """Moments of the training people, which then come first; later ones show the test people. 0 mixes them."""
    ages: tuple[float, float] = AGES_YEARS
    """Youngest and oldest, years."""
    children: float = CHILDREN
    """Share of people under 18 where the ages reach both sides of it."""
    sexes: tuple[Sex, ...] = ("female", "male")
    poses: Poses = "natural"
    """natural, gestures (the named ones), or sequences (hands in motion, neighbouring frames after each other)."""
    clip: int = 32
    """Frames of a sequence, before the next person's turn."""
    rate_hz: float = 30.0
    """Frames per second of sequences."""
    orientation: Orientation = "frontal"
    """frontal (fingers mostly up, the arm away from the camera) or uniform over the sphere."""
    size: int = 256
    """Image side of the crop camera, px; the other cameras have their publisher's sizes."""
    scale: float = 1.0
    """Factor on image sizes, the cameras following: 0.25 makes quick miniatures."""
    looks: Looks = Looks()
    """Skin, light, places, things and the camera's picture: see there."""
    depth_sensor: DepthSensor = "none"
    """none keeps depth exact; structured_light, time_of_flight and stereo measure as such sensors do."""
    depth_strength: float = 1.0
    """Factor on the sensor's errors."""
    registered: bool | None = None
    """Whether depth is given at the colour pixels, where the sensor has two cameras; by default as in the dataset."""

    def __post_init__(self) -> None:
        fixed = fixed_side(self.camera)
        if fixed is not None and self.side not in ("random", fixed):
            raise UsageError(sentence(f"side {fixed} or random", self.side, f"settings of camera {self.camera}"))
        if self.subjects < 1 or self.size < 16 or not 0.02 <= self.scale <= 4:
            found = f"subjects {self.subjects}, size {self.size}, scale {self.scale}"
            raise UsageError(sentence("subjects >= 1, size >= 16, scale 0.02 to 4", found, "the simulator's settings"))
        require_subjects(self.camera, self.subjects)
        if not 0 <= self.views <= 64 or self.clip < 2 or not self.rate_hz > 0:
            found = f"views {self.views}, clip {self.clip}, rate_hz {self.rate_hz:g}"
            raise UsageError(sentence("views 0 to 64, clip >= 2, rate_hz above 0", found, "the simulator's settings"))
        if not 0 <= self.depth_strength <= 10:
            raise UsageError(sentence("0 to 10", f"{self.depth_strength:g}", "the setting depth_strength"))
        if PRESETS[self.camera].beside and self.views not in (0, 2):
            raise UsageError(sentence("2 views", str(self.views), f"settings of camera {self.camera}"))
        self._check_split()
        if not self.sexes:
            raise UsageError(sentence("female, male or both", "none", "the setting sexes"))

    @property
    def frames_in_a_row(self) -> int:
        """Frames before the next person's turn."""
        return self.clip if self.poses == "sequences" else 1

    @property
    def turns(self) -> Turns:
        """Who stands before the cameras when."""
        return Turns(self.subjects, self.frames_in_a_row, self.test_subjects, self.train_moments)

    def words(self, index: int) -> Words:
        """Where the moment of an index stands in its source."""
        return words_of(self.camera, index, self.turns)

    def _check_split(self) -> None:
        if not 0 <= self.test_subjects < self.subjects:
            wanted = f"fewer test_subjects than subjects ({self.subjects})"
            raise UsageError(sentence(wanted, str(self.test_subjects), "the simulator's settings"))
        whole = self.train_moments >= 0 and self.train_moments % self.frames_in_a_row == 0
        if not whole or (self.train_moments and not self.test_subjects):
            found = f"train_moments {self.train_moments} and test_subjects {self.test_subjects}"
            wanted = f"train_moments in clips of {self.frames_in_a_row}, with test_subjects 1 or more"
            raise UsageError(sentence(wanted, found, "the simulator's settings"))


@dataclass(frozen=True)
class Scene:
    """Everything that fixes one moment; the scene's frame is that of the rig's first lens.

    Attributes:
        index: of the moment.
        take: what light and place go by: the index of a still, the number of a clip.
        subject: number of the person.
        hands: left before right.
        rig: the cameras.
        skin: the person's.
        items: things in the hands or before them.
    """

    index: int
    take: str
    subject: int
    hands: tuple[PosedHand, ...]
    rig: Rig
    skin: Skin
    items: tuple[Item, ...] = ()


def draw_scene(settings: SimulatorSettings, index: int) -> Scene:
    """The scene of one index: a pure function of the settings and the index."""
    row = settings.frames_in_a_row
    take, frame = divmod(index, row)
    subject, clip = settings.turns.at(index)[0], f"clip {take}"
    person = draw_person(settings.seed, subject, settings.ages, settings.children, settings.sexes)
    looks = settings.looks.settled()
    skin = skin_of(settings.seed, subject, looks)
    rng = stream(settings.seed, "simulator", "pose", take)
    rig = _rig(settings, index, take)
    sides = _sides(settings, index, rng)
    arm_z = _FAR_ARM_Z if PRESETS[settings.camera].picture == "whole" else _NEAR_ARM_Z
    bearing = Bearing(settings.orientation, arm_z, rig.eyes, paired=len(sides) == 2)
    if settings.poses == "sequences":
        hands = [
            moving_hand(settings.seed, clip, frame, row, settings.rate_hz, person.anatomy, side, bearing)
            for side in sides
        ]
    else:
        hands = [still_hand(rng, settings.poses, person.anatomy, side, bearing) for side in sides]
    if len(hands) == 2:
        hands = _side_by_side(rng, hands)
    extent = np.concatenate([hand.extent_mm for hand in hands])
    rig, shift = place(settings.camera, rig, rng, extent, settings.size, settings.scale)
    hands = [hand.shifted(shift) for hand in hands]
    hands = dressed(looks, stream(settings.seed, "simulator", "dress", take), hands)
    # A thing that follows a moving hand would have to be the same in all frames.
    still = settings.poses != "sequences"
    items = draw_items(looks, stream(settings.seed, "simulator", "items", take), hands) if still else ()
    return Scene(index, str(take), subject, tuple(hands), rig, skin, items)


def skin_of(seed: int, subject: int, looks: Looks) -> Skin:
    """A subject's skin: the same in every scene of a seed."""
    rng = stream(seed, "simulator", "skin", 0 if "skins" in looks.without else subject)
    return draw_skin(rng, looks.skin_ita_deg, looks.skin_variety, looks.hairy, looks.polish)


def _rig(settings: SimulatorSettings, index: int, take: int) -> Rig:
    """Calibrated cameras stay where they are for a whole sequence."""
    several = settings.views > 1 or PRESETS[settings.camera].views > 1
    purpose = settings.words(index).sequence if several else take
    rng = stream(settings.seed, "simulator", "rig", purpose)
    return draw_rig(settings.camera, rng, settings.views, settings.registered)


def _sides(settings: SimulatorSettings, index: int, rng: np.random.Generator) -> tuple[Literal["left", "right"], ...]:
    if settings.side == "both":
        return ("left", "right")
    if settings.side != "random":
        return (settings.side,)
    if PRESETS[settings.camera].side_by_sequence:
        rng = stream(settings.seed, "simulator", "side", settings.words(index).sequence)
    drawn: Literal["left", "right"] = "left" if rng.random() < 0.5 else "right"
    return (fixed_side(settings.camera) or drawn,)


def _side_by_side(rng: np.random.Generator, hands: list[PosedHand]) -> list[PosedHand]:
    """Left hand left, right hand right, apart by their extents; sometimes one before the other instead."""
    left, right = hands
    if rng.random() < 0.7:
        gap = left.extent_mm[:, 0].max() - right.extent_mm[:, 0].min()
        apart = np.array([gap + rng.uniform(28, 60), rng.normal(0, 25), rng.normal(0, 25)])
    else:
        # Behind the left one, which must not hide it whole.
        gap = left.extent_mm[:, 2].max() - right.extent_mm[:, 2].min()
        (low, high), (first, last) = ((hand.extent_mm[:, 0].min(), hand.extent_mm[:, 0].max()) for hand in hands)
        beside = (low + high - first - last) / 2 + rng.uniform(0.6, 1.0) * (high - low + last - first) / 2
        apart = np.array([beside, rng.normal(0, 25), gap + rng.uniform(30, 60)])
    return [left, right.shifted(apart)]
