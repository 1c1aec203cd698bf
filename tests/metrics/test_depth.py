from __future__ import annotations

import numpy as np
import pytest

from handsynth.metrics.depth import depth_error_mm, silhouette_iou

NONE = np.nan
REAL = np.array([[[NONE, 500.0], [510.0, 520.0]]])


@pytest.mark.parametrize(
    ("made", "error", "iou"),
    [
        (REAL[0], 0, 1),
        (REAL[0] + 4, 4, 1),
        ([[NONE, 506.0], [NONE, 520.0]], 3, 2 / 3),  # a hole counts in the silhouette alone
        ([[1.0, 500.0], [510.0, 529.0]], 3, 3 / 4),
        ([[7.0, NONE], [NONE, NONE]], NONE, 0),
        (np.full((2, 2), NONE), NONE, 0),
    ],
)
def test_examples(made: list[list[float]], error: float, iou: float) -> None:
    maps = np.concatenate([np.array(made)[None], REAL])
    real = np.concatenate([REAL, REAL])
    np.testing.assert_allclose(depth_error_mm(maps, real), [error, 0], equal_nan=True)
    np.testing.assert_allclose(silhouette_iou(maps, real), [iou, 1])


def test_two_empty_maps_have_no_score() -> None:
    empty = np.full((1, 2, 2), NONE)
    assert np.isnan(depth_error_mm(empty, empty)).all()
    assert np.isnan(silhouette_iou(empty, empty)).all()
