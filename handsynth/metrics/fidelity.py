"""Pose fidelity: whether a generated image shows the pose it was made for, by an independent estimator.

An estimator that never saw a generated image predicts the pose in each; its error against the pose that was asked for
is the image's score. The score holds the estimator's own error too, so it is read beside the score of real images. For
reported scores the estimator may be trained on all of the training split, and the protocol says so. Where it filters
training images it is trained on the same reduced set, and is neither the pose loss's network nor the evaluated one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float


def fidelity_mm(errors_mm: Float[np.ndarray, "N J"]) -> Float[np.ndarray, " N"]:
    """Score of each image: the mean error over its counted joints in mm, lower is better; NaN where none counts.

    Args:
        errors_mm: from :func:`handsynth.metrics.pose.errors_mm`, NaN where not counted.
    """
    counted = np.isfinite(errors_mm)
    count = counted.sum(1)
    total = np.where(counted, errors_mm, 0.0).sum(1)
    return np.divide(total, count, out=np.full(len(errors_mm), np.nan), where=count > 0)


def keep(scores_mm: Float[np.ndarray, " N"], most_mm: float) -> tuple[Bool[np.ndarray, " N"], list[str]]:
    """Which images stay, and in words why each of the others goes: its error is over ``most_mm``, or is not known.

    An image without a score is rejected: nothing shows that it has its pose.

    Returns:
        (N,) kept, and N reasons, empty for a kept image.
    """
    kept = scores_mm <= most_mm
    reasons = [
        "" if stays else "no joint to judge the pose by" if np.isnan(score) else _over(float(score), most_mm)
        for stays, score in zip(kept, scores_mm, strict=True)
    ]
    return kept, reasons


def _over(score: float, most_mm: float) -> str:
    return f"pose error {score:.1f} mm, over {most_mm:g} mm"
