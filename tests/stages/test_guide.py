"""A trained estimator as the guide of a pose loss: what it says is what it was taught, and only images learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from handsynth.conditioning.depth import capsule_depth
from handsynth.errors import UsageError
from handsynth.estimators.hpm3d import Hpm3d, Hpm3dSettings
from handsynth.generators.mmhand import MMHand
from handsynth.hand.joints import INDEX
from handsynth.metrics.protocol import relative_depth
from handsynth.networks.cpm import CpmLayout, upsample
from handsynth.networks.losses import joint_map_loss
from handsynth.runtime.settings import override
from handsynth.stages.guide import pose_judge
from handsynth.training.system import HandBatch
from tests.generators.drawn_hands import drawn_pairs

SIZE = 32
NARROW = CpmLayout(
    trunk=((1, 4, True), (1, 4, True)),
    features=4,
    head_width=4,
    stages=2,
    stage_width=4,
    stage_convs=1,
    batch_norm=True,
)


def estimator(preset: str, **changes: object) -> Hpm3d:
    """A narrow one of the losses, the form and the units of a preset."""
    settings = Hpm3d.presets[preset]
    kept = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return Hpm3d(Hpm3dSettings(**kept | {"size": SIZE, "layout": NARROW, "head_hidden": 8} | changes), seed=0)


def hands(count: int = 2, size: int = SIZE) -> HandBatch:
    return drawn_pairs(count, size, seed=1).target


@pytest.mark.parametrize("preset", ["paper", "published", "tiny"])
def test_gradients_reach_the_images_and_nothing_else(preset: str) -> None:
    system, batch = estimator(preset), hands()
    judge = pose_judge(system)
    before = {(k, n): v.clone() for k, net in system.networks().items() for n, v in net.state_dict().items()}
    assert batch.rgb is not None
    images = batch.rgb.clone().requires_grad_()
    said = judge(images, replace(batch, rgb=None))
    assert said.maps.shape == (2, 2, 21, 8, 8)
    assert said.true_maps.shape == (2, 21, 8, 8)
    assert said.depth.shape == said.true_depth.shape == (2, 21)
    for value in (said.maps.sum(), said.depth.sum()):
        (gradient,) = torch.autograd.grad(value, images, retain_graph=True)
        assert gradient.abs().sum() > 0
    (said.maps.sum() + said.depth.sum()).backward()
    # Batch norms neither follow these images nor depend on who else is in the batch.
    assert all(
        torch.equal(v, before[k, n]) for k, net in system.networks().items() for n, v in net.state_dict().items()
    )
    assert all(weight.grad is None for net in system.networks().values() for weight in net.parameters())
    beside_another = judge(torch.stack([images[0], images[1].flip(-1)]), batch)
    torch.testing.assert_close(beside_another.maps[:, 0], said.maps[:, 0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("preset", ["paper", "tiny"])
def test_depths_are_in_the_unit_that_was_taught(preset: str) -> None:
    batch = hands()
    wrist = INDEX["wrist"]
    batch.joint_labelled[0, wrist] = False
    batch.joints_mm[1, INDEX["index_tip"]] = torch.nan
    expected = torch.from_numpy(relative_depth(batch.joints_mm.numpy())).float()
    expected[0, wrist] = torch.nan
    assert batch.rgb is not None
    said = pose_judge(estimator(preset))(batch.rgb, batch)
    torch.testing.assert_close(said.true_depth, expected, equal_nan=True)
    absolute = pose_judge(estimator(preset, depth="absolute"))(batch.rgb, batch)
    expected = torch.where(expected.isnan(), torch.nan, batch.joints_mm[..., 2] / 700)
    torch.testing.assert_close(absolute.true_depth, expected, equal_nan=True)


def test_maps_of_places_mean_what_was_taught() -> None:
    """A network of cross-entropy that says the logarithm of the target, up to a constant, is without fault."""
    system, batch = estimator("tiny"), hands()
    batch.keypoints_px[0, 3] = torch.nan
    batch.joint_labelled[1, 4] = False
    judge = pose_judge(system)
    assert batch.rgb is not None
    wanted = judge(batch.rgb, batch).true_maps
    assert wanted[0, 3].abs().max() == wanted[1, 4].abs().max() == 0
    assert 0.3 < wanted[0, 5].max() <= 1

    class Saying(nn.Module):
        def __init__(self, shift: int) -> None:
            super().__init__()
            self.shift = shift

        def forward(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
            logits = wanted.roll(self.shift, -1).clamp_min(1e-12).log() + 7.0
            return [logits, logits], torch.zeros(2, 21)

    known = batch.keypoints_px.isfinite().all(-1)
    for shift in (0, 1):
        system.networks()["pose"] = Saying(shift)
        said = judge(batch.rgb, batch)
        if shift == 0:
            torch.testing.assert_close(said.maps, wanted.expand_as(said.maps), atol=1e-5, rtol=1e-5)
        loss = joint_map_loss(said.maps, said.true_maps, known).item()
        assert loss < 1e-8 if shift == 0 else loss > 0.1


def test_maps_that_were_taught_at_image_size_are_compared_where_upsampling_puts_them() -> None:
    system = estimator("paper", size=64, sigma=40.0, layout=NARROW)
    batch = hands(size=64)
    assert batch.rgb is not None
    small = pose_judge(system)(batch.rgb, batch).true_maps
    assert small.shape[-1] == 16
    taught = system._draw(batch.keypoints_px, 1)
    assert (upsample(small, 64) - taught).abs().max() < 0.05


@pytest.mark.parametrize("preset", ["paper", "tiny"])
def test_images_of_another_size_are_judged_at_the_estimator_s_own(preset: str) -> None:
    judge, large = pose_judge(estimator(preset)), hands(size=2 * SIZE)
    assert large.rgb is not None
    small = replace(large, keypoints_px=(large.keypoints_px + 0.5) / 2 - 0.5)
    flat = torch.full_like(large.rgb, 0.3)
    one, two = judge(flat, large), judge(flat[..., :SIZE, :SIZE], small)
    torch.testing.assert_close(one.true_maps, two.true_maps)
    torch.testing.assert_close(one.maps, two.maps, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.true_depth, two.true_depth)


def test_it_guides_a_generator() -> None:
    settings = override(
        MMHand.presets["tiny"], ("size=32", "width=4", "blocks=1", "discriminator_blocks=0", "pose_maps_weight=1",
                                 "pose_depth_weight=1", "l1_weight=0", "adversarial_weight=0", "learning_rate=0.01"),
    )  # fmt: skip
    system = MMHand(settings, capsule_depth, 0, judge=pose_judge(estimator("tiny")))
    batch, optimizers = drawn_pairs(2, SIZE), system.optimizers()
    seen = [system.step(batch, optimizers, torch.Tensor.backward) for _ in range(12)]
    assert seen[-1]["pose_depth"] + seen[-1]["pose_maps"] < 0.98 * (seen[0]["pose_depth"] + seen[0]["pose_maps"])


def test_what_is_no_3d_hpm_is_refused() -> None:
    with pytest.raises(UsageError, match="the estimator hpm3d, found mmhand"):
        pose_judge(MMHand(override(MMHand.presets["tiny"], ("size=32", "width=2", "blocks=1")), capsule_depth, 0))
