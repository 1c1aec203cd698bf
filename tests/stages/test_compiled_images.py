"""``augment --compile``: what is asked for, what the plan records, how a store is gone on with, batches of one shape.

Networks that are to be compiled are noted and run as they are: no kernels are made here, but in the one slow test.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from handsynth.errors import HandsynthError, StoreError, UsageError
from handsynth.generators.transfer import PoseTransfer
from handsynth.runtime import progress
from handsynth.stages import augment as stage
from handsynth.stages import compiled_images, generation
from handsynth.stages.augment import augment
from handsynth.stages.compiled_images import choose_plan, eager_seconds
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.store.schema import Source, StorePlan
from handsynth.training import compilation
from handsynth.training.loop import Device
from handsynth.training.run import read_run
from handsynth.training.splits import split_store
from handsynth.training.system import PairBatch
from tests.stages.small import GENERATOR, STEPS, make_workspace, tree
from tests.stages.test_leaks import Reads

ALPHA = 0.3
OPTIONS: dict[str, Any] = {"alpha": ALPHA, "steps": STEPS, "settings": GENERATOR, "device": "cpu", "workers": 1}
CPU, GPU = Device("cpu", "32-true"), Device("cuda", "bf16-mixed")
EAGER = StorePlan(source=Source(kind="generator", name="mmhand"), slots=1)
COMPILED = StorePlan(source=Source(kind="generator", name="mmhand"), settings={"compiled": True}, slots=1)
SCRIPT = """
import sys
from handsynth.stages import augment as stage
if __name__ == "__main__":
    stage._SHARD = 8
    stage.augment("hands", alpha=%r, steps=%r, settings=%r, device="cpu", compile="on", workers=int(sys.argv[2]),
                  workspace=sys.argv[1])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a store and an eagerly trained generator."""
    space = make_workspace(tmp_path_factory.mktemp("trained"), count=48)
    options = {name: value for name, value in OPTIONS.items() if name != "workers"}
    train("mmhand", "hands", compile="off", workspace=space, **options)
    return space


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Networks that were to be compiled; they stay eager."""
    networks: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda network, **options: networks.append(network))
    return networks


