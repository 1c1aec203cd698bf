"""Hands and their poses as pictures, (B, 3, S, S) in [-1, 1]: what generators see, and what some translate."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from handsynth.conditioning.contour import bone_maps
from handsynth.training.system import HandBatch

PoseMap = Literal["bones", "published_bones"]
"""Grey bones, nearer before farther, each in a grey of its own; or drawn with the defects of MM-Hand's code, where
bones of equal depth take one grey and each map is stretched to its own brightest."""


def picture(hands: HandBatch) -> Tensor:
    """The colour image.

    Raises:
        ValueError: the batch has none.
    """
    if hands.rgb is None:
        raise ValueError("a batch of hands without images where a generator must see them")
    return (hands.rgb * 2 - 1).contiguous(memory_format=torch.channels_last)


def pose_picture(hands: HandBatch, size: int, kind: PoseMap) -> Tensor:
    """The bones, drawn from keypoints and camera z."""
    maps = bone_maps(hands.keypoints_px, hands.joints_mm[..., 2], size, as_published=kind == "published_bones")
    return (maps * 2 - 1).contiguous(memory_format=torch.channels_last)


def joined(*maps: Tensor) -> Tensor:
    """Stacks of maps (B, C, S, S) laid on each other, in the order of their channels."""
    return torch.cat(maps, dim=1).contiguous(memory_format=torch.channels_last)
