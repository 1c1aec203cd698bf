"""Tasks on Dask. Tasks carry paths and ranges, write their own shard and return a small record.

The number of workers changes nothing in what is written: a task runs on one thread wherever it runs.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from handsynth.errors import HandsynthError, MissingError, UsageError, sentence

T = TypeVar("T")
R = TypeVar("R")


def default_workers() -> int:
    """One worker per core this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int | None) -> None:
    """Refuse fewer than one worker; for stages, before long work that comes ahead of their tasks.

    Raises:
        UsageError: there would be none.
    """
    if workers is not None and workers < 1:
        raise UsageError(sentence("at least 1 worker", str(workers), "--workers"))


def check_scheduler(scheduler: str | None) -> None:
    """See that a Dask scheduler answers, if one is named; for stages, before long work that comes ahead of their tasks.

    Raises:
        MissingError: none answers at the address.
    """
    if scheduler is not None:
        with _connected(scheduler):
            pass


def run_tasks(
    function: Callable[[T], R],
    tasks: Sequence[T],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    in_order: bool = False,
) -> Iterator[R]:
    """Run ``function`` over ``tasks`` and yield results as they finish.

    Args:
        function: importable; its argument and result must be small and picklable.
        workers: local processes; default one per core. With one (or one task) everything runs in this process.
        scheduler: address of a running Dask scheduler to join instead.
        in_order: yield results in the order of their tasks.

    Raises:
        UsageError: fewer than one worker.
        MissingError: no scheduler answers at the address.
        HandsynthError: worker processes died.
        whatever a task raises, after the others were told to stop.
    """
    check_workers(workers)
    count = min(workers or default_workers(), len(tasks))
    if not tasks or (scheduler is None and count <= 1):
        for task in tasks:
            yield _single_threaded(function, task)
        return
    with _client(count, scheduler) as client:
        from dask.distributed import as_completed

        futures = client.map(_single_threaded, [function] * len(tasks), list(tasks), pure=False, retries=0)
        try:
            for future in futures if in_order else as_completed(futures, loop=client.loop):
                yield _result(future)
                future.release()  # a result may be large, and nobody asks for it twice
        finally:
            client.cancel(futures)  # where a task failed or the caller stopped, the others need not run


def _result(future: Any) -> Any:
    from dask.distributed import KilledWorker

    try:
        return future.result()
    except KilledWorker as error:
        found = f"workers that died {error.allowed_failures + 1} times"
        raise HandsynthError(
            sentence("workers that live", found, "this task", "free memory or run fewer --workers")
        ) from None


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run OpenCV, and torch where it is loaded, on one thread: sums then come out the same wherever they run.

    Tasks run inside it. A task that imports torch only while it runs enters it again afterwards.
    """
    import cv2

    torch = sys.modules.get("torch")
    before_cv2, before_torch = cv2.getNumThreads(), torch.get_num_threads() if torch else 1
    cv2.setNumThreads(1)
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before_cv2)
        if torch:
            torch.set_num_threads(before_torch)


def _single_threaded(function: Callable[[T], R], task: T) -> R:
    with one_thread():
        return function(task)


@contextlib.contextmanager
def _client(count: int, scheduler: str | None) -> Iterator[Any]:
    import dask
    from dask.distributed import Client, LocalCluster

    if scheduler is not None:
        with _connected(scheduler) as client:
            yield client
        return
    # Dask tells of closing connections and slow workers; errors reach the user through the results.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    config = {
        "distributed.worker.memory.target": False,
        "distributed.worker.memory.spill": False,
        # Dask's own list also makes malloc give memory back at once: pixels then cost half as much again.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None,
    }
    with (
        dask.config.set(config),
        LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            # Without a dashboard the scheduler still takes port 8787, and warns where another run has it.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0", "dashboard": False},
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def _connected(scheduler: str) -> Any:
    from dask.distributed import Client

    try:
        return Client(scheduler, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        found = str(error) or "no answer"
        raise MissingError(sentence("a Dask scheduler", found, scheduler, "start one with `dask scheduler`")) from None
