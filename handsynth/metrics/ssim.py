"""SSIM, structural similarity (Wang et al., IEEE TIP 2004), under the names of its two borders, and mask-SSIM.

Gaussian window of 11 x 11 and sigma 1.5, C1 = 0.01^2, C2 = 0.03^2, data range 1, population covariance; the mean over
channels and pixels. N images, S image side in px. The numbers of different borders are not comparable:

- ``zero``: the window runs over the edge onto zeros, every pixel counts. MM-Hand's comparison code.
- ``valid``: only pixels whose window lies inside the image count. scikit-image's border, so PATN's and Pose-GAN's,
  whose scripts however take the generated image's own span for the data range.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import correlate1d

from handsynth.errors import UsageError, sentence

Padding = Literal["zero", "valid"]

_REACH = 5
_OFFSETS = np.arange(-_REACH, _REACH + 1)
_WINDOW = np.exp(-(_OFFSETS**2) / (2 * 1.5**2)) / np.exp(-(_OFFSETS**2) / (2 * 1.5**2)).sum()
_C1, _C2 = 0.01**2, 0.03**2
_HELD = 16
"""Images compared at once: their float64 maps take 100 MB at 256 px."""


def ssim(
    images: Float[np.ndarray, "N S S 3"],
    truth: Float[np.ndarray, "N S S 3"],
    padding: Padding,
    where: Bool[np.ndarray, "N S S"] | None = None,
) -> Float[np.ndarray, " N"]:
    """SSIM of each image with its truth, at most 1; 1 for equal images.

    Args:
        images, truth: values in [0, 1], both. (MM-Hand's script compares images in [-1, 1] with truth in [0, 1], which
            gives about 0.2 for a perfect one.)
        padding: the border, see above.
        where: mask-SSIM: both images are multiplied by this mask first, as PG2 does; the black rest counts as equal,
            so the number is high wherever the mask is small. NaN where the mask is empty.

    Raises:
        UsageError: ``valid`` on images narrower than the window.
    """
    if padding == "valid" and min(images.shape[1:3]) < len(_WINDOW):
        found = f"{images.shape[1]} px"
        raise UsageError(sentence(f"images of {len(_WINDOW)} px or more", found, "SSIM with valid padding"))
    out = np.empty(len(images))
    for start in range(0, len(images), _HELD):
        part = slice(start, start + _HELD)
        x, y = images[part].astype(np.float64), truth[part].astype(np.float64)
        if where is not None:
            x, y = x * where[part, :, :, None], y * where[part, :, :, None]
        similar = _similarity(x, y)
        if padding == "valid":
            similar = similar[:, _REACH:-_REACH, _REACH:-_REACH]
        out[part] = similar.mean((1, 2, 3))
    return out if where is None else np.where(where.any((1, 2)), out, np.nan)


def _similarity(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The map of local similarities, beyond the edge zeros."""
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    # Moments in float64: their difference would lose most digits of a flat region in float32.
    variances = _smoothed(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = _smoothed(x * y) - mean_x * mean_y
    means = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return means * (2 * covariance + _C2) / (variances + _C2)


def _smoothed(values: np.ndarray) -> np.ndarray:
    for axis in (1, 2):
        values = correlate1d(values, _WINDOW, axis, mode="constant")
    return values
