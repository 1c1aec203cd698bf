"""Whether the fingers of a posed hand run into each other or into the palm."""

from __future__ import annotations

import numpy as np

from handsynth.hand.joints import CHAINS
from handsynth.simulator.anatomy import Anatomy

PRESS_MM = -3.5
"""Skin that touches gives way; a gap below this is one finger inside another."""

_PALM_SHARE = 0.135  # half the thickness of the palm, of its length
_ALONG = np.array([0.25, 0.6, 1.0])  # three spheres per phalanx; its base belongs to the one before


def gap_mm(anatomy: Anatomy, joints_mm: np.ndarray) -> np.ndarray:
    """Smallest gap between parts that should stay apart, by spheres along the bones.

    Args:
        anatomy: N hands.
        joints_mm: (N, 21, 3), any frame.

    Returns:
        (N,) mm; negative where parts overlap.
    """
    chains = joints_mm[:, np.array(CHAINS)]
    radii = anatomy.radii_mm
    steps = _ALONG[:, None]
    centers = chains[:, :, :-1, None] + steps * np.diff(chains, axis=2)[:, :, :, None]
    sizes = radii[:, :, :-1, None] + _ALONG * np.diff(radii, axis=2)[..., None]
    centers, sizes = centers.reshape(len(chains), 5, 9, 3), sizes.reshape(len(chains), 5, 9)
    smallest = np.full(len(chains), np.inf)
    for a in range(5):
        for b in range(a + 1, 5):
            # Neighbours share the flesh of the web, so their bases may overlap; the thumb's metacarpal is palm.
            first_a, first_b = (3, 0) if a == 0 else (2, 2) if b == a + 1 else (0, 0)
            between = np.linalg.norm(centers[:, a, first_a:, None] - centers[:, b, None, first_b:], axis=-1)
            between -= sizes[:, a, first_a:, None] + sizes[:, b, None, first_b:]
            smallest = np.minimum(smallest, between.min((1, 2)))
    # The outer phalanges against the metacarpals of the long fingers.
    knuckles, wrist = chains[:, 1:, 0], joints_mm[:, None, :1]
    palm = wrist + np.linspace(0.35, 0.9, 4)[:, None] * (knuckles[:, :, None] - wrist)
    outer = centers[:, :, 5:].reshape(len(chains), 1, -1, 3)
    between = np.linalg.norm(palm.reshape(len(chains), -1, 1, 3) - outer, axis=-1)
    between -= sizes[:, None, :, 5:].reshape(len(chains), 1, -1) + _PALM_SHARE * anatomy.palm_mm[:, None, None]
    return np.minimum(smallest, between.min((1, 2)))
