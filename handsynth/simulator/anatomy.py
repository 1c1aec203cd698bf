"""The bodies: people of any age from five on, and the bone lengths, joint places and flesh radii of their hands.

Hand frame of a right hand: origin at the wrist, x radial (towards the thumb), y distal (towards the fingers), z
palmar (out of the palm), millimetres. A left hand is the same hand with x negated, done where joints are placed.

Proportions of bones follow the radiographic lengths of Buryanov and Kotiuk, "Proportions of hand segments" (Int. J.
Morphol. 2010), with soft tissue added at the tips. Adult sizes follow the US Army survey of 1988 (Gordon et al.,
ANSUR): hand length 194 mm (deviation 10) of men and 180 mm (10) of women, hand breadth 90 mm (4) and 79 mm (4).
Children's hands are adult ones in the ratio of their stature, by rounded medians of the CDC growth charts of 2000.
Men's index finger is a little shorter against the ring finger than women's (2D:4D about 0.98 and 1.00, Manning). What
is not named here is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from handsynth.errors import UsageError, sentence

Sex = Literal["female", "male"]

PALM_RANGE_MM = (52.0, 108.0)
"""Wrist to middle MCP: from a small child of five to a large man."""
AGE_RANGE_YEARS = (5.0, 100.0)
"""Ages that can be drawn."""
AGES_YEARS = (5.0, 75.0)
"""Ages that are drawn if nothing else is said."""
CHILDREN = 0.15
"""Share of people under 18 where the ages reach both sides of it."""

_ADULT_YEARS = 18.0
_REFERENCE_MM = 88.0  # the tables below belong to a hand with this palm length
_ADULT_PALM_MM = (85.5, 91.5)  # women, men: hand length less middle finger
_BREADTH = (0.97, 1.03)  # of the tables: 79 / 180 and 90 / 194 about their mean
_RING_OVER_INDEX = (-0.01, 0.01)
_PALM_DEVIATION = 0.05
# Breadth grows with length to the power 0.55 within a sex, and varies beside it: their correlation is 0.6.
_BREADTH_POWER, _BREADTH_DEVIATION = -0.45, 0.037

_GROWTH_YEARS = np.array([5.0, 8.0, 10.0, 12.0, 14.0, 16.0, 18.0])
_GROWTH = np.array([[108, 127.5, 138, 151.5, 160, 162.5, 163], [109, 128, 138.5, 149, 164, 173.5, 176]])
_CHILD_PLUMP, _PLUMP_UNTIL_YEARS = 0.06, 16.0  # flesh of a child of five, beyond its share of size
_OLD_KNUCKLES = 0.04  # middle and last joints at 75, growing from 40 on

# Thumb CMC, then the MCPs; the knuckles bow towards the back of the hand.
_BASES = np.array([[23.0, 22.0, 9.0], [26.5, 83.5, 1.0], [4.0, 88.0, -1.5], [-17.5, 82.0, 0.0], [-36.0, 72.5, 4.0]])
_PHALANGES = np.array(
    [[46.0, 32.5, 26.0], [40.0, 23.5, 20.5], [44.5, 27.0, 22.0], [41.0, 26.0, 21.5], [32.5, 19.0, 19.5]]
)
_RADII = np.array(
    [[13.5, 11.0, 10.2, 8.6], [9.9, 9.1, 8.0, 7.0], [10.1, 9.3, 8.2, 7.2], [9.6, 8.8, 7.7, 6.8], [8.7, 7.7, 6.8, 6.0]]
)
_WRIST = np.array([27.0, 18.5])
_ARM = np.array([54.0, 49.0])


@dataclass(frozen=True)
class Anatomy:
    """N hands, right, in the hand frame.

    Attributes:
        bases_mm: (N, 5, 3) thumb CMC and the four MCPs; the middle MCP lies ``palm_mm`` from the wrist.
        phalanges_mm: (N, 5, 3) bone lengths from the base outwards; the thumb's first is its metacarpal.
        radii_mm: (N, 5, 4) flesh radius at the joints of each finger, base to tip.
        wrist_mm: (N, 2) half width and half thickness at the wrist.
        arm_mm: (N, 2) half width and half thickness far up the arm, 800 mm from the wrist of an adult.
    """

    bases_mm: np.ndarray
    phalanges_mm: np.ndarray
    radii_mm: np.ndarray
    wrist_mm: np.ndarray
    arm_mm: np.ndarray

    def __len__(self) -> int:
        return len(self.bases_mm)

    def select(self, rows: np.ndarray) -> Anatomy:
        """The hands of the given rows (M,), repeats allowed."""
        return Anatomy(*(getattr(self, field.name)[rows] for field in fields(self)))

    def repeated(self, count: int) -> Anatomy:
        """One hand, ``count`` times, for as many poses of it."""
        return self.select(np.zeros(count, dtype=int))

    @property
    def palm_mm(self) -> np.ndarray:
        """(N,) wrist to middle MCP."""
        return np.asarray(np.linalg.norm(self.bases_mm[:, 2], axis=-1))


@dataclass(frozen=True)
class Person:
    """Somebody: age in years, sex, and the hand (``anatomy`` of length 1; left and right are mirrored)."""

    age_years: float
    sex: Sex
    anatomy: Anatomy


def random_person(
    rng: np.random.Generator, ages_years: tuple[float, float] = AGES_YEARS, children: float = CHILDREN
) -> Person:
    """Draw one person; see :func:`random_anatomies` for the ages."""
    age, male = _who(rng, 1, ages_years, children)
    return Person(float(age[0]), "male" if male[0] else "female", _hands(age, male, _residuals(rng, 1)))


def random_anatomies(
    rng: np.random.Generator,
    count: int,
    ages_years: tuple[float, float] = AGES_YEARS,
    children: float = CHILDREN,
) -> Anatomy:
    """Draw N hands of as many people, women and men alike.

    Size follows age and sex; breadth follows size, sex and age; fingers, single bones and flesh vary beside it.

    Args:
        rng: see ``runtime.seeds``.
        count: N.
        ages_years: (youngest, oldest), drawn evenly among children and among adults.
        children: share of people under 18, where the ages reach both sides of it.

    Raises:
        UsageError: the ages do not lie within ``AGE_RANGE_YEARS``, or the share not within 0 to 1.
    """
    age, male = _who(rng, count, ages_years, children)
    return _hands(age, male, _residuals(rng, count))


def typical_anatomy(age_years: float = 30.0, sex: Sex = "female") -> Anatomy:
    """The one hand in the middle of what :func:`random_anatomies` draws at that age and sex."""
    return _hands(np.array([age_years]), np.array([sex == "male"]), lambda deviation, *shape: np.ones((1, *shape)))


_Residuals = Callable[..., np.ndarray]
"""(deviation, *shape) to factors (N, *shape) about 1."""


def _residuals(rng: np.random.Generator, count: int) -> _Residuals:
    def vary(deviation: float, *shape: int) -> np.ndarray:
        return np.asarray(1 + deviation * np.clip(rng.standard_normal((count, *shape)), -2.2, 2.2))

    return vary


def _who(
    rng: np.random.Generator, count: int, ages_years: tuple[float, float], children: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ages (N,) in years, and whether male (N,)."""
    youngest, oldest = ages_years
    if not AGE_RANGE_YEARS[0] <= youngest <= oldest <= AGE_RANGE_YEARS[1]:
        expected = f"{AGE_RANGE_YEARS[0]:g} <= youngest <= oldest <= {AGE_RANGE_YEARS[1]:g} years"
        raise UsageError(sentence(expected, f"{youngest:g} to {oldest:g}", "the ages of simulated people"))
    if not 0 <= children <= 1:
        raise UsageError(sentence("a share from 0 to 1", f"{children:g}", "the share of children among people"))
    drawn = rng.random((3, count))
    age = youngest + (oldest - youngest) * drawn[0]
    if youngest < _ADULT_YEARS < oldest:
        child = youngest + (_ADULT_YEARS - youngest) * drawn[0]
        adult = _ADULT_YEARS + (oldest - _ADULT_YEARS) * drawn[0]
        age = np.where(drawn[1] < children, child, adult)
    return age, drawn[2] < 0.5


