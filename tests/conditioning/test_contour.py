"""Contour and bone maps: published pixel counts, missing joints, scale, the mended tie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from handsynth.conditioning.contour import (
    bone_map,
    bone_maps,
    contour_levels,
    contour_maps,
    depth_bone_map,
    label_colors,
)
from tests.poseindex.hand_made import pose_a

POSE_A = torch.tensor(pose_a()[None], dtype=torch.float32)
KEYPOINTS = POSE_A[..., :2]


def counts(levels: Tensor) -> dict[int, int]:
    level, count = np.unique(levels.numpy(), return_counts=True)
    return dict(zip(level.tolist(), count.tolist(), strict=True))


@pytest.mark.parametrize(("half_width", "background", "phalanx"), [(16.0, 47_114, 923), (8.0, 53_774, 479)])
def test_oracle_counts(half_width: float, background: int, phalanx: int) -> None:
    found = counts(contour_levels(KEYPOINTS, 256, half_width))
    expected = {0: background, 10: 4577} | dict.fromkeys(range(20, 161, 10), phalanx)
    assert found.keys() == expected.keys()
    for level, count in expected.items():
        assert found[level] == pytest.approx(count, rel=0.01)  # OpenCV versions differ a little


def test_colours_are_one_per_level() -> None:
    expected = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert [tuple(color) for color in label_colors()[:5].tolist()] == expected
    assert label_colors()[[8, 16]].tolist() == [[64, 0, 0], [0, 64, 0]]
    maps, levels = contour_maps(KEYPOINTS, 256), contour_levels(KEYPOINTS, 256)
    assert maps.shape == (1, 3, 256, 256)
    assert maps.dtype == torch.float32
    shown = (maps[0] * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(shown, label_colors()[levels[0].numpy() // 10])
    assert len(np.unique(label_colors(), axis=0)) == 17


def test_bone_map_settles_equal_depths_by_bone_order() -> None:
    found = counts(bone_map(KEYPOINTS, POSE_A[..., 2], 256))
    expected = {0: 57_651, 160: 798, 170: 897, 180: 497, 190: 426} | dict.fromkeys(range(10, 151, 10), 313)
    expected[200] = 885 - 313  # the published code gives these pixels to level 30, whose mean depth is the same
    assert found.keys() == expected.keys()
    for level, count in expected.items():
        assert found[level] == pytest.approx(count, rel=0.02)


def test_bone_map_recolours_equal_depths_as_published() -> None:
    found = counts(bone_map(KEYPOINTS, POSE_A[..., 2], 256, recolor_ties=True))
    expected = {0: 57_651, 160: 798, 170: 897, 180: 497, 190: 426} | dict.fromkeys(range(10, 151, 10), 313)
    expected[30] = 885
    assert found.keys() == expected.keys()
    for level, count in expected.items():
        assert found[level] == pytest.approx(count, rel=0.02)


def test_bones_of_different_depths_keep_their_levels_as_published() -> None:
    z = 400.0 + torch.arange(21.0).square()[None]
    assert torch.equal(bone_map(KEYPOINTS, z, 128), bone_map(KEYPOINTS, z, 128, recolor_ties=True))


def test_bone_maps_are_grey_and_between_0_and_1() -> None:
    keypoints, z = ((KEYPOINTS - 1) / 2).repeat(2, 1, 1), POSE_A[..., 2].repeat(2, 1)
    keypoints[1, 13] = torch.nan  # without the brightest bone
    levels = bone_map(keypoints, z, 128).float()
    maps = bone_maps(keypoints, z, 128)
    assert maps.shape == (2, 3, 128, 128)
    for channel in maps.unbind(1):
        torch.testing.assert_close(channel, levels / 200)
    stretched = bone_maps(keypoints, z, 128, as_published=True)
    assert stretched.amax((1, 2, 3)).tolist() == [1, 1]
    shown = [(stretched[0, 0] * 190).round(), (stretched[1, 0] * 190).round()]
    assert torch.equal(shown[0], bone_map(keypoints, z, 128, recolor_ties=True)[0].float())
    assert torch.equal(shown[1], levels[1])
    assert not bone_maps(torch.full((1, 21, 2), torch.nan), z[:1], 32, as_published=True).any()


def test_the_nearer_bone_covers_the_farther() -> None:
    keypoints = torch.full((1, 21, 2), torch.nan)
    keypoints[0, 1:3] = torch.tensor([[10.0, 32.0], [54.0, 32.0]])  # thumb, across; level 10
    keypoints[0, 5:7] = torch.tensor([[32.0, 10.0], [32.0, 54.0]])  # index, upright; level 40
    z = torch.full((1, 21), 400.0)
    for near, level in ((slice(1, 3), 10), (slice(5, 7), 40), (slice(0, 0), 10)):
        moved = z.clone()
        moved[:, near] = 390.0
        drawn = bone_map(keypoints, moved, 64, half_width=20.0)
        assert counts(drawn).keys() == {0, 10, 40}
        assert drawn[0, 32, 32] == level


def test_later_phalanges_cover_earlier_ones() -> None:
    keypoints = torch.full((1, 21, 2), 32.0)
    keypoints[0, 17] = 20.0
    levels = contour_levels(keypoints, 64)
    assert levels[0, 32, 32] == 160


def test_missing_joints_leave_parts_out() -> None:
    keypoints = KEYPOINTS.clone()
    keypoints[0, 6] = torch.nan
    assert counts(contour_levels(keypoints, 256)).keys() == {0, 10, *range(20, 161, 10)} - {50, 60}
    keypoints[0, 0, 1] = torch.nan
    assert 10 not in counts(contour_levels(keypoints, 256))
    assert counts(bone_map(keypoints, POSE_A[..., 2], 256)).keys() == set(range(0, 160, 10)) - {40, 50}
    assert counts(contour_levels(torch.full((2, 21, 2), torch.nan), 32)) == {0: 2 * 32 * 32}


def test_widths_follow_the_size_of_the_image() -> None:
    large, small = contour_levels(KEYPOINTS, 256), contour_levels((KEYPOINTS + 0.5) / 2, 128)
    share = (small[0] > 0).float().mean() / (large[0] > 0).float().mean()
    assert float(share) == pytest.approx(1, abs=0.06)


def test_hands_outside_the_image_are_cut_off() -> None:
    levels = contour_levels(KEYPOINTS - 120.0, 64)
    assert levels.shape == (1, 64, 64)
    assert levels.any()
    assert not contour_levels(KEYPOINTS + 1e5, 64).any()
    assert not contour_levels(KEYPOINTS + 1e9, 64).any()


def test_depth_bones_show_the_mean_level_of_their_ends_the_larger_one_on_top() -> None:
    keypoints = torch.full((1, 21, 2), torch.nan)
    keypoints[0, 9:13] = torch.tensor([[20.0, 60], [60, 60], [100, 60], [101, 60]])
    keypoints[0, 5:7] = torch.tensor([[40.0, 20], [40, 100]])
    levels = torch.full((1, 21), torch.nan)
    levels[0, 9:13] = torch.tensor([0.2, 0.4, 0.6, 0.6])
    levels[0, 5:7] = torch.tensor([0.9, 0.7])
    (image,) = depth_bone_map(keypoints, levels, 256)[0]
    row = image[60]
    torch.testing.assert_close(row[[30, 40, 80]], torch.tensor([0.3, 0.8, 0.5]))
    # Two thirds of a bone are drawn, around its middle, and four pixels across.
    assert row[22:26].max() == 0
    assert (image[:, 80] > 0).sum() <= 5
    assert image[0, 0] == 0
    unknown = levels.clone()
    unknown[0, 10] = torch.nan
    assert depth_bone_map(keypoints, unknown, 256)[0, 0, 60, 30] == 0
