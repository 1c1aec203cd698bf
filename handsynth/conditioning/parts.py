"""Parts of a hand in the image: discs and a closed mask (PG2), masks and transforms of palm and phalanges (Pose-GAN).

Keypoints (B, 21, 2) in px of the S x S image, pixel centres at integers. Lengths are stated for an image of 256 px
and scale with it. Tensors in and out, on any device. What has a NaN joint is left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from handsynth.conditioning.heatmaps import REFERENCE_SIZE
from handsynth.hand.joints import BONES, MIDDLE_MCP, PALM, PHALANGES, TIPS, WRIST

PARTS = 1 + len(PHALANGES)
"""The palm, then the phalanges, thumb to pinky and base to tip."""

HALF_WIDTH = 0.12
"""Of a phalanx's rectangle, as a share of the palm length (wrist to middle base) in the image."""

# A rectangle goes beyond its joints by these shares of the bone: as Pose-GAN's limbs, the outer end of the last one
# farther, to hold what is beyond the last joint.
_BEYOND, _BEYOND_TIP = 0.1, 0.5


def joint_discs(
    keypoints_px: Float[Tensor, "B 21 2"], size: int, radius: float = 4.0
) -> Float[Tensor, "B 21 {size} {size}"]:
    """One map per joint: 1 within ``radius`` (px at 256 px) of it, else 0; the pose input of PG2, there -1 and 1.

    A NaN joint gives a zero map. At small sizes a disc keeps at least the pixel that its joint is in.
    """
    reach = max(radius * size / REFERENCE_SIZE, 0.5**0.5)
    offset = _pixels(size, keypoints_px) - keypoints_px[:, :, None, None]
    return (offset.square().sum(-1) <= reach**2).to(keypoints_px.dtype)


def closed_mask(
    keypoints_px: Float[Tensor, "B 21 2"], size: int, radius: float = 8.0
) -> Float[Tensor, "B 1 {size} {size}"]:
    """Where the hand is, 1, judged from its joints: bones ``radius`` px (at 256 px) thick to each side, and the palm.

    The union is closed (dilated, then eroded) with a square of 5 px at 256 px. The mask of PG2's loss, as converted
    for hands by MM-Hand's authors; also that of mask-SSIM.
    """
    parent, child = (list(column) for column in zip(*BONES, strict=True))
    start, end = keypoints_px[:, parent], keypoints_px[:, child]
    along = end - start
    length2 = along.square().sum(-1).clamp_min(1e-6)[..., None, None]
    offset = _pixels(size, keypoints_px) - start[:, :, None, None]
    share = (offset * along[:, :, None, None]).sum(-1) / length2
    distance2 = (offset - share.clamp(0, 1)[..., None] * along[:, :, None, None]).square().sum(-1)
    bones = (distance2 <= (radius * size / REFERENCE_SIZE) ** 2).any(1, keepdim=True)
    mask = (bones | _polygon(keypoints_px[:, list(PALM)], size)).to(keypoints_px.dtype)
    reach = round(2 * size / REFERENCE_SIZE)
    dilated = F.max_pool2d(mask, 2 * reach + 1, stride=1, padding=reach)
    return -F.max_pool2d(-dilated, 2 * reach + 1, stride=1, padding=reach)


def part_masks(keypoints_px: Float[Tensor, "B 21 2"], size: int) -> Float[Tensor, "B 16 {size} {size}"]:
    """1 where a part of the target may be: the whole image for the palm, a rectangle for each phalanx, else 0.

    Pose-GAN's limbs on a hand: rectangles as wide as :data:`HALF_WIDTH` says to each side.
    """
    start, end = _phalanges(keypoints_px)
    along = end - start
    length = along.norm(dim=-1).clamp_min(1e-6)
    direction = along / length[..., None]
    offset = _pixels(size, keypoints_px) - start[:, :, None, None]
    lengthwise = (offset * direction[:, :, None, None]).sum(-1) / length[..., None, None]
    across = (offset * _turned(direction)[:, :, None, None]).sum(-1).abs()
    last = [1 + (_BEYOND_TIP if child in TIPS else _BEYOND) for _, child in PHALANGES]
    inside = (lengthwise >= -_BEYOND) & (lengthwise <= lengthwise.new_tensor(last)[:, None, None])
    rectangles = inside & (across <= _half_width(keypoints_px)[:, None, None, None])
    palm = torch.isfinite(keypoints_px[:, list(PALM)]).all(-1).all(-1)[:, None, None, None]
    return torch.cat([palm.expand(-1, 1, size, size), rectangles], dim=1).to(keypoints_px.dtype)


