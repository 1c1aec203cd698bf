"""Generators by name. One generator is one file here; outside packages join through entry points."""

from __future__ import annotations

from typing import Any

from handsynth.runtime.plugins import load_member, member_names

GENERATORS: dict[str, str] = {
    "mmhand": "handsynth.generators.mmhand:MMHand",
    "pix2pix": "handsynth.generators.pix2pix:Pix2Pix",
    "cyclegan": "handsynth.generators.cyclegan:CycleGAN",
    "patn": "handsynth.generators.patn:Patn",
    "pg2": "handsynth.generators.pg2:PG2",
    "posegan": "handsynth.generators.posegan:PoseGAN",
    "pose_to_depth": "handsynth.generators.pose_to_depth:PoseToDepth",
}
"""Name -> ``module:class``; imported only when asked for."""


def generator_names() -> list[str]:
    """Names of all generators, those of installed plug-ins included."""
    return member_names(GENERATORS, "handsynth.generators")


def get_generator(name: str) -> type[Any]:
    """The class of that name: a ``training.system.Generator``.

    Raises:
        UsageError: there is none; the message lists those there are.
    """
    return load_member(name, GENERATORS, "handsynth.generators")
