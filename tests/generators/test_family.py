"""What every generator promises, checked on each that is registered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from handsynth.conditioning.depth import capsule_depth
from handsynth.errors import UsageError
from handsynth.generators import generator_names, get_generator
from handsynth.runtime.settings import override
from handsynth.training.system import PairBatch
from tests.generators.drawn_hands import HAND_DEPTH_MM, drawn_pairs
from tests.systems import PRESETS, check_presets

MINIATURE = {
    "size": 32,
    "width": 4,
    "batch": 2,
    "pool_size": 3,
    "perceptual": "null",
    "content": "l1",
    "coarse_share": 0,
    "guide_share": 0,
    "guide": '{"trunk": [[1, 4, true], [1, 4, true]], "features": 4, "head_width": 4, "stages": 2, "stage_width": 4}',
    "guide_hidden": 8,
}
"""Settings of a generator in a test, where it has them; a pool of 3 is full, and so draws, after two steps.

Losses in a trained network's features are off: they need a file of weights, which the suite does not have. PG2 starts
in its second phase, in which all its networks learn or run; so does pose_to_depth, whose guide is frozen then.
"""


def build(name: str, preset: str = "tiny", seed: int = 3) -> Any:
    kind = get_generator(name)
    settings = kind.presets[preset]
    smaller = [f"{key}={value}" for key, value in MINIATURE.items() if key in settings.__struct_fields__]
    chosen = override(settings, smaller)
    return kind(chosen, capsule_depth, seed) if kind.reads_depth else kind(chosen, seed)


def drawn(seed: int) -> PairBatch:
    """Two pairs with the target's depth, which those learn that make it."""
    pairs = drawn_pairs(2, 32, seed=seed)
    depth_mm = capsule_depth(pairs.target.joints_mm, pairs.target.camera, 32)
    return PairBatch(pairs.source, replace(pairs.target, depth_mm=depth_mm))


def made(system: Any, batch: PairBatch) -> torch.Tensor:
    """What a system generates; a depth map's background as 0, so that maps can be compared."""
    return torch.nan_to_num(system.generate(batch), nan=0.0)


def train(system: Any, first: int, last: int) -> None:
    if not hasattr(system, "kept"):
        system.kept = system.optimizers()
    for step in range(first, last):
        torch.manual_seed(step)
        losses = system.step(drawn(seed=step), system.kept, torch.Tensor.backward)
        assert losses
        for loss in losses.values():
            assert loss.shape == ()
            assert not loss.requires_grad
            assert torch.isfinite(loss)


@pytest.fixture(params=generator_names())
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def pairs() -> PairBatch:
    return drawn(seed=100)


def test_the_list_of_names() -> None:
    assert "mmhand" in generator_names()
    with pytest.raises(UsageError, match=r"one of the generators .*mmhand.*found 'mmhnad'"):
        get_generator("mmhnad")


def test_its_name_family_and_presets(name: str) -> None:
    check_presets(get_generator(name), name, "generator")


@pytest.mark.parametrize("preset", PRESETS)
def test_generates_in_every_preset(name: str, preset: str, pairs: PairBatch) -> None:
    system = build(name, preset)
    image = made(system, pairs)
    assert image.shape == (2, 3 if system.makes == "rgb" else 1, 32, 32)
    assert image.dtype == torch.float32
    assert not image.requires_grad
    # A depth map of these hands lies within their z range, give or take flesh.
    assert 0 <= image.min() <= image.max() <= (1 if system.makes == "rgb" else HAND_DEPTH_MM + 100)
    assert image.std() > 0


@pytest.mark.parametrize("preset", PRESETS)
def test_trains_in_every_preset(name: str, preset: str) -> None:
    system = build(name, preset)
    before = {key: [p.clone() for p in net.parameters()] for key, net in system.networks().items()}
    train(system, 0, 1)
    for key, network in system.networks().items():
        changed = any(not torch.equal(old, new) for old, new in zip(before[key], network.parameters(), strict=True))
        assert changed == (key != "guide"), key
        assert all(parameter.requires_grad for parameter in network.parameters())


def test_generating_reads_no_target_pixels_and_repeats(name: str, pairs: PairBatch) -> None:
    system = build(name)
    train(system, 0, 1)
    blind = PairBatch(pairs.source, replace(pairs.target, rgb=None, depth_mm=None))
    image = made(system, pairs)
    torch.rand(7)
    assert torch.equal(image, made(system, blind))
    # One hand's image does not depend on its neighbours in the batch.
    alone = PairBatch(*(replace(hands, **_first(hands)) for hands in (blind.source, blind.target)))
    torch.testing.assert_close(image[:1], made(system, alone), atol=1e-5, rtol=1e-6)


def _first(hands: Any) -> dict[str, Any]:
    return {field: value[:1] for field, value in vars(hands).items() if value is not None}


def test_the_image_follows_the_source_and_the_target_pose(name: str, pairs: PairBatch) -> None:
    system = build(name)
    train(system, 0, 2)
    image = made(system, pairs)
    other = drawn(seed=101)
    assert not torch.equal(image, made(system, PairBatch(pairs.source, other.target)))
    elsewhere = made(system, PairBatch(other.source, pairs.target))
    assert torch.equal(image, elsewhere) != system.reads_source


def test_generating_leaves_training_mode_alone(name: str, pairs: PairBatch) -> None:
    system = build(name)
    for mode in (True, False):
        for network in system.networks().values():
            network.train(mode)
        before = {key: value.clone() for key, value in system.networks()["generator"].state_dict().items()}
        made(system, pairs)
        assert all(network.training == mode for network in system.networks().values())
        after = system.networks()["generator"].state_dict()
        assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_seeds_fix_the_weights(name: str, pairs: PairBatch) -> None:
    image = made(build(name, seed=3), pairs)
    torch.rand(5)
    assert torch.equal(image, made(build(name, seed=3), pairs))
    assert not torch.equal(image, made(build(name, seed=4), pairs))


def test_interrupted_training_resumes_bit_for_bit(name: str, pairs: PairBatch, tmp_path: Any) -> None:
    straight, halved, resumed = build(name), build(name), build(name)
    train(straight, 0, 6)
    train(halved, 0, 3)
    saved = {
        "networks": {key: network.state_dict() for key, network in halved.networks().items()},
        "optimizers": {key: optimizer.state_dict() for key, optimizer in halved.kept.items()},
        "system": halved.state(),
    }
    torch.save(saved, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    resumed.kept = resumed.optimizers()
    for key, network in resumed.networks().items():
        network.load_state_dict(state["networks"][key])
        resumed.kept[key].load_state_dict(state["optimizers"][key])
    resumed.load_state(state["system"])
    train(resumed, 3, 6)
    for key, network in straight.networks().items():
        other = resumed.networks()[key].state_dict()
        assert all(torch.equal(value, other[part]) for part, value in network.state_dict().items()), key
    assert torch.equal(made(straight, pairs), made(resumed, pairs))


def test_wrapped_networks_are_the_ones_that_run(name: str, pairs: PairBatch) -> None:
    system, calls = build(name), []

    class Wrapper(torch.nn.Module):
        def __init__(self, module: torch.nn.Module, key: str) -> None:
            super().__init__()
            self.module, self.key = module, key

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            calls.append(self.key)
            return self.module(*inputs)

    networks = system.networks()
    optimizers = system.optimizers()
    for key, network in list(networks.items()):
        networks[key] = Wrapper(network, key)
    made(system, pairs)
    assert calls
    system.step(pairs, optimizers, torch.Tensor.backward)
    assert set(calls) == set(networks)
