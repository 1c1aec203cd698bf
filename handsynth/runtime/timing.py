"""How long a piece of work takes, tried once: for estimates, not for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable


def second_time(work: Callable[[], object]) -> float:
    """Seconds of the second time; the first loads what later ones use."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
