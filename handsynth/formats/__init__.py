"""Formats by name. One format is one file here and one manifest; outside packages join through entry points."""

from __future__ import annotations

from handsynth.formats.format import Format
from handsynth.runtime.plugins import load_member, member_names

FORMATS: dict[str, str] = {
    "ge_realworld": "handsynth.formats.ge_realworld:GeRealWorld",
    "msra15": "handsynth.formats.msra15:Msra15",
    "rhd": "handsynth.formats.rhd:Rhd",
    "stb": "handsynth.formats.stb:Stb",
}
"""Name -> ``module:class``; imported only when asked for."""


def format_names() -> list[str]:
    """Names of all formats, those of installed plug-ins included."""
    return member_names(FORMATS, "handsynth.formats")


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    return load_member(name, FORMATS, "handsynth.formats")()
