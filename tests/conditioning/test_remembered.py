from __future__ import annotations

import torch
from torch import Tensor

from handsynth.conditioning.depth import capsule_depth
from handsynth.conditioning.remembered import RememberedDepth
from tests.hands import make_samples


def hands(count: int) -> tuple[Tensor, Tensor]:
    joints = torch.stack([torch.from_numpy(sample.joints_mm) for sample in make_samples(count)])
    return joints, torch.tensor([[65.0, 65.0, 15.5, 15.5]]).repeat(count, 1)


def test_kept_maps_are_the_made_ones_in_any_batch() -> None:
    joints, camera = hands(6)
    remembered = RememberedDepth(capsule_depth)
    whole = remembered(joints, camera, 32)
    torch.testing.assert_close(whole, capsule_depth(joints, camera, 32), equal_nan=True)
    order = torch.tensor([3, 0, 5])
    for provider in (remembered, RememberedDepth(capsule_depth)):
        again = provider(joints[order], camera[order], 32)
        assert torch.equal(again.nan_to_num(-1), whole[order].nan_to_num(-1))


def test_it_asks_once_and_forgets_the_oldest() -> None:
    joints, camera = hands(3)
    asked = []

    def provider(joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        asked.append(float(joints_mm[0, 0, 0]))
        return torch.zeros(1, 1, size, size)

    remembered = RememberedDepth(provider, kept_bytes=2 * 8 * 8 * 4)
    remembered(joints[:2], camera[:2], 8)
    remembered(joints[:2], camera[:2], 8)
    assert len(asked) == 2
    remembered(joints[2:], camera[2:], 8)
    remembered(joints[1:2], camera[1:2], 8)
    assert len(asked) == 3
    remembered(joints[:1], camera[:1], 8)
    assert len(asked) == 4
