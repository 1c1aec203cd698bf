"""Where rays from a camera first meet a solid of round cones and rounded triangles: closed forms, no marching, no mesh.

The solid is the union of spheres whose centre and radius run linearly along each segment and over each triangle
(a sphere-swept skeleton). Its surface consists of spheres, cones and planes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def first_hit(
    rays: Float[Tensor, "B 3 R"],
    centres: Float[Tensor, "B V 3"],
    radii: Float[Tensor, "B V"],
    segments: Sequence[tuple[int, int]],
    triangles: Sequence[tuple[int, int, int]],
) -> Float[Tensor, "B R"]:
    """Least z > 0 at which the ray z (x, y, 1) from the camera meets the solid.

    Args:
        rays: (B, 3, R) directions (x, y, 1), so that the parameter along a ray is depth.
        centres, radii: V spheres per solid; what rests on a sphere with NaN in it is left out.
        segments: pairs of spheres joined by a round cone.
        triangles: triples of spheres joined by a rounded triangle, whose edges are among the segments.

    Returns:
        (B, R) in the unit of ``centres``; NaN where the ray meets nothing.
    """
    length2 = rays.square().sum(1, keepdim=True)
    spheres = _spheres(rays, length2, centres, radii)
    cones = _cones(rays, length2, centres, radii, segments)
    planes = _planes(rays, centres, radii, triangles)
    # Each candidate lies on or inside the solid and the true entry is one of them, so the least is the entry.
    nearest = torch.cat([spheres, cones, planes], dim=1).amin(1)
    return torch.where(torch.isinf(nearest), torch.nan, nearest)


def _spheres(rays: Tensor, length2: Tensor, centres: Tensor, radii: Tensor) -> Tensor:
    along = centres @ rays
    power = (centres.square().sum(-1) - radii.square())[..., None]
    root2 = along.square() - length2 * power
    # power / (along + root) is the nearer root without the cancellation of (along - root) / length2.
    z = power / (along + root2.clamp_min(0).sqrt())
    return torch.where((root2 >= 0) & (z > 0), z, torch.inf)


def _cones(
    rays: Tensor, length2: Tensor, centres: Tensor, radii: Tensor, segments: Sequence[tuple[int, int]]
) -> Tensor:
    """The part of each round cone's surface between its end spheres.

    A point p of the cone touches the sphere at share s = ((p - a) . axis - r_a taper) / (|axis|^2 - taper^2).
    """
    parent, child = zip(*segments, strict=True)
    a, r = centres[:, parent], radii[:, parent]
    axis, taper = centres[:, child] - a, r - radii[:, child]
    axis2 = axis.square().sum(-1)
    slant2 = axis2 - taper.square()
    shift = -(a * axis).sum(-1) - r * taper  # of the camera, so that s = (shift + z axis . ray) / slant2
    # (slant2 |p - a|^2 - ((p - a) . axis)^2 + ...) = quadratic z^2 + 2 half z + constant is 0 on the cone.
    constant = slant2 * (a.square().sum(-1) - r.square()) - shift.square()
    per_z = axis @ rays
    half = -slant2[..., None] * (a @ rays) - shift[..., None] * per_z
    quadratic = slant2[..., None] * length2 - per_z.square()
    root2 = half.square() - quadratic * constant[..., None]
    z = constant[..., None] / (root2.clamp_min(0).sqrt() - half)
    s = (shift[..., None] + z * per_z) / slant2[..., None]
    met = (root2 >= 0) & (z > 0) & (s >= 0) & (s <= 1) & (slant2 > 0)[..., None]
    return torch.where(met, z, torch.inf)


def _planes(rays: Tensor, centres: Tensor, radii: Tensor, triangles: Sequence[tuple[int, int, int]]) -> Tensor:
    """Both faces of each rounded triangle: the flat triangles that touch its three corner spheres."""
    corner = [list(column) for column in zip(*triangles, strict=True)]
    v0, v1, v2 = (centres[:, index] for index in corner)
    r0, r1, r2 = (radii[:, index] for index in corner)
    e1, e2 = v1 - v0, v2 - v0
    across = torch.linalg.cross(e1, e2)
    across2 = across.square().sum(-1, keepdim=True)
    # The normal n has n . e1 = r0 - r1 and n . e2 = r0 - r2; its rest is along +-across.
    inside = torch.linalg.cross((r0 - r1)[..., None] * e2 - (r0 - r2)[..., None] * e1, across) / across2
    out = ((1 - inside.square().sum(-1, keepdim=True)) / across2).sqrt() * across  # NaN where a sphere holds the rest
    normal = torch.cat([inside + out, inside - out], dim=1)

    def touched(v: Tensor, r: Tensor) -> Tensor:
        return torch.cat([v, v], dim=1) + torch.cat([r, r], dim=1)[..., None] * normal

    w0, w1, w2 = touched(v0, r0), touched(v1, r1), touched(v2, r2)
    sides = [torch.linalg.cross(p, q) @ rays for p, q in ((w0, w1), (w1, w2), (w2, w0))]
    z = (w0 * normal).sum(-1, keepdim=True) / (normal @ rays)
    within = ((sides[0] >= 0) & (sides[1] >= 0) & (sides[2] >= 0)) | (
        (sides[0] <= 0) & (sides[1] <= 0) & (sides[2] <= 0)
    )
    return torch.where(within & (z > 0), z, torch.inf)
