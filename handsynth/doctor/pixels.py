"""How labels lie on pixels: joints against the surface in depth and on the mask, colour edges against depth edges.

Frames are looked at one by one and forgotten; a few numbers of each remain. All mended labels (``mistakes.py``) are
tried on a frame while it is there.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from handsynth.doctor.labels import Labels, project
from handsynth.doctor.mistakes import Move
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import OTHER_BODY
from handsynth.hand.rows import to_row
from handsynth.hand.sample import HandSample

_EXPECTED_MM, _REACH_MM = 12.0, 45.0
"""Joints lie about half a finger behind the surface; further than the reach from there they fit no better."""
_ON_SURFACE_MM = (-15.0, 60.0)
_MASK_REACH = 0.08
"""Of the hand's extent: a joint this far from the mask fits no better than one far away."""
_DEEP_MM = 120.0
"""A hand's surface lies this near to its joints."""
_MAX_EDGES = 1200
_STEP_MM = 6.0
SHIFTS_MM = np.stack(
    np.meshgrid(np.arange(-14, 15) * _STEP_MM, np.arange(-6, 7) * _STEP_MM, indexing="xy"), axis=-1
).reshape(-1, 2)
"""(G, 2) sideways moves of depth against colour that are tried."""


@dataclass(frozen=True)
class Look:
    """What one frame says.

    Attributes:
        fits: (M,) agreement in [0, 1] of labels with depth and mask under M mistakes; NaN where nothing can be said.
        behind_mm: (21,) how far joints lie behind the surface at their pixel; NaN where nothing was measured.
        on_surface, on_mask: share of the joints in the image that lie near the surface, on the hand's mask; NaN.
        shifts: (G,) agreement of colour and depth edges under ``SHIFTS_MM``, standardised; None where not checkable.
        moves: (K,) the same under moves.
    """

    fits: np.ndarray
    behind_mm: np.ndarray
    on_surface: float
    on_mask: float
    shifts: np.ndarray | None = None
    moves: np.ndarray | None = None


def look(sample: HandSample, variants: Sequence[Labels], row: int, moves: Sequence[Move]) -> Look:
    """What a frame with pixels says about its labels.

    Args:
        sample: with pixels; depth may have a camera of its own.
        variants: M mended labels of many samples, those as they are first.
        row: which of them this frame is.
        moves: to try on its depth.
    """
    joints = np.stack([labels.joints_mm[row] for labels in variants])
    cameras = np.stack([labels.cameras[row] for labels in variants])
    points = project(joints, cameras)
    flat = ~np.isfinite(points[0]).all(-1)
    if not np.isfinite(joints[0]).any():  # a source of 2-D joints: only those as they are can be looked at
        points[0, flat] = variants[0].keypoints_px[row][flat]
    fits = np.full((2, len(variants)), np.nan)
    behind, on_surface, on_mask = np.full(21, np.nan), np.nan, np.nan
    if sample.depth_mm is not None and np.isfinite(sample.depth_mm).any():
        places, z = points, joints[..., 2]
        if sample.depth_camera is not None and sample.depth_from_color is not None:
            moved = sample.depth_from_color.apply(joints)
            own = np.asarray(to_row(HandSample(key="", camera=sample.depth_camera))["camera"])
            places, z = project(moved, np.broadcast_to(own, cameras.shape)), moved[..., 2]
        surface = _at(sample.depth_mm, places, np.nan)
        distance = z - surface
        soft = np.clip(1 - np.abs(distance - _EXPECTED_MM) / _REACH_MM, 0, 1)
        fits[0] = _mean(np.nan_to_num(soft), np.isfinite(joints).all(-1))
        behind = distance[0]
        within = _inside(sample.depth_mm, places[0])
        near = (behind > _ON_SURFACE_MM[0]) & (behind < _ON_SURFACE_MM[1])
        on_surface = float(near[within].mean()) if within.any() else np.nan
    hand = None if sample.mask is None else (sample.mask > 0) & (sample.mask < OTHER_BODY)
    if hand is not None and hand.any():
        away = cv2.distanceTransform((~hand).astype(np.uint8), cv2.DIST_L2, 3)
        reach = max(_MASK_REACH * float(np.sqrt(hand.sum())) * 1.6, 2.0)
        soft = np.clip(1 - _at(away, points, np.inf) / reach, 0, 1)
        known = np.isfinite(joints).all(-1)
        known[0] |= np.isfinite(points[0]).all(-1)
        fits[1] = _mean(soft, known)
        within = _inside(hand, points[0])
        on_mask = float((_at(away, points, np.inf)[0][within] <= 1.5).mean()) if within.any() else np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean = np.nanmean(fits, axis=0)
    shifts, moved_scores = _edges(sample, joints[0], moves)
    return Look(mean, behind, on_surface, on_mask, shifts, moved_scores)


