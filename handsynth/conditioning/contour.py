"""Pose maps drawn with filled shapes: MM-Hand's contour map and the z-buffered bone map of its baselines.

Keypoints (B, 21, 2) in px of the image; they are truncated to whole pixels and drawn with OpenCV, as in the published
code. What has a NaN joint is left out.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from handsynth.conditioning.heatmaps import REFERENCE_SIZE
from handsynth.hand.joints import BONES, PALM, PHALANGES

PALM_LEVEL, LEVEL_STEP = 10, 10
"""Grey level of the palm; phalanx i, thumb to pinky and base to tip, has level 20 + 10 i."""


# Published levels of the z-buffered map: bones from the wrist to pinky, thumb, index, middle, ring 160 to 200;
# phalanges 10 to 150, thumb, index, middle, ring, pinky.
_FROM_WRIST = (170, 180, 190, 200, 160)
_BONE_LEVELS = tuple(
    level for finger in range(5) for level in (_FROM_WRIST[finger], *(30 * finger + step for step in (10, 20, 30)))
)
# The published code's order of bones: from the wrist, then phalanges; pinky first, ring last. Places in ``BONES``.
_PUBLISHED_ORDER = [4 * finger for finger in (4, 0, 1, 2, 3)] + [
    4 * finger + phalanx for finger in (4, 0, 1, 2, 3) for phalanx in (1, 2, 3)
]
_DRAWABLE_PX = 1e6  # OpenCV takes 32-bit coordinates


def label_colors(count: int = 2 + len(PHALANGES)) -> UInt8[np.ndarray, "L 3"]:
    """(L, 3) RGB of labels 0, 1, ...: the bits of a label dealt out to red, green, blue, highest first (Pascal VOC).

    Label 0 is black, 1 (128, 0, 0), 2 (0, 128, 0), 3 (128, 128, 0), ...
    """
    label = np.arange(count)
    colors = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((label >> (3 * bit + channel) & 1) << (7 - bit)).astype(np.uint8)
    return colors


def contour_levels(
    keypoints_px: Float[Tensor, "B 21 2"], size: int, half_width: float = 16.0
) -> UInt8[Tensor, "B S S"]:
    """The paper's contour map in grey levels (S1 3.2.1): palm polygon first, then 15 ellipses, thumb to pinky.

    Args:
        keypoints_px: (B, 21, 2) in px.
        size: image side S in px.
        half_width: of each ellipse, in px of a 256 px image; scaled with the image. 16 draws the published maps,
            8 the pictures shown during training.

    Returns:
        (B, S, S) uint8 on the CPU: 0 background, :data:`PALM_LEVEL` palm, 20 to 160 phalanges.
    """
    radius = max(1, round(half_width * size / REFERENCE_SIZE))
    maps = np.zeros((len(keypoints_px), size, size), dtype=np.uint8)
    for image, keypoints in zip(maps, keypoints_px.detach().cpu().numpy(), strict=True):
        known = _drawable(keypoints)
        if known[list(PALM)].all():
            cv2.fillConvexPoly(image, keypoints[list(PALM)].astype(np.int32), PALM_LEVEL)
        for place, (parent, child) in enumerate(PHALANGES):
            if known[parent] and known[child]:
                _bone(image, keypoints[parent], keypoints[child], radius, PALM_LEVEL + (place + 1) * LEVEL_STEP)
    return torch.from_numpy(maps)


def contour_maps(
    keypoints_px: Float[Tensor, "B 21 2"], size: int, half_width: float = 16.0
) -> Float[Tensor, "B 3 S S"]:
    """:func:`contour_levels` in distinct colours (:func:`label_colors`): three channels in [0, 1], background 0.

    Returns:
        (B, 3, S, S) float32 on the keypoints' device.
    """
    labels = (contour_levels(keypoints_px, size, half_width) // LEVEL_STEP).to(keypoints_px.device)
    colors = torch.from_numpy(label_colors()).to(keypoints_px.device).float() / 255.0
    return colors[labels.long()].permute(0, 3, 1, 2).contiguous()


def bone_map(
    keypoints_px: Float[Tensor, "B 21 2"],
    z_mm: Float[Tensor, "B 21"],
    size: int,
    half_width: float = 5.0,
    recolor_ties: bool = False,
) -> UInt8[Tensor, "B S S"]:
    """20 bones in grey levels, nearer ones before farther ones: the input of MM-Hand's CycleGAN and Pix2pix baselines.

    A pixel shows the bone whose ends have the least mean depth. Where mean depths are equal the earlier bone of
    ``hand.joints.BONES`` stays.

    Args:
        keypoints_px: (B, 21, 2) in px.
        z_mm: (B, 21) camera z; only its order counts.
        size: image side S in px.
        half_width: of each ellipse, in px of a 256 px image; scaled with the image.
        recolor_ties: show bones of equal mean depth, touching or not, in one level, that of the last in the published
            code's order. That code knows a pixel's bone by its depth alone.

    Returns:
        (B, S, S) uint8 on the CPU: 0 background, 10 to 200 one level per bone, as published.
    """
    radius = max(1, round(half_width * size / REFERENCE_SIZE))
    maps = np.zeros((len(keypoints_px), size, size), dtype=np.uint8)
    depths = z_mm.detach().cpu().numpy().astype(np.float64)
    for image, keypoints, z in zip(maps, keypoints_px.detach().cpu().numpy(), depths, strict=True):
        known = _drawable(keypoints) & np.isfinite(z)
        depth = {place: z[list(bone)].sum() for place, bone in enumerate(BONES) if known[list(bone)].all()}
        last = {depth[place]: place for place in _PUBLISHED_ORDER if place in depth}
        # Painter's order, farthest first; among equals the earlier bone is painted last.
        for place in sorted(depth, key=lambda place: (-depth[place], -place)):
            parent, child = BONES[place]
            level = _BONE_LEVELS[last[depth[place]] if recolor_ties else place]
            _bone(image, keypoints[parent], keypoints[child], radius, level)
    return torch.from_numpy(maps)


def bone_maps(
    keypoints_px: Float[Tensor, "B 21 2"], z_mm: Float[Tensor, "B 21"], size: int, as_published: bool = False
) -> Float[Tensor, "B 3 S S"]:
    """:func:`bone_map` in three equal channels in [0, 1], background 0.

    Args:
        as_published: recolour ties, and stretch each map by its own largest level; otherwise a bone has one grey, its
            level / 200, in every map.

    Returns:
        (B, 3, S, S) float32 on the keypoints' device.
    """
    levels = bone_map(keypoints_px, z_mm, size, recolor_ties=as_published).to(keypoints_px.device).float()
    white = levels.amax((1, 2), keepdim=True).clamp_min(1) if as_published else max(_BONE_LEVELS)
    return (levels / white)[:, None].repeat(1, 3, 1, 1)


def depth_bone_map(
    keypoints_px: Float[Tensor, "B 21 2"], levels: Float[Tensor, "B 21"], size: int, half_width: float = 2.0
) -> Float[Tensor, "B 1 S S"]:
    """20 short thin bones in the mean level of their ends, the larger one where they overlap: MM-Hand's MSRA loader.

    Args:
        keypoints_px: (B, 21, 2) in px.
        levels: (B, 21) what each joint's depth is drawn as, 0 for background; NaN where unknown.
        size: image side S in px.
        half_width: of each ellipse, in px of a 256 px image; scaled with the image. It is two thirds of its bone long.

    Returns:
        (B, 1, S, S) float32 on the keypoints' device; background, and a bone with an unknown end, 0.
    """
    radius = max(1, round(half_width * size / REFERENCE_SIZE))
    maps = np.zeros((len(keypoints_px), size, size), dtype=np.float32)
    drawn = levels.detach().float().cpu().numpy()
    for image, keypoints, level in zip(maps, keypoints_px.detach().cpu().numpy(), drawn, strict=True):
        known = _drawable(keypoints) & np.isfinite(level)
        bones = [(level[list(bone)].mean(), *bone) for bone in BONES if known[list(bone)].all()]
        for mean, parent, child in sorted(bones):
            _bone(image, keypoints[parent], keypoints[child], radius, float(mean), reach=1 / 3)
    return torch.from_numpy(maps)[:, None].to(keypoints_px.device)


def _drawable(keypoints: np.ndarray) -> np.ndarray:
    return (np.abs(np.nan_to_num(keypoints, nan=np.inf)) < _DRAWABLE_PX).all(-1)


def _bone(
    image: np.ndarray, start: np.ndarray, end: np.ndarray, radius: int, level: int | float, reach: float = 0.5
) -> None:
    """Fill the ellipse on the bone from ``start`` to ``end`` (2,): half axes (length times ``reach``, radius)."""
    along = start.astype(np.float64) - end
    centre = (start.astype(np.float64) + end) / 2
    outline = cv2.ellipse2Poly(
        (int(centre[0]), int(centre[1])),
        (int(math.hypot(*along) * reach), radius),
        int(math.degrees(math.atan2(along[1], along[0]))),
        0,
        360,
        1,
    )
    cv2.fillConvexPoly(image, np.asarray(outline, dtype=np.int32), level)
