"""Families that outside packages may join: a plain dict of our own, entry points for the others.

An entry of either is ``module:object``, imported only when asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from handsynth.errors import UsageError, sentence


def member_names(own: Mapping[str, str], group: str) -> list[str]:
    """Sorted names of a family: our own and those of installed plug-ins (entry-point group ``group``)."""
    return sorted({*own, *(point.name for point in entry_points(group=group))})


def load_member(name: str, own: Mapping[str, str], group: str) -> Any:
    """The object of that name; our own come first.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    if name in own:
        return EntryPoint(name, own[name], group).load()
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    family = group.rpartition(".")[2]
    listed = ", ".join(member_names(own, group))
    raise UsageError(sentence(f"one of the {family} {listed}", repr(name), f"the {family[:-1]} name"))
