"""The whole flow on simulated hands in minutes: the pipeline that comes as ``demo``, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handsynth.stages.pipeline import run
from handsynth.stages.workspace import Workspace


def demo(workspace: str | Path | Workspace | None = None) -> Any:
    """Run ``pipelines/demo.toml`` below ``WORKSPACE/demo``; returns the report's path."""
    return run("demo", workspace=Workspace(Workspace.of(workspace).root / "demo"))
