"""Estimators by name. One estimator is one file here; outside packages join through entry points."""

from __future__ import annotations

from typing import Any

from handsynth.runtime.plugins import load_member, member_names

ESTIMATORS: dict[str, str] = {
    "hpm3d": "handsynth.estimators.hpm3d:Hpm3d",
}
"""Name -> ``module:class``; imported only when asked for."""


def estimator_names() -> list[str]:
    """Names of all estimators, those of installed plug-ins included."""
    return member_names(ESTIMATORS, "handsynth.estimators")


def get_estimator(name: str) -> type[Any]:
    """The class of that name: a ``training.system.Estimator``.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    return load_member(name, ESTIMATORS, "handsynth.estimators")
