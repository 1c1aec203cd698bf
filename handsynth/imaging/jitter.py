"""Camera moves and colour changes of a batch of images, mostly random; joints, keypoints and cameras follow.

The batched torch counterpart of ``imaging/warp.py``: turning the camera about its optical axis
turns the joints by Rz exactly as ``warp.rotate`` does; zoom and shift change the camera alone, so joints stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from handsynth.runtime.settings import Settings


class JitterSettings(Settings, frozen=True, kw_only=True):
    """How far images move: each number is drawn evenly from minus to plus its bound; 0 switches it off."""

    degrees: float = 30.0
    """Turn about the optical axis."""
    zoom: float = 0.15
    """Change of the focal lengths, on a logarithmic scale: 0.15 means a factor of 0.86 to 1.16."""
    shift: float = 0.08
    """Of the image, as a share of its side, in x and in y."""
    brightness: float = 0.2
    """Change of a factor on all channels."""
    contrast: float = 0.2
    """Change of a factor on the distance from the image's mean."""
    color: float = 0.1
    """Change of a factor on each channel apart."""


@dataclass(frozen=True)
class Moved:
    """A batch after jitter: shapes, units and unknown values as they came."""

    rgb: Tensor
    keypoints_px: Tensor
    joints_mm: Tensor
    camera: Tensor


def jitter(
    rgb: Tensor,
    keypoints_px: Tensor,
    joints_mm: Tensor,
    camera: Tensor,
    generator: torch.Generator,
    settings: JitterSettings,
) -> Moved:
    """Turn, zoom, shift and recolour each image by numbers of its own.

    Args:
        rgb: (B, 3, S, S) in [0, 1]; sampled bilinearly, its border repeated outside.
        keypoints_px: (B, 21, 2), pixel centres at integers; NaN stays NaN.
        joints_mm: (B, 21, 3) in the camera frame; NaN stays NaN.
        camera: (B, 4) fx, fy, cx, cy.
        generator: on the CPU, so that every device sees the same numbers; advanced by 9 B draws.
        settings: bounds.
    """
    count = len(rgb)
    draws = (2 * torch.rand((9, count), generator=generator, dtype=torch.float64) - 1).to(rgb.device, rgb.dtype)
    turn = torch.deg2rad(settings.degrees * draws[0])
    zoom = torch.exp(settings.zoom * draws[1])
    shift = settings.shift * rgb.shape[-1] * draws[2:4].T
    rgb, keypoints_px, joints_mm, camera = _move(rgb, keypoints_px, joints_mm, camera, turn, zoom, shift)
    return Moved(_recolor(rgb, draws[4:], settings), keypoints_px, joints_mm, camera)


def turned(rgb: Tensor, camera: Tensor, degrees: float) -> Tensor:
    """Images as if the camera were turned about its optical axis, with the image's middle where it was.

    Args:
        rgb: (B, 3, S, S); sampled bilinearly, its border repeated outside.
        camera: (B, 4) fx, fy, cx, cy.
        degrees: by which what is seen turns from the x axis to the y axis.
    """
    count = len(rgb)
    nowhere, turn = rgb.new_zeros(count, 1, 3), torch.deg2rad(rgb.new_full((count,), degrees))
    return _move(rgb, nowhere[..., :2], nowhere, camera, turn, torch.ones_like(turn), nowhere[:, 0, :2])[0]


def turned_points(points_px: Tensor, camera: Tensor, degrees: float, size: int) -> Tensor:
    """Where points (B, J, 2) of images with sides of ``size`` px lie after :func:`turned`; ``-degrees`` leads back."""
    turn = torch.deg2rad(points_px.new_full((len(points_px),), degrees))
    middle = (size - 1) / 2
    return (points_px - middle) @ _seen(_rotation(turn), camera[:, :2]).transpose(1, 2) + middle


def _rotation(turn: Tensor) -> Tensor:
    """(B, 2, 2) by angles (B,) in radians."""
    cosine, sine = turn.cos(), turn.sin()
    return torch.stack([torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)], -2)


def _seen(rotation: Tensor, focal: Tensor) -> Tensor:
    """(B, 2, 2) what a rotation is in pixels, which need not be square."""
    return rotation * focal[:, :, None] / focal[:, None, :]


def _move(
    rgb: Tensor, keypoints: Tensor, joints: Tensor, camera: Tensor, turn: Tensor, zoom: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pixels move by u' = A u + b with A = zoom F Rz F^-1, where F = diag(fx, fy); the image centre moves by shift."""
    side = rgb.shape[-1]
    focal, principal = camera[:, :2], camera[:, 2:]
    rotation = _rotation(turn)
    linear = zoom[:, None, None] * _seen(rotation, focal)
    center = torch.full_like(principal, (side - 1) / 2)
    offset = center + shift - _times(linear, center)

    moved_joints = torch.cat([joints[..., :2] @ rotation.transpose(1, 2), joints[..., 2:]], dim=-1)
    moved_keypoints = keypoints @ linear.transpose(1, 2) + offset[:, None]
    moved_camera = torch.cat([zoom[:, None] * focal, _times(linear, principal) + offset], dim=-1)

    # affine_grid wants the way back, in coordinates whose -1 and 1 are the outer edges of the border pixels.
    back = torch.linalg.inv(linear)
    start = (2 * _times(back, center - offset) + 1) / side - 1
    theta = torch.cat([back, start[..., None]], dim=-1)
    grid = F.affine_grid(theta, list(rgb.shape), align_corners=False)
    moved_rgb = F.grid_sample(rgb, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return moved_rgb, moved_keypoints, moved_joints, moved_camera


def _recolor(rgb: Tensor, draws: Tensor, settings: JitterSettings) -> Tensor:
    brightness, contrast = 1 + settings.brightness * draws[0], 1 + settings.contrast * draws[1]
    gain = brightness[:, None] * (1 + settings.color * draws[2:5].T)
    mean = rgb.mean((1, 2, 3), keepdim=True)
    return (((rgb - mean) * contrast[:, None, None, None] + mean) * gain[:, :, None, None]).clamp(0, 1)


def _times(matrices: Tensor, vectors: Tensor) -> Tensor:
    """(B, 2, 2) times (B, 2)."""
    return (matrices @ vectors[..., None])[..., 0]
