"""pix2pix: its presets are the published networks, its step the published losses, and it can learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from handsynth.errors import UsageError
from handsynth.generators.pictures import picture, pose_picture
from handsynth.generators.pix2pix import Pix2Pix, Pix2PixSettings
from handsynth.runtime.settings import override
from handsynth.training.system import PairBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

MINIATURE = Pix2PixSettings(size=32, width=4, dropout=0.0, crop=None, batch=2)


def varied(*assignments: str, seed: int = 0) -> Pix2Pix:
    return Pix2Pix(override(MINIATURE, assignments), seed)


def critic_inputs(system: Pix2Pix) -> list[torch.Tensor]:
    """Pose over image, of the fake, of the real, and of the fake again for the generator; filled by each step."""
    seen: list[torch.Tensor] = []
    system.networks()["critic"].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach().clone()))
    return seen


def step(system: Any, batch: PairBatch) -> dict[str, torch.Tensor]:
    return system.step(batch, system.optimizers(), torch.Tensor.backward)


@pytest.mark.parametrize("preset", ["paper", "published"])
def test_parameter_counts(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.pix2pix.initialise_normal", lambda network, generator: network)
    with torch.device("meta"):
        networks = Pix2Pix(Pix2Pix.presets[preset], 0).networks()
    assert {name: parameters(net) for name, net in networks.items()} == {"generator": 54_413_955, "critic": 2_768_705}


def test_presets_follow_the_published_code() -> None:
    paper, published = Pix2Pix.presets["paper"], Pix2Pix.presets["published"]
    assert (paper.pose_map, published.pose_map) == ("bones", "published_bones")
    assert (paper.crop.load, paper.crop.flip, published.crop.load, published.crop.flip) == (286, False, 286, True)
    for settings in (paper, published):
        assert (settings.size, settings.batch, settings.norm, settings.dropout) == (256, 1, "batch", 0.5)
        assert (settings.learning_rate, settings.betas) == (2e-4, (0.5, 0.999))
        assert (settings.adversarial_weight, settings.l1_weight) == (1, 100)


def test_the_rate_falls_over_the_second_half() -> None:
    system = Pix2Pix(override(Pix2Pix.presets["published"], ("width=1", "size=32")), 0)
    assert [system.schedule(epoch, 200) for epoch in (0, 99, 100, 150, 199)] == pytest.approx(
        [1, 1, 100 / 101, 50 / 101, 1 / 101]
    )
    assert varied("decay=null").schedule(199, 200) == 1


@pytest.mark.parametrize("assignment", ["size=48", "levels=1", "critic_layers=4", "pose_map=heatmap", "crop.load=200"])
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0].partition(".")[0]):
        override(Pix2Pix.presets["paper"], (assignment,))


@pytest.mark.parametrize(("size", "most", "levels"), [(32, 8, 5), (64, 8, 6), (64, 4, 4)])
def test_smaller_images_have_fewer_levels(size: int, most: int, levels: int) -> None:
    generator: Any = varied(f"size={size}", f"levels={most}").networks()["generator"]
    assert len(generator.ups) == levels


def test_what_goes_back_are_the_published_losses() -> None:
    system, batch = varied(), drawn_pairs(2, 32)
    weighted: list[float] = []

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    with torch.no_grad():
        before = system.networks()["generator"].train()(pose_picture(batch.target, 32, "bones"))
    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    assert losses["l1"] == pytest.approx((before - picture(batch.target)).abs().mean().item())
    assert weighted == pytest.approx([losses["critic"], losses["adversarial"] + 100 * losses["l1"]])


def test_each_backward_pass_reaches_one_network() -> None:
    system = varied()
    reached: list[set[str]] = []

    def backward(loss: torch.Tensor) -> None:
        before = {name: gradients(network) for name, network in system.networks().items()}
        loss.backward()
        networks = system.networks().items()
        reached.append({name for name, network in networks if gradients(network) != before[name]})

    def gradients(network: nn.Module) -> list[list[float]]:
        return [[] if p.grad is None else p.grad.flatten().tolist() for p in network.parameters()]

    system.step(drawn_pairs(2, 32), system.optimizers(), backward)
    assert reached == [{"critic"}, {"generator"}]


def test_the_critic_sees_the_pose_with_both_images() -> None:
    system, batch = varied(), drawn_pairs(2, 32)
    seen = critic_inputs(system)
    step(system, batch)
    fake, real, again = seen
    pose = pose_picture(batch.target, 32, "bones")
    assert all(torch.equal(pair[:, :3], pose) for pair in seen)
    assert torch.equal(real[:, 3:], picture(batch.target))
    assert torch.equal(fake, again)
    assert not torch.equal(fake, real)


@pytest.mark.parametrize("crop", ['{"load": 286, "flip": true}', '{"load": 286, "flip": false}'])
def test_pose_and_image_are_cropped_alike(crop: str) -> None:
    system, batch = varied(f"crop={crop}"), drawn_pairs(2, 32)
    pose = pose_picture(batch.target, 32, "bones")
    drawn = PairBatch(batch.source, replace(batch.target, rgb=(pose + 1) / 2))
    seen = critic_inputs(system)
    step(system, drawn)
    _, real, _ = seen
    torch.testing.assert_close(real[:, :3], real[:, 3:], atol=1e-5, rtol=0)
    assert not torch.equal(real[:, :3], pose)


def test_crops_follow_the_seed_and_the_step() -> None:
    def crops(steps: int, seed: int = 0, begin: int = 0) -> list[torch.Tensor]:
        system = varied('crop={"load": 320, "flip": true}', seed=seed)
        system.load_state({"step": begin})
        seen = critic_inputs(system)
        for _ in range(steps):
            step(system, drawn_pairs(2, 32))
        assert system.state() == {"step": begin + steps}
        return seen[1::3]

    first, second = crops(2)
    assert not torch.equal(first, second)
    assert torch.equal(crops(1, begin=1)[0], second)
    assert not torch.equal(crops(1, seed=1)[0], first)


def test_generating_crops_nothing() -> None:
    system, batch = varied('crop={"load": 320, "flip": true}'), drawn_pairs(2, 32)
    seen: list[torch.Tensor] = []
    system.networks()["generator"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    system.generate(batch)
    assert torch.equal(seen[0], pose_picture(batch.target, 32, "bones"))


def test_published_pose_pictures_have_the_published_defects() -> None:
    hands = drawn_pairs(2, 64).target
    level = replace(hands, joints_mm=hands.joints_mm.clone())
    level.joints_mm[..., 2] = 500  # all bones of one depth: the published map then has one grey
    for kind, greys in (("bones", 20), ("published_bones", 1)):
        pose = pose_picture(level, 64, kind)  # type: ignore[arg-type]
        assert pose.shape == (2, 3, 64, 64)
        assert pose.min() == -1
        assert pose.max() <= 1
        assert 0.6 * greys < len(pose[0].unique()) - 1 <= greys


def test_a_batch_without_images_cannot_train() -> None:
    batch = drawn_pairs(2, 32)
    step(varied(), PairBatch(replace(batch.source, rgb=None), batch.target))
    with pytest.raises(ValueError, match="without images"):
        step(varied(), PairBatch(batch.source, replace(batch.target, rgb=None)))


def test_overfits_eight_samples() -> None:
    system = Pix2Pix(override(Pix2Pix.presets["tiny"], ("size=32", "crop=null")), seed=0)
    batch = drawn_pairs(8, 32)
    optimizers = system.optimizers()
    for number in range(100):
        torch.manual_seed(number)
        system.step(batch, optimizers, torch.Tensor.backward)
    copying = (batch.source.rgb - batch.target.rgb).abs().mean()
    learned = (system.generate(batch) - batch.target.rgb).abs().mean()
    assert learned < 0.4 * copying
