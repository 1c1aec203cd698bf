"""What ``simulate`` renders, whole or part by part, and what traces it: scenes drawn anew, or the poses of a store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from handsynth.errors import UsageError, sentence
from handsynth.hand.sample import HandSample
from handsynth.simulator import SimulatorSettings, samples_per_index
from handsynth.simulator import simulate as simulate_hands
from handsynth.simulator.sight import Device
from handsynth.stages.rerender import StoredPoses, rendered, with_people
from handsynth.store.write import Reject

SHARD = 16
"""Moments of a shard of a store, or samples of a piece of raw files. Rendering is slow, so they are few: a worker is
never far ahead of the others at the end, and a stopped run loses little."""


@dataclass(frozen=True)
class Work:
    """What is rendered: scenes drawn by the settings, or the poses of a store.

    Attributes:
        settings: of the simulator.
        count: moments, or samples of the store.
        poses: where they come from a store.
        device: what traces the hands.
    """

    settings: SimulatorSettings
    count: int
    poses: StoredPoses | None = None
    device: Device = "cpu"

    @property
    def each(self) -> int:
        """Samples per moment."""
        return 1 if self.poses else samples_per_index(self.settings)

    @property
    def samples(self) -> int:
        """How many there are of all moments."""
        return self.count * self.each

    def pieces(self) -> list[range]:
        """The moments, in runs of as many as make ``SHARD`` samples, or of one."""
        size = max(SHARD // self.each, 1)
        return [range(start, min(start + size, self.count)) for start in range(0, self.count, size)]

    def described(self) -> dict[str, Any]:
        """What fixes every byte of the result; a GPU rounds otherwise than a CPU, and is named for it."""
        chosen = {"simulator": msgspec.to_builtins(self.settings), "count": self.count}
        traced = {} if self.device == "cpu" else {"device": self.device}
        return chosen | traced | ({"poses": self.poses.described()} if self.poses else {})

    def fitted(self, workers: int | None, scheduler: str | None) -> Work:
        """The same, ready to be rendered part by part."""
        if self.poses is None:
            return self
        return replace(self, poses=with_people(self.poses, workers, scheduler))

    def part(self, moments: range) -> Part:
        """Some of it, for a worker."""
        return Part(self.settings, moments, None if self.poses is None else self.poses.part(moments), self.device)


@dataclass(frozen=True)
class Part:
    """Some moments of a work, or some poses."""

    settings: SimulatorSettings
    moments: range
    poses: StoredPoses | None
    device: Device

    def render(self) -> Iterator[HandSample | Reject]:
        """Samples, in order.

        Raises:
            UsageError: there is no GPU here, where one is to trace.
        """
        if self.poses is None:
            return simulate_hands(self.settings, self.moments.start, self.moments.stop, self.device)
        return rendered(self.poses, self.settings, self.device)


def chosen_device(name: str, scheduler: str | None) -> Device:
    """What traces the hands.

    The choice is made once and goes into the plan, for a GPU rounds otherwise than a CPU. What this machine has says
    nothing of the workers of a scheduler: there ``auto`` is the CPU, and ``cuda`` is left to each worker to find.

    Raises:
        UsageError: no such device, or none here.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(sentence("auto, cpu or cuda", repr(name), "--device"))
    if name == "cpu":
        return "cpu"
    if scheduler is not None:
        return "cuda" if name == "cuda" else "cpu"
    from handsynth.simulator import cuda  # not before it is asked for

    if name == "cuda":
        cuda.require_gpu()
    return "cuda" if cuda.is_available() else "cpu"
