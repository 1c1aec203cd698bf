"""What people wear and what they hold: sleeves on arms, things in hands or before them. Drawn per image or clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from handsynth.simulator.cones import Sleeve
from handsynth.simulator.items import Item, held_item, item_before
from handsynth.simulator.looks import Looks
from handsynth.simulator.posing import PosedHand
from handsynth.simulator.surface import Surface


def dressed(looks: Looks, rng: np.random.Generator, hands: Sequence[PosedHand]) -> list[PosedHand]:
    """The hands, all with sleeves of one kind or all without."""
    # Long sleeves end about the wrist, the others anywhere up the arm.
    cuff = rng.uniform(2, 35) if rng.random() < 0.55 else rng.uniform(35, 200)
    sleeve = Sleeve(float(cuff), float(rng.uniform(2.5, 9)))
    if rng.random() >= looks.sleeves:
        return list(hands)
    return [replace(hand, cones=replace(hand.cones, sleeve=sleeve)) for hand in hands]


def draw_items(looks: Looks, rng: np.random.Generator, hands: Sequence[PosedHand]) -> tuple[Item, ...]:
    """What one of the hands holds, and what stands between it and the camera at the origin; mostly nothing.

    A thing that would run into another hand is left out.
    """
    holds, before = rng.random(2) < [looks.held, looks.occluders]
    number = int(rng.integers(len(hands)))
    hand = hands[number]
    items = []
    if holds:
        item = held_item(rng, Surface.of(hand.cones), hand.joints_mm)
        others = [other.cones for other in hands if other is not hand]
        if item is not None and all(_apart(item, Surface.of(cones)) for cones in others):
            items.append(item)
    if before:
        items.append(item_before(rng, hand.joints_mm))
    return tuple(items)


def _apart(item: Item, other: Surface) -> bool:
    """Whether a hand's bones stay out of a thing."""
    ends, radii = other.cones.ends_mm, other.cones.radii_mm
    share = np.linspace(0, 1, 9)[:, None, None]
    points = ends[:, 0] + share * (ends[:, 1] - ends[:, 0])
    thick = radii[:, 0] + share[..., 0] * (radii[:, 1] - radii[:, 0])
    return bool((item.distance(points) > thick).all())
