"""What one camera saw, as another camera sees it: depth across a baseline, whole samples between cameras at one place.

Registered depth is a forward warp with a z-buffer: every depth pixel becomes a point, the nearest point wins the
colour pixel it falls on. Pixel centres lie at integers.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import Box

_SPLAT = 1.05
"""Splats are a twentieth wider than a pixel: turned and sloping surfaces spread a little further."""
_STAY = RigidTransform.of(np.eye(3), np.zeros(3))
_METRES = 1000.0 * np.eye(3)


def register_depth(
    depth_mm: np.ndarray,
    source: Camera,
    target: Camera,
    target_from_source: RigidTransform,
    window: Box | None = None,
) -> np.ndarray:
    """Depth of one camera warped into another.

    Each source pixel covers a small square of the surface, so it is drawn as large as it appears in the target
    (splatting): a target with more pixels per angle keeps no holes on a smooth surface.

    Args:
        depth_mm: (H, W) float32, z of the source camera; NaN = no measurement.
        window: the part of the target that the caller will look at; pixels outside may be left NaN, which saves time.

    Returns:
        (target.height, target.width) float32, z of the target camera; NaN where no source pixel falls.
    """
    known = np.isfinite(depth_mm) & (depth_mm > 0)
    if window is not None and known.any():
        seen = _seen_from(depth_mm[known], source, target, target_from_source, window)
        known[: seen[0]], known[seen[1] :], known[:, : seen[2]], known[:, seen[3] :] = False, False, False, False
    v, u = np.nonzero(known)
    z = depth_mm[v, u].astype(np.float64)
    points = target_from_source.apply(source.lift(np.stack([u, v], axis=-1), z))
    ahead = points[:, 2] > 0
    points, z = points[ahead], z[ahead]
    if not len(points):
        return np.full((target.height, target.width), np.nan, dtype=np.float32)
    pixels = target.project(points)
    growth = max(target.fx / source.fx, target.fy / source.fy) * z / points[:, 2]
    half = 0.5 * _SPLAT * np.maximum(growth, 1.0)[:, None]
    low, high = np.ceil(pixels - half).astype(np.int64), np.ceil(pixels + half).astype(np.int64)
    buffer = np.full(target.height * target.width, np.inf, dtype=np.float32)
    for dy in range(int((high - low)[:, 1].max())):
        for dx in range(int((high - low)[:, 0].max())):
            x, y = low[:, 0] + dx, low[:, 1] + dy
            hit = (x < high[:, 0]) & (y < high[:, 1]) & (x >= 0) & (y >= 0) & (x < target.width) & (y < target.height)
            np.minimum.at(buffer, y[hit] * target.width + x[hit], points[hit, 2].astype(np.float32))
    return np.where(np.isinf(buffer), np.nan, buffer).reshape(target.height, target.width).astype(np.float32)


def _seen_from(
    z_mm: np.ndarray, source: Camera, target: Camera, target_from_source: RigidTransform, window: Box
) -> tuple[int, int, int, int]:
    """Rows and columns (first, end, first, end) of the source outside which nothing falls into the target's window.

    What the window sees between the nearest and the farthest measurement is a block with flat sides, and so is its
    picture in the source: its corners bound it. Where a lens is distorted or a corner lies behind a camera, all is
    taken.
    """
    everything = (0, source.height, 0, source.width)
    if source.distortion or target.distortion:
        return everything
    near, far = float(z_mm.min()), float(z_mm.max())
    border = np.array([[u, v] for u in (-0.5, source.width - 0.5) for v in (-0.5, source.height - 0.5)] * 2)
    block = target_from_source.apply(source.lift(border, np.repeat([near, far], 4)))
    low, high = block[:, 2].min(), block[:, 2].max()
    if low <= 0:
        return everything
    growth = max(target.fx / source.fx, target.fy / source.fy) * far / low
    reach = _SPLAT * max(growth, 1.0) + 1
    edges = (window.x - reach, window.x + window.side + reach), (window.y - reach, window.y + window.side + reach)
    corners = np.array([[u, v] for u in edges[0] for v in edges[1]] * 2)
    shadow = source.project(target_from_source.inverse().apply(target.lift(corners, np.repeat([low, high], 4))))
    if not np.isfinite(shadow).all():
        return everything
    first, end = np.floor(shadow.min(0)).astype(int) - 1, np.ceil(shadow.max(0)).astype(int) + 2
    (left, top), (right, bottom) = np.maximum(first, 0).tolist(), np.maximum(end, 0).tolist()
    return top, bottom, left, right


def registered(sample: HandSample, window: Box | None = None) -> HandSample:
    """The sample with depth at its colour pixels, by :func:`register_depth`; unchanged where it already is.

    ``window`` as there.

    Raises:
        ValueError: depth has a camera of its own but the colour has none, or no transform leads between them.
    """
    if sample.depth_camera is None:
        return sample
    depth = sample.depth_mm
    if depth is not None:
        if sample.camera is None or sample.depth_from_color is None:
            raise ValueError(f"{sample.key} does not say how its depth lies to its colour")
        depth = register_depth(depth, sample.depth_camera, sample.camera, sample.depth_from_color.inverse(), window)
    return replace(sample, depth_mm=depth, depth_camera=None, depth_from_color=None)


def depth_seen_by(sample: HandSample, camera: Camera, from_color: RigidTransform) -> np.ndarray:
    """Depth of a sample as a sensor sees it that stands elsewhere than the colour camera; as it is where it is that.

    Args:
        sample: with depth, registered to its colour or with a camera of its own.
        camera: of the sensor.
        from_color: from the colour camera's frame to the sensor's.

    Returns:
        (camera.height, camera.width) float32 mm; NaN = no measurement.
    """
    own, own_from_color = sample.depth_camera or sample.camera, sample.depth_from_color or _STAY
    assert sample.depth_mm is not None
    assert own is not None
    between = from_color.compose(own_from_color.inverse())
    if same_camera(own, camera) and np.allclose(between.apply(_METRES), _METRES, atol=1e-2):
        return sample.depth_mm
    return register_depth(sample.depth_mm, own, camera, between)


def seen_by(sample: HandSample, camera: Camera) -> HandSample:
    """The same hand through another camera at the same place and of the same orientation; distortion is undone.

    The move is exact for pinholes: a pixel's ray is kept, so joints and depth values stay and pixels are resampled
    (colour linearly and edge-replicated, smoothed first where it shrinks; depth and mask nearest, empty outside).
    A camera that differs by rounding only is taken to be the same. Depth with a camera of its own stays as it is.

    Raises:
        ValueError: the sample has no camera.
    """
    own = sample.camera
    if own is None:
        raise ValueError(f"{sample.key} has no camera")
    if same_camera(own, camera):
        return replace(sample, camera=camera)
    at = own.project(_pixel_rays(camera)).astype(np.float32)

    def warp(image: np.ndarray | None, flags: int, border: int, empty: float) -> np.ndarray | None:
        if image is None:
            return None
        return np.asarray(cv2.remap(image, at[..., 0], at[..., 1], flags, borderMode=border, borderValue=(empty,) * 4))

    def move(points: np.ndarray) -> np.ndarray:
        return camera.project(own.lift(points, np.ones(points.shape[:-1]))).astype(np.float32)

    shrink = own.fx / camera.fx
    rgb = sample.rgb
    if rgb is not None and shrink > 1:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.5 * float(np.sqrt(shrink**2 - 1)) + 1e-3))
    return replace(
        sample,
        rgb=warp(rgb, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE, 0),
        depth_mm=sample.depth_mm
        if sample.depth_camera
        else warp(sample.depth_mm, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, float("nan")),
        mask=warp(sample.mask, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, 0),
        keypoints_px=None if sample.keypoints_px is None else move(sample.keypoints_px),
        extra={name: move(value) if name.endswith("_px") else value for name, value in sample.extra.items()},
        camera=camera,
    )


@lru_cache(maxsize=4)
def _pixel_rays(camera: Camera) -> np.ndarray:
    """(H, W, 3) points at z = 1 that the pixels see; kept, since a layout's camera is asked for again and again."""
    grid = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1)
    return camera.lift(grid, np.ones(grid.shape[:2]))


def fitted(camera: Camera, width: int, height: int) -> Camera:
    """The camera of its image scaled as large as it fits into ``width`` x ``height``, centred."""
    scale = min(width / camera.width, height / camera.height)
    shift_x, shift_y = (
        (side - scale * own) / 2 + 0.5 * scale - 0.5 for side, own in ((width, camera.width), (height, camera.height))
    )
    return camera.warped(scale, scale, shift_x, shift_y, width, height)


def same_camera(a: Camera, b: Camera) -> bool:
    """Whether two cameras differ by less than a thousandth of a pixel."""
    first, second = (np.array([c.fx, c.fy, c.cx, c.cy, *(*c.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]]) for c in (a, b))
    return (a.width, a.height) == (b.width, b.height) and bool(np.allclose(first, second, rtol=0, atol=1e-3))
