"""Initialisation follows its seed alone, and the deviations it promises."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handsynth.networks.initialise import initialise_glorot, initialise_normal


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.ConvTranspose2d(64, 32, 3), nn.Linear(32, 500), nn.BatchNorm2d(500)
    )


def test_same_seed_same_weights_whatever_was_there() -> None:
    a = initialise_normal(network(), torch.Generator().manual_seed(5)).state_dict()
    torch.rand(3)
    b = initialise_normal(network(), torch.Generator().manual_seed(5)).state_dict()
    c = initialise_normal(network(), torch.Generator().manual_seed(6)).state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["0.weight"], c["0.weight"])


def test_deviations() -> None:
    net = initialise_normal(network(), torch.Generator().manual_seed(0))
    for index in (0, 2, 3):
        assert net[index].weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert net[index].weight.mean().item() == pytest.approx(0, abs=1e-3)
        assert not net[index].bias.any()
    assert net[4].weight.mean().item() == pytest.approx(1, abs=5e-3)
    assert net[4].weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not net[4].bias.any()


def test_glorot_bounds() -> None:
    net = initialise_glorot(network(), torch.Generator().manual_seed(0))
    for index, fans in ((0, 9 * (16 + 64)), (2, 9 * (64 + 32)), (3, 32 + 500)):
        bound = (6 / fans) ** 0.5
        assert net[index].weight.abs().max().item() == pytest.approx(bound, rel=0.01)
        assert net[index].weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        assert not net[index].bias.any()
    again = initialise_glorot(network(), torch.Generator().manual_seed(0))
    assert torch.equal(net[0].weight, again[0].weight)
