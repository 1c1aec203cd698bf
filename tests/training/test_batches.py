"""Batches: right labels at the working size, an order fixed by seed and step, the curriculum, no pixels unasked."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from handsynth.imaging.warp import Box, crop
from handsynth.store.read import Store
from handsynth.training.batches import HandBatches, Hands, PairBatches
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
