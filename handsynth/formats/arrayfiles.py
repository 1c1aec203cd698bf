"""NumPy archives (``.npz``) without trust: named arrays of plain numbers, no pickles, no more bytes than they claim.

An array is read only after its header, its size in the archive and a limit agree, so a crooked header takes no memory.
Other arrays of the archive are not unpacked.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.runtime import files

_KINDS = "biuf"
_LIMIT_BYTES = 1 << 28
_LONGEST_HEADER = 10_000


def read_npz(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """The named arrays of an archive, whatever their shape; those of ``optional`` are left out where there are none.

    Raises:
        MissingError: the file is not there.
        DataError: it is no archive, is damaged, lacks an array, or an array is not of plain numbers or too large.
    """
    data = files.read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            held = set(archive.namelist())
            lacking = [name for name in names if f"{name}.npy" not in held]
            if lacking:
                raise DataError(sentence(f"the array {lacking[0]}", "none", path, "use the publisher's own file"))
            wanted = [*names, *(name for name in optional if f"{name}.npy" in held)]
            return {name: _member(archive, name, path) for name in wanted}
    except DataError:
        raise
    except Exception as error:  # zipfile, zlib and numpy raise whatever the damage leads to
        reason = str(error) or type(error).__name__
        raise DataError(sentence("a whole .npz archive", reason, path, "fetch or extract the file again")) from None


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed archive; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    files.write(path, buffer.getvalue())


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as stream:
        shape, fortran, dtype = _header(stream)
        size = math.prod(shape) * dtype.itemsize
        held = info.file_size - stream.tell()
        if dtype.kind not in _KINDS:
            raise DataError(
                sentence(f"{name} of plain numbers", f"an array of {dtype}", path, "do not trust this copy")
            )
        if size != held or size > _LIMIT_BYTES:
            found = f"shape {shape} of {dtype} in {held} bytes"
            raise DataError(sentence(f"{name} as large as its header says", found, path, "fetch the file again"))
        raw = stream.read(size)
        stream.read(1)  # the end of the member, where its checksum is looked at
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether columns come first, and type of the array that follows.

    Raises:
        ValueError: it is no header.
    """
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream, max_header_size=_LONGEST_HEADER)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream, max_header_size=_LONGEST_HEADER)
    raise ValueError(f"an array of version {version}")
