"""Scenes to samples: trace, light, photograph, and write down what is known exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.camera import Camera
from handsynth.hand.joints import BASES, OTHER_BODY, PALM_PART, PHALANGES, WRIST, J
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.runtime.cluster import one_thread
from handsynth.runtime.seeds import rng as stream
from handsynth.simulator import background, sensor
from handsynth.simulator.render import cast_shadow, composite, shade
from handsynth.simulator.rigs import Lens, view_count
from handsynth.simulator.scene import Scene, SimulatorSettings, draw_scene
from handsynth.simulator.skin import to_linear
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import View, trace
from handsynth.simulator.words import words_of

_SEEN_SHARE = 0.3
_NEAR_SURFACE_MM = 6.0
_WINDOW_MM = 4.0
"""A joint is seen where this share of the square about its pixel shows skin of its parts, near enough to the joint."""


def samples_per_index(settings: SimulatorSettings) -> int:
    """How many samples one index yields: hands times views."""
    return (2 if settings.side == "both" else 1) * view_count(settings.camera)


def simulate(settings: SimulatorSettings, start: int, stop: int) -> Iterator[HandSample]:
    """Samples of the moments ``start`` to ``stop - 1``, each the same whatever range it is drawn in.

    Joints and keypoints are exact and labelled; depth is exact camera z unless the settings add noise; rgb, depth and
    mask are there as far as the camera's dataset has them. Views come first to last, hands left before right.

    Raises:
        UsageError: the range is empty backwards or starts below 0.
    """
    if not 0 <= start <= stop:
        raise UsageError(sentence("0 <= start <= stop", f"{start} to {stop}", "the range to simulate"))
    for index in range(start, stop):
        scene = draw_scene(settings, index)
        for lens in scene.rig.lenses:
            # The arrays are small, and threads waiting for each other cost many times more.
            with one_thread():
                samples = _photograph(settings, scene, lens)
            yield from samples


def _photograph(settings: SimulatorSettings, scene: Scene, lens: Lens) -> list[HandSample]:
    """The samples of one lens, one per hand."""
    camera, rig = lens.camera, scene.rig
    height, width = camera.height, camera.width
    words = words_of(settings.camera, scene.index, settings.subjects)
    surfaces, views = _views(scene, lens)
    depth, owner = _nearest(views, height, width)
    rgb = _picture(settings, scene, lens, surfaces, views) if rig.color else None
    raw_depth, depth_camera = depth, None
    if rig.depth_lens is not None:
        depth_camera = rig.depth_lens.camera
        _, seen = _views(scene, rig.depth_lens)
        raw_depth, _ = _nearest(seen, depth_camera.height, depth_camera.width)
    purpose = ("simulator", "depth", scene.index, lens.name)
    measured = sensor.measure(
        raw_depth, stream(settings.seed, *purpose), settings.depth_noise_mm, settings.depth_step_mm
    )
    samples = []
    for number, (hand, view) in enumerate(zip(scene.hands, views, strict=True)):
        mask = view.mask(height, width)
        # To this hand, the other one is somebody else's body.
        mask = np.where(owner == number, mask, np.where(owner >= 0, OTHER_BODY, 0)).astype(np.uint8)
        joints = lens.from_scene.apply(hand.joints_mm).astype(np.float32)
        keypoints = camera.project(joints)
        visible = _visible(joints, keypoints, hand.radii_mm, mask, depth, camera)
        depth_out = measured
        if rig.only_hand:
            depth_out = np.where((mask >= PALM_PART) & (mask < OTHER_BODY), measured, np.float32(np.nan))
            mask = np.where(mask < OTHER_BODY, mask, 0).astype(np.uint8)
        sample = HandSample(
            key=words.key(settings.camera, hand.side, lens.name, len(scene.hands)),
            rgb=rgb,
            depth_mm=depth_out if rig.depth else None,
            mask=mask if rig.mask else None,
            joints_mm=joints,
            keypoints_px=keypoints.astype(np.float32),
            joint_state=np.full(J, LABELLED, dtype=np.uint8),
            keypoint_state=np.full(J, LABELLED, dtype=np.uint8),
            visible=visible,
            camera=camera,
            depth_camera=depth_camera,
            depth_from_color=None if rig.depth_lens is None else rig.depth_lens.from_scene,
            side=hand.side,
            subject=words.subject,
            sequence=words.sequence,
            frame=words.frame,
            view=lens.name,
            moment=words.moment,
            split=words.split,
        )
        samples.append(sample)
    return samples


def _views(scene: Scene, lens: Lens) -> tuple[list[Surface], list[View]]:
    rotation, translation = np.array(lens.from_scene.rotation), np.array(lens.from_scene.translation_mm)
    surfaces = [Surface(hand.cones.moved(rotation, translation)) for hand in scene.hands]
    return surfaces, [trace(surface, lens.camera) for surface in surfaces]


def _nearest(views: Sequence[View], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) of the nearest hand, NaN where there is none, and whose it is (H, W), -1 for nobody's."""
    depths = np.stack([view.depth_mm(height, width) for view in views])
    filled = np.where(np.isnan(depths), np.inf, depths)
    depth = filled.min(0)
    empty = np.isinf(depth)
    return np.where(empty, np.float32(np.nan), depth), np.where(empty, -1, filled.argmin(0))


