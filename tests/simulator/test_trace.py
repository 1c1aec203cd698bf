from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from handsynth.hand.camera import Camera
from handsynth.hand.joints import FIRST_PHALANX, OTHER_BODY, PALM_PART, PHALANGES
from handsynth.simulator.cones import Sleeve
from handsynth.simulator.light import blockers, received_light
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import HIT_MM, View, trace
from tests.simulator.scenes import drawn

ODD = {
    "oblong pixels": Camera(70.0, 45.0, 20.0, 30.0, 44, 61),
    "off axis": Camera(300.0, 310.0, -40.0, 90.0, 50, 45),
    "distorted": Camera(60.0, 62.0, 30.0, 33.0, 60, 64, (-0.25, 0.05, 0.002, -0.001, 0.01)),
}


def check_depth(surface: Surface, camera: Camera, view: View) -> None:
    """Every traced depth is the first place where the pixel's ray meets the analytic surface."""
    depth = view.depth_mm(camera.height, camera.width)
    v, u = np.nonzero(np.isfinite(depth))
    points = camera.lift(np.stack([u, v], -1), depth[v, u])
    assert np.abs(surface.distance(points)).max() < 0.1
    for share in np.linspace(0.5, 0.999, 60):
        assert surface.distance(share * points).min() > -HIT_MM


def check_misses(surface: Surface, camera: Camera, view: View) -> None:
    """Beside the silhouette nothing thicker than the walk's half step is missed."""
    mask = view.mask(camera.height, camera.width)
    beside = cv2.dilate(mask, np.ones((5, 5), dtype=np.uint8)) > mask
    v, u = np.nonzero(beside & (mask == 0))
    assert len(u) > 20
    rays = camera.lift(np.stack([u, v], -1), np.ones(len(u)))
    z = np.arange(view.z_mm.min() - 20, view.z_mm.max() + 60, 1.0)
    assert surface.distance(rays[:, None] * z[:, None]).min() > -0.5


@pytest.mark.parametrize("index", range(4))
def test_traced_depth_lies_on_the_surface_and_is_the_first_hit(index: int) -> None:
    _, surface, camera = drawn(index)
    view = trace(surface, camera)
    assert len(view.rows) > 200
    check_depth(surface, camera, view)
    np.testing.assert_allclose(camera.project(view.points), np.stack([view.columns, view.rows], -1), atol=1e-9)
    assert np.abs(surface.distance(view.points)).max() < 0.05
    assert ((view.normals * view.points).sum(-1) < 0).mean() > 0.98


def test_pixels_without_depth_miss_the_hand() -> None:
    _, surface, camera = drawn(1, size=32)
    check_misses(surface, camera, trace(surface, camera))


@pytest.mark.parametrize("name", ODD)
def test_any_camera_will_do(name: str) -> None:
    _, surface, _ = drawn(2)
    camera = ODD[name]
    middle = surface.cones.ends_mm[:-2].reshape(-1, 3).mean(0)
    aim = camera.lift(np.array([camera.width / 2, camera.height / 2]), np.array(380.0))
    moved = Surface.of(surface.cones.moved(np.eye(3), aim - middle))
    view = trace(moved, camera)
    assert len(view.rows) > 200
    check_depth(moved, camera, view)
    check_misses(moved, camera, view)
    np.testing.assert_allclose(camera.project(view.points), np.stack([view.columns, view.rows], -1), atol=1e-4)


def test_a_finer_picture_sees_the_same_surface() -> None:
    """Pixels of both pictures that share a ray agree, whatever blocks they fell into."""
    _, surface, camera = drawn(0)
    fine = camera.warped(3, 3, 0, 0, 3 * camera.width, 3 * camera.height)
    coarse_depth = trace(surface, camera).depth_mm(camera.height, camera.width)
    fine_depth = trace(surface, fine).depth_mm(fine.height, fine.width)[::3, ::3]
    both = np.isfinite(coarse_depth) & np.isfinite(fine_depth)
    assert (np.isfinite(coarse_depth) == np.isfinite(fine_depth)).mean() > 0.998
    assert np.quantile(np.abs(coarse_depth - fine_depth)[both], 0.99) < 0.05


@pytest.mark.parametrize("index", range(3))
def test_parts_are_those_of_the_nearest_bone(index: int) -> None:
    scene, surface, camera = drawn(index)
    view = trace(surface, camera)
    assert set(view.parts.tolist()) <= set(range(PALM_PART, OTHER_BODY + 1))
    assert np.array_equal(view.parts, surface.parts(view.points))
    joints, radii = scene.hands[0].joints_mm, scene.hands[0].radii_mm
    outside = []
    for parent, child in PHALANGES:
        axis = joints[child] - joints[parent]
        share = np.clip((view.points - joints[parent]) @ axis / (axis @ axis), 0, 1)
        off = np.linalg.norm(view.points - joints[parent] - share[:, None] * axis, axis=-1)
        outside.append(off - radii[parent] - share * (radii[child] - radii[parent]))
    nearest = FIRST_PHALANX + np.argmin(outside, axis=0)
    finger = (view.parts >= FIRST_PHALANX) & (view.parts < OTHER_BODY)
    assert finger.sum() > 50
    first, second = np.sort(np.array(outside), axis=0)[:2]
    clear = finger & (second - first > 0.5)  # around a joint two bones are equally near
    assert clear.sum() > 0.6 * finger.sum()
    assert np.array_equal(nearest[clear], view.parts[clear])


