"""Discs, the closed mask, and the parts of a hand with their transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.conditioning.parts import PARTS, closed_mask, joint_discs, part_masks, part_transforms
from handsynth.hand.joints import MIDDLE_MCP, PALM, PHALANGES, WRIST
from tests.poseindex.hand_made import pose_a, pose_b

KEYPOINTS = torch.tensor(pose_a()[None, :, :2], dtype=torch.float32)
OTHER = torch.tensor(pose_b()[None, :, :2], dtype=torch.float32)


def apply(maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    return points @ maps[:, :2].T + maps[:, 2]


def similarity(turn: float, scale: float, u: float, v: float) -> torch.Tensor:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    return torch.tensor([[c, -s, u], [s, c, v]], dtype=torch.float32)


def test_discs() -> None:
    discs = joint_discs(KEYPOINTS, 256)
    assert discs.shape == (1, 21, 256, 256)
    assert set(discs.unique().tolist()) == {0, 1}
    # 49 whole pixels are within 4 px of a pixel's centre.
    assert discs.sum((2, 3)).tolist() == [[49] * 21]
    assert discs[0, 0, 230, 128 + 4] == 1
    assert discs[0, 0, 230, 128 + 5] == 0


def test_small_discs_keep_a_pixel() -> None:
    discs = joint_discs((KEYPOINTS + 0.5) / 8 - 0.5, 32)
    assert discs.sum((2, 3)).min() >= 1


def test_closed_mask_is_bones_and_palm() -> None:
    mask = closed_mask(KEYPOINTS, 256)
    assert mask.shape == (1, 1, 256, 256)
    assert set(mask.unique().tolist()) == {0, 1}
    rows, columns = np.nonzero(mask[0, 0].numpy())
    # The thumb's tip is at (40, 75), the wrist at (128, 230).
    assert (columns.min(), rows.max()) == (40 - 8, 230 + 8)
    for u, v, inside in ((40, 75, 1), (40, 67, 1), (40, 66, 0), (62, 110, 0), (128, 200, 1), (128, 250, 0)):
        assert mask[0, 0, v, u] == inside, (u, v)
    centre = KEYPOINTS[0, list(PALM)].mean(0).round().long()
    assert mask[0, 0, centre[1], centre[0]] == 1


def test_closing_fills_a_narrow_gap() -> None:
    keypoints = torch.full((1, 21, 2), torch.nan)
    # Two upright bones whose edges at 8 px leave 3 columns free between them.
    keypoints[0, 1:3] = torch.tensor([[50.0, 60.0], [50.0, 120.0]])
    keypoints[0, 5:7] = torch.tensor([[70.0, 60.0], [70.0, 120.0]])
    assert closed_mask(keypoints, 256)[0, 0, 90, 42:79].all()
    keypoints[0, 5:7, 0] = 73.0
    assert not closed_mask(keypoints, 256)[0, 0, 90, 61]


def test_mask_scales_with_the_image() -> None:
    large, small = closed_mask(KEYPOINTS, 256), closed_mask((KEYPOINTS + 0.5) / 2 - 0.5, 128)
    assert small.mean().item() == pytest.approx(large.mean().item(), rel=0.05)  # a pixel on the edge counts


def test_part_masks() -> None:
    masks = part_masks(KEYPOINTS, 256)
    assert masks.shape == (1, PARTS, 256, 256)
    assert masks[:, 0].all()
    half = 0.12 * (KEYPOINTS[0, MIDDLE_MCP] - KEYPOINTS[0, WRIST]).norm().item()
    for part, (parent, child) in enumerate(PHALANGES, start=1):
        rows, columns = np.nonzero(masks[0, part].numpy())
        (u, first), last = KEYPOINTS[0, parent].tolist(), KEYPOINTS[0, child, 1].item()
        beyond = (0.5 if child % 4 == 0 else 0.1) * 35
        assert (columns.min(), columns.max()) == (np.ceil(u - half), np.floor(u + half))
        assert (rows.min(), rows.max()) == (np.ceil(last - beyond), np.floor(first + 3.5))


@settings(max_examples=30, deadline=None)
@given(turn=st.floats(-3.1, 3.1), scale=st.floats(0.5, 2), u=st.floats(-40, 40), v=st.floats(-40, 40))
def test_a_hand_moved_as_a_whole_gives_one_map_for_all_parts(turn: float, scale: float, u: float, v: float) -> None:
    whole = similarity(turn, scale, u, v)
    maps = part_transforms(KEYPOINTS, apply(whole, KEYPOINTS[0])[None], 256)[0]
    assert maps.shape == (PARTS, 2, 3)
    torch.testing.assert_close(maps, whole.expand(PARTS, 2, 3), atol=2e-2, rtol=1e-4)


def test_each_map_takes_its_target_part_to_the_source() -> None:
    maps = part_transforms(KEYPOINTS, OTHER, 256)[0]
    for part, bone in enumerate(PHALANGES, start=1):
        torch.testing.assert_close(apply(maps[part], KEYPOINTS[0, list(bone)]), OTHER[0, list(bone)])
    torch.testing.assert_close(apply(maps[0], KEYPOINTS[0, list(PALM)]), OTHER[0, list(PALM)], atol=1e-3, rtol=0)


def test_the_palms_map_is_the_least_squares_one() -> None:
    source = KEYPOINTS + torch.randn(1, 21, 2, generator=torch.Generator().manual_seed(0)) * 9
    points = np.column_stack([KEYPOINTS[0, list(PALM)].numpy(), np.ones(6)])
    expected = np.linalg.lstsq(points, source[0, list(PALM)].numpy(), rcond=None)[0].T
    np.testing.assert_allclose(part_transforms(KEYPOINTS, source, 256)[0, 0].numpy(), expected, rtol=1e-3, atol=1e-2)


def test_unknown_and_flat_parts_are_out_of_view() -> None:
    unknown, flat = KEYPOINTS.clone(), KEYPOINTS.clone()
    unknown[0, 6] = torch.nan  # index, second joint: two phalanges
    flat[0, 12] = flat[0, 11]  # middle: the last phalanx has no length
    for source, target, parts in (
        (unknown, KEYPOINTS, {4, 5}),
        (KEYPOINTS, unknown, {4, 5}),
        (flat, KEYPOINTS, {9}),
        (KEYPOINTS, flat, {9}),
    ):
        maps = part_transforms(target, source, 256)[0]
        assert torch.isfinite(maps).all()
        assert set(torch.nonzero(maps[:, 0, 2] == 1024).flatten().tolist()) == parts
    assert not part_masks(unknown, 256)[0, [4, 5]].any()
    nothing = torch.full((1, 21, 2), torch.nan)
    assert not part_masks(nothing, 32).any()
    assert not closed_mask(nothing, 32).any()
    assert not joint_discs(nothing, 32).any()
    collinear = KEYPOINTS.clone()
    collinear[0, list(PALM), 1] = 100.0
    assert part_transforms(collinear, KEYPOINTS, 256)[0, 0, 0, 2] == 1024
