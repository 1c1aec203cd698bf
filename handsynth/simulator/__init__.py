"""Hands that nobody photographed: rendered, with exact depth, parts and joints.

``simulate`` and what goes with it are loaded on first use: they need numba.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from handsynth.simulator.samples import samples_per_index, simulate, warm_up
    from handsynth.simulator.scene import SimulatorSettings

SIMULATOR_VERSION = 3
"""Raised whenever the same settings give other hands, so that stores made before are not taken for the same."""

__all__ = ["SIMULATOR_VERSION", "SimulatorSettings", "samples_per_index", "simulate", "warm_up"]

_HOMES = {
    "SimulatorSettings": "scene",
    "samples_per_index": "samples",
    "simulate": "samples",
    "warm_up": "samples",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
