"""How far depth maps are from measured ones: distances over the hand, and overlap of silhouettes.

N maps of H x W px; camera z in mm, NaN = background.
"""

from __future__ import annotations

import numpy as np


def depth_error_mm(made_mm: np.ndarray, real_mm: np.ndarray) -> np.ndarray:
    """(N,) mean absolute difference over the pixels that show the hand in both of (N, H, W); NaN where none does."""
    both = np.isfinite(made_mm) & np.isfinite(real_mm)
    apart = np.where(both, np.abs(np.where(both, made_mm, 0.0) - np.where(both, real_mm, 0.0)), 0.0)
    count = both.sum((1, 2))
    return np.where(count > 0, apart.sum((1, 2), dtype=np.float64) / np.maximum(count, 1), np.nan)


def silhouette_iou(made_mm: np.ndarray, real_mm: np.ndarray) -> np.ndarray:
    """(N,) intersection over union of the hands' pixels in (N, H, W), in [0, 1]; NaN where neither shows a hand."""
    made, real = np.isfinite(made_mm), np.isfinite(real_mm)
    union = (made | real).sum((1, 2))
    return np.where(union > 0, (made & real).sum((1, 2)) / np.maximum(union, 1), np.nan)