@pytest.fixture
def space(trained: Workspace, tmp_path: Path, asked: list[nn.Module], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A copy of it, where a compiler is found."""
    monkeypatch.setattr(compilation, "why_not", lambda where: "")
    monkeypatch.setattr(stage, "_SHARD", 8)
    generation._loaded.cache_clear()
    shutil.copytree(trained.root, tmp_path / "space")
    return Workspace(tmp_path / "space")


def recorded(space: Workspace, address: str) -> bool:
    return bool(space.store(address).info.plan.settings.get("compiled", False))


@pytest.mark.parametrize(
    ("mode", "there", "device", "seconds", "expected"),
    [
        ("auto", None, CPU, 1e5, EAGER),
        ("auto", None, GPU, 1e5, COMPILED),
        ("auto", None, GPU, 60, EAGER),
        ("auto", COMPILED, GPU, 60, COMPILED),
        ("auto", COMPILED, CPU, 60, COMPILED),
        ("auto", EAGER, GPU, 1e5, EAGER),
        ("on", EAGER, CPU, 60, COMPILED),
        ("off", COMPILED, GPU, 1e5, EAGER),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_which_plan_is_chosen(
    mode: str, there: StorePlan | None, device: Device, seconds: float, expected: StorePlan, finished: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(compiled_images, "begun_with", lambda address: there and there.hash)
    monkeypatch.setattr(compiled_images, "is_finished", lambda address: finished)
    chosen: Any = (mode, EAGER, COMPILED, "stores/made", device, lambda: seconds)
    monkeypatch.setattr(compilation, "can_compile", lambda where: True)
    assert choose_plan(*chosen) is expected
    monkeypatch.setattr(compilation, "can_compile", lambda where: False)
    needless = finished and there == expected == COMPILED
    assert choose_plan(*chosen) is (COMPILED if needless else EAGER)


def test_what_gives_way_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_images, "begun_with", None)
    assert choose_plan("auto", EAGER, COMPILED, "stores/made", CPU, lambda: 0.0, overwrite=True) is EAGER


@pytest.mark.parametrize("found", [True, False])
def test_the_plan_says_what_was_done_not_what_was_asked_for(
    space: Workspace, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(compilation, "why_not", lambda where: "" if found else "none here")
    monkeypatch.setattr(progress, "say", said.append)
    address = augment("hands", compile="on", workspace=space, **OPTIONS)
    assert recorded(space, address) is found
    told = "not compiled, as no working compiler is found: none here"
    assert said.count(told) == (0 if found else 1)
    before = tree(Path(address))
    assert augment("hands", compile="on", workspace=space, **OPTIONS) == address
    assert augment("hands", workspace=space, **OPTIONS) == address
    assert tree(Path(address)) == before


def test_training_and_generation_are_compiled_alike(space: Workspace) -> None:
    augment("hands", seed=1, compile="on", workspace=space, **OPTIONS)
    assert read_run(space.run(f"hands-mmhand-{ALPHA}-seed1")).compiled
    assert not read_run(space.run(f"hands-mmhand-{ALPHA}")).compiled


def test_a_finished_store_is_refused_another_way_and_needs_no_compiler(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = augment("hands", compile="on", workspace=space, **OPTIONS)
    monkeypatch.setattr(compilation, "why_not", lambda where: "none here")
    for mode in ("on", "auto"):
        assert augment("hands", compile=mode, workspace=space, **OPTIONS) == address
    with pytest.raises(StoreError, match="settings of this run"):
        augment("hands", compile="off", workspace=space, **OPTIONS)
    augment("hands", compile="off", overwrite=True, workspace=space, **OPTIONS)
    assert not recorded(space, address)


@pytest.mark.parametrize("begun", ["on", "off"])
def test_a_stopped_store_goes_on_as_it_began(space: Workspace, begun: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(task: generation.Task) -> Any:
        if task.shard == 1:
            raise KeyboardInterrupt
        return generation.make_shard(task)

    whole = Path(augment("hands", compile=begun, workspace=space, **OPTIONS))
    expected = tree(whole)
    shutil.rmtree(whole)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "make_shard", stopping)
        with pytest.raises(KeyboardInterrupt):
            augment("hands", compile=begun, workspace=space, **OPTIONS)
    other = "off" if begun == "on" else "on"
    with pytest.raises(StoreError, match="use the same settings to resume"):
        augment("hands", compile=other, workspace=space, **OPTIONS)
    assert augment("hands", workspace=space, **OPTIONS) == str(whole)
    assert recorded(space, str(whole)) is (begun == "on")
    assert tree(whole) == expected


def test_compiled_networks_get_batches_of_one_shape(
    space: Workspace, asked: list[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_SHARD", 18)  # a full batch and a part of one
    counts: list[int] = []
    generate = PoseTransfer.generate

    def watched(self: PoseTransfer, batch: PairBatch) -> torch.Tensor:
        counts.append(len(batch))
        return generate(self, batch)

    monkeypatch.setattr(PoseTransfer, "generate", watched)
    made = space.store(augment("hands", compile="off", workspace=space, **OPTIONS))
    images = made.rgb(made.slots)
    assert len(set(counts)) > 1
    assert not asked
    counts.clear()
    compiled = space.store(augment("hands", compile="on", overwrite=True, workspace=space, **OPTIONS))
    assert set(counts) == {generation.BATCH}
    assert "AttentionGenerator" in {type(network).__name__ for network in asked}
    # What a batch holds beside an image may change how its sums are rounded, no more.
    assert np.abs(compiled.rgb(compiled.slots).astype(int) - images).max() <= 1


def test_a_worker_without_a_compiler_says_so(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    address = augment("hands", compile="on", workspace=space, **OPTIONS)
    run = str(space.run(f"hands-mmhand-{ALPHA}"))
    task = generation.Task(address, space.store(address).info.plan, str(space.root / "stores" / "hands"), run, CPU, 0)
    generation._loaded.cache_clear()
    monkeypatch.setattr(compilation, "why_not", lambda where: "none here")
    with pytest.raises(HandsynthError, match=r"a working compiler, .* found none here in this worker; .*--compile off"):
        generation.make_shard(task)


def test_an_estimate_reads_no_held_out_pixels(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    data = space.store("hands")
    split = split_store(data, ALPHA)
    reads = Reads(data.address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        assert eager_seconds(space.run(f"hands-mmhand-{ALPHA}"), data, split, split.held_out, CPU) > 0
    assert reads.pixels <= set(split.reduced.tolist())


def test_other_modes_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    space = make_workspace(tmp_path, count=16)
    with pytest.raises(UsageError, match="one of auto, on, off, found 'yes' in --compile"):
        augment("hands", compile="yes", workspace=space, **OPTIONS)
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}


@pytest.mark.slow
def test_worker_count_changes_nothing_in_compiled_images(trained: Workspace, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT % (ALPHA, STEPS, GENERATOR))
    trees = []
    for workers in ("1", "2"):
        space = Workspace(tmp_path / workers)
        shutil.copytree(trained.root, space.root)
        # Elsewhere, for here shapes are checked while tests run, which a network that is compiled does not allow.
        subprocess.run([sys.executable, str(script), str(space.root), workers], check=True, timeout=540)
        address = space.new_store(f"hands-{ALPHA}-mmhand")
        if not recorded(space, address):
            pytest.skip("no working compiler")
        trees.append(tree(Path(address)))
    assert trees[0] == trees[1]
