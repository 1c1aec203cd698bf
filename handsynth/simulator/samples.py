"""Scenes to samples: trace, light, photograph, and write down what is known exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.camera import Camera
from handsynth.hand.joints import BASES, OTHER_BODY, PALM_PART, PHALANGES, WRIST, J
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.imaging.registration import register_depth
from handsynth.runtime.cluster import one_thread
from handsynth.runtime.seeds import rng as stream
from handsynth.simulator.depth_sensor import measure
from handsynth.simulator.picture import Stage, draw_stage, picture
from handsynth.simulator.rigs import Lens, view_count
from handsynth.simulator.scene import Scene, SimulatorSettings, draw_scene
from handsynth.simulator.sight import Device, Glance, Sight, see_all
from handsynth.simulator.words import Words

BATCH = 16
"""Moments, or fitted poses, whose hands a GPU traces and paints together."""
_SEEN_SHARE = 0.3
_NEAR_SURFACE_MM = 6.0
_WINDOW_MM = 4.0
"""A joint is seen where this share of the square about its pixel shows skin of its parts, near enough to the joint."""


def samples_per_index(settings: SimulatorSettings) -> int:
    """How many samples one index yields: hands times views."""
    return (2 if settings.side == "both" else 1) * view_count(settings.camera, settings.views)


def simulate(settings: SimulatorSettings, start: int, stop: int, device: Device = "cpu") -> Iterator[HandSample]:
    """Samples of the moments ``start`` to ``stop - 1``, each the same whatever range it is drawn in.

    Joints and keypoints are exact and labelled; depth is exact camera z unless the settings name a sensor; rgb, depth
    and mask are there as far as the camera's dataset has them. Views come first to last, hands left before right.
    With device ``cuda`` a GPU traces and paints the hands of several moments at once; results then differ by rounding.

    Raises:
        UsageError: the range is empty backwards or starts below 0; there is no GPU.
    """
    if not 0 <= start <= stop:
        raise UsageError(sentence("0 <= start <= stop", f"{start} to {stop}", "the range to simulate"))
    batch = BATCH if device == "cuda" else 1
    for first in range(start, stop, batch):
        scenes = [draw_scene(settings, index) for index in range(first, min(first + batch, stop))]
        shots = [Shot(scene, lens, settings.words(scene.index)) for scene in scenes for lens in scene.rig.lenses]
        for samples in photographs(settings, shots, device):
            yield from samples


def warm_up() -> None:
    """Compile what ``simulate`` uses, or load it from the cache of an earlier run: once, before workers start."""
    for _ in simulate(SimulatorSettings(size=16), 0, 1):
        pass


@dataclass(frozen=True)
class Shot:
    """One lens of a scene's rig, and what the moment is called."""

    scene: Scene
    lens: Lens
    words: Words


def photographs(
    settings: SimulatorSettings, shots: Sequence[Shot], device: Device = "cpu"
) -> Iterator[list[HandSample]]:
    """The samples of each shot, one per hand of its scene; on a GPU the hands of all shots are traced and
    painted together.

    Args:
        settings: of the looks and the depth sensor.
        shots: what is photographed.
        device: what traces and paints the hands.

    Raises:
        UsageError: there is no GPU.
    """
    # The arrays are small, and threads waiting for each other cost many times more.
    with one_thread():
        stages = [_stage(settings, shot) for shot in shots]
    glances = [_glances(settings, shot, stage) for shot, stage in zip(shots, stages, strict=True)]
    sights = see_all([glance for some in glances for glance in some], device)
    for shot, stage, some in zip(shots, stages, glances, strict=True):
        with one_thread():
            samples = _developed(settings, shot, stage, list(islice(sights, len(some))))
        yield samples


def _stage(settings: SimulatorSettings, shot: Shot) -> Stage | None:
    """What is around the hands, if there is a colour camera."""
    return draw_stage(settings.looks, settings.seed, shot.scene, shot.lens) if shot.scene.rig.color else None


