"""Pose identity: the oracle poses, the hull against Qhull and OpenCV, and what must not change it."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import ConvexHull

from handsynth.hand.camera import rotation_matrix
from handsynth.poseindex.identity import hull_area, identity, joint_difference
from tests.poseindex.hand_made import blobs, pose_a, pose_b

PIXELS = st.floats(-1e3, 1e3, allow_subnormal=False)


def test_oracle_poses() -> None:
    poses = np.stack([pose_a(), pose_b()])
    f = identity(poses, poses[..., :2])
    a = [178.465683, 161.731259, 156.160174, 162.901811, 180.582391, 98.59098, 151.261363]
    b = [178.465683, 137.858623, 156.160174, 162.901811, 180.582391, 96.119068, 151.261363]
    np.testing.assert_allclose(f, [a, b], atol=5e-7)
    np.testing.assert_allclose(f[0, 6] ** 2, 22_880)


def test_blocks_do_not_show() -> None:
    poses = blobs(0, 2500)
    f = identity(poses, poses[..., :2])
    one_by_one = np.concatenate([identity(pose[None], pose[None, :, :2]) for pose in poses[::97]])
    np.testing.assert_array_equal(f[::97], one_by_one)
    assert identity(poses[:0], poses[:0, :, :2]).shape == (0, 7)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_rigid_move_changes_nothing_and_a_scale_scales(seed: int) -> None:
    poses = blobs(seed, 5)
    rng = np.random.default_rng(seed)
    turn, scale = rotation_matrix(rng.normal(size=3)), float(rng.uniform(0.3, 3))
    f = identity(poses, poses[..., :2])
    plane = poses[..., :2] @ rotation_matrix(np.array([0, 0, 1.0]))[:2, :2].T + 40
    np.testing.assert_allclose(identity(poses @ turn.T + (5, -3, 80), plane), f, rtol=1e-10)
    np.testing.assert_allclose(identity(poses * scale, poses[..., :2] * scale), f * scale, rtol=1e-10)


def test_a_missing_joint_is_not_a_number() -> None:
    poses = blobs(1, 4)
    keypoints = poses[..., :2].copy()
    poses[1, 4], keypoints[2, 7, 0], keypoints[3, 7, 1] = np.nan, np.nan, np.nan
    missing = np.isnan(identity(poses, keypoints))
    assert not missing[0].any()
    assert missing[1].tolist() == [True, False, False, False, False, True, False]
    assert missing[2:].tolist() == [[False] * 6 + [True]] * 2


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.float64, (21, 2), elements=st.integers(-6, 6).map(float) | PIXELS))
def test_hull_area_agrees_with_opencv(points: np.ndarray) -> None:
    points = points.astype(np.float32)  # what OpenCV computes with
    expected = cv2.contourArea(cv2.convexHull(points)) if len(np.unique(points, axis=0)) > 2 else 0.0
    np.testing.assert_allclose(hull_area(points[None])[0], expected, rtol=1e-4, atol=1e-2)


def test_hull_area_is_exact() -> None:
    points = np.random.default_rng(2).normal(size=(300, 21, 2)) * (80, 3) @ rotation_matrix(np.ones(3))[:2, :2]
    expected = [ConvexHull(some).volume for some in points]
    np.testing.assert_allclose(hull_area(points), expected, rtol=1e-12)


def test_hull_area_of_thin_sets() -> None:
    along = np.linspace(0, 1, 21)
    line = np.stack([100 * along, 57 * along + 1000], axis=-1)
    column = np.stack([np.full(21, 3.0), along], axis=-1)
    dot = np.full((21, 2), 7.5)
    sliver = line.copy()
    sliver[10, 1] += 1e-6
    area = hull_area(np.stack([line, column, dot, sliver]))
    np.testing.assert_allclose(area, [0, 0, 0, 100 * 1e-6 / 2], rtol=1e-4, atol=1e-10)


def test_joint_difference_ignores_where_the_hand_is() -> None:
    poses = blobs(3, 6)
    features = joint_difference(poses)
    assert features.shape == (6, 60)
    np.testing.assert_array_equal(features[:, :3], poses[:, 1] - poses[:, 0])
    np.testing.assert_allclose(joint_difference(poses + np.array([7, -7, 100])), features, atol=1e-12)
