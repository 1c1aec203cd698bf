from __future__ import annotations

import numpy as np
import pytest

from handsynth.hand.camera import Camera
from handsynth.hand.joints import J
from handsynth.hand.sample import HandSample
from handsynth.imaging.draw import label
from handsynth.reports.contact_sheet import pair_sheet, prediction_sheet, sample_sheet

CELL = 64


def picture(level: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), level, dtype=np.uint8)


def keypoints(size: int = 32) -> np.ndarray:
    return np.stack([np.linspace(2, size - 3, J), np.linspace(size - 3, 2, J)], axis=-1)


def pair(distance: float, **changes):
    row = {
        "source_rgb": picture(60),
        "target_rgb": picture(120),
        "generated_rgb": picture(180),
        "source_keypoints": keypoints(),
        "target_keypoints": keypoints(),
        "distance": distance,
        "score": 0.5,
        "source_key": "a",
        "target_key": "b",
    }
    return row | changes


def test_pair_sheet_has_a_line_per_pair_and_a_column_per_view():
    rows = [pair(distance) for distance in (0.3, 0.1, 0.2)]
    sheet = pair_sheet(rows, cell=CELL)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1:] == (5 * CELL + 4 * 8, 3)
    assert pair_sheet([pair(0.1, target_rgb=None)], cell=CELL).shape[1] == 4 * CELL + 3 * 8
    assert sheet.shape[0] > pair_sheet(rows, count=2, cell=CELL).shape[0] > 2 * CELL
    assert (sheet == pair_sheet(rows[::-1], cell=CELL)).all()


def test_pairs_are_chosen_evenly_from_near_to_far():
    rows = [pair(i / 10, source_rgb=picture(20 * i + 10), target_key=str(i)) for i in range(11)]
    sheet = pair_sheet(rows, count=3, cell=CELL)
    column = sheet[:, CELL // 2, 0]
    levels = [level for level in (10, 110, 210) if (column == level).sum() >= CELL // 2]
    assert levels == [10, 110, 210]


def test_skeletons_follow_the_enlarged_picture():
    spot = np.full((J, 2), np.nan)
    spot[0] = (7.5, 15.5)  # a quarter across, half way down: the wrist is drawn white
    sheet = pair_sheet([pair(0.1, generated_rgb=picture(100), target_keypoints=spot)], cell=CELL)
    pose = sheet[-CELL - 20 - 8 :, CELL + 8 : 2 * CELL + 8]
    white = np.argwhere((pose[: CELL + 8] == 255).all(-1) & (np.arange(CELL + 8)[:, None] >= 8))
    white = white[white[:, 0] < CELL]
    assert len(white)
    assert abs(np.median(white[:, 1]) - (8 * CELL / 32 - 0.5)) <= 1


@pytest.mark.parametrize(("samples", "cells"), [(1, 1), (2, 2), (3, 3), (20, 12)])
def test_prediction_sheet_shows_no_sample_twice(samples, cells):
    images = np.stack([picture(10 + 11 * i) for i in range(samples)])
    points = np.full((samples, J, 2), np.nan)
    sheet = prediction_sheet(images, points, points, np.arange(samples, dtype=float), count=4, cell=CELL)
    shown = [i for i in range(samples) if (sheet == 10 + 11 * i).all(-1).sum() >= 2 * CELL * CELL]
    twice = [i for i in shown if (sheet == 10 + 11 * i).all(-1).sum() >= 3 * CELL * CELL]
    assert len(shown) == cells
    assert not twice
    if samples == 20:
        assert shown == [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]


def test_prediction_sheet_leaves_unknown_errors_out():
    images, points = np.stack([picture(50), picture(90)]), np.full((2, J, 2), np.nan)
    sheet = prediction_sheet(images, points, points, np.array([np.nan, 3.0]), keys=["x", "y"], cell=CELL)
    assert not (sheet == 50).all(-1).sum() > CELL
    with pytest.raises(ValueError, match="known error"):
        prediction_sheet(images, points, points, np.full(2, np.nan))


def test_sample_sheet_puts_depth_and_mask_beside_the_colour():
    colour = HandSample(key="a", rgb=picture(50, 24, 32), keypoints_px=keypoints(24).astype(np.float32))
    assert sample_sheet([colour] * 3, columns=2, size=CELL).shape == (2 * (CELL + 20) + 8, 2 * CELL + 8, 3)
    depth = HandSample(
        key="b",
        depth_mm=np.full((24, 32), 500, np.float32),
        mask=np.ones((24, 32), np.uint8),
        joints_mm=np.full((J, 3), 400, np.float32),
        camera=Camera(100, 100, 16, 12, 32, 24),
    )
    assert sample_sheet([colour, depth], columns=2, size=CELL).shape == (CELL + 20, 6 * CELL + 8, 3)
    bare = HandSample(key="c", keypoints_px=keypoints().astype(np.float32), camera=Camera(100, 100, 16, 12, 32, 24))
    assert sample_sheet([bare], size=CELL).shape == (CELL + 20, CELL, 3)


def test_nothing_to_show_is_our_own_mistake():
    with pytest.raises(ValueError, match="no pairs"):
        pair_sheet([])
    with pytest.raises(ValueError, match="no samples"):
        sample_sheet([])


@pytest.mark.parametrize("text", ["short", "a rather long caption that does not fit " * 5, "ümlaut -> π", ""])
def test_label_adds_a_strip_and_leaves_the_picture(text):
    image = picture(77, 40, 100)
    out = label(image, text, size=22)
    assert out.shape == (62, 100, 3)
    assert (out[:40] == image).all()
    assert (out[40:, -1] == 255).all()
    assert ((out[40:] < 128).any()) == bool(text)