def _hands(age: np.ndarray, male: np.ndarray, vary: _Residuals) -> Anatomy:
    """Hands of people of the given ages (N,) and sexes (N,), with the individual factors that ``vary`` gives."""
    of_sex = male.astype(int)
    growth = np.where(
        male,
        np.interp(age, _GROWTH_YEARS, _GROWTH[1] / _GROWTH[1, -1]),
        np.interp(age, _GROWTH_YEARS, _GROWTH[0] / _GROWTH[0, -1]),
    )
    usual = np.array(_ADULT_PALM_MM)[of_sex] * growth
    palm = np.clip(usual * vary(_PALM_DEVIATION), *PALM_RANGE_MM)
    size = (palm / _REFERENCE_MM)[:, None, None]
    youth = np.clip((_PLUMP_UNTIL_YEARS - age) / (_PLUMP_UNTIL_YEARS - AGE_RANGE_YEARS[0]), 0, 1)
    breadth = np.array(_BREADTH)[of_sex] * (palm / usual) ** _BREADTH_POWER * vary(_BREADTH_DEVIATION)
    breadth = breadth[:, None, None]
    bases = _BASES * size * np.concatenate([breadth, vary(0.01, 1, 1), vary(0.1, 1, 1)], axis=-1)
    bases = bases * (palm / np.linalg.norm(bases[:, 2], axis=-1))[:, None, None]
    phalanges = _PHALANGES * size * vary(0.035, 1, 1) * vary(0.02, 5, 1) * vary(0.02, 5, 3)
    index_to_ring = np.array(_RING_OVER_INDEX)[of_sex] / 2
    phalanges[:, 1] *= (1 - index_to_ring)[:, None]
    phalanges[:, 3] *= (1 + index_to_ring)[:, None]
    flesh = size * breadth * vary(0.05, 1, 1) * (1 + _CHILD_PLUMP * youth)[:, None, None]
    radii = _RADII * flesh * vary(0.02, 5, 1)
    radii[:, :, 1:3] *= (1 + _OLD_KNUCKLES * np.clip((age - 40) / 35, 0, 1))[:, None, None]
    return Anatomy(bases, phalanges, radii, _WRIST * flesh[:, 0] * vary(0.03, 2), _ARM * flesh[:, 0] * vary(0.08, 2))
