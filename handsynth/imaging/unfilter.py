"""PNG's row filters undone, compiled by numba. Importing it imports numba, which takes a third of a second.

Compiled once per machine and kept beside this file, or in the user's cache where that is not writable.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int32, njit, uint8, uint32, uintp

# Indices are unsigned throughout: numba then leaves out the test for negative ones, which doubles the pace.
_ONE, _TWO, _THREE = uintp(1), uintp(2), uintp(3)


@njit(nogil=True)
def paeth(a: Any, b: Any, c: Any) -> Any:
    """Whichever of left ``a``, above ``b`` and above left ``c`` is nearest to a + b - c; in doubt a, then b.

    The larger of a and b is nearest where 3c - a - b is at most the smaller one, the smaller one where it is at least
    the larger one, c in between: two comparisons instead of three distances.
    """
    low, high, threshold = min(a, b), max(a, b), 3 * c - a - b
    middle = low if high <= threshold else c
    return high if threshold <= low else middle


@njit(nogil=True)
def _paeth_rgb(line: np.ndarray, above: np.ndarray, out: np.ndarray) -> None:
    """A row of three channels: what lies left stays in registers, which saves a third of the time."""
    a0, a1, a2, c0, c1, c2 = int32(0), int32(0), int32(0), int32(0), int32(0), int32(0)
    for pixel in range(len(line) // 3):
        i = uintp(pixel) * _THREE
        b0, b1, b2 = int32(above[i]), int32(above[i + _ONE]), int32(above[i + _TWO])
        a0 = (paeth(a0, b0, c0) + int32(line[i])) & int32(255)
        a1 = (paeth(a1, b1, c1) + int32(line[i + _ONE])) & int32(255)
        a2 = (paeth(a2, b2, c2) + int32(line[i + _TWO])) & int32(255)
        out[i], out[i + _ONE], out[i + _TWO] = uint8(a0), uint8(a1), uint8(a2)
        c0, c1, c2 = b0, b1, b2


def _unfilter(
    filtered: np.ndarray, stride: int, step: int, first: int, last: int, length: int, out: np.ndarray
) -> bool:
    """Undo the filters of rows ``first`` to ``last`` - 1, the first ``length`` bytes of each.

    Rows above ``first`` are left alone, save those that ``first`` is computed from.

    Args:
        filtered: (>= last * stride,) uint8: per row the number of its filter, then its bytes.
        stride: bytes per row, the filter's number included.
        step: bytes per pixel.
        length: at most stride - 1, a whole number of pixels.
        out: (>= last, >= length) uint8.

    Returns:
        False where a row has a filter that PNG does not know; ``out`` is then of no use.
    """
    width, pixel = uintp(length), uintp(step)
    # Rows filtered with 0 or 1 look at no other row, so nothing above the last of them matters.
    start = first
    while start > 0 and filtered[start * stride] > 1:
        start -= 1
    nothing = np.zeros(length, dtype=np.uint8)
    for row in range(start, last):
        at = row * stride
        kind = filtered[at]
        line, here = filtered[at + 1 : at + 1 + length], out[row, :length]
        above = out[row - 1, :length] if row > 0 else nothing
        if kind == 0:
            for i in range(width):
                here[i] = line[i]
        elif kind == 1:
            for i in range(pixel):
                here[i] = line[i]
            for i in range(pixel, width):
                here[i] = line[i] + here[i - pixel]
        elif kind == 2:
            for i in range(width):
                here[i] = line[i] + above[i]
        elif kind == 3:
            for i in range(pixel):
                here[i] = line[i] + (above[i] >> uint8(1))
            for i in range(pixel, width):
                here[i] = line[i] + uint8((uint32(here[i - pixel]) + uint32(above[i])) >> uint32(1))
        elif kind == 4 and pixel == _THREE:
            _paeth_rgb(line, above, here)
        elif kind == 4:
            for i in range(pixel):
                here[i] = line[i] + above[i]
            for i in range(pixel, width):
                near = paeth(int32(here[i - pixel]), int32(above[i]), int32(above[i - pixel]))
                here[i] = uint8(near + int32(line[i]))
        else:
            return False
    return True


_SIGNATURE = "b1(Array(u1, 1, 'C', readonly=True), i8, i8, i8, i8, i8, u1[:, ::1])"
try:
    unfilter = njit(_SIGNATURE, nogil=True, cache=True)(_unfilter)
except RuntimeError:  # no place to keep the compiled code
    unfilter = njit(_SIGNATURE, nogil=True)(_unfilter)
