"""PatchGAN: a discriminator that judges an image patch by patch (Isola et al., CVPR 2017, section 3.2.2)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from handsynth.networks.resnet import Norm, norm_layer

_WIDEST = 8


class PatchDiscriminator(nn.Module):
    """Conv 4 stride 2 and LeakyReLU 0.2; ``layers - 1`` times conv 4 stride 2, norm, LeakyReLU, doubling the width up
    to 8 times; once more at stride 1; then conv 4 to one logit per patch. Padding 1 everywhere.

    Args:
        in_channels: of the image, and of its condition where there is one.
        width: channels of the first convolution.
        layers: strided convolutions; 3 give patches of 70 x 70 px, 2 of 34 x 34.
        norm: convolutions before it carry a bias with instance norm; the first and the last always do.
    """

    def __init__(self, in_channels: int, width: int = 64, layers: int = 3, norm: Norm = "batch") -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        widths = [width * min(2**layer, _WIDEST) for layer in range(layers + 1)]
        for layer in range(1, layers + 1):
            stride = 2 if layer < layers else 1
            parts += [
                nn.Conv2d(widths[layer - 1], widths[layer], 4, stride, padding=1, bias=norm == "instance"),
                norm_layer(norm, widths[layer]),
                nn.LeakyReLU(0.2),
            ]
        parts.append(nn.Conv2d(widths[-1], 1, 4, padding=1))
        self.layers = nn.Sequential(*parts)

    def forward(self, image: Float[Tensor, "B C S S"]) -> Float[Tensor, "B 1 h h"]:
        """Logits, h = S / 2^layers - 2: 30 x 30 of 256 px by the published 3 layers."""
        return self.layers(image)
