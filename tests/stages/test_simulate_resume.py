"""Raw files of a simulation that stopped: the same command goes on where it stopped, to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from handsynth.errors import DataError, MissingError, StoreError
from handsynth.runtime import progress
from handsynth.stages import pieces, simulated_files
from handsynth.stages.simulate import simulate
from handsynth.store.lock import locked
from tests.stages.small import tree
from tests.stages.test_rerender import drawn, keep

COUNT = 34
"""Images of three pieces: 16, 16 and 2."""


def render(root: Path, **changes: Any) -> Path:
    arguments: dict[str, Any] = {"count": COUNT, "as_": "webdataset", "size": 16, "workers": 1, "workspace": root}
    return Path(simulate(**(arguments | changes)))


def stopping(number: int, stop: Callable[[], object]) -> AbstractContextManager[object]:
    """Inside the block ``stop`` is called amid the rendering of a piece, after one of its samples."""
    write = pieces.write_piece

    def cut(items: Iterable[Any]) -> Iterator[Any]:
        for place, item in enumerate(items):
            if place == 1:
                stop()
            yield item

    def writing(folder: str, piece: int, settings_hash: str, items: Iterable[Any]) -> Any:
        return write(folder, piece, settings_hash, cut(items) if piece == number else items)

    return patch.object(pieces, "write_piece", writing)


def interrupt() -> None:
    raise KeyboardInterrupt


def kill(root: Path) -> None:
    """For a process of its own, which ends in its second piece."""
    with stopping(1, lambda: os.kill(os.getpid(), signal.SIGKILL)):
        render(root)


def stopped(root: Path, number: int = 1, **changes: Any) -> Path:
    """A workspace whose simulation was interrupted in a piece; the folder where its pieces wait."""
    with stopping(number, interrupt), pytest.raises(KeyboardInterrupt):
        render(root, **changes)
    assert not (root / "data" / "webdataset").exists()
    return root / "data" / ".webdataset.unfinished"


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the pieces that this process renders from now on."""
    numbers: list[int] = []
    write = pieces.write_piece

    def noting(folder: str, number: int, *others: Any) -> Any:
        numbers.append(number)
        return write(folder, number, *others)

    monkeypatch.setattr(pieces, "write_piece", noting)
    return numbers


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return tree(render(tmp_path_factory.mktemp("whole")))


class Heard(progress.Silent):
    """What is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_killed_run_goes_on_to_the_same_bytes(
    tmp_path: Path, in_one_go: dict[str, bytes], rendered: list[int]
) -> None:
    code = f"import tests.stages.test_simulate_resume as t; from pathlib import Path; t.kill(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == -signal.SIGKILL, done.stderr
    data = tmp_path / "data"
    waiting = data / ".webdataset.unfinished"
    assert not (data / "webdataset").exists()
    assert [path.name for path in (waiting / "ledger").iterdir()] == ["00000.json"]
    assert any(path.name.endswith(".part") for path in (waiting / "pieces").iterdir())
    heard = Heard()
    with progress.show(heard):
        folder = render(tmp_path)
    assert heard.said == ["16 of 34 images were rendered by a run that stopped; going on from there"]
    assert rendered == [1, 2]
    assert tree(folder) == in_one_go
    assert list(data.iterdir()) == [folder]


def test_workers_change_nothing_and_take_up_the_pieces_of_fewer(tmp_path: Path, in_one_go: dict[str, bytes]) -> None:
    stopped(tmp_path)
    assert tree(render(tmp_path, workers=2)) == in_one_go


def test_a_stop_while_files_are_laid_out_renders_nothing_again(
    tmp_path: Path, in_one_go: dict[str, bytes], rendered: list[int]
) -> None:
    def stop(folder: Path, writer: Any, samples: Iterable[Any], *others: Any) -> None:
        assert len(list(samples)) == COUNT
        raise KeyboardInterrupt

    with patch.object(simulated_files, "write_raw", stop), pytest.raises(KeyboardInterrupt):
        render(tmp_path)
    assert rendered == [0, 1, 2]
    assert tree(render(tmp_path)) == in_one_go
    assert rendered == [0, 1, 2]


def test_other_settings_are_refused_or_start_again(tmp_path: Path, rendered: list[int]) -> None:
    waiting = stopped(tmp_path, count=18)
    before = tree(waiting)
    for changes in ({"count": 19}, {"seed": 1}, {"as_": "coco", "out": str(tmp_path / "data" / "webdataset")}):
        with pytest.raises(
            StoreError, match=r"settings of this run.*unfinished; use the same settings to resume, or --overw"
        ):
            render(tmp_path, **{"count": 18} | changes)
    with locked(str(waiting)), pytest.raises(StoreError, match="being written"):
        render(tmp_path, count=18)
    render(tmp_path, count=18, overwrite=True, dry_run=True)
    assert tree(waiting) == before
    rendered.clear()
    folder = render(tmp_path, count=18, overwrite=True)
    assert rendered == [0, 1]
    assert list(folder.parent.iterdir()) == [folder]


def test_a_run_that_finished_no_piece_leaves_nothing(tmp_path: Path) -> None:
    stopped(tmp_path, 0)
    assert list((tmp_path / "data").iterdir()) == []


def test_pieces_that_changed_meanwhile_are_named(tmp_path: Path) -> None:
    piece = stopped(tmp_path) / "pieces" / "00000.parquet"
    whole = piece.read_bytes()
    piece.write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"found other bytes in .*00000.parquet; --overwrite to start again"):
        render(tmp_path)
    piece.unlink()
    with pytest.raises(MissingError, match=r"00000.parquet"):
        render(tmp_path)
    piece.write_bytes(whole)
    assert render(tmp_path).is_dir()


def test_a_finished_folder_is_kept_until_it_is_replaced(tmp_path: Path) -> None:
    folder = render(tmp_path, count=2)
    before = tree(folder)
    left = tmp_path / "data" / ".webdataset.unfinished" / "ledger"  # as after a kill at the very end
    left.mkdir(parents=True)
    render(tmp_path, count=3, overwrite=True, dry_run=True)
    assert tree(folder) == before
    assert left.is_dir()
    assert render(tmp_path, count=2) == folder
    assert not left.parent.exists()
    with pytest.raises(StoreError, match="other simulated files"):
        render(tmp_path, count=2, as_="coco", out=str(folder))
    assert tree(folder) == before
    render(tmp_path, count=3, overwrite=True)
    assert tree(folder) != before


def test_poses_of_a_store_go_on_too(tmp_path: Path) -> None:
    samples = [
        replace(sample, camera=None if number == 2 else sample.camera) for number, sample in enumerate(drawn(18))
    ]
    spaces = [keep(tmp_path / name, samples) for name in ("one", "other")]
    arguments: dict[str, Any] = {"count": None, "size": None, "poses": "real"}
    told, trees = [], []
    for number, space in enumerate(spaces):
        if number:
            stopped(space.root, **arguments)
        heard = Heard()
        with progress.show(heard):
            trees.append(tree(render(space.root, **arguments)))
        told.append(heard.said)
    assert trees[0] == trees[1]
    assert told[1][:-1] == ["16 of 18 images were rendered by a run that stopped; going on from there"]
    assert told[0] == told[1][-1:]
    assert told[0][0].endswith("1 of 18 samples could not be fitted")
