"""Adversarial losses on logits of any shape, averaged over all elements."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
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
