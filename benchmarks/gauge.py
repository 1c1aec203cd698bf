"""What benchmarks share: peers timed in turns within one run, medians, ratios, and a noise gauge.

A shared machine changes pace from second to second, so absolute times mean little and times of different runs nothing.
Peers therefore take turns, round after round, and each is compared with the first by the median of its ratios within
a round. A fixed piece of work timed before and after every round says how quiet the run was.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds of each peer, round by round, and the gauge's beside them."""

    seconds: Mapping[str, np.ndarray]
    gauge: np.ndarray

    def median(self, peer: str) -> float:
        """Median seconds of a peer."""
        return float(np.median(self.seconds[peer]))

    def speedup(self, peer: str, over: str) -> float:
        """How many times faster ``peer`` is than ``over``: the median of the ratios within a round."""
        return float(np.median(self.seconds[over] / self.seconds[peer]))

    @property
    def unrest(self) -> float:
        """Slowest over fastest gauge: 1 is a quiet machine, 2 means that times may be off by a factor of two."""
        return float(self.gauge.max() / self.gauge.min())


def interleave(peers: Mapping[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> Timing:
    """Run every peer once per round, in turns; the first call of each is not counted unless ``warm_up`` is off."""
    if warm_up:
        for run in peers.values():
            run()
    seconds: dict[str, list[float]] = {name: [] for name in peers}
    gauge = [_fixed_work()]
    for turn in range(rounds):
        names = list(peers) if turn % 2 == 0 else list(peers)[::-1]
        for name in names:
            start = time.perf_counter()
            peers[name]()
            seconds[name].append(time.perf_counter() - start)
        gauge.append(_fixed_work())
    return Timing({name: np.array(times) for name, times in seconds.items()}, np.array(gauge))


def report(title: str, timing: Timing, ours: str, count: int, goals: Mapping[str, float] | None = None) -> None:
    """Print a table: per peer the median time, items a second and how many times faster ours is; goals where set."""
    goals = goals or {}
    print(f"\n{title}   (unrest {timing.unrest:.2f})")
    print(f"  {'':34} {'ms':>10} {'items/s':>12} {'ours is':>10}  goal")
    for peer in timing.seconds:
        median = timing.median(peer)
        pace = count / median
        line = f"  {peer:34} {median * 1e3:10.2f} {pace:12,.{0 if pace >= 100 else 2}f}"
        if peer != ours:
            ratio = timing.speedup(ours, peer)
            line += f" {ratio:9.2f}x"
            if peer in goals:
                line += f"  >= {goals[peer]:g}x: {'met' if ratio >= goals[peer] else 'MISSED'}"
        print(line, flush=True)


def header(packages: Sequence[str]) -> None:
    """Print what the numbers belong to: date, machine, versions of Python and of the given packages."""
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    print(f"{now}, {processor()}, {os.cpu_count()} logical cores, load {os.getloadavg()[0]:.1f}")
    print(", ".join(versions))


def processor() -> str:
    """Name of the processor, as far as the system says."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _fixed_work() -> float:
    start = time.perf_counter()
    total = 0
    for value in range(300_000):
        total += value & 7
    return time.perf_counter() - start
