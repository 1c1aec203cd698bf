"""``train --compile``: what is asked for, what is recorded, and how a resumed training goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from handsynth.errors import UsageError
from handsynth.stages.train import _compiles, train
from handsynth.training import compilation, loop
from handsynth.training.run import RunInfo, StoreRef, read_run
from tests.stages.small import ESTIMATOR, STEPS, make_workspace

CPU, GPU = loop.Device("cpu", "32-true"), loop.Device("cuda", "bf16-mixed")
EAGER = RunInfo(
    name="a", system="hpm3d", family="estimator", preset="tiny", settings={}, store=StoreRef(name="hands", hash=""),
    steps=1, samples=1, parameters=1,
)  # fmt: skip
COMPILED = msgspec.structs.replace(EAGER, compiled=True)


@pytest.mark.parametrize(
    ("mode", "begun", "device", "seconds", "expected"),
    [
        ("auto", None, CPU, 1e5, False),
        ("auto", None, GPU, 1e5, True),
        ("auto", None, GPU, 60, False),
        ("auto", COMPILED, GPU, 60, True),
        ("auto", EAGER, GPU, 1e5, False),
        ("on", EAGER, CPU, 60, True),
        ("off", COMPILED, GPU, 1e5, False),
    ],
)
def test_when_networks_are_compiled(
    mode: str, begun: RunInfo | None, device: loop.Device, seconds: float, expected: bool, monkeypatch: Any
) -> None:
    monkeypatch.setattr(compilation, "can_compile", lambda where: True)
    assert _compiles(mode, begun, device, seconds) is expected
    monkeypatch.setattr(compilation, "can_compile", lambda where: False)
    assert _compiles(mode, begun, device, seconds) is False


@pytest.mark.parametrize("found", [True, False])
def test_run_json_says_what_was_done_not_what_was_asked_for(
    found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, done = make_workspace(tmp_path, count=8), []
    monkeypatch.setattr(compilation, "can_compile", lambda where: found)
    monkeypatch.setattr(loop, "train", lambda *arguments, compiled, **options: done.append(compiled))
    folder = train("hpm3d", steps=STEPS, settings=ESTIMATOR, device="cpu", compile="on", workspace=space)
    assert read_run(folder).compiled is found
    train("hpm3d", steps=STEPS, settings=ESTIMATOR, device="cpu", compile="off", workspace=space)
    assert done == [found, False]


def test_other_modes_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="auto, on, off"):
        train("hpm3d", compile="yes", workspace=make_workspace(tmp_path, count=8))
