"""Errors that finish the sentence: what was expected, what was found, where, and what to do.

Each class is also a built-in one, so callers may catch ``ValueError`` or ``FileNotFoundError``. The command line
prints the message as one sentence and exits with ``exit_code``; a traceback is for our own mistakes only.
"""

from __future__ import annotations


class HandsynthError(Exception):
    """Base of everything handsynth raises on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class UsageError(HandsynthError, ValueError):
    """A wrong argument or setting: nothing was read or written."""

    exit_code = 2


class DataError(HandsynthError, ValueError):
    """A file or an array does not hold what its format promises."""


class MissingError(HandsynthError, FileNotFoundError):
    """A file, folder, store or checkpoint that should be there is not."""

    # OSError would otherwise format its arguments as errno and file name.
    __str__ = Exception.__str__


class StoreError(HandsynthError, RuntimeError):
    """A store is unfinished, locked, damaged, of another version or made with other settings."""


class SpaceError(HandsynthError, OSError):
    """The disk is full or a file could not be written."""

    __str__ = Exception.__str__


_LONGEST = 500


def sentence(expected: str, found: str, where: object, do: str = "") -> str:
    """Join the parts of an error into one sentence: ``expected A, found B in C; do D``.

    What files say may be in it: signs that no terminal should get are escaped, long words are cut.
    """
    advice = f"; {do}" if do else ""
    text = f"expected {_short(expected)}, found {_short(found)} in {_short(str(where))}{advice}"
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
