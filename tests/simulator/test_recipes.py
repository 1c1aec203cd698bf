"""Benchmarks under a name: pinned tables, and pictures that another machine must make alike."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.simulator import recipes, simulate
from handsynth.simulator.recipes import RECIPES, get_recipe

PICTURE = np.array(
    [
        [75, 117, 179, 199, 75, 82, 63, 71],
        [78, 65, 113, 74, 164, 67, 183, 118],
        [68, 79, 159, 100, 114, 78, 84, 81],
        [57, 61, 214, 89, 144, 134, 138, 144],
        [77, 84, 107, 83, 93, 110, 124, 79],
        [195, 167, 71, 89, 71, 122, 143, 97],
        [77, 89, 108, 73, 86, 200, 207, 77],
        [72, 88, 76, 69, 89, 95, 113, 112],
    ]
)
"""Grey levels of the first picture of bench-v1, every 16th pixel."""


@pytest.mark.parametrize(("name", "train", "test"), [("bench-v1", 8000, 1000), ("bench-v1-mini", 400, 100)])
def test_its_splits_and_people(name: str, train: int, test: int) -> None:
    recipe = get_recipe(name)
    words = [recipe.settings.words(index) for index in range(recipe.count)]
    assert Counter(word.split for word in words) == {"train": train, "test": test}
    assert len({word.subject for word in words if word.split == "train"}) == 16
    assert len({word.subject for word in words if word.split == "test"}) == 4


def test_first_picture_is_the_pinned_one_within_a_level() -> None:
    (sample,) = simulate(get_recipe("bench-v1").settings, 0, 1)
    assert sample.rgb is not None
    found = sample.rgb[8::16, 8::16].mean(-1).round().astype(int)
    assert np.abs(found - PICTURE).max() <= 1


def test_another_simulator_or_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="one of the recipes bench-v1, bench-v1-mini, found 'bench'"):
        get_recipe("bench")
    with monkeypatch.context() as patch:
        patch.setattr(recipes, "SIMULATOR_VERSION", 99)
        with pytest.raises(UsageError, match="found version 99"):
            get_recipe("bench-v1")
    assert RECIPES["bench-v1"].table != RECIPES["bench-v1-mini"].table
