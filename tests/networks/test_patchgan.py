"""PatchGAN: published counts, its output under fixed weights, sizes and reach."""

from __future__ import annotations

import pytest
import torch

from handsynth.networks.patchgan import PatchDiscriminator
from handsynth.networks.resnet import Norm
from tests.fixed_weights import close, fill, parameters, summary, wave


@pytest.mark.parametrize(
    ("channels", "norm", "count"),
    [
        (3, "batch", 2_765_633),
        (6, "batch", 2_768_705),
        (24, "batch", 2_787_137),
        (1, "instance", 2_762_689),
        (3, "instance", 2_764_737),
        (4, "instance", 2_765_761),
    ],
)
def test_published_number_of_parameters(channels: int, norm: Norm, count: int) -> None:
    with torch.device("meta"):
        assert parameters(PatchDiscriminator(channels, norm=norm)) == count


@pytest.mark.parametrize(
    ("channels", "norm", "expected"),
    [
        (6, "batch", (0.00824741, 0.43811840, 0.72895352, 1.08333582, -0.18762065)),
        (4, "instance", (-0.22005855, 0.81782623, -0.26334591, -0.01624852, 0.00913771)),
    ],
)
def test_under_fixed_weights(channels: int, norm: Norm, expected: tuple[float, ...]) -> None:
    with torch.no_grad():
        logits = fill(PatchDiscriminator(channels, norm=norm), gain=24)(wave(channels, size=256))
    assert logits.shape == (1, 1, 30, 30)
    assert summary(logits) == close(expected)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("size", "layers", "side"), [(32, 3, 2), (64, 3, 6), (64, 2, 14), (32, 1, 14)])
def test_one_logit_per_patch(norm: Norm, size: int, layers: int, side: int) -> None:
    logits = PatchDiscriminator(3, 2, layers, norm)(torch.rand(2, 3, size, size))
    assert logits.shape == (2, 1, side, side)


@pytest.mark.parametrize(("layers", "patch"), [(2, 34), (3, 70)])
def test_a_logit_sees_its_patch(layers: int, patch: int) -> None:
    # Batch norm with its running statistics mixes no pixels, so gradients show the reach alone.
    critic = PatchDiscriminator(1, 2, layers).eval()
    image = torch.rand(1, 1, 128, 128, requires_grad=True)
    logits = critic(image)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].abs().sum(0).nonzero()
    assert int(seen.max() - seen.min()) + 1 == patch
