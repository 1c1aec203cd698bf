"""Named gestures: counting, signs, grips and the still letters of the American manual alphabet, as joint angles.

The fingers' angles are chosen by eye after how the gestures are made; the thumb's, and those of fingers that meet it,
were then solved for contact on the hand between the typical woman's and man's, so that flesh touches and does not
overlap. Letters that differ by motion (J, Z) are left out; P and Q are K and G with the hand turned down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.simulator.limits import to_limits

# Degrees, thumb to little finger: deviation and flexion of the base, the middle and the last joint (``limits``).
_TABLE: dict[str, tuple[tuple[int, int, int, int], ...]] = {
    # Counting from the index finger
    "one": ((12, 17, 44, 38), (0, 0, 4, 2), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "three": ((6, 42, 45, 31), (8, 0, 4, 2), (0, 0, 4, 2), (-8, 0, 4, 2), (3, 62, 88, 38)),
    "four": ((-18, 25, 69, 72), (7, 0, 4, 2), (1, 0, 4, 2), (-4, 0, 4, 2), (-11, 0, 4, 2)),
    "five": ((0, -12, -2, -6), (15, 0, 4, 2), (2, 0, 4, 2), (-10, 0, 4, 2), (-21, 0, 4, 2)),
    # Counting from the thumb
    "thumb_one": ((-2, -10, -4, -10), (-2, 74, 98, 40), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "thumb_two": ((0, -12, -2, -6), (2, 0, 4, 2), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "thumb_three": ((0, -12, -2, -6), (7, 0, 4, 2), (-2, 0, 4, 2), (2, 74, 98, 40), (5, 74, 98, 40)),
    "thumb_four": ((0, -12, -2, -6), (7, 0, 4, 2), (1, 0, 4, 2), (-6, 0, 4, 2), (2, 66, 92, 40)),
    # Signs
    "pointing": ((5, 21, 36, 31), (0, 0, 4, 2), (0, 66, 96, 40), (2, 68, 98, 40), (5, 68, 98, 40)),
    "fist": ((14, 12, 38, 59), (-2, 74, 98, 40), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "flat": ((-14, 18, 4, 2), (-3, 0, 2, 1), (-1, 0, 2, 1), (2, 0, 2, 1), (6, 0, 2, 1)),
    "pinch": ((12, 13, 20, 23), (0, 46, 46, 16), (0, 52, 62, 26), (0, 56, 66, 28), (-2, 54, 64, 28)),
    "ok": ((14, 13, 21, 23), (0, 47, 58, 24), (0, 14, 18, 8), (-5, 6, 10, 4), (-12, 0, 5, 2)),
    "victory": ((12, 33, 42, 32), (12, 0, 4, 2), (-6, 0, 4, 2), (1, 72, 98, 40), (5, 74, 98, 40)),
    "rock": ((12, 17, 44, 38), (5, 0, 4, 2), (0, 74, 98, 40), (1, 70, 98, 40), (-12, 0, 4, 2)),
    "i_love_you": ((0, -12, -2, -6), (5, 0, 4, 2), (0, 74, 98, 40), (1, 70, 98, 40), (-12, 0, 4, 2)),
    "call_me": ((0, -12, -2, -6), (-2, 74, 98, 40), (0, 74, 98, 40), (1, 70, 98, 40), (-16, 0, 4, 2)),
    "gun": ((0, -8, -4, -8), (0, 0, 4, 2), (0, 0, 4, 2), (2, 74, 98, 40), (5, 74, 98, 40)),
    # Rest and grips
    "relaxed": ((6, 6, 12, 14), (1, 22, 34, 16), (0, 26, 38, 18), (-1, 28, 42, 20), (-3, 26, 40, 20)),
    "cylinder": ((30, 18, 10, 24), (2, 40, 48, 26), (0, 44, 50, 28), (-1, 48, 52, 28), (-3, 50, 50, 26)),
    "sphere": ((32, 6, 8, 16), (10, 26, 42, 24), (1, 30, 44, 26), (-7, 32, 44, 26), (-16, 30, 42, 24)),
    "tripod": ((12, 13, 44, 38), (1, 50, 48, 22), (1, 52, 52, 26), (0, 62, 74, 32), (-3, 60, 74, 32)),
    "hook": ((-14, 18, 4, 2), (1, 0, 95, 50), (0, 0, 95, 50), (-1, 0, 95, 50), (-2, 0, 95, 50)),
    "table_top": ((6, 12, 6, 4), (-2, 80, 6, 2), (0, 80, 6, 2), (2, 80, 6, 2), (4, 80, 6, 2)),
    # Letters
    "A": ((-19, -4, 57, -10), (-2, 74, 98, 40), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "B": ((-18, 25, 69, 72), (-3, 0, 2, 2), (-1, 0, 2, 2), (2, 0, 2, 2), (6, 0, 2, 2)),
    "C": ((36, 12, 4, 22), (-1, 24, 62, 34), (0, 26, 62, 34), (1, 28, 62, 34), (3, 28, 60, 32)),
    "D": ((20, 20, 30, 23), (0, 0, 4, 2), (0, 51, 60, 28), (0, 56, 66, 30), (-2, 58, 68, 32)),
    "E": ((35, 13, 70, 68), (-1, 44, 102, 30), (0, 44, 104, 30), (1, 44, 104, 30), (3, 44, 102, 30)),
    "F": ((12, 14, 19, 22), (0, 46, 56, 22), (2, 0, 6, 3), (-5, 0, 5, 2), (-12, 0, 5, 2)),
    "G": ((-20, 21, 11, 11), (0, 12, 4, 2), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "H": ((15, 32, 43, 33), (-3, 10, 4, 2), (1, 10, 4, 2), (2, 74, 98, 40), (5, 74, 98, 40)),
    "I": ((14, 12, 38, 59), (-2, 74, 98, 40), (0, 74, 98, 40), (1, 70, 98, 40), (-6, 0, 4, 2)),
    "K": ((-18, 18, 32, 28), (5, 4, 5, 2), (-2, 42, 14, 6), (2, 74, 98, 40), (5, 74, 98, 40)),
    "M": ((-8, 26, 70, 46), (-1, 72, 76, 30), (0, 72, 76, 30), (1, 70, 76, 30), (4, 78, 98, 40)),
    "N": ((-7, 13, 70, 29), (-1, 60, 66, 26), (0, 62, 66, 26), (1, 78, 100, 40), (4, 78, 100, 40)),
    "O": ((28, 15, 32, 43), (-1, 49, 54, 31), (1, 47, 54, 30), (1, 53, 56, 30), (2, 54, 53, 29)),
    "R": ((13, 32, 42, 33), (-15, 18, 12, 6), (13, -7, 8, 4), (2, 73, 98, 40), (5, 74, 98, 40)),
    "T": ((-8, -6, 70, 50), (6, 58, 74, 30), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
    "U": ((15, 32, 43, 33), (-4, 0, 4, 2), (1, 0, 4, 2), (2, 74, 98, 40), (5, 74, 98, 40)),
    "X": ((8, 20, 38, 33), (0, 14, 80, 40), (0, 74, 98, 40), (2, 74, 98, 40), (5, 74, 98, 40)),
}

_SAME = {
    "two": "victory",
    "thumb_five": "five",
    "thumbs_up": "thumb_one",
    "L": "thumb_two",
    "P": "K",
    "Q": "G",
    "S": "fist",
    "V": "victory",
    "W": "three",
    "Y": "call_me",
}
"""Gestures whose fingers are those of another one."""

_USUAL_DEGREES = (3.0, 6.0, 6.0, 6.0)
_LOOSE_DEGREES = (5.0, 11.0, 11.0, 8.0)
_CLOSE_DEGREES = (1.5, 2.5, 2.5, 2.5)
_LOOSE = ("relaxed", "cylinder", "sphere", "hook", "table_top")
_CLOSE = ("pinch", "ok", "tripod", "D", "E", "F", "G", "K", "M", "N", "O", "R", "T", "X")


@dataclass(frozen=True)
class Gesture:
    """One named gesture.

    Attributes:
        name: as in ``GESTURES``.
        angles: (5, 4) radians, within the limits.
        tolerance: (5, 4) radians, standard deviation of how people make it; small where fingers touch.
    """

    name: str
    angles: np.ndarray
    tolerance: np.ndarray


def _gestures() -> dict[str, Gesture]:
    found = {}
    for name in (*_TABLE, *_SAME):
        base = _SAME.get(name, name)
        degrees = _LOOSE_DEGREES if base in _LOOSE else _CLOSE_DEGREES if base in _CLOSE else _USUAL_DEGREES
        angles = to_limits(np.deg2rad(np.array(_TABLE[base], dtype=float))[None])[0]
        tolerance = np.deg2rad(np.broadcast_to(np.array(degrees), (5, 4)))
        angles.flags.writeable = tolerance.flags.writeable = False
        found[name] = Gesture(name, angles, tolerance)
    return found


GESTURES: Mapping[str, Gesture] = _gestures()
"""All gestures by name; capital letters are the manual alphabet's."""
DISTINCT: tuple[str, ...] = tuple(_TABLE)
"""Names that differ in their angles: what random draws choose from."""
DISTINCT_ANGLES = np.stack([GESTURES[name].angles for name in DISTINCT])
"""(G, 5, 4) radians, in the order of ``DISTINCT``."""


def gesture(name: str) -> Gesture:
    """The gesture of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in GESTURES:
        raise UsageError(sentence(f"one of {', '.join(GESTURES)}", repr(name), "the name of a gesture"))
    return GESTURES[name]


def made_by_people(rng: np.random.Generator, name: str, count: int) -> np.ndarray:
    """Draw (N, 5, 4) radians within the limits: the gesture as N people make it, all but penetration (``contact``)."""
    shown = gesture(name)
    return to_limits(shown.angles + shown.tolerance * rng.standard_normal((count, 5, 4)))
