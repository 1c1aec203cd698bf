"""Things in hands and before them: rays meet them exactly, hands stay out of them, and they hide what is behind."""

from __future__ import annotations

import numpy as np
import pytest

from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.runtime.seeds import rng
from handsynth.simulator import field, simulate
from handsynth.simulator.items import Item, Shape, held_item, item_before, item_coat, see_item, solids
from handsynth.simulator.light import bone_distance
from handsynth.simulator.looks import Looks
from handsynth.simulator.orientation import random_rotations
from handsynth.simulator.scene import draw_scene
from handsynth.simulator.sight import THING, see
from handsynth.simulator.trace import trace
from tests.simulator.scenes import drawn, small

SHAPES: dict[Shape, tuple[float, float, float]] = {"ball": (20, 20, 20), "stick": (9, 40, 9), "box": (25, 40, 3)}
CAMERAS = {
    "plain": Camera(60.0, 62.0, 30.0, 33.0, 60, 64),
    "distorted": Camera(60.0, 62.0, 30.0, 33.0, 60, 64, (-0.25, 0.05, 0.002, -0.001, 0.01)),
}


def thing(shape: Shape, seed: int = 0) -> Item:
    texture = rng(0, "texture").uniform(-1, 1, (4, 4, 4)).astype(np.float32)
    axes = random_rotations(rng(seed, "axes"), 1)[0]
    colors = np.array([[0.5, 0.1, 0.1], [0.1, 0.1, 0.5]])
    return Item(
        shape, np.array(SHAPES[shape], dtype=float), np.array([5.0, -4, 120]), axes, colors, 8.0, True, 0.5, texture
    )


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_rays_meet_things_where_their_distance_is_zero(shape: Shape, camera: Camera) -> None:
    for seed in range(3):
        item = thing(shape, seed)
        view = see_item(item, camera)
        assert len(view.rows) > 20
        np.testing.assert_allclose(item.distance(view.points), 0, atol=1e-9)
        np.testing.assert_allclose(camera.project(view.points), np.stack([view.columns, view.rows], -1), atol=1e-4)
        for share in np.linspace(0.3, 0.999, 50):
            assert item.distance(share * view.points).min() > 0
        step = 1e-4
        slope = [item.distance(view.points + step * (axis + 0 * view.points)) for axis in np.eye(3)]
        outward = np.stack(slope, -1) - item.distance(view.points)[:, None]
        smooth = np.abs(np.linalg.norm(outward, axis=-1) / step - 1) < 1e-2  # away from edges
        assert smooth.mean() > 0.7
        np.testing.assert_allclose(view.normals[smooth], outward[smooth] / step, atol=2e-2)
        # Pixels that it does not show miss it.
        missed = np.ones((camera.height, camera.width), dtype=bool)
        missed[view.rows, view.columns] = False
        v, u = np.nonzero(missed)
        rays = camera.lift(np.stack([u, v], -1), np.ones(len(u)))
        assert item.distance(rays[:, None] * np.arange(60, 190, 0.5)[:, None]).min() > -0.3


def test_things_look_like_their_colours_and_take_light_away() -> None:
    item = thing("stick")
    coat = item_coat(item, see_item(item, CAMERAS["plain"]))
    assert np.isclose(coat.albedo, item.colors[0]).all(-1).any()
    assert np.isclose(coat.albedo, item.colors[1]).all(-1).any()
    for shape in SHAPES:
        item = thing(shape)
        rows = solids([item])
        assert rows.shape == (1, field.COLUMNS)
        points = item.center_mm + rng(0, "points").normal(0, 40, (100, 3))
        around = [bone_distance(rows, np.zeros(1, dtype=np.uint32), 1, *point) for point in points]
        off = np.abs(np.array(around) - item.distance(points))
        assert off.max() < {"ball": 1e-5, "stick": 9.1, "box": 26}[shape]


def test_hands_touch_what_they_hold_and_stay_out_of_it() -> None:
    kinds, gaps = set(), []
    for index in range(24):
        scene, surface, camera = drawn(index)
        item = held_item(rng(index, "held"), surface, scene.hands[0].joints_mm)
        if item is None:
            continue
        kinds.add(item.shape)
        skin = trace(surface, camera).points
        assert item.distance(skin).min() > -0.02
        # Points of the thing, by cameras from all around, are outside the hand.
        for turn in random_rotations(rng(index, "turn"), 4):
            away = np.array([0, 0, 400.0]) - turn @ item.center_mm
            seen = see_item(item.moved(turn, away), Camera(300.0, 300.0, 50.0, 50.0, 101, 101))
            gap = surface.distance((seen.points - away) @ turn)
            assert gap.min() > -0.02
            gaps.append(gap.min())
    assert kinds == set(SHAPES)
    assert np.quantile(gaps, 0.25) < 3  # most are touched where some camera sees it


def test_things_before_hands_hide_them_in_every_image() -> None:
    bare = small(size=64)
    covered = small(size=64, looks=Looks(sleeves=0, held=0, occluders=1))
    hidden = 0
    for index in range(4):
        first, second = (next(simulate(settings, index, index + 1)) for settings in (bare, covered))
        scene = draw_scene(covered, index)
        assert len(scene.items) == 1
        lens = scene.rig.lenses[0]
        owner = see(scene, lens.from_scene, lens.camera).owner
        check_hidden(first, second, owner == THING)
        view = see_item(scene.items[0], lens.camera)
        assert second.depth_mm is not None
        front = owner[view.rows, view.columns] == THING
        shown = second.depth_mm[view.rows, view.columns][front]
        np.testing.assert_allclose(shown, view.z_mm[front], rtol=1e-6)
        assert first.visible is not None
        assert second.visible is not None
        assert not (second.visible & ~first.visible).any()
        hidden += int((first.visible & ~second.visible).sum())
    assert hidden > 3


def check_hidden(first: HandSample, second: HandSample, thing: np.ndarray) -> None:
    assert np.array_equal(first.joints_mm, second.joints_mm)  # type: ignore[arg-type]
    assert first.mask is not None
    assert second.mask is not None
    assert first.depth_mm is not None
    assert second.depth_mm is not None
    assert thing.sum() > 20
    assert (second.mask[thing] == 0).all()
    assert np.array_equal(first.mask[~thing], second.mask[~thing])
    assert np.array_equal(first.depth_mm[~thing], second.depth_mm[~thing], equal_nan=True)
    both = thing & np.isfinite(first.depth_mm)
    assert (second.depth_mm[both] < first.depth_mm[both]).all()


def test_a_thing_before_the_hand_is_between_it_and_the_camera() -> None:
    scene, _, _ = drawn(0)
    joints = scene.hands[0].joints_mm
    for seed in range(20):
        item = item_before(rng(seed, "before"), joints)
        assert 0.3 * joints[:, 2].min() < item.center_mm[2] < joints[:, 2].min()
        np.testing.assert_allclose(item.axes.T @ item.axes, np.eye(3), atol=1e-9)
