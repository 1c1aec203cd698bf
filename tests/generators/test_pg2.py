"""PG2: its presets are the published networks, its two phases, the published losses, and it can learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from handsynth.conditioning.parts import closed_mask
from handsynth.errors import UsageError
from handsynth.generators.pg2 import PG2, PG2Settings
from handsynth.runtime.settings import override
from handsynth.training.system import PairBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

MINIATURE = PG2Settings(size=32, width=4, learning_rate=1e-3, batch=2, coarse_share=0.0)


def varied(*assignments: str) -> PG2:
    return PG2(override(MINIATURE, assignments), seed=0)


@pytest.mark.parametrize(("preset", "channels"), [("published", 3), ("paper", 6)])
def test_parameter_counts(preset: str, channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("glorot", "normal"):
        monkeypatch.setattr(f"handsynth.generators.pg2.initialise_{kind}", lambda network, generator: network)
    with torch.device("meta"):
        networks = PG2(PG2.presets[preset], 0).networks()
    assert {name: parameters(network) for name, network in networks.items()} == {
        "generator": 122_106_691 + 12_696_067,
        "critic": 10_896_257 + (channels - 3) * 25 * 64,
    }


def test_published_settings() -> None:
    published, paper = PG2.presets["published"], PG2.presets["paper"]
    assert (published.size, published.batch, published.steps) == (256, 1, 80_000)
    assert published.coarse_share * published.steps == 22_000
    assert (published.learning_rate, published.betas[0], published.l1_weight) == (2e-5, 0.5, 50)
    assert (published.disc_radius, published.mask_radius) == (4, 8)
    assert override(paper, ("critic_input=single",)) == published
    assert [varied().schedule(step, 1000) for step in (0, 999)] == [1, 1]


@pytest.mark.parametrize("assignment", ["size=48", "size=16", "width=3", "critic_input=both", "coarse_share=1"])
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0]):
        varied(assignment)


def weights(system: PG2) -> dict[str, dict[str, torch.Tensor]]:
    networks = system.networks()
    parts = {"coarse": networks["generator"].coarse, "difference": networks["generator"].difference}
    parts["critic"] = networks["critic"]
    return {name: {key: value.clone() for key, value in part.named_parameters()} for name, part in parts.items()}


def test_the_phases_train_what_they_should() -> None:
    system = varied("coarse_share=0.5")
    optimizers = system.optimizers()
    for step in range(4):
        system.schedule(step, 4)
        before = weights(system)
        losses = system.step(drawn_pairs(2, 32, seed=step), optimizers, torch.Tensor.backward)
        after = weights(system)
        changed = {
            name for name in before if any(not torch.equal(before[name][key], after[name][key]) for key in before[name])
        }
        assert changed == ({"coarse"} if step < 2 else {"difference", "critic"})
        assert set(losses) == {"l1", "masked_l1"} | (set() if step < 2 else {"adversarial", "critic"})


@pytest.mark.parametrize(("share", "steps", "coarse"), [(0.275, 80, 22), (0.275, 3, 1), (0.9, 2, 1), (0.9, 1, 0)])
def test_the_second_phase_comes_in_any_number_of_steps(share: float, steps: int, coarse: int) -> None:
    system, refining = varied(f"coarse_share={share}"), []
    for step in range(steps):
        assert system.schedule(step, steps) == 1
        refining.append(system._refining)
    assert refining == [False] * coarse + [True] * (steps - coarse)


def recorded(system: PG2, batch: PairBatch) -> tuple[list[float], dict[str, float], list[torch.Tensor]]:
    """What one step sends back, what it returns, and what its critic saw."""
    weighted: list[float] = []
    seen: list[torch.Tensor] = []

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    system.networks()["critic"].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    losses = system.step(batch, system.optimizers(), backward)
    return weighted, {name: loss.item() for name, loss in losses.items()}, seen


def test_first_phase_loss_counts_the_hand_twice() -> None:
    system, batch = varied("coarse_share=0.5"), drawn_pairs(2, 32)
    with torch.no_grad():
        coarse = system.networks()["generator"](batch.source.rgb * 2 - 1, system._pose_maps(batch.target), False)
    error = (coarse - (batch.target.rgb * 2 - 1)).abs()
    mask = closed_mask(batch.target.keypoints_px, 32)
    weighted, losses, seen = recorded(system, batch)
    assert losses["l1"] == pytest.approx(error.mean().item())
    assert losses["masked_l1"] == pytest.approx((error * mask).mean().item())
    assert 0 < losses["masked_l1"] < losses["l1"]
    assert weighted == pytest.approx([losses["l1"] + losses["masked_l1"]])
    assert seen == []


@pytest.mark.parametrize("critic_input", ["single", "pair"])
def test_second_phase_losses(critic_input: str) -> None:
    system, batch = varied(f"critic_input={critic_input}"), drawn_pairs(2, 32)
    look, real = batch.source.rgb * 2 - 1, batch.target.rgb * 2 - 1
    with torch.no_grad():
        fake = system.networks()["generator"](look, system._pose_maps(batch.target))
    rows = [real, fake, look] if critic_input == "single" else [torch.cat([x, look], 1) for x in (real, fake)]
    critic = varied(f"critic_input={critic_input}").networks()["critic"]
    with torch.no_grad():
        real_logits, fake_logits = critic(torch.cat(rows)).split([2, 2 * (len(rows) - 1)])
    weighted, losses, seen = recorded(system, batch)
    for images in seen:
        torch.testing.assert_close(images, torch.cat(rows))
    assert len(seen) == 2
    assert losses["adversarial"] == pytest.approx(F.softplus(-fake_logits[:2]).mean().item(), rel=1e-5)
    judged = (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()) / 2
    assert losses["critic"] == pytest.approx(judged.item(), rel=1e-5)
    assert weighted == pytest.approx(
        [losses["adversarial"] + 50 * (losses["l1"] + losses["masked_l1"]), losses["critic"]]
    )


def test_the_generator_step_leaves_the_critic_alone() -> None:
    system = varied()
    seen: list[bool] = []

    def backward(loss: torch.Tensor) -> None:
        loss.backward()
        seen.append(any(p.grad is not None for p in system.networks()["critic"].parameters()))

    system.step(drawn_pairs(2, 32), system.optimizers(), backward)
    assert seen == [False, True]


def test_pose_maps_are_signed_discs_of_the_target() -> None:
    inputs: list[Any] = []
    system, batch = varied(), drawn_pairs(2, 32)
    system.networks()["generator"].register_forward_pre_hook(lambda module, args: inputs.extend(args))
    system.generate(batch)
    assert inputs[1].shape == (2, 21, 32, 32)
    assert set(inputs[1].unique().tolist()) == {-1, 1}
    u, v = batch.target.keypoints_px[1, 8].round().long().tolist()
    assert inputs[1][1, 8, v, u] == 1


def test_a_batch_without_images_cannot_train() -> None:
    batch = drawn_pairs(2, 32)
    blind = PairBatch(batch.source, replace(batch.target, rgb=None))
    with pytest.raises(ValueError, match="without images"):
        varied().step(blind, {}, torch.Tensor.backward)


def test_overfits_eight_samples() -> None:
    system = PG2(override(PG2.presets["tiny"], ("size=32", "width=8")), seed=0)
    batch, optimizers = drawn_pairs(8, 32), system.optimizers()
    for step in range(150):
        system.schedule(step, 150)
        system.step(batch, optimizers, torch.Tensor.backward)
    copying = (batch.source.rgb - batch.target.rgb).abs().mean()
    learned = (system.generate(batch) - batch.target.rgb).abs().mean()
    assert learned < 0.8 * copying
