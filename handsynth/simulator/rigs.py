"""The cameras hands are seen with: a free crop, and those of RHD, STB (RealSense, Bumblebee2) and MSRA15.

Numbers of the published cameras: RHD by measurement of its samples, STB from its README, MSRA15 from its readme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform

CameraName = Literal["crop", "rhd", "stb_sk", "stb_bb", "msra15"]

FIXED_SIDE: dict[str, Literal["left", "right"]] = {"stb_sk": "left", "stb_bb": "left", "msra15": "right"}
"""Side of the hand in datasets that show one side only."""

_STAY = RigidTransform.of(np.eye(3), np.zeros(3))
_STB_COLOR = Camera(607.92271, 607.88192, 314.78337, 236.42484, 640, 480)
_STB_DEPTH = Camera(475.62768, 474.77709, 336.41179, 238.77962, 640, 480)
_STB_DEPTH_FROM_COLOR = RigidTransform.of(
    np.array([0.00531, -0.01196, 0.00301]), np.array([-24.0381, -0.4563, -1.2326])
)
_STB_STEREO = Camera(822.79041, 822.79041, 318.47345, 250.31296, 640, 480)
_STB_BASELINE_MM = 120.054
_MSRA = Camera(241.42, 241.42, 160.0, 120.0, 320, 240)
_RHD_FOCAL_PX = (260.0, 310.0)
_RANGE_MM: dict[str, tuple[float, float]] = {
    "crop": (300.0, 500.0),
    "rhd": (300.0, 480.0),
    "stb_sk": (380.0, 600.0),
    "stb_bb": (480.0, 680.0),
    "msra15": (260.0, 420.0),
}
_CROP_FILL = (0.55, 0.8)
_MARGIN = 0.05  # of the shorter image side, kept free around the joints
_TRIES = 60


@dataclass(frozen=True)
class Lens:
    """One camera of a rig; the scene's frame is that of the rig's first lens."""

    name: str | None
    camera: Camera
    from_scene: RigidTransform = _STAY


@dataclass(frozen=True)
class Rig:
    """What photographs a moment.

    Attributes:
        lenses: each gives samples of its own.
        depth_lens: where depth is not registered to the first lens.
        color, depth, mask: which pixels the samples hold.
        only_hand: depth and mask leave the forearm out.
    """

    lenses: tuple[Lens, ...]
    depth_lens: Lens | None = None
    color: bool = True
    depth: bool = True
    mask: bool = True
    only_hand: bool = False


def view_count(name: CameraName) -> int:
    """Samples per hand and moment."""
    return 2 if name == "stb_bb" else 1


def place(
    name: CameraName, rng: np.random.Generator, points_mm: np.ndarray, size: int, scale: float
) -> tuple[Rig, np.ndarray]:
    """Draw a rig and where the hands stand before it, so that every lens sees every joint.

    Args:
        name: which cameras.
        rng: for distance, place and free intrinsics.
        points_mm: (K, 3) joints of all hands about any origin, camera axes.
        size: image side of "crop", px.
        scale: factor on all image sizes; cameras follow.

    Returns:
        The rig and the translation (3,) mm to add to the points.
    """
    center = (points_mm.min(0) + points_mm.max(0)) / 2
    if name == "crop":
        z = rng.uniform(*_RANGE_MM[name])
        shift = np.array([*rng.uniform(-0.2, 0.2, 2) * z, z]) - center
        return _scaled(Rig((Lens(None, _crop_camera(rng, points_mm + shift, size)),)), scale), shift
    rig = _rig(name, rng)
    near, far = _RANGE_MM[name]
    for attempt in range(_TRIES):
        z = rng.uniform(near, far) * max(1.0, 0.75 + attempt / 20)  # step back while the hands do not fit
        camera = rig.lenses[0].camera
        aim = rng.uniform([0.25, 0.25], [0.75, 0.75]) * [camera.width - 1, camera.height - 1]
        shift = camera.lift(aim, np.array(z)) - center
        if _seen(rig, points_mm + shift):
            break
    return _scaled(rig, scale), shift


def _rig(name: CameraName, rng: np.random.Generator) -> Rig:
    if name == "rhd":
        focal = rng.uniform(*_RHD_FOCAL_PX)
        return Rig((Lens(None, Camera(focal, focal, 160.0, 160.0, 320, 320)),))
    if name == "stb_sk":
        return Rig((Lens("SK_color", _STB_COLOR),), Lens("SK_depth", _STB_DEPTH, _STB_DEPTH_FROM_COLOR))
    if name == "stb_bb":
        right = RigidTransform.of(np.eye(3), np.array([-_STB_BASELINE_MM, 0.0, 0.0]))
        lenses = (Lens("BB_left", _STB_STEREO), Lens("BB_right", _STB_STEREO, right))
        return Rig(lenses, depth=False, mask=False)
    return Rig((Lens(None, _MSRA),), color=False, only_hand=True)


def _crop_camera(rng: np.random.Generator, points_mm: np.ndarray, size: int) -> Camera:
    """The camera of a square crop around the joints, cut from a larger picture."""
    flat = points_mm[:, :2] / points_mm[:, 2:]
    low, high = flat.min(0), flat.max(0)
    fill = rng.uniform(*_CROP_FILL)
    focal = fill * size / float((high - low).max())
    jitter = rng.uniform(-0.25, 0.25, 2) * (1 - fill) * size
    cx, cy = (size - 1) / 2 - focal * (low + high) / 2 + jitter
    return Camera(focal, focal, float(cx), float(cy), size, size)


def _seen(rig: Rig, points_mm: np.ndarray) -> bool:
    lenses: Sequence[Lens] = (*rig.lenses, *([rig.depth_lens] if rig.depth_lens else []))
    for lens in lenses:
        camera = lens.camera
        pixels = camera.project(lens.from_scene.apply(points_mm))
        margin = _MARGIN * min(camera.width, camera.height)
        if not ((pixels >= margin) & (pixels <= [camera.width - 1 - margin, camera.height - 1 - margin])).all():
            return False
    return True


def _scaled(rig: Rig, scale: float) -> Rig:
    """The rig with all images resized: u' = (u + 1/2) s - 1/2."""
    if scale == 1:
        return rig

    def resize(lens: Lens) -> Lens:
        width, height = (max(8, round(side * scale)) for side in (lens.camera.width, lens.camera.height))
        shift = 0.5 * scale - 0.5
        return replace(lens, camera=lens.camera.warped(scale, scale, shift, shift, width, height))

    depth_lens = resize(rig.depth_lens) if rig.depth_lens else None
    return replace(rig, lenses=tuple(resize(lens) for lens in rig.lenses), depth_lens=depth_lens)
