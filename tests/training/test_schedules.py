"""Learning-rate factors of the pix2pix family, against values run on the authors' code."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handsynth.training.schedules import LinearDecay, linear_decay


@pytest.mark.parametrize(
    ("constant", "decay", "expected"),
    [
        (100, 0, {0: 1, 97: 1, 98: 1, 99: 0}),
        (500, 200, {0: 1, 498: 1, 499: 0.99502, 599: 0.49751, 698: 0.00498}),
    ],
    ids=["mmhand", "patn"],
)
def test_published_factors(constant: int, decay: int, expected: dict[int, float]) -> None:
    for epoch, factor in expected.items():
        assert linear_decay(epoch, constant, decay) == pytest.approx(factor, abs=5e-6)


def test_mmhand_learns_nothing_in_the_last_hundredth() -> None:
    schedule = LinearDecay(constant=100, decay=0)
    assert [schedule.factor(step, 5000) for step in (0, 4949, 4950, 4999)] == [1, 1, 0, 0]


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 2), st.integers(1, 200))
def test_factors_never_rise_and_stay_in_the_unit_interval(constant: int, decay: int, offset: int, steps: int) -> None:
    schedule = LinearDecay(constant=constant, decay=decay, offset=offset)
    factors = [schedule.factor(step, steps) for step in range(steps)]
    assert all(0 <= later <= earlier <= 1 for earlier, later in itertools.pairwise(factors))
