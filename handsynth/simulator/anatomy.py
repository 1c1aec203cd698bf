"""The bodies: bone lengths, joint places and flesh radii of hands drawn from human ranges.

Hand frame of a right hand: origin at the wrist, x radial (towards the thumb), y distal (towards the fingers), z
palmar (out of the palm), millimetres. A left hand is the same hand with x negated, done where joints are placed.

Mean proportions follow the radiographic bone lengths of Buryanov and Kotiuk, "Proportions of hand segments" (Int. J.
Morphol. 2010), with soft tissue added at the tips; radii follow finger breadths of adult anthropometric surveys.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

PALM_RANGE_MM = (70.0, 100.0)
"""Wrist to middle MCP: small adult to large adult."""

_PALM_MEAN_MM, _PALM_DEVIATION_MM = 85.0, 6.0
_REFERENCE_MM = 88.0  # the tables below belong to a hand with this palm length

# Thumb CMC, then the MCPs; the knuckles bow towards the back of the hand.
_BASES = np.array([[23.0, 22.0, 9.0], [25.0, 83.5, 1.0], [3.5, 88.0, -1.5], [-16.5, 82.0, 0.0], [-34.0, 72.5, 4.0]])
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
        arm_mm: (N, 2) half width and half thickness far up the arm, 800 mm from the wrist.
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

    @property
    def palm_mm(self) -> np.ndarray:
        """(N,) wrist to middle MCP."""
        return np.asarray(np.linalg.norm(self.bases_mm[:, 2], axis=-1))


def random_anatomies(rng: np.random.Generator, count: int) -> Anatomy:
    """Draw N individuals: one overall size, correlated with it finger length, breadth and single bones."""

    def vary(deviation: float, *shape: int) -> np.ndarray:
        return 1 + deviation * np.clip(rng.standard_normal((count, *shape)), -2, 2)

    palm = np.clip(_PALM_MEAN_MM + _PALM_DEVIATION_MM * rng.standard_normal(count), *PALM_RANGE_MM)
    size = (palm / _REFERENCE_MM)[:, None, None]
    breadth = vary(0.04, 1, 1)
    bases = _BASES * size * np.concatenate([breadth, vary(0.01, 1, 1), vary(0.1, 1, 1)], axis=-1)
    bases = bases * (palm / np.linalg.norm(bases[:, 2], axis=-1))[:, None, None]
    phalanges = _PHALANGES * size * vary(0.03, 1, 1) * vary(0.02, 5, 1) * vary(0.02, 5, 3)
    flesh = size * breadth * vary(0.05, 1, 1)
    radii = _RADII * flesh * vary(0.02, 5, 1)
    return Anatomy(bases, phalanges, radii, _WRIST * flesh[:, 0] * vary(0.03, 2), _ARM * flesh[:, 0] * vary(0.08, 2))
