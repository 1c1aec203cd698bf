"""The nearest-neighbour loss: L1 that forgives small shifts (Siarohin et al., "Deformable GANs", CVPR 2018)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def nearest_neighbour_loss(
    image: Float[Tensor, "B C H W"], reference: Float[Tensor, "B C H W"], window: int
) -> Float[Tensor, ""]:
    """Mean over positions of the least channel-summed |image - reference| over a window of the reference.

    Args:
        image: pixels or features of the generated image; gradients go here alone.
        reference: those of the image it should show.
        window: side of the square window around each position, odd; 1 gives the channel-summed L1.

    Raises:
        ValueError: an even window.
    """
    if window % 2 == 0:
        raise ValueError(f"a window of {window}, which has no middle")
    height, width = image.shape[2:]
    # Finding the neighbours without gradient keeps one of them in memory, not window^2.
    with torch.no_grad():
        # The authors pad with -10000, which is as far from every feature.
        padded = F.pad(reference, [window // 2] * 4, value=torch.inf)
        nearest, least = reference, torch.full_like(image[:, :1], torch.inf)
        for top in range(window):
            for left in range(window):
                shifted = padded[..., top : top + height, left : left + width]
                distance = (image - shifted).abs().sum(1, keepdim=True)
                nearest = torch.where(distance < least, shifted, nearest)
                least = torch.minimum(distance, least)
    return (image - nearest).abs().sum(1).mean()
