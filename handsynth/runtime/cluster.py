"""Tasks on Dask. Tasks carry paths and ranges, write their own shard and return a small record.

The number of workers changes nothing in what is written: a task runs on one thread wherever it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from handsynth.errors import MissingError, UsageError, sentence

T = TypeVar("T")
R = TypeVar("R")


def default_workers() -> int:
    """One worker per core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_tasks(
    function: Callable[[T], R], tasks: Sequence[T], *, workers: int | None = None, scheduler: str | None = None
) -> Iterator[R]:
    """Run ``function`` over ``tasks`` and yield results as they finish, in any order.

    Args:
        function: importable; its argument and result must be small and picklable.
        workers: local processes; default one per core. With one (or one task) everything runs in this process.
        scheduler: address of a running Dask scheduler to join instead.

    Raises:
        UsageError: fewer than one worker.
        MissingError: no scheduler answers at the address.
        whatever a task raises, after the others were told to stop.
    """
    if workers is not None and workers < 1:
        raise UsageError(sentence("at least 1 worker", str(workers), "--workers"))
    count = min(workers or default_workers(), len(tasks))
    if scheduler is None and count <= 1:
        for task in tasks:
            yield _single_threaded(function, task)
        return
    with _client(count, scheduler) as client:
        from dask.distributed import as_completed

        futures = client.map(_single_threaded, [function] * len(tasks), list(tasks), pure=False, retries=0)
        for future in as_completed(futures):
            yield future.result()


def _single_threaded(function: Callable[[T], R], task: T) -> R:
    """Run on one thread: sums then come out the same whatever the number of workers."""
    import cv2

    before_cv2 = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        return function(task)
    finally:
        cv2.setNumThreads(before_cv2)


@contextlib.contextmanager
def _client(count: int, scheduler: str | None) -> Iterator[Any]:
    import dask
    from dask.distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            with Client(scheduler, timeout="10s", set_as_default=False) as client:
                yield client
        except (OSError, TimeoutError) as error:
            raise MissingError(
                sentence("a Dask scheduler", str(error) or "no answer", scheduler, "start one")
            ) from None
        return
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    config = {"distributed.worker.memory.target": False, "distributed.worker.memory.spill": False}
    with (
        dask.config.set(config),
        LocalCluster(
            n_workers=count, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
