from __future__ import annotations

import numpy as np
import pytest

from handsynth.reports.comparison_sheet import comparison_sheet

CELL = 64


def pictures(level: int, count: int = 2, size: int = 32) -> np.ndarray:
    return np.stack([np.full((size, size, 3), level + row, np.uint8) for row in range(count)])


def test_a_column_per_title_and_a_row_per_line() -> None:
    columns = {"target pose": pictures(20), "a generator": pictures(100, size=16), "ground truth": pictures(200)}
    sheet = comparison_sheet(columns, ["near", "far"], cell=CELL)
    assert sheet.shape[1] == 3 * CELL + 2 * 8
    for place, level in enumerate((20, 100, 200)):
        middle = sheet[:, place * (CELL + 8) + CELL // 2, 0]
        first, second = (np.flatnonzero(middle == level + row) for row in range(2))
        assert len(first) == len(second) == CELL  # whatever size the pictures had
        assert first.max() < second.min()
    # Titles above, and a line below each row.
    dark = np.flatnonzero(np.any(sheet.max(-1) < 20, axis=1))
    assert dark.size
    assert dark[0] < np.flatnonzero(sheet[:, 0, 0] == 20)[0]


@pytest.mark.parametrize("columns", [{}, {"one": pictures(1), "two": pictures(1, count=3)}], ids=["none", "uneven"])
def test_a_sheet_without_a_picture_for_each_place_is_our_own_mistake(columns: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="a sheet needs 2 pictures"):
        comparison_sheet(columns, ["near", "far"])
