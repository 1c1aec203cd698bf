"""Pose-GAN's networks: counts, what deformable skips do, and the norm of the authors' code."""

from __future__ import annotations

import pytest
import torch

from handsynth.networks.deformable import (
    DeformableDiscriminator,
    DeformableGenerator,
    PartNorm,
    ScalarNorm,
    warp_parts,
)
from tests.fixed_weights import parameters

IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


def moved(u: float, v: float) -> torch.Tensor:
    """(1, 1, 2, 3) translation: the target's pixel (x, y) shows the source's (x + u, y + v)."""
    return (IDENTITY + torch.tensor([[0.0, 0, u], [0, 0, v]]))[None, None]


@pytest.mark.parametrize(("norm", "count"), [("scalar", 82_084_067), ("channel", 82_096_579)])
def test_generator_has_the_published_number_of_parameters(norm: PartNorm, count: int) -> None:
    with torch.device("meta"):
        assert parameters(DeformableGenerator(21, 256, norm=norm)) == count


def test_discriminator_has_the_published_number_of_parameters_and_scores() -> None:
    with torch.device("meta"):
        critic = DeformableDiscriminator(48, 256)
        assert parameters(critic) == 2_809_926
        assert critic(torch.zeros(1, 48, 256, 256)).shape == (1, 1, 7, 7)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_smaller_sizes(size: int) -> None:
    with torch.device("meta"):
        image, pose = torch.zeros(2, 3, size, size), torch.zeros(2, 21, size, size)
        maps, masks = torch.zeros(2, 16, 2, 3), torch.zeros(2, 16, size, size)
        generator = DeformableGenerator(21, size, width=4)
        assert len(generator.look_encoder) == {32: 4, 64: 5, 128: 6}[size]
        assert generator(image, pose, pose, maps, masks).shape == image.shape
        score = DeformableDiscriminator(48, size, width=4)(torch.zeros(2, 48, size, size))
    assert score.shape == (2, 1, *{32: (1, 1), 64: (1, 1), 128: (3, 3)}[size])


@pytest.mark.parametrize(("height", "ratio"), [(8, 1), (4, 4), (1, 32)])
def test_identity_maps_and_full_masks_return_the_features(height: int, ratio: int) -> None:
    features = torch.randn(2, 3, height, height, generator=torch.Generator().manual_seed(0))
    full = torch.ones(2, 5, height * ratio, height * ratio)
    assert torch.equal(warp_parts(features, IDENTITY.expand(2, 5, 2, 3), full), features)


def test_translations_are_of_the_image_and_shrink_with_the_features() -> None:
    features = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    for ratio in (1, 8):
        warped = warp_parts(features, moved(1 * ratio, -2 * ratio), torch.ones(1, 1, 4 * ratio, 4 * ratio))
        expected = torch.zeros(4, 4)
        expected[2:, :3] = features[0, 0, :2, 1:]
        assert torch.equal(warped[0, 0], expected)


def test_parts_show_inside_their_masks_and_the_greatest_wins() -> None:
    features = torch.stack([torch.full((4, 4), 2.0), torch.full((4, 4), -2.0)])[None]
    features[0, 0, :, 2:] = 5
    maps = torch.cat([IDENTITY[None, None], moved(2, 0)], dim=1)
    masks = torch.zeros(1, 2, 4, 4)
    masks[0, 0] = 1
    masks[0, 1, 0, 1] = 1
    warped = warp_parts(features, maps, masks)[0]
    expected = features[0].clone()
    expected[0, 0, 1] = 5
    # Outside its mask the second part counts as 0, which is more than the negative features of the first.
    expected[1] = 0
    expected[1, 0, 1] = -2
    assert torch.equal(warped, expected)


def test_gradients_return_where_features_came_from() -> None:
    features = torch.zeros(1, 2, 4, 4, requires_grad=True)
    warp_parts(features, moved(1, 0), torch.ones(1, 1, 4, 4)).sum().backward()
    expected = torch.ones(1, 2, 4, 4)
    expected[..., 0] = 0
    assert torch.equal(features.grad, expected)


def test_finest_four_skips_are_deformable_and_the_coarser_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = []

    def spy(features: torch.Tensor, maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        widths.append(features.shape[-1])
        return features

    monkeypatch.setattr("handsynth.networks.deformable.warp_parts", spy)
    pose = torch.zeros(1, 2, 64, 64)
    generator = DeformableGenerator(2, 64, width=2)
    generator(torch.zeros(1, 3, 64, 64), pose, pose, torch.zeros(1, 1, 2, 3), pose[:, :1])
    assert widths == [64, 32, 16, 8]


def test_scalar_norm_takes_channels_together() -> None:
    norm = ScalarNorm()
    with torch.no_grad():
        norm.gain.fill_(2)
        norm.offset.fill_(1)
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3 + 7
    for sample, normed in zip(x, norm(x), strict=True):
        expected = 2 * (sample - sample.mean()) / (sample.std(correction=0) + 1e-3) + 1
        torch.testing.assert_close(normed, expected)


def test_scalar_norm_of_a_flat_image_has_a_gradient() -> None:
    x = torch.full((1, 2, 3, 3), 4.0, requires_grad=True)
    ScalarNorm()(x).sum().backward()
    assert torch.isfinite(x.grad).all()
