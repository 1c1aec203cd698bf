from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.hand.joints import CHAINS
from handsynth.hand.pose import bone_lengths, chirality, palm_length, side_share
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import PALM_RANGE_MM, random_anatomies
from handsynth.simulator.kinematics import joints_mm, palmar_directions, random_poses
from handsynth.simulator.limits import LIMITS, to_limits, within_limits
from handsynth.simulator.orientation import Orientation, random_rotations
from handsynth.simulator.synergies import natural_angles

seeds = st.integers(0, 2**31)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_natural_angles_respect_the_limits_and_the_coupling(seed: int) -> None:
    assert within_limits(natural_angles(rng(seed), 200)).all()


def test_every_limit_and_coupling_is_checked() -> None:
    angles = np.zeros((6, 5, 4))
    angles[0, 2, 1] = LIMITS[2, 1, 1] + 0.01
    angles[1, 3, 2:] = np.deg2rad([0, 40])  # a last joint bent by itself
    angles[2, 1, :2] = np.deg2rad([22, 85])  # spread with a bent knuckle
    angles[3, 4, 1] = np.deg2rad(88)  # the little finger without the ring finger
    angles[4, 0, :2] = LIMITS[0, :2, 1]  # both axes of the thumb at their ends
    assert within_limits(angles).tolist() == [False] * 5 + [True]


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_angles_brought_to_the_limits_are_within_and_stay(seed: int) -> None:
    wild = rng(seed).normal(0, 1.2, (100, 5, 4))
    once = to_limits(wild)
    assert within_limits(once).all()
    np.testing.assert_allclose(to_limits(once), once, atol=1e-12)
    fine = within_limits(wild * 0.05)
    assert np.array_equal(to_limits(wild * 0.05)[fine], (wild * 0.05)[fine])


def test_natural_poses_fill_the_ranges_without_sticking_to_their_ends() -> None:
    angles = natural_angles(rng(9), 5000)
    share = (np.percentile(angles, 97, axis=0) - np.percentile(angles, 3, axis=0)) / np.ptp(LIMITS, axis=-1)
    assert (share[:, 1:] > 0.6).all()
    assert (share[:, 0] > 0.3).all()
    at_ends = (angles <= LIMITS[..., 0] + 1e-6) | (angles >= LIMITS[..., 1] - 1e-6)
    assert at_ends.mean() < 0.02
    # Neighbours follow each other, the last joints the middle ones.
    flexion = angles[:, 1:, 1]
    for finger in range(3):
        assert np.corrcoef(flexion[:, finger], flexion[:, finger + 1])[0, 1] > 0.4
    assert np.corrcoef(angles[:, 2, 2], angles[:, 2, 3])[0, 1] > 0.7
    wide, bent = np.abs(angles[:, 4, 0]), flexion[:, 3] > np.deg2rad(60)
    assert wide[bent].mean() < 0.75 * wide[~bent].mean()


def test_natural_poses_show_every_set_of_straight_and_folded_fingers() -> None:
    bend = np.rad2deg(natural_angles(rng(9), 20_000)[:, 1:, 1:3].sum(-1))
    for straight in itertools.product([False, True], repeat=4):
        shown = np.where(straight, bend < 45, bend > 110).all(-1)
        assert shown.mean() > 0.002, straight


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_bones_keep_their_lengths_in_every_pose(seed: int) -> None:
    random = rng(seed)
    anatomy = random_anatomies(random, 1).repeated(30)
    joints = joints_mm(anatomy, natural_angles(random, 30))
    bones = bone_lengths(joints)
    np.testing.assert_allclose(bones, np.broadcast_to(bones[:1], bones.shape), atol=1e-9)
    for finger, chain in enumerate(CHAINS):
        lengths = np.linalg.norm(np.diff(joints[:, list(chain)], axis=1), axis=-1)
        np.testing.assert_allclose(lengths, anatomy.phalanges_mm[:, finger], atol=1e-9)


