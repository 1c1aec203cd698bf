"""Sphere tracing: the exact depth, normal and part that each pixel of a camera sees of one hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from handsynth.hand.camera import Camera
from handsynth.simulator.surface import Surface

HIT_MM = 0.01
"""A ray has arrived when it is this near to the surface."""
_GRAZE_MM = 0.05  # what a ray that runs out of steps may still be away, at the silhouette
_BLOCK = 6  # pixels on a side that share the first, coarse stretch of their rays
_STEPS = 256


@dataclass(frozen=True)
class View:
    """What M pixels of a camera see of the hand.

    Attributes:
        rows, columns: (M,) int64 pixel places.
        points: (M, 3) surface points relative to ``Surface.center_mm``, camera axes.
        z_mm: (M,) camera z.
        normals: (M, 3) outward.
        parts: (M,) uint8 mask codes.
    """

    rows: torch.Tensor
    columns: torch.Tensor
    points: torch.Tensor
    z_mm: torch.Tensor
    normals: torch.Tensor
    parts: torch.Tensor

    def depth_mm(self, height: int, width: int) -> np.ndarray:
        """(H, W) float32 camera z; NaN where the hand is not seen."""
        out = np.full((height, width), np.nan, dtype=np.float32)
        out[self.rows.numpy(), self.columns.numpy()] = self.z_mm.numpy()
        return out

    def mask(self, height: int, width: int) -> np.ndarray:
        """(H, W) uint8 mask codes."""
        out = np.zeros((height, width), dtype=np.uint8)
        out[self.rows.numpy(), self.columns.numpy()] = self.parts.numpy()
        return out


@torch.no_grad()
def trace(surface: Surface, camera: Camera) -> View:
    """Trace the pixels of an undistorted camera, whose frame the surface is in, against the surface."""
    low, high, near, far = _bounds(surface, camera)
    block_rows = torch.arange(low[1], high[1] + 1, _BLOCK)
    block_columns = torch.arange(low[0], high[0] + 1, _BLOCK)
    v, u = (grid.reshape(-1) for grid in torch.meshgrid(block_rows, block_columns, indexing="ij"))
    middle = (_BLOCK - 1) / 2
    # Within a block's cone no pixel's ray can reach the surface before the block's own ray is this near to it.
    spread = float(np.hypot(middle / camera.fx, middle / camera.fy))
    begun, reached = _march(surface, _rays(camera, v + middle, u + middle), torch.full(v.shape, near), far, spread)
    v, u, begun = v[reached], u[reached], begun[reached]
    inner_v, inner_u = torch.meshgrid(torch.arange(_BLOCK), torch.arange(_BLOCK), indexing="ij")
    v = (v[:, None] + inner_v.reshape(1, -1)).reshape(-1)
    u = (u[:, None] + inner_u.reshape(1, -1)).reshape(-1)
    begun = begun.repeat_interleave(_BLOCK * _BLOCK)
    inside = (v <= high[1]) & (u <= high[0])
    v, u, begun = v[inside], u[inside], begun[inside]
    rays = _rays(camera, v, u)
    z, hit = _march(surface, rays, begun, far, 0.0)
    v, u, rays, z = v[hit], u[hit], rays[hit], z[hit]
    points = _at(surface, rays, z)
    normals = surface.normals(points)
    parts = surface.parts(points)
    return View(v, u, points, z, normals, parts)


def _bounds(surface: Surface, camera: Camera) -> tuple[tuple[int, int], tuple[int, int], float, float]:
    """Pixel box (inclusive) and range of z that hold the hand; conservative, as seen through the camera."""
    reach = surface.cones.radii_mm.max(1, keepdims=True) + 8.0  # blends swell the surface by a few mm
    ends = surface.cones.ends_mm.reshape(-1, 3)
    reach = np.repeat(reach, 2, axis=1).reshape(-1, 1)
    near, far = max(float((ends[:, 2:] - reach).min()), 20.0), float((ends[:, 2:] + reach).max())
    corners = ends[:, None] + reach[:, None] * np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(1, 8, 3)
    corners = corners.reshape(-1, 3)
    if (corners[:, 2] < 20).any():
        # A part reaches behind the camera, so its outline has no finite box.
        return (0, 0), (camera.width - 1, camera.height - 1), near, far
    pixels = camera.project(corners)
    low = np.clip(np.floor(pixels.min(0)), 0, None).astype(int)
    high = np.minimum(np.ceil(pixels.max(0)).astype(int), [camera.width - 1, camera.height - 1])
    return (int(low[0]), int(low[1])), (int(high[0]), int(high[1])), near, far


def _rays(camera: Camera, v: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """(R, 3) directions with z = 1, so that a ray's parameter is camera z."""
    x, y = (u.double() - camera.cx) / camera.fx, (v.double() - camera.cy) / camera.fy
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).float()


def _at(surface: Surface, rays: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(torch.as_tensor(-surface.center_mm, dtype=rays.dtype), rays, z[:, None])


def _march(
    surface: Surface, rays: torch.Tensor, begin: torch.Tensor, far: float, spread: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advance rays from z ``begin`` until the surface is nearer than ``HIT_MM`` plus the radius of their cone.

    Returns:
        z (R,) and whether the surface was reached (R,). A cone's z is the last one that is free for all of its rays.
    """
    z_out, reached = begin.clone(), torch.zeros(len(rays), dtype=torch.bool)
    last = _GRAZE_MM if spread == 0 else np.inf  # a cone that is still under way may hold rays that arrive
    z_out, reached = begin.clone(), torch.zeros(len(rays), dtype=torch.bool)
    active, ray, z, norm = torch.arange(len(rays)), rays, begin, torch.linalg.vector_norm(rays, dim=-1)
    for step in range(_STEPS):
        distance = surface.distance(_at(surface, ray, z))
        free = distance - spread * z
        arrived = free < (HIT_MM if step + 1 < _STEPS else last)
        z_out[active[arrived]] = z[arrived]
        reached[active[arrived]] = True
        # (norm + spread): while a cone advances its radius grows by spread per unit of z.
        z = z + free / (norm + spread)
        keep = ~arrived & (z < far)
        active, ray, z, norm = active[keep], ray[keep], z[keep], norm[keep]
        if len(active) == 0:
            break
    return z_out, reached
