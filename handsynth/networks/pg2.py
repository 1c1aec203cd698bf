"""PG2: a coarse image in the target pose, then a difference that refines it, and the critic of the result.

Ma et al., "Pose guided person image generation", NeurIPS 2017, section 3; layers as in the authors' code for
256 px (no noise). The number of levels goes by the image size: 6 and 4 at 256 px, one fewer each time it halves.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

COARSEST = 8
"""Side in px of the feature map between encoder and decoder of the coarse generator."""


def coarse_levels(size: int) -> int:
    """Levels of the coarse generator for images of ``size`` px, a power of two times 8: 6 at 256."""
    return (size // COARSEST).bit_length()


class CoarseGenerator(nn.Module):
    """G1: a U-Net of residual pairs whose code passes a narrow linear layer, so that it sees the whole image.

    Level i, from 1, has i ``width`` channels in the encoder, and those of both its inputs in the decoder. Output
    without activation.

    Args:
        in_channels: of the source image and the target's pose maps together.
        size: image side S in px, a power of two times 8.
        width: channels of the first level.
        code: numbers between encoder and decoder.
    """

    def __init__(self, in_channels: int, size: int, width: int = 128, code: int = 64) -> None:
        super().__init__()
        widths = [width * (level + 1) for level in range(coarse_levels(size))]
        area = COARSEST * COARSEST
        self.stem = _convolution(in_channels, width)
        self.encoders = nn.ModuleList(_ResidualPair(wide) for wide in widths)
        self.downs = nn.ModuleList(_convolution(wide, wider, stride=2) for wide, wider in pairwise(widths))
        self.squeeze = nn.Linear(area * widths[-1], code)
        self.unsqueeze = nn.Linear(code, area * width)
        # What comes up from the level below has the level's own width; at the bottom it is the unpacked code.
        joined = [2 * wide for wide in widths[:-1]] + [widths[-1] + width]
        self.decoders = nn.ModuleList(_ResidualPair(wide) for wide in joined)
        self.ups = nn.ModuleList(
            _convolution(wide, narrow, kernel=1) for wide, narrow in zip(joined[1:], widths, strict=False)
        )
        self.head = nn.Conv2d(joined[0], 3, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C S S"]) -> Float[Tensor, "B 3 S S"]:
        x, skips = self.stem(x), []
        for level, encode in enumerate(self.encoders):
            x = encode(x if level == 0 else self.downs[level - 1](x))
            skips.append(x)
        x = self.unsqueeze(self.squeeze(x.flatten(1))).unflatten(1, (-1, COARSEST, COARSEST))
        for level in reversed(range(len(skips))):
            x = self.decoders[level](torch.cat([x, skips[level]], dim=1))
            if level > 0:
                x = self.ups[level - 1](_double(x))
        return self.head(x)


class DifferenceGenerator(nn.Module):
    """G2: a fully convolutional U-Net that gives what to add to the coarse image.

    Level i, from 1, has i ``width`` channels in the encoder and ``width`` in the decoder.

    Args:
        in_channels: of the coarse image and the source image together.
        levels: 4 for images of 256 px.
    """

    def __init__(self, in_channels: int = 6, levels: int = 4, width: int = 128) -> None:
        super().__init__()
        widths = [width * (level + 1) for level in range(levels)]
        self.stem = _convolution(in_channels, width)
        self.encoders = nn.ModuleList(
            _pair(before, wide) for before, wide in zip([width, *widths], widths, strict=False)
        )
        self.downs = nn.ModuleList(_convolution(wide, wide, stride=2) for wide in widths[:-1])
        below = [width] * (levels - 1) + [widths[-1]]
        self.decoders = nn.ModuleList(_pair(up + wide, width) for up, wide in zip(below, widths, strict=True))
        self.head = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Float[Tensor, "B C S S"]) -> Float[Tensor, "B 3 S S"]:
        x, skips = self.stem(x), []
        for level, encode in enumerate(self.encoders):
            x = encode(x if level == 0 else self.downs[level - 1](x))
            skips.append(x)
        for level in reversed(range(len(skips))):
            x = self.decoders[level](torch.cat([x, skips[level]], dim=1))
            if level > 0:
                x = _double(x)
        return self.head(x)


class PG2Generator(nn.Module):
    """Both stages: ``coarse`` (G1) and ``difference`` (G2), of one image size.

    Args:
        pose_channels: of the target's pose maps.
        size: image side S in px, a power of two times 8.
    """

    def __init__(self, pose_channels: int, size: int, width: int = 128, code: int = 64) -> None:
        super().__init__()
        self.coarse = CoarseGenerator(3 + pose_channels, size, width, code)
        self.difference = DifferenceGenerator(6, coarse_levels(size) - 2, width)

    def forward(
        self, image: Float[Tensor, "B 3 S S"], pose: Float[Tensor, "B P S S"], refine: bool = True
    ) -> Float[Tensor, "B 3 S S"]:
        """The image in the target pose, about [-1, 1] (nothing bounds it).

        Args:
            image: the source, in [-1, 1].
            pose: maps of the target pose, -1 and 1.
            refine: add the difference, with gradients into its network alone; else the coarse image, with gradients.
        """
        if not refine:
            return self.coarse(torch.cat([image, pose], dim=1))
        with torch.no_grad():
            coarse = self.coarse(torch.cat([image, pose], dim=1))
        return coarse + self.difference(torch.cat([coarse, image], dim=1))


class PG2Discriminator(nn.Module):
    """One logit for a whole image: five convolutions 5 of stride 2, batch norm from the second on, and a linear layer.

    Args:
        in_channels: 3 for single images, 6 for images laid on their source.
        size: image side S in px, a multiple of 32.
        width: channels after the first convolution; they double up to 8 times as many.
    """

    def __init__(self, in_channels: int, size: int, width: int = 64) -> None:
        super().__init__()
        widths = [width * factor for factor in (1, 2, 4, 8, 8)]
        layers: list[nn.Module] = []
        for level, (before, after) in enumerate(pairwise([in_channels, *widths])):
            layers.append(nn.Conv2d(before, after, 5, stride=2, padding=2))
            if level > 0:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1] * (size // 2 ** len(widths)) ** 2, 1)

    def forward(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B 1"]:
        return self.head(self.features(images).flatten(1))


def _convolution(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2), nn.ReLU(inplace=True))


def _pair(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_convolution(in_channels, out_channels), _convolution(out_channels, out_channels))


class _ResidualPair(nn.Module):
    """Two convolutions, each with its ReLU, and a skip around both; no ReLU after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pair = _pair(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pair(x)


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")
