from __future__ import annotations

import numpy as np
import pytest

import handsynth.simulator as simulator
from handsynth.errors import UsageError
from handsynth.hand.joints import OTHER_BODY
from handsynth.hand.pose import side_share
from handsynth.hand.rows import from_row, to_row
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.runtime.settings import convert
from handsynth.simulator import SimulatorSettings, samples_per_index, simulate
from handsynth.simulator.scene import draw_scene
from tests.simulator.scenes import SIZE, small

SHAPES = {"rhd": (80, 80), "stb_sk": (120, 160), "stb_bb": (120, 160), "msra15": (60, 80)}


def equal(a: HandSample, b: HandSample) -> bool:
    pixels = [(getattr(a, name), getattr(b, name)) for name in ("rgb", "depth_mm", "mask", "joints_mm", "visible")]
    same = all(
        (x is None) == (y is None) and (x is None or np.array_equal(x, y, equal_nan=x.dtype.kind == "f"))
        for x, y in pixels
    )
    return same and str(to_row(a)) == str(to_row(b))


def check(sample: HandSample) -> None:
    """What holds for every sample of every camera."""
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    projected = sample.projected()
    assert projected is not None
    assert np.abs(projected - sample.keypoints_px).max() < 0.01
    assert (sample.joint_state == LABELLED).all()
    assert (sample.keypoint_state == LABELLED).all()
    height, width = sample.size
    assert ((sample.keypoints_px >= 0) & (sample.keypoints_px < [width, height])).all()
    assert sample.visible is not None
    assert sample.visible.sum() >= 4
    for word in ("subject", "sequence", "frame", "moment", "split"):
        assert getattr(sample, word)
    assert from_row(to_row(sample)).key == sample.key


def surface_is_before_the_joints(sample: HandSample) -> None:
    """Registered depth at a visible joint's pixel lies before the joint, by no more than flesh is thick."""
    assert sample.depth_mm is not None
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    assert sample.visible is not None
    u, v = np.round(sample.keypoints_px).astype(int).T
    depth = sample.depth_mm[v, u]
    behind = (sample.joints_mm[:, 2] - depth)[sample.visible & np.isfinite(depth)]
    assert 1 < np.median(behind) < 25
    assert (behind > -5).all()
    assert (behind < 45).mean() > 0.75  # a joint may be seen beside what covers its very pixel


@pytest.mark.parametrize("side", ["left", "right"])
def test_crops_are_filled_by_a_hand_of_that_side(side: str) -> None:
    samples = list(simulate(small(side=side), 0, 6))
    for sample in samples:
        check(sample)
        surface_is_before_the_joints(sample)
        assert sample.side == side
        assert sample.rgb is not None
        assert sample.mask is not None
        assert sample.depth_mm is not None
        assert sample.rgb.shape == (SIZE, SIZE, 3)
        assert np.array_equal(np.isfinite(sample.depth_mm), sample.mask > 0)
        assert sample.keypoints_px is not None
        extent = (sample.keypoints_px.max(0) - sample.keypoints_px.min(0)).max() / SIZE
        assert 0.5 < extent < 0.85
    share = side_share(np.stack([sample.joints_mm for sample in samples]))  # type: ignore[arg-type]
    assert share > 0.8 if side == "right" else share < 0.2


@pytest.mark.parametrize("camera", sorted(SHAPES))
def test_every_camera_yields_what_its_dataset_has(camera: str) -> None:
    settings = convert({"camera": camera, "scale": 0.25, "seed": 1}, SimulatorSettings, "the test")
    samples = list(simulate(settings, 0, 2))
    assert len(samples) == 2 * samples_per_index(settings)
    for sample in samples:
        check(sample)
        assert sample.size == SHAPES[camera]
        assert sample.camera is not None
        assert (sample.camera.height, sample.camera.width) == SHAPES[camera]
        assert (sample.rgb is None) == (camera == "msra15")
        assert (sample.depth_mm is None) == (sample.mask is None) == (camera == "stb_bb")
        assert (sample.depth_camera is None) == (camera != "stb_sk")
    if camera.startswith("stb"):
        assert {sample.side for sample in samples} == {"left"}
    if camera == "msra15":
        assert {sample.side for sample in samples} == {"right"}
        for sample in samples:
            assert sample.mask is not None
            assert sample.depth_mm is not None
            assert sample.mask.max() < OTHER_BODY
            assert np.array_equal(np.isfinite(sample.depth_mm), sample.mask > 0)


def test_published_cameras_come_at_their_own_size() -> None:
    sample = next(simulate(SimulatorSettings(camera="msra15"), 0, 1))
    camera = sample.camera
    assert camera is not None
    assert (camera.fx, camera.cx, camera.cy, *sample.size) == (241.42, 160.0, 120.0, 240, 320)
    stereo = draw_scene(SimulatorSettings(camera="stb_bb"), 0).rig.lenses[0].camera
    assert (stereo.fx, stereo.cx, stereo.width, stereo.height) == (822.79041, 318.47345, 640, 480)
    # facts: the depth-frame point (10, 20, 500) lies at (40.095001, 23.004830, 500.673886) of the colour camera
    depth = draw_scene(SimulatorSettings(camera="stb_sk"), 0).rig.depth_lens
    assert depth is not None
    color = depth.from_scene.inverse().apply(np.array([10.0, 20.0, 500.0]))
    np.testing.assert_allclose(color, [40.095001, 23.004830, 500.673886], atol=1e-5)


