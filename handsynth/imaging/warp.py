"""Crop, resize, mirror and rotate a sample: pixels, camera, joints and keypoints together.

The only place that does so. Pixel centres lie at integers; resizing by s maps u' = (u + 1/2) s - 1/2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from handsynth.hand.camera import Camera, RigidTransform, rotation_matrix
from handsynth.hand.sample import HandSample

_MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Box:
    """Square of whole pixels: columns x to x + side - 1, rows y to y + side - 1; may leave the image."""

    x: int
    y: int
    side: int


def square_box(points_px: np.ndarray, margin: float = 0.25) -> Box:
    """Square box around points (M, 2), NaN ignored, widened by ``margin`` of the larger extent in all.

    Raises:
        ValueError: no point is known.
    """
    known = points_px[np.isfinite(points_px).all(-1)]
    if len(known) == 0:
        raise ValueError("no known points to put a box around")
    low, high = known.min(0).astype(np.float64), known.max(0).astype(np.float64)
    side = max(int(np.ceil((float((high - low).max()) + 1) * (1 + margin))), 2)
    x, y = np.floor((low + high) / 2 - (side - 1) / 2 + 0.5).astype(int)
    return Box(int(x), int(y), side)


def mask_box(mask: np.ndarray, margin: float = 0.1) -> Box:
    """Square box around the nonzero part of a mask (H, W).

    Raises:
        ValueError: the mask is empty.
    """
    v, u = np.nonzero(mask)
    return square_box(np.stack([u, v], axis=-1).astype(np.float64), margin)


def crop(sample: HandSample, box: Box, size: int) -> HandSample:
    """Cut a square box and resize it to ``size``: colour edge-replicated, depth and mask empty outside the image.

    Depth and mask are sampled nearest; colour by area when it shrinks and linearly when it grows.
    """
    scale = size / box.side
    shift_x, shift_y = ((0.5 - corner) * scale - 0.5 for corner in (box.x, box.y))

    def move(points: np.ndarray) -> np.ndarray:
        return points * scale + np.array([shift_x, shift_y])

    def color(image: np.ndarray) -> np.ndarray:
        cut = _cut(image, box, cv2.BORDER_REPLICATE, 0)
        return _resize(cut, size, cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)

    def nearest(empty: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: _resize(_cut(image, box, cv2.BORDER_CONSTANT, empty), size, cv2.INTER_NEAREST_EXACT)

    registered = sample.depth_camera is None
    return _mapped(
        sample,
        pixels=move,
        space=None,
        camera=lambda camera: camera.warped(scale, scale, shift_x, shift_y, size, size),
        rgb=color,
        depth=nearest(np.nan) if registered else lambda depth: depth,
        mask=nearest(0),
    )


def mirror(sample: HandSample) -> HandSample:
    """Mirror left and right: u' = W - 1 - u and x' = -x; the side swaps and ``mirrored`` toggles."""
    width = sample.size[1]

    def move(points: np.ndarray) -> np.ndarray:
        return points * np.array([-1.0, 1.0]) + np.array([width - 1.0, 0.0])

    def flip(image: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(image[:, ::-1])

    def flip_camera(camera: Camera) -> Camera:
        p2 = camera.distortion[3] if len(camera.distortion) > 3 else 0.0
        distortion = (*camera.distortion[:3], -p2, *camera.distortion[4:]) if p2 else camera.distortion
        return replace(camera, cx=camera.width - 1 - camera.cx, distortion=distortion)

    sides: dict[str, Any] = {"left": "right", "right": "left", "unknown": "unknown"}
    moved = _mapped(
        sample,
        pixels=move,
        space=lambda points: points @ _MIRROR,
        camera=flip_camera,
        rgb=flip,
        depth=flip,
        mask=flip,
        rigid=lambda move: RigidTransform.of(
            _MIRROR @ np.array(move.rotation) @ _MIRROR, _MIRROR @ move.translation_mm
        ),
    )
    if sample.depth_camera is not None:
        moved = replace(moved, depth_camera=flip_camera(sample.depth_camera))
    return replace(moved, side=sides[sample.side], mirrored=not sample.mirrored)


def rotate(sample: HandSample, degrees: float) -> HandSample:
    """Turn the camera about its optical axis so that the image turns clockwise about its centre by ``degrees``.

    Exact for any focal lengths: pixels move by K' Rz K^-1, points by Rz, and K' keeps the image centre in place.

    Raises:
        ValueError: the camera is missing or distorted, or depth is not registered to colour.
    """
    camera = sample.camera
    if camera is None or camera.distortion or sample.depth_camera is not None:
        raise ValueError(f"{sample.key} cannot be rotated: it needs an undistorted camera and registered depth")
    turn = rotation_matrix(np.array([0.0, 0.0, np.deg2rad(degrees)]))
    height, width = sample.size
    center = np.array([(width - 1) / 2, (height - 1) / 2, 1.0])
    kept = camera.matrix @ turn @ np.linalg.inv(camera.matrix) @ center
    moved_camera = replace(camera, cx=camera.cx + center[0] - kept[0], cy=camera.cy + center[1] - kept[1])
    homography = moved_camera.matrix @ turn @ np.linalg.inv(camera.matrix)
    affine = homography[:2]  # a turn about the optical axis leaves the last row at (0, 0, 1)

    def warp(flags: int, border: int, empty: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda image: np.asarray(
            cv2.warpAffine(image, affine, (width, height), flags=flags, borderMode=border, borderValue=(empty,) * 4)
        )

    moved = _mapped(
        sample,
        pixels=lambda points: points @ affine[:, :2].T + affine[:, 2],
        space=lambda points: points @ turn.T,
        camera=lambda _: moved_camera,
        rgb=warp(cv2.INTER_LINEAR, cv2.BORDER_REPLICATE, 0),
        depth=warp(cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, float("nan")),
        mask=warp(cv2.INTER_NEAREST, cv2.BORDER_CONSTANT, 0),
    )
    if sample.world_from_camera is None:
        return moved
    back = RigidTransform.of(turn.T, np.zeros(3))
    return replace(moved, world_from_camera=sample.world_from_camera.compose(back))


def _mapped(
    sample: HandSample,
    *,
    pixels: Callable[[np.ndarray], np.ndarray],
    space: Callable[[np.ndarray], np.ndarray] | None,
    camera: Callable[[Camera], Camera],
    rgb: Callable[[np.ndarray], np.ndarray],
    depth: Callable[[np.ndarray], np.ndarray],
    mask: Callable[[np.ndarray], np.ndarray],
    rigid: Callable[[RigidTransform], RigidTransform] | None = None,
) -> HandSample:
    """Apply one move to everything a sample holds."""

    def points(name: str, value: Any) -> Any:
        if name.endswith("_px"):
            return pixels(np.asarray(value, dtype=np.float64)).astype(np.float32)
        if name.endswith("_mm") and space is not None:
            return space(np.asarray(value, dtype=np.float64)).astype(np.float32)
        return value

    def maybe(function: Callable[[Any], Any] | None, value: Any) -> Any:
        return value if value is None or function is None else function(value)

    return replace(
        sample,
        rgb=maybe(rgb, sample.rgb),
        depth_mm=maybe(depth, sample.depth_mm),
        mask=maybe(mask, sample.mask),
        joints_mm=maybe(lambda value: points("joints_mm", value), sample.joints_mm),
        keypoints_px=maybe(lambda value: points("keypoints_px", value), sample.keypoints_px),
        camera=maybe(camera, sample.camera),
        depth_from_color=maybe(rigid, sample.depth_from_color),
        world_from_camera=maybe(rigid, sample.world_from_camera),
        extra={name: points(name, value) for name, value in sample.extra.items()},
    )


def _cut(image: np.ndarray, box: Box, border: int, empty: float) -> np.ndarray:
    height, width = image.shape[:2]
    left, top = max(-box.x, 0), max(-box.y, 0)
    right, bottom = max(box.x + box.side - width, 0), max(box.y + box.side - height, 0)
    inside = image[max(box.y, 0) : max(box.y + box.side, 0), max(box.x, 0) : max(box.x + box.side, 0)]
    if not (left or top or right or bottom):
        return inside
    if inside.size == 0:
        raise ValueError(f"{box} lies outside the {width} x {height} image")
    return np.asarray(cv2.copyMakeBorder(inside, top, bottom, left, right, border, value=(empty,) * 4))


def _resize(image: np.ndarray, size: int, interpolation: int) -> np.ndarray:
    if image.shape[:2] == (size, size):
        return np.ascontiguousarray(image)
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=interpolation))


def resize_stack(images: np.ndarray, size: int) -> np.ndarray:
    """Square uint8 images (N, S, S, 3) to (N, size, size, 3): by area when shrinking, linearly when growing."""
    if images.shape[1] == size:
        return images
    interpolation = cv2.INTER_AREA if size < images.shape[1] else cv2.INTER_LINEAR
    return np.stack([_resize(image, size, interpolation) for image in images])
