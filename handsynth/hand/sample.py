"""``HandSample``: one hand in one image, the only thing formats produce and consume.

Frozen; arrays are never mutated. What a source lacks is ``None`` or a zero state, never a zero value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import J

Side = Literal["left", "right", "unknown"]
ABSENT, LABELLED, DERIVED = 0, 1, 2
"""Values of ``joint_state`` and ``keypoint_state``: not known, labelled by the source, computed from other labels."""


def _absent() -> np.ndarray:
    return np.zeros(J, dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class HandSample:
    """One hand in one image.

    Attributes:
        key: unique in its source, readable: ``B1Counting/SK_color_17``.
        rgb: (H, W, 3) uint8.
        depth_mm: (H, W) float32, camera z; NaN = no measurement.
        mask: (H, W) uint8: 0 background, 1 hand (part unknown), 2 palm, 3-17 phalanges thumb to pinky, base to tip,
            18 forearm or person.
        joints_mm: (21, 3) float32, camera frame, x right, y down, z forward; NaN where absent.
        keypoints_px: (21, 2) float32, pixel centres at integers; NaN where absent.
        joint_state, keypoint_state: (21,) uint8: 0 absent, 1 labelled, 2 derived.
        visible: (21,) bool, as labelled.
        camera: of these colour pixels (of the depth pixels where there is no colour).
        depth_camera, depth_from_color: where depth is not registered to colour.
        world_from_camera: for calibrated multi-view sources.
        side: as seen in the pixels; ``mirrored`` says the sensor flipped it.
        moment: all samples of one instant or one original share it; splits and draws never part a moment.
        extra: source points that do not fit 21 joints, (M, 2 or 3) arrays by name.
    """

    key: str
    rgb: np.ndarray | None = None
    depth_mm: np.ndarray | None = None
    mask: np.ndarray | None = None
    joints_mm: np.ndarray | None = None
    keypoints_px: np.ndarray | None = None
    joint_state: np.ndarray = field(default_factory=_absent)
    keypoint_state: np.ndarray = field(default_factory=_absent)
    visible: np.ndarray | None = None
    camera: Camera | None = None
    depth_camera: Camera | None = None
    depth_from_color: RigidTransform | None = None
    world_from_camera: RigidTransform | None = None
    side: Side = "unknown"
    mirrored: bool = False
    subject: str | None = None
    sequence: str | None = None
    frame: str | None = None
    view: str | None = None
    moment: str | None = None
    split: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected: dict[str, tuple[tuple[int, ...], Any]] = {
            "joints_mm": ((J, 3), np.float32),
            "keypoints_px": ((J, 2), np.float32),
            "joint_state": ((J,), np.uint8),
            "keypoint_state": ((J,), np.uint8),
            "visible": ((J,), np.bool_),
        }
        for name, (shape, dtype) in expected.items():
            value = getattr(self, name)
            if value is not None and (value.shape != shape or value.dtype != dtype):
                raise ValueError(
                    f"{name} of {self.key}: expected {shape} {np.dtype(dtype)}, found {value.shape} {value.dtype}"
                )
        for name, ndim, dtype in (("rgb", 3, np.uint8), ("depth_mm", 2, np.float32), ("mask", 2, np.uint8)):
            value = getattr(self, name)
            if value is not None and (value.ndim != ndim or value.dtype != dtype):
                raise ValueError(
                    f"{name} of {self.key}: expected {ndim}-d {np.dtype(dtype)}, found {value.shape} {value.dtype}"
                )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pixels; of the camera where there are none."""
        for pixels in (self.rgb, self.depth_mm, self.mask):
            if pixels is not None:
                return int(pixels.shape[0]), int(pixels.shape[1])
        if self.camera is not None:
            return self.camera.height, self.camera.width
        raise ValueError(f"{self.key} has neither pixels nor a camera, so no size")

    def projected(self) -> np.ndarray | None:
        """(21, 2) float32: ``joints_mm`` through ``camera``; None where either is missing."""
        if self.joints_mm is None or self.camera is None:
            return None
        return self.camera.project(self.joints_mm).astype(np.float32)