def test_flexion_bends_towards_the_palm_and_straight_fingers_lie_flat() -> None:
    anatomy = random_anatomies(rng(0), 1)
    straight = joints_mm(anatomy, np.zeros((1, 5, 4)))[0]
    assert np.allclose(straight[5:].reshape(4, 4, 3)[..., 2], straight[5:].reshape(4, 4, 3)[:, :1, 2])
    angles = np.zeros((1, 5, 4))
    angles[..., 1] = 0.5
    bent = joints_mm(anatomy, angles)[0]
    assert (bent[[8, 12, 16, 20], 2] > straight[[8, 12, 16, 20], 2] + 20).all()
    assert bent[4, 0] < straight[4, 0] - 20  # the thumb crosses the palm
    lifted = np.zeros((1, 5, 4))
    lifted[0, 0, 0] = 0.5
    assert joints_mm(anatomy, lifted)[0, 4, 2] > straight[4, 2] + 20  # and deviates out of it


def test_palmar_directions_are_unit_and_across_the_bone() -> None:
    random = rng(5)
    angles = natural_angles(random, 50)
    joints = joints_mm(random_anatomies(random, 50), angles)
    bones = np.diff(joints[:, np.array(CHAINS)], axis=2)
    pulps = palmar_directions(angles)
    np.testing.assert_allclose(np.linalg.norm(pulps, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose((bones * pulps).sum(-1), 0, atol=1e-9)


def test_poses_of_either_side_have_that_side_and_lie_before_the_camera() -> None:
    poses = random_poses(rng(2), 3000)
    assert poses.shape == (3000, 21, 3)
    assert poses.dtype == np.float64
    assert side_share(poses) > 0.9
    assert side_share(random_poses(rng(2), 3000, side="left")) < 0.1
    assert 0.4 < side_share(random_poses(rng(2), 3000, side="random")) < 0.6
    assert poses[..., 2].min() > 150
    assert ((palm_length(poses) > PALM_RANGE_MM[0] - 1e-6) & (palm_length(poses) < PALM_RANGE_MM[1] + 1e-6)).all()
    curled = np.abs(chirality(poses)) > 1.5
    assert curled.mean() > 0.5
    assert side_share(poses[curled]) == 1.0


def test_poses_are_the_same_for_the_same_stream() -> None:
    assert np.array_equal(random_poses(rng(7, "a"), 50), random_poses(rng(7, "a"), 50))
    assert not np.array_equal(random_poses(rng(7, "a"), 50), random_poses(rng(7, "b"), 50))


@pytest.mark.parametrize("how", ["frontal", "uniform"])
def test_rotations_are_rotations(how: Orientation) -> None:
    turns = random_rotations(rng(0), 100, how)
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1)


def test_uniform_orientations_have_the_moments_of_the_sphere() -> None:
    turns = random_rotations(rng(1), 40_000, "uniform")
    np.testing.assert_allclose(turns.mean(0), 0, atol=0.015)
    np.testing.assert_allclose((turns**2).mean(0), 1 / 3, atol=0.01)
    np.testing.assert_allclose((turns**4).mean(0), 1 / 5, atol=0.01)
    np.testing.assert_allclose((turns[:, 0, 0] * turns[:, 1, 1]).mean(), 0, atol=0.01)
    # Angles of random rotations have the density (1 - cos a) / pi: mean pi / 2 + 2 / pi.
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert angle.mean() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.01)


def test_frontal_hands_stand_upright_and_seldom_point_at_the_camera() -> None:
    turns = random_rotations(rng(2), 20_000)
    fingers, palms = turns[:, :, 1], turns[:, :, 2]  # camera axes, y down
    np.testing.assert_allclose(fingers.mean(0), [0, -np.exp(-(np.deg2rad(50) ** 2) / 2) * 0.89, 0], atol=0.02)
    assert (np.abs(fingers[:, 2]) > 0.87).mean() < 0.05
    assert (palms[:, 2] ** 2).mean() == pytest.approx(0.45, abs=0.08)  # all faces are seen


def test_poses_can_be_turned_evenly() -> None:
    poses = random_poses(rng(3), 4000, orientation="uniform")
    along = poses[:, 9] - poses[:, 0]
    along /= np.linalg.norm(along, axis=-1, keepdims=True)
    np.testing.assert_allclose((along**2).mean(0), 1 / 3, atol=0.03)
    assert side_share(poses) > 0.9