def test_stereo_views_share_a_moment_and_differ_by_the_baseline() -> None:
    left, right = simulate(SimulatorSettings(camera="stb_bb", scale=0.2), 2, 3)
    assert left.joints_mm is not None
    assert right.joints_mm is not None
    assert left.moment == right.moment
    assert (left.view, right.view) == ("BB_left", "BB_right")
    assert left.key != right.key
    np.testing.assert_allclose(left.joints_mm - right.joints_mm, np.tile([120.054, 0, 0], (21, 1)), atol=1e-3)


def test_unregistered_depth_lies_in_its_own_camera() -> None:
    sample = next(simulate(SimulatorSettings(camera="stb_sk", scale=0.25), 0, 1))
    assert sample.depth_mm is not None
    assert sample.depth_camera is not None
    assert sample.depth_from_color is not None
    assert sample.joints_mm is not None
    joints = sample.depth_from_color.apply(sample.joints_mm)
    u, v = np.round(sample.depth_camera.project(joints)).astype(int).T
    behind = joints[:, 2] - sample.depth_mm[v, u]
    behind = behind[np.isfinite(behind)]
    assert len(behind) >= 15
    assert behind.min() > -5
    assert 1 < np.median(behind) < 40


def test_two_hands_share_an_image_and_each_sees_the_other_as_body() -> None:
    settings = small(side="both")
    assert samples_per_index(settings) == 2
    samples = list(simulate(settings, 0, 2))
    for left, right in (samples[:2], samples[2:]):
        assert (left.side, right.side) == ("left", "right")
        assert left.moment == right.moment
        assert left.key != right.key
        assert np.array_equal(left.rgb, right.rgb)  # type: ignore[arg-type]
        assert left.mask is not None
        assert right.mask is not None
        assert np.array_equal(left.mask > 0, right.mask > 0)
        own = [(mask > 1) & (mask < OTHER_BODY) for mask in (left.mask, right.mask)]
        assert own[0].sum() > 20
        assert own[1].sum() > 20
        assert not (own[0] & own[1]).any()
        assert (left.mask[own[1]] == OTHER_BODY).all()


@pytest.mark.parametrize("camera", ["crop", "stb_bb"])
def test_a_sample_does_not_depend_on_the_range_it_is_drawn_in(camera: str) -> None:
    settings = convert({"camera": camera, "size": 40, "scale": 1.0 if camera == "crop" else 0.1}, SimulatorSettings, "")
    whole = list(simulate(settings, 0, 4))
    step = samples_per_index(settings)
    apart = [sample for index in (3, 1) for sample in simulate(settings, index, index + 1)]
    assert all(equal(a, b) for a, b in zip(whole[3 * step :] + whole[step : 2 * step], apart, strict=True))
    assert not np.array_equal(whole[0].joints_mm, whole[step].joints_mm)  # type: ignore[arg-type]


def test_seed_changes_everything_and_sensor_depth_noise_stays_small() -> None:
    first, other = (next(simulate(small(seed=seed), 0, 1)) for seed in (0, 1))
    assert not np.array_equal(first.joints_mm, other.joints_mm)  # type: ignore[arg-type]
    noisy = next(simulate(small(seed=0, depth_noise_mm=0.5, depth_step_mm=1.0), 0, 1))
    assert noisy.depth_mm is not None
    assert first.depth_mm is not None
    known = np.isfinite(first.depth_mm)
    assert np.array_equal(known, np.isfinite(noisy.depth_mm))
    assert np.array_equal(noisy.depth_mm[known], np.round(noisy.depth_mm[known]))
    assert 0.1 < np.std(noisy.depth_mm[known] - first.depth_mm[known]) < 1.0


def test_one_person_keeps_the_bones_and_splits_part_people() -> None:
    scenes = [draw_scene(small(subjects=3), index) for index in range(9)]
    lengths = [np.linalg.norm(np.diff(scene.hands[0].joints_mm[9:13], axis=0), axis=-1) for scene in scenes]
    np.testing.assert_allclose(lengths[0], lengths[3], atol=1e-6)
    assert not np.allclose(lengths[0], lengths[1], atol=1e-3)
    assert np.array_equal(scenes[1].skin.back, scenes[4].skin.back)


def test_wrong_settings_and_ranges_are_refused() -> None:
    with pytest.raises(UsageError, match="expected side left"):
        SimulatorSettings(camera="stb_sk", side="right")
    with pytest.raises(UsageError, match="subjects"):
        SimulatorSettings(subjects=0)
    with pytest.raises(UsageError, match="at most 9"):
        SimulatorSettings(camera="msra15", subjects=10)
    with pytest.raises(UsageError, match="background"):
        SimulatorSettings(backgrounds=())
    with pytest.raises(UsageError, match="range"):
        next(simulate(SimulatorSettings(), 3, 2))
    with pytest.raises(AttributeError):
        _ = simulator.nothing
