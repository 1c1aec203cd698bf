"""A workspace with one small store, and settings that make systems train in moments."""

from __future__ import annotations

from pathlib import Path

from handsynth.stages.workspace import Workspace
from tests.stores import make_store

GENERATOR = ("size=32", "width=4", "blocks=1", "discriminator_blocks=0", "batch=4")
ESTIMATOR = (
    "size=32",
    "layout.trunk=[[1, 8, true], [1, 8, true]]",
    "layout.features=8",
    "layout.head_width=8",
    "layout.stages=2",
    "layout.stage_width=8",
    "head_hidden=16",
    "batch=4",
)
STEPS = 3


def make_workspace(root: Path, count: int = 32) -> Workspace:
    """A workspace whose only store, ``hands``, holds ``count`` made-up hands; three of four are to train on."""
    make_store(root / "stores" / "hands", count=count, size=48)
    return Workspace(root)


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