def _inside(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    size = image.shape[1::-1]
    with np.errstate(invalid="ignore"):
        return np.asarray(((points >= -0.5) & (points < np.array(size) - 0.5)).all(-1))


def _at(image: np.ndarray, points: np.ndarray, outside: float) -> np.ndarray:
    """Values (...) of an image (H, W) at the nearest pixels of points (..., 2)."""
    within = _inside(image, points)
    place = np.where(within[..., None], np.nan_to_num(points), 0).round().astype(np.intp)
    return np.where(within, image[place[..., 1], place[..., 0]], outside)


def _mean(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, values, 0).sum(-1) / known.sum(-1))


def _edges(
    sample: HandSample, joints_mm: np.ndarray, moves: Sequence[Move]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """Agreement of the hand's silhouette in depth with edges in colour, under all shifts and moves."""
    if sample.rgb is None or sample.depth_mm is None or sample.camera is None:
        return None, None
    silhouette = _silhouette(sample, joints_mm)
    if silhouette is None:
        return None, None
    camera = sample.camera
    px_per_mm = camera.fx / float(np.median(silhouette[:, 2]))
    step_px = _STEP_MM * px_per_mm
    if step_px < 0.5:
        return None, None
    grey = cv2.GaussianBlur(cv2.cvtColor(sample.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    strength = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    side = 2 * round(4 * max(step_px, 2.0)) + 1
    # Against its neighbourhood: a textured wall has strong edges everywhere and says nothing.
    relative = np.clip(strength / (cv2.blur(strength, (side, side)) + 8.0), 0, 3)
    score = cv2.GaussianBlur(relative, (0, 0), max(0.4 * step_px, 0.8))
    pixels = camera.project(silhouette)
    scale = camera.fx / silhouette[:, 2]
    shifted = pixels[None] + SHIFTS_MM[:, None] * scale[None, :, None]
    middle = float(score.mean())
    shifts = _at(score, shifted, middle).mean(1)
    tried = [(move.camera or camera).project(move.rigid.apply(silhouette)) for move in moves]
    moved = np.array([_at(score, points, middle).mean() for points in tried])
    spread = float(shifts.std())
    if spread < 1e-6:
        return None, None
    return (shifts - shifts.mean()) / spread, (moved - shifts.mean()) / spread


def _silhouette(sample: HandSample, joints_mm: np.ndarray) -> np.ndarray | None:
    """(E, 3) points on the outline of the hand's surface, in the colour camera's frame; None where there is none."""
    assert sample.depth_mm is not None
    camera: Camera | None = sample.depth_camera or sample.camera
    assert camera is not None
    depth, known = sample.depth_mm, np.isfinite(joints_mm).all(-1)
    if not known.any():
        return None
    to_color = RigidTransform.of(np.eye(3), np.zeros(3))
    if sample.depth_camera is not None:
        if sample.depth_from_color is None:
            return None
        to_color = sample.depth_from_color.inverse()
    points = to_color.inverse().apply(joints_mm[known])
    pixels = camera.project(points)
    near = np.abs(depth - float(np.median(points[:, 2]))) < _DEEP_MM
    pixels = pixels[np.isfinite(pixels).all(-1)]
    if not len(pixels):
        return None
    low, high = pixels.min(0), pixels.max(0)
    room = 0.15 * float((high - low).max()) + 2
    height, width = depth.shape
    left, top = np.clip(np.floor(low - room), 0, [width, height]).astype(int)
    right, bottom = np.clip(np.ceil(high + room), 0, [width, height]).astype(int)
    if left >= right or top >= bottom:
        return None
    box = np.zeros(near.shape, dtype=np.uint8)
    box[top:bottom, left:right] = near[top:bottom, left:right]
    closed = cv2.morphologyEx(box, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    outline = (closed > 0) & (cv2.erode(closed, np.ones((3, 3), np.uint8)) == 0) & np.isfinite(depth)
    # The box's own border is no outline of the hand.
    outline[:, [left, right - 1]] = False
    outline[[top, bottom - 1]] = False
    v, u = np.nonzero(outline)
    if len(u) < 20:
        return None
    chosen = np.linspace(0, len(u) - 1, min(len(u), _MAX_EDGES)).astype(int)
    v, u = v[chosen], u[chosen]
    return to_color.apply(camera.lift(np.stack([u, v], axis=-1), depth[v, u]))
