"""MATLAB v5 files: named arrays of a known shape, or an error that says what was found instead."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat, savemat

from handsynth.errors import DataError, sentence
from handsynth.imaging.png import fast_zlib
from handsynth.runtime import files

_HEADER = b"MATLAB 5.0 MAT-file"
_HEADER_TEXT = 116
_HEADER_SIZE = 128
_COMPRESSED = 15
_MOST_UNPACKED = 1 << 26
_MOST_RATIO = 100
_PIECE = 1 << 16


def read_mat(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named variables of a file.

    Raises:
        MissingError, DataError: the file is not there, is damaged, or lacks a variable.
    """
    data = files.read(path)
    _check_ratio(data, path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = loadmat(io.BytesIO(data), variable_names=list(names))
    except Exception as error:  # scipy raises whatever the damage leads to
        raise DataError(
            sentence("a MATLAB v5 file", f"{type(error).__name__} ({error})", path, "fetch the file again")
        ) from None
    lacking = [name for name in names if name not in found]
    if lacking:
        raise DataError(sentence(f"the variable {lacking[0]}", "none", path, "fetch the file again"))
    return {name: np.asarray(found[name]) for name in names}


def numbers(value: np.ndarray, shape: tuple[int | None, ...], name: str, path: Path) -> np.ndarray:
    """The array as float64, after its shape and its finiteness are checked; ``None`` in a shape is any length.

    Raises:
        DataError: another shape, another type, or a number that is not finite.
    """
    wanted = " x ".join("N" if side is None else str(side) for side in shape)
    fits = value.ndim == len(shape) and all(want in (None, have) for want, have in zip(shape, value.shape, strict=True))
    if not fits or value.dtype.kind not in "iuf":
        found = " x ".join(map(str, value.shape)) + ("" if value.dtype.kind in "iuf" else f" of {value.dtype}")
        raise DataError(sentence(f"{name} of {wanted} numbers", found, path, "use the publisher's own file"))
    if not np.isfinite(value).all():
        raise DataError(sentence(f"finite numbers in {name}", "NaN or infinity", path, "fetch the file again"))
    return value.astype(np.float64)


def words(value: np.ndarray, name: str, path: Path) -> list[str]:
    """A list of words: a padded character matrix or a cell array of strings.

    Raises:
        DataError: something else.
    """
    cells = [np.ravel(cell) for cell in value.ravel()]
    if any(len(cell) != 1 or not isinstance(cell[0], str) for cell in cells):
        raise DataError(
            sentence(f"{name} as words", f"an array of {value.dtype}", path, "use the publisher's own file")
        )
    return [str(cell[0]).rstrip() for cell in cells]


def _check_ratio(data: bytes, path: Path) -> None:
    """Raise DataError for variables that unpack to very much more than labels do: megabytes may hold terabytes."""
    order = ">" if data[_HEADER_SIZE - 2 : _HEADER_SIZE] == b"MI" else "<"
    at = _HEADER_SIZE
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        at += 8
        if kind == _COMPRESSED:
            packed, unpacked, stream = data[at : at + size], 0, fast_zlib.decompressobj()
            for first in range(0, len(packed), _PIECE):
                try:
                    unpacked += len(stream.decompress(packed[first : first + _PIECE]))
                except Exception:  # scipy says what is wrong, where it looks at this variable at all
                    break
                if unpacked > max(_MOST_UNPACKED, _MOST_RATIO * len(packed)):
                    found = f"{len(packed)} bytes that unpack to more than {unpacked}"
                    raise DataError(sentence("arrays of labels", found, path, "do not trust this copy"))
        at += size


def write_mat(path: Path, variables: Mapping[str, np.ndarray]) -> None:
    """Write a v5 file; the time that MATLAB puts into the header is left out, so equal content gives equal bytes."""
    buffer = io.BytesIO()
    savemat(buffer, dict(variables), do_compression=True)
    data = buffer.getvalue()
    files.write(path, _HEADER.ljust(_HEADER_TEXT, b" "), data[_HEADER_TEXT:])
