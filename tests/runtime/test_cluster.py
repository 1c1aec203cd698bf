"""Tasks give the same results wherever they run, and their errors arrive whole."""

from __future__ import annotations

import os

import cv2
import pytest

from handsynth.errors import MissingError, SpaceError, UsageError
from handsynth.runtime.cluster import default_workers, one_thread, run_tasks


def square(number: int) -> tuple[int, int]:
    if number == 99:
        raise SpaceError("expected room to write, found none in 99")
    return number, number * number


def threads(_: int) -> int:
    return cv2.getNumThreads()


def process(_: int) -> int:
    return os.getpid()


def keeps_memory(_: int) -> bool:
    return "MALLOC_TRIM_THRESHOLD_" not in os.environ and os.environ["OMP_NUM_THREADS"] == "1"


def test_in_this_process() -> None:
    assert list(run_tasks(square, range(4), workers=1)) == [(0, 0), (1, 1), (2, 4), (3, 9)]
    assert list(run_tasks(square, [], workers=3)) == []
    assert set(run_tasks(process, [1], workers=3)) == {os.getpid()}
    with pytest.raises(SpaceError, match="in 99"):
        list(run_tasks(square, [1, 99], workers=1))
    with pytest.raises(UsageError, match="at least 1 worker"):
        list(run_tasks(square, [1], workers=0))
    assert default_workers() >= 1


def test_tasks_run_on_one_thread() -> None:
    before = cv2.getNumThreads()
    assert list(run_tasks(threads, [1], workers=1)) == [1]
    assert cv2.getNumThreads() == before
    torch = pytest.importorskip("torch")
    wanted = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == wanted


def test_a_cluster_gives_the_same_and_stops_at_errors() -> None:
    """One cluster for all: starting one costs seconds."""
    from dask.distributed import Client, LocalCluster

    free_port = {"dashboard_address": "127.0.0.1:0", "dashboard": False}
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, scheduler_kwargs=free_port, silence_logs=50
    )
    with cluster, Client(cluster) as client:
        address = cluster.scheduler_address
        assert list(run_tasks(square, range(20), scheduler=address, in_order=True)) == [(i, i * i) for i in range(20)]
        assert sorted(run_tasks(square, range(20), scheduler=address)) == [(i, i * i) for i in range(20)]
        assert set(run_tasks(threads, range(4), scheduler=address)) == {1}
        assert os.getpid() not in set(run_tasks(process, range(4), scheduler=address))
        with pytest.raises(SpaceError, match="in 99"):
            list(run_tasks(square, [*range(95, 105)], scheduler=address))
        assert sorted(run_tasks(square, range(3), scheduler=address)) == [(0, 0), (1, 1), (2, 4)]  # it still serves
        client.shutdown()


def test_workers_keep_the_memory_that_they_use_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that goes back to the system after every image costs half as much again as decoding it."""
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)  # a cluster of Dask's own leaves it behind
    assert all(run_tasks(keeps_memory, [0, 1], workers=2))


def test_no_scheduler() -> None:
    with pytest.raises(MissingError, match=r"a Dask scheduler.*nowhere"):
        list(run_tasks(square, range(3), scheduler="nowhere://here"))
