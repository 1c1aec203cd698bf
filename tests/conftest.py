"""Set before torch is loaded: the suite runs in parallel, and a process of many threads on shared cores crawls."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
