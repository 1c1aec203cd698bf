"""The cache of catalogues: used where nothing changed, rebuilt where anything did, never trusted or needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats import catalogue
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.columns import build_table
from handsynth.hand.rows import from_row
from handsynth.runtime.settings import Settings


class Options(Settings, frozen=True, kw_only=True):
    shout: bool = False


class Listed:
    """A format whose annotation file lists keys, one a line."""

    name = "listed"
    options_type = Options

    def __init__(self, files: Sequence[str | None] | None = None) -> None:
        self.files = files
        self.parsed = 0

    def annotations(self, root: Path, options: Options) -> list[Path]:
        return [root / "keys.txt"]

    def catalogue(self, root: Path, options: Options) -> Iterator[pa.Table]:
        self.parsed += 1
        text = (root / "keys.txt").read_text()
        keys = (text.upper() if options.shout else text).split()
        yield build_table(len(keys), key=keys, rgb_file=self.files)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "keys.txt").write_text("a b c")
    return tmp_path


def keys(format: Any, root: Path, **options: Any) -> list[str]:
    return open_catalogue(format, root, Options(**options)).table.column("key").to_pylist()


def test_parsed_once(root: Path, cache: Path) -> None:
    format = Listed()
    assert keys(format, root) == keys(format, root) == ["a", "b", "c"]
    assert format.parsed == 1
    assert len(list(cache.iterdir())) == 1


def test_parsed_again_when_anything_changes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    format = Listed()
    assert keys(format, root) == ["a", "b", "c"]
    assert keys(format, root, shout=True) == ["A", "B", "C"]
    (root / "keys.txt").write_text("a b d")
    assert keys(format, root) == ["a", "b", "d"]
    monkeypatch.setattr(catalogue, "CATALOGUE_VERSION", -1)
    assert keys(format, root) == ["a", "b", "d"]
    assert format.parsed == 4


def test_a_copy_elsewhere_has_the_same_hash(root: Path, tmp_path: Path) -> None:
    first = open_catalogue(Listed(), root, Options())
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "keys.txt").write_text("a b c")
    assert open_catalogue(Listed(), copy, Options()).hash == first.hash
    (copy / "keys.txt").write_text("a b d")
    assert open_catalogue(Listed(), copy, Options()).hash != first.hash


def test_unchanged_files_are_not_read_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size and time of change tell; a file written a moment ago is read, for its time may not change again."""
    format = Listed()
    settle(root / "keys.txt")
    keys(format, root)
    monkeypatch.setattr(catalogue.files, "sha256", forbidden)
    monkeypatch.setattr(catalogue, "_manifest_hash", lambda format: None)
    keys(format, root)
    assert format.parsed == 1


def test_a_folder_counts_by_the_names_in_it(root: Path) -> None:
    class Folder(Listed):
        def annotations(self, root: Path, options: Options) -> list[Path]:
            return [root / "keys.txt", root / "images"]

    (root / "images").mkdir()
    first = open_catalogue(Folder(), root, Options())
    (root / "images" / "1.png").write_text("")
    second = open_catalogue(Folder(), root, Options())
    assert second.hash != first.hash
    (root / "images" / "1.png").write_text("other bytes")
    assert open_catalogue(Folder(), root, Options()).hash == second.hash


def test_older_catalogues_of_the_same_place_are_removed(root: Path, cache: Path) -> None:
    keys(Listed(), root)
    (root / "keys.txt").write_text("a b d")
    keys(Listed(), root)
    assert len(list(cache.iterdir())) == 1


def settle(path: Path) -> None:
    """Make a file look old."""
    os.utime(path, ns=(10**18, 10**18))


def forbidden(*_: object) -> str:
    raise AssertionError("read")


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"ARROW1" * 20, "cut", "other table"])
def test_a_damaged_cache_is_rebuilt(root: Path, cache: Path, damage: bytes | str) -> None:
    format = Listed()
    keys(format, root)
    [cached] = cache.iterdir()
    whole = cached.read_bytes()
    if damage == "cut":
        cached.write_bytes(whole[: len(whole) // 2])
    elif damage == "other table":
        table = pa.table({"key": ["x"]})
        with pa.OSFile(str(cached), "wb") as sink, pa.ipc.new_file(sink, table.schema) as out:
            out.write_table(table)
    else:
        assert isinstance(damage, bytes)
        cached.write_bytes(damage)
    assert keys(format, root) == ["a", "b", "c"]
    assert format.parsed == 2
    assert cached.read_bytes() == whole


def test_an_unwritable_cache_is_done_without(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HANDSYNTH_CACHE", str(tmp_path / "file"))
    format = Listed()
    assert keys(format, root) == keys(format, root) == ["a", "b", "c"]
    assert format.parsed == 2


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../a.png", "a/../../b.png", "..", "a/..", "C:/a.png", "c:a.png", "\\a.png", "a\\..\\b", "a\0.png"],
)
def test_file_names_stay_inside(root: Path, cache: Path, name: str) -> None:
    with pytest.raises(DataError, match="below the dataset's folder"):
        keys(Listed(["fine.png", None, name]), root)
    assert not list(cache.iterdir())


@pytest.mark.parametrize("name", ["a..b/c.png", "..a.png", "a/b..png", ".hidden/a.png", "a b/ü.png"])
def test_odd_but_harmless_names(root: Path, name: str) -> None:
    assert keys(Listed([None, name, None]), root) == ["a", "b", "c"]


def test_keys_are_unique(root: Path) -> None:
    (root / "keys.txt").write_text("a b a")
    with pytest.raises(DataError, match="a more than once"):
        keys(Listed(), root)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such folder"):
        keys(Listed(), tmp_path / "none")


def test_extra_points_by_row() -> None:
    """Rows without an entry have none, whatever stands beside them."""
    nan = np.nan
    extra = {
        "palm_mm": np.array([[1, 2, 3], [nan, nan, nan], [4, 5, 6]]),
        "known_bad": np.array([nan, 1, 1]),
        "two_px": np.arange(12.0).reshape(3, 2, 2),
    }
    rows = build_table(3, extra, key=["a", "b", "c"]).to_pylist()
    first, second, third = (from_row(row).extra for row in rows)
    assert sorted(first) == ["palm_mm", "two_px"]
    assert sorted(second) == ["known_bad", "two_px"]
    np.testing.assert_array_equal(first["palm_mm"], [[1, 2, 3]])
    np.testing.assert_array_equal(third["palm_mm"], [[4, 5, 6]])
    np.testing.assert_array_equal(second["two_px"], [[4, 5], [6, 7]])
    assert third["known_bad"].tolist() == [1]
