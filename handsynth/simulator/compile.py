"""One way to compile: numba, kept on disk, free of the interpreter's lock, without liberties in arithmetic."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba

P = ParamSpec("P")
R = TypeVar("R")

_HERE = Path(__file__).parent


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile on first use and keep the machine code beside the module; threads may run it at the same time.

    A compiled function may call those of any file of the simulator, and read constants of the simulator and of
    ``hand``. numba's cache looks at the time of the function's own file only and would keep a kernel whose helper has
    changed; here it looks at the contents of all these files.
    """
    dispatcher: Any = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    dispatcher._cache._cache_file._source_stamp = _digest()
    compiled_function: Callable[P, R] = dispatcher
    return compiled_function


@functools.cache
def _digest() -> str:
    """Of every source that a compiled function can have taken in."""
    sources = sorted(path for folder in (_HERE, _HERE.parent / "hand") for path in folder.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
