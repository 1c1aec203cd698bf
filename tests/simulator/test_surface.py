from __future__ import annotations

import numpy as np
import pytest
import torch

from handsynth.hand.joints import FIRST_PHALANX, OTHER_BODY, PALM_PART, PHALANGES
from handsynth.simulator.surface import Cones, Surface
from handsynth.simulator.trace import HIT_MM, trace
from tests.simulator.scenes import drawn, near_surface


def cone_distance(point: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> float:
    """Distance to the union of very many spheres along the axis: the round cone, by brute force."""
    share = np.linspace(0, 1, 20001)[:, None]
    centers = ends[0] + share * (ends[1] - ends[0])
    return float((np.linalg.norm(point - centers, axis=-1) - (radii[0] + share[:, 0] * (radii[1] - radii[0]))).min())


def test_round_cones_agree_with_brute_force() -> None:
    _, surface, _ = drawn(0)
    points = near_surface(surface, 40).double().numpy() * 1.5
    exact = Surface(surface.cones, torch.float64).cone_distances(torch.as_tensor(points))
    quick = surface.cone_distances(torch.as_tensor(points, dtype=torch.float32))
    cones = surface.cones
    for row in range(0, len(cones.parts), 4):
        ends = cones.ends_mm[row] - surface.center_mm
        expected = [cone_distance(point, ends, cones.radii_mm[row]) for point in points]
        np.testing.assert_allclose(exact[row], expected, atol=2e-4 if row < len(cones.parts) - 2 else 2e-2)
    assert (exact - quick).abs().max() < 5e-3


def test_field_never_overestimates() -> None:
    """1-Lipschitz: a step of the field's length cannot cross the surface."""
    _, surface, _ = drawn(1)
    field = Surface(surface.cones, torch.float64)
    a, b = near_surface(surface, 4000, 1).double(), near_surface(surface, 4000, 2).double()
    b = a + (b - a) * 0.05
    change = (field.distance(a) - field.distance(b)).abs()
    assert (change <= torch.linalg.vector_norm(a - b, dim=-1) + 1e-9).all()


def test_union_of_cones_lies_inside_and_blends_swell_little() -> None:
    _, surface, _ = drawn(2)
    points = near_surface(surface, 3000)
    swell = surface.cone_distances(points).amin(0) - surface.distance(points)
    assert swell.min() > -1e-3
    assert swell.max() < 12


@pytest.mark.parametrize("index", range(6))
def test_joints_lie_inside(index: int) -> None:
    scene, surface, _ = drawn(index)
    joints = torch.as_tensor(scene.hands[0].joints_mm - surface.center_mm, dtype=torch.float32)
    assert surface.distance(joints).max() < -2


def test_fingers_do_not_melt_into_each_other() -> None:
    """Two straight, parallel fingers 30 mm before the palm keep the gap between them."""
    _, surface, _ = drawn(0)
    cones = surface.cones
    ends, radii = cones.ends_mm.copy(), cones.radii_mm.copy()
    for finger in range(5):
        for segment in range(3):
            start = np.array([finger * 17.0, 30.0 + 30 * segment, 0.0])
            ends[3 * finger + segment] = [start, start + np.array([0.0, 30.0, 0.0])]
            radii[3 * finger + segment] = 8.0
    ends[15:] = [[0.0, -200.0, 0.0], [0.0, -340.0, 0.0]]
    field = Surface(Cones(ends, radii, cones.parts, cones.pulps, cones.axes, cones.wrist_mm))
    between = torch.tensor([[8.5 + 17 * number, 70.0, 0.0] for number in range(4)])
    between = between - torch.as_tensor(field.center_mm, dtype=torch.float32)
    torch.testing.assert_close(field.distance(between), torch.full((4,), 0.5), atol=1e-3, rtol=0)


@pytest.mark.parametrize("index", range(4))
def test_traced_depth_lies_on_the_surface_and_is_the_first_hit(index: int) -> None:
    _, surface, camera = drawn(index)
    view = trace(surface, camera)
    exact = Surface(surface.cones, torch.float64)
    depth = view.depth_mm(camera.height, camera.width)
    v, u = np.nonzero(np.isfinite(depth))
    points = camera.lift(np.stack([u, v], -1), depth[v, u]) - surface.center_mm
    assert len(points) > 200
    assert exact.distance(torch.as_tensor(points)).abs().max() < 0.1
    eye = -surface.center_mm
    for share in np.linspace(0.5, 0.999, 60):
        before = torch.as_tensor(eye + share * (points - eye))
        assert exact.distance(before).min() > -HIT_MM


@pytest.mark.parametrize("index", range(2))
def test_pixels_without_depth_miss_the_hand(index: int) -> None:
    _, surface, camera = drawn(index)
    depth = trace(surface, camera).depth_mm(camera.height, camera.width)
    v, u = np.nonzero(~np.isfinite(depth))
    exact = Surface(surface.cones, torch.float64)
    nearest = torch.full((len(u),), torch.inf, dtype=torch.float64)
    for z in np.arange(150.0, 700.0, 1.0):
        points = camera.lift(np.stack([u, v], -1), np.full(len(u), z)) - surface.center_mm
        nearest = torch.minimum(nearest, exact.distance(torch.as_tensor(points)))
    assert nearest.min() > -0.5  # half a step of this walk: nothing thicker is missed


def test_normals_agree_with_finite_differences() -> None:
    _, surface, camera = drawn(3)
    view = trace(surface, camera)
    exact = Surface(surface.cones, torch.float64)
    points = view.points.double()
    step = 0.05
    axes = torch.eye(3, dtype=torch.float64) * step
    gradient = torch.stack([exact.distance(points + axis) - exact.distance(points - axis) for axis in axes], -1)
    gradient = torch.nn.functional.normalize(gradient, dim=-1)
    angle = torch.rad2deg(torch.acos((gradient * view.normals).sum(-1).clamp(-1, 1)))
    assert angle.quantile(0.97) < 1.0  # at creases between parts the field has an edge
    towards_eye = -(points + torch.as_tensor(surface.center_mm))
    assert ((view.normals * towards_eye).sum(-1) > 0).double().mean() > 0.98


@pytest.mark.parametrize("index", range(3))
def test_parts_are_those_of_the_nearest_bone(index: int) -> None:
    scene, surface, camera = drawn(index)
    view = trace(surface, camera)
    assert set(view.parts.tolist()) <= set(range(PALM_PART, OTHER_BODY + 1))
    joints, radii = scene.hands[0].joints_mm, scene.hands[0].radii_mm
    points = view.points.numpy() + surface.center_mm
    codes = view.parts.numpy()
    outside = []
    for parent, child in PHALANGES:
        axis = joints[child] - joints[parent]
        share = np.clip((points - joints[parent]) @ axis / (axis @ axis), 0, 1)
        off = np.linalg.norm(points - joints[parent] - share[:, None] * axis, axis=-1)
        outside.append(off - radii[parent] - share * (radii[child] - radii[parent]))
    nearest = FIRST_PHALANX + np.argmin(outside, axis=0)
    finger = (codes >= FIRST_PHALANX) & (codes < OTHER_BODY)
    assert finger.sum() > 50
    assert (nearest == codes)[finger].mean() > 0.95  # the rest lies at the joints
    beyond = joints[0] + 1.5 * (joints[0] - joints[9])  # half a palm behind the wrist
    arm = surface.parts(torch.as_tensor((beyond - surface.center_mm)[None], dtype=torch.float32))
    middle = surface.parts(torch.as_tensor((joints[[0, 9]].mean(0) - surface.center_mm)[None], dtype=torch.float32))
    assert (int(arm), int(middle)) == (OTHER_BODY, PALM_PART)