def _picture(
    settings: SimulatorSettings, scene: Scene, lens: Lens, surfaces: Sequence[Surface], views: Sequence[View]
) -> np.ndarray:
    """(H, W, 3) uint8."""
    camera = lens.camera
    look = stream(settings.seed, "simulator", "look", scene.index)
    kind = settings.backgrounds[int(look.integers(len(settings.backgrounds)))]
    # Neighbouring lenses see one wall, shifted by their distance.
    first = scene.rig.lenses[0]
    wall_mm = look.uniform(900, 2500)
    baselines = [float(other.from_scene.translation_mm[0]) for other in scene.rig.lenses]
    slide = [round(-baseline * first.camera.fx / wall_mm) for baseline in baselines]
    offset = slide[[other.name for other in scene.rig.lenses].index(lens.name)] - min(slide)
    wide = background.draw(look, kind, camera.height, camera.width + max(slide) - min(slide))
    place = to_linear(wide[:, offset : offset + camera.width]).astype(np.float32)
    exposure, blur, noise = (look.uniform(*span) for span in (settings.exposure, settings.blur_px, settings.noise))
    gains = np.clip(1 + settings.white_balance * look.standard_normal(3) * [1, 0, 1], 0.6, 1.5)
    if settings.shadows and look.random() < 0.5:
        place = cast_shadow(place, [view.mask(camera.height, camera.width) for view in views], scene.light, look)
    colors = [
        shade(surfaces, number, view, scene.skin, scene.light, settings.shadows) for number, view in enumerate(views)
    ]
    grain = stream(settings.seed, "simulator", "sensor", scene.index, lens.name)
    image = composite(place, list(zip(views, colors, strict=True)))
    return sensor.develop(image, grain, exposure, gains, blur, noise)


_PARTS_AT: tuple[frozenset[int], ...] = tuple(
    frozenset(code for code, bone in enumerate(PHALANGES, start=3) if joint in bone)
    | ({PALM_PART} if joint == WRIST or joint in BASES else frozenset())
    | ({OTHER_BODY} if joint == WRIST else frozenset())
    for joint in range(J)
)
"""Mask codes of the parts that meet in each joint."""


def _visible(
    joints_mm: np.ndarray,
    keypoints_px: np.ndarray,
    radii_mm: np.ndarray,
    mask: np.ndarray,
    depth_mm: np.ndarray,
    camera: Camera,
) -> np.ndarray:
    """(21,) whether the camera sees, near the joint's pixel, skin of the parts that meet in the joint at its depth."""
    height, width = mask.shape
    out = np.zeros(J, dtype=np.bool_)
    for joint, (u, v) in enumerate(keypoints_px):
        z = float(joints_mm[joint, 2])
        reach = max(1, round(_WINDOW_MM * camera.fx / z))
        column, row = round(float(u)), round(float(v))
        if not (0 <= column < width and 0 <= row < height):
            continue
        window = np.s_[max(row - reach, 0) : row + reach + 1, max(column - reach, 0) : column + reach + 1]
        known = np.isin(mask[window], list(_PARTS_AT[joint]))
        near = np.abs(np.nan_to_num(depth_mm[window], nan=np.inf) - z) < radii_mm[joint] + _NEAR_SURFACE_MM
        out[joint] = (known & near).mean() >= _SEEN_SHARE
    return out
