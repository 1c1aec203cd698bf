"""What a camera does to a picture, effect by effect."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from handsynth.hand.camera import Camera
from handsynth.runtime.seeds import rng
from handsynth.simulator.looks import Looks
from handsynth.simulator.sensor import Shot, develop, draw_shot, smeared

CAMERA = Camera(60.0, 60.0, 31.5, 31.5, 64, 64)
PERFECT = draw_shot(rng(0, "shot"), Looks(without=("sensor", "lights")).settled())


def flat(level: float) -> np.ndarray:
    return np.full((64, 64, 3), level, dtype=np.float32)


def taken(linear: np.ndarray, shot: Shot, seed: int = 0) -> np.ndarray:
    return develop(linear, shot, CAMERA, rng(seed, "noise")).astype(float)


def test_a_perfect_camera_adds_nothing() -> None:
    picture = taken(flat(0.3), PERFECT)
    assert np.ptp(picture) == 0
    assert np.array_equal(taken(flat(0.3), PERFECT, seed=1), picture)
    edges = flat(0.1)
    edges[20:40, 20:40] = 0.5
    assert len(np.unique(taken(edges, PERFECT))) == 2


def test_metering_brings_light_to_the_middle_but_not_all_the_way() -> None:
    dark, middle, bright = (taken(flat(level), PERFECT).mean() for level in (0.02, 0.2, 1.0))
    assert dark < middle < bright
    assert dark > 50
    assert abs(middle - 124) < 8  # 0.2 of white
    longer = taken(flat(0.2), replace(PERFECT, exposure=1.5)).mean()
    assert longer > middle + 15
    cast = taken(flat(0.2), replace(PERFECT, gains=np.array([1.2, 1.0, 0.8]))).mean((0, 1))
    assert cast[0] > cast[1] + 5 > cast[2] + 10


def test_noise_has_its_size_and_follows_the_light() -> None:
    noisy = replace(PERFECT, noise=0.02, chroma=0.5)
    picture = taken(flat(0.2), noisy)
    # Through the slope of the sRGB curve at 0.2.
    expected = 255 * 0.02 * np.sqrt(0.2) * 1.055 / 2.4 * 0.2 ** (1 / 2.4 - 1)
    assert 0.7 * expected < picture.std((0, 1)).mean() < 1.2 * expected
    assert not np.array_equal(picture, taken(flat(0.2), noisy, seed=1))
    grey = taken(flat(0.2), replace(noisy, chroma=0.0))
    assert np.ptp(grey, axis=-1).max() == 0
    colored = picture - picture.mean(-1, keepdims=True)
    assert colored.std() > 0.3
    neighbours = np.corrcoef(colored[:, :-1, 0].ravel(), colored[:, 1:, 0].ravel())[0, 1]
    assert neighbours > 0.3  # colour noise comes in grains


def test_corners_darken_and_colours_part_about_the_axis() -> None:
    corner = taken(flat(0.2), replace(PERFECT, vignetting=1.0))
    assert corner[0, 0, 0] < corner[32, 32, 0] - 15
    edges = flat(0.05)
    edges[:, 50:] = 0.6
    parted = taken(edges, replace(PERFECT, aberration=0.03))
    plain = taken(edges, PERFECT)
    assert np.array_equal(parted[..., 1], plain[..., 1])
    assert parted[32, 50, 0] < plain[32, 50, 0]  # red has moved outwards
    assert parted[32, 49, 2] > plain[32, 49, 2]  # and blue inwards


def test_jpeg_sharpening_and_tone_change_what_they_should() -> None:
    ramp = np.tile(np.linspace(0.02, 0.8, 64, dtype=np.float32)[None, :, None], (64, 1, 3))
    plain = taken(ramp, PERFECT)
    packed = taken(ramp + 0.05 * rng(0, "x").random((64, 64, 3)).astype(np.float32), replace(PERFECT, jpeg_quality=30))
    assert 0.5 < np.abs(packed - plain).mean() < 20
    steep = taken(ramp, replace(PERFECT, contrast=0.4))
    dark, bright = (plain > 20) & (plain < 100), (plain > 160) & (plain < 240)
    assert (steep - plain)[dark].max() < -3
    assert (steep - plain)[bright].min() > 3
    assert (np.diff(steep[0, :, 0]) >= 0).all()
    edges = flat(0.1)
    edges[:, 32:] = 0.4
    assert np.ptp(taken(edges, replace(PERFECT, sharpening=0.8))) > np.ptp(taken(edges, PERFECT)) + 10
    tinted = flat(0.2) * np.array([1.2, 1.0, 0.8], dtype=np.float32)
    spans = [np.ptp(taken(tinted, replace(PERFECT, saturation=share))[0, 0]) for share in (0.5, 1.0, 1.5)]
    assert spans[0] < spans[1] < spans[2]


@pytest.mark.parametrize("way", [(8.0, 0.0), (0.0, 8.0), (5.0, -5.0)])
def test_motion_spreads_along_its_way_and_stays_centred(way: tuple[float, float]) -> None:
    image = np.zeros((41, 41, 1), dtype=np.float32)
    image[20, 20] = 1
    blurred = smeared(image, np.array(way)).reshape(41, 41)
    np.testing.assert_allclose(blurred.sum(), 1, atol=1e-5)
    v, u = np.mgrid[-20:21, -20:21]
    assert abs((blurred * u).sum()) < 1e-5
    assert abs((blurred * v).sum()) < 1e-5
    unit = np.array(way) / np.hypot(*way)
    along, across = u * unit[0] + v * unit[1], u * unit[1] - v * unit[0]
    spread = float(np.sqrt((blurred * along**2).sum()))
    assert abs(spread - np.hypot(*way) / np.sqrt(12)) < 0.4
    assert (blurred * across**2).sum() < 0.3
    assert smeared(image, np.array([0.1, 0.1])) is image


def test_shots_follow_their_settings_one_by_one() -> None:
    usual = draw_shot(rng(5, "shot"), Looks())
    quiet = draw_shot(rng(5, "shot"), Looks(noise=(0.0, 0.0), jpeg=0.0))
    assert quiet.noise == 0
    assert quiet.jpeg_quality == 0
    assert replace(quiet, noise=usual.noise, jpeg_quality=usual.jpeg_quality, gains=usual.gains,
                   motion=usual.motion) == replace(usual)  # fmt: skip
    moving = [np.hypot(*draw_shot(rng(seed, "shot"), Looks()).motion) for seed in range(200)]
    assert 0.15 < np.mean(np.array(moving) > 0) < 0.35
