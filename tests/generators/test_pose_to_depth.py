"""pose_to_depth: its pose map and ranges, its phases and losses; and it can learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from handsynth.conditioning.depth import capsule_depth
from handsynth.errors import UsageError
from handsynth.generators.pose_to_depth import PoseToDepth, PoseToDepthSettings
from handsynth.networks.cpm import CpmLayout
from handsynth.runtime.settings import override
from handsynth.training.system import PairBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

GUIDE = CpmLayout(
    trunk=((1, 8, True), (1, 8, True)),
    features=8,
    head_width=8,
    stages=2,
    stage_width=8,
    stage_convs=1,
    batch_norm=True,
)
MINIATURE = PoseToDepthSettings(
    size=32, width=4, dropout=0.0, decay=None, guide=GUIDE, guide_hidden=16, guide_sigma=32.0
)


def varied(*assignments: str, seed: int = 0) -> PoseToDepth:
    settings: Any = override(MINIATURE, assignments)
    return PoseToDepth(settings, seed)


def drawn(count: int, size: int = 32, seed: int = 0) -> PairBatch:
    """Hands as a store without colour gives them: each its own source, with depth."""
    hands = drawn_pairs(count, size, seed).target
    hands = replace(hands, rgb=None, depth_mm=capsule_depth(hands.joints_mm, hands.camera, size))
    return PairBatch(hands, hands)


def weights(system: PoseToDepth) -> dict[str, list[Tensor]]:
    return {name: [p.detach().clone() for p in net.parameters()] for name, net in system.networks().items()}


def inputs(network: nn.Module) -> list[Tensor]:
    """What a network is given, filled by each pass."""
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    return seen


@pytest.mark.parametrize("preset", ["paper", "published"])
def test_parameter_counts(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.pose_to_depth.initialise_normal", lambda network, generator: network)
    settings: Any = PoseToDepth.presets[preset]
    with torch.device("meta"):
        networks = PoseToDepth(settings, 0).networks()
    counts = {name: parameters(net) for name, net in networks.items()}
    # pix2pix's own of 3 channels, less two of three in and out: k 4 x 4 to and from 64 and 2 x 64, and two biases.
    assert counts["generator"] == 54_413_955 - 2 * 16 * 64 - 2 * 16 * 128 - 2
    assert counts["critic"] == 2_768_705 - 4 * 16 * 64
    assert settings.guide.stages == 6


def test_the_pose_map_is_bright_where_joints_are_near() -> None:
    system, batch = varied("size=64"), drawn(2, 64)
    seen = inputs(system.networks()["generator"])
    system.generate(batch)
    hands = batch.target
    levels = (seen[0][:, 0] + 1) / 2
    assert seen[0].shape == (2, 1, 64, 64)
    assert levels[:, 0, 0].tolist() == [0, 0]
    z = hands.joints_mm[..., 2]
    near, far = z.amin(1, keepdim=True) - 20, z.amax(1, keepdim=True) + 20
    wanted = (far - z) / (far - near)
    u, v = hands.keypoints_px.round().long().unbind(-1)
    inside = ((u >= 0) & (u < 64) & (v >= 0) & (v < 64)).nonzero()
    for hand, joint in inside.tolist():
        # Other joints and bones may be nearer there; a Gaussian half a pixel off its peak is weaker by a little.
        assert levels[hand, v[hand, joint], u[hand, joint]] > 0.5 * wanted[hand, joint]
    assert levels.amax() <= wanted.amax() + 1e-6


@pytest.mark.parametrize("depth_range", ["hand_relative", "inverted_700"])
def test_what_the_networks_say_is_read_in_the_range_that_they_learn(depth_range: str) -> None:
    """With the real depth in the generator's place its own depth comes back."""
    system, batch = varied(f"depth_range={depth_range}", "guide_share=0"), drawn(2)
    seen = inputs(system.networks()["critic"])
    system.step(batch, system.optimizers(), torch.Tensor.backward)
    real = seen[1][:, 1:]
    assert real.amin() == -1

    class Told(nn.Module):
        def forward(self, pose: Tensor) -> Tensor:
            return real

    system.networks()["generator"] = Told()
    made, true = system.generate(batch), batch.target.depth_mm
    torch.testing.assert_close(made, true, atol=0.01, rtol=0, equal_nan=True)


def test_unknown_joints_are_left_out_and_a_hand_without_any_has_no_depth() -> None:
    system, hands = varied(), drawn(3).target
    joints = hands.joints_mm.clone()
    joints[1, 5:] = torch.nan
    joints[2] = torch.nan
    made = system.depth_mm(joints, hands.camera, 32)
    assert made.isfinite().flatten(1).any(1).tolist() == [True, True, False]
    torch.testing.assert_close(made[:1], system.depth_mm(hands.joints_mm[:1], hands.camera[:1], 32), equal_nan=True)


