"""One way to compile: numba, kept on disk, free of the interpreter's lock, without liberties in arithmetic."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

_SHARED = Path(__file__).with_name("field.py")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first use and keep the machine code beside the module; threads may run it at the same time.

    A compiled function may call those of its own file and of ``field.py``. numba's cache looks at the time of the
    first file only and would keep a kernel whose helper has changed; here it looks at the contents of both, and of
    this file.
    """
    dispatcher: Any = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    sources = {Path(function.__code__.co_filename), _SHARED, Path(__file__)}
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()
    dispatcher._cache._cache_file._source_stamp = digest
    compiled_function: Callable[P, R] = dispatcher
    return compiled_function
