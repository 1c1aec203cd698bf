"""Curriculum: the stable order, whatever the ties, and pairs that never join a hand to itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handsynth.errors import DataError
from handsynth.poseindex.curriculum import curriculum_order, draw_pairs
from handsynth.runtime.seeds import rng

# Equal numbers, neighbours in the last bit, zeros of both signs, tiny and ordinary ones.
DISTANCES = st.sampled_from(
    [0.0, -0.0, 5e-324, 1e-310, 0.25, np.nextafter(0.25, 0), np.nextafter(0.25, 1), 0.5, 1.0]
) | st.floats(0, 1)


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(np.float64, st.integers(0, 60), elements=DISTANCES))
def test_order_is_the_stable_argsort(distances: np.ndarray) -> None:
    order = curriculum_order(distances)
    np.testing.assert_array_equal(order, np.argsort(distances, kind="stable"))
    assert order.dtype == np.int64


@pytest.mark.parametrize("kind", ["random", "rounded", "equal", "last bit", "tiny", "large"])
def test_order_of_many(kind: str) -> None:
    generator = np.random.default_rng(0)
    random = generator.random(50_000) / 2
    distances = {
        "random": random,
        "rounded": np.round(random, 3),
        "equal": np.full(50_000, 0.3),
        "last bit": 0.3 + generator.integers(0, 50, 50_000) * np.spacing(0.3),
        "tiny": random * 1e-305,
        "large": random * 1e300,
    }[kind]
    np.testing.assert_array_equal(curriculum_order(distances), np.argsort(distances, kind="stable"))


@pytest.mark.parametrize("bad", [-1e-9, np.nan, np.inf])
def test_what_is_no_distance_is_refused(bad: float) -> None:
    with pytest.raises(DataError, match="pose distances"):
        curriculum_order(np.array([0.1, bad, 0.2]))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 200), st.integers(0, 2**32))
def test_a_source_is_never_its_own_target(count: int, seed: int) -> None:
    source, target = draw_pairs(rng(seed, "pairs"), count)
    assert (source != target).all()
    np.testing.assert_array_equal(target, np.arange(count))
    np.testing.assert_array_equal(np.sort(source), target)
    again, _ = draw_pairs(rng(seed, "pairs"), count)
    np.testing.assert_array_equal(again, source)


def test_pairs_of_ids_are_pairs_of_positions_renamed() -> None:
    ids = np.array([40, 7, 19, 3, 88], dtype=np.int64)
    source, target = draw_pairs(rng(1, "pairs"), ids)
    position, _ = draw_pairs(rng(1, "pairs"), len(ids))
    np.testing.assert_array_equal(source, ids[position])
    np.testing.assert_array_equal(target, ids)


def test_every_pair_is_drawn_equally_often() -> None:
    counts = np.zeros((5, 5))
    for seed in range(2000):
        source, target = draw_pairs(rng(seed, "even"), 5)
        counts[target, source] += 1
    off = counts[~np.eye(5, dtype=bool)]
    assert (np.diag(counts) == 0).all()
    assert (np.abs(off - 500) < 5 * np.sqrt(500)).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=2, max_size=60), st.integers(0, 2**32))
def test_pairs_stay_in_their_group(groups: list[int], seed: int) -> None:
    of = np.array(groups)
    source, target = draw_pairs(rng(seed, "pairs"), len(of), of)
    assert (source != target).all()
    np.testing.assert_array_equal(np.sort(source), target)
    count = np.bincount(of, minlength=7)
    alone = count[of] == 1
    if alone.sum() == 1:  # it joins a group
        alone[:] = False
        others = count[of] > 1
        assert (of[source] != of)[others].sum() <= 1
    else:
        assert (of[source] == of)[~alone].all()
        assert alone[source[alone]].all()


def test_one_group_of_all_is_no_group() -> None:
    one, _ = draw_pairs(rng(3, "pairs"), 40, np.zeros(40, dtype=np.int64))
    np.testing.assert_array_equal(one, draw_pairs(rng(3, "pairs"), 40)[0])


def test_one_hand_alone_has_no_pair() -> None:
    with pytest.raises(DataError, match="at least two hands"):
        draw_pairs(rng(0, "pairs"), 1)
