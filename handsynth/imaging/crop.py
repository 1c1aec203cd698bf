"""Random crops of the pix2pix family: images are enlarged a little and cut back to their size somewhere else."""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from handsynth.runtime.settings import Settings

_REFERENCE_SIZE = 256


class RandomCrop(Settings, frozen=True, kw_only=True):
    """Isola et al., CVPR 2017, section 6.2: 256 px images are enlarged to 286 px and cut back at random."""

    load: Annotated[int, Meta(ge=_REFERENCE_SIZE)] = 286
    """Enlarged side in px of a 256 px image; scales with the image."""
    flip: bool = False
    """Mirror one half of the images, as the authors' code does. A mirrored hand is one of the other side."""


def random_crop(images: Tensor, generator: torch.Generator, settings: RandomCrop) -> Tensor:
    """Crop each image, and mirror it left to right with probability 1/2 where ``flip`` is set.

    Args:
        images: (B, C, S, S) in [-1, 1]; what belongs together is to be stacked along C.
        generator: on the CPU, so that every device sees the same numbers; advanced by 3 B draws.

    Returns:
        (B, C, S, S) in [-1, 1], sampled by the antialiased bicubic kernel that Pillow uses, clamped.
    """
    count, _, size, _ = images.shape
    side = round(size * settings.load / _REFERENCE_SIZE)
    larger = F.interpolate(images, size=(side, side), mode="bicubic", antialias=True).clamp(-1, 1)
    draws = torch.rand((count, 3), generator=generator, dtype=torch.float64)
    cropped = []
    for image, (down, right, mirror) in zip(larger, draws.tolist(), strict=True):
        top, left = int(down * (side - size + 1)), int(right * (side - size + 1))
        part = image[:, top : top + size, left : left + size]
        cropped.append(part.flip(-1) if settings.flip and mirror < 0.5 else part)
    return torch.stack(cropped)
