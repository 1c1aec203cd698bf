from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.hand.joints import OTHER_BODY, PALM_PART
from handsynth.runtime.seeds import rng
from handsynth.simulator import compile, field
from handsynth.simulator.cones import PHALANX_COUNT, Sleeve
from handsynth.simulator.surface import NORMAL_STEP_MM, Surface
from handsynth.simulator.trace import march, trace
from tests.simulator.scenes import drawn, near_surface


def cone_distance(point: np.ndarray, ends: np.ndarray, radii: np.ndarray) -> float:
    """Distance to the union of very many spheres along the axis: the round cone, by brute force."""
    share = np.linspace(0, 1, 20001)[:, None]
    centers = ends[0] + share * (ends[1] - ends[0])
    return float((np.linalg.norm(point - centers, axis=-1) - (radii[0] + share[:, 0] * (radii[1] - radii[0]))).min())


def dressed(index: int) -> Surface:
    """A drawn hand in a sleeve."""
    _, surface, _ = drawn(index)
    return Surface.of(replace(surface.cones, sleeve=Sleeve(20.0, 4.0)))


def test_round_cones_agree_with_brute_force() -> None:
    _, surface, _ = drawn(0)
    points = near_surface(surface, 40)
    found = surface.cone_distances(points)
    cones = surface.cones
    for row in range(0, len(cones.parts), 4):
        expected = [cone_distance(point, cones.ends_mm[row], cones.radii_mm[row]) for point in points]
        np.testing.assert_allclose(found[row], expected, atol=2e-4 if row < len(cones.parts) - 2 else 2e-2)


def test_melt_solves_its_equation_and_does_not_mind_the_order() -> None:
    random = rng(0, "melt")
    for count in range(1, 9):
        values = random.uniform(-3, 9, count)
        width = float(random.uniform(1, 12))
        found = field.melt(values.copy(), 0, count, width)
        assert np.sum(np.maximum(found + width - values, 0) ** 2) == pytest.approx(width**2, rel=1e-9)
        assert field.melt(values[::-1].copy(), 0, count, width) == pytest.approx(found, abs=1e-12)
        if count == 2:
            assert field.fillet(*values, width) == pytest.approx(found, abs=1e-12)
        far = np.append(values, values.min() + width + 1e-9)
        assert field.melt(far, 0, count + 1, width) == pytest.approx(found, abs=1e-12)


@pytest.mark.parametrize("step_mm", [3.0, 0.05])
def test_field_never_overestimates(step_mm: float) -> None:
    """1-Lipschitz: a step of the field's length cannot cross the surface; pads, nails, creases and cloth included."""
    for index in (1, 4):
        surface = dressed(index)
        _, _, camera = drawn(index)
        near = trace(surface, camera).points
        a = np.concatenate([near_surface(surface, 3000, 1), near + rng(2).normal(0, 0.3, near.shape)])
        b = a + rng(3).normal(0, step_mm / 2, a.shape)
        change = np.abs(surface.distance(a) - surface.distance(b))
        assert (change <= np.linalg.norm(a - b, axis=-1) + 1e-9).all()


def test_distance_is_at_most_that_to_the_nearest_point_of_the_skin_and_not_far_below() -> None:
    """Against brute force: the nearest of many points of the skin itself, found by walking down the gradient."""
    _, surface, _ = drawn(2)
    start = near_surface(surface, 12000, 5)
    skin = start
    for _ in range(30):
        skin = skin - surface.distance(skin)[:, None] * surface.normals(skin)
    skin = skin[np.abs(surface.distance(skin)) < 1e-3]
    assert len(skin) > 0.9 * len(start)
    points = start[:400][surface.distance(start[:400]) > 0]
    nearest = np.array([np.linalg.norm(skin - point, axis=-1).min() for point in points])
    found = surface.distance(points)
    assert (found <= nearest + 2e-3).all()
    assert np.quantile(nearest - found, 0.9) < 1.5  # blends lower the field a little, and the sample has gaps


def test_union_of_cones_lies_inside_but_for_the_hollow_and_creases() -> None:
    _, surface, _ = drawn(2)
    points = near_surface(surface, 3000)
    points = points[surface.distance(points) > 0]
    swell = surface.cone_distances(points).min(0) - surface.distance(points)
    assert swell.min() > -field.HOLLOW_MM
    assert np.quantile(swell, 0.1) > -1.5
    assert swell.max() < field.REACH_MM


@pytest.mark.parametrize("index", range(6))
def test_joints_lie_inside(index: int) -> None:
    scene, surface, _ = drawn(index)
    assert surface.level(scene.hands[0].joints_mm).max() < -2


