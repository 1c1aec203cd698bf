"""3-D HPM: its two forms, what it learns from, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from handsynth.estimators.hpm3d import Hpm3d, Hpm3dSettings
from handsynth.hand.joints import INDEX
from handsynth.metrics.pose import scores
from handsynth.metrics.protocol import Protocol, lift, relative_depth
from handsynth.networks.cpm import CpmLayout
from handsynth.runtime.settings import override
from handsynth.training.system import HandBatch
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

NARROW = CpmLayout(trunk=((1, 4, True), (1, 4, True)), features=4, head_width=4, stages=2, stage_width=4, stage_convs=1)


def settings_of(preset: str) -> Hpm3dSettings:
    settings = Hpm3d.presets[preset]
    assert isinstance(settings, Hpm3dSettings)
    return settings


def narrow(preset: str, **changes: object) -> Hpm3dSettings:
    kept = {name: getattr(settings_of(preset), name) for name in Hpm3dSettings.__struct_fields__}
    return Hpm3dSettings(**kept | {"size": 32, "layout": NARROW, "head_hidden": 8} | changes)


def hands(count: int = 8, size: int = 32) -> HandBatch:
    return drawn_pairs(count, size, seed=1).target


def test_presets_are_the_networks_of_the_papers() -> None:
    with torch.device("meta"):
        paper, published = Hpm3d(settings_of("paper"), 0), Hpm3d(settings_of("published"), 0)
    assert {name: parameters(network) for name, network in paper.networks().items()} == {"pose": 52_249_448}
    assert list(published.networks()) == ["pose", "depth"]
    assert parameters(published.networks()["pose"]) == 36_799_806
    assert sum(weight.numel() for weight in published.networks()["depth"].parameters()) == 52_259_816
    assert list(paper.optimizers()) == ["pose"]
    assert list(published.optimizers()) == ["pose", "depth"]


def test_tiny_overfits_eight_hands() -> None:
    """Without jitter, in 90 steps, to a few millimetres, where the mean pose errs by tens."""
    batch = hands(8, 64)
    system = Hpm3d(override(settings_of("tiny"), ["jitter=null"]), seed=0)
    optimizers = system.optimizers()
    steps = 90
    for step in range(steps):
        torch.manual_seed(step)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = system.settings.learning_rate * system.schedule(step, steps)
        system.step(batch, optimizers, torch.Tensor.backward)
    said = system.predict(batch)
    truth = batch.joints_mm.double().numpy()
    lifted = lift(said.keypoints_px.numpy(), said.relative_depth.numpy(), batch.camera.numpy(), truth, Protocol())
    found = scores(lifted, truth, batch.joint_labelled.numpy(), Protocol())
    assert found["epe_mean_mm"] < 8


def test_the_depth_network_is_fed_true_maps_in_training_and_predicted_ones_in_use() -> None:
    system = Hpm3d(narrow("published"), 0)
    fed: list[torch.Tensor] = []
    system.networks()["depth"].register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0].detach()))
    batch = hands(2)
    system.step(batch, system.optimizers(), torch.Tensor.backward)
    system.predict(batch)
    true, predicted = fed
    assert true.shape == predicted.shape == (2, 21, 32, 32)
    peak = true.flatten(2).argmax(-1)
    places = torch.stack([peak % 32, peak // 32], dim=-1)
    inside = ((batch.keypoints_px >= 0) & (batch.keypoints_px <= 31)).all(-1)
    assert inside.float().mean() > 0.5
    assert (places - batch.keypoints_px)[inside].abs().max() <= 0.5
    assert not torch.allclose(true, predicted)


def test_the_depth_network_teaches_the_pose_network_nothing() -> None:
    system = Hpm3d(narrow("published", maps_weight=0.0), 0)
    system.step(hands(2), system.optimizers(), torch.Tensor.backward)
    assert all(float(weight.grad.abs().max()) == 0 for weight in system.networks()["pose"].parameters())


def test_absolute_depths_become_relative_by_the_mean_scale_of_the_training_hands() -> None:
    system = Hpm3d(narrow("published"), 0)
    batch = hands(2)
    stretched = replace(batch, joints_mm=batch.joints_mm * 2)
    optimizers = system.optimizers()
    for _ in range(30):
        system.step(stretched, optimizers, torch.Tensor.backward)
    bones = stretched.joints_mm[:, INDEX["middle_mcp"]] - stretched.joints_mm[:, INDEX["middle_pip"]]
    mean = (30 * bones.norm(dim=-1).sum() + 50) / 61
    head = system.networks()["depth"].depth_head.layers[-1]
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.arange(21) / 700.0)  # says z = 0, 1, 2, ... mm
    assert torch.allclose(system.predict(batch).relative_depth[0], torch.arange(21) / mean, rtol=1e-3)


def test_depths_are_learnt_relative_to_the_root_and_in_scale_bones() -> None:
    """A network that says just that has no depth loss, whatever the place and the size of the hand."""
    batch = hands(3)
    system = Hpm3d(narrow("paper", jitter=None), 0)
    head = system.networks()["pose"].depth_head.layers[-1]
    one = replace(
        batch,
        **{name: getattr(batch, name)[:1] for name in ("slots", "keypoints_px", "joints_mm", "joint_labelled")},
        camera=batch.camera[:1],
        rgb=batch.rgb[:1],
    )
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(torch.from_numpy(relative_depth(one.joints_mm.double().numpy())[0]))
    nothing = {"pose": torch.optim.SGD([head.bias], lr=0.0)}
    for joints in (one.joints_mm, one.joints_mm * 1.7 + torch.tensor([3.0, 4.0, 90.0])):
        losses = system.step(replace(one, joints_mm=joints), nothing, torch.Tensor.backward)
        assert losses["depth"] < 1e-10
    assert system.step(batch, nothing, torch.Tensor.backward)["depth"] > 1e-4


@pytest.mark.parametrize(
    ("supervise", "maps_loss"), [("image", "squared"), ("maps", "squared"), ("maps", "cross_entropy")]
)
def test_perfect_maps_have_no_loss_and_decode_to_the_keypoints(supervise: str, maps_loss: str) -> None:
    """Targets and decoding use one convention of pixels: maps that equal their targets give the labels back."""
    settings = narrow("paper", size=64, supervise=supervise, maps_loss=maps_loss, sigma=24.0, jitter=None)
    system = Hpm3d(settings, 0)
    batch = hands(4, 64)
    perfect = system._draw(batch.keypoints_px, 4)
    if supervise == "image":  # upsampling with aligned corners puts map pixel m at 63 / 15 m, and not at 4 m + 3 / 2
        perfect = system._draw(batch.keypoints_px * (60 / 63) + 1.5, 4)
    known = batch.joint_labelled
    if maps_loss == "cross_entropy":
        perfect = perfect.clamp_min(1e-9).log() + 5  # a softmax does not see the 5
    if supervise == "maps":
        target = system._draw(batch.keypoints_px, 4)
        assert system._maps_loss([perfect, perfect], target, known) < 1e-5
        assert system._maps_loss([perfect, perfect.roll(1, -1)], target, known) > 1e-3
    system.networks()["pose"].forward = lambda images: ([perfect], torch.zeros(4, 21))  # type: ignore[method-assign]
    inside = ((batch.keypoints_px > 4) & (batch.keypoints_px < 59)).all(-1)
    error = (system.predict(batch).keypoints_px - batch.keypoints_px)[inside].abs()
    assert error.max() < 0.1


def test_min_max_stretches_each_image_by_itself() -> None:
    system = Hpm3d(narrow("published"), 0)
    batch = hands(2)
    assert batch.rgb is not None
    darker = replace(batch, rgb=batch.rgb * torch.tensor([1.0, 0.3]).reshape(2, 1, 1, 1) + 0.1)
    first, second = system.predict(batch), system.predict(darker)
    assert torch.allclose(first.relative_depth, second.relative_depth, atol=1e-4)


def test_jitter_is_drawn_anew_for_every_step_and_in_training_alone() -> None:
    system = Hpm3d(narrow("tiny"), 0)
    seen: list[torch.Tensor] = []
    system.networks()["pose"].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    batch, optimizers = hands(2), system.optimizers()
    assert batch.rgb is not None
    for _ in range(2):
        system.step(batch, optimizers, torch.Tensor.backward)
    system.predict(batch)
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], batch.rgb - 0.5)
    assert system.state() == {"step": 2}


def test_an_estimator_without_an_image_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="needs rgb"):
        Hpm3d(narrow("tiny"), 0).predict(replace(hands(1), rgb=None))
