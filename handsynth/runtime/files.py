"""Where bytes are put: any fsspec address, whole or not at all.

Local files are written under a run-unique temporary name beside their place and renamed; remote objects are put
whole. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from handsynth.errors import HandsynthError, MissingError, SpaceError, sentence

PART = ".part"
"""Ending of temporary names; :func:`sweep` removes leftovers of killed runs."""


def is_local(address: str | Path) -> bool:
    """Whether the address is a path on this machine."""
    return isinstance(address, Path) or "://" not in address or address.startswith("file://")


def local(address: str | Path) -> Path:
    """The path of a local address."""
    text = str(address)
    return Path(text.removeprefix("file://"))


def join(address: str | Path, *names: str) -> str:
    """Address of something inside a folder."""
    return "/".join([str(address).rstrip("/"), *names])


def _remote(address: str | Path) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(str(address))


def exists(address: str | Path) -> bool:
    """Whether a file or folder is there."""
    if is_local(address):
        return local(address).exists()
    fs, path = _remote(address)
    return bool(fs.exists(path))


def size(address: str | Path) -> int:
    """Bytes of a file."""
    if is_local(address):
        return local(address).stat().st_size
    fs, path = _remote(address)
    return int(fs.size(path))


def read(address: str | Path) -> bytes:
    """All bytes of a file.

    Raises:
        MissingError: it is not there, cannot be read, or is a folder, a pipe or a device, whose end may never come.
    """
    try:
        if is_local(address):
            file = local(address)
            if not stat.S_ISREG(file.stat().st_mode):
                raise MissingError(sentence("a plain file", "a folder, a pipe or a device", address))
            return file.read_bytes()
        fs, path = _remote(address)
        return bytes(fs.cat_file(path))
    except MissingError:
        raise
    except FileNotFoundError:
        raise MissingError(sentence("a file", "none", address)) from None
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        raise MissingError(sentence("a file that can be read", found, address)) from None


def names(address: str | Path) -> list[str]:
    """Sorted names in a folder, without temporary ones; empty where there is no folder."""
    if is_local(address):
        folder = local(address)
        found = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    else:
        fs, path = _remote(address)
        found = (
            [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in fs.ls(path, detail=False)]
            if fs.exists(path)
            else []
        )
    return sorted(name for name in found if not name.endswith(PART))


def write(address: str | Path, *chunks: bytes | memoryview) -> str:
    """Put a file whole, from one or several pieces; returns the sha256 of its bytes.

    Raises:
        SpaceError: it could not be written; no temporary file is left.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    if is_local(address):
        with replacing(local(address)) as temporary, temporary.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
    else:
        fs, path = _remote(address)
        fs.pipe_file(path, b"".join(bytes(chunk) for chunk in chunks))
    return digest.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends well, and vanishes otherwise.

    Raises:
        SpaceError: the disk is full or the place cannot be written.
    """
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}{PART}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except HandsynthError:
        raise  # some of ours are an OSError too, and say what is wrong already
    except OSError as error:
        reason = error.strerror or str(error)
        raise SpaceError(
            sentence("room to write", reason.lower(), path, "free some space or choose another place")
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def sweep(folder: str | Path) -> None:
    """Remove temporary files that killed runs left below a local folder."""
    if is_local(folder) and local(folder).is_dir():
        for leftover in local(folder).rglob(f".*{PART}"):
            leftover.unlink(missing_ok=True)


def sha256(address: str | Path) -> str:
    """Checksum of a file's bytes, read in pieces where it is local."""
    if not is_local(address):
        return hashlib.sha256(read(address)).hexdigest()
    try:
        with local(address).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise MissingError(sentence("a file", "none", address)) from None


def shipped(kind: str) -> Path:
    """Folder of files that come with handsynth: ``manifests`` or ``pipelines``; in a checkout they lie at its top."""
    package = Path(__file__).parents[1]
    installed = package / kind
    return installed if installed.is_dir() else package.parent / kind
