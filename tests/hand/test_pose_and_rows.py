from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handsynth.hand.pose import bone_lengths, chirality, palm_from_wrist, side_share, wrist_from_palm
from handsynth.hand.rows import column, from_row, row_schema, to_table
from handsynth.hand.sample import HandSample
from tests.hands import make_samples


def curled(side: float) -> np.ndarray:
    """A right (1) or left (-1) hand, palm to the camera, fingers up and curled towards it."""
    joints = np.zeros((21, 3))
    for finger, x in enumerate((-40, -25, -5, 15, 35)):
        for segment in range(4):
            angle = 0.5 * segment
            previous = joints[4 * finger + segment] if segment else np.array([x, -60.0, 400.0])
            joints[4 * finger + 1 + segment] = previous + 25 * np.array([0, -np.cos(angle), -np.sin(angle)])
    joints[0] = [0, 0, 400]
    joints[:, 0] *= side
    return joints


def test_chirality_tells_the_sides_apart() -> None:
    # Palm to the camera and fingers up in the image, a right hand's thumb points to the image's right.
    assert chirality(curled(-1.0)) > 1
    assert chirality(curled(1.0)) < -1
    assert side_share(np.stack([curled(-1.0), curled(1.0)])) == 0.5


@given(st.integers(0, 2**32 - 1))
def test_chirality_flips_in_the_mirror_and_not_by_turning(seed: int) -> None:
    rng = np.random.default_rng(seed)
    joints = rng.normal(size=(21, 3)) * 30
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.linalg.det(q))
    np.testing.assert_allclose(chirality(joints @ q.T), chirality(joints), atol=1e-9)
    np.testing.assert_allclose(chirality(joints * [-1, 1, 1]), -chirality(joints), atol=1e-9)


def test_palm_and_wrist_are_inverse() -> None:
    wrist, ring = np.array([1.0, 2, 3]), np.array([5.0, 5, 5])
    np.testing.assert_allclose(wrist_from_palm(palm_from_wrist(wrist, ring), ring), wrist)


def test_bone_lengths_follow_the_chain() -> None:
    np.testing.assert_allclose(bone_lengths(curled(1.0))[1:4], 25, atol=1e-9)


def test_rows_hold_every_word_and_number() -> None:
    samples = make_samples(3)
    bare = HandSample(key="bare")
    table = to_table([*samples, bare])
    assert table.schema == row_schema()
    for sample, row in zip([*samples, bare], table.to_pylist(), strict=True):
        back = from_row(row)
        assert (back.key, back.side, back.moment, back.split) == (sample.key, sample.side, sample.moment, sample.split)
        assert back.camera == sample.camera
        for name in ("joints_mm", "keypoints_px", "joint_state", "visible"):
            one, two = getattr(back, name), getattr(sample, name)
            assert (one is None) == (two is None)
            if one is not None:
                np.testing.assert_array_equal(one, two)
        if sample.world_from_camera is not None:
            assert back.world_from_camera is not None
            np.testing.assert_allclose(back.world_from_camera.rotation, sample.world_from_camera.rotation)
        assert sorted(back.extra) == sorted(sample.extra)
    joints = column(table, "joints_mm")
    assert joints.shape == (4, 21, 3)
    assert np.isnan(joints[3]).all()


def test_a_wrong_shape_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"joints_mm of x: expected \(21, 3\) float32"):
        HandSample(key="x", joints_mm=np.zeros((20, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="depth_mm of x"):
        HandSample(key="x", depth_mm=np.zeros((4, 4)))