def part_transforms(
    target_px: Float[Tensor, "B 21 2"], source_px: Float[Tensor, "B 21 2"], size: int
) -> Float[Tensor, "B 16 2 3"]:
    """Affine maps from the pixels of each target part to those of the source part, as :func:`warp_parts` reads them.

    The palm's is the least-squares map of its six corners, a phalanx's that of its rectangle. A part that is unknown
    in either hand, or has no area, gets a translation out of view.
    """
    corners = list(PALM)
    palm = _fit(target_px[:, corners], source_px[:, corners])
    from_start, from_end = _phalanges(target_px)
    to_start, to_end = _phalanges(source_px)
    along, wanted = from_end - from_start, to_end - to_start
    length = along.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    across, wanted_across = _turned(along / length), _turned(F.normalize(wanted, dim=-1))
    # Along the bone by the ratio of its lengths, across by that of the rectangles' widths.
    widen = (_half_width(source_px) / _half_width(target_px))[:, None, None, None]
    linear = _outer(wanted / length, along / length) + widen * _outer(wanted_across, across)
    shift = to_start - (linear @ from_start[..., None])[..., 0]
    phalanges = torch.cat([linear, shift[..., None]], dim=-1)
    maps = torch.cat([palm[:, None], phalanges], dim=1)
    away = maps.new_tensor([[1.0, 0.0, 4.0 * size], [0.0, 1.0, 4.0 * size]])
    known = torch.isfinite(maps).all(-1).all(-1) & (torch.linalg.det(maps[..., :2].float()).abs() > 1e-4)
    return torch.where(known[..., None, None], maps, away)


def _pixels(size: int, like: Tensor) -> Tensor:
    """(S, S, 2) u, v of each pixel."""
    axis = torch.arange(size, device=like.device, dtype=like.dtype)
    v, u = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([u, v], dim=-1)


def _phalanges(keypoints_px: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 15, 2) starts and ends."""
    parent, child = (list(column) for column in zip(*PHALANGES, strict=True))
    return keypoints_px[:, parent], keypoints_px[:, child]


def _half_width(keypoints_px: Tensor) -> Tensor:
    """(B,) px; at least 1, as a palm that points at the camera has no length. NaN where that is unknown."""
    return (HALF_WIDTH * (keypoints_px[:, MIDDLE_MCP] - keypoints_px[:, WRIST]).norm(dim=-1)).clamp_min(1.0)


def _turned(direction: Tensor) -> Tensor:
    return torch.stack([-direction[..., 1], direction[..., 0]], dim=-1)


def _outer(column: Tensor, row: Tensor) -> Tensor:
    return column[..., :, None] * row[..., None, :]


def _fit(points: Tensor, images: Tensor) -> Tensor:
    """(B, 2, 3) least-squares affine map of points (B, P, 2) to images (B, P, 2); not finite where there is none."""
    centre, goal = points.mean(1), images.mean(1)
    spread, moved = points - centre[:, None], images - goal[:, None]
    covariance = spread.mT @ spread
    a, b, d = covariance[:, 0, 0], covariance[:, 0, 1], covariance[:, 1, 1]
    area = a * d - b * b
    area = torch.where(area > 1e-6 * (a + d).square(), area, torch.nan)
    inverse = torch.stack([torch.stack([d, -b], dim=-1), torch.stack([-b, a], dim=-1)], dim=-2) / area[:, None, None]
    linear = (moved.mT @ spread) @ inverse
    return torch.cat([linear, (goal - (linear @ centre[..., None])[..., 0])[..., None]], dim=-1)


def _polygon(corners: Tensor, size: int) -> Tensor:
    """(B, 1, S, S) bool: inside the polygon of corners (B, P, 2), where a ray to the right leaves it an odd number of
    times; nowhere if a corner is NaN."""
    pixel = _pixels(size, corners)
    u, v = pixel[..., 0], pixel[..., 1]
    start, end = corners[..., None, None], corners.roll(-1, dims=1)[..., None, None]
    crossed = (start[:, :, 1] > v) != (end[:, :, 1] > v)
    rise = end[:, :, 1] - start[:, :, 1]
    at = start[:, :, 0] + (v - start[:, :, 1]) / torch.where(rise == 0, 1.0, rise) * (end[:, :, 0] - start[:, :, 0])
    odd = (crossed & (u < at)).sum(1, keepdim=True) % 2 == 1
    return odd & torch.isfinite(corners).all(-1).all(-1)[:, None, None, None]
