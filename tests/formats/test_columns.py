"""Columns from whole arrays: nested lists and calibration matrices are checked, the entry at fault is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError
from handsynth.formats.columns import intrinsics, stacked


def test_nested_lists_become_one_array() -> None:
    assert stacked([[1, 2], [3, 4.5]], (2,), "pair", str).tolist() == [[1, 2], [3, 4.5]]
    assert stacked([0.5, 1], (), "scale", str).tolist() == [0.5, 1]
    assert stacked([], (21, 3), "xyz", str).shape == (0, 21, 3)


@pytest.mark.parametrize(
    ("odd", "says"),
    [
        ([1], "pair of 2 numbers, finite, found 1 numbers in row 1"),
        (3.0, "found one number in row 1"),
        ([[1], [2, 3]], "lists of unequal length in row 1"),
        ([1, None], "row 1"),
        ([1, float("inf")], "NaN or infinity in row 1"),
    ],
)
def test_the_entry_at_fault_is_named(odd: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        stacked([[1, 2], odd, [5, 6]], (2,), "pair", lambda i: f"row {i}")


def test_matrices_of_pinholes_only() -> None:
    k = np.array([[[480.0, 0, 112], [0, 481, 113], [0, 0, 1]]] * 2)
    assert intrinsics(k, str).tolist() == [[480, 481, 112, 113]] * 2
    for place, value in (((1, 0, 1), 2.0), ((1, 1, 0), 1.0), ((1, 2, 0), 1.0), ((1, 2, 2), 2.0), ((1, 0, 0), -480.0)):
        odd = k.copy()
        odd[place] = value
        with pytest.raises(DataError, match="without skew, found another in entry 1"):
            intrinsics(odd, lambda i: f"entry {i}")
