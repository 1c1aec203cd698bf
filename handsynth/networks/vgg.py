"""VGG-16 and VGG-19 up to a named layer: frozen features in which a generated and a true image are compared.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition" (ICLR 2015), under the
parameter names of torchvision's models, so that their files of weights load: ``networks/pretrained.py`` reads them.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from handsynth.errors import UsageError, sentence

VggName = Literal["vgg16", "vgg19"]

_REPEATS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
_WIDTHS = (64, 128, 256, 512, 512)
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in [0, 1]: what the published weights were trained on."""


def vgg_layers(network: VggName) -> list[str]:
    """Names of all layers in order: ``conv1_1``, ``relu1_1``, ..., ``pool1``, ``conv2_1``, ..., ``pool5``."""
    names = []
    for block, repeat in enumerate(_REPEATS[network], start=1):
        for place in range(1, repeat + 1):
            names += [f"conv{block}_{place}", f"relu{block}_{place}"]
        names.append(f"pool{block}")
    return names


class VggFeatures(nn.Module):
    """A VGG's layers up to and including one of them, without batch norm.

    Args:
        network: ``vgg16`` or ``vgg19``.
        layer: the last one, as :func:`vgg_layers` names it. ``conv3_3`` is a convolution's own output, ``relu3_3`` what
            its ReLU makes of it.

    Raises:
        UsageError: the network has no such layer.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: VggName, layer: str) -> None:
        super().__init__()
        names = vgg_layers(network)
        if layer not in names:
            raise UsageError(sentence(f"a layer of {network}: {', '.join(names)}", repr(layer), "the VGG layer"))
        layers: list[nn.Module] = []
        channels = 3
        for name in names[: names.index(layer) + 1]:
            if name.startswith("conv"):
                width = _WIDTHS[int(name[4]) - 1]
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                channels = width
            else:
                layers.append(nn.ReLU(inplace=True) if name.startswith("relu") else nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        # Not saved: files of weights do not hold them.
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None], persistent=False)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Features of images in [-1, 1]; h = H / 2 per pooling layer passed, rounded down."""
        return self.features(((images + 1) / 2 - self.mean) / self.deviation)
