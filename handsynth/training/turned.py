"""Test-time augmentation: an estimator is asked about turned copies of each image, and the answers brought together.

Turning the camera about its optical axis changes no depth, so only image joints have to be turned back. Errors that
hang on the orientation differ from copy to copy; what is right does not.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from handsynth.imaging.jitter import turned, turned_points
from handsynth.training.system import Estimator, HandBatch, Prediction

TURNS_DEGREES = (0.0, -20.0, 20.0, -40.0, 40.0)


def predict_turned(system: Estimator, batch: HandBatch) -> Prediction:
    """Like ``system.predict``: per joint the median place and the mean depth over five copies of every image."""
    assert batch.rgb is not None
    size, pixels, depths = batch.rgb.shape[-1], [], []
    for degrees in TURNS_DEGREES:
        said = system.predict(replace(batch, rgb=turned(batch.rgb, batch.camera, degrees)))
        pixels.append(turned_points(said.keypoints_px.float(), batch.camera, -degrees, size))
        depths.append(said.relative_depth.float())
    return Prediction(torch.stack(pixels).median(0).values, torch.stack(depths).mean(0))


def describe() -> str:
    """What stands beside numbers made so."""
    angles = ", ".join(f"{degrees:g}" for degrees in sorted(TURNS_DEGREES))
    return f"test-time augmentation (copies turned by {angles} degrees: median place, mean depth)"
