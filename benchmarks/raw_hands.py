"""Raw folders for the benchmarks: photographs of hands enlarged as a sensor would see them, in publishers' layouts.

Reads the real photographs of ge_realworld where they lie beside the checkout, otherwise renders hands; writes STB
(640 x 480, one left hand an image) and RHD (320 x 320, both hands of an image) through the formats' own writers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import cv2
import numpy as np

from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import mirror
from handsynth.runtime.seeds import rng

PHOTOGRAPHS = Path(__file__).parents[1] / "../shared/data/ge_realworld"
NOISE = 2.0
"""Standard deviation of the sensor's noise in grey levels; with it a 640 x 480 PNG has the size of STB's own."""
_DISTINCT = 64


def write_stb(root: Path, count: int) -> None:
    """``count`` images of 640 x 480 as SK_color, a hand of some 200 px in each."""
    camera = load_manifest("stb").camera("sk_color")
    get_format("stb").write(root, _enlarged(camera, count, np.array([0.0, 0.0, 550.0])), _options("stb"))


def write_rhd(root: Path, count: int) -> None:
    """``count`` images of 320 x 320, each with a left and a right hand of some 90 px; colour only."""

    def both() -> Iterator[HandSample]:
        for left in _enlarged(Camera(283.0, 283.0, 159.5, 159.5, 320, 320), count, np.array([90.0, 0.0, 550.0])):
            yield left
            yield replace(mirror(left), key=f"{left.key}-right", rgb=left.rgb, mirrored=False)

    get_format("rhd").write(root, both(), _options("rhd"))


def source() -> str:
    """What the images are made from."""
    return "photographs of ge_realworld" if PHOTOGRAPHS.is_dir() else "simulated hands"


def _enlarged(camera: Camera, count: int, place_mm: np.ndarray) -> Iterator[HandSample]:
    """Pictures as large as the camera's, no two alike, labelled with the photographs' own joints moved to a place.

    What is shown there is no hand, but the crops are as large as those of the dataset.
    """
    shift = rng(0, "raw_hands")
    noise = shift.normal(0, NOISE, (camera.height, camera.width, 3)).astype(np.float32)
    for number, sample in enumerate(islice(cycle(_originals()), count)):
        assert sample.rgb is not None
        assert sample.joints_mm is not None
        large = cv2.resize(sample.rgb, (camera.width, camera.height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
        large += np.roll(noise, int(shift.integers(noise.size)))  # noise made anew takes longer than all the rest
        moved = sample.joints_mm - sample.joints_mm.mean(0) + place_mm + shift.normal(0, 20, 3)
        yield HandSample(
            key=f"{number}",
            moment=f"{number}",
            side="left",
            split="train",
            camera=camera,
            rgb=np.clip(np.rint(large), 0, 255).astype(np.uint8),
            joints_mm=moved.astype(np.float32),
            keypoints_px=camera.project(moved).astype(np.float32),
        )


def _originals() -> list[HandSample]:
    if PHOTOGRAPHS.is_dir():
        format = get_format("ge_realworld")
        rows = open_catalogue(format, PHOTOGRAPHS, _options("ge_realworld")).table.to_pylist()
        return [format.load(PHOTOGRAPHS, row) for row in rows[:: max(len(rows) // _DISTINCT, 1)]]
    from handsynth.simulator import SimulatorSettings, simulate

    return list(simulate(SimulatorSettings(camera="crop", side="left", scale=0.5), 0, _DISTINCT))


def _options(name: str) -> object:
    return get_format(name).options_type()
