"""Pinhole cameras and rigid moves.

Frame: OpenCV's, x right, y down, z forward, millimetres. Pixel centres lie at integers: the top left pixel covers
[-0.5, 0.5]. Distortion follows OpenCV's (k1, k2, p1, p2, k3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Intrinsics of one image: focal lengths and principal point in px, size in px."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    distortion: tuple[float, ...] = ()

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) float64 calibration matrix K."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], dtype=np.float64)

    @classmethod
    def from_matrix(cls, k: np.ndarray, width: int, height: int) -> Camera:
        """From a (3, 3) calibration matrix without skew."""
        return cls(float(k[0, 0]), float(k[1, 1]), float(k[0, 2]), float(k[1, 2]), int(width), int(height))

    def project(self, points_mm: np.ndarray) -> np.ndarray:
        """Camera-frame points (..., 3) to pixels (..., 2); a point at z <= 0 has no image and gives NaN."""
        points = np.asarray(points_mm, dtype=np.float64)
        z = points[..., 2:]
        with np.errstate(divide="ignore", invalid="ignore"):
            xy = np.where(z > 0, points[..., :2] / z, np.nan)
        if self.distortion:
            xy = self._distort(xy)
        return xy * (self.fx, self.fy) + (self.cx, self.cy)

    def lift(self, pixels: np.ndarray, z_mm: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) and their camera z (...) to camera-frame points (..., 3); inverse of :meth:`project`."""
        xy = (np.asarray(pixels, dtype=np.float64) - (self.cx, self.cy)) / (self.fx, self.fy)
        if self.distortion:
            xy = self._undistort(xy)
        z = np.asarray(z_mm, dtype=np.float64)[..., None]
        return np.concatenate([xy * z, z], axis=-1)

    def warped(self, scale_x: float, scale_y: float, shift_x: float, shift_y: float, width: int, height: int) -> Camera:
        """The camera of an image whose pixels moved by u' = scale_x u + shift_x, v' = scale_y v + shift_y."""
        return replace(
            self,
            fx=self.fx * scale_x,
            fy=self.fy * scale_y,
            cx=self.cx * scale_x + shift_x,
            cy=self.cy * scale_y + shift_y,
            width=width,
            height=height,
        )

    def _distort(self, xy: np.ndarray) -> np.ndarray:
        k1, k2, p1, p2, k3 = (*self.distortion, 0.0, 0.0, 0.0, 0.0, 0.0)[:5]
        x, y = xy[..., 0], xy[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
        dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
        dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
        return np.stack([x * radial + dx, y * radial + dy], axis=-1)

    def _undistort(self, xy: np.ndarray) -> np.ndarray:
        # The inverse has no closed form; the fixed point converges for every lens that is not folded over.
        guess = xy
        for _ in range(50):
            guess = guess + (xy - self._distort(guess))
        return guess


@dataclass(frozen=True)
class RigidTransform:
    """X_to = rotation @ X_from + translation_mm; named ``to_from_from``, for instance ``depth_from_color``."""

    rotation: tuple[tuple[float, float, float], ...]
    translation_mm: tuple[float, float, float]

    @classmethod
    def of(cls, rotation: np.ndarray, translation_mm: np.ndarray) -> RigidTransform:
        """From a (3, 3) rotation matrix or a (3,) Rodrigues vector, and a (3,) translation."""
        rotation = np.asarray(rotation, dtype=np.float64)
        matrix = rotation_matrix(rotation) if rotation.shape == (3,) else rotation
        t = np.asarray(translation_mm, dtype=np.float64)
        rows = tuple((float(row[0]), float(row[1]), float(row[2])) for row in matrix)
        return cls(rows, (float(t[0]), float(t[1]), float(t[2])))

    def apply(self, points_mm: np.ndarray) -> np.ndarray:
        """Move points (..., 3)."""
        return np.asarray(points_mm, dtype=np.float64) @ np.array(self.rotation).T + np.array(self.translation_mm)

    def inverse(self) -> RigidTransform:
        """The move back."""
        r = np.array(self.rotation)
        return RigidTransform.of(r.T, -r.T @ np.array(self.translation_mm))

    def compose(self, first: RigidTransform) -> RigidTransform:
        """The move that does ``first``, then this one."""
        r, t = np.array(self.rotation), np.array(self.translation_mm)
        return RigidTransform.of(r @ np.array(first.rotation), r @ np.array(first.translation_mm) + t)


def rotation_matrix(rodrigues: np.ndarray) -> np.ndarray:
    """(3, 3) rotation by |v| radians about the axis v (Rodrigues); the zero vector gives the identity."""
    v = np.asarray(rodrigues, dtype=np.float64)
    theta = float(np.linalg.norm(v))
    if theta == 0:
        return np.eye(3)
    x, y, z = v / theta
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(theta) * cross + (1 - np.cos(theta)) * cross @ cross
