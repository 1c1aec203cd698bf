"""Weight initialisation of the DCGAN and pix2pix family."""

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
