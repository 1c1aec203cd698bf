"""MATLAB files: what is written is the same whenever it is written; damage is said, not guessed around."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat

from handsynth.errors import DataError, MissingError
from handsynth.formats.matfiles import numbers, read_mat, words, write_mat


def test_equal_content_gives_equal_bytes_without_a_date(tmp_path: Path) -> None:
    for name in ("a.mat", "b.mat"):
        write_mat(tmp_path / name, {"x": np.arange(6.0).reshape(2, 3), "words": np.array(["ab", "c"])})
    data = (tmp_path / "a.mat").read_bytes()
    assert data == (tmp_path / "b.mat").read_bytes()
    assert data[:116].rstrip() == b"MATLAB 5.0 MAT-file"
    np.testing.assert_array_equal(loadmat(tmp_path / "a.mat")["x"], [[0, 1, 2], [3, 4, 5]])
    assert words(read_mat(tmp_path / "a.mat", ["words"])["words"], "words", tmp_path / "a.mat") == ["ab", "c"]


def test_missing_file_and_missing_variable(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_mat(tmp_path / "none.mat", ["x"])
    write_mat(tmp_path / "a.mat", {"x": np.zeros(3)})
    with pytest.raises(DataError, match="the variable y, found none"):
        read_mat(tmp_path / "a.mat", ["y"])


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([1j]), np.zeros((2, 2)), np.array([{"a": 1}])])
def test_only_real_numbers_of_that_shape(value: np.ndarray) -> None:
    with pytest.raises(DataError, match="x of N numbers"):
        numbers(value, (None,), "x", Path("a.mat"))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_a_data_error(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.mat"
    write_mat(path, {"x": np.arange(50.0)})
    whole = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        whole = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        position = data.draw(st.integers(128, len(whole) - 1))
        whole[position] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = read_mat(path, ["x"])["x"]
    except DataError:
        return
    assert found.size < 10_000  # harmless: nothing was made up


def test_a_gigantic_count_is_refused(tmp_path: Path) -> None:
    """An uncompressed variable that claims 2^31 x 2^31 numbers and holds none."""
    flags = struct.pack("<4I", 6, 8, 6, 0)
    dimensions = struct.pack("<2I2i", 5, 8, 2**31 - 1, 2**31 - 1)
    name = struct.pack("<HH4s", 1, 1, b"x\0\0\0")
    content = struct.pack("<2I", 9, 0)
    body = flags + dimensions + name + content
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
    (tmp_path / "a.mat").write_bytes(header + struct.pack("<2I", 14, len(body)) + body)
    with pytest.raises(DataError, match=r"a\.mat"):
        read_mat(tmp_path / "a.mat", ["x"])
