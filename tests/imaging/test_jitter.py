"""Jitter: labels stay true to the pixels, and one image moves as imaging/warp moves it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.imaging import warp
from handsynth.imaging.jitter import JitterSettings, Moved, jitter

STILL = JitterSettings(degrees=0, zoom=0, shift=0, brightness=0, contrast=0, color=0)
SIDE = 48


def batch(count: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Smooth images, keypoints, joints that project onto them, cameras with unequal focal lengths."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand((count, 3, 6, 6), generator=random)
    rgb = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic").clamp(0, 1)
    joints = torch.randn((count, 21, 3), generator=random) * 30 + torch.tensor([0.0, 0.0, 500.0])
    camera = torch.tensor([100.0, 90.0, 22.0, 26.0]) + torch.rand((count, 4), generator=random)
    return rgb, project(joints, camera), joints, camera


def project(joints: torch.Tensor, camera: torch.Tensor) -> torch.Tensor:
    return joints[..., :2] / joints[..., 2:] * camera[:, None, :2] + camera[:, None, 2:]


def moved(bounds: JitterSettings, seed: int = 0, count: int = 3) -> Moved:
    return jitter(*batch(count), torch.Generator().manual_seed(seed), bounds)


@given(seed=st.integers(0, 1000), degrees=st.floats(0, 180), zoom=st.floats(0, 0.5), shift=st.floats(0, 0.3))
@settings(max_examples=30, deadline=None)
def test_moved_joints_project_onto_moved_keypoints(seed: int, degrees: float, zoom: float, shift: float) -> None:
    after = moved(JitterSettings(degrees=degrees, zoom=zoom, shift=shift), seed)
    assert torch.allclose(project(after.joints_mm, after.camera), after.keypoints_px, atol=1e-3)
    _, _, joints, _ = batch()
    assert torch.allclose(after.joints_mm.norm(dim=-1), joints.norm(dim=-1), rtol=1e-5)
    assert torch.equal(after.joints_mm[..., 2], joints[..., 2])
    assert 0 <= after.rgb.min() <= after.rgb.max() <= 1


def test_no_bounds_no_change() -> None:
    after = moved(STILL)
    for got, wanted in zip((after.rgb, after.keypoints_px, after.joints_mm, after.camera), batch(), strict=True):
        assert torch.allclose(got, wanted, atol=1e-4)


def test_a_turn_agrees_with_warp() -> None:
    """The drawn angle is read off the joints; pixels, joints and camera must then be those of ``warp.rotate``."""
    rgb, keypoints, joints, camera = batch(1)
    after = moved(JitterSettings(degrees=40, zoom=0, shift=0, brightness=0, contrast=0, color=0), seed=5, count=1)
    before_angle = torch.atan2(joints[0, 0, 1], joints[0, 0, 0])
    angle = torch.rad2deg(torch.atan2(after.joints_mm[0, 0, 1], after.joints_mm[0, 0, 0]) - before_angle).item()
    assert 5 < abs(angle) <= 40
    values = camera[0].tolist()
    sample = HandSample(
        key="one",
        rgb=(rgb[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8),
        joints_mm=joints[0].numpy(),
        keypoints_px=keypoints[0].numpy(),
        camera=Camera(*values, SIDE, SIDE),
    )
    turned = warp.rotate(sample, angle)
    assert turned.rgb is not None
    assert turned.camera is not None
    np.testing.assert_allclose(after.joints_mm[0], turned.joints_mm, atol=2e-3)
    np.testing.assert_allclose(after.keypoints_px[0], turned.keypoints_px, atol=2e-3)
    turned_camera = [turned.camera.fx, turned.camera.fy, turned.camera.cx, turned.camera.cy]
    np.testing.assert_allclose(after.camera[0], turned_camera, atol=1e-3)
    difference = after.rgb[0].permute(1, 2, 0).numpy() * 255 - turned.rgb
    assert np.abs(difference).mean() < 1
    assert np.abs(difference).max() < 8


def test_zoom_and_shift_agree_with_a_crop() -> None:
    """A half-size crop from the middle, enlarged, is a zoom by two."""
    rgb, keypoints, joints, camera = batch(1)
    bounds = JitterSettings(degrees=0, zoom=np.log(2.0) / 0.75, shift=0, brightness=0, contrast=0, color=0)
    seed = next(s for s in range(2000) if abs(_zoom_draw(s) - 0.75) < 1e-3)
    after = moved(bounds, seed, 1)
    sample = HandSample(
        key="one",
        rgb=(rgb[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8),
        keypoints_px=keypoints[0].numpy(),
        joints_mm=joints[0].numpy(),
        camera=Camera(*camera[0].tolist(), SIDE, SIDE),
    )
    cut = warp.crop(sample, warp.Box(SIDE // 4, SIDE // 4, SIDE // 2), SIDE)
    assert cut.rgb is not None
    np.testing.assert_allclose(after.keypoints_px[0], cut.keypoints_px, atol=0.1)
    inner = slice(3, -3)  # warp.crop repeats the crop's border, jitter the image's
    difference = after.rgb[0].permute(1, 2, 0).numpy() * 255 - cut.rgb
    assert np.abs(difference[inner, inner]).mean() < 2


def _zoom_draw(seed: int) -> float:
    draws = 2 * torch.rand((9, 1), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) - 1
    return draws[1, 0].item()


def test_pixels_follow_the_keypoints() -> None:
    """A bright dot drawn at a keypoint is found at the moved keypoint."""
    _, keypoints, joints, camera = batch(4)
    grid = torch.arange(SIDE)
    place = torch.tensor([[20.0, 27.0], [24.0, 18.0], [30.0, 22.0], [17.0, 25.0]])
    dots = torch.exp(
        -((grid[None, None, :] - place[:, 0, None, None]) ** 2 + (grid[None, :, None] - place[:, 1, None, None]) ** 2)
        / 8
    )
    keypoints[:, 0] = place
    bounds = JitterSettings(degrees=60, zoom=0.2, shift=0.1, brightness=0, contrast=0, color=0)
    after = jitter(
        dots[:, None].repeat(1, 3, 1, 1), keypoints, joints, camera, torch.Generator().manual_seed(3), bounds
    )
    weight = after.rgb[:, 0] / after.rgb[:, 0].sum((1, 2), keepdim=True)
    found = torch.stack([(weight.sum(1) * grid).sum(1), (weight.sum(2) * grid).sum(1)], dim=-1)
    assert (found - after.keypoints_px[:, 0]).abs().max() < 0.1
    assert (found - place).abs().max() > 2


def test_unknown_labels_stay_unknown_and_alone() -> None:
    rgb, keypoints, joints, camera = batch()
    keypoints[1, 4], joints[2, 7] = torch.nan, torch.nan
    after = jitter(rgb, keypoints, joints, camera, torch.Generator().manual_seed(0), JitterSettings())
    whole = moved(JitterSettings())
    for got, wanted, hole in (
        (after.keypoints_px, whole.keypoints_px, (1, 4)),
        (after.joints_mm, whole.joints_mm, (2, 7)),
    ):
        assert got[hole].isnan().all()
        assert got.isnan().sum() == got.shape[-1]
        assert torch.equal(got[got.isfinite()], wanted[got.isfinite()])


def test_numbers_come_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = moved(JitterSettings(), seed=4)
    torch.manual_seed(2)
    again, other = moved(JitterSettings(), seed=4), moved(JitterSettings(), seed=5)
    assert torch.equal(first.rgb, again.rgb)
    assert not torch.equal(first.rgb, other.rgb)


@pytest.mark.parametrize("name", ["brightness", "contrast", "color"])
def test_colours_change_the_image_alone(name: str) -> None:
    bounds = JitterSettings(**dict.fromkeys(STILL.__struct_fields__, 0.0) | {name: 0.4})
    after = moved(bounds)
    rgb, keypoints, joints, camera = batch()
    assert (after.rgb - rgb).abs().mean() > 0.01
    assert torch.allclose(after.keypoints_px, keypoints, atol=1e-4)
    assert torch.allclose(after.joints_mm, joints)
    assert torch.allclose(after.camera, camera, atol=1e-4)
