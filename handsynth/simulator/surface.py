"""The skin of one posed hand as a smooth signed distance field, in millimetres; negative inside.

Every part is a round cone (the hull of two spheres). Palm and forearm blend into one trunk; each finger blends with
the trunk at its base and within itself at its joints, never with another finger, so that fingers touch without melting.
Both blends are 1-Lipschitz, so the field never overestimates the distance and sphere tracing cannot step through it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from handsynth.hand.joints import CHAINS, FIRST_PHALANX, OTHER_BODY, PALM_PART
from handsynth.simulator.anatomy import Anatomy
from handsynth.simulator.kinematics import palmar_directions

PHALANX_COUNT = 15
_TRUNK_BLEND_MM = 4.0
_BASE_BLEND_MM = (12.0, 8.0, 8.0, 8.0, 8.0)
_JOINT_BLEND_MM = 2.0
_TIE_MM = 0.02
_TILE = 1024  # points evaluated at a time: the intermediate arrays stay in the cache
_TIP_INSET = 0.55
"""The tip joint lies this share of the tip radius beyond the last sphere's centre, under the skin of the fingertip."""
_ARM_MM = 800.0
"""The arm goes straight on past the elbow, so that it leaves the picture instead of ending in it."""


@dataclass(frozen=True)
class Cones:
    """P round cones: the 15 phalanges thumb to pinky, base to tip, then the palm's, then the forearm's.

    Attributes:
        ends_mm: (P, 2, 3) centres of the two spheres.
        radii_mm: (P, 2).
        parts: (P,) uint8 mask codes of ``HandSample``.
        pulps: (15, 3) unit vectors, per phalanx the direction of its palmar side.
        axes: (3, 3) columns: radial, distal and palmar direction of the hand.
        wrist_mm: (3,).
    """

    ends_mm: np.ndarray
    radii_mm: np.ndarray
    parts: np.ndarray
    pulps: np.ndarray
    axes: np.ndarray
    wrist_mm: np.ndarray

    def moved(self, rotation: np.ndarray, translation_mm: np.ndarray) -> Cones:
        """Rotate (also with a mirror: determinant -1) and shift."""
        return replace(
            self,
            ends_mm=self.ends_mm @ rotation.T + translation_mm,
            pulps=self.pulps @ rotation.T,
            axes=rotation @ self.axes,
            wrist_mm=rotation @ self.wrist_mm + translation_mm,
        )


def hand_cones(anatomy: Anatomy, angles: np.ndarray, joints_mm: np.ndarray, wrist_angles: np.ndarray) -> Cones:
    """The cones of one right hand in the hand frame.

    Args:
        anatomy: of length 1.
        angles: (5, 4) of ``kinematics``.
        joints_mm: (21, 3) in the hand frame.
        wrist_angles: (2,) palmar flexion and deviation towards the thumb of the hand against the forearm, radians.
    """
    scale = float(anatomy.palm_mm[0]) / 88.0
    radii = anatomy.radii_mm[0]
    chains = joints_mm[np.array(CHAINS)]
    bases = chains[:, 0]
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    sizes: list[tuple[float, float]] = []

    def add(start: np.ndarray, end: np.ndarray, start_mm: float, end_mm: float) -> None:
        ends.append((start, end))
        sizes.append((start_mm, end_mm))

    for finger in range(5):
        for segment in range(3):
            start, end = chains[finger, segment], chains[finger, segment + 1]
            if segment == 2:
                end = end - (end - start) / np.linalg.norm(end - start) * _TIP_INSET * radii[finger, 3]
            add(start, end, radii[finger, segment], radii[finger, segment + 1])

    def at(x: float, y: float, z: float) -> np.ndarray:
        return np.array([x, y, z]) * scale

    # The metacarpals and the muscles between them, from a flat carpus.
    carpus = [at(x, 9, 0.5) for x in (13.0, 4.5, -4.5, -12.0)]
    flesh = radii[1:, 0]
    for finger in range(4):
        add(carpus[finger], bases[finger + 1] + at(0, -1, 0.5), 13.0 * scale, flesh[finger] - 1.2)
    for finger in range(3):
        middle = (bases[finger + 1] + bases[finger + 2]) / 2
        add((carpus[finger] + carpus[finger + 1]) / 2, middle + at(0, -9, 1.5), 12.0 * scale, 8.2 * scale)
    thumb_middle = chains[0, 0] + 0.6 * (chains[0, 1] - chains[0, 0])
    add(at(12, 16, 8), thumb_middle + at(-4, 0, 4), 11.5 * scale, 9.5 * scale)  # thenar
    add(at(-15, 14, 7), bases[4] + at(3, -18, 4), 11.5 * scale, 9.0 * scale)  # hypothenar
    add(thumb_middle, 0.58 * bases[1], 6.0 * scale, 8.0 * scale)  # web of the thumb
    for finger in range(1, 4):  # webs of the fingers
        near, far = (chains[f, 0] + 0.2 * (chains[f, 1] - chains[f, 0]) for f in (finger, finger + 1))
        add(near, far, 5.0 * scale, 5.0 * scale)
    palm = len(ends) - PHALANX_COUNT
    flexion, deviation = wrist_angles
    # The forearm runs back from the wrist against the way the hand is bent.
    back = -np.array([np.sin(deviation) * np.cos(flexion), np.cos(deviation) * np.cos(flexion), np.sin(-flexion)])
    side = np.array([np.cos(deviation), -np.sin(deviation), 0.0])
    (wrist_width, wrist_thick), (arm_width, arm_thick) = anatomy.wrist_mm[0] - 2.8, anatomy.arm_mm[0] - 2.8
    for sign in (-1.0, 1.0):
        start = sign * side * (wrist_width - wrist_thick) + 7.0 * back
        end = sign * side * (arm_width - arm_thick) + _ARM_MM * back
        add(start, end, wrist_thick, arm_thick)
    parts = [*range(FIRST_PHALANX, FIRST_PHALANX + PHALANX_COUNT), *[PALM_PART] * palm, OTHER_BODY, OTHER_BODY]
    pulps = palmar_directions(angles[None])[0].reshape(PHALANX_COUNT, 3)
    return Cones(np.array(ends), np.array(sizes), np.array(parts, dtype=np.uint8), pulps, np.eye(3), joints_mm[0])


