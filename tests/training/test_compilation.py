"""Compiled trainings: same names, same resumption, and a way on without a compiler. No kernels are made here."""

from __future__ import annotations

from functools import partialmethod
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from handsynth.errors import UsageError
from handsynth.runtime import progress
from handsynth.training import compilation, loop
from handsynth.training.checkpoints import load_checkpoint
from tests.training.test_loop import CPU, Toy, ToySettings, batches, interrupt_in_step

CPU_DEVICE, GPU_DEVICE = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are traced as for compiling, then run as they are: exact, and quick."""
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="eager"))


class Own(nn.Sequential):
    """torch compiles networks of our own classes, as all of ours are; its own it takes for parts."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def own_class(system: Toy) -> Toy:
    system._networks["net"] = Own(*system._networks["net"].children())
    return system


@pytest.mark.usefixtures("traced")
def test_a_training_is_resumed_compiled_or_not_to_the_same_weights(tmp_path: Path) -> None:
    whole = loop.train(Toy(ToySettings()), batches, tmp_path / "whole", steps=5, seed=5, device=CPU)
    stopped = Toy(ToySettings())
    interrupt_in_step(stopped, 2)
    with pytest.raises(KeyboardInterrupt):
        loop.train(stopped, batches, tmp_path / "parts", steps=5, seed=5, device=CPU)
    counters.clear()
    resumed = own_class(Toy(ToySettings()))
    interrupt_in_step(resumed, 4)  # counted from the first step of all
    with pytest.raises(KeyboardInterrupt):
        loop.train(resumed, batches, tmp_path / "parts", steps=5, seed=5, device=CPU, compiled=True)
    assert counters["stats"]["unique_graphs"] == 1
    last = loop.train(Toy(ToySettings()), batches, tmp_path / "parts", steps=5, seed=5, device=CPU)
    assert load_checkpoint(last)[0].tensors == load_checkpoint(whole)[0].tensors
    assert load_checkpoint(last)[0].weights == load_checkpoint(whole)[0].weights


@pytest.mark.usefixtures("traced")
def test_trainings_in_one_process_do_not_use_up_each_others_versions() -> None:
    for width in range(1, torch._dynamo.config.recompile_limit + 3):
        network = Own(nn.Linear(3, width))
        compilation.compile_networks([network])
        counters.clear()
        network(torch.ones(2, 3))
        assert counters["stats"]["unique_graphs"] == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("No working C++ compiler found\nand a long trace", "No working C++ compiler found"),
        ("", "RuntimeError"),
    ],
)
def test_without_a_working_compiler_it_says_so_and_goes_on(
    text: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError(text)

    said: list[str] = []
    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(progress, "say", said.append)
    assert not compilation.can_compile(CPU_DEVICE)
    assert said == [f"not compiled, as no working compiler is found: {why}"]


def test_it_pays_in_long_trainings_on_a_gpu_alone() -> None:
    assert compilation.pays(GPU_DEVICE, 601)
    assert not compilation.pays(GPU_DEVICE, 599)
    assert not compilation.pays(CPU_DEVICE, 1e6)


def test_arms_are_compiled_where_it_is_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for found in (True, False):
        monkeypatch.setattr(compilation, "can_compile", lambda where, found=found: found)
        modes = {mode: compilation.for_all_arms(mode, GPU_DEVICE) for mode in compilation.MODES}
        assert modes == {"auto": "off", "on": "on" if found else "off", "off": "off"}
    with pytest.raises(UsageError, match="one of auto, on, off"):
        compilation.for_all_arms("yes", GPU_DEVICE)


def test_another_mode_is_refused() -> None:
    for mode in compilation.MODES:
        compilation.check_mode(mode)
    with pytest.raises(UsageError, match="one of auto, on, off, found 'yes' in --compile"):
        compilation.check_mode("yes")
