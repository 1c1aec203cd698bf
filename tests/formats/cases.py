"""How each format is tried in the shared test: with which simulated hands, and what its layout cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from handsynth.formats.layout import of_side
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera
from handsynth.hand.joints import BACKGROUND, HAND, OTHER_BODY
from handsynth.hand.sample import HandSample
from handsynth.imaging.registration import fitted, register_depth, registered, seen_by


def as_they_are(sample: HandSample) -> HandSample:
    """Simulated samples that fit the layout already."""
    return sample


def published(name: str, camera: str) -> Callable[[HandSample], HandSample]:
    """Samples of a dataset's only side and through its camera, by its manifest."""
    manifest = load_manifest(name)
    return lambda sample: seen_by(of_side(sample, manifest.sides[0]), manifest.camera(camera))


def freiburg_crop(sample: HandSample) -> HandSample:
    """A right hand in 224 x 224, its mask a whole hand."""
    right = of_side(sample, "right")
    assert right.camera is not None
    fits = seen_by(right, fitted(right.camera, 224, 224))
    assert fits.mask is not None
    return replace(fits, mask=((fits.mask > 0) & (fits.mask < 18)).astype(np.uint8))


def right_registered(sample: HandSample) -> HandSample:
    """A right hand with depth at its colour pixels, in 640 x 480."""
    right = registered(of_side(sample, "right"))
    assert right.camera is not None
    return seen_by(right, fitted(right.camera, 640, 480))


def freihand_crop(sample: HandSample) -> HandSample:
    """As :func:`freiburg_crop`; masks of training only."""
    fits = freiburg_crop(sample)
    return replace(fits, mask=None) if sample.split == "test" else fits


def ge_render(sample: HandSample) -> HandSample:
    """The optical axis at the centre of 256 x 256, a mask without parts, and the publishers' word for held out."""
    assert sample.mask is not None
    mask = ((sample.mask >= HAND) & (sample.mask < OTHER_BODY)).astype(np.uint8)
    centred = seen_by(replace(sample, mask=mask), Camera(400.0008, 400.0008, 128.0, 128.0, 256, 256))
    return replace(centred, split="val" if sample.split == "test" else sample.split)


def through(camera: Camera) -> Callable[[HandSample], HandSample]:
    """Samples as the dataset's own camera sees them, so that nothing need be resampled when they are written."""
    return lambda sample: seen_by(sample, camera)


def registered_hand(sample: HandSample) -> HandSample:
    """Samples with depth at their colour pixels and a mask of the hand as a whole."""
    mask = sample.mask
    if mask is not None:
        mask = np.where((mask >= HAND) & (mask < OTHER_BODY), HAND, BACKGROUND).astype(np.uint8)
    return replace(registered(sample), mask=mask)


def fpha_rig(sample: HandSample) -> HandSample:
    """Right hands as FPHA's colour camera sees them, with depth in its depth camera."""
    manifest = load_manifest("fpha")
    color, depth = manifest.camera("color"), manifest.camera("depth")
    move = manifest.transform("color_from_depth").inverse()
    right = seen_by(registered(of_side(sample, "right")), color)
    assert right.depth_mm is not None
    return replace(
        right,
        depth_mm=np.rint(register_depth(right.depth_mm, color, depth, move)),
        depth_camera=depth,
        depth_from_color=move,
    )


@dataclass(frozen=True)
class Case:
    """One way to try a format.

    Attributes:
        format: its name.
        camera: simulated camera that stands in for the dataset's, see ``tests.formats.samples.simulated``.
        options: of the format, such that nothing is lost.
        prepare: makes a simulated sample what the layout holds, its camera above all; the declared fields of the
            result come back.
        absent: joints that the layout has no place for and no way to derive.
        mirrored: whether the dataset's sensor flips its images.
        gaps: whether the publishers left images out, so that a missing one is no fault.
        packed: whether images lie inside annotation files, so that none can be damaged or taken away by itself.
    """

    format: str
    camera: str
    options: tuple[tuple[str, Any], ...] = ()
    prepare: Callable[[HandSample], HandSample] = as_they_are
    absent: tuple[str, ...] = ()
    mirrored: bool = False
    gaps: bool = False
    packed: bool = False


CASES = [
    Case("coco", "rhd"),
    Case("dexycb", "stb_sk", prepare=registered_hand),
    Case("fpha", "stb_sk", (("depth", "raw"),), prepare=fpha_rig),
    Case("fpha", "msra15", (("camera", "depth"),), prepare=published("fpha", "depth")),
    Case("freihand", "crop", prepare=freihand_crop),
    Case("ganerated", "crop", (("test_folders", ("0002",)),)),
    Case("ge_realworld", "crop"),
    Case("ge_synthetic", "crop", prepare=ge_render, gaps=True),
    Case("hanco", "crop", prepare=freiburg_crop),
    Case("handpose_x_plus", "stb_sk", prepare=right_registered),
    Case("ho3d", "stb_sk", prepare=right_registered),
    Case("ho3d", "crop", (("version", "v2"),), prepare=right_registered),
    Case(
        "icvl",
        "msra15",
        prepare=published("icvl", "depth"),
        absent=("wrist", "thumb_ip", "index_dip", "middle_dip", "ring_dip", "pinky_dip"),
    ),
    Case("interhand26m", "rhd"),
    Case("mhp", "stb_sk", prepare=published("mhp", "webcam"), gaps=True),
    Case("msra15", "msra15"),
    Case("nyu", "rhd", prepare=published("nyu", "kinect"), mirrored=True),
    Case("panoptic", "crop", gaps=True),
    Case("parquet", "stb_sk", packed=True),
    Case("rgbd_folder", "rhd"),
    Case("rhd", "rhd"),
    Case("stb", "stb_sk", (("depth", "raw"),)),
    Case("stb", "stb_bb", (("part", "BB"),)),
    Case("webdataset", "stb_sk", packed=True),
]
"""At least one for every format, in the order of their names."""
