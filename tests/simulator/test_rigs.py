from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import RigidTransform
from handsynth.runtime.seeds import rng
from handsynth.simulator import SimulatorSettings
from handsynth.simulator.presets import PRESETS, fixed_side, image_side, names_in, published_camera, published_transform
from handsynth.simulator.rigs import draw_rig, place, view_count
from handsynth.simulator.scene import draw_scene

HAND = np.array([[x, y, z] for x in (-40.0, 40.0) for y in (-90.0, 90.0) for z in (-30.0, 30.0)])
SEVERAL = [name for name, preset in PRESETS.items() if preset.views > 1]


@pytest.mark.parametrize("name", PRESETS)
def test_numbers_are_those_of_the_manifests(name: Any) -> None:
    preset = PRESETS[name]
    for lens in (preset.lens, preset.depth_lens):
        if isinstance(lens, tuple):
            assert published_camera(lens) == load_manifest(lens[0]).camera(lens[1])
    for move in (preset.beside, preset.depth_from_color, preset.color_from_depth):
        if isinstance(move, tuple):
            assert published_transform(move) == load_manifest(move[0]).transform(move[1])
    if preset.manifest is None:
        assert fixed_side(name) is None
        assert image_side(name, 77) == 77
        return
    manifest = load_manifest(preset.manifest)
    assert (manifest.sides == (fixed_side(name),)) == (len(manifest.sides) == 1)
    if preset.picture == "whole" and name != "stb_bb":
        camera = draw_rig(name, rng(0, "rig")).lenses[0].camera
        assert (camera.width, camera.height) == manifest.image_size
    if preset.views_of:
        assert names_in(preset.manifest, preset.views_of) == manifest.groups[preset.views_of]


def test_the_published_move_of_stb_leads_the_right_way() -> None:
    # facts: the depth-frame point (10, 20, 500) lies at (40.095001, 23.004830, 500.673886) of the colour camera
    lens = draw_rig("stb_sk", rng(0, "rig")).lenses[0]
    color = lens.depth_from_color.inverse().apply(np.array([10.0, 20.0, 500.0]))
    np.testing.assert_allclose(color, [40.095001, 23.004830, 500.673886], atol=1e-5)
    assert lens.depth_camera is not None
    assert (lens.camera.fx, lens.depth_camera.fx) == (607.92271, 475.62768)
    # FPHA publishes the way from depth to colour: depth's origin lies 25.7 mm to the right of colour's.
    sr300 = draw_rig("sr300", rng(0, "rig")).lenses[0]
    np.testing.assert_allclose(sr300.depth_from_color.inverse().translation_mm, [25.7, 1.22, 3.902], atol=1e-9)


@pytest.mark.parametrize("name", PRESETS)
def test_every_lens_sees_a_hand_where_it_is_placed(name: Any) -> None:
    for seed in range(4):
        random = rng(seed, "rig")
        rig, shift = place(name, draw_rig(name, random), random, HAND, 200, 0.5)
        assert len(rig.lenses) == view_count(name, 0)
        for lens in rig.lenses:
            points = lens.from_scene.apply(HAND + shift)
            views = [(lens.camera, points)]
            if lens.depth_camera is not None:
                views.append((lens.depth_camera, lens.depth_from_color.apply(points)))
            for camera, seen in views:
                pixels = camera.project(seen)
                assert (pixels > 0).all()
                assert (pixels < [camera.width - 1, camera.height - 1]).all()


@pytest.mark.parametrize("name", SEVERAL)
def test_calibrated_cameras_stand_around_and_look_at_one_point(name: Any) -> None:
    rig = draw_rig(name, rng(1, "rig"))
    assert rig.calibrated
    assert rig.lenses[0].from_scene.apply(HAND) == pytest.approx(HAND)
    low, high = PRESETS[name].range_mm
    for lens in rig.lenses:
        center = lens.from_scene.apply(rig.center_mm)
        np.testing.assert_allclose(center[:2], 0, atol=1e-6)
        assert low <= center[2] <= high
        rotation = np.array(lens.from_scene.rotation)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
    apart = np.rad2deg(np.arccos(np.clip(rig.eyes @ rig.eyes.T, -1, 1)))
    assert apart[~np.eye(len(apart), dtype=bool)].min() > 12
    assert apart.max() > 75
    assert len({lens.name for lens in rig.lenses}) == len(rig.lenses)


def test_any_camera_can_have_several_views() -> None:
    rig = draw_rig("crop", rng(0, "rig"), views=5)
    assert [lens.name for lens in rig.lenses] == [f"view_{number}" for number in range(5)]
    assert view_count("dexycb", 3) == len(draw_rig("dexycb", rng(0, "rig"), views=3).lenses) == 3
    assert not draw_rig("dexycb", rng(0, "rig"), views=1).calibrated
    pair = draw_rig("stb_bb", rng(0, "rig"))
    assert not pair.calibrated
    assert pair.lenses[1].from_scene.translation_mm == (-120.054, 0.0, 0.0)


def test_calibrated_cameras_stay_for_a_sequence_and_move_between() -> None:
    def moves(index: int) -> list[RigidTransform]:
        scene = draw_scene(SimulatorSettings(camera="mhp", scale=0.1, subjects=2), index)
        return [lens.from_scene for lens in scene.rig.lenses]

    assert moves(0) == moves(2) == moves(8)
    assert moves(0) != moves(1)


def test_a_scaled_camera_is_the_camera_of_resized_pictures() -> None:
    rig = draw_rig("stb_sk", rng(0, "rig"))
    full, shift = place("stb_sk", rig, rng(3, "place"), HAND, 200, 1.0)
    small, again = place("stb_sk", rig, rng(3, "place"), HAND, 200, 0.25)
    assert np.array_equal(shift, again)
    large, little = (item.lenses[0].camera for item in (full, small))
    assert (little.width, little.height) == (160, 120)
    np.testing.assert_allclose(
        little.project(HAND + shift), (large.project(HAND + shift) + 0.5) * 0.25 - 0.5, atol=1e-9
    )
