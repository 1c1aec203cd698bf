"""Splits and reduced sets never part a moment, are shared by all systems and are nested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.store.read import Store
from handsynth.training.splits import split_store
from tests.hands import make_samples
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("stores") / "s", count=64, size=16)


def moments(store: Store, slots: np.ndarray) -> set[str]:
    return set(store.column("moment", slots))


@pytest.mark.parametrize("alpha", [0.1, 0.4, 0.9, 1.0])
def test_the_parts_are_disjoint_and_whole(store: Store, alpha: float) -> None:
    split = split_store(store, alpha, seed=3)
    assert set(split.reduced) | set(split.held_out) == set(store.slots[store.column("split") == "train"])
    assert not set(split.reduced) & set(split.held_out)
    assert set(split.test) == set(store.slots[store.column("split") == "test"])
    assert not moments(store, split.reduced) & moments(store, split.held_out)


def test_draws_are_seeded_and_nested(store: Store) -> None:
    small, large = split_store(store, 0.2, seed=1), split_store(store, 0.6, seed=1)
    assert set(small.reduced) < set(large.reduced)
    assert small.hash == split_store(store, 0.2, seed=1).hash
    assert small.hash != split_store(store, 0.2, seed=2).hash


def test_contiguous_draws_whole_sequences(store: Store) -> None:
    split = split_store(store, 0.5, seed=0, contiguous=True)
    drawn = set(store.column("sequence", split.reduced))
    assert drawn
    assert not drawn & set(store.column("sequence", split.held_out))


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5])
def test_a_share_out_of_range_is_refused(store: Store, alpha: float) -> None:
    with pytest.raises(UsageError, match="share above 0 and up to 1"):
        split_store(store, alpha)


def test_without_a_published_split_the_last_moments_are_the_test(tmp_path: Path) -> None:
    samples = [replace(sample, split=None) for sample in make_samples(16)]
    store = make_store(tmp_path / "s", samples, size=16)
    split = split_store(store)
    assert split.test.tolist() == [12, 13, 14, 15]
    assert not moments(store, split.reduced) & moments(store, split.test)


def test_one_sequence_cannot_be_drawn_from(tmp_path: Path) -> None:
    samples = [replace(sample, sequence="only") for sample in make_samples(8)]
    store = make_store(tmp_path / "s", samples, size=16)
    with pytest.raises(UsageError, match="at least two training sequences"):
        split_store(store, 0.5, contiguous=True)
