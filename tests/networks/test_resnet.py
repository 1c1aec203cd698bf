"""Residual parts and the discriminator made of them: sizes, counts, and outputs under fixed weights."""

from __future__ import annotations

import pytest
import torch

from handsynth.networks.resnet import Norm, ResidualBlock, ResnetDiscriminator, decoder, encoder
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
