"""PG2's networks: counts, the difference under fixed weights, and which stage gradients reach."""

from __future__ import annotations

import pytest
import torch

from handsynth.networks.pg2 import CoarseGenerator, DifferenceGenerator, PG2Discriminator, PG2Generator, coarse_levels
from tests.fixed_weights import close, fill, parameters, summary, wave


def test_networks_have_the_published_numbers_of_parameters() -> None:
    with torch.device("meta"):
        assert parameters(CoarseGenerator(24, 256)) == 122_106_691
        assert parameters(CoarseGenerator(21, 256)) == 122_103_235
        assert parameters(DifferenceGenerator()) == 12_696_067
        assert parameters(PG2Generator(21, 256)) == 122_106_691 + 12_696_067
        assert parameters(PG2Discriminator(3, 256)) == 10_896_257


def test_difference_under_fixed_weights() -> None:
    with torch.no_grad():
        output = fill(DifferenceGenerator(), gain=24)(wave(6))
    assert output.shape == (1, 3, 64, 64)
    assert summary(output) == close((0.16549968, 0.67961931, 0.00767923, 0.12082742, 0.30430404))


def test_levels_go_by_the_size() -> None:
    assert [coarse_levels(size) for size in (32, 64, 128, 256)] == [3, 4, 5, 6]


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_at_small_sizes(size: int) -> None:
    image, pose = torch.rand(2, 3, size, size), torch.rand(2, 5, size, size)
    assert PG2Generator(5, size, width=4)(image, pose).shape == image.shape
    assert PG2Discriminator(3, size, width=2)(image).shape == (2, 1)


def test_each_mode_teaches_one_stage() -> None:
    generator = PG2Generator(5, 32, width=4)
    image, pose = torch.rand(2, 3, 32, 32), torch.rand(2, 5, 32, 32)
    for refine, taught, left in ((False, "coarse", "difference"), (True, "difference", "coarse")):
        generator.zero_grad()
        generator(image, pose, refine).sum().backward()
        assert all(parameter.grad is not None for parameter in getattr(generator, taught).parameters())
        assert all(parameter.grad is None for parameter in getattr(generator, left).parameters())


def test_the_difference_is_added_to_the_coarse_image() -> None:
    generator = PG2Generator(5, 32, width=4)
    image, pose = torch.rand(2, 3, 32, 32), torch.rand(2, 5, 32, 32)
    coarse = generator(image, pose, False)
    added = generator.difference(torch.cat([coarse, image], dim=1))
    assert added.abs().max() > 0
    torch.testing.assert_close(generator(image, pose), coarse + added)


def test_the_code_sees_the_whole_image() -> None:
    """A change in one corner reaches the other, which convolutions and skips alone would not bring about."""
    generator = CoarseGenerator(3, 32, width=4)
    image = torch.zeros(1, 3, 32, 32)
    other = image.clone()
    other[..., 0, 0] = 5
    changed = (generator(image) - generator(other)).abs().sum(1)[0]
    assert changed[-1, -1] > 0