def test_another_size_shows_the_same_hand() -> None:
    system, hands = varied(), drawn(2).target
    camera = hands.camera * 2 + torch.tensor([0, 0, 0.5, 0.5])  # of the image at twice its size
    twice = system.depth_mm(hands.joints_mm, camera, 64)
    assert twice.shape == (2, 1, 64, 64)
    own = system.depth_mm(hands.joints_mm, hands.camera, 32)
    assert torch.equal(twice[..., ::2, ::2].nan_to_num(-1), own.nan_to_num(-1))
    assert torch.equal(twice[..., 1::2, 1::2].nan_to_num(-1), own.nan_to_num(-1))


def test_the_phases_train_what_they_should() -> None:
    system, batch = varied("guide_share=0.5"), drawn(2)
    optimizers = system.optimizers()
    for step in range(4):
        assert system.schedule(step, 4) == 1
        before = weights(system)
        state = {key: value.clone() for key, value in system.networks()["guide"].state_dict().items()}
        losses = system.step(batch, optimizers, torch.Tensor.backward)
        after = weights(system)
        changed = {name for name in before if any(map(lambda a, b: not a.equal(b), before[name], after[name]))}
        assert changed == ({"guide"} if step < 2 else {"generator", "critic"})
        if step < 2:
            assert set(losses) == {"guide_maps", "guide_depth"}
        else:
            assert set(losses) == {"l1", "maps", "joint_depth", "adversarial", "critic"}
            # Frozen means its running statistics too.
            assert all(value.equal(state[key]) for key, value in system.networks()["guide"].state_dict().items())


@pytest.mark.parametrize(("share", "steps", "guiding"), [(0.25, 8, 2), (0.9, 2, 1), (0.9, 1, 0), (0.0, 3, 0)])
def test_the_generator_learns_in_any_number_of_steps(share: float, steps: int, guiding: int) -> None:
    system, batch = varied(f"guide_share={share}"), drawn(2)
    optimizers, phases = system.optimizers(), []
    for step in range(steps):
        system.schedule(step, steps)
        phases.append("guide_maps" in system.step(batch, optimizers, torch.Tensor.backward))
    assert phases == [True] * guiding + [False] * (steps - guiding)


def test_what_goes_back_are_the_weighted_losses() -> None:
    system, batch = varied("guide_share=0", "maps_weight=3", "joint_depth_weight=7"), drawn(2)
    weighted: list[float] = []

    def backward(loss: Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    generator = 100 * losses["l1"] + 3 * losses["maps"] + 7 * losses["joint_depth"] + losses["adversarial"]
    assert weighted == pytest.approx([losses["critic"], generator])


def test_the_guide_learns_to_find_joints_and_its_word_reaches_the_generator() -> None:
    system, batch = varied("learning_rate=3e-3"), drawn(8)
    optimizers = system.optimizers()
    first, *_, last = (system.step(batch, optimizers, torch.Tensor.backward) for _ in range(60))
    assert last["guide_maps"] < 0.6 * first["guide_maps"]
    assert last["guide_depth"] < 0.1 * first["guide_depth"]
    system = varied("guide_share=0", "l1_weight=0", "adversarial_weight=0")
    system.step(batch, system.optimizers(), torch.Tensor.backward)
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in system.networks()["generator"].parameters())
    assert all(p.grad is None for p in system.networks()["guide"].parameters())


def test_training_needs_depth() -> None:
    batch = drawn(2)
    with pytest.raises(ValueError, match="without depth"):
        varied().step(PairBatch(batch.source, replace(batch.target, depth_mm=None)), {}, torch.Tensor.backward)


@pytest.mark.parametrize(
    "assignment",
    ["size=48", "guide_share=1", "depth_range=near_high", "maps_weight=-1", "batch=1", "guide.stages=1"],
)
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0]):
        varied(assignment)


def test_overfits_eight_depth_maps() -> None:
    system: Any = varied("width=16", "critic_layers=2", "learning_rate=5e-3", "adversarial_weight=0.1")
    batch = drawn(8)
    optimizers = system.optimizers()
    for step in range(120):
        system.schedule(step, 120)
        system.step(batch, optimizers, torch.Tensor.backward)
    made, true = system.generate(batch), batch.target.depth_mm
    assert true is not None
    both, either = made.isfinite() & true.isfinite(), made.isfinite() | true.isfinite()
    assert both.sum() > 0.8 * either.sum()
    # A flat hand at its joints' mean depth is the trivial answer.
    flat = batch.target.joints_mm[..., 2].mean(1)[:, None, None, None].expand_as(true)
    assert (made - true)[both].abs().mean() < 0.8 * (flat - true)[both].abs().mean()
