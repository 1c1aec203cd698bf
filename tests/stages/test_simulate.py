"""Simulating: the same bytes for any number of workers, nothing done twice, every layout reads back clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from handsynth.errors import StoreError, UsageError
from handsynth.formats import get_format
from handsynth.stages.ingest import ingest
from handsynth.stages.simulate import CAMERAS, simulate
from handsynth.stages.verify import verify
from handsynth.stages.workspace import Workspace
from tests.stages.small import tree

SMALL = {"rhd": ("scale=0.3",), "stb": ("scale=0.2",), "msra15": ("scale=0.5",), "ge_realworld": ("size=64",)}


def test_worker_count_changes_nothing(tmp_path: Path) -> None:
    one = simulate(18, size=32, workers=1, workspace=tmp_path / "one")
    two = simulate(18, size=32, workers=2, workspace=tmp_path / "two")
    assert tree(Path(one)) == tree(Path(two))
    assert verify(workspace=tmp_path / "one").ok
    assert len(Workspace.of(tmp_path / "one").store()) == 18


@pytest.mark.parametrize("name", CAMERAS)
def test_every_layout_is_read_back_clean(tmp_path: Path, name: str) -> None:
    folder = simulate(6, as_=name, settings=SMALL.get(name, ["scale=0.25"]), workers=1, workspace=tmp_path)
    before = tree(Path(folder))
    assert simulate(6, as_=name, settings=SMALL.get(name, ["scale=0.25"]), workers=1, workspace=tmp_path) == folder
    assert tree(Path(folder)) == before
    address = ingest(name, size=48, workers=1, workspace=tmp_path)
    report = verify(address, workspace=tmp_path)
    assert report.ok, report.findings
    store = Workspace.of(tmp_path).store(address)
    assert len(store) == 6
    if "split" in get_format(name).fields:
        assert len(set(store.column("split"))) == 2


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
    for settings in (["nosuch=1"], ["scale=-1"], ["camera=polaroid"]):
        with pytest.raises(UsageError):
            simulate(1, settings=settings, workspace=tmp_path)
    assert not list(tmp_path.iterdir())
