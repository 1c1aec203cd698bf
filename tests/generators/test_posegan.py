"""Pose-GAN: its presets are the published networks, its step the published losses, and it can learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from handsynth.conditioning.parts import part_masks, part_transforms
from handsynth.errors import DataError, UsageError
from handsynth.generators.posegan import PoseGAN, PoseGANSettings
from handsynth.networks.nearest import nearest_neighbour_loss
from handsynth.networks.vgg import VggFeatures
from handsynth.runtime import files
from handsynth.runtime.settings import override
from handsynth.training.system import PairBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

MINIATURE = PoseGANSettings(size=32, width=4, dropout=0.0, content="l1", batch=2)


def varied(*assignments: str) -> PoseGAN:
    return PoseGAN(override(MINIATURE, assignments), seed=0)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("published", {"generator": 82_084_067, "critic": 2_809_926}),
        # A gain and an offset for each of 128, 256 and 512 channels in place of three pairs.
        ("paper", {"generator": 82_096_579, "critic": 2_809_926 - 6 + 2 * (128 + 256 + 512)}),
    ],
)
def test_parameter_counts(preset: str, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.posegan.initialise_glorot", lambda network, generator: network)
    with torch.device("meta"):
        networks = PoseGAN(PoseGAN.presets[preset], 0).networks()
    assert {name: parameters(network) for name, network in networks.items()} == expected


def test_published_settings() -> None:
    published, paper = PoseGAN.presets["published"], PoseGAN.presets["paper"]
    assert (published.size, published.batch, published.steps, published.window) == (256, 2, 90 * 1000, 5)
    assert (published.learning_rate, published.betas, published.dropout) == (2e-4, (0.5, 0.999), 0.5)
    assert (published.content, published.nearest_weight, published.l1_weight) == ("full", 0.01, 100)
    assert override(paper, ("norm=scalar",)) == published
    assert [varied().schedule(step, 1000) for step in (0, 999)] == [1, 1]


@pytest.mark.parametrize("assignment", ["size=48", "window=4", "dropout=1", "norm=batch", "content=none"])
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0]):
        varied(assignment)


def recorded(system: PoseGAN, batch: PairBatch) -> tuple[list[float], dict[str, float]]:
    """What one step sends back, and what it returns."""
    weighted: list[float] = []

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    losses = system.step(batch, system.optimizers(), backward)
    return weighted, {name: loss.item() for name, loss in losses.items()}


def forward(system: PoseGAN, batch: PairBatch) -> torch.Tensor:
    with torch.no_grad():
        poses = system._pose_maps(batch.source), system._pose_maps(batch.target)
        return system._forward(batch.source.rgb * 2 - 1, poses, batch)


def test_what_goes_back_are_the_published_losses() -> None:
    system, batch, seen = varied(), drawn_pairs(2, 32), []
    fake, real = forward(system, batch), batch.target.rgb * 2 - 1
    critic = varied().networks()["critic"]
    system.networks()["critic"].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    weighted, losses = recorded(system, batch)
    poses = system._pose_maps(batch.source), system._pose_maps(batch.target)
    rows = [torch.cat([batch.source.rgb * 2 - 1, poses[0], image, poses[1]], dim=1) for image in (fake, real, fake)]
    for images, expected in zip(seen, rows, strict=True):
        torch.testing.assert_close(images, expected)
    with torch.no_grad():
        fake_logits, real_logits = critic(rows[0]), critic(rows[1])
    assert losses["content"] == pytest.approx(F.l1_loss(fake, real).item())
    assert losses["adversarial"] == pytest.approx(F.softplus(-fake_logits).mean().item(), rel=1e-5)
    judged = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    assert losses["critic"] == pytest.approx(judged.item(), rel=1e-5)
    assert weighted == pytest.approx([losses["adversarial"] + 100 * losses["content"], losses["critic"]])


def test_full_content_needs_weights_only_to_train() -> None:
    system = varied("content=full")
    system.generate(drawn_pairs(2, 32))
    with pytest.raises(UsageError, match=r"weights of vgg19.*found no file.*content=l1"):
        system.step(drawn_pairs(2, 32), system.optimizers(), torch.Tensor.backward)


def test_full_content_is_the_nearest_neighbour_loss_on_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vgg = VggFeatures("vgg19", "relu1_2")
    torch.save(vgg.state_dict(), tmp_path / "vgg.pth")
    digest = files.sha256(tmp_path / "vgg.pth")
    named = f'vgg={{"path": "{tmp_path}/vgg.pth", "sha256": "{digest}"}}'
    system, batch = varied("content=full", "window=3", named), drawn_pairs(2, 32)
    with torch.no_grad():
        fake, real = vgg(forward(system, batch)), vgg(batch.target.rgb * 2 - 1)
    weighted, losses = recorded(system, batch)
    assert losses["content"] == pytest.approx(nearest_neighbour_loss(fake, real, 3).item(), rel=1e-5)
    assert weighted[0] == pytest.approx(losses["adversarial"] + 0.01 * losses["content"])
    assert set(system.networks()) == {"generator", "critic"}
    with pytest.raises(DataError, match="vgg19 of sha256 0000"):
        recorded(varied("content=full", named.replace(digest, "0" * 64)), batch)


def test_the_generator_step_leaves_the_critic_alone() -> None:
    system = varied()
    seen: list[bool] = []

    def backward(loss: torch.Tensor) -> None:
        loss.backward()
        seen.append(any(p.grad is not None for p in system.networks()["critic"].parameters()))

    system.step(drawn_pairs(2, 32), system.optimizers(), backward)
    assert seen == [False, True]


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (lambda b: replace(b, source=replace(b.source, keypoints_px=b.source.keypoints_px + 3)), {1, 3}),
        (lambda b: replace(b, target=replace(b.target, keypoints_px=b.target.keypoints_px + 3)), {2, 3, 4}),
        (lambda b: replace(b, source=replace(b.source, rgb=1 - b.source.rgb)), {0}),
    ],
    ids=["source pose", "target pose", "source image"],
)
def test_conditions(change: Callable[[PairBatch], PairBatch], moved: set[int]) -> None:
    def inputs(batch: PairBatch) -> list[Any]:
        kept: list[Any] = []
        system = varied()
        system.networks()["generator"].register_forward_pre_hook(lambda module, args: kept.extend(args))
        system.generate(batch)
        return kept

    batch = drawn_pairs(2, 32)
    before, after = inputs(batch), inputs(change(batch))
    assert {place for place in range(5) if not torch.equal(before[place], after[place])} == moved
    source, target = batch.source.keypoints_px, batch.target.keypoints_px
    assert torch.equal(before[3], part_transforms(target, source, 32))
    assert torch.equal(before[4], part_masks(target, 32))
    # Gaussians of sigma 6 px at 256 px about whole pixels.
    assert before[1].amax((2, 3)).eq(1).all()
    assert before[1][0, 12].sum().item() == pytest.approx(2 * torch.pi * 0.75**2, rel=0.02)


def test_a_batch_without_images_cannot_train() -> None:
    batch = drawn_pairs(2, 32)
    blind = PairBatch(batch.source, replace(batch.target, rgb=None))
    with pytest.raises(ValueError, match="without images"):
        varied().step(blind, {}, torch.Tensor.backward)


def test_overfits_eight_samples() -> None:
    system = PoseGAN(override(PoseGAN.presets["tiny"], ("size=32", "width=8")), seed=0)
    batch, optimizers = drawn_pairs(8, 32), system.optimizers()
    for _ in range(60):
        system.step(batch, optimizers, torch.Tensor.backward)
    copying = (batch.source.rgb - batch.target.rgb).abs().mean()
    learned = (system.generate(batch) - batch.target.rgb).abs().mean()
    assert learned < 0.6 * copying
