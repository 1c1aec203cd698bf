from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import handsynth.simulator as simulator
from handsynth.errors import UsageError
from handsynth.hand.joints import OTHER_BODY
from handsynth.hand.pose import side_share
from handsynth.hand.rows import from_row, to_row
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.imaging.registration import registered
from handsynth.runtime.settings import convert
from handsynth.simulator import SimulatorSettings, samples_per_index, simulate
from handsynth.simulator.looks import Looks
from handsynth.simulator.presets import PRESETS, fixed_side, published_camera
from handsynth.simulator.scene import draw_scene
from tests.simulator.scenes import SIZE, small

BARE = Looks(sleeves=0.0, held=0.0, occluders=0.0)
_WIDTH = {"kinect_v2": 480, "panoptic": 400}
"""Width of the tests' pictures, px; 120 where none is given."""


def miniature(camera: str, **changes: object) -> SimulatorSettings:
    """Settings of a camera at a small scale."""
    width = PRESETS[camera].lens and published_camera(PRESETS[camera].lens).width  # type: ignore[index, arg-type]
    cut = PRESETS[camera].picture != "whole"  # type: ignore[index]
    scale = 0.4 if cut or not width else _WIDTH.get(camera, 120) / width
    return convert({"camera": camera, "size": 120, "scale": scale, "seed": 1} | changes, SimulatorSettings, "the test")


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


@pytest.mark.parametrize("camera", sorted(PRESETS))
def test_every_camera_yields_what_its_dataset_has(camera: Any) -> None:
    settings, preset = miniature(camera), PRESETS[camera]
    samples = list(simulate(settings, 0, 2))
    assert len(samples) == 2 * samples_per_index(settings)
    assert len({sample.key for sample in samples}) == len(samples)
    for sample in samples:
        check(sample)
        assert sample.camera is not None
        assert sample.size == (sample.camera.height, sample.camera.width)
        assert (sample.rgb is None) == (not preset.color)
        assert (sample.depth_mm is None) == (not preset.depth)
        assert (sample.mask is None) == (not preset.mask)
        assert (sample.depth_camera is None) == (preset.depth_lens is None or preset.registered)
        assert (sample.world_from_camera is None) == (preset.views == 1)
        if fixed_side(camera):
            assert sample.side == fixed_side(camera)
        if sample.depth_camera is None and preset.depth:
            surface_is_before_the_joints(sample)
    if preset.only_hand:
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


@pytest.mark.parametrize(
    "changes", [{"camera": "mhp"}, {"camera": "crop", "views": 4}, {"camera": "hanco", "side": "right"}]
)
def test_all_views_of_a_moment_show_the_same_hand_in_one_world(changes: dict[str, Any]) -> None:
    settings = miniature(**changes)
    for index in (0, 4):
        samples = list(simulate(settings, index, index + 1))
        assert len({sample.moment for sample in samples}) == 1
        assert len({sample.view for sample in samples}) == len(samples) == samples_per_index(settings)
        worlds = []
        for sample in samples:
            assert sample.world_from_camera is not None
            assert sample.joints_mm is not None
            worlds.append(sample.world_from_camera.apply(sample.joints_mm))
        assert np.abs(np.stack(worlds) - worlds[0]).max() < 0.01


def test_surfaces_of_all_views_are_one_surface() -> None:
    samples = list(simulate(miniature("crop", views=4, scale=1.0, looks=BARE), 0, 1))
    shared = []
    for one, other in itertools.permutations(samples, 2):
        assert one.depth_mm is not None
        assert one.camera is not None
        assert one.world_from_camera is not None
        assert other.depth_mm is not None
        assert other.camera is not None
        assert other.world_from_camera is not None
        v, u = np.nonzero(np.isfinite(one.depth_mm))
        world = one.world_from_camera.apply(one.camera.lift(np.stack([u, v], axis=-1), one.depth_mm[v, u]))
        seen = other.world_from_camera.inverse().apply(world)
        column, row = np.rint(other.camera.project(seen)).astype(int).T
        inside = (column >= 0) & (column < other.camera.width) & (row >= 0) & (row < other.camera.height)
        before = other.depth_mm[row[inside], column[inside]] - seen[inside, 2]
        known = np.isfinite(before)
        # What one camera sees lies on or behind what the other one sees there, but for a pixel at outlines.
        assert known.mean() > 0.9
        assert (before[known] > 4).mean() < 0.05
        shared.append((np.abs(before[known]) < 1).mean())
    assert max(shared) > 0.3


@pytest.mark.parametrize("camera", ["stb_sk", "kinect_v2"])
def test_unregistered_depth_lies_in_its_own_camera(camera: str) -> None:
    sample = next(simulate(miniature(camera, looks=BARE), 0, 1))
    assert sample.depth_mm is not None
    assert sample.depth_camera is not None
    assert sample.depth_from_color is not None
    assert sample.joints_mm is not None
    assert sample.depth_mm.shape == (sample.depth_camera.height, sample.depth_camera.width)
    joints = sample.depth_from_color.apply(sample.joints_mm)
    u, v = np.round(sample.depth_camera.project(joints)).astype(int).T
    behind = joints[:, 2] - sample.depth_mm[v, u]
    behind = behind[np.isfinite(behind)]
    assert len(behind) >= 12
    assert behind.min() > -5
    assert 1 < np.median(behind) < 40


