"""The nearest-neighbour loss against plain L1, shifts, and the authors' definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from handsynth.networks.nearest import nearest_neighbour_loss


def images(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 6, 5, generator=rng), torch.randn(2, 3, 6, 5, generator=rng)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_window_1_is_channel_summed_l1_and_larger_ones_never_exceed_it(seed: int) -> None:
    a, b = images(seed)
    losses = [nearest_neighbour_loss(a, b, window).item() for window in (1, 3, 5)]
    assert losses[0] == pytest.approx((a - b).abs().sum(1).mean().item(), rel=1e-5)
    assert losses[0] >= losses[1] >= losses[2] > 0


@pytest.mark.parametrize("window", [3, 5])
def test_definition(window: int) -> None:
    """Every patch of the reference, padded with -10000, against the position in its middle."""
    a, b = images(1)
    half = window // 2
    patches = F.pad(b, [half] * 4, value=-10000.0).unfold(2, window, 1).unfold(3, window, 1).flatten(4)
    expected = (a[..., None] - patches).abs().sum(1).amin(-1).mean()
    assert nearest_neighbour_loss(a, b, window).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_shift_inside_the_window_costs_nothing_away_from_the_border() -> None:
    reference, _ = images(2)
    shifted = reference.roll((1, -1), dims=(2, 3))
    assert nearest_neighbour_loss(shifted[..., 1:, :-1], reference[..., 1:, :-1], 3) > 0
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    # What is cut off here is at hand in the reference, one pixel outside.
    grid = torch.zeros_like(reference)
    grid[inner] = reference[inner]
    assert nearest_neighbour_loss(grid.roll((1, -1), dims=(2, 3)), grid, 3).item() == 0
    assert nearest_neighbour_loss(grid.roll((2, 0), dims=(2, 3)), grid, 3).item() > 0


def test_gradients_go_to_the_image_alone() -> None:
    a, b = images(3)
    a.requires_grad_()
    b.requires_grad_()
    nearest_neighbour_loss(a, b, 3).backward()
    assert b.grad is None
    # Each element pulls towards its neighbour by one share of the mean over positions.
    torch.testing.assert_close(a.grad.abs(), torch.full_like(a, 1 / (2 * 6 * 5)))


def test_a_window_needs_a_middle() -> None:
    with pytest.raises(ValueError, match="no middle"):
        nearest_neighbour_loss(*images(0), 4)
