"""Pickles without trust: numpy arrays and builtin containers of plain numbers and words, nothing else.

Nothing that a pickle names is ever called. The few names that numpy's arrays need lead to inert stand-ins of ours,
whose contents are checked and turned into arrays once the file is read; any other name is refused. Files written by
old and new numpy (``numpy.core``, ``numpy._core``), by Python 2 and 3, in any protocol, are understood.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.runtime import files

_ARGUMENTS = {ord(op.code): 0 if op.arg is None else op.arg.n for op in pickletools.opcodes}
"""Opcode -> bytes of its argument; negative where the argument says its own length, or is a line."""
_COUNTED = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_KINDS = "biuf"
_WORDS = "SU"


class _Forbidden(Exception):
    """The pickle names something outside the few allowed names."""


class _Dtype:
    """Stands for ``numpy.dtype(word)`` and the byte order that its state sets."""

    __slots__ = ("made", "order", "word")

    def __init__(self, word: Any) -> None:
        self.word, self.order = word, "="
        self.made: np.dtype[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        self.order = {"<": "<", ">": ">", "|": "="}[state[1]]

    def value(self, kinds: str = _KINDS) -> np.dtype[Any]:
        if self.made is None:
            self.made = np.dtype(str(self.word)).newbyteorder(self.order)  # type: ignore[arg-type]
        if self.made.kind not in kinds:
            raise _Forbidden(f"arrays of {self.made}")
        return self.made


class _Array:
    """Stands for an array: its state or, in protocol 5, its buffer."""

    __slots__ = ("parts",)
    kinds = _KINDS

    def __init__(self, data: Any = None, dtype: Any = None, shape: Any = (), order: str = "C") -> None:
        self.parts = (data, dtype, shape, order)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        self.parts = (data, dtype, shape, "F" if fortran else "C")

    def value(self) -> np.ndarray:
        data, dtype, shape, order = self.parts
        raw = data.encode("latin1") if isinstance(data, str) else data
        if not isinstance(raw, (bytes, bytearray)):  # a number would ask for as many bytes
            raise ValueError(f"an array whose bytes are {type(raw).__name__}")
        array = np.frombuffer(raw, dtype=dtype.value(self.kinds))
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        if shape and min(shape) < 0:  # numpy would take -1 for whatever fits
            raise ValueError(f"an array of shape {shape}")
        return array.reshape(shape, order="F" if order == "F" else "C")


class _Scalar(_Array):
    """Stands for one number or word."""

    __slots__ = ()
    kinds = _KINDS + _WORDS

    def value(self) -> Any:
        return super().value()[()]


def _encode(text: str, encoding: str) -> bytes:
    # Protocol 2 has no bytes: Python 3 writes them as text and asks to encode it.
    if encoding != "latin1" or not isinstance(text, str):
        raise _Forbidden(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _stand_ins() -> dict[tuple[str, str], Callable[..., Any]]:
    """Allowed names. Made anew for every file: a pickle can set attributes of the functions it is given."""
    names: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): lambda *_: _Array(),
        ("numpy", "dtype"): lambda word, *_: _Dtype(word),
        ("_codecs", "encode"): lambda text, encoding: _encode(text, encoding),
        ("builtins", "bytes"): lambda: b"",
        ("__builtin__", "bytes"): lambda: b"",
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = lambda *_: _Array()
        names[f"{core}.multiarray", "scalar"] = lambda dtype, data: _Scalar(data, dtype)
        names[f"{core}.numeric", "_frombuffer"] = lambda data, dtype, shape, order, *_: _Array(
            data, dtype, shape, order
        )
    return names


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._allowed = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._allowed:
            raise _Forbidden(f"{module}.{name}")
        return self._allowed[module, name]


def read_pickle(path: Path) -> Any:
    """Containers (dict, list, tuple), numbers, words and arrays of numbers.

    Raises:
        MissingError: the file is not there.
        DataError: it is damaged, or names anything beyond those; nothing of it was run.
    """
    data = files.read(path)
    try:
        _check_memo(data)
        return _plain(_Unpickler(data).load(), {})
    except _Forbidden as error:
        raise DataError(
            sentence("a pickle of plain arrays", f"one that asks for {error}", path, "do not trust this copy")
        ) from None
    except Exception as error:  # unpickling damaged bytes may raise anything
        reason = str(error) or type(error).__name__
        raise DataError(sentence("a whole pickle", reason, path, "fetch or extract the file again")) from None


def is_small(value: Any, most: int = 4096) -> bool:
    """Whether there are at most ``most`` values in lists of lists; ask before numpy makes an array of them.

    A pickle's lists may share their parts: a hundred bytes unfold to more values than any memory holds.
    """
    left, seen = [value], 0
    while left and seen <= most:
        last = left.pop()
        inner = last if isinstance(last, (list, tuple)) else ()
        seen += len(inner)
        left += inner[:most]
    return seen <= most


def write_pickle(path: Path, value: Any) -> None:
    """Protocol 3 with the names of older numpy, so that the publishers' own readers open it."""
    data = pickle.dumps(value, protocol=3)
    files.write(path, data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))


def _check_memo(data: bytes) -> None:
    """Walk the opcodes for places in the memo that no pickle of this size has.

    Python makes room for every place up to the highest: some ten bytes may ask for 40 GB, and get them.

    Raises:
        ValueError: there is one.
    """
    at, end, arguments = 0, len(data), _ARGUMENTS
    put, put_line, stop, lines = *map(ord, "rp."), {ord(sign): 2 for sign in "ci"}
    while at < end:
        code = data[at]
        size = arguments.get(code)
        if code == stop or size is None:
            return
        at += 1
        if size >= 0:
            if code == put and int.from_bytes(data[at : at + 4], "little") > end:
                raise ValueError("a place in the memo that no pickle of this size has")
        elif size == pickletools.UP_TO_NEWLINE:
            first = at
            for _ in range(lines.get(code, 1)):
                at = data.find(b"\n", at) + 1 or end
            if code == put_line and (at - first > 20 or int(data[first:at]) > end):
                raise ValueError("a place in the memo that no pickle of this size has")
            size = 0
        else:
            width = _COUNTED[size]
            size = width + int.from_bytes(data[at : at + width], "little")
        at += size


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Stand-ins to arrays; each object once, so that shared references stay cheap and cycles show."""
    if isinstance(value, (bool, int, float, complex, str, bytes, bytearray, type(None))):
        return value
    if id(value) in done:
        if done[id(value)] is _Forbidden:
            raise _Forbidden("a container that holds itself")
        return done[id(value)]
    done[id(value)] = _Forbidden
    result: Any
    if isinstance(value, _Array):
        result = value.value()
    elif isinstance(value, dict):
        result = {_plain(key, done): _plain(item, done) for key, item in value.items()}
    elif isinstance(value, (list, tuple)):
        result = type(value)(_plain(item, done) for item in value)
    else:
        raise _Forbidden(type(value).__name__)
    done[id(value)] = result
    return result
