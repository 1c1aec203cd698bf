"""The loop: stopped and resumed ends like made in one go; averages; refuses other settings and damaged files."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from handsynth.errors import DataError, MissingError
from handsynth.runtime.settings import Settings
from handsynth.training import loop
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from handsynth.training.run import read_log
from handsynth.training.system import HandBatch

CPU = loop.Device("cpu", "32-true")


class ToySettings(Settings, frozen=True, kw_only=True):
    size: int = 4
    batch: int = 2
    steps: int = 10
    ema: float = 0.9
    learning_rate: float = 0.01


class Toy:
    """A linear layer with dropout and batch norm, and a counter as its own state."""

    name = "toy"
    family = "estimator"
    presets: Mapping[str, Settings] = {}

    def __init__(self, settings: ToySettings, seed: int = 0) -> None:
        self.settings, self.count = settings, 0
        torch.manual_seed(seed)
        self._networks: dict[str, nn.Module] = {
            "net": nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
        }

    def networks(self) -> dict[str, nn.Module]:
        return self._networks

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"net": torch.optim.Adam(self._networks["net"].parameters(), lr=self.settings.learning_rate)}

    def schedule(self, step: int, steps: int) -> float:
        return 1 - step / steps

    def step(self, batch: HandBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        loss = (self.networks()["net"](batch.joints_mm[:, 0]) - 1).pow(2).mean()
        optimizers["net"].zero_grad()
        backward(loss)
        optimizers["net"].step()
        self.count += 1
        return {"loss": loss.detach()}

    def state(self) -> dict[str, Any]:
        return {"count": torch.tensor(self.count)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])


def batches(step: int) -> HandBatch:
    generator = torch.Generator().manual_seed(step)
    joints = torch.randn(4, 21, 3, generator=generator)
    known = torch.ones(4, 21, dtype=torch.bool)
    return HandBatch(torch.arange(4), torch.zeros(4, 21, 2), joints, known, torch.ones(4, 4))


def weights(path: Path) -> dict[str, Any]:
    return load_checkpoint(path)[1]


def test_resumed_is_bit_for_bit_the_same(tmp_path: Path) -> None:
    whole = loop.train(Toy(ToySettings()), batches, tmp_path / "a", steps=9, seed=5, device=CPU)
    first = Toy(ToySettings())
    interrupt_in_step(first, 4)
    with pytest.raises(KeyboardInterrupt):
        loop.train(first, batches, tmp_path / "c", steps=9, seed=5, device=CPU)
    stopped = latest_checkpoint(tmp_path / "c" / "checkpoints")
    assert stopped is not None
    assert int(stopped.stem) == 4
    resumed = loop.train(Toy(ToySettings()), batches, tmp_path / "c", steps=9, seed=5, device=CPU)
    assert load_checkpoint(whole)[0].weights == load_checkpoint(resumed)[0].weights
    one, two = weights(whole), weights(resumed)
    for part in ("networks", "averaged"):
        for key, value in one[part]["net"].items():
            assert torch.equal(value, two[part]["net"][key]), key
    assert one["system"]["count"] == two["system"]["count"] == 9
    assert [entry["step"] for entry in read_log(tmp_path / "c")] == [0, 8]


def interrupt_in_step(system: Toy, number: int) -> None:
    """Press Ctrl-C while a step is under way."""
    step = system.step

    def interrupted(*arguments: Any) -> dict[str, Tensor]:
        if system.count == number - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    system.step = interrupted  # type: ignore[method-assign]


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    loop.train(Toy(ToySettings()), batches, tmp_path, steps=3, seed=0, device=CPU)
    system = Toy(ToySettings())
    loop.train(system, batches, tmp_path, steps=3, seed=0, device=CPU)
    assert system.count == 0


def test_inference_takes_the_averaged_weights(tmp_path: Path) -> None:
    path = loop.train(Toy(ToySettings()), batches, tmp_path, steps=6, seed=0, device=CPU)
    system = Toy(ToySettings(), seed=9)
    loop.load_trained(system, path, seed=0)
    state = weights(path)
    assert torch.equal(system.networks()["net"][0].weight, state["averaged"]["net"]["0.weight"])  # type: ignore[index]
    assert not torch.equal(state["averaged"]["net"]["0.weight"], state["networks"]["net"]["0.weight"])
    assert not system.networks()["net"].training


def test_other_settings_do_not_resume(tmp_path: Path) -> None:
    loop.train(Toy(ToySettings()), batches, tmp_path, steps=2, seed=0, device=CPU)
    with pytest.raises(DataError, match="of these settings"):
        loop.train(Toy(ToySettings(batch=3)), batches, tmp_path, steps=4, seed=0, device=CPU)


def test_a_start_gives_its_averaged_weights_and_nothing_else(tmp_path: Path) -> None:
    first = loop.train(Toy(ToySettings()), batches, tmp_path / "a", steps=4, seed=0, device=CPU)
    begun = Toy(ToySettings(learning_rate=0.0, ema=0.0), seed=9)
    loop.take_weights(begun, first)
    path = loop.train(begun, batches, tmp_path / "b", steps=1, seed=1, device=CPU)
    one, two = weights(first), weights(path)
    assert torch.equal(one["averaged"]["net"]["0.weight"], two["networks"]["net"]["0.weight"])
    assert two["system"]["count"] == 1
    wider = Toy(ToySettings())
    wider._networks["net"] = nn.Sequential(nn.Linear(3, 9), nn.Linear(9, 1))
    with pytest.raises(DataError, match=r"found another 0\.bias"):
        loop.take_weights(wider, first)


def test_weights_of_a_network_that_is_built_otherwise_now_are_refused(tmp_path: Path) -> None:
    path = loop.train(Toy(ToySettings()), batches, tmp_path, steps=2, seed=0, device=CPU)
    changed = Toy(ToySettings())
    changed._networks["net"] = nn.Linear(3, 1)
    with pytest.raises(DataError, match="the network net as it is built now"):
        loop.load_trained(changed, path, seed=0)
    with pytest.raises(DataError, match="the network net as it is built now"):
        loop.train(changed, batches, tmp_path, steps=4, seed=0, device=CPU)


def test_bf16_repeats_exactly_and_differs_from_float32(tmp_path: Path) -> None:
    half = loop.Device.choose("cpu", "bf16")
    assert half == loop.Device("cpu", "bf16-mixed")
    assert loop.Device.choose("cpu") == CPU
    found = [
        load_checkpoint(loop.train(Toy(ToySettings()), batches, tmp_path / name, steps=3, seed=0, device=device))[0]
        for name, device in (("a", half), ("b", half), ("c", CPU))
    ]
    assert found[0].weights == found[1].weights != found[2].weights


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="loss not finite at step"):
        loop.train(Toy(ToySettings(learning_rate=1e30)), batches, tmp_path, steps=30, seed=0, device=CPU)


def test_estimates_count_every_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    class Phased(Toy):
        """Takes 1 s a step in the first half of a training, 3 s in the second."""

        def schedule(self, step: int, steps: int) -> float:
            self.seconds = 1 if step < steps / 2 else 3
            return 1.0

        def step(self, batch: HandBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
            clock.append(clock[-1] + self.seconds)
            return {}

    clock = [0.0]
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[-1])
    assert loop.estimate_seconds(lambda: Phased(ToySettings()), batches, CPU, 100) == 50 * 1 + 50 * 3


def test_estimating_leaves_no_trace(tmp_path: Path) -> None:
    assert loop.estimate_seconds(lambda: Toy(ToySettings()), batches, CPU, 100) > 0
    assert not list(tmp_path.iterdir())


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("executed"),))


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save_checkpoint(tmp_path, 1, "toy", "x", {"networks": {}})
    from handsynth.runtime import files

    data = pickle.dumps(Evil())
    path.write_bytes(data)
    sidecar = path.with_suffix(".json")
    old = load_sidecar(sidecar)
    sidecar.write_text(sidecar.read_text().replace(old, files.sha256(path)))
    with pytest.raises(DataError, match="tensors and plain numbers"):
        load_checkpoint(path)
    assert not Path("executed").exists()


def load_sidecar(path: Path) -> str:
    import json

    return str(json.loads(path.read_text())["sha256"])


def test_damaged_and_missing_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    path = save_checkpoint(tmp_path, 1, "toy", "x", {"networks": {"net": {"w": torch.zeros(3)}}})
    assert latest_checkpoint(tmp_path) == path
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DataError, match="other bytes"):
        load_checkpoint(path)
    newer = save_checkpoint(tmp_path, 2, "toy", "x", {"networks": {}})
    assert latest_checkpoint(tmp_path) == newer
    assert not path.exists()
