"""Annotation files of plain text: lines, and numbers in them, or an error that says what was found instead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from handsynth.errors import DataError, MissingError, sentence


def read_lines(path: Path) -> list[str]:
    """Lines of a file, stripped; empty ones are left out, whatever the line ends are (LF, CR LF, CR CR LF).

    Raises:
        MissingError: the file is not there.
        DataError: it holds binary data.
    """
    return list(each_line(path))


def each_line(path: Path) -> Iterator[str]:
    """The same lines one by one, for files of hundreds of megabytes.

    Raises:
        MissingError, DataError: as :func:`read_lines`, when it comes to that line.
    """
    try:
        # Reading with universal line ends takes CR CR LF for two of them, and no form feed for one.
        with path.open(encoding="latin1", newline=None) as file:
            for line in map(str.strip, file):
                if "\0" in line:
                    raise DataError(sentence("a text file", "binary data", path, "fetch or extract the file again"))
                if line:
                    yield line
    except FileNotFoundError:
        raise MissingError(sentence("a file", "none", path)) from None


def floats(words: list[str], count: int, where: object) -> np.ndarray:
    """(count,) float64 from as many words.

    Raises:
        DataError: another number of words, or one that is no finite number; ``where`` says the place.
    """
    if len(words) != count:
        raise DataError(sentence(f"{count} numbers", str(len(words)), where, "fetch or extract the file again"))
    try:
        values = np.array(words, dtype=np.float64)
    except ValueError as error:
        raise DataError(sentence(f"{count} numbers", str(error), where, "fetch or extract the file again")) from None
    if not np.isfinite(values).all():
        raise DataError(sentence("finite numbers", "NaN or infinity", where, "fetch or extract the file again"))
    return values


def named_points(
    lines: Sequence[str], names: Sequence[str], where: object, ignored: frozenset[str] = frozenset()
) -> np.ndarray:
    """(M, 3) float64 in the order of the M ``names``, from lines "NAME x y z" in any order.

    Args:
        ignored: names that may stand there too and are left out.

    Raises:
        DataError: a name lacks, is there twice or is unknown, or three finite numbers do not follow it.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        name, *words = line.split()
        if name in found or not (name in names or name in ignored):
            fault = f"{name[:40]!r} twice" if name in found else f"{name[:40]!r}"
            raise DataError(sentence(f"each of {names[0]} to {names[-1]} once", fault, where, "fetch the file again"))
        found[name] = words
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DataError(sentence(f"{len(names)} named points", f"no {lacking[0]}", where, "fetch the file again"))
    return np.stack([floats(found[name], 3, f"{name} of {where}") for name in names])
