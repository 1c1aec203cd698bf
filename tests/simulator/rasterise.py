"""A plain z-buffer of triangles: the oracle of depth, and the peer of the tracer's benchmark."""

from __future__ import annotations

import numba
import numpy as np

from handsynth.hand.camera import Camera


def triangle_depth_mm(camera: Camera, vertices_mm: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(H, W) float64 camera z of the nearest triangle at each pixel's centre; NaN where there is none.

    Args:
        camera: without distortion.
        vertices_mm: (V, 3) camera frame; triangles with a corner behind the camera are left out.
        faces: (F, 3).
    """
    depth = np.full((camera.height, camera.width), np.inf)
    with np.errstate(invalid="ignore"):
        pixels = camera.project(vertices_mm)
    _fill(pixels, np.ascontiguousarray(vertices_mm[:, 2]), faces, depth)
    return np.where(np.isinf(depth), np.nan, depth)


@numba.njit(cache=True, nogil=True)
def _fill(pixels: np.ndarray, z: np.ndarray, faces: np.ndarray, depth: np.ndarray) -> None:
    height, width = depth.shape
    for face in range(len(faces)):
        a, b, c = faces[face]
        if min(z[a], z[b], z[c]) <= 0:
            continue
        ax, ay, bx, by, cx, cy = pixels[a, 0], pixels[a, 1], pixels[b, 0], pixels[b, 1], pixels[c, 0], pixels[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        left, right = max(0, int(np.ceil(min(ax, bx, cx)))), min(width - 1, int(np.floor(max(ax, bx, cx))))
        top, bottom = max(0, int(np.ceil(min(ay, by, cy)))), min(height - 1, int(np.floor(max(ay, by, cy))))
        for v in range(top, bottom + 1):
            for u in range(left, right + 1):
                wb = ((u - ax) * (cy - ay) - (v - ay) * (cx - ax)) / area
                wc = ((bx - ax) * (v - ay) - (by - ay) * (u - ax)) / area
                wa = 1 - wb - wc
                if wa >= 0 and wb >= 0 and wc >= 0:
                    # The inverse of z is linear in the picture.
                    depth[v, u] = min(depth[v, u], 1 / (wa / z[a] + wb / z[b] + wc / z[c]))
