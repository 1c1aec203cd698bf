"""Annotation files of plain text: lines, and numbers in them, or an error that says what was found instead."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.runtime import files


def read_lines(path: Path) -> list[str]:
    """Lines of a file, stripped; empty ones are left out, whatever the line ends are (LF, CR LF, CR CR LF).

    Raises:
        MissingError: the file is not there.
        DataError: it holds binary data.
    """
    data = files.read(path)
    if b"\0" in data:
        raise DataError(sentence("a text file", "binary data", path, "fetch or extract the file again"))
    # splitlines would also split at form feeds and Unicode separators, which no annotation means as a line's end.
    lines = data.decode("latin1").replace("\r", "\n").split("\n")
    return [line for line in map(str.strip, lines) if line]


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
