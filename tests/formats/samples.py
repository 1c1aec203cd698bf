"""Small simulated samples at each dataset's own image size, and where real samples lie."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from handsynth.formats.format import Format
from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.simulator import SimulatorSettings, simulate

_SHRINK = 4


@cache
def simulated(camera: str, count: int = 4) -> tuple[HandSample, ...]:
    """Samples of ``count`` moments of all splits, rendered small and enlarged pixel by pixel."""
    side = {"crop": "left", "rhd": "both"}.get(camera, "random")
    settings = SimulatorSettings(camera=camera, scale=1 / _SHRINK, side=side, seed=3)
    return tuple(enlarged(sample) for sample in simulate(settings, 0, count))


def enlarged(sample: HandSample) -> HandSample:
    """The sample with every pixel repeated; cameras follow u' = 4 (u + 1/2) - 1/2."""

    def repeat(image: np.ndarray | None) -> np.ndarray | None:
        return None if image is None else image.repeat(_SHRINK, axis=0).repeat(_SHRINK, axis=1)

    def enlarge(camera: Camera | None) -> Camera | None:
        if camera is None:
            return None
        shift = 0.5 * _SHRINK - 0.5
        return camera.warped(_SHRINK, _SHRINK, shift, shift, _SHRINK * camera.width, _SHRINK * camera.height)

    assert sample.keypoints_px is not None
    return replace(
        sample,
        rgb=repeat(sample.rgb),
        depth_mm=repeat(sample.depth_mm),
        mask=repeat(sample.mask),
        camera=enlarge(sample.camera),
        depth_camera=enlarge(sample.depth_camera),
        keypoints_px=((sample.keypoints_px + 0.5) * _SHRINK - 0.5).astype(np.float32),
    )


def listed(format: Format, root: Path, options: Any) -> pa.Table:
    """A format's whole catalogue, parsed anew."""
    return pa.concat_tables(format.catalogue(root, options)).combine_chunks()


def real(name: str) -> Path:
    """A folder of real samples beside the checkout; skips the test where it is not there."""
    folder = Path(__file__).parents[2] / ".." / "shared" / "data" / name
    if not folder.is_dir():
        pytest.skip(f"the real samples {name} are not on this machine")
    return folder
