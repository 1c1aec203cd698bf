"""The U-Net: published counts, its output under fixed weights, and what levels and skips do."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handsynth.networks.resnet import Norm
from handsynth.networks.unet import Unet, halvings
from tests.fixed_weights import close, fill, parameters, summary, wave


@pytest.mark.parametrize(
    ("channels", "levels", "norm", "count"),
    [
        (3, 8, "batch", 54_413_955),
        (21, 8, "batch", 54_432_387),
        (3, 8, "instance", 54_409_603),
        (3, 7, "batch", 41_828_995),
    ],
)
def test_published_number_of_parameters(channels: int, levels: int, norm: Norm, count: int) -> None:
    with torch.device("meta"):
        assert parameters(Unet(channels, 3, levels=levels, norm=norm)) == count


def test_under_fixed_weights() -> None:
    with torch.no_grad():
        image = fill(Unet(3, 3), gain=24)(wave(3, size=256))
    assert image.shape == (1, 3, 256, 256)
    assert summary(image) == close((-0.05837027, 0.28542511, 0.01766589, -0.03446511, -0.23073429))


@pytest.mark.parametrize(
    ("size", "most", "expected"), [(256, 8, 8), (512, 8, 8), (128, 8, 7), (32, 8, 5), (96, 8, 5), (64, 4, 4)]
)
def test_halvings(size: int, most: int, expected: int) -> None:
    assert halvings(size, most) == expected


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("height", "width", "levels"), [(32, 32, 5), (64, 32, 4), (96, 96, 5), (8, 8, 2)])
def test_keeps_the_size_of_the_image(norm: Norm, height: int, width: int, levels: int) -> None:
    image = torch.linspace(-1, 1, 2 * 3 * height * width).reshape(2, 3, height, width)
    output = Unet(3, 2, width=2, levels=levels, norm=norm)(image)
    assert output.shape == (2, 2, height, width)
    assert output.abs().max() <= 1


def test_dropout_and_norms_lie_where_they_should() -> None:
    network = Unet(3, 3, width=2)

    def levels(parts: nn.ModuleList, kind: type[nn.Module]) -> list[int]:
        return [level for level, part in enumerate(parts, 1) if any(isinstance(layer, kind) for layer in part)]

    assert levels(network.ups, nn.Dropout) == [5, 6, 7]
    assert levels(network.ups, nn.BatchNorm2d) == [2, 3, 4, 5, 6, 7, 8]
    assert levels(network.downs, nn.BatchNorm2d) == [2, 3, 4, 5, 6, 7]
    assert not levels(Unet(3, 3, width=2, dropout=0.0).ups, nn.Dropout)


def test_every_level_reaches_the_image() -> None:
    network = Unet(3, 3, width=2, levels=5).eval()
    image = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    before = network(image)
    for down in network.downs:
        kept = down[-1].bias if isinstance(down[-1], nn.BatchNorm2d) else down[-1].weight
        with torch.no_grad():
            kept += 0.5
            assert not torch.equal(network(image), before)
            kept -= 0.5
