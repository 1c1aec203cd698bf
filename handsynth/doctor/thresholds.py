"""What a sound dataset shows: the defaults for real hands, narrowed or widened by a dataset's manifest."""

from __future__ import annotations

from handsynth.errors import HandsynthError
from handsynth.formats.manifest import Checks, Manifest, load_manifest, manifest_names

REPROJECTION_PX = 2.0
"""Median distance of projected 3-D joints from independent 2-D labels above which a source is refused."""
REPROJECTION_SHARE = 0.02
"""The same in a store, of the images' side: crops are scaled so that a hand fills them, and its errors with it."""
DECISIVE = 0.5
"""|chirality| below which a hand is too straight to tell its side; bent hands have 3 to 6."""
ENOUGH = 20
"""Samples from which on a share of them decides."""


def manifest_of(name: str) -> Manifest | None:
    """The manifest of a dataset; None for a source that has none (a simulator, a plug-in)."""
    try:
        return load_manifest(name) if name in manifest_names() else None
    except HandsynthError:
        return None


def checks_of(manifest: Manifest | None) -> Checks:
    """What the manifest says, else what holds for any real hand."""
    return Checks(side_share=0.9, inside_share=0.9) if manifest is None else manifest.checks
