"""What depth sensors make of exact depth: structured light, time of flight, active stereo.

All models are per pixel and work on what a hand shows alone: beyond it is nothing to measure. Errors of one sensor
differ by device and driver; the sizes below are cited where a source is named and chosen elsewhere.

- ``structured_light`` (Kinect v1, PrimeSense; F200 and SR300 alike): the noise of Barron and Malik, "Intrinsic Scene
  Properties from a Single RGB-D Image" (CVPR 2013): pixels look beside their place by half a pixel, disparities err by
  1/6 of a step and are rounded to steps, depth in cm being 35130 / disparity, so errors grow with the square of the
  distance. Shadows where the projector, beside the camera, does not reach; holes at edges and on steep surfaces.
- ``time_of_flight`` (Kinect v2): noise of 1 mm and as much again at 1 m, growing with its square and as less light
  comes back from a slanted surface; flying pixels between a near edge and what lies behind. No shadows, no steps.
- ``stereo`` (RealSense D400): errors of Intel's tuning guide, z^2 * subpixel / (focal length * baseline), here with
  0.08 px and a D415's 55 mm, alike within a matching window; edges fattened by it; disparities in steps of 1/32 px;
  the band that the second eye does not see is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.imaging.registration import register_depth

DepthSensor = Literal["none", "structured_light", "time_of_flight", "stereo"]

_JUMP_MM = 15.0
"""Neighbouring depths further apart are an edge."""
_SHADOW_MM = 12.0
"""What lies this much behind what a second eye or projector sees at its pixel is in the shadow."""
_STEEP = np.deg2rad([65.0, 85.0])
"""Angles between surface and ray at which the light begins to be lost, and is lost for certain."""


@dataclass(frozen=True)
class _Model:
    """One kind of sensor.

    Attributes:
        aside_px: standard deviation of where pixels look.
        disparity_mm: depth times disparity, in steps; 0 where there are none.
        disparity_noise: standard deviation, steps.
        window_px: standard deviation of the window over which noise is alike; 0 none.
        noise_mm, noise_per_m2_mm: standard deviation of depth, and what it adds at 1 m, for sensors without disparity.
        eye_mm: where the projector or second eye stands, along x; 0 where it is the same.
        edge_loss: share of the pixels at edges that are lost.
        flying: share of the pixels at edges that fly.
        steep_loss: share of the pixels lost on surfaces that turn all away.
        fatten_px: how far near edges grow.
    """

    aside_px: float = 0.0
    disparity_mm: float = 0.0
    disparity_noise: float = 0.0
    window_px: float = 0.0
    noise_mm: float = 0.0
    noise_per_m2_mm: float = 0.0
    eye_mm: float = 0.0
    edge_loss: float = 0.0
    flying: float = 0.0
    steep_loss: float = 1.0
    fatten_px: int = 0


_MODELS: dict[DepthSensor, _Model] = {
    "structured_light": _Model(aside_px=0.5, disparity_mm=351300.0, disparity_noise=1 / 6, eye_mm=75.0, edge_loss=0.35),
    "time_of_flight": _Model(noise_mm=1.0, noise_per_m2_mm=1.0, flying=0.35, steep_loss=0.6),
    # 615 px times 55 mm, in steps of 1/32 px; 0.08 px are 2.56 steps.
    "stereo": _Model(
        disparity_mm=32 * 615 * 55.0,
        disparity_noise=2.56,
        window_px=1.5,
        eye_mm=55.0,
        edge_loss=0.15,
        steep_loss=0.5,
        fatten_px=1,
    ),
}
_BEHIND_MM = 40.0
"""Mean distance that flying pixels are drawn behind an outline, where nothing is known to lie."""


def measure(
    depth_mm: np.ndarray, camera: Camera, rng: np.random.Generator, sensor: DepthSensor, strength: float = 1.0
) -> np.ndarray:
    """Depth as a sensor measures it.

    Args:
        depth_mm: (H, W) float32 exact camera z; NaN = nothing there.
        camera: of the sensor.
        rng: for everything.
        sensor: which kind; ``none`` gives the depth back.
        strength: factor on errors and shares of lost pixels; 0 gives the depth back.

    Returns:
        (H, W) float32; NaN = no measurement. Pixels beside an outline may hold depth where nothing is there.
    """
    known = np.isfinite(depth_mm)
    if sensor == "none" or strength == 0 or not known.any():
        return depth_mm
    model = _MODELS[sensor]
    window = _around(known, 4 + model.fatten_px)
    inner = camera.warped(1, 1, -window[1].start, -window[0].start, *reversed(known[window].shape))
    out = np.full_like(depth_mm, np.nan)
    out[window] = _measured(model, depth_mm[window], inner, rng, strength)
    return out


def _measured(
    model: _Model, depth: np.ndarray, camera: Camera, rng: np.random.Generator, strength: float
) -> np.ndarray:
    shape = depth.shape
    slant = _slant(depth, camera)
    seen = depth
    if model.fatten_px:
        seen = _nearest_around(seen, model.fatten_px)
    if model.aside_px:
        seen = _beside(seen, strength * model.aside_px * rng.standard_normal((2, *shape)))
    lost = _shadowed(depth, camera, model.eye_mm) if model.eye_mm else np.zeros(shape, dtype=np.bool_)
    edge = _edges(seen)
    chance = rng.random((3, *shape))
    steep = np.clip((slant - _STEEP[0]) / (_STEEP[1] - _STEEP[0]), 0, 1)
    lost |= (chance[0] < strength * model.steep_loss * steep) | (edge & (chance[1] < strength * model.edge_loss))
    if model.flying:
        seen = _flying(seen, edge & (chance[2] < strength * model.flying), rng)
    noise = rng.standard_normal(shape)
    if model.window_px:
        noise = cv2.GaussianBlur(noise, (0, 0), model.window_px) * (2 * np.sqrt(np.pi) * model.window_px)
    if model.disparity_mm:
        # Fewer steps are coarser ones: strength scales the step, and the noise with it.
        steps = model.disparity_mm / strength
        value = steps / np.maximum(np.round(steps / seen + model.disparity_noise * noise), 1)
    else:
        spread = model.noise_mm + model.noise_per_m2_mm * (seen / 1000) ** 2
        value = seen + strength * spread * noise / np.sqrt(np.clip(np.cos(slant), 0.1, 1))
    return np.where(lost, np.nan, value).astype(np.float32)


def _around(known: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(known.any(1)), np.flatnonzero(known.any(0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _slant(depth_mm: np.ndarray, camera: Camera) -> np.ndarray:
    """(H, W) angle between the surface's normal and the ray, radians; 0 where it is not known."""
    height, width = depth_mm.shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    points = camera.lift(np.stack([u, v], axis=-1), np.asarray(depth_mm, dtype=np.float64))
    normals = np.cross(_step(points, 1), _step(points, 0))
    size = np.linalg.norm(normals, axis=-1) * np.linalg.norm(points, axis=-1)
    cosine = np.abs((normals * points).sum(-1)) / np.where(size > 0, size, np.nan)
    return np.nan_to_num(np.arccos(np.clip(cosine, 0, 1)))


