"""From light to numbers: what a camera does to colours, and what a depth sensor does to distances."""

from __future__ import annotations

import cv2
import numpy as np


def develop(
    linear: np.ndarray,
    rng: np.random.Generator,
    exposure: float,
    gains: np.ndarray,
    blur_px: float,
    noise: float,
) -> np.ndarray:
    """Expose, tint, blur, add noise and encode as sRGB.

    Args:
        linear: (H, W, 3) float32 linear light; 1 is white at exposure 1.
        rng: for the noise.
        exposure: factor on the light.
        gains: (3,) of the channels, the error of the white balance.
        blur_px: standard deviation of the lens' blur; 0 is none.
        noise: standard deviation at full light; half of it remains in the dark.

    Returns:
        (H, W, 3) uint8.
    """
    image = linear * (exposure * gains).astype(np.float32)
    if blur_px > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    if noise > 0:
        # Photons arrive by chance (the root of the light); the electronics add a floor.
        spread = noise * np.sqrt(0.25 + 0.75 * np.clip(image, 0, 1))
        image = image + spread * rng.standard_normal(image.shape, dtype=np.float32)
    return np.asarray(np.round(255 * from_linear(image)), dtype=np.uint8)


def from_linear(linear: np.ndarray) -> np.ndarray:
    """Linear light to sRGB values in [0, 1]; highlights roll off into white instead of clipping hard."""
    light = np.clip(linear, 0, None)
    light = np.where(light > 0.8, 1 - 0.2 * np.exp(-(light - 0.8) / 0.2), light)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def measure(depth_mm: np.ndarray, rng: np.random.Generator, noise_mm: float, step_mm: float) -> np.ndarray:
    """(H, W) float32 depth with normal noise and rounding to a step; both 0 leave it exact. NaN stays NaN."""
    out = depth_mm
    if noise_mm > 0:
        out = out + noise_mm * rng.standard_normal(out.shape, dtype=np.float32)
    if step_mm > 0:
        out = np.round(out / step_mm) * step_mm
    return np.asarray(out, dtype=np.float32)