def parallel_fingers(spacing_mm: float) -> Surface:
    """Straight fingers 16 mm thick side by side, far before the palm."""
    _, surface, _ = drawn(0)
    cones = surface.cones
    ends, radii, pulps = cones.ends_mm.copy(), cones.radii_mm.copy(), np.tile([0.0, 0.0, 1.0], (PHALANX_COUNT, 1))
    for finger in range(5):
        for segment in range(3):
            start = np.array([(finger - 2) * spacing_mm, 30.0 + 30 * segment, 0.0])
            ends[3 * finger + segment] = [start, start + np.array([0.0, 30.0, 0.0])]
            radii[3 * finger + segment] = 8.0
    ends[PHALANX_COUNT:] = [[0.0, -200.0, 0.0], [0.0, -340.0, 0.0]]
    return Surface.of(replace(cones, ends_mm=ends, radii_mm=radii, pulps=pulps, axes=np.eye(3)))


def test_fingers_do_not_melt_into_each_other() -> None:
    """A neighbour half a millimetre away changes nothing about a finger's own surface."""
    points = np.stack(np.meshgrid(np.linspace(-8.2, 8.2, 20), np.linspace(35, 115, 20), np.linspace(-9, 9, 10)), -1)
    together, apart = (parallel_fingers(spacing).level(points) for spacing in (17.5, 170.0))
    np.testing.assert_allclose(together, apart, atol=1e-9)
    assert (apart[:, -1] > 0).any()


def test_creases_are_grooves_and_nails_are_raised() -> None:
    _, surface, _ = drawn(0)
    bare = surface.table.copy()
    bare[field.RINGS : field.PULPS, 10:12] = 0
    bare[field.LINES : field.PULPS, 5] = 0
    smooth = Surface(surface.cones, bare)
    points = near_surface(surface, 4000)
    assert (surface.level(points) - smooth.level(points)).min() > -1e-12
    ends, pulp = surface.cones.ends_mm[8], surface.cones.pulps[8]  # last phalanx of the middle finger
    radius = surface.cones.radii_mm[8, 1]
    ray = ends[1] - np.linspace(0, 2, 2001)[:, None] * radius * pulp
    back = np.interp(0, surface.distance(ray), np.linspace(0, 2, 2001) * radius)
    assert 0.1 < back - radius < 0.5


@pytest.mark.parametrize("index", range(3))
def test_short_lists_of_rows_give_the_same_field(index: int) -> None:
    surface = dressed(index)
    random = rng(index, "lists")
    rows, values = np.empty(len(surface.table), dtype=np.uint32), np.empty(len(surface.table))
    for center in near_surface(surface, 60, 9):
        trunk, count = field.near_rows(surface.table, *center, 8.0, rows)
        points = center + random.uniform(-8, 8, (20, 3)) / np.sqrt(3)
        found = [field.distance(surface.table, rows, trunk, count, values, *point, field.STEEP) for point in points]
        np.testing.assert_allclose(found, surface.distance(points), atol=1e-9)


def test_normals_agree_with_finite_differences() -> None:
    surface = dressed(3)
    _, _, camera = drawn(3)
    view = trace(surface, camera)
    step = NORMAL_STEP_MM / 5
    gradient = np.stack(
        [surface.level(view.points + axis) - surface.level(view.points - axis) for axis in step * np.eye(3)], -1
    )
    gradient /= np.linalg.norm(gradient, axis=-1, keepdims=True)
    for normals in (view.normals, surface.normals(view.points)):
        np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-9)
        angle = np.rad2deg(np.arccos(np.clip((gradient * normals).sum(-1), -1, 1)))
        assert np.median(angle) < 0.2
        assert np.quantile(angle, 0.97) < 1.0  # at creases between parts the field has an edge


def test_arm_and_palm_have_their_codes() -> None:
    scene, surface, _ = drawn(0)
    joints = scene.hands[0].joints_mm
    beyond = joints[0] + 1.5 * (joints[0] - joints[9])  # half a palm behind the wrist
    assert surface.parts(np.stack([beyond, joints[[0, 9]].mean(0)])).tolist() == [OTHER_BODY, PALM_PART]


def test_compiled_code_is_kept_by_the_contents_of_its_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this a kernel would outlive a change of the functions and constants that it takes from other files."""
    functions = (field.distance, field.melt, march)
    stamps = {function._cache._cache_file._source_stamp for function in functions}  # type: ignore[attr-defined]
    for name in ("simulator", "hand"):
        shutil.copytree(compile._HERE.parent / name, tmp_path / name)
    monkeypatch.setattr(compile, "_HERE", tmp_path / "simulator")
    assert stamps == {compile._digest.__wrapped__()}
    for changed in ("simulator/relief.py", "hand/joints.py"):
        with (tmp_path / changed).open("a") as file:
            file.write("# other\n")
        stamps.add(compile._digest.__wrapped__())
    assert [len(stamp) for stamp in stamps] == [64, 64, 64]
