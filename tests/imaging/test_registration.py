"""Depth between cameras, samples through other cameras: identity, planes, visibility, and joints that follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.sample import HandSample
from handsynth.imaging.registration import fitted, register_depth, registered, same_camera, seen_by
from handsynth.imaging.warp import Box

SMALL = Camera(60.0, 62.0, 31.0, 23.0, 64, 48)
LARGE = Camera(100.0, 98.0, 52.0, 37.0, 100, 80)
STAY = RigidTransform.of(np.eye(3), np.zeros(3))
ASIDE = RigidTransform.of(np.array([0.005, -0.012, 0.003]), np.array([-24.0, -0.5, -1.2]))


def plane(camera: Camera, normal: np.ndarray, distance_mm: float) -> np.ndarray:
    """Depth image of the plane normal . X = distance."""
    grid = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    rays = camera.lift(grid, np.ones(grid.shape[:2]))
    return (distance_mm / (rays @ normal)).astype(np.float32)


def sample(camera: Camera, **more: object) -> HandSample:
    rng = np.random.default_rng(0)
    joints = (rng.normal(0, 40, (21, 3)) + np.array([0, 0, 450])).astype(np.float32)
    return HandSample(
        key="a", joints_mm=joints, keypoints_px=camera.project(joints).astype(np.float32), camera=camera, **more
    )  # type: ignore[arg-type]


@given(st.integers(0, 2**32 - 1))
def test_same_camera_same_place_is_the_identity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(200, 900, (SMALL.height, SMALL.width)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.3] = np.nan
    np.testing.assert_allclose(register_depth(depth, SMALL, SMALL, STAY), depth, rtol=1e-6)


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(300, 800))
def test_a_plane_stays_a_plane_without_holes(tilt_x: float, tilt_y: float, distance: float) -> None:
    normal = np.array([tilt_x, tilt_y, 1.0])
    moved = register_depth(plane(SMALL, normal, distance), SMALL, LARGE, ASIDE)
    rotation, translation = np.array(ASIDE.rotation), np.array(ASIDE.translation_mm)
    turned = rotation @ normal
    expected = plane(LARGE, turned, distance + float(turned @ translation))
    known = np.isfinite(moved)
    # A pixel is as wide as 1 / fx of its distance; a sloping surface changes by no more than that between pixels.
    slope = (abs(tilt_x) + abs(tilt_y) + 0.02) / 60 * expected * 2
    assert (np.abs(moved - expected)[known] <= slope[known] + 0.5).all()
    middle = moved[25:55, 30:70]
    assert np.isfinite(middle).mean() > 0.999


@given(
    st.integers(0, 2**32 - 1),
    st.builds(Box, st.integers(-40, 110), st.integers(-40, 90), st.integers(1, 90)),
    st.sampled_from([ASIDE, STAY, RigidTransform.of(np.array([0.3, -0.4, 0.5]), np.array([-90.0, 60.0, 80.0]))]),
    st.booleans(),
)
def test_inside_a_window_depth_is_that_of_the_whole(
    seed: int, window: Box, move: RigidTransform, distorted: bool
) -> None:
    rng = np.random.default_rng(seed)
    depth = rng.uniform(150, 900, (SMALL.height, SMALL.width)).astype(np.float32)
    depth[rng.random(depth.shape) < rng.choice([0.1, 0.9, 1.0])] = np.nan
    lens = replace(SMALL, distortion=(0.1, -0.05, 0.001, 0.002, 0.0)) if distorted else SMALL
    whole, part = (register_depth(depth, lens, LARGE, move, look) for look in (None, window))
    seen = tuple(slice(max(at, 0), max(at + window.side, 0)) for at in (window.y, window.x))
    np.testing.assert_array_equal(part[seen], whole[seen])


def test_a_window_saves_work() -> None:
    depth = plane(SMALL, np.array([0.1, 0.2, 1.0]), 400)
    part = register_depth(depth, SMALL, LARGE, ASIDE, Box(40, 30, 10))
    assert np.isfinite(part[30:40, 40:50]).all()
    assert np.isfinite(part).mean() < 0.1


def test_the_nearest_surface_wins() -> None:
    depth = np.full((SMALL.height, SMALL.width), 600, dtype=np.float32)
    depth[20:28, 28:36] = 300
    move = RigidTransform.of(np.eye(3), np.array([40.0, 0, 0]))
    moved = register_depth(depth, SMALL, SMALL, move)
    # 300 mm moves by 60 * 40 / 300 = 8 px, 600 mm by 4: the near square covers columns 36 to 43.
    assert (moved[20:28, 36:44] == 300).all()
    assert np.isnan(moved[22, 33:36]).all(), "what the near square hid is unknown"
    assert (moved[10, 10:60] == 600).all()


def test_nothing_measured_nothing_seen() -> None:
    empty = np.full((SMALL.height, SMALL.width), np.nan, dtype=np.float32)
    assert np.isnan(register_depth(empty, SMALL, LARGE, ASIDE)).all()
    behind = RigidTransform.of(np.eye(3), np.array([0, 0, -1000.0]))
    assert np.isnan(register_depth(np.full_like(empty, 500), SMALL, LARGE, behind)).all()


def test_registered_goes_from_depth_camera_to_colour() -> None:
    """The transform's direction: a point of the depth image lands where the colour camera projects it."""
    depth = np.full((SMALL.height, SMALL.width), np.nan, dtype=np.float32)
    depth[20, 40] = 500
    raw = sample(LARGE, depth_mm=depth, depth_camera=SMALL, depth_from_color=ASIDE)
    done = registered(raw)
    point = ASIDE.inverse().apply(SMALL.lift(np.array([40.0, 20.0]), np.array(500.0)))
    u, v = LARGE.project(point)
    assert done.depth_mm is not None
    rows, columns = np.nonzero(np.isfinite(done.depth_mm))
    assert abs(columns.mean() - u) <= 1
    assert abs(rows.mean() - v) <= 1
    assert done.depth_mm[rows[0], columns[0]] == pytest.approx(point[2], abs=1e-3)
    assert done.depth_camera is done.depth_from_color is None
    assert registered(done) is done
    with pytest.raises(ValueError, match="how its depth lies"):
        registered(replace(raw, depth_from_color=None))


