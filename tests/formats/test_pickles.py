"""Pickles without trust: arrays of every kind are understood, nothing is ever run."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handsynth.errors import DataError, MissingError
from handsynth.formats.pickles import read_pickle, write_pickle

ARRAYS = hnp.arrays(
    st.sampled_from([np.bool_, np.uint8, np.int32, np.int64, np.float32, np.float64, np.dtype(">f4")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


@given(ARRAYS, st.integers(2, 5), st.booleans(), st.booleans())
def test_arrays_in_every_protocol(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, protocol: int, old: bool, fortran: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "arrays.pickle"
    array = np.asfortranarray(array) if fortran else array
    value = {3: {"a": array, "again": array}, "words": ["é", 1, 2.5, None, True, (b"raw", np.float32(2.5))]}
    data = pickle.dumps(value, protocol)
    if old and protocol < 4:  # later protocols count the letters of a name
        data = data.replace(b"cnumpy._core.", b"cnumpy.core.")
    path.write_bytes(data)
    back = read_pickle(path)
    np.testing.assert_array_equal(back[3]["a"], array)
    assert back[3]["a"].dtype == array.dtype
    assert back[3]["a"] is back[3]["again"]
    assert back["words"] == value["words"]


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    """As numpy under Python 2 wrote it: strings of bytes, protocol 2."""
    raw = np.array([1.5, -2.0], dtype="<f8").tobytes()
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01b\x87Rq\x03"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"U" + bytes([len(raw)]) + raw + b"tb."
    )
    (tmp_path / "two.pickle").write_bytes(data)
    np.testing.assert_array_equal(read_pickle(tmp_path / "two.pickle"), [1.5, -2.0])


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_words_of_numpy_are_words_but_make_no_arrays(tmp_path: Path, protocol: int) -> None:
    """As dictionaries of results hold them: ``numpy.str_`` and ``numpy.bytes_``."""
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"name": np.str_("006_mustard"), "raw": np.bytes_(b"abc")}, protocol))
    assert read_pickle(path) == {"name": "006_mustard", "raw": b"abc"}
    path.write_bytes(pickle.dumps({"names": np.array(["a", "b"])}, protocol))
    with pytest.raises(DataError, match="asks for arrays of"):
        read_pickle(path)


def test_what_is_written_opens_in_old_and_new_numpy(tmp_path: Path) -> None:
    value = {0: {"K": np.eye(3), "n": np.arange(3, dtype=np.float32)}}
    write_pickle(tmp_path / "a.pickle", value)
    data = (tmp_path / "a.pickle").read_bytes()
    assert b"numpy._core" not in data
    np.testing.assert_array_equal(read_pickle(tmp_path / "a.pickle")[0]["K"], np.eye(3))
    renamed = data.replace(b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
    np.testing.assert_array_equal(pickle.loads(renamed)[0]["n"], [0, 1, 2])  # noqa: S301 - made three lines above


class _Runs:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_is_run(tmp_path: Path, protocol: int) -> None:
    marker, path = tmp_path / "marker", tmp_path / "a.pickle"
    hostile = [
        _Runs(os.system, f"touch {marker}"),
        _Runs(os.mkdir, str(marker)),
        _Runs(eval, f"open({str(marker)!r}, 'w')"),
        _Runs(exec, f"open({str(marker)!r}, 'w')"),
        _Runs(subprocess.check_output, ["touch", str(marker)]),
        _Runs(open, str(marker), "w"),
        _Runs(getattr, {}, "clear"),
        _Runs(np.load, str(marker)),
        _Runs(np.fromfile, str(marker)),
        OrderedDict(a=1),
        {1, 2},
        Path("a"),
    ]
    for value in hostile:
        path.write_bytes(pickle.dumps({0: {"xyz": value}}, protocol))
        with pytest.raises(DataError, match="a pickle of plain arrays, found one that asks for"):
            read_pickle(path)
        assert not marker.exists()


def test_the_forbidden_name_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(_Runs(os.system, "true")))
    with pytest.raises(DataError, match=r"posix\.system|nt\.system"):
        read_pickle(tmp_path / "a.pickle")


@pytest.mark.parametrize(
    "data",
    [
        b"cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\ntR.",  # a forbidden name as an argument
        b"cnumpy\ndtype\n(S'O'\ntR.",  # a bare dtype
        b"c_codecs\nencode\n(Vabc\nVrot13\ntR.",
        b"cnumpy.core\nmultiarray.os.system\n.",
        b"\x80\x04\x8c\x0anumpy.core\x8c\x09loadtxt.x\x93.",
        b"Pid\n.",  # persistent ids
        b"]q\x00h\x00a.",  # a list that holds itself
        b"cnumpy\nndarray\n}S'x'\nS'y'\nsb.",  # state for a function
        pickle.dumps(np.array([1, "a", None], dtype=object), 2),
        pickle.dumps(np.zeros(2, dtype=[("a", "f4")]), 2),
        pickle.dumps(np.array(["2020"], dtype="M8[D]"), 2),
        b"",
        b"\x80\x05\x95\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"B\xff\xff\xff\x7fabc.",
        pickle.dumps(np.zeros(100), 3)[:-60],
    ],
)
def test_crooked_pickles(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.pickle").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.pickle"):
        read_pickle(tmp_path / "a.pickle")


def test_an_array_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    data = pickle.dumps(np.zeros(4), 2)
    for shape in (b"J\xff\xff\xff\x7f", b"J\xff\xff\xff\xff"):
        assert b"K\x04\x85" in data
        (tmp_path / "a.pickle").write_bytes(data.replace(b"K\x04\x85", shape + b"\x85", 1))
        with pytest.raises(DataError):
            read_pickle(tmp_path / "a.pickle")


@given(st.binary(max_size=60))
def test_any_bytes_give_data_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.pickle"
    path.write_bytes(data)
    with contextlib.suppress(DataError):
        read_pickle(path)


def test_shared_objects_stay_cheap(tmp_path: Path) -> None:
    value: Any = [1]
    for _ in range(200):
        value = [value, value]
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(value, 2))
    read_pickle(tmp_path / "a.pickle")


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        read_pickle(tmp_path / "none.pickle")
