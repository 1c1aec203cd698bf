"""The same hand as triangles, for any 3-D tool: marching cubes over the signed distance field, written by trimesh."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.joints import OTHER_BODY, PALM_PART
from handsynth.simulator import field
from handsynth.simulator.compile import compiled
from handsynth.simulator.surface import Surface

ENDINGS = (".glb", ".obj", ".off", ".ply", ".stl")
_CELLS = 8  # grid points on a side of the cubes that share a list of cones
_MARGIN_MM = 12.0
_FLAT_MM = 1e-3  # vertices this near to the cut through the arm lie on it


@dataclass(frozen=True)
class Mesh:
    """V vertices and F triangles of one closed hand.

    Attributes:
        vertices_mm: (V, 3) float64 in the frame of the surface.
        faces: (F, 3) int64, counter-clockwise seen from outside.
        normals: (V, 3) outward.
        parts: (V,) uint8 mask codes of ``HandSample``.
    """

    vertices_mm: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    parts: np.ndarray


def hand_mesh(surface: Surface, spacing_mm: float = 1.0, arm_mm: float = 80.0) -> Mesh:
    """Triangles whose corners lie on the skin to within a few hundredths of the spacing.

    Args:
        surface: the hand, in any frame.
        spacing_mm: side of the grid's cells, > 0; the number of triangles goes with its inverse square.
        arm_mm: the arm is cut off this far behind the wrist, >= 0.

    Raises:
        UsageError: the spacing or the arm's length is out of range.
    """
    if not spacing_mm > 0 or not arm_mm >= 0:
        raise UsageError(sentence("spacing > 0 and arm >= 0 mm", f"{spacing_mm} and {arm_mm}", "the hand's mesh"))
    from skimage.measure import marching_cubes

    cones = surface.cones
    arm = cones.ends_mm[-2:, 1].mean(0) - cones.ends_mm[-2:, 0].mean(0)
    arm /= np.linalg.norm(arm)
    limit = float(cones.wrist_mm @ arm) + arm_mm
    reach = cones.radii_mm.max() + _MARGIN_MM + (cones.sleeve.thickness_mm if cones.sleeve else 0.0)
    corners = np.concatenate([cones.ends_mm[:-2].reshape(-1, 3), cones.wrist_mm[None] + (arm_mm + reach) * arm])
    low, high = corners.min(0) - reach, corners.max(0) + reach
    shape = np.ceil((high - low) / spacing_mm).astype(int) + 1
    levels = np.empty(tuple(shape))
    _fill(surface.table, low, spacing_mm, levels)
    planes = [(low[axis] + spacing_mm * np.arange(shape[axis])) * arm[axis] for axis in range(3)]
    cut = planes[0][:, None, None] + planes[1][:, None] + planes[2] - limit
    np.maximum(levels, cut, out=levels)
    found, faces, _, _ = marching_cubes(levels, 0.0, gradient_direction="descent")
    vertices = low + spacing_mm * found.astype(np.float64)
    normals = surface.normals(vertices)
    normals[vertices @ arm > limit - _FLAT_MM] = arm
    return Mesh(vertices, faces.astype(np.int64), normals, surface.parts(vertices))


def write_mesh(mesh: Mesh, path: str | Path) -> Path:
    """Write a mesh, coloured by its parts, in the kind of file that the name's ending says.

    Raises:
        UsageError: the ending is not one of ``ENDINGS``.
    """
    import trimesh

    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(sentence(f"a name ending in one of {', '.join(ENDINGS)}", path.name, "the mesh to write"))
    body = trimesh.Trimesh(
        mesh.vertices_mm,
        mesh.faces,
        vertex_normals=mesh.normals,
        vertex_colors=part_colors(mesh.parts),
        process=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    body.export(path)
    return path


def part_colors(parts: np.ndarray) -> np.ndarray:
    """(..., 4) uint8 colours of mask codes: grey palm, brown arm, a hue per finger that lightens towards the tip."""
    hues = np.array([[230, 60, 60], [245, 170, 40], [65, 175, 70], [65, 145, 240], [175, 90, 225]])
    table = np.zeros((256, 4), dtype=np.uint8)
    table[:, 3] = 255
    table[PALM_PART], table[OTHER_BODY] = (150, 150, 150, 255), (120, 85, 60, 255)
    shade = np.array([0.6, 0.8, 1.0])
    table[PALM_PART + 1 : OTHER_BODY, :3] = np.round(hues[:, None] * shade[:, None]).reshape(-1, 3)
    return table[parts]


@compiled
def _fill(t: np.ndarray, low: np.ndarray, spacing: float, levels: np.ndarray) -> None:
    """Write the field at the points low + spacing (i, j, k) into levels (I, J, K), cube by cube."""
    rows, values = np.empty(t.shape[0], dtype=np.uint32), np.empty(t.shape[0])
    half = 0.5 * spacing * (_CELLS - 1)
    for i0 in range(0, levels.shape[0], _CELLS):
        for j0 in range(0, levels.shape[1], _CELLS):
            for k0 in range(0, levels.shape[2], _CELLS):
                x, y, z = low[0] + spacing * i0 + half, low[1] + spacing * j0 + half, low[2] + spacing * k0 + half
                radius = math.sqrt(3.0) * half
                trunk, count = field.near_rows(t, x, y, z, radius, rows)
                middle = field.distance(t, rows, trunk, count, values, x, y, z, field.STEEP)
                away = abs(middle) > radius + spacing  # then the skin does not pass here, and any value will do
                for i in range(i0, min(i0 + _CELLS, levels.shape[0])):
                    for j in range(j0, min(j0 + _CELLS, levels.shape[1])):
                        for k in range(k0, min(k0 + _CELLS, levels.shape[2])):
                            x, y, z = low[0] + spacing * i, low[1] + spacing * j, low[2] + spacing * k
                            if away:
                                levels[i, j, k] = middle
                                continue
                            levels[i, j, k] = field.distance(t, rows, trunk, count, values, x, y, z, field.EXACT)
