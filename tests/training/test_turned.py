"""Test-time augmentation: what finds a mark says the same place, whichever way the images are turned."""

from __future__ import annotations

import pytest
import torch

from handsynth.training.system import HandBatch, Prediction
from handsynth.training.turned import TURNS_DEGREES, describe, predict_turned
from tests.imaging.test_jitter import SIDE, batch


class FindsTheMark:
    """All joints lie at the brightest pixel; the depth that is said grows with every question."""

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, hands: HandBatch) -> Prediction:
        assert hands.rgb is not None
        brightest = hands.rgb.mean(1).flatten(1).argmax(1)
        places = torch.stack([brightest % SIDE, brightest // SIDE], -1).float()
        self.asked += 1
        return Prediction(places[:, None].expand(-1, 21, -1), torch.full((len(places), 21), float(self.asked)))


def marked() -> HandBatch:
    """Three black images with a soft white mark each, away from the middle, before cameras of unequal focal lengths."""
    _, _, joints, camera = batch()
    v, u = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    marks = torch.tensor([[30.0, 18.0], [20.0, 33.0], [15.0, 20.0]])
    far = (u - marks[:, 0, None, None]) ** 2 + (v - marks[:, 1, None, None]) ** 2
    rgb = torch.exp(-far / 8)[:, None].expand(-1, 3, -1, -1)
    keypoints, known = marks[:, None].expand(-1, 21, -1), torch.ones(3, 21, dtype=torch.bool)
    return HandBatch(torch.arange(3), keypoints, joints, known, camera, rgb)


def test_turned_copies_are_turned_back() -> None:
    system, hands = FindsTheMark(), marked()
    said = predict_turned(system, hands)  # type: ignore[arg-type]
    assert system.asked == len(TURNS_DEGREES)
    assert (said.keypoints_px - hands.keypoints_px).abs().max() < 0.6
    assert said.relative_depth.unique().tolist() == pytest.approx([3.0])
    assert "-40, -20, 0, 20, 40 degrees" in describe()
