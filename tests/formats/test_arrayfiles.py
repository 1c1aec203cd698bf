"""NumPy archives: what is written comes back; nothing crooked is unpacked."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handsynth.errors import DataError, MissingError
from handsynth.formats.arrayfiles import read_npz, write_npz

ARRAYS = hnp.arrays(
    st.sampled_from([np.bool_, np.uint8, np.int64, np.float32, np.dtype(">f4")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@given(ARRAYS, st.booleans())
def test_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, fortran: bool) -> None:
    path = tmp_path_factory.getbasetemp() / "a.npz"
    array = np.asfortranarray(array) if fortran else array
    write_npz(path, {"a": array, "other": np.zeros(2)})
    back = read_npz(path, ["a"], optional=["none"])
    assert list(back) == ["a"]
    np.testing.assert_array_equal(back["a"], array)
    assert back["a"].dtype == array.dtype


def test_uncompressed_archives_and_equal_bytes(tmp_path: Path) -> None:
    np.savez(tmp_path / "plain.npz", a=np.arange(3))
    assert read_npz(tmp_path / "plain.npz", ["a"])["a"].tolist() == [0, 1, 2]
    for name in ("one.npz", "two.npz"):
        write_npz(tmp_path / name, {"a": np.arange(3)})
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def archive(header: bytes, body: bytes = b"\0" * 8) -> bytes:
    """An archive whose only array ``a`` has that header."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body)
    return buffer.getvalue()


def header(shape: str, kind: str = "<f4") -> bytes:
    return f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()


def test_a_header_made_here_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(archive(header("(2,)")))
    assert read_npz(tmp_path / "a.npz", ["a"])["a"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "a whole .npz archive"),
        (b"PK\x03\x04", "a whole .npz archive"),
        (archive(header("(999999999999,)")), "as large as its header says, found shape"),
        (archive(header("(-2,)")), "as large as its header says"),
        (archive(header("(3,)")), "in 8 bytes"),
        (archive(header("(1,)")), "in 8 bytes"),
        (archive(header("(1 << 60,)")), "a whole .npz archive"),
        (archive(b"{" * 500), "a whole .npz archive"),
        (archive(header("(1,)", "|O")), "plain numbers, found an array of object"),
        (archive(header("(2,)", "|S4")), "plain numbers"),
        (archive(header("(70000000,)"), bytes(280_000_000)), "as large as its header says"),
        (archive(header("(2,)"))[:-30], "a whole .npz archive"),
    ],
    ids=range(12),
)
def test_crooked_archives(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_npz(tmp_path / "a.npz", ["a"])


def test_damage_of_the_bytes_is_seen(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", {"a": np.random.default_rng(0).normal(size=500)})
    whole = (tmp_path / "a.npz").read_bytes()
    for place in (100, 1000, 2000):
        (tmp_path / "a.npz").write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(DataError, match=r"a\.npz"):
            read_npz(tmp_path / "a.npz", ["a"])


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.array([pickle, None, 1], dtype=object)[1:])
    with pytest.raises(DataError, match="plain numbers"):
        read_npz(tmp_path / "a.npz", ["a"])


def test_what_lacks(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_npz(tmp_path / "none.npz", ["a"])
    write_npz(tmp_path / "a.npz", {"a": np.zeros(1)})
    with pytest.raises(DataError, match="the array b, found none"):
        read_npz(tmp_path / "a.npz", ["a", "b"])
