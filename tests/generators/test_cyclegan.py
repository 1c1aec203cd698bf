"""CycleGAN: its presets are the published networks, its step the published losses on unpaired pictures; it learns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from handsynth.errors import UsageError
from handsynth.generators.cyclegan import CycleGAN, CycleGANSettings
from handsynth.generators.pictures import picture, pose_picture
from handsynth.runtime.settings import override
from handsynth.training.system import PairBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

MINIATURE = CycleGANSettings(size=32, width=4, blocks=1, crop=None, pool_size=0, batch=2)
CROP = 'crop={"load": 320, "flip": true}'


def varied(*assignments: str, seed: int = 0) -> CycleGAN:
    return CycleGAN(override(MINIATURE, assignments), seed)


def step(system: CycleGAN, batch: PairBatch) -> dict[str, torch.Tensor]:
    return system.step(batch, system.optimizers(), torch.Tensor.backward)


def inputs_of(system: CycleGAN) -> dict[str, list[torch.Tensor]]:
    """What each network is given, call by call; filled by each step."""
    seen: dict[str, list[torch.Tensor]] = {name: [] for name in system.networks()}
    for name, network in system.networks().items():
        network.register_forward_pre_hook(
            lambda module, args, inputs=seen[name]: inputs.append(args[0].detach().clone())
        )
    return seen


@pytest.mark.parametrize("preset", ["paper", "published"])
def test_parameter_counts(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.cyclegan.initialise_normal", lambda network, generator: network)
    with torch.device("meta"):
        networks = CycleGAN(CycleGAN.presets[preset], 0).networks()
    assert {name: parameters(network) for name, network in networks.items()} == {
        "generator": 11_378_179,
        "inverse": 11_378_179,
        "critic_picture": 2_764_737,
        "critic_pose": 2_764_737,
    }


def test_presets_follow_the_published_code() -> None:
    paper, published = CycleGAN.presets["paper"], CycleGAN.presets["published"]
    assert (paper.pose_map, published.pose_map) == ("bones", "published_bones")
    assert (paper.crop.load, paper.crop.flip, published.crop.load, published.crop.flip) == (286, False, 286, True)
    for settings in (paper, published):
        assert (settings.size, settings.batch, settings.norm, settings.blocks) == (256, 1, "instance", 9)
        assert (settings.learning_rate, settings.betas, settings.pool_size) == (2e-4, (0.5, 0.999), 50)
        assert (settings.cycle_weight, settings.identity_weight) == (10, 0.5 * 10)
        assert settings.redraw_pairs


def test_the_rate_falls_over_the_second_half() -> None:
    system = CycleGAN(override(CycleGAN.presets["published"], ("width=1", "blocks=1", "size=32")), 0)
    assert [system.schedule(epoch, 200) for epoch in (0, 99, 100, 199)] == pytest.approx([1, 1, 100 / 101, 1 / 101])
    assert varied("decay=null").schedule(199, 200) == 1


@pytest.mark.parametrize("assignment", ["size=30", "blocks=0", "critic_layers=4", "norm=layer", "identity_weight=-1"])
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0]):
        override(MINIATURE, (assignment,))


def test_what_goes_back_are_the_published_losses() -> None:
    system = varied()
    weighted: list[float] = []

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    batch = drawn_pairs(2, 32)
    generator, inverse = (system.networks()[name].train() for name in ("generator", "inverse"))
    pose, image = pose_picture(batch.target, 32, "bones"), picture(batch.source)
    with torch.no_grad():
        expected = {
            "cycle_picture": generator(inverse(image)) - image,
            "cycle_pose": inverse(generator(pose)) - pose,
            "identity_picture": generator(image) - image,
            "identity_pose": inverse(pose) - pose,
        }
        logits = {
            "adversarial_picture": system.networks()["critic_picture"](generator(pose)),
            "adversarial_pose": system.networks()["critic_pose"](inverse(image)),
        }
    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    for name, difference in expected.items():
        assert losses[name] == pytest.approx(difference.abs().mean().item(), rel=1e-5), name
    for name, logit in logits.items():
        assert losses[name] == pytest.approx((logit - 1).square().mean().item(), rel=1e-5), name
    total = (
        losses["adversarial_picture"]
        + losses["adversarial_pose"]
        + 10 * (losses["cycle_picture"] + losses["cycle_pose"])
        + 5 * (losses["identity_picture"] + losses["identity_pose"])
    )
    assert weighted == pytest.approx([total, losses["critic_picture"], losses["critic_pose"]], rel=1e-5)


def test_critics_see_their_own_domain() -> None:
    system, batch = varied(), drawn_pairs(2, 32)
    seen = inputs_of(system)
    losses = step(system, batch)
    for name, real in (
        ("critic_picture", picture(batch.source)),
        ("critic_pose", pose_picture(batch.target, 32, "bones")),
    ):
        fake, shown, again = seen[name]  # for the generators, then real and fake for the critic
        assert torch.equal(shown, real)
        assert torch.equal(again, fake)
        assert not torch.equal(fake, real)
        assert losses[name] > 0


def test_the_step_of_the_generators_leaves_the_critics_alone() -> None:
    system = varied()
    optimizers = system.optimizers()
    held: list[dict[str, bool]] = []

    def backward(loss: torch.Tensor) -> None:
        loss.backward()
        networks = system.networks().items()
        held.append({name: any(p.grad is not None for p in network.parameters()) for name, network in networks})

    system.step(drawn_pairs(2, 32), optimizers, backward)
    names = [name for name, has in held[0].items() if has]
    assert names == ["generator", "inverse"]
    assert all(held[-1].values())


def test_no_pose_is_seen_with_its_own_image() -> None:
    batch = drawn_pairs(2, 32)
    target = replace(batch.target, rgb=None)
    source = replace(
        batch.source, joints_mm=batch.source.joints_mm + torch.nan, keypoints_px=-batch.source.keypoints_px
    )
    whole, parted = varied(), varied()
    losses = step(whole, batch)
    assert losses == step(parted, PairBatch(source, target))
    with pytest.raises(ValueError, match="without images"):
        step(varied(), PairBatch(target, batch.source))


def test_without_identity_loss_that_pass_is_left_out() -> None:
    full, without = varied(), varied("identity_weight=0")
    calls = []
    for system in (full, without):
        seen = inputs_of(system)
        losses = step(system, drawn_pairs(2, 32))
        calls.append([len(seen[name]) for name in ("generator", "inverse")])
        assert ("identity_pose" in losses) == ("identity_picture" in losses) == (system is full)
    assert calls == [[3, 3], [2, 2]]


def test_critics_see_older_pictures_from_their_pools() -> None:
    system = varied("pool_size=2")
    optimizers = system.optimizers()
    seen = inputs_of(system)
    for number in range(6):
        system.step(drawn_pairs(2, 32, seed=number), optimizers, torch.Tensor.backward)
    for name in ("critic_picture", "critic_pose"):
        fresh = torch.cat(seen[name][0::3])
        shown = torch.cat(seen[name][2::3])
        assert torch.equal(shown[:2], fresh[:2])  # until the pool is full
        assert not torch.equal(shown, fresh)
        assert all(any(torch.equal(one, other) for other in fresh) for one in shown)


def test_domains_are_cropped_apart_by_seed_and_step() -> None:
    batch = drawn_pairs(2, 32)
    pose = pose_picture(batch.target, 32, "bones")
    batch = PairBatch(replace(batch.source, rgb=(pose + 1) / 2), batch.target)

    def crops(steps: int, seed: int = 0, begin: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
        system = varied(CROP, seed=seed)
        system.load_state(system.state() | {"step": begin})
        seen = inputs_of(system)
        for _ in range(steps):
            step(system, batch)
        assert system.state()["step"] == begin + steps
        return list(zip(seen["critic_pose"][1::3], seen["critic_picture"][1::3], strict=True))

    (first_pose, first_image), (second_pose, second_image) = crops(2)
    assert not torch.equal(first_pose, first_image)
    assert not torch.equal(first_pose, second_pose)
    assert not torch.equal(first_image, second_image)
    resumed_pose, resumed_image = crops(1, begin=1)[0]
    assert torch.equal(resumed_pose, second_pose)
    assert torch.equal(resumed_image, second_image)
    assert not torch.equal(crops(1, seed=1)[0][0], first_pose)


def test_learns_both_ways_of_eight_samples() -> None:
    """Unpaired learning has no image to hit: pictures must come back from their pose, and hands lie in theirs."""
    system = CycleGAN(override(CycleGAN.presets["tiny"], ("size=32", "width=8")), seed=0)
    batch = drawn_pairs(8, 32)
    optimizers: Any = system.optimizers()
    losses: list[dict[str, torch.Tensor]] = []
    for number in range(60):
        torch.manual_seed(number)
        losses.append(system.step(batch, optimizers, torch.Tensor.backward))
    for name in ("cycle_picture", "cycle_pose"):
        assert losses[-1][name] < 0.4 * losses[0][name]
    rows = torch.stack([system.generate(batch).mean(1), batch.target.rgb.mean(1)], 1).flatten(2)
    assert min(torch.corrcoef(pair)[0, 1].item() for pair in rows) > 0.4