@pytest.mark.parametrize("side", ["left", "right"])
def test_places_on_the_hand_are_what_they_say(side: str) -> None:
    _, surface, camera = drawn(1, side=side)
    view, cones = trace(surface, camera), surface.cones
    np.testing.assert_allclose(view.local_mm, (view.points - cones.wrist_mm) @ cones.axes, atol=1e-9)
    seen = np.nonzero(view.phalanx >= 0)[0]
    start, end = cones.ends_mm[view.phalanx[seen]].swapaxes(0, 1)
    length = np.linalg.norm(end - start, axis=-1)
    unit = (end - start) / length[:, None]
    np.testing.assert_allclose(view.length_mm[seen], length, atol=1e-9)
    np.testing.assert_allclose(view.along_mm[seen], ((view.points[seen] - start) * unit).sum(-1), atol=1e-9)
    outward = view.points[seen] - start - view.along_mm[seen, None] * unit
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    np.testing.assert_allclose(view.palmar[seen], (outward * cones.pulps[view.phalanx[seen]]).sum(-1), atol=1e-6)
    trunk = view.phalanx < 0
    np.testing.assert_allclose(view.palmar[trunk], (view.normals @ cones.axes[:, 2])[trunk], atol=1e-9)
    nail = view.nail_mm < 0
    assert (view.phalanx[nail] % 3 == 2).all()
    assert (view.palmar[nail] < 0).all()
    assert view.crease_mm.min() >= 0
    assert 0 < view.crease_mm.max() < 1
    assert not view.cloth.any()


def test_a_sleeve_covers_the_arm_from_the_cuff_on() -> None:
    _, surface, camera = drawn(0)
    camera = replace(camera, fx=camera.fx / 2, fy=camera.fy / 2)
    arm = surface.cones.ends_mm[-2:, 1].mean(0) - surface.cones.wrist_mm
    arm /= np.linalg.norm(arm)
    view = trace(Surface.of(replace(surface.cones, sleeve=Sleeve(15.0, 4.0))), camera)
    behind = (view.points - surface.cones.wrist_mm) @ arm
    assert view.cloth.sum() > 20
    assert behind[view.cloth].min() > 14
    assert view.cloth[(view.parts == OTHER_BODY) & (behind > 20)].all()
    assert (view.parts[view.cloth] == OTHER_BODY).all()
    bare = surface.distance(view.points[view.cloth])
    assert bare.min() > 0
    assert bare.max() < 4.1


def test_light_reaches_what_faces_it_and_not_what_is_covered() -> None:
    _, surface, camera = drawn(0)
    view = trace(surface, camera)
    to_light = np.array([0.3, -0.5, -0.8]) / np.linalg.norm([0.3, -0.5, -0.8])
    lit, openness = received_light(blockers([surface]), view.points, view.normals, to_light, 0.2)
    assert lit.min() >= 0
    assert lit.max() == 1
    assert openness.min() >= 0.08
    assert 0.8 < openness.max() <= 1
    assert (lit[view.normals @ to_light <= -0.3] == 0).all()
    # A second hand between lamp and hand takes the light away; one behind the lamp's back changes nothing.
    over, under = (Surface.of(surface.cones.moved(np.eye(3), off * to_light)) for off in (60.0, -400.0))
    shaded, _ = received_light(blockers([surface, over]), view.points, view.normals, to_light, 0.2)
    assert shaded.mean() < 0.7 * lit.mean()
    again, same = received_light(blockers([surface, under]), view.points, view.normals, to_light, 0.2)
    np.testing.assert_allclose(again, lit, atol=1e-9)
    np.testing.assert_allclose(same, openness, atol=1e-9)


def test_light_does_not_depend_on_how_points_are_grouped() -> None:
    _, surface, camera = drawn(2)
    view = trace(surface, camera)
    to_light = np.array([0.0, -0.6, -0.8])
    lit, openness = received_light(blockers([surface]), view.points, view.normals, to_light, 0.3)
    mixed = np.random.default_rng(0).permutation(len(view.points))
    lit_mixed, open_mixed = received_light(blockers([surface]), view.points[mixed], view.normals[mixed], to_light, 0.3)
    np.testing.assert_allclose(lit_mixed, lit[mixed], atol=1e-9)
    np.testing.assert_allclose(open_mixed, openness[mixed], atol=1e-9)