def test_registered_depth_is_exact_without_a_sensor_and_warped_with_one() -> None:
    apart, together = (next(simulate(miniature("stb_sk", registered=own, looks=BARE), 0, 1)) for own in (False, True))
    assert together.depth_camera is None
    assert np.array_equal(apart.mask > 0, np.isfinite(together.depth_mm))  # type: ignore[operator, arg-type]
    surface_is_before_the_joints(together)
    warped = registered(apart).depth_mm
    assert warped is not None
    assert together.depth_mm is not None
    both = np.isfinite(warped) & np.isfinite(together.depth_mm)
    assert both.sum() > 0.7 * np.isfinite(together.depth_mm).sum()
    assert np.median(np.abs(warped - together.depth_mm)[both]) < 2
    settings = miniature("stb_sk", registered=True, depth_sensor="structured_light", looks=BARE)
    measured = next(simulate(settings, 0, 1)).depth_mm
    assert measured is not None
    known = np.isfinite(measured)
    assert measured.shape == together.depth_mm.shape
    assert 0.4 < known.sum() / np.isfinite(together.depth_mm).sum() < 1.1
    assert np.nanmedian(np.abs(measured - together.depth_mm)) < 4


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


def test_seed_changes_everything_and_a_sensor_the_depth_alone() -> None:
    first, other = (next(simulate(small(seed=seed, looks=BARE), 0, 1)) for seed in (0, 1))
    assert not np.array_equal(first.joints_mm, other.joints_mm)  # type: ignore[arg-type]
    noisy = next(simulate(small(seed=0, looks=BARE, depth_sensor="time_of_flight"), 0, 1))
    assert equal(replace(noisy, depth_mm=first.depth_mm), first)
    assert noisy.depth_mm is not None
    assert first.depth_mm is not None
    assert 0.3 < np.nanmedian(np.abs(noisy.depth_mm - first.depth_mm)) < 3


def test_one_person_keeps_the_bones_and_the_skin() -> None:
    scenes = [draw_scene(small(subjects=3), index) for index in range(9)]
    lengths = [np.linalg.norm(np.diff(scene.hands[0].joints_mm[9:13], axis=0), axis=-1) for scene in scenes]
    np.testing.assert_allclose(lengths[0], lengths[3], atol=1e-6)
    assert not np.allclose(lengths[0], lengths[1], atol=1e-3)
    assert pickle.dumps(scenes[1].skin) == pickle.dumps(scenes[4].skin)
    assert pickle.dumps(scenes[1].skin) != pickle.dumps(scenes[2].skin)


def test_people_are_as_asked_for() -> None:
    def palms(**changes: Any) -> np.ndarray:
        settings = small(subjects=40, **changes)
        joints = [draw_scene(settings, index).hands[0].joints_mm for index in range(40)]
        return np.array([np.linalg.norm(joint[9] - joint[0]) for joint in joints])

    children, adults = palms(ages=(5, 7)), palms(ages=(25, 60))
    assert children.max() < 70 < adults.min()
    assert palms(ages=(25, 60), sexes=("male",)).mean() > palms(ages=(25, 60), sexes=("female",)).mean() + 3


def test_hands_in_motion_move_a_little_from_frame_to_frame() -> None:
    settings = small(poses="sequences", clip=6, subjects=2, side="both", camera="crop")
    samples = list(simulate(settings, 0, 18))
    for side in (0, 1):
        row = samples[side::2]
        joints = np.stack([sample.joints_mm for sample in row])  # type: ignore[arg-type]
        steps = np.linalg.norm(np.diff(joints, axis=0), axis=-1).max(-1)
        within = np.array([(index + 1) % 6 != 0 for index in range(17)])
        assert 0.1 < steps[within].max() < 25
        assert steps[~within].min() > 25
        assert len({sample.sequence for sample in row}) == 3
        assert len({sample.camera for sample in row}) == 3  # one picture frame per clip
        for sample in row:
            check(sample)
    # Any range gives the same frames.
    again = list(simulate(settings, 7, 8))
    assert all(equal(a, b) for a, b in zip(samples[14:16], again, strict=True))


def test_gestures_and_orientations_are_drawn_as_asked_for() -> None:
    def ups(**changes: Any) -> np.ndarray:
        scenes = [draw_scene(small(subjects=1, **changes), index) for index in range(60)]
        joints = np.stack([scene.hands[0].joints_mm for scene in scenes])
        up = joints[:, 0] - joints[:, 9]
        return np.asarray(up[:, 1] / np.linalg.norm(up, axis=-1))

    assert np.median(ups()) > 0.4
    assert abs(np.median(ups(orientation="uniform"))) < 0.35
    assert abs(np.median(ups(orientation="uniform", poses="gestures"))) < 0.35
    poses = [draw_scene(small(poses=poses), 0).hands[0].joints_mm for poses in ("natural", "gestures")]
    assert not np.allclose(poses[0], poses[1])


def test_wrong_settings_and_ranges_are_refused() -> None:
    with pytest.raises(UsageError, match="expected side left"):
        SimulatorSettings(camera="stb_sk", side="right")
    with pytest.raises(UsageError, match="subjects"):
        SimulatorSettings(subjects=0)
    with pytest.raises(UsageError, match="at most 9"):
        SimulatorSettings(camera="msra15", subjects=10)
    for wrong in ({"views": -1}, {"clip": 1}, {"rate_hz": 0.0}, {"depth_strength": -1.0}, {"sexes": ()}):
        with pytest.raises(UsageError, match="expected"):
            convert(wrong, SimulatorSettings, "the test")
    with pytest.raises(UsageError, match="2 views"):
        SimulatorSettings(camera="stb_bb", views=3)
    with pytest.raises(UsageError, match="range"):
        next(simulate(SimulatorSettings(), 3, 2))
    with pytest.raises(AttributeError):
        _ = simulator.nothing
