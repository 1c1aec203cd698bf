"""Whose poses a store shows where they are not its own: rendered anew, or generated."""

from __future__ import annotations

from handsynth.store.read import Store

ORIGIN = "origin"
"""Word of a plan for the store that the poses came from first, where its own source had them from another one."""


def poses_of(store: Store) -> str:
    """Hash of the store whose poses another one shows; empty where they are its own.

    Along a chain, a store rendered in the poses of a rendered or a generated one, it is always the first: all of them
    show the same poses.
    """
    plan = store.info.plan
    if plan.source.kind == "simulator":
        poses = plan.settings.get("poses", {})
        return str(poses.get(ORIGIN) or poses.get("store", ""))
    if plan.source.kind == "generator":
        return str(plan.settings.get(ORIGIN) or plan.source.hash)
    return ""


def origin_words(store: Store) -> dict[str, str]:
    """What the plan of a store made of this one's poses says of where they came from; nothing where they began here."""
    first = poses_of(store)
    return {ORIGIN: first} if first else {}
