from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from handsynth.hand.camera import Camera
from handsynth.runtime.seeds import rng
from handsynth.simulator.depth_sensor import measure

CAMERA = Camera(475.0, 475.0, 79.5, 59.5, 160, 120)
SENSORS = ["structured_light", "time_of_flight", "stereo"]


def wall(z_mm: float) -> np.ndarray:
    return np.full((120, 160), z_mm, dtype=np.float32)


def finger_before_a_wall() -> np.ndarray:
    """A bar, 400 mm away, before a wall 100 mm behind, and nothing at all on the left."""
    depth = wall(500.0)
    depth[:, 70:90] = 400.0
    depth[:, :20] = np.nan
    return depth


@pytest.mark.parametrize("sensor", SENSORS)
def test_none_and_strength_0_are_exact_and_the_stream_decides(sensor: Any) -> None:
    depth = finger_before_a_wall()
    assert measure(depth, CAMERA, rng(0, "x"), "none") is depth
    assert measure(depth, CAMERA, rng(0, "x"), sensor, 0.0) is depth
    one, again, other = (measure(depth, CAMERA, rng(seed, "x"), sensor) for seed in (0, 0, 1))
    assert one.dtype == np.float32
    assert np.array_equal(one, again, equal_nan=True)
    assert not np.array_equal(one, other, equal_nan=True)
    nothing = np.full((8, 8), np.nan, dtype=np.float32)
    assert np.isnan(measure(nothing, CAMERA, rng(0, "x"), sensor)).all()


# Barron and Malik: 35130 cm / 6 steps of noise and a rounding of 1/sqrt(12); Intel: 0.08 px at 615 px and 55 mm.
@pytest.mark.parametrize(
    ("sensor", "per_mm2", "floor_mm"),
    [
        ("structured_light", np.hypot(1 / 6, 1 / np.sqrt(12)) / 351300, 0.0),
        ("stereo", 0.08 / (615 * 55), 0.0),
        ("time_of_flight", 1e-6, 1.0),
    ],
)
@pytest.mark.parametrize("z_mm", [400.0, 800.0, 1200.0])
def test_noise_grows_with_distance_as_the_sources_say(
    sensor: Any, per_mm2: float, floor_mm: float, z_mm: float
) -> None:
    # Farther than any step, so that rounding errs like noise.
    errors = [
        measure(wall(z_mm + offset), CAMERA, rng(int(offset * 8), "x"), sensor)[10:-10, 10:-10] - (z_mm + offset)
        for offset in np.linspace(0, 8, 9)
    ]
    expected = floor_mm + per_mm2 * z_mm**2
    assert np.nanstd(np.stack(errors)) == pytest.approx(expected, rel=0.15)
    assert abs(np.nanmean(np.stack(errors))) < 0.3 * expected


def test_structured_light_gives_few_levels_and_fewer_far_away() -> None:
    near, far = (measure(wall(z), CAMERA, rng(0, "x"), "structured_light") for z in (400.0, 1200.0))
    steps = [np.diff(np.unique(depth[np.isfinite(depth)])).min() for depth in (near, far)]
    assert steps[0] == pytest.approx(400**2 / 351300, rel=0.05)
    assert steps[1] / steps[0] == pytest.approx(9, rel=0.05)


@pytest.mark.parametrize("sensor", ["structured_light", "stereo"])
def test_shadows_lie_on_one_side_as_wide_as_the_parallax(sensor: Any) -> None:
    baseline = {"structured_light": 75.0, "stereo": 55.0}[sensor]
    lost = np.isnan(measure(finger_before_a_wall(), CAMERA, rng(0, "x"), sensor)).mean(0)
    wide = 475 * baseline * (1 / 400 - 1 / 500)
    left, right = lost[70 - int(wide) + 1 : 68], lost[92 : 90 + int(wide)]
    # The other eye stands at +x, so it sees less of the wall on the bar's left.
    assert left.min() > 0.95
    assert right.max() < 0.05
    assert lost[40 : 70 - int(wide) - 3].max() < 0.05
    assert np.isnan(measure(finger_before_a_wall(), CAMERA, rng(0, "x"), "time_of_flight")).mean(0)[22:].max() < 0.05


def test_flying_pixels_lie_between_the_bar_and_the_wall() -> None:
    measured = measure(finger_before_a_wall(), CAMERA, rng(0, "x"), "time_of_flight")
    between = (measured > 415) & (measured < 485)
    assert set(np.flatnonzero(between[:, 40:].any(0)) + 40) <= {70, 89}
    assert between[:, [70, 89]].mean() > 0.1
    edge = measured[:, 20]
    assert np.nanmax(edge) > 510  # nothing is known behind the left end of the wall
    assert np.nanmin(edge) > 490


def test_steep_surfaces_are_lost_and_level_ones_stay() -> None:
    slope = np.deg2rad(82.0)
    u = (np.arange(160) - CAMERA.cx) / CAMERA.fx
    steep = np.tile((500 / (1 - np.tan(slope) * u)).astype(np.float32), (120, 1))
    part = steep[:, 70:90]
    assert np.isnan(measure(part, CAMERA, rng(0, "x"), "structured_light")[5:-5, 5:-5]).mean() > 0.6
    assert np.isnan(measure(wall(500.0), CAMERA, rng(0, "x"), "structured_light")[5:-5, 5:-5]).mean() == 0


def test_stereo_fattens_what_is_near() -> None:
    measured = measure(finger_before_a_wall(), CAMERA, rng(0, "x"), "stereo", 0.1)
    column = measured[:, 90]
    assert np.nanmedian(column) == pytest.approx(400, abs=2)
    assert np.nanmedian(measured[:, 92]) == pytest.approx(500, abs=2)
