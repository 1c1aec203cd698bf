"""Hands that nobody photographed: rendered, with exact depth, parts and joints.

``simulate`` and what goes with it are loaded on first use: they need torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handsynth.simulator.samples import samples_per_index, simulate
    from handsynth.simulator.scene import SimulatorSettings

__all__ = ["SimulatorSettings", "samples_per_index", "simulate"]

_HOMES = {"SimulatorSettings": "scene", "samples_per_index": "samples", "simulate": "samples"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