def _glances(settings: SimulatorSettings, shot: Shot, stage: Stage | None) -> list[Glance]:
    """What has to be seen for the samples of a shot: the colour camera's picture, then the depth sensor's own if any.

    Exact depth at the colour pixels needs no other camera.
    """
    scene, lens = shot.scene, shot.lens
    glances = [Glance(scene, lens.from_scene, lens.camera, stage.paint if stage else None)]
    apart = settings.depth_sensor != "none" or not scene.rig.registered
    if scene.rig.depth and lens.depth_camera is not None and apart:
        glances.append(Glance(scene, lens.depth_from_color.compose(lens.from_scene), lens.depth_camera))
    return glances


def _developed(
    settings: SimulatorSettings, shot: Shot, stage: Stage | None, sights: Sequence[Sight]
) -> list[HandSample]:
    """The samples of one shot from what was seen, as ``_glances`` lists it."""
    scene, lens = shot.scene, shot.lens
    camera, rig, sight = lens.camera, scene.rig, sights[0]
    depth, owner = sight.depth_mm, sight.owner
    rgb = picture(settings.looks, settings.seed, scene, lens, stage, sight) if stage else None
    apart = lens.depth_camera is not None and not rig.registered
    measured = _measured(settings, scene, lens, sights[-1].depth_mm) if rig.depth else None
    samples = []
    for number, hand in enumerate(scene.hands):
        # To this hand, the other one is somebody else's body.
        mask = np.where((owner >= 0) & (owner != number), np.uint8(OTHER_BODY), sight.parts)
        joints = lens.from_scene.apply(hand.joints_mm).astype(np.float32)
        keypoints = camera.project(joints)
        visible = _visible(joints, keypoints, hand.radii_mm, mask, depth, camera)
        depth_out = measured
        if rig.only_hand and measured is not None:
            depth_out = np.where((mask >= PALM_PART) & (mask < OTHER_BODY), measured, np.float32(np.nan))
            mask = np.where(mask < OTHER_BODY, mask, 0).astype(np.uint8)
        named = shot.words.in_view(settings.camera, lens.name)
        sample = HandSample(
            key=named.key(settings.camera, hand.side, lens.name, len(scene.hands)),
            rgb=rgb,
            depth_mm=depth_out,
            mask=mask if rig.mask else None,
            joints_mm=joints,
            keypoints_px=keypoints.astype(np.float32),
            joint_state=np.full(J, LABELLED, dtype=np.uint8),
            keypoint_state=np.full(J, LABELLED, dtype=np.uint8),
            visible=visible,
            camera=camera,
            depth_camera=lens.depth_camera if apart else None,
            depth_from_color=lens.depth_from_color if apart else None,
            world_from_camera=lens.from_scene.inverse() if rig.calibrated else None,
            side=hand.side,
            subject=named.subject,
            sequence=named.sequence,
            frame=named.frame,
            view=lens.name,
            moment=named.moment,
            split=named.split,
        )
        samples.append(sample)
    return samples


def _measured(settings: SimulatorSettings, scene: Scene, lens: Lens, depth_mm: np.ndarray) -> np.ndarray:
    """What the sensor gives of the exact depth that its camera sees, there or warped to colour."""
    sensor_camera, exact = lens.depth_camera, settings.depth_sensor == "none"
    camera = sensor_camera or lens.camera
    random = stream(settings.seed, "simulator", "depth", scene.index, lens.name)
    measured = measure(depth_mm, camera, random, settings.depth_sensor, settings.depth_strength)
    if sensor_camera is not None and scene.rig.registered and not exact:
        return register_depth(measured, sensor_camera, lens.camera, lens.depth_from_color.inverse())
    return measured


def _meets(joint: int) -> list[bool]:
    """Whether the part of each mask code is one of those that meet in a joint."""
    codes = {code for code, bone in enumerate(PHALANGES, start=3) if joint in bone}
    codes |= {PALM_PART} if joint == WRIST or joint in BASES else set()
    codes |= {OTHER_BODY} if joint == WRIST else set()
    return [code in codes for code in range(OTHER_BODY + 1)]


_MEETS = np.array([_meets(joint) for joint in range(J)])
"""(21, 19) bool, by joint and mask code."""


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
        near = np.abs(depth_mm[window] - z) < radii_mm[joint] + _NEAR_SURFACE_MM  # never where nothing is
        seen = _MEETS[joint][mask[window]] & near
        out[joint] = np.count_nonzero(seen) / seen.size >= _SEEN_SHARE
    return out
