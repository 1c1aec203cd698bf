"""Families by name: our own entries, those of installed packages, and a helpful refusal of others."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from handsynth.errors import UsageError
from handsynth.runtime import plugins

OWN = {"b": "collections:OrderedDict", "a": "module_that_is_not_there:Thing"}


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("c", "fractions:Fraction", "handsynth.things"), EntryPoint("b", "os:sep", "handsynth.things")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point for point in points if point.group == group])


def test_names_are_sorted_and_import_nothing() -> None:
    assert plugins.member_names(OWN, "handsynth.things") == ["a", "b", "c"]
    assert plugins.member_names(OWN, "handsynth.others") == ["a", "b"]


def test_members_are_loaded_ours_first() -> None:
    from collections import OrderedDict
    from fractions import Fraction

    assert plugins.load_member("b", OWN, "handsynth.things") is OrderedDict
    assert plugins.load_member("c", OWN, "handsynth.things") is Fraction


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="expected one of the things a, b, c, found 'd' in the thing name"):
        plugins.load_member("d", OWN, "handsynth.things")
