"""U-Net of image translation: an encoder that halves the image down to a point, and a decoder that sees every level.

Ronneberger et al., "U-Net" (MICCAI 2015), in the form of Isola et al., "Image-to-image translation with conditional
adversarial networks" (CVPR 2017): strided convolutions of kernel 4 and one skip per level.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handsynth.networks.resnet import Norm, norm_layer

_WIDEST = 8
_OUTER_LEVELS = 4  # of these none has dropout


def halvings(size: int, most: int = 8) -> int:
    """How often an image side can be halved without remainder, ``most`` times at most: the levels of its U-Net."""
    return min(most, (size & -size).bit_length() - 1)


class Unet(nn.Module):
    """Level 1 is the outermost; level k has width min(2^(k - 1), 8) channels at S / 2^k px.

    Down: LeakyReLU 0.2 (not on the image), conv 4 stride 2, norm (neither on the outermost nor on the innermost
    level). Up: ReLU, transposed conv 4 stride 2, norm, dropout (on the levels between the four outer ones and the
    innermost), and tanh in place of the norm at the end. What comes up is laid behind the level's own code.

    Args:
        width: channels of the outermost level.
        levels: halvings, 2 or more; 8 is the published U-Net 256.
        norm: convolutions carry a bias with instance norm, and the last one always.
        dropout: share of values zeroed in training; no layer at 0.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        levels: int = 8,
        norm: Norm = "batch",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        widths = [width * min(2**level, _WIDEST) for level in range(levels)]
        innermost = levels - 1
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, code in enumerate(widths):
            below = widths[level - 1] if level else in_channels
            down: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            down.append(nn.Conv2d(below, code, 4, stride=2, padding=1, bias=norm == "instance"))
            if 0 < level < innermost:
                down.append(norm_layer(norm, code))
            self.downs.append(nn.Sequential(*down))

            above = widths[level - 1] if level else out_channels
            joined = code if level == innermost else 2 * code
            bias = norm == "instance" or level == 0
            up: list[nn.Module] = [nn.ReLU(), nn.ConvTranspose2d(joined, above, 4, stride=2, padding=1, bias=bias)]
            up.append(norm_layer(norm, above) if level else nn.Tanh())
            if dropout > 0 and _OUTER_LEVELS <= level < innermost:
                up.append(nn.Dropout(dropout))
            self.ups.append(nn.Sequential(*up))

    def forward(self, image: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D H W"]:
        """(B, out_channels, H, W) in [-1, 1]; H and W must be multiples of 2^levels."""
        codes = [image]
        for down in self.downs:
            codes.append(down(codes[-1]))
        *outer, innermost = self.ups
        code = innermost(codes.pop())
        for up in reversed(outer):
            code = up(torch.cat([codes.pop(), code], dim=1))
        return code
