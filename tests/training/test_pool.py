"""History pool: what comes out was put in, draws repeat, and a saved pool goes on as if it had never stopped."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from handsynth.training.pool import HistoryPool


def entries(start: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Entries numbered from ``start``: an image of that value and a row of its negative."""
    number = torch.arange(start, start + count, dtype=torch.float32)
    return number[:, None, None, None].expand(-1, 3, 2, 2), -number[:, None]


def run(pool: HistoryPool, calls: int, start: int = 0, batch: int = 3) -> list[float]:
    drawn = []
    for call in range(calls):
        images, rows = pool.draw(*entries(start + call * batch, batch))
        assert images.shape == (batch, 3, 2, 2)
        assert torch.equal(images[:, 0, 0, :1], -rows)  # parts of an entry stay together
        drawn += images[:, 0, 0, 0].tolist()
    return drawn


@given(size=st.integers(0, 12), seed=st.integers(0, 1000), calls=st.integers(1, 12))
def test_draws_repeat_and_give_back_only_what_was_put_in(size: int, seed: int, calls: int) -> None:
    drawn = run(HistoryPool(size, seed, "a"), calls)
    assert drawn == run(HistoryPool(size, seed, "a"), calls)
    assert all(value <= 3 * (index // 3) + 2 for index, value in enumerate(drawn))
    assert drawn[:size] == list(range(min(size, len(drawn))))
    if size == 0:
        assert drawn == list(range(len(drawn)))


def test_a_full_pool_exchanges_about_half() -> None:
    drawn = run(HistoryPool(50, 1, "a"), 400)[50:]
    older = sum(value != index + 50 for index, value in enumerate(drawn))
    assert 0.45 < older / len(drawn) < 0.55
    assert len(set(drawn)) == len(drawn)  # what is taken out does not come back


def test_names_and_seeds_draw_apart() -> None:
    drawn = {tuple(run(HistoryPool(5, seed, name), 20)) for seed in (0, 1) for name in ("a", "b")}
    assert len(drawn) == 4


@given(before=st.integers(0, 8), size=st.integers(0, 9))
def test_a_saved_pool_goes_on(before: int, size: int) -> None:
    pool, other = HistoryPool(size, 4, "a"), HistoryPool(size, 4, "a")
    run(pool, before)
    other.load_state(pool.state())
    assert run(other, 8, start=100) == run(pool, 8, start=100)
    assert all(torch.equal(value, other.state()[key]) for key, value in pool.state().items())


def test_the_pool_keeps_copies() -> None:
    pool = HistoryPool(2, 0, "a")
    images = torch.ones(2, 1)
    pool.draw(images)
    images.zero_()
    assert pool.state()["part0"].tolist() == [[1], [1]]
