"""Frechet distance of two sets of features, each taken for a Gaussian cloud (Heusel et al., NeurIPS 2017).

|m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2), means m and covariances C (divided by count - 1). With
Inception's 2048 pool features it is the FID; with those of one of our own estimators it stands under that estimator's
name (``frechet_hpm3d``). Distances in different features are not comparable, and neither are those of different counts:
the fewer the images, the larger the distance, by roughly tr(C) (1/N + 1/M) and more where N or M is below D.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from handsynth.errors import UsageError, sentence


def frechet_distance(first: Float[np.ndarray, "N D"], second: Float[np.ndarray, "M D"]) -> float:
    """Distance of two feature sets of D features each, 0 or more; 0 for sets with equal mean and covariance.

    The trace of the root is taken without any root: with the centred sets A and B, C_a = A^T A and C_b = B^T B, it is
    the sum of the singular values of A B^T. That holds for covariances of any rank, and needs no small number on their
    diagonals, nor an imaginary part to be dropped.

    Raises:
        UsageError: fewer than two rows, or a value that is not finite.
    """
    for features in (first, second):
        if len(features) < 2:
            raise UsageError(sentence("the features of two images or more", str(len(features)), "a Frechet distance"))
        if not np.isfinite(features).all():
            raise UsageError(sentence("finite features", "others", "a Frechet distance"))
    shift, a = _centred(first)
    other, b = _centred(second)
    across = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = ((shift - other) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * across
    return float(max(distance, 0.0))


def _centred(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,), and a matrix A with A^T A = covariance and no more rows than D."""
    values = features.astype(np.float64)
    mean = values.mean(0)
    spread = (values - mean) / np.sqrt(len(values) - 1)
    if len(spread) > spread.shape[1]:
        spread = np.asarray(np.linalg.qr(spread, mode="r"))
    return mean, spread
