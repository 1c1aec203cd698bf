from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.hand.camera import Camera, RigidTransform, rotation_matrix

SK_COLOR = Camera(607.92271, 607.88192, 314.78337, 236.42484, 640, 480)
SK_DEPTH = Camera(475.62768, 474.77709, 336.41179, 238.77962, 640, 480)


def test_stb_fixture_numbers() -> None:
    """Datasets' facts 3.8: a point in the depth frame, in the colour frame and in both images."""
    depth_from_color = RigidTransform.of(np.array([0.00531, -0.01196, 0.00301]), np.array([-24.0381, -0.4563, -1.2326]))
    point = np.array([10.0, 20.0, 500.0])
    in_color = depth_from_color.inverse().apply(point)
    np.testing.assert_allclose(in_color, [40.095001, 23.004830, 500.673886], atol=1e-5)
    np.testing.assert_allclose(SK_COLOR.project(in_color), [363.4671, 264.3556], atol=1e-3)
    np.testing.assert_allclose(SK_DEPTH.project(point), [345.9243, 257.7707], atol=1e-3)


def test_rodrigues_oracle() -> None:
    """Models' facts 9.3."""
    expected = [
        [0.859534, -0.497992, -0.114917],
        [0.439868, 0.835316, -0.329794],
        [0.260227, 0.232921, 0.937032],
    ]
    np.testing.assert_allclose(rotation_matrix(np.array([0.3, -0.2, 0.5])), expected, atol=1e-6)
    np.testing.assert_array_equal(rotation_matrix(np.zeros(3)), np.eye(3))


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_lift_undoes_project(seed: int, lens: bool) -> None:
    rng = np.random.default_rng(seed)
    camera = Camera(300, 310, 160, 120, 320, 240, (0.05, -0.02, 1e-3, -1e-3, 0.01) if lens else ())
    points = rng.uniform([-100, -100, 300], [100, 100, 600], (21, 3))
    np.testing.assert_allclose(camera.lift(camera.project(points), points[:, 2]), points, atol=1e-6)


def test_points_behind_the_camera_have_no_image() -> None:
    assert np.isnan(SK_COLOR.project(np.array([[0, 0, -1.0], [0, 0, 0.0]]))).all()


@given(st.integers(0, 2**32 - 1))
def test_rigid_moves_compose_and_invert(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = (RigidTransform.of(rng.normal(size=3), rng.normal(size=3) * 50) for _ in range(2))
    points = rng.normal(size=(5, 3)) * 100
    np.testing.assert_allclose(a.inverse().apply(a.apply(points)), points, atol=1e-9)
    np.testing.assert_allclose(a.compose(b).apply(points), a.apply(b.apply(points)), atol=1e-9)
