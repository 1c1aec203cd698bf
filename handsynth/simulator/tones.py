"""Colour spaces, and the tones of human skin by their individual typology angle.

The angle is ITA = atan((L* - 50) / b*) in degrees (Chardon, Cretois and Hourseau 1991); its usual classes are very
light above 55, light to 41, intermediate to 28, tan to 10, brown to -30, dark below. An angle leaves a* and b* open:
the table below gives an average of each, chosen to follow the banana-shaped volume of measured skin, yellowest in the
middle and less colourful at both ends; L* follows from the angle and b*.
"""

from __future__ import annotations

import numpy as np

_ITA_DEG = (-65.0, -45.0, -25.0, 0.0, 20.0, 35.0, 50.0, 65.0)
_A = (6.5, 9.0, 11.5, 13.5, 13.0, 11.5, 9.5, 7.5)
_B = (8.0, 12.5, 17.0, 20.0, 20.0, 18.0, 15.0, 11.5)
_WHITE = np.array([0.95047, 1.0, 1.08883])  # D65
_XYZ_TO_SRGB = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)


def to_linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to sRGB values in [0, 1]."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def lab_to_linear(lab: np.ndarray) -> np.ndarray:
    """(..., 3) CIE L*a*b* (D65) to linear sRGB (..., 3); colours outside sRGB come out beyond [0, 1]."""
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    return np.asarray(xyz @ _XYZ_TO_SRGB.T)


def skin_lab(ita_deg: float) -> np.ndarray:
    """(3,) average L*, a*, b* of skin of an angle between -89 and 89 degrees."""
    b = np.interp(ita_deg, _ITA_DEG, _B)
    lightness = np.clip(50 + b * np.tan(np.deg2rad(ita_deg)), 18, 82)
    return np.array([lightness, np.interp(ita_deg, _ITA_DEG, _A), b])


def ita_deg(lab: np.ndarray) -> np.ndarray:
    """(...,) angle of colours (..., 3)."""
    return np.asarray(np.rad2deg(np.arctan2(lab[..., 0] - 50, lab[..., 2])))
