"""Annotation files of JSON: small ones whole and typed, large ones piece by piece so that memory stays bounded.

Reads any JSON file; writes one compactly. What is read whole is checked against a msgspec type; what is streamed comes
as plain values, which :func:`typed` checks a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import ijson
import msgspec
import numpy as np

from handsynth.errors import DataError, MissingError, sentence
from handsynth.runtime import files

T = TypeVar("T")
_ADVICE = "fetch or extract the file again"
_MAX_DEPTH = 200
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def read_json(path: Path, kind: type[T]) -> T:
    """The file as ``kind`` (a msgspec type: unknown fields of a Struct are ignored, the rest is checked).

    Raises:
        MissingError: the file is not there.
        DataError: it is no JSON, or not of that shape; says where in the file.
    """
    try:
        return msgspec.json.decode(files.read(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(str(error), path) from None


def stream_items(path: Path, prefix: str) -> Iterator[Any]:
    """Items of the list at ``prefix`` (as ijson writes it: ``annotations.item``), one at a time.

    A file that has nothing there gives no item; callers say what that means.

    Raises:
        MissingError, DataError: the file is not there, or is no JSON from some place on.
    """
    yield from _streamed(path, lambda file: ijson.items(file, prefix, use_float=True))


def stream_pairs(path: Path, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the object at ``prefix`` (the whole file by default), one pair at a time.

    A file that has no object there gives no pair; callers say what that means.

    Raises:
        MissingError, DataError: the file is not there, or is no JSON from some place on.
    """
    yield from _streamed(path, lambda file: ijson.kvitems(file, prefix, use_float=True))


def typed(value: Any, kind: type[T], where: object) -> T:
    """Streamed values as ``kind``, checked as :func:`read_json` checks.

    Raises:
        DataError: they are not of that shape; ``where`` says the place.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _damaged(str(error), where) from None


def write_json(path: Path, value: Any) -> None:
    """Write plain values compactly.

    Raises:
        SpaceError: the file could not be written.
    """
    files.write(path, msgspec.json.encode(value))


def _streamed(path: Path, parse: Any) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            try:
                yield from parse(_Shallow(file, path))
            except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
                # The parser draws the place over several lines, for bytes that are no text as their repr.
                reason = str(error).removeprefix("b'").replace("\\n", "\n").splitlines()[0]
                raise _damaged(f"{reason} before byte {file.tell()}", path) from None
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise MissingError(sentence("an annotation file", "none", path)) from None


class _Shallow:
    """A file that refuses to be read further where brackets nest too deep: ijson would use memory by the square of it.

    Brackets within texts count as well, which no annotation file has hundreds of without their partners.
    """

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file, self._path, self._depth = file, path, 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        if data:
            depths = self._depth + np.cumsum(_STEPS[np.frombuffer(data, dtype=np.uint8)], dtype=np.int32)
            if depths.max() > _MAX_DEPTH:
                raise _damaged(f"brackets nested more than {_MAX_DEPTH} deep", self._path)
            self._depth = int(depths[-1])
        return data


def _damaged(found: str, where: object) -> DataError:
    return DataError(sentence("JSON of the published shape", found, where, _ADVICE))
