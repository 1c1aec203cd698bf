"""Pose-GAN: a U-Net whose skips move each part of the source to where the target has it, and its critic.

Siarohin et al., "Deformable GANs for pose-based human image generation", CVPR 2018, section 3; layers as in
the authors' code for 256 px. The number of levels goes by the image size: 7 at 256 px, one fewer each time it halves.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

PartNorm = Literal["scalar", "channel"]
"""``scalar`` is :class:`ScalarNorm`; ``channel`` is instance norm with a gain and an offset per channel."""

COARSEST = 4
"""Side in px of the feature maps between encoders and decoder."""
WARPED_LEVELS = 4
"""Skips of this many levels, the finest ones, are deformable."""

_DROPPED_BLOCKS = 3


class ScalarNorm(nn.Module):
    """(x - mean) / (deviation + eps) over all of a sample, with one gain and one offset.

    What the paper's instance norm is in the authors' code: keras-contrib's InstanceNormalization leaves the channel
    axis in the statistics unless it is told not to.
    """

    def __init__(self, eps: float = 1e-3) -> None:
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(1))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        variance, mean = torch.var_mean(wide, dim=(1, 2, 3), correction=0, keepdim=True)
        # The root of an exact 0 has no gradient.
        deviation = variance.clamp_min(1e-12).sqrt()
        return (self.gain * (wide - mean) / (deviation + self.eps) + self.offset).to(x.dtype)


def warp_parts(
    features: Float[Tensor, "B C h w"], maps: Float[Tensor, "B P 2 3"], masks: Float[Tensor, "B P S S"]
) -> Float[Tensor, "B C h w"]:
    """Features of the source where the target has them: each part moved and masked, then the greatest value of all.

    A part outside its mask, or moved from outside the image, counts as 0. Pixels are taken from the nearest place.

    Args:
        maps: affine maps from the target's pixels to the source's, for images of S px; for features their translation
            is divided by S / h, as in the authors' code.
        masks: 1 where a part may be in the target.
    """
    batch, channels, height, width = features.shape
    ratio = masks.shape[-1] / width
    axes = (torch.arange(size, device=maps.device, dtype=maps.dtype) for size in (height, width))
    v, u = torch.meshgrid(*axes, indexing="ij")
    place = torch.stack([u, v, torch.full_like(u, 1 / ratio)]).flatten(1)
    column, row = (maps @ place + 0.5).floor().unflatten(-1, (height, width)).unbind(2)
    seen = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    seen &= F.interpolate(masks, (height, width), mode="nearest") > 0
    sample = torch.arange(batch, device=maps.device)[:, None, None, None]
    nowhere = batch * height * width
    index = torch.where(seen, (sample * height + row.long()) * width + column.long(), nowhere)
    # A table look-up: its gradient, unlike that of sampling on a grid, is the same each time on a GPU too.
    table = F.pad(features.permute(0, 2, 3, 1).reshape(-1, channels), (0, 0, 0, 1))
    return F.embedding(index, table).amax(1).permute(0, 3, 1, 2)


class DeformableGenerator(nn.Module):
    """Two encoders, of the source's look and of the target's pose, and a decoder with skips from both.

    Args:
        pose_channels: of each pose's maps.
        size: image side S in px, a power of two times 4.
        width: channels of the finest level; they double up to 8 times as many.
        dropout: after the first three blocks of the decoder.
    """

    def __init__(
        self, pose_channels: int, size: int, width: int = 64, norm: PartNorm = "scalar", dropout: float = 0.5
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, 8) for level in range((size // COARSEST).bit_length())]
        self.look_encoder = _encoder(3 + pose_channels, widths, norm)
        self.pose_encoder = _encoder(pose_channels, widths, norm)
        blocks = []
        # From the coarsest level up; each but the first also gets what the one before it made.
        for place, level in enumerate(reversed(range(1, len(widths)))):
            incoming = 2 * widths[level] + (widths[level + 1] if place else 0)
            blocks.append(_up(incoming, widths[level], norm, dropout if place < _DROPPED_BLOCKS else 0.0))
        self.decoder = nn.ModuleList(blocks)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(2 * width + widths[1], 3, 3, padding=1), nn.Tanh())

    def forward(
        self,
        image: Float[Tensor, "B 3 S S"],
        source_pose: Float[Tensor, "B K S S"],
        target_pose: Float[Tensor, "B K S S"],
        maps: Float[Tensor, "B P 2 3"],
        masks: Float[Tensor, "B P S S"],
    ) -> Float[Tensor, "B 3 S S"]:
        """The image in the target pose, in [-1, 1]; ``maps`` and ``masks`` as in :func:`warp_parts`."""
        look, pose = torch.cat([image, source_pose], dim=1), target_pose
        skips = []
        for level, (see, place) in enumerate(zip(self.look_encoder, self.pose_encoder, strict=True)):
            look, pose = see(look), place(pose)
            moved = warp_parts(look, maps, masks) if level < WARPED_LEVELS else look
            skips.append(torch.cat([moved, pose], dim=1))
        x = skips.pop()
        for block in self.decoder:
            x = torch.cat([block(x), skips.pop()], dim=1)
        return self.head(x)


class DeformableDiscriminator(nn.Module):
    """One logit per patch of a source and a target image with their poses: 7 x 7 of them at 256 px.

    Five convolutions 4 of stride 2, the first without padding; norms on the three in the middle. Images of less than
    64 px pass one fewer.

    Args:
        in_channels: of both images and both pose maps together.
        size: image side S in px, a power of two, at least 32.
    """

    def __init__(self, in_channels: int, size: int, width: int = 64, norm: PartNorm = "scalar") -> None:
        super().__init__()
        widths = [width * 2**level for level in range(min(4, size.bit_length() - 3))]
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, stride=2),
            *(_down(narrow, wide, norm) for narrow, wide in pairwise(widths)),
            _down(widths[-1], 1, None),
        )

    def forward(self, images: Float[Tensor, "B C S S"]) -> Float[Tensor, "B 1 h h"]:
        return self.layers(images)


def _norm(norm: PartNorm, channels: int) -> nn.Module:
    return ScalarNorm() if norm == "scalar" else nn.InstanceNorm2d(channels, affine=True)


def _encoder(in_channels: int, widths: list[int], norm: PartNorm) -> nn.ModuleList:
    """One module per level, the coarsest without a norm; each halves the side but the first."""
    downs = [_down(narrow, wide, norm) for narrow, wide in pairwise(widths[:-1])]
    return nn.ModuleList([nn.Conv2d(in_channels, widths[0], 3, padding=1), *downs, _down(widths[-2], widths[-1], None)])


def _down(in_channels: int, out_channels: int, norm: PartNorm | None) -> nn.Sequential:
    layers = [nn.LeakyReLU(0.2), nn.Conv2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False)]
    return nn.Sequential(*layers, *([] if norm is None else [_norm(norm, out_channels)]))


def _up(in_channels: int, out_channels: int, norm: PartNorm, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.ReLU(),
        nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
        _norm(norm, out_channels),
    ]
    return nn.Sequential(*layers, *([nn.Dropout(dropout)] if dropout > 0 else []))
