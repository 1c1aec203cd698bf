from __future__ import annotations

import numpy as np
import pytest

from handsynth.hand.joints import CHAINS
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import random_anatomies, typical_anatomy
from handsynth.simulator.contact import PRESS_MM, gap_mm, relaxed
from handsynth.simulator.gestures import GESTURES
from handsynth.simulator.kinematics import joints_mm
from handsynth.simulator.limits import within_limits
from handsynth.simulator.synergies import natural_angles


def crossed() -> np.ndarray:
    """(2, 5, 4): an open hand, and one whose index finger runs through the middle finger."""
    angles = np.zeros((2, 5, 4))
    angles[:, :, 0] = np.deg2rad([10, 11, 1, -7, -15])
    angles[1, 1, 0], angles[1, 2, 0] = np.deg2rad([-15, 14])
    return angles


def test_gap_sees_a_finger_inside_another_and_passes_an_open_hand() -> None:
    anatomy = typical_anatomy().repeated(2)
    gaps = gap_mm(anatomy, joints_mm(anatomy, crossed()))
    assert gaps[0] > PRESS_MM
    assert gaps[1] < PRESS_MM


def test_gap_is_that_of_the_nearest_points_of_two_bars() -> None:
    # Outer phalanges of index and middle finger sampled densely: no pair of points comes nearer than the gap says.
    anatomy = random_anatomies(rng(1), 60)
    joints = joints_mm(anatomy, natural_angles(rng(2), 60))
    share = np.linspace(0, 1, 41)

    def bar(finger: int) -> tuple[np.ndarray, np.ndarray]:
        ends = joints[:, np.array(CHAINS[finger])][:, 2:]
        radii = anatomy.radii_mm[:, finger, 2:]
        points = ends[:, :1] + share[:, None] * (ends[:, 1:] - ends[:, :1])
        return points, radii[:, :1] + share * (radii[:, 1:] - radii[:, :1])

    (first, first_radii), (second, second_radii) = bar(1), bar(2)
    between = np.linalg.norm(first[:, :, None] - second[:, None], axis=-1)
    between -= first_radii[:, :, None] + second_radii[:, None]
    assert (gap_mm(anatomy, joints) <= between.min((1, 2)) + 0.1).all()


def test_gap_does_not_depend_on_the_frame_or_the_neighbours_in_the_batch() -> None:
    anatomy = random_anatomies(rng(3), 50)
    joints = joints_mm(anatomy, natural_angles(rng(4), 50))
    gaps = gap_mm(anatomy, joints)
    turned = joints @ np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]]) + [5, -7, 400]
    np.testing.assert_allclose(gap_mm(anatomy, turned), gaps, atol=1e-9)
    some = np.array([7, 3])
    assert np.array_equal(gap_mm(anatomy.select(some), joints[some]), gaps[some])


def test_2000_random_poses_are_relaxed_out_of_penetration_by_small_steps() -> None:
    anatomy, angles = random_anatomies(rng(5), 2000), natural_angles(rng(6), 2000)
    before = gap_mm(anatomy, joints_mm(anatomy, angles))
    out = relaxed(anatomy, angles)
    free = before >= PRESS_MM
    assert 0.5 < free.mean() < 0.9
    assert np.array_equal(out[free], angles[free])
    assert (gap_mm(anatomy, joints_mm(anatomy, out)) >= PRESS_MM).all()
    assert within_limits(out).all()
    moved = np.rad2deg(np.abs(out - angles)[~free].max((1, 2)))
    assert np.median(moved) < 6
    assert np.percentile(moved, 95) < 25
    # Shallow contacts need little.
    shallow = (before[~free] > PRESS_MM - 2) & (before[~free] < PRESS_MM)
    assert np.median(moved[shallow]) < 2.5


def test_a_pose_is_relaxed_the_same_way_in_any_company() -> None:
    anatomy, angles = random_anatomies(rng(7), 40), natural_angles(rng(8), 40)
    together = relaxed(anatomy, angles)
    for row in (0, 13, 39):
        alone = relaxed(anatomy.select(np.array([row])), angles[[row]])
        np.testing.assert_allclose(alone[0], together[row], atol=1e-9)


def test_crossed_fingers_are_uncrossed() -> None:
    anatomy = typical_anatomy().repeated(2)
    out = relaxed(anatomy, crossed())
    assert (gap_mm(anatomy, joints_mm(anatomy, out)) >= PRESS_MM).all()


@pytest.mark.parametrize("goal", [-5.0, -1.0])
def test_the_goal_can_be_chosen(goal: float) -> None:
    anatomy = random_anatomies(rng(9), 100)
    fists = np.repeat(GESTURES["fist"].angles[None], 100, axis=0)
    out = relaxed(anatomy, fists, goal)
    assert (gap_mm(anatomy, joints_mm(anatomy, out)) >= goal).all()
