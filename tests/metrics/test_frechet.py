"""The Frechet distance: closed forms, another way to compute it, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from handsynth.errors import UsageError
from handsynth.metrics.frechet import frechet_distance


def cloud(seed: int, count: int, features: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, features)) @ rng.normal(size=(features, features)) + rng.normal(size=features)


def by_roots(first: np.ndarray, second: np.ndarray) -> float:
    """The textbook form, by a matrix root; good for full covariances only."""
    a, b = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    shift = ((first.mean(0) - second.mean(0)) ** 2).sum()
    return float(shift + np.trace(a + b) - 2 * np.trace(sqrtm(a @ b)).real)


@given(seed=st.integers(0, 10_000), counts=st.tuples(st.integers(20, 60), st.integers(20, 60)))
@settings(max_examples=20, deadline=None)
def test_it_is_the_textbooks_and_symmetric(seed: int, counts: tuple[int, int]) -> None:
    first, second = cloud(seed, counts[0], 6), cloud(seed + 1, counts[1], 6)
    distance = frechet_distance(first, second)
    assert distance == pytest.approx(by_roots(first, second), rel=1e-7)
    assert distance == pytest.approx(frechet_distance(second, first), rel=1e-9)


def test_one_feature_has_a_closed_form() -> None:
    first, second = np.array([[1.0], [3.0]]), np.array([[10.0], [14.0], [18.0]])
    expected = (2 - 14) ** 2 + (np.sqrt(2) - 4) ** 2
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_shift_adds_its_square_and_a_turn_of_both_changes_nothing(seed: int) -> None:
    """With fewer images than features, where a root of the product is of no use."""
    first, second = cloud(seed, 5, 12), cloud(seed + 1, 7, 12)
    distance = frechet_distance(first, second)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 12)))[0]
    assert frechet_distance(first @ turn, second @ turn) == pytest.approx(distance, rel=1e-9)
    move = second.mean(0) - first.mean(0)
    assert frechet_distance(first + move, second) == pytest.approx(distance - move @ move, rel=1e-9)
    assert frechet_distance(first, first + 2.0) == pytest.approx(4 * 12, rel=1e-9)


@pytest.mark.parametrize("count", [4, 40])
def test_it_is_nothing_to_itself_and_never_negative(count: int) -> None:
    first = cloud(0, count, 8)
    assert 0 <= frechet_distance(first, first) < 1e-9 * (first**2).sum()
    assert frechet_distance(np.ones((3, 8)), np.ones((3, 8))) == 0


def test_scale_apart_is_the_trace_of_the_difference_of_roots() -> None:
    first = cloud(0, 30, 5)
    first -= first.mean(0)
    assert frechet_distance(first, 3 * first) == pytest.approx(4 * np.trace(np.cov(first, rowvar=False)), rel=1e-9)


def test_fewer_images_lie_further() -> None:
    """Two draws from one cloud: the distance is a bias, and grows as the draw shrinks."""
    rng = np.random.default_rng(0)
    many, few = (frechet_distance(*rng.normal(size=(2, count, 16))) for count in (2000, 20))
    assert few > 10 * many > 0


@pytest.mark.parametrize(
    ("features", "words"), [(np.zeros((1, 3)), "two images or more"), (np.full((4, 3), np.nan), "finite features")]
)
def test_what_has_no_covariance_is_refused(features: np.ndarray, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        frechet_distance(cloud(0, 5, 3), features)
