"""What stands before simulated hands: for each dataset, and some sensors, its cameras, what they record and from where.

Published numbers (intrinsics, baselines, image sizes, sides) stand in ``manifests/*.toml`` and are read from there.
Distances are chosen after what the datasets show; where a camera's numbers are not published the table says whence they
come: measured on samples at hand, or chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, cast

import numpy as np

from handsynth.hand.camera import Camera, RigidTransform
from handsynth.runtime import files
from handsynth.runtime.settings import load_toml

CameraName = Literal[
    "crop",
    "dexycb",
    "fpha",
    "freihand",
    "ganerated",
    "ge_realworld",
    "ge_synthetic",
    "hanco",
    "handpose_x_plus",
    "ho3d",
    "icvl",
    "interhand26m",
    "kinect_v2",
    "mhp",
    "msra15",
    "nyu",
    "panoptic",
    "rhd",
    "sr300",
    "stb_bb",
    "stb_sk",
]

Published = tuple[str, str]
"""Manifest, and name of a camera or of a transform in it."""

STAY = RigidTransform.of(np.eye(3), np.zeros(3))


@dataclass(frozen=True)
class Preset:
    """One kind of recording.

    Attributes:
        range_mm: nearest and farthest distance of the middle of the hands (of the rig's centre in a rig of several).
        lens: the camera: a published one or its numbers; None leaves the focal length to the picture.
        picture: how the image lies in what the camera sees: ``whole``; ``cut``, a square around the hands from a larger
            picture; ``centred``, a square whose middle is the optical axis, as wide as the hands need.
        fill: for ``cut`` and ``centred``, the joints' share of the image's side, lowest and highest.
        focal_px: range of the focal length, where every moment or rig has its own.
        beside: where a second lens stands from the first: a stereo pair.
        depth_lens: the sensor's own depth camera, where it is another one.
        depth_from_color, color_from_depth: how they lie to each other; the second where that is what is published.
        registered: whether depth is given at the colour pixels all the same.
        views: how many cameras look at a moment; several are calibrated and stay where they are for a sequence.
        view: name of each view, with its number in braces; None for one without a name.
        views_of: group of names in the manifest that the views have instead.
        color, depth, mask: which pixels the samples hold.
        only_hand: depth and mask leave the forearm out.
        manifest: whose sides and image size hold; None for sensors that are no dataset.
        side_by_sequence: whether all of a sequence shows one side.
        most_subjects: people that the publishers' words can name apart.
    """

    range_mm: tuple[float, float]
    lens: Published | Camera | None = None
    picture: Literal["whole", "cut", "centred"] = "whole"
    fill: tuple[float, float] = (0.55, 0.8)
    focal_px: tuple[float, float] | None = None
    beside: Published | None = None
    depth_lens: Published | Camera | None = None
    depth_from_color: Published | RigidTransform = STAY
    color_from_depth: Published | None = None
    registered: bool = False
    views: int = 1
    view: str | None = None
    view_base: int = 0
    views_of: str | None = None
    color: bool = True
    depth: bool = True
    mask: bool = True
    only_hand: bool = False
    manifest: str | None = None
    side_by_sequence: bool = False
    most_subjects: int | None = None


# RealSense D415 as the toolkits of DexYCB and HO-3D give it: depth warped into the colour camera, whose numbers are
# near DexYCB's nominal ones. The distance of colour from the left infrared camera is 15 mm by its data sheet.
_D415: Published = ("dexycb", "nominal")
_D415_COLOR = RigidTransform.of(np.eye(3), np.array([15.0, 0.0, 0.0]))

PRESETS: dict[CameraName, Preset] = {
    "crop": Preset((300, 500), picture="cut"),
    "dexycb": Preset(
        (650, 950),
        _D415,
        depth_lens=_D415,
        depth_from_color=_D415_COLOR,
        registered=True,
        views=8,
        views_of="serials",
        side_by_sequence=True,
        manifest="dexycb",
        most_subjects=10,
    ),
    # Intel SR300 on the shoulder: an arm's length.
    "fpha": Preset(
        (350, 600),
        ("fpha", "color"),
        depth_lens=("fpha", "depth"),
        color_from_depth=("fpha", "color_from_depth"),
        manifest="fpha",
        most_subjects=6,
    ),
    # Two training samples at hand: focal lengths 389 and 467 px, principal point at the centre, 0.66 and 0.81 m.
    "freihand": Preset((550, 850), picture="centred", fill=(0.45, 0.75), depth=False, manifest="freihand"),
    "ganerated": Preset((300, 550), ("ganerated", "original"), "cut", depth=False, mask=False, manifest="ganerated"),
    "ge_realworld": Preset(
        (350, 600), ("ge_realworld", "original"), "cut", depth=False, mask=False, manifest="ge_realworld"
    ),
    "ge_synthetic": Preset(
        (400, 700), picture="centred", depth=False, views=4, view="cam{:02d}", view_base=1, manifest="ge_synthetic"
    ),
    "hanco": Preset((600, 900), picture="cut", depth=False, views=8, view="cam{}", manifest="hanco"),
    # The numbers in its samples' own files.
    "handpose_x_plus": Preset(
        (300, 500), Camera(498.136505, 498.22818, 317.334106, 233.805847, 640, 480), manifest="handpose_x_plus"
    ),
    "ho3d": Preset(
        (450, 800),
        _D415,
        depth_lens=_D415,
        depth_from_color=_D415_COLOR,
        registered=True,
        views=5,
        view="{}",
        manifest="ho3d",
    ),
    "icvl": Preset((260, 450), ("icvl", "depth"), color=False, manifest="icvl"),
    # Four test images at hand: focal lengths 1262 to 1274 px, about 1 m; the principal point is chosen at the centre.
    "interhand26m": Preset(
        (950, 1150),
        Camera(1267.0, 1267.0, 255.5, 166.5, 512, 334),
        focal_px=(1255, 1280),
        depth=False,
        mask=False,
        views=8,
        view="cam{:06d}",
        view_base=400000,
        manifest="interhand26m",
    ),
    # The device's usual factory calibration, as open drivers start from it; 52 mm between its cameras.
    "kinect_v2": Preset(
        (550, 1000),
        Camera(1081.37, 1081.37, 959.5, 539.5, 1920, 1080),
        depth_lens=Camera(365.456, 365.456, 254.878, 205.395, 512, 424),
        depth_from_color=RigidTransform.of(np.eye(3), np.array([-52.0, 0.0, 0.0])),
    ),
    "mhp": Preset(
        (450, 700),
        ("mhp", "webcam"),
        depth=False,
        mask=False,
        views=4,
        view="webcam_{}",
        view_base=1,
        manifest="mhp",
    ),
    "msra15": Preset((260, 420), ("msra15", "depth"), color=False, only_hand=True, manifest="msra15", most_subjects=9),
    # PrimeSense; the publishers warped colour into the depth camera.
    "nyu": Preset((550, 950), ("nyu", "kinect"), manifest="nyu"),
    # HD cameras of the dome; their numbers differ from camera to camera and are chosen here.
    "panoptic": Preset(
        (1800, 2600),
        Camera(1400.0, 1400.0, 959.5, 539.5, 1920, 1080),
        focal_px=(1350, 1650),
        depth=False,
        mask=False,
        views=6,
        view="00_{:02d}",
        manifest="panoptic",
    ),
    # Measured on its samples.
    "rhd": Preset((300, 480), Camera(285.0, 285.0, 160.0, 160.0, 320, 320), focal_px=(260, 310), manifest="rhd"),
    # FPHA's device, on a desk.
    "sr300": Preset(
        (300, 600),
        ("fpha", "color"),
        depth_lens=("fpha", "depth"),
        color_from_depth=("fpha", "color_from_depth"),
    ),
    "stb_bb": Preset(
        (480, 680),
        ("stb", "bb"),
        beside=("stb", "bb_right_from_left"),
        depth=False,
        mask=False,
        manifest="stb",
    ),
    "stb_sk": Preset(
        (380, 600),
        ("stb", "sk_color"),
        depth_lens=("stb", "sk_depth"),
        depth_from_color=("stb", "sk_depth_from_color"),
        view="SK_color",
        manifest="stb",
    ),
}


def fixed_side(name: CameraName) -> Literal["left", "right"] | None:
    """The side of the hand in datasets that show one side only."""
    manifest = PRESETS[name].manifest
    sides: list[str] = _manifest(manifest)["sides"] if manifest else []
    return cast(Literal["left", "right"], sides[0]) if len(sides) == 1 else None


def image_side(name: CameraName, size: int) -> int:
    """Side of a square picture, px: the publisher's; ``size`` where there is none."""
    manifest = PRESETS[name].manifest
    return int(_manifest(manifest)["image_size"][0]) if manifest else size


def names_in(manifest: str, group: str) -> tuple[str, ...]:
    """A list of names that a manifest holds: one of its ``groups``, or ``test``."""
    entries = _manifest(manifest)
    return tuple(entries["test"] if group == "test" else entries["groups"][group])


def published_camera(lens: Published | Camera) -> Camera:
    """The camera of a preset."""
    if isinstance(lens, Camera):
        return lens
    entry = _manifest(lens[0])["cameras"][lens[1]]
    return Camera(**{**entry, "distortion": tuple(entry.get("distortion", ()))})


def published_transform(move: Published | RigidTransform) -> RigidTransform:
    """The transform of a preset, whichever way it leads."""
    if isinstance(move, RigidTransform):
        return move
    entry = _manifest(move[0])["transforms"][move[1]]
    return RigidTransform.of(np.array(entry.get("rotation_vector", (0.0, 0.0, 0.0))), np.array(entry["translation_mm"]))


@cache
def _manifest(name: str) -> dict[str, Any]:
    return load_toml(files.shipped("manifests") / f"{name}.toml")
