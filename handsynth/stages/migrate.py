"""Bring a store of an older format version to the current one."""

from __future__ import annotations

from pathlib import Path

from handsynth.runtime import progress
from handsynth.stages.workspace import Workspace
from handsynth.store.migrate import migrate_store


def migrate(store: str, *, workspace: str | Path | Workspace | None = None) -> str:
    """Migrate a store in place and return its address; a current one stays as it is.

    Raises:
        MissingError, StoreError: there is no finished store, or no way from its version to ours.
    """
    address = Workspace.of(workspace).new_store(store)
    steps = migrate_store(address)
    progress.say(f"{address}: {steps} steps" if steps else f"{address} is of the current version already")
    return address
