"""Losses against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handsynth.networks.losses import AdversarialLoss, adversarial_loss, joint_depth_loss, joint_map_loss

logits = st.lists(st.floats(-30, 30), min_size=1, max_size=12)


@given(logits)
def test_bce_is_the_mean_softplus(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    real = sum(math.log1p(math.exp(-v)) for v in values) / len(values)
    fake = sum(math.log1p(math.exp(v)) for v in values) / len(values)
    assert adversarial_loss(x, real=True).item() == pytest.approx(real, abs=1e-12)
    assert adversarial_loss(x, real=False).item() == pytest.approx(fake, abs=1e-12)


@given(logits)
def test_lsgan_is_the_mean_square(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float64)
    assert adversarial_loss(x, real=False, kind="lsgan").item() == pytest.approx((x**2).mean().item())
    assert adversarial_loss(x, real=True, kind="lsgan").item() == pytest.approx(((x - 1) ** 2).mean().item())


@pytest.mark.parametrize("kind", ["bce", "lsgan"])
def test_swapping_real_and_fake_mirrors_the_logits(kind: AdversarialLoss) -> None:
    x = torch.linspace(-3, 3, 24).reshape(2, 3, 4)
    mirrored = -x if kind == "bce" else 1 - x
    torch.testing.assert_close(
        adversarial_loss(x, real=True, kind=kind), adversarial_loss(mirrored, real=False, kind=kind)
    )


def test_an_undecided_critic_scores_log_2_on_any_shape() -> None:
    assert adversarial_loss(torch.zeros(2, 256, 4, 4), real=True).item() == pytest.approx(math.log(2))


def test_joint_maps_are_compared_by_sums_of_squares_over_places() -> None:
    """Eq. 12: two stages, three joints of one hand, one of them unknown."""
    true = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    said = true.repeat(2, 1, 1, 1, 1)
    said[0, 0, 0, 1, 2] = 3.0
    said[1, 0, 0] = 1.0
    said[:, 0, 2] = 100.0
    known = torch.tensor([[True, True, False]])
    # Joint 0: 9 in the first stage, 16 in the second; joint 1 is right; joint 2 does not count.
    assert joint_map_loss(said, true, known).item() == pytest.approx((9 + 16) / (2 * 2))
    assert joint_map_loss(said, true, torch.zeros_like(known)).item() == 0


def test_joint_depths_have_their_knee_at_1() -> None:
    said = torch.tensor([[0.0, 0.3, 0.5, 0.7, 1.0, -2.0, 5.0]], dtype=torch.float64, requires_grad=True)
    true = torch.tensor([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, math.nan]], dtype=torch.float64)
    loss = joint_depth_loss(said, true)
    assert loss.item() == pytest.approx((0 + 0.045 + 0.125 + 0.245 + 0.5 + 1.5) / 6)
    loss.backward()
    assert said.grad is not None
    assert said.grad.isfinite().all()
    assert said.grad[0, 6] == 0
    assert joint_depth_loss(said, torch.full_like(true, math.nan)).item() == 0
