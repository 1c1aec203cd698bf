"""The skin of one posed hand as a smooth signed distance field, in millimetres; negative inside.

Fingers blend with the trunk (palm and arm) at their base and within themselves at their joints, never with another
finger, so that fingers touch without melting. Pads, knuckles, nails, creases, the hollow of the palm and a sleeve are
part of the field. It never overestimates the distance, so that sphere tracing cannot step through the skin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.simulator import field
from handsynth.simulator.compile import compiled
from handsynth.simulator.cones import Cones
from handsynth.simulator.table import pack

NORMAL_STEP_MM = 0.05


@dataclass(frozen=True)
class Surface:
    """One hand, ready to be asked; points are in the frame of its cones.

    Attributes:
        cones: what it was made of.
        table: (R, 16) what the compiled code reads, see ``field``.
    """

    cones: Cones
    table: np.ndarray

    @classmethod
    def of(cls, cones: Cones) -> Surface:
        """The skin around cones."""
        return cls(cones, pack(cones))

    def distance(self, points_mm: np.ndarray) -> np.ndarray:
        """(..., 3) points to signed distances (...,) float64, mm: 0 on the skin, elsewhere never too large.

        Blends and creases make it too small by up to some mm.
        """
        return self._field(points_mm, field.STEEP)

    def level(self, points_mm: np.ndarray) -> np.ndarray:
        """Like ``distance``, but smooth where it crosses the skin: for slopes and meshes, not for steps."""
        return self._field(points_mm, field.EXACT)

    def cone_distances(self, points_mm: np.ndarray) -> np.ndarray:
        """(N, 3) points to signed distances (P, N) to each of the P cones, before blending."""
        points = _rows(points_mm)
        out = np.empty((len(self.cones.parts), len(points)))
        _cone_distances(self.table, points, out)
        return out

    def parts(self, points_mm: np.ndarray) -> np.ndarray:
        """(N, 3) points to mask codes (N,) uint8 of the nearest bone (cloth counts as arm)."""
        points = _rows(points_mm)
        out = np.empty(len(points), dtype=np.uint8)
        _parts(self.table, points, out)
        return out

    def normals(self, points_mm: np.ndarray) -> np.ndarray:
        """(N, 3) points to outward unit normals (N, 3), by differences over ``NORMAL_STEP_MM``."""
        points = _rows(points_mm)
        out = np.empty_like(points)
        _normals(self.table, points, NORMAL_STEP_MM, out)
        return out

    def _field(self, points_mm: np.ndarray, steep: float) -> np.ndarray:
        points = _rows(points_mm)
        out = np.empty(len(points))
        _distances(self.table, points, steep, out)
        return out.reshape(np.shape(points_mm)[:-1])


def _rows(points_mm: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(points_mm, dtype=np.float64).reshape(-1, 3)


@compiled
def _distances(t: np.ndarray, points: np.ndarray, steep: float, out: np.ndarray) -> None:
    rows, values = np.empty(t.shape[0], dtype=np.uint32), np.empty(t.shape[0])
    trunk, count = field.all_rows(t, rows)
    for i in range(len(points)):
        out[i] = field.distance(t, rows, trunk, count, values, points[i, 0], points[i, 1], points[i, 2], steep)


@compiled
def _cone_distances(t: np.ndarray, points: np.ndarray, out: np.ndarray) -> None:
    for k in range(len(out)):
        row = k + k // 3 * (field.FINGER_ROWS - 3) if k < 15 else k - 15 + field.TRUNK
        for i in range(len(points)):
            out[k, i] = field.cone(t, row, points[i, 0], points[i, 1], points[i, 2])[0]


@compiled
def _parts(t: np.ndarray, points: np.ndarray, out: np.ndarray) -> None:
    rows = np.empty(t.shape[0], dtype=np.uint32)
    _, count = field.all_rows(t, rows)
    for i in range(len(points)):
        row = field.nearest_row(t, rows, count, points[i, 0], points[i, 1], points[i, 2])
        out[i] = t[row, field.PART]


@compiled
def _normals(t: np.ndarray, points: np.ndarray, step: float, out: np.ndarray) -> None:
    rows, values = np.empty(t.shape[0], dtype=np.uint32), np.empty(t.shape[0])
    trunk, count = field.all_rows(t, rows)
    for i in range(len(points)):
        out[i] = field.normal(t, rows, trunk, count, values, points[i, 0], points[i, 1], points[i, 2], step)
