"""The fixed-weight forward check: fill a network by a formula, feed it a formula, compare five numbers.

It catches wrong padding, norm order, concatenation order, upsampling mode and missing activations. Networks are to be
in eval mode and float64: :func:`fill` sees to both. Usage::

    assert summary(fill(network, gain=16)(wave(3), wave(42, phase=0.5))) == close((mean, std, first, mid, last))
"""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.InstanceNorm1d, nn.InstanceNorm2d)


def fill(network: Network, gain: float, phase: float = 1.0) -> Network:
    """Set every parameter and running statistic in place; returns the network, in eval mode and float64.

    Args:
        gain: G of the rule, weights have about the deviation sqrt(G / 12 / fan-in).
        phase: the constant inside the sine; another value tells two equal parts of one network apart (call ``fill``
            on the whole first, then on the part).
    """
    for module in network.to(torch.float64).eval().modules():
        if isinstance(module, (*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear)):
            with torch.no_grad():
                module.weight.copy_(_weight(module, gain, phase))
                if module.bias is not None:
                    module.bias.copy_(0.01 * (_count(module.bias) % 7 - 3))
        elif isinstance(module, _NORMS):
            module.eps = 1e-5
            with torch.no_grad():
                if module.affine:
                    module.weight.copy_(1 + 0.05 * (_count(module.weight) % 5 - 2))
                    module.bias.copy_(0.02 * (_count(module.bias) % 3 - 1))
                if module.track_running_stats:
                    assert module.running_mean is not None
                    assert module.running_var is not None
                    module.running_mean.copy_(0.01 * (_count(module.running_mean) % 4))
                    module.running_var.copy_(1 + 0.1 * (_count(module.running_var) % 3))
        elif next(module.parameters(recurse=False), None) is not None:
            raise ValueError(f"the fixed-weight rule says nothing of {type(module).__name__}")
    return network


def wave(channels: int, size: int = 64, phase: float = 0.0) -> Tensor:
    """(1, channels, size, size) float64 input sin(0.1 c + 0.05 y + 0.03 x + phase)."""
    c = torch.arange(channels, dtype=torch.float64)[:, None, None]
    y = torch.arange(size, dtype=torch.float64)[:, None]
    x = torch.arange(size, dtype=torch.float64)
    return torch.sin(0.1 * c + 0.05 * y + 0.03 * x + phase)[None]


def summary(output: Tensor) -> tuple[float, float, float, float, float]:
    """Mean, population deviation, first, middle (half the flattened length) and last element."""
    flat = output.detach().contiguous().flatten()
    return (flat.mean().item(), flat.std(correction=0).item(), *(flat[i].item() for i in (0, len(flat) // 2, -1)))


def close(values: tuple[float, ...]) -> Any:
    """Equal to the eight decimals that the table prints."""
    return pytest.approx(values, rel=0, abs=2e-8)


def parameters(network: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def _count(like: Tensor) -> Tensor:
    return torch.arange(like.numel(), dtype=torch.float64)


def _weight(module: Any, gain: float, phase: float) -> Tensor:
    weight = module.weight
    if isinstance(module, _TRANSPOSED):
        if module.groups != 1:
            raise ValueError("the fixed-weight rule says nothing of grouped transposed convolutions")
        weight = weight.transpose(0, 1)
    outputs, inputs, *kernel = weight.shape
    height, width = (1, 1, *kernel)[-2:]
    taps = height * width
    grid = (outputs, inputs, height, width)
    angle = torch.full(grid, phase, dtype=torch.float64)
    for dim, rate in enumerate((12.9898, 78.233, 37.719, 45.164)):
        shape = [1, 1, 1, 1]
        shape[dim] = -1
        angle = angle + rate * torch.arange(grid[dim], dtype=torch.float64).reshape(shape)
    noise = torch.sin(angle) * 43758.5453
    filled = ((noise - noise.floor() - 0.5) * (gain / (inputs * taps)) ** 0.5).reshape(weight.shape)
    return filled.transpose(0, 1) if isinstance(module, _TRANSPOSED) else filled
