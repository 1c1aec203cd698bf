"""Camera, joints, keypoints and pixels move together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import Box, crop, mask_box, mirror, resize_stack, rotate, square_box
from tests.hands import make_samples

MOVES: dict[str, Callable[[HandSample], HandSample]] = {
    "crop": lambda sample: crop(sample, Box(13, -7, 80), 50),
    "grow": lambda sample: crop(sample, Box(30, 20, 40), 64),
    "mirror": mirror,
    "rotate": lambda sample: rotate(sample, 33.0),
}


@pytest.mark.parametrize("name", MOVES)
def test_joints_still_project_onto_keypoints(name: str) -> None:
    for sample in make_samples(4):
        moved = MOVES[name](sample)
        assert moved.keypoints_px is not None
        np.testing.assert_allclose(moved.projected(), moved.keypoints_px, atol=2e-3)
        assert moved.camera is not None
        palm = moved.camera.project(moved.extra["palm_mm"])
        np.testing.assert_allclose(palm, moved.extra["palm_px"], atol=2e-3)


@pytest.mark.parametrize("name", ["crop", "mirror", "rotate"])
def test_world_points_stay_where_they_are(name: str) -> None:
    """Up to the mirror itself, a move of the image does not move the hand in the world."""
    (sample,) = make_samples(1)
    moved = MOVES[name](sample)
    assert sample.world_from_camera is not None
    assert moved.world_from_camera is not None
    before = sample.world_from_camera.apply(sample.joints_mm)
    after = moved.world_from_camera.apply(moved.joints_mm)
    np.testing.assert_allclose(after, before * ([-1, 1, 1] if name == "mirror" else [1, 1, 1]), atol=1e-3)


def blob(u: float, v: float) -> np.ndarray:
    x, y = np.meshgrid(np.arange(128), np.arange(96))
    return np.repeat((255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 18))[..., None], 3, axis=2).round().astype(np.uint8)


@pytest.mark.parametrize("name", MOVES)
def test_pixels_move_with_the_keypoints(name: str) -> None:
    (sample,) = make_samples(1)
    keypoints = np.full((21, 2), 50.25, dtype=np.float32)
    keypoints[:, 1] = 41.5
    sample = replace(sample, rgb=blob(50.25, 41.5), keypoints_px=keypoints)
    moved = MOVES[name](sample)
    assert moved.rgb is not None
    assert moved.keypoints_px is not None
    weight = moved.rgb[..., 0].astype(float)
    v, u = np.mgrid[: weight.shape[0], : weight.shape[1]]
    center = np.array([(u * weight).sum(), (v * weight).sum()]) / weight.sum()
    np.testing.assert_allclose(center, moved.keypoints_px[0], atol=0.06)


def test_mirror_twice_is_the_identity() -> None:
    (sample,) = make_samples(1)
    twice = mirror(mirror(sample))
    np.testing.assert_array_equal(twice.rgb, sample.rgb)
    np.testing.assert_array_equal(twice.mask, sample.mask)
    np.testing.assert_allclose(twice.joints_mm, sample.joints_mm)
    np.testing.assert_allclose(twice.keypoints_px, sample.keypoints_px, atol=1e-4)
    assert (twice.side, twice.mirrored, twice.camera) == (sample.side, sample.mirrored, sample.camera)
    assert mirror(sample).side == "left"


@settings(max_examples=30)
@given(st.floats(-180, 180))
def test_rotate_there_and_back(degrees: float) -> None:
    (sample,) = make_samples(1)
    back = rotate(rotate(sample, degrees), -degrees)
    np.testing.assert_allclose(back.joints_mm, sample.joints_mm, atol=1e-3)
    np.testing.assert_allclose(back.keypoints_px, sample.keypoints_px, atol=1e-2)


def test_rotating_by_90_degrees_turns_clockwise() -> None:
    (sample,) = make_samples(1, height=128, width=128)
    sample = replace(sample, camera=Camera(100, 100, 63.5, 63.5, 128, 128))
    turned = rotate(sample, 90)
    assert sample.rgb is not None
    np.testing.assert_array_equal(turned.rgb, np.rot90(sample.rgb, -1))


def test_outside_the_image_colour_repeats_and_depth_is_empty() -> None:
    (sample,) = make_samples(1)
    moved = crop(sample, Box(-20, 10, 40), 40)
    assert moved.rgb is not None
    assert moved.depth_mm is not None
    assert moved.mask is not None
    assert (moved.rgb[:, :20] == moved.rgb[:, 20:21]).all()
    assert np.isnan(moved.depth_mm[:, :20]).all()
    assert (moved.mask[:, :20] == 0).all()


def test_boxes_hold_what_they_are_around() -> None:
    points = np.array([[10.0, 20], [50, 30], [np.nan, 1]])
    box = square_box(points, margin=0.0)
    assert box.side == 41
    assert box.x <= 10
    assert box.x + box.side > 50
    mask = np.zeros((60, 60), dtype=np.uint8)
    mask[10:20, 30:50] = 1
    around = mask_box(mask, margin=0.0)
    assert (around.x, around.side) == (30, 20)
    with pytest.raises(ValueError, match="no known points"):
        square_box(np.full((3, 2), np.nan))


def test_a_box_beside_the_image_is_refused() -> None:
    (sample,) = make_samples(1)
    with pytest.raises(ValueError, match="outside"):
        crop(sample, Box(500, 500, 20), 10)


def test_stacks_shrink_by_area() -> None:
    images = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    images[:, ::2] = 200
    np.testing.assert_array_equal(resize_stack(images, 4), 100)
    assert resize_stack(images, 8) is images
