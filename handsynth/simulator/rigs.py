"""Where cameras stand around hands: a preset's lens by itself, a stereo pair, or several calibrated ones all around.

A rig is drawn first; then the hands are placed before it, and pictures that are cut around hands are cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.simulator.presets import (
    PRESETS,
    STAY,
    CameraName,
    Preset,
    image_side,
    names_in,
    published_camera,
    published_transform,
)

_FREE = Camera(1000.0, 1000.0, 0.0, 0.0, 1, 1)
"""Stands for a lens whose numbers follow from the picture."""
_ASIDE = 0.2  # how far off the axis the hands of a free crop may be, as a share of their distance
_MARGIN = 0.05  # of the shorter image side, kept free around the joints
_TRIES = 60
_ELEVATION = (-0.15, 0.95)  # sine of the height of cameras around the hands: from a little below to nearly above
_GOLDEN = np.pi * (3 - np.sqrt(5))
_WANDER_MM = 40.0  # standard deviation of the hands' place within a rig of several cameras


@dataclass(frozen=True)
class Lens:
    """One camera of a rig; the scene's frame is that of the rig's first lens.

    Attributes:
        name: of the view; None where the dataset gives none.
        camera: of the image.
        from_scene: to this camera's frame.
        depth_camera, depth_from_color: where the depth sensor is another camera.
    """

    name: str | None
    camera: Camera
    from_scene: RigidTransform = STAY
    depth_camera: Camera | None = None
    depth_from_color: RigidTransform = STAY


@dataclass(frozen=True)
class Rig:
    """What photographs a moment.

    Attributes:
        lenses: each gives samples of its own.
        center_mm: (3,) where the lenses of a calibrated rig look, scene frame.
        calibrated: whether the lenses stand in one known world, which is the scene.
        registered: whether depth is given at the colour pixels.
        color, depth, mask: which pixels the samples hold.
        only_hand: depth and mask leave the forearm out.
    """

    lenses: tuple[Lens, ...]
    center_mm: np.ndarray
    calibrated: bool = False
    registered: bool = True
    color: bool = True
    depth: bool = True
    mask: bool = True
    only_hand: bool = False

    @property
    def eyes(self) -> np.ndarray:
        """(V, 3) unit vectors from the centre to the lenses, scene frame."""
        places = np.array([lens.from_scene.inverse().translation_mm for lens in self.lenses])
        away = places - self.center_mm
        return np.asarray(away / np.linalg.norm(away, axis=-1, keepdims=True))


def view_count(name: CameraName, views: int) -> int:
    """Samples per hand and moment; ``views`` 0 is as many as the dataset has."""
    preset = PRESETS[name]
    return 2 if preset.beside else views or preset.views


def draw_rig(name: CameraName, rng: np.random.Generator, views: int = 0, registered: bool | None = None) -> Rig:
    """Draw the cameras of a preset, at their publisher's size.

    Args:
        name: which cameras.
        rng: for free intrinsics and places.
        views: how many; 0 is as many as the dataset has.
        registered: whether depth is given at the colour pixels; None is as in the dataset.
    """
    preset, count = PRESETS[name], view_count(name, views)
    distances = rng.uniform(*preset.range_mm, count)
    places = _around(rng, distances) if count > 1 and not preset.beside else [STAY]
    if preset.beside:
        places = [STAY, published_transform(preset.beside)]
    lenses = []
    for number, place in enumerate(places):
        camera = published_camera(preset.lens) if preset.lens else _FREE
        if preset.focal_px:
            focal = float(rng.uniform(*preset.focal_px))
            camera = replace(camera, fx=focal, fy=focal)
        depth_camera, move = None, STAY
        if preset.depth_lens is not None:
            depth_camera = published_camera(preset.depth_lens)
            move = published_transform(preset.depth_from_color)
            if preset.color_from_depth is not None:
                move = published_transform(preset.color_from_depth).inverse()
        lenses.append(Lens(_view_name(preset, number, count), camera, place, depth_camera, move))
    return Rig(
        tuple(lenses),
        np.array([0.0, 0.0, distances[0]]),
        calibrated=count > 1 and not preset.beside,
        registered=registered if registered is not None else preset.registered or preset.depth_lens is None,
        color=preset.color,
        depth=preset.depth,
        mask=preset.mask,
        only_hand=preset.only_hand,
    )


def place(
    name: CameraName, rig: Rig, rng: np.random.Generator, points_mm: np.ndarray, size: int, scale: float
) -> tuple[Rig, np.ndarray]:
    """Draw where the hands stand before a rig, so that every lens sees every joint, and cut pictures around them.

    Two large hands may not fit a rig that stands still; they are then placed at its centre.

    Args:
        name: which cameras.
        rig: of :func:`draw_rig`.
        rng: for distance and place.
        points_mm: (K, 3) joints of all hands about any origin, camera axes.
        size: image side where the publisher has none, px.
        scale: factor on all image sizes; cameras follow.

    Returns:
        The rig with the final cameras, and the translation (3,) mm to add to the points.
    """
    preset, middle = PRESETS[name], (points_mm.min(0) + points_mm.max(0)) / 2
    shift = np.zeros(3)
    for attempt in range(_TRIES):
        shift = _aim(preset, rig, rng, attempt) - middle
        if _seen(preset, rig, points_mm + shift):
            break
    side = image_side(name, size)
    lenses = [_framed(preset, lens, rng, lens.from_scene.apply(points_mm + shift), side) for lens in rig.lenses]
    return replace(rig, lenses=tuple(_scaled(lens, scale) for lens in lenses)), shift


def _around(rng: np.random.Generator, distances_mm: np.ndarray) -> list[RigidTransform]:
    """Cameras on the upper hemisphere that look at one centre, evenly spread; moves from the first one's frame."""
    count = len(distances_mm)
    first = rng.uniform(0, 2 * np.pi)
    share = (rng.permutation(count) + rng.uniform(0.2, 0.8, count)) / count
    sines = _ELEVATION[0] + share * (_ELEVATION[1] - _ELEVATION[0])
    turns = first + _GOLDEN * np.arange(count) + rng.normal(0, 0.1, count)
    moves = []
    for sine, turn, distance in zip(sines, turns, distances_mm, strict=True):
        # In a room with y down: the way the camera looks, its right hand level, its down nearest to down.
        forward = -np.array([np.sqrt(1 - sine**2) * np.sin(turn), -sine, np.sqrt(1 - sine**2) * np.cos(turn)])
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward])
        moves.append(RigidTransform.of(rotation, np.array([0.0, 0.0, distance])))
    back = moves[0].inverse()
    return [STAY, *(move.compose(back) for move in moves[1:])]


