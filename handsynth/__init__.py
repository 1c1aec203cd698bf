"""handsynth turns any hand dataset into one clean store, and too little data into enough.

The functions here are those that the command line calls, imported when first used::

    import handsynth

    handsynth.ingest("stb", "STB/", workspace="work")
    store = handsynth.open("work/stores/stb")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "open": "handsynth.store.read:open_store",
    "HandSample": "handsynth.hand.sample:HandSample",
    **{
        name: f"handsynth.stages.{name}:{name}"
        for name in (
            "ablate",
            "augment",
            "convert",
            "convert_weights",
            "curriculum",
            "datasets",
            "demo",
            "evaluate",
            "export",
            "index",
            "info",
            "ingest",
            "migrate",
            "reduce",
            "report",
            "simulate",
            "train",
            "verify",
            "view",
        )
    },
    "run": "handsynth.stages.pipeline:run",
}
"""Public name -> where it lives. Nothing heavy is imported before it is asked for."""

__all__ = ["__version__", *_EXPORTS]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'handsynth' has no attribute {name!r}")
    module, _, attribute = _EXPORTS[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
