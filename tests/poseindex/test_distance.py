"""Pose distance: oracles of both definitions, the metric properties, exactness near 0 and near 1."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import DataError, UsageError
from handsynth.poseindex.distance import DISTANCES, features, pose_distance, unit
from tests.poseindex.hand_made import blobs, pose_a, pose_b

NAMES = pytest.mark.parametrize("name", sorted(DISTANCES))


def distance(name: str, u: np.ndarray, v: np.ndarray) -> float:
    f = features(name, np.stack([u, v]), np.stack([u, v])[..., :2])
    return float(pose_distance(f[0], f[1]))


def random_pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.RandomState(0)  # the oracle's own stream
    u, v = (rng.randn(21, 3) * 30 + (0, 0, 500) for _ in range(2))
    return u, v


@pytest.mark.parametrize(
    ("name", "u", "v", "expected"),
    [
        ("joint_difference", pose_a(), pose_b(), 0.04918818635),
        ("paper", pose_a(), pose_b(), 0.01708555723),
        ("joint_difference", *random_pair(), 0.46558012720),
        ("paper", *random_pair(), 0.06462426914),
        ("joint_difference", pose_a(), -pose_a(), 1.0),
        ("joint_difference", pose_a(), pose_a() + 7, 0.0),
        ("joint_difference", pose_a(), 2 * pose_a(), 0.0),
        ("paper", pose_a(), 2 * pose_a(), 0.0),
    ],
)
def test_oracles(name: str, u: np.ndarray, v: np.ndarray, expected: float) -> None:
    # The paper form of the random pair was computed with OpenCV's float32 hull.
    tolerance = 2e-9 if expected == 0.06462426914 else 6e-12
    assert distance(name, u, v) == pytest.approx(expected, abs=tolerance)


@NAMES
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_metric_properties(name: str, seed: int) -> None:
    poses = blobs(seed, 12)
    f = features(name, poses, poses[..., :2])
    d = pose_distance(f[:, None], f[None])
    np.testing.assert_array_equal(d, d.T)
    assert (np.diag(d) == 0).all()
    assert (d >= 0).all()
    assert (d <= (0.5 if name == "paper" else 1.0)).all()
    assert (d[:, :, None] <= d[:, None, :] + d.T[None] + 1e-12).all()  # angles obey the triangle inequality
    scale = np.random.default_rng(seed).uniform(0.01, 100, size=(12, 1))
    np.testing.assert_allclose(pose_distance(f * scale, f[::-1]), pose_distance(f, f[::-1]), atol=1e-15)


@pytest.mark.parametrize("angle", [1e-150, 1e-15, 1e-9, 0.3, np.pi / 2, 3.0, np.pi - 1e-9, np.pi])
def test_every_angle_is_exact(angle: float) -> None:
    u, v = np.array([1.0, 0.0, 0.0]), np.array([np.cos(angle), np.sin(angle), 0.0])
    assert float(pose_distance(u, v)) == pytest.approx(angle / np.pi, rel=1e-15, abs=0)


@pytest.mark.parametrize(("value", "what"), [(0.0, "zero vector"), (np.nan, "not finite"), (np.inf, "not finite")])
def test_what_has_no_direction_is_refused(value: float, what: str) -> None:
    f = np.ones((3, 7))
    f[1] = value
    with pytest.raises(DataError, match=f"{what}.*pose 1"):
        unit(f)
    with pytest.raises(DataError):
        pose_distance(f[0], f[1])


def test_an_unknown_name_is_a_wrong_use() -> None:
    with pytest.raises(UsageError, match="joint_difference"):
        features("euclid", blobs(0, 1), blobs(0, 1)[..., :2])
