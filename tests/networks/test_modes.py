"""Networks in another mode for a while: what holds inside, and that it ends, after an error too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from handsynth.networks.modes import evaluating, frozen


def test_gradients_pass_through_frozen_networks() -> None:
    first, second, x = nn.Linear(2, 2), nn.Linear(2, 1), torch.ones(1, 2, requires_grad=True)
    with frozen(first, second):
        second(first(x)).sum().backward()
    assert x.grad is not None
    for network in (first, second):
        assert all(p.grad is None and p.requires_grad for p in network.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_evaluating_ends_in_the_mode_before(training: bool) -> None:
    network = nn.Sequential(nn.Dropout(0.5)).train(training)
    with evaluating(network):
        assert not network.training
        assert not network[0].training
    assert network.training == network[0].training == training


def test_modes_end_after_an_error_too() -> None:
    network = nn.Linear(1, 1)
    with pytest.raises(RuntimeError), frozen(network), evaluating(network):
        network(torch.ones(1, 2))
    assert network.training
    assert network.weight.requires_grad
