"""What every system has, generator or estimator."""

from __future__ import annotations

from typing import Any

from handsynth.runtime.settings import Settings, convert, override

PRESETS = ("paper", "published", "small", "tiny")


def check_presets(kind: Any, name: str, family: str) -> None:
    """Its name, its family, the four presets, and what the loop asks of their settings."""
    assert kind.name == name
    assert kind.family == family
    assert tuple(kind.presets) == PRESETS
    for settings in kind.presets.values():
        assert isinstance(settings, Settings)
        assert {"size", "batch", "steps", "ema"} <= set(settings.__struct_fields__)
        assert convert(override(settings, ()), type(settings), "preset") == settings
