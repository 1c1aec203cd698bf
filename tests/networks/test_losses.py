"""Adversarial losses against their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handsynth.networks.losses import AdversarialLoss, adversarial_loss

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
