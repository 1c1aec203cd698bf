"""Weight initialisation: normal (DCGAN and the pix2pix family) and Glorot (what Keras and TF-slim begin with)."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def initialise_normal(network: Network, generator: torch.Generator, deviation: float = 0.02) -> Network:
    """Convolution and linear weights N(0, deviation), batch norm gains N(1, deviation), offsets 0; in place.

    Drawn in the order of ``network.modules()`` (Radford et al., "Unsupervised representation learning with deep
    convolutional GANs", 2016).
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                module.weight.normal_(0.0, deviation, generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.BatchNorm2d) and module.affine:
                module.weight.normal_(1.0, deviation, generator=generator)
                module.bias.zero_()
    return network


def initialise_glorot(network: Network, generator: torch.Generator) -> Network:
    """Convolution and linear weights uniform in +-sqrt(6 / (fan in + fan out)), their biases 0; in place.

    Drawn in the order of ``network.modules()`` (Glorot and Bengio, "Understanding the difficulty of training deep
    feedforward neural networks", AISTATS 2010). Keeps activations alive in networks without norms at any width.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
