"""Residual parts, the generator and the discriminator made of them: sizes, counts, outputs under fixed weights."""

from __future__ import annotations

import pytest
import torch

from handsynth.networks.resnet import Norm, ResidualBlock, ResnetDiscriminator, ResnetGenerator, decoder, encoder
from tests.fixed_weights import close, fill, parameters, summary, wave


@pytest.mark.parametrize(
    ("channels", "norm", "count"),
    [
        (24, "batch", 3_986_816),
        (24, "instance", 3_984_832),
        (6, "batch", 3_930_368),
        (6, "instance", 3_928_384),
    ],
)
def test_discriminator_has_the_published_number_of_parameters(channels: int, norm: Norm, count: int) -> None:
    assert parameters(ResnetDiscriminator(channels, 64, 3, norm, head=False)) == count


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        (24, (0.26179407, 1.72471997, -1.17649212, 0.87578505, -0.42573959)),
        (6, (0.16037750, 1.31108288, -0.50370750, -0.55772342, -0.16273465)),
    ],
)
def test_discriminator_under_fixed_weights(channels: int, expected: tuple[float, ...]) -> None:
    critic = fill(ResnetDiscriminator(channels, 64, 3, "batch", head=False), gain=16)
    with torch.no_grad():
        features = critic(wave(channels))
    assert features.shape == (1, 256, 16, 16)
    assert summary(features) == close(expected)


def test_head_gives_one_logit_per_patch() -> None:
    assert ResnetDiscriminator(6, 4, 1, "batch")(torch.zeros(2, 6, 256, 256)).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_decoder_undoes_the_size_of_the_encoder(norm: Norm) -> None:
    image = torch.linspace(-1, 1, 2 * 3 * 32 * 20).reshape(2, 3, 32, 20)
    code = encoder(3, 4, norm)(image)
    assert code.shape == (2, 16, 8, 5)
    output = decoder(4, 3, norm)(code)
    assert output.shape == image.shape
    assert output.abs().max() <= 1


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_residual_block_with_a_zero_branch_is_the_identity(norm: Norm) -> None:
    block = ResidualBlock(4, norm, dropout=0.5)
    for parameter in block.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.arange(4.0 * 25).reshape(1, 4, 5, 5)
    torch.testing.assert_close(block(x), x)


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_convolutions_before_a_norm_have_a_bias_only_where_the_norm_has_no_offset(norm: Norm) -> None:
    biases = [m.bias is not None for m in encoder(3, 4, norm).modules() if isinstance(m, torch.nn.Conv2d)]
    assert biases == [norm == "instance"] * 3


@pytest.mark.parametrize(
    ("out_channels", "blocks", "norm", "count"),
    [
        (3, 9, "instance", 11_378_179),
        (1, 9, "instance", 11_371_905),
        (3, 9, "batch", 11_383_427),
        (1, 9, "batch", 11_377_153),
        (3, 6, "instance", 7_837_699),
    ],
)
def test_generator_has_the_published_number_of_parameters(
    out_channels: int, blocks: int, norm: Norm, count: int
) -> None:
    with torch.device("meta"):
        assert parameters(ResnetGenerator(3, out_channels, blocks=blocks, norm=norm)) == count


@pytest.mark.parametrize(
    ("out_channels", "norm", "gain", "expected"),
    [
        (3, "instance", 4, (0.03949744, 0.31835393, 0.39142872, -0.13033734, 0.49651408)),
        (1, "batch", 12, (0.00230303, 0.51862231, -0.69603591, -0.98765284, -0.60946449)),
    ],
)
def test_generator_under_fixed_weights(out_channels: int, norm: Norm, gain: float, expected: tuple[float, ...]) -> None:
    generator = fill(ResnetGenerator(3, out_channels, norm=norm), gain)
    with torch.no_grad():
        image = generator(wave(3))
    assert image.shape == (1, out_channels, 64, 64)
    assert summary(image) == close(expected)


def test_maps_beside_the_image_are_laid_on_it() -> None:
    generator = ResnetGenerator(9, 3, width=4, blocks=1, norm="batch").eval()
    look, maps = wave(3).float(), wave(6, phase=0.5).float()
    with torch.no_grad():
        assert torch.equal(generator(look, maps), generator(torch.cat([look, maps], dim=1)))
