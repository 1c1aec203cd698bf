"""Files are written whole or not at all, here and at any fsspec address."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import pytest

from handsynth.errors import MissingError, SpaceError
from handsynth.runtime import files


@pytest.fixture(params=["local", "file://", "memory://"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"local": f"{tmp_path}/a", "file://": f"file://{tmp_path}/a", "memory://": f"memory://{tmp_path.name}/a"}[
        request.param
    ]


def test_what_is_written_is_read(folder: str) -> None:
    address = files.join(folder, "b", "c.bin")
    assert not files.exists(address)
    assert files.names(folder) == []
    with pytest.raises(MissingError, match=r"c\.bin"):
        files.read(address)
    with pytest.raises(MissingError):
        files.sha256(address)
    data = [b"one", memoryview(b"two"), b""]
    checksum = files.write(address, *data)
    assert files.read(address) == b"onetwo"
    assert checksum == files.sha256(address) == hashlib.sha256(b"onetwo").hexdigest()
    assert files.size(address) == 6
    assert files.names(files.join(folder, "b")) == ["c.bin"]
    files.write(address, b"new")
    assert files.read(address) == b"new"


def test_stopped_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with contextlib.suppress(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        assert files.names(tmp_path) == ["x"]
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
    assert path.read_text() == "old"


def test_sweep_takes_only_leftovers(tmp_path: Path) -> None:
    for name in (".a.123.part", "b.part", "c"):
        (tmp_path / name).write_text("")
    files.sweep(tmp_path)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["b.part", "c"]


def test_place_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpaceError, match="choose another place"):
        files.write(tmp_path / "file" / "x", b"")


def test_shipped_files_are_found() -> None:
    assert (files.shipped("manifests")).is_dir()
