"""Batches: right labels at the working size, an order fixed by seed and step, the curriculum, no pixels unasked."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handsynth.imaging.warp import Box, crop
from handsynth.store.read import Store
from handsynth.training.batches import DepthBatches, HandBatches, Hands, PairBatches
from tests.hands import make_samples
from tests.stores import make_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make_store(tmp_path_factory.mktemp("stores") / "s", count=24, size=64)


def test_a_batch_is_the_sample_resized(store: Store) -> None:
    hands = Hands(store, store.slots, 32)
    batch = hands.batch(np.array([5, 2]))
    for row, position in enumerate((5, 2)):
        small = crop(store.sample(int(store.slots[position])), Box(0, 0, 64), 32)
        assert batch.rgb is not None
        pixels = (batch.rgb[row].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
        np.testing.assert_array_equal(pixels, small.rgb)
        np.testing.assert_allclose(batch.keypoints_px[row].numpy(), small.keypoints_px, atol=1e-4)
        assert small.camera is not None
        wanted = [small.camera.fx, small.camera.fy, small.camera.cx, small.camera.cy]
        np.testing.assert_allclose(batch.camera[row].numpy(), wanted, atol=1e-4)


def test_without_pixels_no_image_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr(Store, "rgb", refuse)
    assert Hands(store, store.slots, 32).batch(np.arange(4), pixels=False).rgb is None


def test_every_sample_comes_once_an_epoch_whatever_the_batch(store: Store) -> None:
    batches = HandBatches([Hands(store, store.slots, 16)], batch=5, seed=7)
    seen = torch.cat([batches(step).slots for step in range(24)])[: 5 * 24]
    for epoch in range(5):
        assert sorted(seen[24 * epoch : 24 * (epoch + 1)].tolist()) == store.slots.tolist()
    again = HandBatches([Hands(store, store.slots, 16)], batch=5, seed=7)
    assert torch.equal(again(17).slots, batches(17).slots)


def test_two_stores_mix(store: Store) -> None:
    parts = [Hands(store, store.slots[:8], 16), Hands(store, store.slots[8:], 16)]
    batch = HandBatches(parts, batch=24, seed=0)(0)
    assert sorted(batch.slots.tolist()) == store.slots.tolist()


def test_balanced_batches_hold_equally_many_of_each_store(store: Store) -> None:
    parts = [Hands(store, store.slots[:5], 16), Hands(store, store.slots[5:], 16)]
    batches = HandBatches(parts, batch=7, seed=3, balanced=True)
    drawn = [batches(step).slots for step in range(19)]
    for slots in drawn:
        assert [(slots < store.slots[5]).sum(), (slots >= store.slots[5]).sum()] == [4, 3]
    many = torch.cat([slots[4:] for slots in drawn])
    assert sorted(many[:19].tolist()) == store.slots[5:].tolist()
    assert torch.equal(HandBatches(parts, batch=7, seed=3, balanced=True)(11).slots, drawn[11])


@pytest.mark.parametrize("redraw", [False, True])
def test_the_curriculum_goes_from_easy_to_hard(store: Store, redraw: bool) -> None:
    rng = np.random.default_rng(0)
    features = rng.random((24, 7)) + 0.1
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    pairs = PairBatches(Hands(store, store.slots, 16), features, batch=4, seed=1, redraw=redraw)

    def epoch(number: int) -> list[tuple[int, int]]:
        batches = [pairs(6 * number + step) for step in range(6)]
        return [pair for b in batches for pair in zip(b.source.slots.tolist(), b.target.slots.tolist(), strict=True)]

    row = {int(slot): i for i, slot in enumerate(store.slots)}
    cosines = [float(features[row[s]] @ features[row[t]]) for s, t in epoch(0)]
    assert all(late <= early + 1e-12 for early, late in itertools.pairwise(cosines))
    assert all(source != target for source, target in epoch(0))
    assert sorted(target for _, target in epoch(0)) == store.slots.tolist()
    assert (set(epoch(0)) == set(epoch(1))) is not redraw


def test_depth_is_the_hand_s_of_the_nearest_pixel(store: Store) -> None:
    hands = Hands(store, store.slots, 32)
    batch = hands.batch(np.array([4, 1]), pixels=False, depth=True)
    assert batch.rgb is None
    assert batch.depth_mm is not None
    assert batch.depth_mm.shape == (2, 1, 32, 32)
    for row, position in enumerate((4, 1)):
        sample = store.sample(int(store.slots[position]))
        assert sample.depth_mm is not None
        assert sample.mask is not None
        on_hand = (sample.mask >= 1) & (sample.mask <= 17)
        wanted = np.where(on_hand, sample.depth_mm, np.nan)[1::2, 1::2]
        np.testing.assert_array_equal(batch.depth_mm[row, 0].numpy(), wanted)


def test_without_a_mask_the_hand_is_what_lies_at_its_joints(tmp_path: Path) -> None:
    samples = [
        replace(sample, mask=np.zeros((96, 128), dtype=np.uint8), depth_mm=np.float32(4) * sample.depth_mm - 1300)
        for sample in make_samples(4)
        if sample.depth_mm is not None
    ]
    store = make_store(tmp_path / "s", samples, size=64)
    depth = Hands(store, store.slots, 64).depths_mm(np.arange(4))
    for slot, made in zip(store.slots, depth, strict=True):
        sample = store.sample(int(slot))
        assert sample.depth_mm is not None
        assert sample.joints_mm is not None
        z = sample.joints_mm[:, 2]
        near = (sample.depth_mm >= z.min() - 20) & (sample.depth_mm <= z.max() + 20)
        assert near.any()
        assert not near.all()
        np.testing.assert_array_equal(made, np.where(near, sample.depth_mm, np.nan))


def test_depth_batches_hold_every_hand_once_an_epoch_without_colour(store: Store) -> None:
    batches = DepthBatches(Hands(store, store.slots, 16), 6, seed=3)
    epoch = [batches(step) for step in range(4)]
    assert sorted(int(slot) for batch in epoch for slot in batch.target.slots) == store.slots.tolist()
    assert all(batch.target.rgb is None and batch.target.depth_mm is not None for batch in epoch)
    again = DepthBatches(Hands(store, store.slots, 16), 6, seed=3)(2)
    assert torch.equal(again.target.slots, epoch[2].target.slots)
    assert not torch.equal(batches(4).target.slots, epoch[0].target.slots)
