"""MM-Hand: its presets are the published networks, its step the published losses, and it can learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from handsynth.conditioning.depth import capsule_depth
from handsynth.errors import UsageError
from handsynth.generators.mmhand import MMHand, MMHandSettings
from handsynth.runtime.settings import convert, override
from handsynth.training.system import PairBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

MINIATURE = MMHandSettings(size=32, width=4, blocks=2, discriminator_blocks=1, dropout=0.0, pool_size=0, batch=2)


def varied(settings: MMHandSettings, *assignments: str, provider: Any = capsule_depth, seed: int = 0) -> MMHand:
    return MMHand(override(settings, assignments), provider, seed)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("published", {"generator": 71_272_835, "critic_pose": 3_986_816, "critic_appearance": 3_930_368}),
        # Contour maps and one depth channel each: both differences from the published count apart. A scalar head is
        # 9 x 256 weights and a bias; 3 in place of 21 pose channels are 49 x 64 x 18 weights fewer.
        (
            "paper",
            {
                "generator": 71_159_939 + 71_260_291 - 71_272_835,
                "critic_pose": 3_986_816 - 49 * 64 * 18 + 2305,
                "critic_appearance": 3_930_368 + 2305,
            },
        ),
    ],
)
def test_parameter_counts(preset: str, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.mmhand.initialise_normal", lambda network, generator: network)
    with torch.device("meta"):
        networks = MMHand(MMHand.presets[preset], capsule_depth, 0).networks()
    assert {name: parameters(network) for name, network in networks.items()} == expected


def test_presets_differ_where_paper_and_code_do() -> None:
    paper, published = MMHand.presets["paper"], MMHand.presets["published"]
    assert (paper.pose_input, published.pose_input) == ("contour", "heatmap")
    assert (paper.swap_streams, published.swap_streams) == (False, True)
    assert (paper.feature_map_logits, published.feature_map_logits) == (False, True)
    assert (paper.curriculum, published.curriculum) == (True, False)
    for settings in (paper, published):
        assert (settings.size, settings.width, settings.blocks, settings.batch) == (256, 64, 9, 3)
        assert (settings.learning_rate, settings.betas, settings.pool_size) == (2e-4, (0.5, 0.999), 50)
        assert (settings.l1_weight, settings.adversarial_weight) == (10, 5)


def test_only_published_stops_learning_at_its_end() -> None:
    for preset in MMHand.presets:
        system = varied(override(MMHand.presets[preset], ("width=2",)), "blocks=1", "size=16")
        assert [system.schedule(step, 1000) for step in (0, 500, 989)] == [1, 1, 1]
        assert system.schedule(999, 1000) == (0 if preset == "published" else 1)


@pytest.mark.parametrize("assignment", ["size=30", "blocks=0", "dropout=1", "pose_input=skeleton", "learning_rate=0"])
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0]):
        override(MINIATURE, (assignment,))
    with pytest.raises(UsageError, match="perceptual_weight"):
        convert({"perceptual_weight": 1}, MMHandSettings, "test")


def test_what_goes_back_are_the_published_losses() -> None:
    system = varied(MINIATURE)
    weighted: list[float] = []

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    batch = drawn_pairs(2, 32)
    with torch.no_grad():
        pose = system._pose_maps(batch.target.keypoints_px)
        before = system._forward(batch.source.rgb * 2 - 1, pose, batch.source, batch.target)
    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    assert losses["l1"] == pytest.approx((before - (batch.target.rgb * 2 - 1)).abs().mean().item())
    assert weighted == pytest.approx(
        [
            10 * losses["l1"] + 5 * losses["adversarial"],
            5 * losses["critic_appearance"],  # 0.5 * 5 * (bce(real, 1) + bce(fake, 0))
            5 * losses["critic_pose"],
        ]
    )


def test_the_generator_step_leaves_the_critics_alone() -> None:
    system = varied(MINIATURE)
    optimizers = system.optimizers()
    seen: list[bool] = []

    def backward(loss: torch.Tensor) -> None:
        loss.backward()
        critics = (system.networks()[name] for name in ("critic_pose", "critic_appearance"))
        seen.append(any(p.grad is not None for critic in critics for p in critic.parameters()))

    system.step(drawn_pairs(2, 32), optimizers, backward)
    assert seen[0] is False
    assert seen[1:] == [True, True]


@pytest.mark.parametrize(
    ("critic", "change"),
    [
        ("critic_appearance", lambda batch: replace(batch, source=replace(batch.source, rgb=1 - batch.source.rgb))),
        (
            "critic_pose",
            lambda batch: replace(batch, target=replace(batch.target, keypoints_px=batch.target.keypoints_px + 6)),
        ),
    ],
)
def test_each_critic_sees_its_own_condition(critic: str, change: Callable[[PairBatch], PairBatch]) -> None:
    seen: dict[str, list[torch.Tensor]] = {"critic_pose": [], "critic_appearance": []}

    def conditions(batch: PairBatch) -> dict[str, torch.Tensor]:
        system = varied(MINIATURE)
        for name, inputs in seen.items():
            inputs.clear()
            system.networks()[name].register_forward_pre_hook(
                lambda module, args, inputs=inputs: inputs.append(args[0].detach()[:, 3:])
            )
        system.step(batch, system.optimizers(), torch.Tensor.backward)
        # For the generator, then for the critic on real and on fake images: one and the same condition.
        assert all(torch.equal(one, inputs[0]) for inputs in seen.values() for one in inputs)
        assert {len(inputs) for inputs in seen.values()} == {3}
        return {name: inputs[0] for name, inputs in seen.items()}

    batch = drawn_pairs(2, 32)
    before, after = conditions(batch), conditions(change(batch))
    assert {name for name in before if not torch.equal(before[name], after[name])} == {critic}


@pytest.mark.parametrize(("pose_input", "channels"), [("heatmap", 21), ("contour", 3)])
@pytest.mark.parametrize(("depth_input", "depth_channels"), [("hand_relative", 1), ("signed_700", 3)])
def test_conditions(pose_input: str, channels: int, depth_input: str, depth_channels: int) -> None:
    asked = []

    def provider(joints_mm: torch.Tensor, camera: torch.Tensor, size: int) -> torch.Tensor:
        asked.append((joints_mm, camera, size))
        return capsule_depth(joints_mm, camera, size)

    inputs: list[torch.Tensor] = []
    system = varied(MINIATURE, f"pose_input={pose_input}", f"depth_input={depth_input}", provider=provider)
    system.networks()["generator"].register_forward_pre_hook(lambda module, args: inputs.extend(args))
    batch = drawn_pairs(2, 32)
    system.generate(batch)
    image, poses, depths = inputs
    torch.testing.assert_close(image, batch.source.rgb * 2 - 1)
    assert poses.shape == (2, 2 * channels, 32, 32)
    assert depths.shape == (2, 2 * depth_channels, 32, 32)
    assert poses.min() >= 0
    assert poses.max() <= 1
    assert depths.min() >= -1
    assert depths.max() <= 1
    # One provider for both hands, source first; what a sensor measured is not looked at.
    for hands, (joints_mm, camera, size) in zip((batch.source, batch.target), asked, strict=True):
        assert torch.equal(joints_mm, hands.joints_mm)
        assert torch.equal(camera, hands.camera)
        assert size == 32
    if depth_input == "signed_700":
        assert torch.equal(depths[:, 0], depths[:, 1])
        assert torch.equal(depths[:, 0], depths[:, 2])


def test_heatmaps_scale_with_the_size() -> None:
    keypoints = torch.full((1, 21, 2), 15.5)
    narrow = varied(MINIATURE)._pose_maps(keypoints)
    wide = varied(MINIATURE, "heatmap_sigma=12")._pose_maps(keypoints)
    # A Gaussian of sigma 6 px at 256 px is one of 0.75 px at 32 px: its sum is 2 pi sigma^2.
    assert narrow[0, 0].sum().item() == pytest.approx(2 * torch.pi * 0.75**2, rel=0.02)
    assert wide[0, 0].sum().item() == pytest.approx(2 * torch.pi * 1.5**2, rel=0.02)


def test_a_batch_without_images_cannot_train() -> None:
    batch = drawn_pairs(2, 32)
    blind = PairBatch(batch.source, replace(batch.target, rgb=None))
    with pytest.raises(ValueError, match="without images"):
        varied(MINIATURE).step(blind, {}, torch.Tensor.backward)


def test_overfits_eight_samples() -> None:
    settings = override(MMHand.presets["tiny"], ("size=32", "blocks=2"))
    system = MMHand(settings, capsule_depth, seed=0)
    batch = drawn_pairs(8, 32)
    optimizers = system.optimizers()
    for step in range(100):
        torch.manual_seed(step)
        system.step(batch, optimizers, torch.Tensor.backward)
    copying = (batch.source.rgb - batch.target.rgb).abs().mean()
    learned = (system.generate(batch) - batch.target.rgb).abs().mean()
    assert learned < 0.4 * copying
