"""Rendered samples that wait on disk come back equal to the bit."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.runtime.settings import override
from handsynth.simulator import SimulatorSettings, simulate
from handsynth.stages.pieces import read_piece, waiting, write_piece
from handsynth.stages.simulate import CAMERAS
from handsynth.store.write import Reject
from tests.stages.test_simulate import small

BENT = Camera(15.0, 15.5, 7.1, 8.3, 15, 17, (-0.25, 0.05, 0.002, -0.001, 0.01))


def equal(one: object, other: object) -> bool:
    """Equal values of equal types; arrays bit by bit, NaN and the sign of zero too."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def kept(folder: Path, items: list[HandSample | Reject]) -> list[HandSample | Reject]:
    """The items, written and read."""
    record = write_piece(str(folder), 3, "hash", items)
    assert record.filled + record.rejected == len(items)
    with waiting(folder, "hash") as records:
        assert records == {3: record}
        return list(read_piece(str(folder), record))


@pytest.mark.parametrize("name", sorted(set(CAMERAS) - {"coco", "parquet", "rgbd_folder"}))
def test_every_layout_s_samples_come_back_equal(tmp_path: Path, name: str) -> None:
    camera = CAMERAS[name]
    settings = override(SimulatorSettings(seed=7), [f"camera={camera}", *small(name), "depth_sensor=structured_light"])
    samples: list[HandSample | Reject] = list(simulate(settings, 0, 1))
    again = kept(tmp_path / "waiting", samples)
    assert len(again) == len(samples) > 0
    for one, other in zip(samples, again, strict=True):
        for field in fields(one):
            assert equal(getattr(one, field.name), getattr(other, field.name)), field.name
    assert not (tmp_path / "waiting").exists()


def test_rejects_lenses_and_points_too(tmp_path: Path) -> None:
    [sample] = simulate(SimulatorSettings(size=16), 0, 1)
    points = np.array([[1, -0.0, np.nan]], dtype=np.float32)
    full = replace(sample, camera=BENT, mirrored=True, frame="", extra={"target_mm": points})
    bare = HandSample("bare")
    items: list[HandSample | Reject] = [full, Reject("cut", "expected a camera, found none in cut"), bare]
    again = kept(tmp_path, items)
    assert again[1] == items[1]
    for one, other in ((full, again[0]), (bare, again[2])):
        for field in fields(one):
            assert equal(getattr(one, field.name), getattr(other, field.name)), field.name