@given(st.floats(40, 200), st.floats(40, 200), st.floats(20, 80), st.floats(20, 60))
def test_joints_keep_their_place_through_any_camera(fx: float, fy: float, cx: float, cy: float) -> None:
    other = Camera(fx, fy, cx, cy, 90, 70)
    given_sample = sample(LARGE)
    moved = seen_by(given_sample, other)
    assert moved.joints_mm is given_sample.joints_mm
    np.testing.assert_allclose(moved.keypoints_px, moved.projected(), atol=1e-3)


def test_pixels_follow_the_joints() -> None:
    """A bright dot at a joint's pixel is found at the joint's pixel afterwards; depth and mask with it."""
    mask = np.zeros((80, 100), dtype=np.uint8)
    mask[36:39, 51:54] = 2
    depth = np.where(mask > 0, 450, np.nan).astype(np.float32)
    rgb = np.repeat((mask * 100)[..., None], 3, axis=2)
    dot = seen_by(sample(LARGE, rgb=rgb, mask=mask, depth_mm=depth), SMALL)
    at = SMALL.project(LARGE.lift(np.array([52.0, 37.0]), np.array(450.0)))
    assert dot.rgb is not None
    assert dot.mask is not None
    assert dot.depth_mm is not None
    for image in (dot.rgb[..., 0].astype(float), (dot.mask > 0) * 1.0, np.nan_to_num(dot.depth_mm)):
        rows, columns = np.nonzero(image > 0.4 * image.max())
        assert abs(columns.mean() - at[0]) < 0.75
        assert abs(rows.mean() - at[1]) < 0.75
    assert set(np.unique(dot.depth_mm[np.isfinite(dot.depth_mm)]).tolist()) == {450.0}


def test_outside_is_edge_colour_no_depth_and_no_hand() -> None:
    wide = Camera(30.0, 30.0, 60.0, 60.0, 120, 120)
    depth, mask = np.full((80, 100), 500, np.float32), np.full((80, 100), 1, np.uint8)
    moved = seen_by(sample(LARGE, rgb=np.full((80, 100, 3), 77, np.uint8), depth_mm=depth, mask=mask), wide)
    assert moved.rgb is not None
    assert moved.mask is not None
    assert moved.depth_mm is not None
    assert (moved.rgb == 77).all()
    assert moved.mask[0, 0] == 0
    assert np.isnan(moved.depth_mm[0, 0])
    assert moved.mask[60, 60] == 1


def test_the_same_camera_changes_no_pixel() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (80, 100, 3), dtype=np.uint8)
    moved = seen_by(sample(LARGE, rgb=rgb), replace(LARGE, fx=LARGE.fx + 1e-6))
    assert moved.rgb is rgb


def test_distortion_is_undone() -> None:
    bent = replace(LARGE, distortion=(0.1, -0.02, 0.001, 0.002, 0.0))
    moved = seen_by(sample(bent), LARGE)
    np.testing.assert_allclose(moved.keypoints_px, moved.projected(), atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(320, 320), (256, 256), (50, 40), (640, 100)])
def test_fitted_cameras_hold_the_whole_image_centred(width: int, height: int) -> None:
    camera = fitted(LARGE, width, height)
    corners = np.array([[-0.5, -0.5], [LARGE.width - 0.5, LARGE.height - 0.5]])
    low, high = camera.project(LARGE.lift(corners, np.ones(2)))
    assert (low >= -0.5 - 1e-9).all()
    assert (high <= np.array([width, height]) - 0.5 + 1e-9).all()
    np.testing.assert_allclose(low + high, np.array([width, height]) - 1, atol=1e-9)
    assert np.isclose(high - low, [width, height]).any()


def test_a_camera_is_needed() -> None:
    with pytest.raises(ValueError, match="has no camera"):
        seen_by(HandSample(key="a"), LARGE)
    assert not same_camera(LARGE, replace(LARGE, width=99))
    assert not same_camera(LARGE, replace(LARGE, cx=LARGE.cx + 0.01))
