"""Adversarial losses on logits of any shape, averaged over all elements; losses on what is said of a pose."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

AdversarialLoss = Literal["bce", "lsgan"]


def adversarial_loss(logits: Float[Tensor, "*shape"], real: bool, kind: AdversarialLoss = "bce") -> Float[Tensor, ""]:
    """How far a discriminator's logits are from saying ``real`` (1) or fake (0).

    Args:
        kind: ``bce``, binary cross-entropy with logits (Goodfellow et al., 2014; the non-saturating form when used
            with ``real=True`` on a generator's images), or ``lsgan``, the squared difference (Mao et al., 2017).
    """
    goal = torch.full_like(logits, float(real))
    return F.binary_cross_entropy_with_logits(logits, goal) if kind == "bce" else F.mse_loss(logits, goal)


def joint_map_loss(
    said: Float[Tensor, "T B J M M"], true: Float[Tensor, "B J M M"], known: Bool[Tensor, "B J"]
) -> Float[Tensor, ""]:
    """Squared Frobenius distance of joint maps, averaged over T stages and all known joints (MM-Hand eq. 12).

    A sum over places, as printed, so it grows with the maps' size; 0 where no joint is known.
    """
    squares = (said - true).square().sum((-2, -1)).mean(0)
    return torch.where(known, squares, 0.0).sum() / known.sum().clamp_min(1)


def joint_depth_loss(said: Float[Tensor, "B J"], true: Float[Tensor, "B J"]) -> Float[Tensor, ""]:
    """Smooth L1 distance (knee 1) of depths, averaged over the joints whose true one is no NaN (MM-Hand eq. 13)."""
    known = true.isfinite()
    errors = F.smooth_l1_loss(said, torch.where(known, true, said.detach()), reduction="none")
    return errors.sum() / known.sum().clamp_min(1)
