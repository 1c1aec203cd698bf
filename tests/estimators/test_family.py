"""What every estimator promises, checked on each that is registered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from handsynth.errors import UsageError
from handsynth.estimators import estimator_names, get_estimator
from handsynth.hand.joints import INDEX
from handsynth.metrics.protocol import ROOT, SCALE_BONE
from handsynth.runtime.settings import override
from handsynth.training.system import HandBatch, Prediction
from tests.generators.drawn_hands import drawn_pairs
from tests.systems import PRESETS, check_presets

SIDE = 32
MINIATURE = {
    "size": SIDE,
    "batch": 2,
    "head_hidden": 16,
    "layout.trunk": "[[1, 8, true], [1, 8, true]]",
    "layout.features": 8,
    "layout.head_width": 8,
    "layout.stages": 2,
    "layout.stage_width": 8,
    "layout.stage_convs": 1,
}
"""Settings of an estimator in a test, where it has them."""


def build(name: str, preset: str = "tiny", seed: int = 3) -> Any:
    kind = get_estimator(name)
    settings = kind.presets[preset]
    fields = settings.__struct_fields__
    smaller = [f"{key}={value}" for key, value in MINIATURE.items() if key.split(".")[0] in fields]
    return kind(override(settings, smaller), seed)


def hands(count: int = 2, seed: int = 100) -> HandBatch:
    return drawn_pairs(count, SIDE, seed=seed).target


def train(system: Any, first: int, last: int, batch: HandBatch | None = None) -> list[dict[str, float]]:
    if not hasattr(system, "kept"):
        system.kept = system.optimizers()
    for network in system.networks().values():
        network.train()
    losses = []
    for step in range(first, last):
        torch.manual_seed(step)
        taken = system.step(hands(seed=step) if batch is None else batch, system.kept, torch.Tensor.backward)
        assert taken
        for loss in taken.values():
            assert loss.shape == ()
            assert not loss.requires_grad
            assert torch.isfinite(loss)
        losses.append({key: float(loss) for key, loss in taken.items()})
    return losses


def weights(system: Any) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{key}": value.clone()
        for name, network in system.networks().items()
        for key, value in network.state_dict().items()
    }


def assert_same(first: Prediction, second: Prediction) -> None:
    assert torch.equal(first.keypoints_px, second.keypoints_px)
    assert torch.equal(first.relative_depth, second.relative_depth)


@pytest.fixture(params=estimator_names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_the_list_of_names() -> None:
    assert "hpm3d" in estimator_names()
    with pytest.raises(UsageError, match=r"one of the estimators .*hpm3d.*found 'hpm4d'"):
        get_estimator("hpm4d")


def test_its_name_family_and_presets(name: str) -> None:
    check_presets(get_estimator(name), name, "estimator")


@pytest.mark.parametrize("preset", PRESETS)
def test_predicts_in_every_preset(name: str, preset: str) -> None:
    said = build(name, preset).predict(hands())
    assert said.keypoints_px.shape == (2, 21, 2)
    assert said.relative_depth.shape == (2, 21)
    for values in (said.keypoints_px, said.relative_depth):
        assert values.dtype == torch.float32
        assert not values.requires_grad
        assert values.isfinite().all()


@pytest.mark.parametrize("preset", PRESETS)
def test_trains_in_every_preset(name: str, preset: str) -> None:
    system = build(name, preset)
    before = weights(system)
    train(system, 0, 1)
    after = weights(system)
    for network in system.networks():
        assert any(not torch.equal(before[key], after[key]) for key in after if key.startswith(f"{network}.")), network


@pytest.mark.parametrize("preset", PRESETS)
def test_prediction_reads_rgb_alone_repeats_and_leaves_the_system_as_it_was(name: str, preset: str) -> None:
    system, batch = build(name, preset), hands()
    train(system, 0, 2)
    before = weights(system)
    first = system.predict(batch)
    blind = replace(
        batch,
        slots=batch.slots + 7,
        keypoints_px=torch.full_like(batch.keypoints_px, torch.nan),
        joints_mm=torch.full_like(batch.joints_mm, torch.nan),
        joint_labelled=torch.zeros_like(batch.joint_labelled),
        camera=torch.full_like(batch.camera, torch.nan),
    )
    torch.manual_seed(99)
    assert_same(first, system.predict(blind))
    after = weights(system)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(network.training for network in system.networks().values())


def test_a_hand_is_predicted_alike_in_any_company(name: str) -> None:
    system, batch = build(name), hands(3)
    train(system, 0, 2)
    together = system.predict(batch)
    alone = system.predict(replace(batch, **{f: getattr(batch, f)[1:2] for f in vars(batch) if _known(batch, f)}))
    assert torch.allclose(together.keypoints_px[1:2], alone.keypoints_px, atol=1e-3)
    assert torch.allclose(together.relative_depth[1:2], alone.relative_depth, atol=1e-4)


@pytest.mark.parametrize("preset", PRESETS)
def test_features_sum_up_each_image_alone(name: str, preset: str) -> None:
    system, batch = build(name, preset), hands(3)
    assert batch.rgb is not None
    found = system.features(batch)
    assert found.ndim == 2
    assert len(found) == 3
    assert found.isfinite().all()
    assert not found.requires_grad
    assert all(network.training for network in system.networks().values())
    turned = system.features(replace(batch, rgb=batch.rgb.flip(0)))
    assert torch.allclose(turned, found.flip(0), atol=1e-5)
    assert not torch.allclose(turned, found, atol=1e-5)


def _known(batch: HandBatch, field: str) -> bool:
    return getattr(batch, field) is not None


@pytest.mark.parametrize("preset", PRESETS)
def test_unlabelled_joints_change_neither_losses_nor_weights(name: str, preset: str) -> None:
    """Root and scale bone aside, which may be derived (STB's wrist) and still measure the others."""
    batch = hands()
    labelled = batch.joint_labelled.clone()
    labelled[0, INDEX["thumb_tip"]] = labelled[1, INDEX["ring_dip"]] = labelled[1, INDEX["wrist"]] = False
    keep = {INDEX[joint] for joint in (ROOT, *SCALE_BONE)}
    garbage = ~labelled
    garbage[:, list(keep)] = False
    runs = []
    for fill in (torch.nan, -50.0):
        changed = replace(
            batch,
            joint_labelled=labelled,
            keypoints_px=torch.where(~labelled[..., None], fill, batch.keypoints_px),
            joints_mm=torch.where(garbage[..., None], fill, batch.joints_mm),
        )
        system = build(name, preset)
        runs.append((train(system, 0, 2, changed), weights(system)))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(runs[0][1][key], runs[1][1][key]) for key in runs[0][1])
    assert runs[0][0] != train(build(name, preset), 0, 2, batch)