class Surface:
    """Signed distance of the cones, evaluated in torch; points are relative to ``center_mm`` to keep float32 exact."""

    def __init__(self, cones: Cones, dtype: torch.dtype = torch.float32) -> None:
        self.cones = cones
        hand = cones.ends_mm[cones.parts != OTHER_BODY]
        self.center_mm = (hand.reshape(-1, 3).min(0) + hand.reshape(-1, 3).max(0)) / 2
        start, end = (cones.ends_mm - self.center_mm).swapaxes(0, 1)
        axis = end - start
        length = np.linalg.norm(axis, axis=-1, keepdims=True)
        unit = axis / length
        slope = (cones.radii_mm[:, :1] - cones.radii_mm[:, 1:]) / length
        # One product gives the coordinate along each axis (first P rows) and |p - start|^2 - |p|^2 (last P rows).
        along = np.concatenate([unit, -(unit * start).sum(-1, keepdims=True)], axis=-1)
        square = np.concatenate([-2 * start, (start * start).sum(-1, keepdims=True)], axis=-1)

        def tensor(value: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(value), dtype=dtype)

        self._linear = tensor(np.concatenate([along, square]))
        self._length, self._slope, self._radius = tensor(length), tensor(slope), tensor(cones.radii_mm[:, :1])
        self._lean = tensor(slope / np.sqrt(1 - slope**2))
        self._base_blend = tensor(np.array(_BASE_BLEND_MM)[:, None])
        self._parts = torch.as_tensor(cones.parts)

    def cone_distances(self, points: torch.Tensor) -> torch.Tensor:
        """(R, 3) points to the signed distances (P, R) to each round cone."""
        return self._cones_and_overshoot(points)[0]

    def _cones_and_overshoot(self, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Distances (P, R), and how far the touching sphere's centre would lie beyond the axis' ends (P, R), signed."""
        rows = len(self._length)
        squared_norm = (points * points).sum(-1)
        linear = torch.addmm(self._linear[:, 3:], self._linear[:, :3], points.T)
        along, squared = linear[:rows], linear[rows:].add_(squared_norm)
        across2 = squared.addcmul_(along, along, value=-1).clamp_(min=0)
        # The sphere of the hull that touches nearest sits where the slanted normal through the point meets the axis.
        free = torch.addcmul(along, across2.sqrt(), self._lean, value=-1)
        foot = torch.minimum(free.clamp(min=0), self._length)
        beside = along.sub_(foot)
        distance = across2.addcmul_(beside, beside).sqrt_()
        return distance.sub_(self._radius).addcmul_(foot, self._slope), free.sub_(foot)

    def distance(self, points: torch.Tensor) -> torch.Tensor:
        """(R, 3) points, relative to ``center_mm``, to signed distances (R,)."""
        return torch.cat([self._blend(self.cone_distances(tile)) for tile in points.split(_TILE)])

    def parts(self, points: torch.Tensor) -> torch.Tensor:
        """Mask codes (R,) uint8 of the cone nearest to each point, before blending."""
        found = []
        for tile in points.split(_TILE):
            cones, overshoot = self._cones_and_overshoot(tile)
            # Around a bent joint both bones end in one sphere: the nearer bone is the one whose end is less passed.
            nearest = (cones + _TIE_MM * overshoot.abs().clamp(max=10)).argmin(0)
            found.append(self._parts[nearest])
        return torch.cat(found)

    def normals(self, points: torch.Tensor, step_mm: float = 0.2) -> torch.Tensor:
        """(R, 3) outward unit normals by central differences."""
        steps = step_mm * torch.eye(3, dtype=points.dtype)[:, None]
        around = torch.cat([points + steps, points - steps]).reshape(-1, 3)
        ahead, behind = self.distance(around).view(2, 3, -1)
        return torch.nn.functional.normalize((ahead - behind).T, dim=-1)

    def _blend(self, cones: torch.Tensor) -> torch.Tensor:
        trunk = cones[PHALANX_COUNT:]
        trunk = -_TRUNK_BLEND_MM * torch.logsumexp(trunk / -_TRUNK_BLEND_MM, dim=0)
        phalanges = cones[:PHALANX_COUNT].view(5, 3, -1)
        rooted = _smooth_minimum(phalanges[:, 0], trunk, self._base_blend)
        jointed = _smooth_minimum(phalanges[:, :2], phalanges[:, 1:], _JOINT_BLEND_MM)
        return torch.minimum(rooted.amin(0), jointed.amin((0, 1)))


def _smooth_minimum(a: torch.Tensor, b: torch.Tensor, width_mm: torch.Tensor | float) -> torch.Tensor:
    """Quadratic blend over ``width_mm`` of difference (Quilez); its gradient is a convex mix of both gradients."""
    overlap = (width_mm - (a - b).abs()).clamp_(min=0)
    return torch.minimum(a, b) - overlap * overlap / (4 * width_mm)
