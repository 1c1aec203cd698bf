"""Settings of the whole suite."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

# Before torch is loaded: the suite runs in parallel, and a process of many threads on shared cores crawls.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Catalogues are cached below the test's own folder, not in the user's home; worker processes inherit it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HANDSYNTH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
