"""The body of one posed hand as round cones (hulls of two spheres), from its anatomy and its joints. numpy only.

``table`` adds what follows from the cones (pads, knuckles, nails, creases) and ``surface`` blends all into one skin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from handsynth.hand.joints import CHAINS, FIRST_PHALANX, OTHER_BODY, PALM_PART
from handsynth.simulator.anatomy import Anatomy
from handsynth.simulator.kinematics import palmar_directions

PHALANX_COUNT = 15
REFERENCE_PALM_MM = 88.0
"""Sizes in this module and in ``table`` belong to a hand with this palm length."""
_TIP_INSET = 0.55
"""The tip joint lies this share of the tip radius beyond the last sphere's centre, under the skin of the fingertip."""
_SWELL_MM = 0.6
"""What the blends add to the flesh around a bone."""
_BASE_SHARE = 0.88
_ARM_MM = 800.0
"""The arm goes straight on past the elbow, so that it leaves the picture instead of ending in it."""


@dataclass(frozen=True)
class Sleeve:
    """Cloth around the forearm.

    Attributes:
        cuff_mm: from the wrist back to the cuff.
        thickness_mm: from the skin to the outside of the cloth.
    """

    cuff_mm: float
    thickness_mm: float


@dataclass(frozen=True)
class Cones:
    """P round cones: the 15 phalanges thumb to pinky, base to tip, then the palm's, then the forearm's two.

    Attributes:
        ends_mm: (P, 2, 3) centres of the two spheres.
        radii_mm: (P, 2).
        parts: (P,) uint8 mask codes of ``HandSample``.
        pulps: (15, 3) unit vectors, per phalanx the direction of its palmar side.
        axes: (3, 3) columns: radial, distal and palmar direction of the hand.
        wrist_mm: (3,).
        sleeve: what the arm wears, if anything.
    """

    ends_mm: np.ndarray
    radii_mm: np.ndarray
    parts: np.ndarray
    pulps: np.ndarray
    axes: np.ndarray
    wrist_mm: np.ndarray
    sleeve: Sleeve | None = None

    def moved(self, rotation: np.ndarray, translation_mm: np.ndarray) -> Cones:
        """Rotate (also with a mirror: determinant -1) and shift."""
        return replace(
            self,
            ends_mm=self.ends_mm @ rotation.T + translation_mm,
            pulps=self.pulps @ rotation.T,
            axes=rotation @ self.axes,
            wrist_mm=rotation @ self.wrist_mm + translation_mm,
        )


def hand_cones(anatomy: Anatomy, angles: np.ndarray, joints_mm: np.ndarray, wrist_angles: np.ndarray) -> Cones:
    """The cones of one right hand in the hand frame.

    Args:
        anatomy: of length 1.
        angles: (5, 4) of ``kinematics``.
        joints_mm: (21, 3) in the hand frame.
        wrist_angles: (2,) palmar flexion and deviation towards the thumb of the hand against the forearm, radians.
    """
    scale = float(anatomy.palm_mm[0]) / REFERENCE_PALM_MM
    radii = anatomy.radii_mm[0] - _SWELL_MM * scale
    chains = joints_mm[np.array(CHAINS)]
    bases = chains[:, 0]
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    sizes: list[tuple[float, float]] = []

    def add(start: np.ndarray, end: np.ndarray, start_mm: float, end_mm: float) -> None:
        ends.append((start, end))
        sizes.append((start_mm, end_mm))

    for finger in range(5):
        for segment in range(3):
            start, end = chains[finger, segment], chains[finger, segment + 1]
            if segment == 2:
                end = end - (end - start) / np.linalg.norm(end - start) * _TIP_INSET * radii[finger, 3]
            # At the knuckles the palm adds its own flesh.
            thick = radii[finger, segment] * (_BASE_SHARE if finger > 0 and segment == 0 else 1.0)
            add(start, end, thick, radii[finger, segment + 1])

    def at(x: float, y: float, z: float) -> np.ndarray:
        return np.array([x, y, z]) * scale

    # The metacarpals and the muscles between them, from a flat carpus.
    carpus = [at(x, 9, 0.5) for x in (13.0, 4.5, -4.5, -12.0)]
    flesh = radii[1:, 0]
    for finger in range(4):
        add(carpus[finger], bases[finger + 1] + at(0, -2, 0), 13.5 * scale, flesh[finger] - 0.5 * scale)
    for finger in range(3):
        middle = (bases[finger + 1] + bases[finger + 2]) / 2
        add((carpus[finger] + carpus[finger + 1]) / 2, middle + at(0, -5, 0.5), 12.5 * scale, 7.8 * scale)
    thumb_middle = chains[0, 0] + 0.6 * (chains[0, 1] - chains[0, 0])
    add(at(12, 16, 8), thumb_middle + at(-4, 0, 4), 11.5 * scale, 9.5 * scale)  # thenar
    add(at(-15, 14, 7), bases[4] + at(2, -13, 3.5), 11.5 * scale, 8.5 * scale)  # hypothenar
    add(thumb_middle, 0.58 * bases[1], 6.0 * scale, 8.0 * scale)  # web of the thumb
    for finger in range(1, 4):  # webs of the fingers
        near, far = (chains[f, 0] + 0.24 * (chains[f, 1] - chains[f, 0]) for f in (finger, finger + 1))
        add(near, far, 5.5 * scale, 5.5 * scale)
    palm = len(ends) - PHALANX_COUNT
    flexion, deviation = wrist_angles
    # The forearm runs back from the wrist against the way the hand is bent.
    back = -np.array([np.sin(deviation) * np.cos(flexion), np.cos(deviation) * np.cos(flexion), np.sin(-flexion)])
    side = np.array([np.cos(deviation), -np.sin(deviation), 0.0])
    (wrist_width, wrist_thick), (arm_width, arm_thick) = anatomy.wrist_mm[0] - 1.5, anatomy.arm_mm[0] - 1.5
    for sign in (-1.0, 1.0):
        start = sign * side * (wrist_width - wrist_thick) + 7.0 * back
        end = sign * side * (arm_width - arm_thick) + _ARM_MM * back
        add(start, end, wrist_thick, arm_thick)
    parts = [*range(FIRST_PHALANX, FIRST_PHALANX + PHALANX_COUNT), *[PALM_PART] * palm, OTHER_BODY, OTHER_BODY]
    pulps = palmar_directions(angles[None])[0].reshape(PHALANX_COUNT, 3)
    return Cones(np.array(ends), np.array(sizes), np.array(parts, dtype=np.uint8), pulps, np.eye(3), joints_mm[0])
