"""Generators side by side in the layout of MM-Hand's figure 5: a row per target pose, a column per generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from handsynth.imaging.draw import label, tile
from handsynth.imaging.warp import resize_stack

_GAP = 8


def comparison_sheet(columns: Mapping[str, np.ndarray], words: Sequence[str], cell: int = 160) -> np.ndarray:
    """Draw the sheet.

    Args:
        columns: from left to right, title and (N, S, S, 3) uint8 pictures, whose sides S may differ.
        words: N lines, each written below its row.
        cell: side of a picture in px.

    Returns:
        (H, W, 3) uint8, on white.

    Raises:
        ValueError: there is no column, or one has another number of pictures than there are words.
    """
    wrong = {title: len(pictures) for title, pictures in columns.items() if len(pictures) != len(words)}
    if wrong or not columns:
        raise ValueError(f"a sheet needs {len(words)} pictures in each column, found {wrong or 'no column'}")
    line = max(18, cell // 9)
    strip = np.full((0, cell, 3), 255, np.uint8)
    parts = [tile([label(strip, title, line, ink=0) for title in columns], len(columns), _GAP)]
    fitted = [resize_stack(pictures, cell) for pictures in columns.values()]
    for at, text in enumerate(words):
        row = tile([pictures[at] for pictures in fitted], len(columns), _GAP)
        parts.append(label(row, text, line))
    return np.concatenate(parts)
