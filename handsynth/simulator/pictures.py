"""A user's folder of pictures as places behind hands: read, cropped, mirrored and resized."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from handsynth.errors import MissingError, sentence
from handsynth.imaging.codecs import read_color

_ENDINGS = (".png", ".jpg", ".jpeg")
_SMALLEST_CROP = 0.4


def picture(rng: np.random.Generator, folder: str, height: int, width: int) -> np.ndarray:
    """A drawn part of a drawn picture, mirrored half of the time: (H, W, 3) float32 sRGB in [0, 1].

    Args:
        rng: draws; the same draws and files give the same pixels.
        folder: holds PNG and JPEG files, in subfolders too; they are numbered by their sorted names. A process lists a
            folder once.
        height, width: of the result; parts have its shape and are 40 to 100 % as large as fits into the picture.

    Raises:
        MissingError: the folder is not there or holds no picture.
        DataError: a picture is damaged.
    """
    names = picture_names(folder)
    image = read_color(Path(folder) / names[int(rng.integers(len(names)))])
    rows, columns = image.shape[:2]
    share = min(rows / height, columns / width) * rng.uniform(_SMALLEST_CROP, 1.0)
    high, wide = max(round(height * share), 1), max(round(width * share), 1)
    high, wide = min(high, rows), min(wide, columns)
    top, left = int(rng.integers(rows - high + 1)), int(rng.integers(columns - wide + 1))
    part = image[top : top + high, left : left + wide]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    method = cv2.INTER_AREA if high > height else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=method)
    return np.asarray(resized, dtype=np.float32) / 255


@lru_cache(maxsize=4)
def picture_names(folder: str) -> tuple[str, ...]:
    """Paths of the pictures below a folder, relative to it, sorted, with forward slashes.

    Raises:
        MissingError: the folder is not there or holds no picture.
    """
    root = Path(folder)
    names = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix.lower() in _ENDINGS]
    if not names:
        found = "none" if root.is_dir() else "no such folder"
        advice = "name a folder of pictures, or leave looks.background_folder unset"
        raise MissingError(sentence("pictures ending in " + ", ".join(_ENDINGS), found, root, advice))
    return tuple(sorted(names))
