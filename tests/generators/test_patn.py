"""PATN: its presets are the published network and recipes, its step the published losses, and it can learn."""

from __future__ import annotations

import pytest
import torch

from handsynth.errors import UsageError
from handsynth.generators.patn import Patn, PatnSettings
from handsynth.networks.losses import adversarial_loss
from handsynth.runtime.settings import override
from tests.fixed_weights import parameters
from tests.generators.drawn_hands import drawn_pairs

MINIATURE = PatnSettings(
    size=32, width=4, blocks=2, discriminator_blocks=1, dropout=0.0, pool_size=0, batch=2, perceptual=None
)


def settings_of(preset: str) -> PatnSettings:
    settings = Patn.presets[preset]
    assert isinstance(settings, PatnSettings)
    return settings


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("published", {"generator": 41_384_579, "critic_pose": 3_986_816, "critic_appearance": 3_930_368}),
        # 6 x 49 x 64 weights above the authors' 36 pose channels with instance norm; a scalar head has 2,305.
        (
            "paper",
            {
                "generator": 41_358_019 + 6 * 49 * 64,
                "critic_pose": 3_984_832 + 2305,
                "critic_appearance": 3_928_384 + 2305,
            },
        ),
    ],
)
def test_parameter_counts(preset: str, expected: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handsynth.generators.transfer.initialise_normal", lambda network, generator: network)
    with torch.device("meta"):
        networks = Patn(settings_of(preset), 0).networks()
    assert {name: parameters(network) for name, network in networks.items()} == expected
    assert all(any(isinstance(part, torch.nn.Dropout) for part in network.modules()) for network in networks.values())


def test_presets_are_the_authors_two_commands() -> None:
    market, fashion = settings_of("published"), settings_of("paper")

    def recipe(s: PatnSettings) -> tuple[object, ...]:
        return s.norm, s.adversarial, s.adversarial_weight, s.l1_weight, s.perceptual_weight, s.pool_size, s.batch

    assert recipe(market) == ("batch", "bce", 5, 10, 10, 50, 32)
    assert recipe(fashion) == ("instance", "lsgan", 5, 1, 1, 0, 7)
    for settings in (market, fashion):
        assert settings.steps * settings.batch == 700 * 4000
        assert (settings.size, settings.width, settings.blocks, settings.dropout) == (256, 64, 9, 0.5)
        assert settings.perceptual is not None
        assert (settings.perceptual.network, settings.perceptual.layer) == ("vgg19", "relu1_2")


@pytest.mark.parametrize(("epoch", "factor"), [(0, 1), (498, 1), (499, 0.99502), (599, 0.49751), (698, 0.00498)])
def test_schedule_of_700_epochs(epoch: int, factor: float) -> None:
    system = Patn(override(MINIATURE, ("decay.constant=500", "decay.decay=200")), 0)
    assert system.schedule(epoch * 10, 7000) == pytest.approx(factor, abs=5e-6)
    assert Patn(override(settings_of("tiny"), ("size=16", "width=2")), 0).schedule(epoch * 10, 7000) == 1


@pytest.mark.parametrize("kind", ["bce", "lsgan"])
def test_what_goes_back_are_the_published_losses(kind: str) -> None:
    assignments = (f"adversarial={kind}", "adversarial_weight=5", "l1_weight=1", "feature_map_logits=true")
    system = Patn(override(MINIATURE, assignments), 0)
    critic, seen, weighted = system.networks()["critic_appearance"], [], []
    critic.register_forward_hook(lambda module, args, output: seen.append(output.detach()))

    def backward(loss: torch.Tensor) -> None:
        weighted.append(loss.item())
        loss.backward()

    batch = drawn_pairs(2, 32)
    losses = {name: loss.item() for name, loss in system.step(batch, system.optimizers(), backward).items()}
    assert list(losses) == ["l1", "adversarial", "critic_appearance", "critic_pose"]
    assert weighted == pytest.approx(
        [losses["l1"] + 5 * losses["adversarial"], 5 * losses["critic_appearance"], 5 * losses["critic_pose"]]
    )
    # In the critic's own step it is shown the true image first, then the made one.
    assert seen[1].shape == (2, 16, 8, 8)
    expected = (adversarial_loss(seen[1], True, kind) + adversarial_loss(seen[2], False, kind)) / 2  # type: ignore[arg-type]
    assert losses["critic_appearance"] == pytest.approx(expected.item())


def test_two_streams_go_in() -> None:
    system, inputs = Patn(MINIATURE, 0), []
    system.networks()["generator"].register_forward_pre_hook(lambda module, args: inputs.extend(args))
    batch = drawn_pairs(2, 32)
    system.generate(batch)
    image, poses = inputs
    torch.testing.assert_close(image, batch.source.rgb * 2 - 1)
    assert poses.shape == (2, 42, 32, 32)
    for maps, hands in zip(poses.split(21, dim=1), (batch.source, batch.target), strict=True):
        u, v = hands.keypoints_px[0, 9].round().int().tolist()
        assert maps[0, 9, v, u] == maps[0, 9].max()


def test_published_maps_start_from_whole_pixels() -> None:
    keypoints = torch.full((1, 21, 2), 15.9)
    cut = Patn(override(MINIATURE, ("heatmap_style=patn",)), 0)._pose_maps(keypoints)
    kept = Patn(MINIATURE, 0)._pose_maps(keypoints)
    assert cut[0, 0].argmax() == 15 * 32 + 15
    assert cut[0, 0].max() == 1
    assert kept[0, 0].argmax() == 16 * 32 + 16
    assert kept[0, 0].max() < 1


def test_published_recipes_ask_for_their_weights_only_when_they_train() -> None:
    system = Patn(override(settings_of("published"), ("size=32", "width=2", "blocks=1", "batch=2")), 0)
    batch = drawn_pairs(2, 32)
    assert system.generate(batch).shape == (2, 3, 32, 32)
    with pytest.raises(UsageError, match=r"weights of vgg19 for the perceptual loss.*--set perceptual=null"):
        system.step(batch, system.optimizers(), torch.Tensor.backward)


def test_overfits_eight_samples() -> None:
    system = Patn(override(settings_of("tiny"), ("size=32", "blocks=2")), seed=0)
    batch = drawn_pairs(8, 32)
    optimizers = system.optimizers()
    for step in range(100):
        torch.manual_seed(step)
        system.step(batch, optimizers, torch.Tensor.backward)
    copying = (batch.source.rgb - batch.target.rgb).abs().mean()
    learned = (system.generate(batch) - batch.target.rgb).abs().mean()
    assert learned < 0.4 * copying
