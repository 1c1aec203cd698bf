"""One writer per store.

Locally the kernel holds the lock (``flock`` on a file in the store), so that a killed writer leaves none. Remotely the
lock is an object, which a killed writer leaves behind; the error says which one to delete.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from typing import BinaryIO

from handsynth.errors import SpaceError, StoreError, sentence
from handsynth.runtime import files
from handsynth.store.schema import LOCK_FILE


@contextlib.contextmanager
def locked(address: str) -> Iterator[None]:
    """Be the only writer of a store; the lock is gone afterwards, and the folder too if nothing was written.

    Raises:
        StoreError: somebody else writes this store.
        SpaceError: the place cannot be written.
    """
    with _flocked(address) if files.is_local(address) else _marked(address):
        yield


def is_locked(address: str) -> bool:
    """Whether somebody writes this store now."""
    lock = files.join(address, LOCK_FILE)
    if not files.exists(lock) or not files.is_local(address):
        return files.exists(lock)
    try:
        with files.local(lock).open("rb") as file:
            return not _take(file, shared=True)
    except FileNotFoundError:
        return False


def _take(file: BinaryIO, shared: bool = False) -> bool:
    import fcntl  # not on every system, so not at the top

    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def _flocked(address: str) -> Iterator[None]:
    lock = files.local(address) / LOCK_FILE
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("wb")
        except OSError as error:
            raise SpaceError(
                sentence("a place to write", error.strerror or str(error), address, "choose another place")
            ) from error
        if not _take(file):
            file.close()
            raise _busy(address, "wait until it is done")
        # The last writer may have removed the file between our open and our lock; then our lock guards nothing.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == lock.stat().st_ino:
                break
        file.close()
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()
        with contextlib.suppress(OSError):
            lock.parent.rmdir()  # succeeds only where nothing was written


@contextlib.contextmanager
def _marked(address: str) -> Iterator[None]:
    lock = files.join(address, LOCK_FILE)
    advice = f"wait until it is done, or delete {lock} if its writer was killed"
    if files.exists(lock):
        raise _busy(address, advice)
    mine = uuid.uuid4().hex.encode()
    files.write(lock, mine)
    if files.read(lock) != mine:
        raise _busy(address, advice)
    try:
        yield
    finally:
        import fsspec

        fs, path = fsspec.core.url_to_fs(lock)
        fs.rm(path)


def _busy(address: str, advice: str) -> StoreError:
    return StoreError(sentence("a store that nobody else writes", "one being written", address, advice))
