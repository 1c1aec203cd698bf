"""Pose-attentional transfer: a generator whose pose streams mask the image stream, block by block.

With one pose stream this is PATN (Zhu et al., "Progressive pose attention transfer", CVPR 2019); with two, contour or
heatmap and depth, it is MM-Hand (Wu et al., ACM MM 2020, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handsynth.networks.resnet import Norm, decoder, encoder, residual_branch


class AttentionBlock(nn.Module):
    """Moves the image code towards the target pose where the pose streams let it.

    With a the image branch, b_k the pose branches, and M the product of sigmoid(b_k) (eq. 3)::

        image_out = image + M * a                (eq. 4)
        pose_k_out = concat(b_k, image_out)

    The papers' equations leave the concatenation out; both authors' codes have it.

    Args:
        width: channels C of the image code.
        pose_widths: channels of each pose code coming in: C in the first block, 2 C after it.
        swap: hand the pose streams on in reverse order, so that they change places from block to block (MM-Hand's
            code; the paper keeps them apart).
    """

    def __init__(
        self, width: int, pose_widths: Sequence[int], norm: Norm, dropout: float = 0.5, swap: bool = False
    ) -> None:
        super().__init__()
        self.image_branch = residual_branch(width, width, norm, dropout)
        self.pose_branches = nn.ModuleList(
            residual_branch(pose_width, width, norm, dropout, last_norm=False) for pose_width in pose_widths
        )
        self.swap = swap

    def forward(
        self, image: Float[Tensor, "B C h w"], poses: Sequence[Float[Tensor, "B P h w"]]
    ) -> tuple[Float[Tensor, "B C h w"], list[Float[Tensor, "B 2*C h w"]]]:
        branches = [branch(pose) for branch, pose in zip(self.pose_branches, poses, strict=True)]
        image = image + self.image_branch(image) * self.mask(branches)
        streams = [torch.cat([branch, image], dim=1) for branch in branches]
        return image, streams[::-1] if self.swap else streams

    @staticmethod
    def mask(branches: Sequence[Float[Tensor, "B C h w"]]) -> Float[Tensor, "B C h w"]:
        """Attention in (0, 1), from the outputs of the pose branches."""
        return reduce(torch.mul, [torch.sigmoid(branch) for branch in branches])


class AttentionGenerator(nn.Module):
    """Encoders for the image and each pose stream, attention blocks, and a decoder of the image code.

    Args:
        image_channels: of the source image and of the output.
        pose_channels: of each pose stream, source and target maps together.
        width: channels after the first convolution; the codes have four times as many.
        blocks: attention blocks.
        swap: see :class:`AttentionBlock`.
    """

    def __init__(
        self,
        image_channels: int,
        pose_channels: Sequence[int],
        width: int = 64,
        blocks: int = 9,
        norm: Norm = "batch",
        dropout: float = 0.5,
        swap: bool = False,
    ) -> None:
        super().__init__()
        code = 4 * width
        self.image_encoder = encoder(image_channels, width, norm)
        self.pose_encoders = nn.ModuleList(encoder(channels, width, norm) for channels in pose_channels)
        self.blocks = nn.ModuleList(
            AttentionBlock(code, [2 * code if index else code] * len(pose_channels), norm, dropout, swap)
            for index in range(blocks)
        )
        self.decoder = decoder(width, image_channels, norm)

    def forward(self, image: Float[Tensor, "B C S S"], *poses: Float[Tensor, "B _ S S"]) -> Float[Tensor, "B C S S"]:
        """The image in the target pose, in [-1, 1]; S must be a multiple of 4."""
        code = self.image_encoder(image)
        streams = [encode(pose) for encode, pose in zip(self.pose_encoders, poses, strict=True)]
        for block in self.blocks:
            code, streams = block(code, streams)
        return self.decoder(code)
