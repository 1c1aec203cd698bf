"""ResNet image translation parts: encoder, decoder, residual blocks, and a generator and a discriminator made of them.

The parts of Johnson et al., "Perceptual losses for real-time style transfer" (ECCV 2016), as the pix2pix family uses
them; MM-Hand, PATN and CycleGAN are built from these. Batch norm goes with convolutions without bias, instance norm
(which has no gain and offset here) with biased ones.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "instance"]


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Batch norm with gain and offset, or instance norm without."""
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


def encoder(in_channels: int, width: int, norm: Norm, downs: int = 2) -> nn.Sequential:
    """(B, in_channels, H, W) to (B, width 2^downs, H / 2^downs, W / 2^downs).

    Reflection padding 3, conv 7, norm, ReLU; then ``downs`` times conv 3 stride 2, norm, ReLU, doubling the width.
    """
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), *_convolution(in_channels, width, 7, norm)]
    for level in range(downs):
        layers += _convolution(width * 2**level, width * 2 ** (level + 1), 3, norm, stride=2, padding=1)
    return nn.Sequential(*layers)


def decoder(width: int, out_channels: int, norm: Norm, ups: int = 2) -> nn.Sequential:
    """(B, width 2^ups, H, W) to (B, out_channels, H 2^ups, W 2^ups) in [-1, 1]: the encoder backwards, then tanh."""
    layers: list[nn.Module] = []
    for level in reversed(range(ups)):
        wide, narrow = width * 2 ** (level + 1), width * 2**level
        layers += [
            nn.ConvTranspose2d(wide, narrow, 3, stride=2, padding=1, output_padding=1, bias=norm == "instance"),
            norm_layer(norm, narrow),
            nn.ReLU(inplace=True),
        ]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, out_channels, 7), nn.Tanh()]
    return nn.Sequential(*layers)


def residual_branch(
    in_channels: int, out_channels: int, norm: Norm, dropout: float = 0.0, last_norm: bool = True
) -> nn.Sequential:
    """The convolutions of a residual block, without its skip; (B, in, H, W) to (B, out, H, W).

    Reflection padding 1, conv 3 (width unchanged), norm, ReLU, dropout, reflection padding 1, conv 3, norm.

    Args:
        dropout: share of values zeroed in training; no layer at 0.
        last_norm: without it the branch ends in its convolution, as the pose streams of PATN and MM-Hand do.
    """
    layers: list[nn.Module] = [nn.ReflectionPad2d(1), *_convolution(in_channels, in_channels, 3, norm)]
    if dropout > 0:
        layers.append(nn.Dropout(dropout))
    layers += [nn.ReflectionPad2d(1), nn.Conv2d(in_channels, out_channels, 3, bias=norm == "instance")]
    if last_norm:
        layers.append(norm_layer(norm, out_channels))
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """A residual branch and its skip, at one width."""

    def __init__(self, width: int, norm: Norm, dropout: float = 0.0) -> None:
        super().__init__()
        self.branch = residual_branch(width, width, norm, dropout)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        return x + self.branch(x)


class ResnetGenerator(nn.Module):
    """Encoder, residual blocks and decoder: an image of one kind to one of another (CycleGAN; depth of DGGAN; MM-Hand
    without attention).

    Args:
        in_channels: of all inputs together.
        width: channels after the first convolution; the blocks have four times as many.
        blocks: residual blocks; 9 for 256 px and 6 for 128 px in Zhu et al. (ICCV 2017).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "instance",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder(in_channels, width, norm)
        self.blocks = nn.Sequential(*(ResidualBlock(4 * width, norm, dropout) for _ in range(blocks)))
        self.decoder = decoder(width, out_channels, norm)

    def forward(self, *images: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B D H W"]:
        """(B, out_channels, H, W) in [-1, 1], of images and maps laid on each other; H and W multiples of 4."""
        stacked = images[0] if len(images) == 1 else torch.cat(images, dim=1)
        return self.decoder(self.blocks(self.encoder(stacked)))


class ResnetDiscriminator(nn.Module):
    """Judges an image laid on its condition, patch by patch (MM-Hand and PATN: ``D_PB`` with the target's pose map,
    ``D_PP`` with the source image).

    Args:
        in_channels: of the image and its condition together.
        blocks: residual blocks after the encoder.
        head: end in one logit per patch (reflection padding 1, conv 3). Without it the features of the last block
            themselves are taken as logits, as in the authors' code.
    """

    def __init__(
        self, in_channels: int, width: int, blocks: int, norm: Norm, dropout: float = 0.5, head: bool = True
    ) -> None:
        super().__init__()
        features = 4 * width
        self.encoder = encoder(in_channels, width, norm)
        self.blocks = nn.Sequential(*(ResidualBlock(features, norm, dropout) for _ in range(blocks)))
        self.head = nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(features, 1, 3)) if head else nn.Identity()

    def forward(self, pair: Float[Tensor, "B C S S"]) -> Float[Tensor, "B L h h"]:
        """Logits, L = 1 with a head and 4 width without; h = S / 4."""
        return self.head(self.blocks(self.encoder(pair)))


def _convolution(
    in_channels: int, out_channels: int, kernel: int, norm: Norm, stride: int = 1, padding: int = 0
) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=norm == "instance"),
        norm_layer(norm, out_channels),
        nn.ReLU(inplace=True),
    ]
