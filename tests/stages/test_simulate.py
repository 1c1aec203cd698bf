"""Simulating: the same bytes for any number of workers, nothing done twice, every layout reads back clean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import StoreError, UsageError
from handsynth.formats import format_names, get_format
from handsynth.runtime.settings import override
from handsynth.simulator import SimulatorSettings, samples_per_index
from handsynth.stages.ingest import ingest
from handsynth.stages.rendering import Work
from handsynth.stages.simulate import CAMERAS, simulate
from handsynth.stages.verify import verify
from handsynth.stages.workspace import Workspace
from tests.stages.small import tree

_WIDE = ("fpha", "panoptic")


def small(name: str) -> list[str]:
    """Settings that make pictures of a format small, and their views few."""
    several = samples_per_index(override(SimulatorSettings(), [f"camera={CAMERAS[name]}"])) > 1
    return [f"scale={0.15 if name in _WIDE else 0.25}", *(["views=2"] if several else [])]


def test_worker_count_changes_nothing(tmp_path: Path) -> None:
    one = simulate(18, size=32, workers=1, workspace=tmp_path / "one")
    two = simulate(18, size=32, workers=2, workspace=tmp_path / "two")
    assert tree(Path(one)) == tree(Path(two))
    assert verify(workspace=tmp_path / "one").ok
    assert len(Workspace.of(tmp_path / "one").store()) == 18


@pytest.mark.parametrize(
    ("settings", "moments"),
    [(["camera=crop"], 16), (["side=both"], 8), (["camera=hanco"], 2), (["camera=panoptic", "views=20"], 1)],
)
def test_pieces_of_raw_files_have_some_sixteen_images(settings: list[str], moments: int) -> None:
    pieces = Work(override(SimulatorSettings(), settings), 2 * moments + 1).pieces()
    assert pieces == [range(moments), range(moments, 2 * moments), range(2 * moments, 2 * moments + 1)]


def test_every_format_can_be_simulated() -> None:
    assert set(CAMERAS) == set(format_names())


@pytest.mark.parametrize("name", CAMERAS)
def test_every_layout_is_read_back_clean(tmp_path: Path, name: str) -> None:
    settings = small(name)
    folder = simulate(6, as_=name, settings=settings, workers=1, workspace=tmp_path)
    before = tree(Path(folder))
    assert simulate(6, as_=name, settings=settings, workers=1, workspace=tmp_path) == folder
    assert tree(Path(folder)) == before
    address = ingest(name, size=48, workers=1, workspace=tmp_path)
    report = verify(address, workspace=tmp_path)
    assert report.ok, report.findings
    store = Workspace.of(tmp_path).store(address)
    each = 2 if "views=2" in settings else 1
    assert len(store) == 6 * each
    if "split" in get_format(name).fields:
        assert len(set(store.column("split"))) == 2
    if "moment" in get_format(name).fields or each > 1:
        assert len(set(store.column("moment"))) == 6


@pytest.mark.parametrize("name", ["dexycb", "hanco", "ho3d", "interhand26m", "mhp", "panoptic"])
def test_views_of_a_layout_share_one_world(tmp_path: Path, name: str) -> None:
    simulate(4, as_=name, settings=small(name), workers=1, workspace=tmp_path)
    store = Workspace.of(tmp_path).store(ingest(name, size=32, workers=1, workspace=tmp_path))
    samples = [sample for sample in store.samples() if sample.world_from_camera is not None]
    assert len(samples) == 8
    worlds: dict[str | None, list[np.ndarray]] = {}
    for sample in samples:
        assert sample.world_from_camera is not None
        worlds.setdefault(sample.moment, []).append(sample.world_from_camera.apply(sample.joints_mm))  # type: ignore[arg-type]
    assert len(worlds) == 4
    for first, second in worlds.values():
        assert np.abs(first - second).max() < 0.1


def test_sequences_are_videos_of_the_layout(tmp_path: Path) -> None:
    settings = ["scale=0.25", "poses=sequences", "clip=4", "subjects=2"]
    simulate(12, as_="msra15", settings=settings, workers=1, workspace=tmp_path)
    store = Workspace.of(tmp_path).store(ingest("msra15", size=32, workers=1, workspace=tmp_path))
    clips: dict[tuple[object, object], list[np.ndarray]] = {}
    for sample in store.samples():
        assert sample.joints_mm is not None
        clips.setdefault((sample.subject, sample.sequence), []).append(sample.joints_mm)
    assert sorted(clips) == [("P0", "1"), ("P1", "1"), ("P1", "2")]
    for joints in clips.values():
        assert np.linalg.norm(np.diff(np.stack(joints), axis=0), axis=-1).max() < 30


def test_other_cameras_are_cropped_for_a_store(tmp_path: Path) -> None:
    settings = ["camera=sr300", "scale=0.2", "depth_sensor=structured_light"]
    store = Workspace.of(tmp_path).store(simulate(3, size=40, settings=settings, workers=1, workspace=tmp_path))
    for sample in store.samples():
        assert sample.size == (40, 40)
        assert sample.depth_mm is not None
        assert np.isfinite(sample.depth_mm).any()
        projected = sample.projected()
        assert projected is not None
        assert sample.keypoints_px is not None
        assert np.abs(projected - sample.keypoints_px).max() < 0.01
    only = Workspace.of(tmp_path / "other")
    depthless = only.store(simulate(1, size=40, settings=["camera=mhp", "scale=0.2"], workers=1, workspace=only))
    assert len(depthless) == 4
    assert not depthless.has("depth")


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "msra15"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(StoreError, match="other files"):
            simulate(2, as_="msra15", overwrite=overwrite, workers=1, workspace=tmp_path)
    assert tree(folder) == {"mine.txt": b"precious"}
    simulate(2, size=16, workers=1, workspace=tmp_path)
    with pytest.raises(StoreError, match="settings of this run"):
        simulate(3, size=16, workers=1, workspace=tmp_path)
    simulate(3, size=16, workers=1, overwrite=True, workspace=tmp_path)
    assert len(Workspace.of(tmp_path).store()) == 3


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    for settings in (["nosuch=1"], ["scale=-1"], ["camera=polaroid"], ["depth_sensor=radar"], ["poses=odd"]):
        with pytest.raises(UsageError):
            simulate(1, settings=settings, workspace=tmp_path)
    assert not list(tmp_path.iterdir())
