"""Raw files of one layout to another: streams, tells what the target cannot hold, leaves nothing half made."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from handsynth.errors import DataError, StoreError, UsageError
from handsynth.formats import get_format
from handsynth.hand.sample import HandSample
from handsynth.stages import convert as stage
from handsynth.stages.convert import convert
from tests.formats.samples import simulated


@pytest.fixture(scope="module")
def rhd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("rhd")
    writer = get_format("rhd")
    writer.write(root, simulated("rhd"), writer.options_type())
    return root


def test_what_a_layout_cannot_hold_is_listed(rhd: Path, tmp_path: Path) -> None:
    written = convert("rhd", rhd, "msra15", tmp_path / "out")
    assert written.samples == 8
    said = "; ".join(written.not_held)
    for clause in ("no rgb", "no mask", "no visible", "4 left hands are mirrored", "resampled"):
        assert clause in said
    assert (tmp_path / "out").is_dir()


def test_nothing_is_listed_where_nothing_is_lost(rhd: Path, tmp_path: Path) -> None:
    written = convert("rhd", rhd, "rhd", tmp_path / "out")
    assert written.not_held == ()
    assert written.samples == 8


def test_options_reach_both_formats(tmp_path: Path) -> None:
    stb = get_format("stb")
    stb.write(tmp_path / "stb", simulated("stb_sk"), stb.options_type())
    written = convert("stb", tmp_path / "stb", "stb", tmp_path / "a", settings=["depth=none"], as_settings=["part=SK"])
    assert not list((tmp_path / "a").rglob("SK_depth_*.png"))
    assert written.samples == 4
    with pytest.raises(UsageError, match="nosuch"):
        convert("stb", tmp_path / "stb", "stb", tmp_path / "b", as_settings=["nosuch=1"])


def test_one_sample_is_in_memory_at_a_time(rhd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = get_format("rhd")
    alive: weakref.WeakSet[HandSample] = weakref.WeakSet()
    most = 0

    class Watched(type(reader)):  # type: ignore[misc]
        def load(self, *arguments: Any, **named: Any) -> HandSample:
            nonlocal most
            sample = super().load(*arguments, **named)
            alive.add(sample)
            gc.collect()
            most = max(most, len(alive))
            return sample

    monkeypatch.setattr(stage, "get_format", lambda name: Watched() if name == "rhd" else get_format(name))
    convert("rhd", rhd, "msra15", tmp_path / "out")
    assert 1 <= most <= 3


def test_a_damaged_image_leaves_nothing(rhd: Path, tmp_path: Path) -> None:
    import shutil

    damaged = tmp_path / "rhd"
    shutil.copytree(rhd, damaged)
    image = next((damaged / "training/color").iterdir())
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(DataError, match="truncated"):
        convert("rhd", damaged, "stb", tmp_path / "out/stb")
    assert not (tmp_path / "out/stb").exists()
    assert not list((tmp_path / "out").iterdir())


def test_places_and_limits(rhd: Path, tmp_path: Path) -> None:
    assert convert("rhd", rhd, "stb", tmp_path / "dry", dry_run=True).samples == 0
    assert not (tmp_path / "dry").exists()
    assert convert("rhd", rhd, "stb", tmp_path / "two", limit=2).samples == 2
    with pytest.raises(StoreError, match="empty folder"):
        convert("rhd", rhd, "stb", tmp_path / "two")
    with pytest.raises(UsageError, match="limit"):
        convert("rhd", rhd, "stb", tmp_path / "none", limit=0)
