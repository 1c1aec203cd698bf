"""Depth maps as networks see them: a map drawn from joints, and the ranges published systems bring depth into.

Everywhere depth is camera z in mm, NaN where there is none (background, hole). Tensors in and out, on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor

from handsynth.conditioning.capsules import first_hit
from handsynth.hand.joints import BASES, BONES, INDEX, MIDDLE_MCP, WRIST, J

ADULT_PALM_MM = 95.0
"""Palm length (wrist to middle MCP) of an adult hand: the scale of a hand whose own is unknown."""

# Half thickness of the flesh around each joint, as a share of the palm length: our reading of adult proportions.
_LONG_FINGER = (0.120, 0.105, 0.090, 0.078)
_RADII = (
    0.200,  # wrist
    *(0.152, 0.125, 0.113, 0.095),  # thumb
    *(_LONG_FINGER * 3),  # index, middle, ring
    *(0.87 * radius for radius in _LONG_FINGER),  # pinky
)
_KNUCKLES = tuple(pairwise(BASES))
_WEB = (INDEX["thumb_mcp"], INDEX["index_mcp"])
_SEGMENTS = (*BONES, *_KNUCKLES, _WEB)
_TRIANGLES = (*((WRIST, *pair) for pair in _KNUCKLES), (INDEX["thumb_cmc"], *_WEB))
"""The palm as a fan around the wrist, and the web between thumb and index."""

_HELD_ON_CPU, _HELD_ON_GPU = 1 << 18, 1 << 24  # values per temporary: the first fits a core's cache


@torch.no_grad()
def capsule_depth(
    joints_mm: Float[Tensor, "B 21 3"], camera: Float[Tensor, "B 4"], size: int
) -> Float[Tensor, "B 1 {size} {size}"]:
    """Depth map of a hand drawn as round cones along its 20 bones and rounded triangles over its palm.

    The surface is exact (``conditioning/capsules.py``); a 64 x 64 map takes about 3 ms on one core. Radii are fixed
    shares of the hand's own palm length, of :data:`ADULT_PALM_MM` where that is unknown.

    Args:
        joints_mm: (B, 21, 3) in the camera frame; parts with a NaN joint are left out, and so is what lies behind the
            camera.
        camera: (B, 4) fx, fy, cx, cy in px of the map, pixel centres at integers, no distortion.
        size: side S of the map in px.

    Returns:
        (B, 1, S, S) camera z in mm, NaN where no part is met.
    """
    palm = (joints_mm[:, MIDDLE_MCP] - joints_mm[:, WRIST]).norm(dim=-1)
    palm = torch.where(torch.isfinite(palm), palm, ADULT_PALM_MM)
    radii = palm[:, None] * joints_mm.new_tensor(_RADII)
    primitives = J + len(_SEGMENTS) + 2 * len(_TRIANGLES)
    held = _HELD_ON_CPU if joints_mm.device.type == "cpu" else _HELD_ON_GPU
    hands = max(1, held // (primitives * size * size))
    rows = max(1, min(size, held // (primitives * size)))
    depth = joints_mm.new_empty(len(joints_mm), 1, size, size)
    pixel = torch.arange(size, device=joints_mm.device, dtype=joints_mm.dtype)
    for first in range(0, len(joints_mm), hands):
        part = slice(first, first + hands)
        fx, fy, cx, cy = camera[part, :, None].unbind(1)
        x, y = (pixel - cx) / fx, (pixel - cy) / fy
        for top in range(0, size, rows):
            band = y[:, top : top + rows]
            grid = x[:, None].expand(-1, band.shape[1], -1), band[..., None].expand(-1, -1, size)
            directions = torch.stack([*grid, torch.ones_like(grid[0])], dim=1).flatten(2)
            z = first_hit(directions, joints_mm[part], radii[part], _SEGMENTS, _TRIANGLES)
            depth[part, 0, top : top + rows] = z.unflatten(1, (-1, size))
    return depth


# --- ranges -------------------------------------------------------------------------------------------------------


def signed_700(depth_mm: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """(d / 700 - 0.5) / 0.5, unbounded above: MM-Hand's code. Background keeps its raw value; NaN, read as 0, is -1."""
    return torch.nan_to_num(depth_mm, nan=0.0) / 350.0 - 1.0


