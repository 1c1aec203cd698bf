from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.hand.joints import CHAINS
from handsynth.hand.pose import bone_lengths, chirality, palm_length, side_share
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import PALM_RANGE_MM, random_anatomies
from handsynth.simulator.contact import PRESS_MM, gap_mm
from handsynth.simulator.kinematics import (
    LIMITS,
    joints_mm,
    natural_angles,
    palmar_directions,
    random_poses,
    random_rotations,
    within_limits,
)

seeds = st.integers(0, 2**31)


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_natural_angles_respect_the_limits_and_the_coupling(seed: int) -> None:
    assert within_limits(natural_angles(rng(seed), 200)).all()


def test_limits_and_coupling_are_checked() -> None:
    angles = natural_angles(rng(0), 3)
    angles[0, 2, 1] = LIMITS[2, 1, 1] + 0.01
    angles[1, 3, 2:] = [np.deg2rad(90), 0.0]
    assert within_limits(angles).tolist() == [False, False, True]


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_bones_keep_their_lengths_in_every_pose(seed: int) -> None:
    random = rng(seed)
    anatomy = random_anatomies(random, 1).select(np.zeros(30, dtype=int))
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
    assert bent[4, 0] < straight[4, 0]  # the thumb crosses the palm


def test_palmar_directions_are_unit_and_across_the_bone() -> None:
    random = rng(5)
    angles = natural_angles(random, 50)
    joints = joints_mm(random_anatomies(random, 50), angles)
    bones = np.diff(joints[:, np.array(CHAINS)], axis=2)
    pulps = palmar_directions(angles)
    np.testing.assert_allclose(np.linalg.norm(pulps, axis=-1), 1, atol=1e-12)
    np.testing.assert_allclose((bones * pulps).sum(-1), 0, atol=1e-9)


def test_hands_have_human_sizes() -> None:
    anatomy = random_anatomies(rng(1), 2000)
    assert anatomy.palm_mm.min() >= PALM_RANGE_MM[0] - 1e-9
    assert anatomy.palm_mm.max() <= PALM_RANGE_MM[1] + 1e-9
    assert 80 < anatomy.palm_mm.mean() < 90
    middle = anatomy.phalanges_mm[:, 2].sum(-1)
    assert np.corrcoef(anatomy.palm_mm, middle)[0, 1] > 0.7
    assert (middle > anatomy.phalanges_mm[:, 4].sum(-1)).all()
    assert (np.diff(anatomy.radii_mm, axis=-1) < 0).all()


def test_poses_of_either_side_have_that_side_and_lie_before_the_camera() -> None:
    poses = random_poses(rng(2), 3000)
    assert poses.shape == (3000, 21, 3)
    assert poses.dtype == np.float64
    assert side_share(poses) > 0.9
    assert side_share(random_poses(rng(2), 3000, side="left")) < 0.1
    assert 0.4 < side_share(random_poses(rng(2), 3000, side="random")) < 0.6
    assert poses[..., 2].min() > 150
    assert (np.abs(palm_length(poses) - 85) < 16).all()
    curled = np.abs(chirality(poses)) > 1.5
    assert curled.mean() > 0.5
    assert side_share(poses[curled]) == 1.0


def test_poses_are_the_same_for_the_same_stream() -> None:
    assert np.array_equal(random_poses(rng(7, "a"), 50), random_poses(rng(7, "a"), 50))
    assert not np.array_equal(random_poses(rng(7, "a"), 50), random_poses(rng(7, "b"), 50))


def test_rotations_are_rotations() -> None:
    turns = random_rotations(rng(0), 100)
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(turns), 1)


def test_gap_sees_a_finger_inside_another_and_passes_an_open_hand() -> None:
    anatomy = random_anatomies(rng(0), 1)
    open_hand = np.zeros((1, 5, 4))
    open_hand[0, :, 0] = np.deg2rad([10, 11, 1, -7, -15])
    crossed = open_hand.copy()
    crossed[0, 1, 0], crossed[0, 2, 0] = np.deg2rad([-15, 14])
    both = anatomy.select(np.zeros(2, dtype=int))
    gaps = gap_mm(both, joints_mm(both, np.concatenate([open_hand, crossed])))
    assert gaps[0] > PRESS_MM
    assert gaps[1] < PRESS_MM
