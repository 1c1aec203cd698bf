"""Depth pictures as datasets store them: one 16-bit channel, or two 8-bit channels of three. Read only."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.formats.layout import require_size
from handsynth.hand.camera import Camera
from handsynth.imaging.codecs import join_bytes, read_raw
from handsynth.imaging.warp import Box


def read_depth16(path: Path, camera: Camera, window: Box | None = None, step_mm: float = 1.0) -> np.ndarray:
    """(H, W) float32 mm from one 16-bit channel in steps of ``step_mm``; NaN for 0.

    Raises:
        MissingError, DataError: the picture is not there, is damaged, or of another size or kind.
    """
    steps = require_size(read_raw(path, window), camera, path)
    if steps.ndim != 2 or steps.dtype != np.uint16:
        raise DataError(sentence("a 16-bit depth image of one channel", f"{steps.shape} {steps.dtype}", path))
    return _metric(steps, step_mm, (0,))


def read_depth_bytes(
    path: Path,
    camera: Camera,
    high: int,
    low: int,
    window: Box | None = None,
    step_mm: float = 1.0,
    none: tuple[int, ...] = (0,),
) -> np.ndarray:
    """(H, W) float32 mm from the high and the low byte in two of three 8-bit channels (R 0, G 1, B 2).

    Args:
        none: steps that stand for no measurement; they become NaN.

    Raises:
        MissingError, DataError: as :func:`read_depth16`.
    """
    picture = require_size(read_raw(path, window), camera, path)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise DataError(sentence("an 8-bit depth image of 3 channels", f"{picture.shape} {picture.dtype}", path))
    return _metric(join_bytes(picture[..., high], picture[..., low]), step_mm, none)


def _metric(steps: np.ndarray, step_mm: float, none: tuple[int, ...]) -> np.ndarray:
    missing = steps == none[0]
    for value in none[1:]:
        missing |= steps == value
    return np.where(missing, np.nan, steps * step_mm).astype(np.float32)
