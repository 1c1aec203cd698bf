"""One person's skin, and the numbers by which ``complexion`` paints it. Linear light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.simulator.relief import resolved
from handsynth.simulator.tones import lab_to_linear, skin_lab

# Columns of a skin's row: colours, strengths and shares as in ``Skin``, then how much of the finest relief, of fine
# lines, of folds and of strands of hair is left at the size of a pixel.
BACK, PALM, NAIL = 0, 3, 6
MOTTLING, FRECKLES, VEINS, WRINKLES, GLOSS, HAIR, FREE_EDGE, PAINTED = 9, 10, 11, 12, 13, 14, 15, 16
FINEST_LEFT, LINES_LEFT, FOLDS_LEFT, STRANDS_LEFT = 17, 18, 19, 20
FOLD_MM = 2.3
"""Period of the folds over the knuckles."""
_CELLS = 24
_PALM_ITA_DEG = 42.0  # palms carry little melanin: on dark hands they are clearly lighter
_POLISH = np.array([[0.55, 0.01, 0.03], [0.35, 0.02, 0.12], [0.75, 0.3, 0.35], [0.02, 0.02, 0.03], [0.1, 0.2, 0.5]])


@dataclass(frozen=True)
class Skin:
    """One person's skin.

    Attributes:
        back, palm: (3,) linear albedo of the back of the hand and of the palm.
        texture: (C, C, C) pattern in [-1, 1], repeating.
        mottling, freckles, veins, wrinkles: strengths, 1 is usual and 0 none.
        gloss: strength of the highlight, 0 dry to 1 moist.
        hair: strength, 0 none to 1 dense.
        nail: (3,) linear albedo of the nails; ``painted`` nails have neither moon nor white edge.
        free_edge: share of a nail's length that is white.
        painted: whether the nails are.
    """

    back: np.ndarray
    palm: np.ndarray
    texture: np.ndarray
    mottling: float
    freckles: float
    veins: float
    wrinkles: float
    gloss: float
    hair: float
    nail: np.ndarray
    free_edge: float
    painted: bool

    def row(self, footprint_mm: float) -> np.ndarray:
        """(21,) float64, columns as named above; a pixel covers ``footprint_mm`` on the hand."""
        strengths = (self.mottling, self.freckles, self.veins, self.wrinkles, self.gloss, self.hair)
        left = [resolved(size, footprint_mm) for size in (2.0, 0.9, FOLD_MM / 2, 0.5)]
        return np.array([*self.back, *self.palm, *self.nail, *strengths, self.free_edge, self.painted, *left])


def draw_skin(
    rng: np.random.Generator, ita_range_deg: tuple[float, float], variety: float = 1.0, hairy: float = 0.0,
    polish: float = 0.0,
) -> Skin:  # fmt: skip
    """Draw a person's skin.

    Args:
        rng: the person's.
        ita_range_deg: range of the individual typology angle of the back of the hand.
        variety: factor on the differences between people of one tone.
        hairy, polish: chances of hair and of painted nails.
    """
    angle = float(rng.uniform(*ita_range_deg))
    lab = skin_lab(angle) + variety * rng.normal(0, [1.5, 1.5, 1.5])
    palm = skin_lab(angle + 0.55 * max(_PALM_ITA_DEG - angle, 0)) + variety * rng.normal(0, [1.5, 2.0, 1.2])
    palm += [-0.5, 7.0, -0.5]
    worn = rng.random()  # age and work
    strengths = np.exp(variety * rng.normal(0, 0.4, 4)) * (1 + variety * (worn - 0.5) * np.array([0.3, 1.8, 1.2, 1.2]))
    gloss = 0.45 + variety * rng.uniform(-0.3, 0.4)
    nail = np.clip(lab_to_linear(0.68 * palm + 0.32 * np.array([76.0, 14.0, 10.0])), 0.02, 0.9)
    painted = rng.random() < polish
    if painted:
        nail = _POLISH[int(rng.integers(len(_POLISH)))] * rng.uniform(0.7, 1.3)
    hair = rng.uniform(0.2, 1.0) if rng.random() < hairy else 0.0
    texture = rng.uniform(-1, 1, (_CELLS,) * 3).astype(np.float32)
    free_edge = float(np.clip(0.08 + variety * rng.normal(0, 0.06), 0, 0.3))
    back, palm = (np.clip(lab_to_linear(color), 0.01, 0.95) for color in (lab, palm))
    mottling, freckles, veins, wrinkles = (float(strength) for strength in strengths)
    return Skin(
        back, palm, texture, mottling, freckles, veins, wrinkles, gloss, hair, nail, free_edge, painted
    )  # fmt: skip
