"""Simulations with a name: benchmarks that everybody can remake from a seed, and that never change under their name."""

from __future__ import annotations

from dataclasses import dataclass

from handsynth.errors import UsageError, sentence
from handsynth.runtime.settings import digest
from handsynth.simulator import SIMULATOR_VERSION
from handsynth.simulator.scene import SimulatorSettings


@dataclass(frozen=True)
class Recipe:
    """What fixes a named simulation.

    Attributes:
        settings: of the simulator.
        count: moments.
        version: ``SIMULATOR_VERSION`` it was defined with.
        table: ``digest`` of settings and count, defaults written out.
    """

    settings: SimulatorSettings
    count: int
    version: int
    table: str


def _bench(train: int, clip: int) -> SimulatorSettings:
    """Left hands of 20 people, of whom 16 train, going from gesture to gesture; a clip is one place and one light."""
    return SimulatorSettings(
        seed=2020,
        size=128,
        side="left",
        poses="sequences",
        clip=clip,
        subjects=20,
        test_subjects=4,
        train_moments=train,
    )


RECIPES: dict[str, Recipe] = {
    "bench-v1": Recipe(_bench(8000, clip=50), 9000, version=3, table="0bc610ef2832868d4b41980db67e09f0"),
    "bench-v1-mini": Recipe(_bench(400, clip=10), 500, version=3, table="8130f0c23f0f52fb0be9e6f5298c2f2e"),
}
"""``bench-v1``: 8,000 training and 1,000 test images of 128 px. ``bench-v1-mini``: 400 and 100.

Version 3 of the simulator changed the still hands of ``poses="natural"`` alone; these clips are those of version 2.
"""


def get_recipe(name: str) -> Recipe:
    """The recipe of that name, checked to be what it was when it got its name.

    Raises:
        UsageError: there is none, or this handsynth would render other images under the name.
    """
    if name not in RECIPES:
        raise UsageError(sentence(f"one of the recipes {', '.join(RECIPES)}", repr(name), "--recipe"))
    recipe = RECIPES[name]
    found = (SIMULATOR_VERSION, digest([recipe.settings, recipe.count]))
    if found != (recipe.version, recipe.table):
        wanted = f"simulator version {recipe.version} and parameter table {recipe.table[:8]}"
        advice = "use the release of handsynth that the recipe was made for"
        raise UsageError(sentence(wanted, f"version {found[0]} and table {found[1][:8]}", f"recipe {name}", advice))
    return recipe