def inverted_700(depth_mm: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """max(0, (700 - d) / 700), near is high: the target of MM-Hand's MSRA guide. NaN gives 0, as 700 mm does."""
    return torch.nan_to_num((700.0 - depth_mm) / 700.0, nan=0.0).clamp_min(0.0)


def near_high(depth_mm: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """(d_max - d) / (d_max - d_min) over what is known of each map, in [0, 1]; NaN gives 0 (Cai et al. eq. 4).

    The map must hold the hand alone; a map of one depth gives 0.
    """
    near, far = known_range(depth_mm)
    return torch.nan_to_num((far - depth_mm) / (far - near).clamp_min(_LEAST_RANGE_MM), nan=0.0)


def near_high_joints(
    relative_depth: Float[Tensor, "B 21"],
    bone_mm: Float[Tensor, " B"],
    root_mm: Float[Tensor, " B"],
    depth_mm: Float[Tensor, "B 1 H W"],
) -> Float[Tensor, "B 21"]:
    """Joint depths on the scale of :func:`near_high` of the same map (Cai et al. eq. 5).

    ``relative_depth`` is (z - z_root) / bone; ``bone_mm`` and ``root_mm`` are the scale bone's length and the root's z.
    """
    near, far = (value.flatten(1) for value in known_range(depth_mm))
    z = relative_depth * bone_mm[:, None] + root_mm[:, None]
    return (far - z) / (far - near).clamp_min(_LEAST_RANGE_MM)


def min_max(depth_mm: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """(d - d_min) / (d_max - d_min), near is 0 (DGGAN eq. 6, mended): over the whole map, background depth included.

    NaN takes the far end, 1, so that a hole is never nearer than the hand.
    """
    near, far = known_range(depth_mm)
    return torch.nan_to_num((depth_mm - near) / (far - near).clamp_min(_LEAST_RANGE_MM), nan=1.0)


def cube(
    depth_mm: Float[Tensor, "B 1 H W"], centre_mm: Float[Tensor, " B"] | None = None, side_mm: float = 250.0
) -> Float[Tensor, "B 1 H W"]:
    """Crossing Nets' range: the nearest known pixel -1, background and the deepest pixel +1 (the code's own defect).

    Depth inside a cube of ``side_mm`` around ``centre_mm`` (B,), by default the mean known depth, becomes
    v in [0.04, 1.04]; in front of it is clamped, behind it is background; the result is 2 (v - v_min) / v_max - 1.
    """
    if centre_mm is None:
        centre = depth_mm.flatten(1).nanmean(1)[:, None, None, None]
    else:
        centre = centre_mm[:, None, None, None]
    value = ((depth_mm - centre) / side_mm + 0.54).clamp_min(0.04)
    value = torch.where(value <= 1.04 + 1e-6, value, torch.nan)
    least, most = known_range(value)
    signed = 2 * (value - least) / most - 1
    return torch.where(value < most, signed, 1.0)


def mean_centred(depth_mm: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """HandRGBD's target: (d - mean of the hand) / 200, background 1; about [-1, 1], not clipped.

    The hand is what lies within 300 mm of the nearest known pixel; NaN and the rest are background.
    """
    near, _ = known_range(depth_mm)
    hand = depth_mm < near + 300.0
    mean = torch.where(hand, depth_mm, torch.nan).flatten(1).nanmean(1)[:, None, None, None]
    return torch.where(hand, (depth_mm - mean) / 200.0, 1.0)


def hand_relative(
    depth_mm: Float[Tensor, "B 1 H W"], joints_mm: Float[Tensor, "B 21 3"] | None = None, margin_mm: float = 20.0
) -> Float[Tensor, "B 1 H W"]:
    """Our recommended range: depth within the hand's own z range in (-1, 1), near is low, background fixed at 1.

    Args:
        depth_mm: (B, 1, H, W).
        joints_mm: (B, 21, 3); their z range is the hand's. None for a map that holds the hand alone: its own range.
        margin_mm: flesh before and behind the joints; it also keeps the hand apart from the background.

    Returns:
        (B, 1, H, W) in [-1, 1]; what lies before the range is -1, what lies behind it is 1, NaN is 1.
    """
    near, far = known_range(depth_mm if joints_mm is None else joints_mm[:, None, :, 2:])
    middle, half = (far + near) / 2, (far - near) / 2 + margin_mm
    return torch.nan_to_num((depth_mm - middle) / half, nan=1.0).clamp(-1.0, 1.0)


# --- and back -----------------------------------------------------------------------------------------------------


def mm_from_hand_relative(
    values: Float[Tensor, "B 1 H W"], joints_mm: Float[Tensor, "B 21 3"], margin_mm: float = 20.0
) -> Float[Tensor, "B 1 H W"]:
    """Depth in mm from what :func:`hand_relative` made of it; -1 is the near end of the range."""
    near, far = known_range(joints_mm[:, None, :, 2:])
    return values * ((far - near) / 2 + margin_mm) + (far + near) / 2


def mm_from_inverted_700(values: Float[Tensor, "B 1 H W"]) -> Float[Tensor, "B 1 H W"]:
    """Depth in mm from what :func:`inverted_700` made of it; NaN from 695 mm on, too near to the background's 0."""
    depth_mm = 700.0 - 700.0 * values
    return torch.where(depth_mm < 695.0, depth_mm, torch.nan)


def hand_alone(
    depth_mm: Float[Tensor, "B 1 H W"], joints_mm: Float[Tensor, "B 21 3"], before_mm: float, behind_mm: float
) -> Float[Tensor, "B 1 H W"]:
    """The map with NaN where it lies farther before or behind the joints' z range than this; all NaN without joints."""
    near, far = known_range(joints_mm[:, None, :, 2:])
    return torch.where((depth_mm >= near - before_mm) & (depth_mm <= far + behind_mm), depth_mm, torch.nan)


RANGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "signed_700": signed_700,
    "inverted_700": inverted_700,
    "near_high": near_high,
    "min_max": min_max,
    "cube": cube,
    "mean_centred": mean_centred,
    "hand_relative": hand_relative,
}
"""Depth in mm (B, 1, H, W) with NaN to what a network sees, by name; a map with nothing known is all background."""

_LEAST_RANGE_MM = 1e-6


def known_range(values: Float[Tensor, "B 1 H W"]) -> tuple[Float[Tensor, "B 1 1 1"], Float[Tensor, "B 1 1 1"]]:
    """Least and largest known value of each map, (B, 1, 1, 1) each; NaN where nothing is known."""
    known = torch.isfinite(values)
    least = torch.where(known, values, torch.inf).amin((1, 2, 3), keepdim=True)
    most = torch.where(known, values, -torch.inf).amax((1, 2, 3), keepdim=True)
    empty = ~known.any(dim=-1).any(dim=-1)[..., None, None]
    return least.masked_fill(empty, torch.nan), most.masked_fill(empty, torch.nan)
