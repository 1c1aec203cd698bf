"""Bring stores of older format versions to the current one, version by version.

A step is a function of the store's address that turns version v into v + 1. It writes new files first and
``store.json``, with the new version in it, last; so a migration that is killed starts again at the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from handsynth.errors import StoreError, sentence
from handsynth.runtime import files
from handsynth.store import schema
from handsynth.store.lock import locked

STEPS: dict[int, Callable[[str], None]] = {}
"""Version -> step to the next one. Version 1 is the first, so there is none yet."""


def migrate_store(
    address: str, steps: Mapping[int, Callable[[str], None]] = STEPS, target: int = schema.FORMAT_VERSION
) -> int:
    """Migrate a store in place and return how many steps it took; 0 where it is current.

    Raises:
        MissingError: there is no finished store.
        StoreError: it is newer than this handsynth, too old for it, or being written.
    """
    where = schema.store_file(address)
    files.read(where)  # a missing store is an error before a lock file is made
    with locked(address):
        start = version = schema.read_version(where)
        if version > target:
            raise schema.wrong_version(version, where, target)
        while version < target:
            if version not in steps:
                raise StoreError(
                    sentence(
                        f"a store of versions {min(steps, default=target)} to {target}", f"version {version}", where
                    )
                )
            steps[version](address)
            reached = schema.read_version(where)
            if reached != version + 1:
                raise AssertionError(f"the step from version {version} led to {reached}")
            version = reached
    return version - start
