"""Weights of others become a run: networks under the authors' names say the same after it, others are refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from handsynth.errors import DataError, MissingError, StoreError, UsageError
from handsynth.generators.mmhand import MMHand
from handsynth.generators.patn import Patn
from handsynth.networks.attention import AttentionGenerator
from handsynth.networks.resnet import ResnetDiscriminator
from handsynth.runtime import files
from handsynth.runtime.settings import override
from handsynth.stages.augment import augment
from handsynth.stages.convert_weights import _critic_name, _generator_name, convert_weights
from handsynth.stages.evaluate import evaluate
from handsynth.stages.systems import load_run
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.training.run import RunInfo, read_run
from tests.fixed_weights import fill, wave
from tests.stages.small import make_workspace

SMALL = ("size=32", "width=2", "blocks=2", "discriminator_blocks=1", "batch=4")


def down(channels: int, width: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.ReflectionPad2d(3)]
    for into, out, kernel, stride in (
        (channels, width, 7, 1),
        (width, 2 * width, 3, 2),
        (2 * width, 4 * width, 3, 2),
    ):
        convolution = nn.Conv2d(into, out, kernel, stride, padding=1 if stride == 2 else 0, bias=False)
        layers += [convolution, nn.BatchNorm2d(out), nn.ReLU()]
    return layers


def branch(into: int, out: int, norm: bool) -> nn.Sequential:
    first = [nn.ReflectionPad2d(1), nn.Conv2d(into, into, 3, bias=False), nn.BatchNorm2d(into), nn.ReLU()]
    second = [nn.Dropout(0.5), nn.ReflectionPad2d(1), nn.Conv2d(into, out, 3, bias=False)]
    return nn.Sequential(*first, *second, *([nn.BatchNorm2d(out)] if norm else []))


class Theirs(nn.Module):
    """The authors' generator by the layers of facts 1.4 under their names; one pose stream or two that swap."""

    def __init__(self, channels: tuple[int, ...], width: int, blocks: int) -> None:
        super().__init__()
        self.model, code = nn.Module(), 4 * width
        for stream, count in enumerate((3, *channels), start=1):
            setattr(self.model, f"stream{stream}_down", nn.Sequential(*down(count, width)))
        self.model.att = nn.ModuleList()
        for index in range(blocks):
            block = nn.Module()
            block.conv_block_stream1 = branch(code, code, True)
            for stream in range(2, len(channels) + 2):
                setattr(block, f"conv_block_stream{stream}", branch(2 * code if index else code, code, False))
            self.model.att.append(block)
        layers: list[nn.Module] = []
        for into in (code, code // 2):
            up = nn.ConvTranspose2d(into, into // 2, 3, stride=2, padding=1, output_padding=1, bias=False)
            layers += [up, nn.BatchNorm2d(into // 2), nn.ReLU()]
        self.model.stream1_up = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())

    def forward(self, *inputs: Tensor) -> Tensor:
        image, *poses = (
            self.model.get_submodule(f"stream{stream}_down")(each) for stream, each in enumerate(inputs, start=1)
        )
        for block in self.model.att:
            said = [block.get_submodule(f"conv_block_stream{k}")(pose) for k, pose in enumerate(poses, start=2)]
            masked = block.conv_block_stream1(image)
            for each in said:
                masked = masked * each.sigmoid()
            image = image + masked
            poses = [torch.cat([each, image], 1) for each in said][::-1]
        return self.model.stream1_up(image)


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv_block = branch(width, width, True)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class TheirCritic(nn.Module):
    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*down(channels, width), *(Residual(4 * width) for _ in range(blocks)))

    def forward(self, pair: Tensor) -> Tensor:
        return self.model(pair)


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def test_names_of_the_networks_at_full_size() -> None:
    with torch.device("meta"):
        for channels in ((42, 6), (42,)):
            ours = AttentionGenerator(3, channels).state_dict()
            renamed = {_generator_name(name): value for name, value in ours.items()}
            assert shapes(renamed) == shapes(Theirs(channels, 64, 9).state_dict())
        renamed = {
            _critic_name(name): value
            for name, value in ResnetDiscriminator(24, 64, 3, "batch", head=False).state_dict().items()
        }
        assert shapes(renamed) == shapes(TheirCritic(24, 64, 3).state_dict())
    assert "model.12.conv_block.6.weight" in renamed


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published networks are too large for a test that writes them."""
    for kind in (MMHand, Patn):
        monkeypatch.setitem(kind.presets, "published", override(kind.presets["published"], SMALL))  # type: ignore[arg-type]


@pytest.fixture
def checkpoints(tmp_path: Path, small: None) -> Path:
    """A folder of an MM-Hand training's files, of made-up weights; the generator's path."""
    networks = {"netG": Theirs((42, 6), 2, 2), "netD_PB": TheirCritic(24, 2, 1), "netD_PP": TheirCritic(6, 2, 1)}
    for phase, (label, network) in enumerate(networks.items()):
        torch.save(fill(network, gain=16, phase=phase).float().state_dict(), tmp_path / f"latest_net_{label}.pth")
    return tmp_path / "latest_net_netG.pth"


def test_converted_networks_say_what_the_authors_say(checkpoints: Path, tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    folder = convert_weights("mmhand", checkpoints, workspace=space)
    info = read_run(folder)
    assert (info.name, info.preset, info.steps) == ("mmhand-published", "published", 0)
    assert info.converted == files.sha256(checkpoints)
    system, _ = load_run(folder, info)
    networks = system.networks()
    inputs = [wave(3, 32), wave(42, 32, 0.5), wave(6, 32, 1.0)]
    with torch.no_grad():
        theirs = fill(Theirs((42, 6), 2, 2), gain=16, phase=0)(*inputs)
        torch.testing.assert_close(networks["generator"].double()(*inputs), theirs, atol=1e-5, rtol=0)
        for phase, (name, count) in enumerate((("critic_pose", 24), ("critic_appearance", 6)), start=1):
            theirs = fill(TheirCritic(count, 2, 1), gain=16, phase=phase)(wave(count, 32))
            torch.testing.assert_close(networks[name].double()(wave(count, 32)), theirs, atol=1e-4, rtol=0)
    before = (folder / "run.json").read_bytes()
    assert convert_weights("mmhand", str(checkpoints), workspace=space) == folder
    assert (folder / "run.json").read_bytes() == before


def opened(space: Workspace, name: str) -> tuple[Path, RunInfo]:
    return space.run(name), read_run(space.run(name))


def test_a_converted_run_is_evaluated_augmented_with_and_begun_from(checkpoints: Path, tmp_path: Path) -> None:
    space = make_workspace(tmp_path / "space")
    convert_weights("mmhand", checkpoints, name="theirs", workspace=space)
    with pytest.raises(UsageError, match="handsynth evaluate theirs STORE"):
        evaluate("theirs", workspace=space)
    scores = evaluate("theirs", "hands", workspace=space)
    assert scores == space.root / "runs" / "theirs" / "evaluation" / "hands.json"
    made = space.store(augment("hands", alpha=0.5, run="theirs", workers=1, workspace=space))
    assert made.address.endswith("hands-0.5-mmhand-from-theirs")
    assert made.info.plan.settings["checkpoint"] == load_run(*opened(space, "theirs"))[1]
    assert made.info.plan.settings["converted"] == files.sha256(checkpoints)
    with pytest.raises(UsageError, match=r"a run alone.*--run theirs"):
        augment("hands", alpha=0.5, run="theirs", steps=3, workspace=space)
    folder = train(
        "mmhand", "hands", alpha=0.5, preset="published", steps=1, start="theirs", settings=["perceptual=null"],
        workspace=space,
    )  # fmt: skip
    assert read_run(folder).start is not None


def test_patn_and_a_generator_alone(tmp_path: Path, small: None) -> None:
    path = tmp_path / "stb_net_netG.pth"
    theirs = fill(Theirs((42,), 2, 2), gain=16)
    # As torch 0.3 saved them, without counters.
    torch.save({k: v.float() for k, v in theirs.state_dict().items() if "num_batches" not in k}, path)
    folder = convert_weights("patn", path, name="theirs", workspace=tmp_path)
    system, _ = load_run(folder, read_run(folder))
    inputs = [wave(3, 32), wave(42, 32, 0.5)]
    with torch.no_grad():
        said = system.networks()["generator"].double()(*inputs)
        torch.testing.assert_close(said, theirs(*inputs), atol=1e-5, rtol=0)


def drop(state: dict[str, Any]) -> Any:
    del state["model.stream3_down.1.weight"], state["model.att.0.conv_block_stream3.1.weight"]
    return state


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (drop, r"without model\.stream3_down\.1\.weight and 1 more"),
        (lambda state: state | {"model.extra": torch.zeros(1)}, r"model\.extra and 1 in all that it has not"),
        (lambda state: state | {"model.stream1_up.7.bias": torch.zeros(4)}, r"shape \(3,\), found shape \(4,\)"),
        (lambda state: {"state_dict": state}, r"0 tensors without model\.stream1_down"),
        (lambda state: [1, 2], r"0 tensors without model\.stream1_down"),
    ],
    ids=["missing", "extra", "shape", "nested", "no dict"],
)
def test_other_networks_are_refused(checkpoints: Path, tmp_path: Path, change: Any, found: str) -> None:
    torch.save(change(torch.load(checkpoints, weights_only=True)), checkpoints)
    with pytest.raises(DataError, match=found):
        convert_weights("mmhand", checkpoints, workspace=tmp_path)
    assert not (tmp_path / "runs").exists()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


def test_a_checkpoint_that_executes_is_refused_and_not_run(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Evil()}, checkpoints)
    with pytest.raises(DataError, match="a state dict of tensors"):
        convert_weights("mmhand", checkpoints, workspace=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_wrong_names(checkpoints: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of mmhand, patn"):
        convert_weights("hpm3d", checkpoints, workspace=tmp_path)
    with pytest.raises(MissingError, match="weights of mmhand's generator, found no file"):
        convert_weights("mmhand", tmp_path / "none.pth", workspace=tmp_path)


def test_another_run_of_that_name_stays(checkpoints: Path, tmp_path: Path) -> None:
    folder = convert_weights("mmhand", checkpoints, workspace=tmp_path)
    before = read_run(folder)
    state = torch.load(checkpoints, weights_only=True)
    state["model.stream1_up.7.bias"] += 1
    torch.save(state, checkpoints)
    with pytest.raises(StoreError, match="a run of these weights, or none, found another"):
        convert_weights("mmhand", checkpoints, workspace=tmp_path)
    assert read_run(folder) == before
    (folder / "checkpoints" / "0000500.pt").write_bytes(b"of a longer training")
    convert_weights("mmhand", checkpoints, overwrite=True, workspace=tmp_path)
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == ["0000000.json", "0000000.pt"]
    assert read_run(folder).converted == files.sha256(checkpoints)