def test_a_batch_without_labels_is_harmless(name: str) -> None:
    batch = hands()
    batch = replace(
        batch,
        joint_labelled=torch.zeros_like(batch.joint_labelled),
        keypoints_px=torch.full_like(batch.keypoints_px, torch.nan),
        joints_mm=torch.full_like(batch.joints_mm, torch.nan),
    )
    system = build(name)
    losses = train(system, 0, 1, batch)
    assert all(value == 0 for value in losses[0].values())
    assert all(value.isfinite().all() for value in weights(system).values())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_seed_fixes_everything_and_resuming_changes_nothing(name: str, preset: str) -> None:
    whole, halves, other = build(name, preset), build(name, preset), build(name, preset, seed=4)
    assert_same(whole.predict(hands()), halves.predict(hands()))
    train(whole, 0, 4)
    train(halves, 0, 2)
    resumed = build(name, preset, seed=3)
    resumed.kept = resumed.optimizers()
    for key, network in resumed.networks().items():
        network.load_state_dict(halves.networks()[key].state_dict())
    for key, optimizer in resumed.kept.items():
        optimizer.load_state_dict(halves.kept[key].state_dict())
    resumed.load_state(halves.state())
    train(resumed, 2, 4)
    first, second = weights(whole), weights(resumed)
    assert all(torch.equal(first[key], second[key]) for key in first)
    start = weights(other)
    assert any(not torch.equal(weights(build(name, preset))[key], start[key]) for key in start)


@pytest.mark.parametrize("preset", PRESETS)
def test_the_schedule_is_a_factor(name: str, preset: str) -> None:
    system = build(name, preset)
    factors = [system.schedule(step, 100) for step in range(100)]
    assert factors[0] == 1 or factors[0] < factors[10]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) == pytest.approx(1)
