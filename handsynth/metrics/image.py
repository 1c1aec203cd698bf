"""How near one image is to another, pixel by pixel. SSIM is in ``ssim.py``, IS and FID in ``inception.py``."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def l1(
    images: Float[np.ndarray, "N S S 3"],
    truth: Float[np.ndarray, "N S S 3"],
    where: Bool[np.ndarray, "N S S"] | None = None,
) -> Float[np.ndarray, " N"]:
    """Mean absolute difference per image, values in [0, 1]; over the pixels ``where`` says, NaN where none."""
    difference = np.abs(images - truth).mean(-1)
    if where is None:
        return difference.mean((1, 2))
    count = where.sum((1, 2))
    total = np.where(where, difference, 0.0).sum((1, 2))
    return np.divide(total, count, out=np.full(len(images), np.nan), where=count > 0)


def psnr(images: Float[np.ndarray, "N S S 3"], truth: Float[np.ndarray, "N S S 3"]) -> Float[np.ndarray, " N"]:
    """Peak signal to noise ratio in dB per image, peak 1; identical images give infinity."""
    error = ((images - truth) ** 2).mean((1, 2, 3))
    with np.errstate(divide="ignore"):
        return -10 * np.log10(error)
