"""Heatmaps: published sums and counts, symmetry, missing joints, lower resolutions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from handsynth.conditioning.heatmaps import STYLES, heatmaps
from tests.poseindex.hand_made import pose_a


def at(u: float, v: float) -> Tensor:
    """(1, 21, 2), all joints at one place."""
    return torch.tensor([u, v], dtype=torch.float32).expand(1, 21, 2).contiguous()


def random_keypoints(seed: int, count: int, size: int) -> Tensor:
    return torch.rand((count, 21, 2), generator=torch.Generator().manual_seed(seed)) * size


def test_oracle_pose() -> None:
    maps = heatmaps(torch.tensor(pose_a()[None, :, :2], dtype=torch.float32), 256, 6.0)
    assert maps.shape == (1, 21, 256, 256)
    assert maps.sum().item() == pytest.approx(4702.4375, rel=1e-6)
    assert int((maps > 0).sum()) == 21_861
    torch.testing.assert_close(maps.sum((2, 3)), torch.full((1, 21), 223.9256), rtol=1e-5, atol=0)
    assert ((maps > 0).sum((2, 3)) == 1041).all()


@pytest.mark.parametrize(
    ("sigma", "whole", "cut", "pixels"),
    [(5.0, 157.0796, 155.5215, 725), (6.0, 226.1947, 223.9256, 1041), (8.0, 402.1239, 398.1926, 1861)],
)
def test_oracle_sums(sigma: float, whole: float, cut: float, pixels: int) -> None:
    assert heatmaps(at(128, 128), 256, sigma, cut=0.0)[0, 0].sum().item() == pytest.approx(whole, abs=2e-4)
    kept = heatmaps(at(128, 128), 256, sigma)[0, 0]
    assert kept.sum().item() == pytest.approx(cut, abs=2e-4)
    assert int((kept > 0).sum()) == pixels


def test_oracle_styles() -> None:
    assert STYLES["dggan"].draw(at(128, 128), 256)[0, 0].sum().item() == pytest.approx(400.3722, abs=2e-4)
    assert int((STYLES["dggan"].draw(at(128.9, 128.9), 256)[0, 0] > 0).sum()) == 49 * 49
    hand3d = STYLES["hand3d"].draw(at(128, 128), 256)[0, 0]
    assert hand3d.sum().item() == pytest.approx(1963.4954, abs=1e-3)
    assert hand3d[128, 153].item() == pytest.approx(torch.exp(torch.tensor(-1.0)).item(), rel=1e-6)
    for place, drawn in ((0.9, False), (1.0, True), (254.9, True), (255.0, False), (300.0, False)):
        assert bool(STYLES["hand3d"].draw(at(place, 128), 256).any()) == drawn


@pytest.mark.parametrize("name", sorted(STYLES))
def test_styles_scale_with_the_image(name: str) -> None:
    large, small = STYLES[name].draw(at(128, 96), 256), STYLES[name].draw(at(32, 24), 64)
    torch.testing.assert_close(small, large[..., ::4, ::4], atol=1e-5, rtol=1e-4)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), size=st.sampled_from([16, 31, 64]))
def test_mirrored_pose_gives_the_mirrored_map(seed: int, size: int) -> None:
    keypoints = random_keypoints(seed, 2, size)
    mirrored = torch.stack([size - 1 - keypoints[..., 0], keypoints[..., 1]], dim=-1)
    maps = heatmaps(keypoints, size, 3.0)
    torch.testing.assert_close(heatmaps(mirrored, size, 3.0, cut=0.0).flip(-1), heatmaps(keypoints, size, 3.0, cut=0.0))
    assert ((maps == 0) | (maps >= 0.0099)).all()
    assert maps.max() <= 1


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_maps_are_what_the_formula_says(seed: int) -> None:
    keypoints = random_keypoints(seed, 1, 24) * 1.5 - 6
    v, u = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    d2 = (u - keypoints[..., 0, None, None]) ** 2 + (v - keypoints[..., 1, None, None]) ** 2
    torch.testing.assert_close(heatmaps(keypoints, 24, 2.5, cut=0.0), torch.exp(-d2 / 12.5))
    torch.testing.assert_close(heatmaps(keypoints, 24, 2.5, cut=0.0, factor=1.0), torch.exp(-d2 / 6.25))


def test_missing_joints_give_zero_maps() -> None:
    keypoints = at(10, 12).clone()
    keypoints[0, 3] = torch.nan
    keypoints[0, 5, 1] = torch.nan
    keypoints[0, 7, 0] = torch.inf
    for options in ({}, {"integer_centre": True}, {"inside_only": True}, {"patch": 3.0}, {"stride": 4}):
        maps = heatmaps(keypoints, 32, 3.0, cut=0.0, **options)
        assert not maps.isnan().any()
        assert (~maps.flatten(2).any(-1)[0]).nonzero().flatten().tolist() == [3, 5, 7]


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_a_lower_resolution_samples_where_pooling_would(stride: int) -> None:
    keypoints = random_keypoints(1, 2, 64)
    maps = heatmaps(keypoints, 64, 6.0, cut=0.0, stride=stride)
    fine = heatmaps(keypoints * 8 + 3.5, 512, 48.0, cut=0.0)  # the same image at eight times the resolution
    place = torch.arange(64 // stride) * stride * 8 + stride * 4  # half a fine pixel off the place meant
    assert maps.shape == (2, 21, 64 // stride, 64 // stride)
    torch.testing.assert_close(maps, fine[..., place, :][..., place], atol=0.02, rtol=0)
    half = (stride - 1) / 2
    assert heatmaps(at(half, half + stride), 64, 6.0, stride=stride)[0, 0, 1, 0] == 1
    with pytest.raises(ValueError, match="multiple"):
        heatmaps(keypoints, 63, 6.0, stride=stride)


def test_a_reused_tensor_holds_the_same() -> None:
    keypoints = random_keypoints(2, 3, 32)
    out = torch.full((3, 21, 32, 32), torch.nan)
    maps = heatmaps(keypoints, 32, 2.0, out=out)
    assert maps.data_ptr() == out.data_ptr()
    torch.testing.assert_close(out, heatmaps(keypoints, 32, 2.0), rtol=0, atol=0)


def test_gradients_pull_a_joint_to_its_place() -> None:
    keypoints = at(14, 16).clone().requires_grad_()
    loss = (heatmaps(keypoints, 32, 4.0) - heatmaps(at(18, 16), 32, 4.0)).square().sum()
    loss.backward()
    assert keypoints.grad is not None
    assert (keypoints.grad[..., 0] < 0).all()