def _view_name(preset: Preset, number: int, count: int) -> str | None:
    if preset.views_of:
        assert preset.manifest is not None
        names = names_in(preset.manifest, preset.views_of)
        return names[number] if number < len(names) else f"{number:012d}"
    if preset.beside:
        return ("BB_left", "BB_right")[number]
    if preset.view is None:
        return None if count == 1 else f"view_{number}"
    name = preset.view.format(number + preset.view_base)
    return name if "{" in preset.view or count == 1 else f"{name}_{number}"


def _aim(preset: Preset, rig: Rig, rng: np.random.Generator, attempt: int) -> np.ndarray:
    """(3,) mm a place for the middle of the hands, scene frame; safer with every attempt."""
    if rig.calibrated:
        return np.asarray(rig.center_mm + rng.normal(0, _WANDER_MM, 3) * (1 - (attempt + 1) / _TRIES))
    z = rng.uniform(*preset.range_mm) * max(1.0, 0.75 + attempt / 20)  # step back while the hands do not fit
    camera = rig.lenses[0].camera
    if preset.picture == "centred":
        return np.array([*(rng.normal(0, 0.02, 2) * z), z])
    if preset.lens is None:
        return np.array([*(rng.uniform(-_ASIDE, _ASIDE, 2) * z), z])
    aim = rng.uniform([0.25, 0.25], [0.75, 0.75]) * [camera.width - 1, camera.height - 1]
    return camera.lift(aim, np.array(z))


def _seen(preset: Preset, rig: Rig, points_mm: np.ndarray) -> bool:
    if preset.lens is None:
        return True
    for lens in rig.lenses:
        points = lens.from_scene.apply(points_mm)
        if not _inside(lens.camera, points):
            return False
        if lens.depth_camera is not None and not _inside(lens.depth_camera, lens.depth_from_color.apply(points)):
            return False
    return True


def _inside(camera: Camera, points_mm: np.ndarray) -> bool:
    pixels = camera.project(points_mm)
    margin = _MARGIN * min(camera.width, camera.height)
    return bool(((pixels >= margin) & (pixels <= [camera.width - 1 - margin, camera.height - 1 - margin])).all())


def _framed(preset: Preset, lens: Lens, rng: np.random.Generator, points_mm: np.ndarray, size: int) -> Lens:
    """The lens with the camera of its picture; points are in its own frame."""
    if preset.picture == "whole":
        return lens
    fill = rng.uniform(*preset.fill)
    if preset.picture == "centred":
        reach = float(np.abs(points_mm[:, :2] / points_mm[:, 2:]).max())
        focal = fill * size / 2 / reach
        return replace(lens, camera=Camera(focal, focal, size / 2, size / 2, size, size))
    pixels = lens.camera.project(points_mm)
    low, high = pixels.min(0), pixels.max(0)
    scale = fill * size / float((high - low).max())
    jitter = rng.uniform(-0.25, 0.25, 2) * (1 - fill) * size
    x, y = ((size - 1) / 2 - scale * (low + high) / 2 + jitter).tolist()
    return replace(lens, camera=lens.camera.warped(scale, scale, x, y, size, size))


def _scaled(lens: Lens, scale: float) -> Lens:
    """The lens with its images resized: u' = (u + 1/2) s - 1/2."""
    if scale == 1:
        return lens

    def resize(camera: Camera) -> Camera:
        width, height = (max(8, round(side * scale)) for side in (camera.width, camera.height))
        shift = 0.5 * scale - 0.5
        return camera.warped(scale, scale, shift, shift, width, height)

    depth_camera = resize(lens.depth_camera) if lens.depth_camera else None
    return replace(lens, camera=resize(lens.camera), depth_camera=depth_camera)
