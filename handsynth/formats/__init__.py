"""Formats by name. One format is one file here and one manifest; outside packages join through entry points."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from handsynth.errors import UsageError, sentence
from handsynth.formats.format import Format

FORMATS: dict[str, str] = {
    "ge_realworld": "handsynth.formats.ge_realworld:GeRealWorld",
    "msra15": "handsynth.formats.msra15:Msra15",
    "rhd": "handsynth.formats.rhd:Rhd",
    "stb": "handsynth.formats.stb:Stb",
}
"""Name -> ``module:class``; imported only when asked for."""


def format_names() -> list[str]:
    """Names of all formats, those of installed plug-ins included."""
    return sorted({*FORMATS, *(point.name for point in entry_points(group="handsynth.formats"))})


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    place = FORMATS.get(name)
    if place is None:
        for point in entry_points(group="handsynth.formats"):
            if point.name == name:
                return point.load()()
        raise UsageError(sentence(f"one of the formats {', '.join(format_names())}", repr(name), "the format name"))
    module, _, kind = place.partition(":")
    return getattr(importlib.import_module(module), kind)()
