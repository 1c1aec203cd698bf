"""MM-Hand: its presets are the published networks, its step the published losses, and it can learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from handsynth.conditioning.depth import capsule_depth
from handsynth.conditioning.heatmaps import heatmaps
from handsynth.errors import UsageError
from handsynth.estimators.hpm3d import Hpm3d, Hpm3dSettings
from handsynth.generators.mmhand import MMHand, MMHandSettings
from handsynth.hand.joints import INDEX
from handsynth.metrics.protocol import ROOT, SCALE_BONE
from handsynth.networks.cpm import CpmLayout
from handsynth.networks.perceptual import Perceptual, PerceptualLoss
from handsynth.networks.pretrained import WeightsFile
from handsynth.networks.vgg import VggFeatures
from handsynth.runtime import files
from handsynth.runtime.settings import convert, override
from handsynth.training.system import HandBatch, PairBatch, PoseJudgement
from tests.fixed_weights import fill, parameters
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
    monkeypatch.setattr("handsynth.generators.transfer.initialise_normal", lambda network, generator: network)
    with torch.device("meta"):
        networks = MMHand(MMHand.presets[preset], capsule_depth, 0).networks()
    assert {name: parameters(network) for name, network in networks.items()} == expected


def test_presets_differ_where_paper_and_code_do() -> None:
    paper, published = MMHand.presets["paper"], MMHand.presets["published"]
    assert (paper.pose_input, published.pose_input) == ("contour", "heatmap")
    assert (paper.swap_streams, published.swap_streams) == (False, True)
    assert (paper.feature_map_logits, published.feature_map_logits) == (False, True)
    assert (paper.curriculum, published.curriculum) == (True, False)
    assert paper.perceptual == Perceptual(network="vgg16", layer="conv3_3", norm="squared")
    assert published.perceptual == Perceptual(network="vgg19", layer="relu1_2", norm="l1")
    for settings in (paper, published):
        assert (settings.size, settings.width, settings.blocks, settings.batch) == (256, 64, 9, 3)
        assert (settings.learning_rate, settings.betas, settings.pool_size) == (2e-4, (0.5, 0.999), 50)
        assert (settings.l1_weight, settings.perceptual_weight, settings.adversarial_weight) == (10, 10, 5)
        assert (settings.pose_maps_weight, settings.pose_depth_weight) == (0, 0)


def test_only_published_stops_learning_at_its_end() -> None:
    for preset in MMHand.presets:
        system = varied(override(MMHand.presets[preset], ("width=2",)), "blocks=1", "size=16")
        assert [system.schedule(step, 1000) for step in (0, 500, 989)] == [1, 1, 1]
        assert system.schedule(999, 1000) == (0 if preset == "published" else 1)


@pytest.mark.parametrize("assignment", ["size=30", "blocks=0", "dropout=1", "pose_input=skeleton", "learning_rate=0"])
def test_wrong_settings_are_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment.partition("=")[0]):
        override(MINIATURE, (assignment,))
    with pytest.raises(UsageError, match="perceptual_wait"):
        convert({"perceptual_wait": 1}, MMHandSettings, "test")


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


def test_the_perceptual_loss_joins_with_its_weight(tmp_path: Path) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(fill(VggFeatures("vgg19", "relu1_1"), gain=24).float().state_dict(), path)
    chosen = Perceptual(layer="relu1_1", weights=WeightsFile(path=str(path), sha256=files.sha256(path)))
    system, weighted = varied(replace_settings(MINIATURE, perceptual=chosen)), []

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    batch = drawn_pairs(2, 32)
    with torch.no_grad():
        pose = system._pose_maps(batch.target.keypoints_px)
        before = system._forward(batch.source.rgb * 2 - 1, pose, batch.source, batch.target)
        expected = PerceptualLoss(chosen)(before, batch.target.rgb * 2 - 1).item()
    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    assert losses["perceptual"] == pytest.approx(expected, rel=1e-5)
    assert weighted[0] == pytest.approx(10 * losses["l1"] + 10 * expected + 5 * losses["adversarial"])
    assert "perceptual" not in system.networks()


@pytest.mark.parametrize(("preset", "network"), [("paper", "vgg16"), ("published", "vgg19")])
def test_only_training_asks_for_the_weights_of_the_perceptual_loss(preset: str, network: str) -> None:
    system = varied(override(MMHand.presets[preset], ("size=32", "width=2", "blocks=1")))
    batch = drawn_pairs(2, 32)
    assert system.generate(batch).shape == (2, 3, 32, 32)
    with pytest.raises(UsageError, match=rf"weights of {network} .*--set perceptual=null"):
        system.step(batch, system.optimizers(), torch.Tensor.backward)


def test_the_command_line_names_the_weights_or_leaves_the_loss_out() -> None:
    published = MMHand.presets["published"]
    assert isinstance(published, MMHandSettings)
    given = override(published, ('perceptual.weights={"path": "vgg19.pth", "sha256": "dcbb9e9d"}',)).perceptual
    assert given is not None
    assert given.weights == WeightsFile(path="vgg19.pth", sha256="dcbb9e9d")
    assert override(published, ("perceptual=null",)).perceptual is None


def replace_settings(settings: MMHandSettings, **changes: Any) -> MMHandSettings:
    return MMHandSettings(**{name: getattr(settings, name) for name in settings.__struct_fields__} | changes)


class Judge:
    """A small untrained 3-D HPM, frozen, as the pose loss sees one."""

    def __init__(self) -> None:
        layout = CpmLayout(
            trunk=((1, 4, True), (1, 4, True)), features=4, head_width=4, stages=2, stage_width=4, stage_convs=1
        )
        self.system = Hpm3d(Hpm3dSettings(size=32, layout=layout, head_hidden=8, sigma=16.0), seed=0)
        self.network = self.system.networks()["pose"].eval().requires_grad_(False)
        self.asked: list[HandBatch] = []

    def __call__(self, images: torch.Tensor, hands: HandBatch) -> PoseJudgement:
        self.asked.append(hands)
        assert images.min() >= 0
        assert images.max() <= 1
        stages, depth = self.network(images - 0.5)
        base, end = (INDEX[name] for name in SCALE_BONE)
        z, bone = hands.joints_mm[..., 2], (hands.joints_mm[:, end] - hands.joints_mm[:, base]).norm(dim=-1)
        return PoseJudgement(
            maps=torch.stack(stages),
            true_maps=heatmaps(hands.keypoints_px, 32, 2.0, stride=4),
            depth=depth,
            true_depth=(z - z[:, INDEX[ROOT], None]) / bone[:, None],
        )


def judged(judge: Judge | None, *assignments: str) -> MMHand:
    weights = ("pose_maps_weight=0.5", "pose_depth_weight=2")
    return MMHand(override(MINIATURE, (*weights, *assignments)), capsule_depth, 0, judge=judge)


def test_the_pose_loss_is_equations_9_12_and_13() -> None:
    judge, weighted = Judge(), []
    system, batch = judged(judge), drawn_pairs(2, 32)
    # Of the first hand, the tip of the index is not known.
    tip = INDEX["index_tip"]
    batch.target.keypoints_px[0, tip], batch.target.joints_mm[0, tip] = torch.nan, torch.nan
    # Of the second, the wrist is derived: a judge shows no map of it, and of its depth this one still says something.
    batch.target.joint_labelled[1, INDEX["wrist"]] = False

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    with torch.no_grad():
        pose = system._pose_maps(batch.target.keypoints_px)
        before = system._forward(batch.source.rgb * 2 - 1, pose, batch.source, batch.target)
        said = judge((before + 1) / 2, batch.target)
    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    known = torch.ones(2, 21, dtype=torch.bool)
    known[0, tip] = False
    shown = known & batch.target.joint_labelled
    maps = (said.maps - said.true_maps).square().sum((3, 4))[:, shown].mean()
    gap = (said.depth - said.true_depth)[known].abs()
    depth = torch.where(gap <= 1, gap.square() / 2, gap - 0.5).mean()
    assert losses["pose_maps"] == pytest.approx(maps.item(), rel=1e-5)
    assert losses["pose_depth"] == pytest.approx(depth.item(), rel=1e-5)
    assert weighted[0] == pytest.approx(
        10 * losses["l1"] + 5 * losses["adversarial"] + 0.5 * losses["pose_maps"] + 2 * losses["pose_depth"]
    )
    assert judge.asked[-1] is batch.target


def test_the_pose_loss_teaches_the_generator_and_leaves_the_judge_alone() -> None:
    judge = Judge()
    before = {name: value.clone() for name, value in judge.network.state_dict().items()}
    system = judged(judge, "l1_weight=0", "adversarial_weight=0", "learning_rate=0.01")
    batch, optimizers = drawn_pairs(2, 32), system.optimizers()
    seen = [system.step(batch, optimizers, torch.Tensor.backward)["pose_depth"].item() for _ in range(15)]
    assert seen[-1] < 0.98 * seen[0]
    assert all(torch.equal(value, before[name]) for name, value in judge.network.state_dict().items())
    assert all(parameter.grad is None for parameter in judge.network.parameters())


def test_a_judge_is_asked_in_training_alone_and_only_where_its_loss_counts() -> None:
    judge, batch = Judge(), drawn_pairs(2, 32)
    judged(judge).generate(batch)
    system = judged(judge, "pose_maps_weight=0", "pose_depth_weight=0")
    losses = system.step(batch, system.optimizers(), torch.Tensor.backward)
    assert not judge.asked
    assert not {"pose_maps", "pose_depth"} & set(losses)


def test_a_pose_loss_without_a_judge_is_refused() -> None:
    system = judged(None, "pose_maps_weight=0")
    with pytest.raises(UsageError, match=r"a trained estimator for the pose loss, found none.*pose_depth_weight to 0"):
        system.step(drawn_pairs(2, 32), system.optimizers(), torch.Tensor.backward)


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


ABLATION = {
    "a": ("pose_input=contour", "attention=false", "depth_stream=false", "curriculum=false"),
    "b": ("pose_input=contour", "attention=true", "depth_stream=false", "curriculum=false"),
    "c": ("pose_input=contour", "attention=true", "depth_stream=true", "curriculum=false"),
    "d": ("pose_input=contour", "attention=true", "depth_stream=true", "curriculum=true"),
    "without attention": ("pose_input=contour", "attention=false", "depth_stream=true"),
}
"""Generators of the paper's table 3 (e is d with other sources), and the one combination that it leaves out."""


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        # A ResNet generator of 11,383,427 parameters with 6 more channels in a first convolution of 7 x 7 to 64.
        ("a", 11_383_427 + 49 * 64 * 6),
        # PATN's with 6 channels of pose in place of 42.
        ("b", 41_384_579 - 49 * 64 * 36),
        ("c", 71_159_939 + 71_260_291 - 71_272_835),
        ("d", 71_159_939 + 71_260_291 - 71_272_835),
        ("without attention", 11_383_427 + 49 * 64 * 8),
    ],
)
def test_parameter_counts_of_the_ablation(variant: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.transfer.initialise_normal", lambda network, generator: network)
    with torch.device("meta"):
        system = MMHand(override(MMHand.presets["paper"], ABLATION[variant]), capsule_depth, 0)
    assert parameters(system.networks()["generator"]) == count


def never(joints_mm: torch.Tensor, camera: torch.Tensor, size: int) -> torch.Tensor:
    raise AssertionError("depth was asked for")


def trained(system: MMHand, first: int, last: int, optimizers: dict[str, torch.optim.Optimizer]) -> None:
    for step in range(first, last):
        torch.manual_seed(step)
        losses = system.step(drawn_pairs(2, 32, seed=step), optimizers, torch.Tensor.backward)
        assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("variant", ABLATION)
def test_every_variant_trains_and_resumes_bit_for_bit(variant: str) -> None:
    provider = capsule_depth if "depth_stream=true" in ABLATION[variant] else never

    def build() -> MMHand:
        return varied(MINIATURE, *ABLATION[variant], "pool_size=3", provider=provider)

    straight, halved, resumed = build(), build(), build()
    before = [parameter.clone() for parameter in straight.networks()["generator"].parameters()]
    trained(straight, 0, 4, straight.optimizers())
    learned = straight.networks()["generator"].parameters()
    assert all(not torch.equal(old, new) for old, new in zip(before, learned, strict=True) if old.dim() > 1)
    optimizers, others = halved.optimizers(), resumed.optimizers()
    trained(halved, 0, 2, optimizers)
    for name, network in resumed.networks().items():
        network.load_state_dict(halved.networks()[name].state_dict())
        others[name].load_state_dict(optimizers[name].state_dict())
    resumed.load_state(halved.state())
    trained(resumed, 2, 4, others)
    batch = drawn_pairs(2, 32, seed=100)
    assert torch.equal(straight.generate(batch), resumed.generate(batch))


@pytest.mark.parametrize("variant", ABLATION)
def test_an_image_depends_on_depth_only_where_a_stream_holds_it(variant: str) -> None:
    farther_mm = 0.0

    def provider(joints_mm: torch.Tensor, camera: torch.Tensor, size: int) -> torch.Tensor:
        return capsule_depth(joints_mm, camera, size) + farther_mm

    system = varied(MINIATURE, *ABLATION[variant], provider=provider)
    trained(system, 0, 1, system.optimizers())
    batch = drawn_pairs(2, 32)
    near = system.generate(batch)
    farther_mm = 50.0
    assert torch.equal(near, system.generate(batch)) == ("depth_stream=false" in ABLATION[variant])


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
