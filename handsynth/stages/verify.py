"""Check a store: every byte against its checksum, every number that can be checked."""

from __future__ import annotations

from pathlib import Path

from handsynth.stages.workspace import Workspace
from handsynth.store.verify import Report, verify_store


def verify(store: str | None = None, *, workspace: str | Path | Workspace | None = None) -> Report:
    """Findings of all checks; ``report.ok`` is False where anything is at fault.

    Raises:
        MissingError, UsageError, StoreError: there is no such store, several to choose from, or it is unfinished.
    """
    return verify_store(Workspace.of(workspace).store(store))
