"""What traces the hands is chosen once, where the command is given, and the workers keep to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from handsynth.errors import UsageError
from handsynth.simulator import cuda
from handsynth.stages.rendering import chosen_device
from handsynth.stages.simulate import simulate
from tests.stages.small import tree


@pytest.mark.parametrize(
    ("name", "scheduler", "here", "chosen"),
    [
        ("auto", None, True, "cuda"),
        ("auto", None, False, "cpu"),
        ("auto", "tcp://elsewhere:1", True, "cpu"),
        ("cuda", "tcp://elsewhere:1", False, "cuda"),
        ("cuda", None, True, "cuda"),
        ("cpu", None, True, "cpu"),
    ],
)
def test_auto_looks_at_this_machine_for_its_own_workers_only(
    name: str, scheduler: str | None, here: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda, "is_available", lambda: here)
    assert chosen_device(name, scheduler) == chosen


def test_workers_without_a_gpu_serve_a_machine_that_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dask.distributed import Client, LocalCluster

    folders = [simulate(2, size=16, device="cpu", workers=1, workspace=tmp_path / "here")]
    folders.append(simulate(2, as_="webdataset", size=16, device="cpu", workers=1, workspace=tmp_path / "here"))
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    free_port = {"dashboard_address": "127.0.0.1:0", "dashboard": False}
    cluster = LocalCluster(n_workers=1, processes=False, scheduler_kwargs=free_port, silence_logs=50)
    with cluster, Client(cluster) as client:
        joined: dict[str, Any] = {"scheduler": cluster.scheduler_address, "workspace": tmp_path / "served"}
        served = [simulate(2, size=16, **joined), simulate(2, as_="webdataset", size=16, **joined)]
        assert [tree(Path(folder)) for folder in served] == [tree(Path(folder)) for folder in folders]
        monkeypatch.setattr(cuda, "is_available", lambda: False)
        with pytest.raises(UsageError, match="a CUDA GPU"):  # said by the worker
            simulate(2, size=16, device="cuda", scheduler=cluster.scheduler_address, workspace=tmp_path / "asked")
        client.shutdown()
