"""What points of a surface look like before light falls on them: rows of numbers that compiled code fills and reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Columns: three each of albedo, normal and bleed. THIN is the share of light from behind that comes through, BLEED how
# far red, green and blue light travels under the surface, as a wrap of the cosine.
ALBEDO, GLOSS, NORMAL, THIN, BLEED = 0, 3, 4, 7, 8
COLUMNS = 11
DARKEST, LIGHTEST = 0.004, 0.97
"""No albedo is outside."""


@dataclass(frozen=True)
class Coat:
    """The looks of M points.

    Attributes:
        numbers: (M, 11) float64, a row per point, columns as named above.
    """

    numbers: np.ndarray

    @property
    def albedo(self) -> np.ndarray:
        """(M, 3) linear."""
        return self.numbers[:, ALBEDO : ALBEDO + 3]

    @property
    def gloss(self) -> np.ndarray:
        """(M,) strength of the highlight."""
        return self.numbers[:, GLOSS]

    @property
    def normals(self) -> np.ndarray:
        """(M, 3) unit, with the fine relief; for light only."""
        return self.numbers[:, NORMAL : NORMAL + 3]
