"""Pose fidelity: the score of an image, and who stays."""

from __future__ import annotations

import numpy as np

from handsynth.metrics.fidelity import fidelity_mm, keep


def test_the_score_is_the_mean_over_counted_joints() -> None:
    errors = np.full((3, 21), np.nan)
    errors[0] = 7.0
    errors[1, :2] = 4.0, 8.0
    np.testing.assert_array_equal(fidelity_mm(errors), [7.0, 6.0, np.nan])


def test_images_go_with_a_reason_and_stay_without() -> None:
    kept, reasons = keep(np.array([3.0, 10.0, 10.04, np.nan]), most_mm=10.0)
    assert kept.tolist() == [True, True, False, False]
    assert reasons == ["", "", "pose error 10.0 mm, over 10 mm", "no joint to judge the pose by"]
