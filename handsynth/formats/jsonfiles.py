"""Annotation files of JSON: small ones whole and typed, large ones piece by piece so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import ijson
import msgspec

from handsynth.errors import DataError, MissingError, sentence
from handsynth.runtime import files

T = TypeVar("T")
_ADVICE = "fetch or extract the file again"


def read_json(path: Path, kind: type[T]) -> T:
    """The file as ``kind`` (a msgspec type: unknown fields of a Struct are ignored, the rest is checked).

    Raises:
        MissingError: the file is not there.
        DataError: it is no JSON, or not of that shape; says where in the file.
    """
    try:
        return msgspec.json.decode(files.read(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(sentence("JSON of the published shape", str(error), path, _ADVICE)) from None


def stream_items(path: Path, prefix: str) -> Iterator[Any]:
    """Items of the list at ``prefix`` (as ijson writes it: ``annotations.item``), one at a time.

    Raises:
        MissingError, DataError: the file is not there, or is no JSON from some place on.
    """
    yield from _streamed(path, lambda file: ijson.items(file, prefix, use_float=True))


def stream_pairs(path: Path, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names and values of the object at ``prefix`` (the whole file by default), one pair at a time.

    Raises:
        MissingError, DataError: the file is not there, or is no JSON from some place on.
    """
    yield from _streamed(path, lambda file: ijson.kvitems(file, prefix, use_float=True))


def _streamed(path: Path, parse: Any) -> Iterator[Any]:
    try:
        with path.open("rb") as file:
            yield from parse(file)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(sentence("an annotation file", "none", path)) from None
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(sentence("JSON of the published shape", str(error), path, _ADVICE)) from None