def _step(points: np.ndarray, axis: int) -> np.ndarray:
    """(H, W, 3) to a neighbour along rows (0) or columns (1): the one nearer in depth, which is of the same surface."""
    ahead = np.full_like(points, np.nan)
    behind = np.full_like(points, np.nan)
    step = np.diff(points, axis=axis)
    if axis == 0:
        ahead[:-1], behind[1:] = step, step
    else:
        ahead[:, :-1], behind[:, 1:] = step, step
    closer = np.nan_to_num(np.abs(ahead[..., 2]), nan=np.inf) <= np.nan_to_num(np.abs(behind[..., 2]), nan=np.inf)
    return np.where(closer[..., None], ahead, behind)


def _edges(depth_mm: np.ndarray) -> np.ndarray:
    """(H, W) pixels with depth next to a jump or to nothing."""
    far = np.where(np.isfinite(depth_mm), depth_mm, np.inf).astype(np.float32)
    padded = np.pad(far, 1, mode="edge")
    edge = np.zeros(far.shape, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        for shifted in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            edge |= np.abs(shifted - far) > _JUMP_MM
    return edge & np.isfinite(far)


def _nearest_around(depth_mm: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) the least depth within ``reach`` pixels; a matching window sees the near surface first."""
    far = np.where(np.isfinite(depth_mm), depth_mm, np.float32(1e9)).astype(np.float32)
    least = cv2.erode(far, np.ones((2 * reach + 1, 2 * reach + 1), dtype=np.uint8))
    jumped = far - least > _JUMP_MM
    return np.where(jumped & (least < 1e8), least, depth_mm)


def _beside(depth_mm: np.ndarray, shift_px: np.ndarray) -> np.ndarray:
    """(H, W) depth at the nearest pixel of each place moved by (2, H, W) px."""
    height, width = depth_mm.shape
    v, u = np.mgrid[0:height, 0:width]
    row = np.clip(np.rint(v + shift_px[0]).astype(np.int64), 0, height - 1)
    column = np.clip(np.rint(u + shift_px[1]).astype(np.int64), 0, width - 1)
    return np.asarray(depth_mm[row, column])


def _shadowed(depth_mm: np.ndarray, camera: Camera, eye_mm: float) -> np.ndarray:
    """(H, W) pixels whose surface a projector or eye at ``eye_mm`` along x does not reach."""
    known = np.isfinite(depth_mm)
    v, u = np.nonzero(known)
    points = camera.lift(np.stack([u, v], axis=-1), depth_mm[known].astype(np.float64))
    move = RigidTransform.of(np.eye(3), np.array([-eye_mm, 0.0, 0.0]))
    # The other view is shifted, so that all that is known falls inside its picture.
    columns = camera.project(move.apply(points))[:, 0]
    left = int(np.floor(columns.min())) - 2
    width = int(np.ceil(columns.max())) + 3 - left
    other = camera.warped(1, 1, -left, 0, width, camera.height)
    nearest = register_depth(depth_mm, camera, other, move)
    pixels = np.rint(other.project(move.apply(points))).astype(np.int64)
    column = np.clip(pixels[:, 0], 0, width - 1)
    row = np.clip(pixels[:, 1], 0, camera.height - 1)
    out = np.zeros(depth_mm.shape, dtype=np.bool_)
    out[v, u] = points[:, 2] - np.nan_to_num(nearest[row, column], nan=np.inf) > _SHADOW_MM
    return out


def _flying(depth_mm: np.ndarray, where: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pixels at edges mixed with what lies behind them: the farthest neighbour, or something a little behind."""
    known = np.where(np.isfinite(depth_mm), depth_mm, np.float32(0)).astype(np.float32)
    farthest = cv2.dilate(known, np.ones((3, 3), dtype=np.uint8))
    behind = np.where(farthest - known > _JUMP_MM, farthest, known + rng.exponential(_BEHIND_MM, known.shape))
    mixed = known + rng.random(known.shape) * (behind - known)
    return np.where(where, mixed, depth_mm).astype(np.float32)
