"""What the missing parts of a reduction experiment would cost, and which cells fit into a given time.

Costs are tried here: a few training steps of every system, one batch generated or predicted, two poses rendered. What
is there already, wholly or in part, counts less. Nothing that the probes make is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.runtime.cluster import default_workers
from handsynth.runtime.settings import override
from handsynth.runtime.timing import second_time
from handsynth.simulator import SimulatorSettings
from handsynth.stages.cells import Cell, Draw, Images, Judge, Part, Recipe, scores_of
from handsynth.stages.present import Present
from handsynth.stages.rerender import StoredPoses, rendered
from handsynth.stages.simulated_arm import SIMULATOR
from handsynth.stages.systems import build_system
from handsynth.stages.train import training_batches
from handsynth.store.read import Store
from handsynth.training import loop
from handsynth.training.batches import Hands
from handsynth.training.checkpoints import latest_checkpoint
from handsynth.training.splits import Split, split_store
from handsynth.training.system import PairBatch

_BATCH = 16
_POSES = 2  # rendered to see how long one takes; the first also loads what all use

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?|{_NUMBER}")


def seconds_of(text: str) -> float:
    """``2h``, ``90m``, ``1h30m``, ``45s`` or plain seconds; ``1h30`` does not say of what it has 30.

    Raises:
        UsageError: it is none of these, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip())
    hours, minutes, seconds, plain = (float(part or 0) for part in match.groups()) if match else (0.0,) * 4
    total = 3600 * hours + 60 * minutes + seconds + plain
    if total <= 0:
        raise UsageError(sentence("a time like 2h, 90m, 1h30m or 600", repr(text), "--budget"))
    return total


def choose(
    groups: Iterable[Sequence[Cell]],
    chain: Callable[[Cell], Sequence[Part]],
    cost: Callable[[Part], float],
    budget: float,
) -> tuple[list[Cell], list[Cell]]:
    """Cells that fit into ``budget`` seconds, and those left out.

    Groups are taken whole, in their order; one that does not fit is passed over, and a later, cheaper one may. A part
    that several cells need is paid once.
    """
    taken: list[Cell] = []
    left: list[Cell] = []
    paid: set[Part] = set()
    spent = 0.0
    for group in groups:
        parts = {part for cell in group for part in chain(cell)} - paid
        price = sum(map(cost, parts))
        if price and spent + price > budget:
            left += group
            continue
        spent += price
        paid |= parts
        taken += group
    return taken, left


class Costs:
    """Seconds that each part of an experiment would still take on this machine; each kind of work is tried once.

    Attributes:
        tried_on: the reduced set that the probes read; how long they take hardly hangs on which it is.
    """

    def __init__(self, recipe: Recipe, data: Store, tried_on: Draw) -> None:
        self.recipe, self.data, self.tried_on = recipe, data, tried_on
        self._where = loop.Device.choose(recipe.device)
        self._each: dict[tuple[str, str], float] = {}
        self._splits: dict[Draw, Split] = {}
        self._there = Present(recipe, data)

    def __call__(self, part: Part) -> float:
        """Seconds of this part alone, without what it needs; 0 where it is there."""
        if isinstance(part, Images):
            return self._images(part)
        if isinstance(part, Judge):
            return self._training(self.recipe.judge, self._there.run(part))
        needed = self.recipe.needs(part)
        fresh = isinstance(needed, Images) and self._there.images(needed) is None
        run = None if fresh else self._there.run(part)
        if run is not None and scores_of(run) is not None:
            return 0.0
        scoring = len(self._split(part.draw).test) * self._tried("predicted", part.estimator, self._predict)
        return self._training(part.estimator, run) + scoring

    def _images(self, part: Images) -> float:
        if self._there.images(part) is not None:
            return 0.0
        count = len(self._split(part.draw).held_out)
        if part.generator == SIMULATOR:
            each = self._tried("rendered", SIMULATOR, self._render)
            return count * each / (self.recipe.workers or default_workers())
        each = self._tried("generated", part.generator, self._generate)
        if self.recipe.needs(part) is not None:
            each += self._tried("predicted", self.recipe.judge, self._predict)
        return self._training(part.generator, self._there.run(part)) + count * each

    def _training(self, system: str, run: Path | None) -> float:
        """Of the steps that are left: all of them, or those after the newest checkpoint of the run that goes on."""
        newest = latest_checkpoint(run / "checkpoints") if run is not None else None
        left = self.recipe.chosen(system)[2] - (int(newest.stem) if newest is not None else 0)
        return max(left, 0) * self._tried("step", system, self._step)

    def _split(self, draw: Draw) -> Split:
        if draw not in self._splits:
            self._splits[draw] = split_store(self.data, draw.alpha, draw.seed, draw.contiguous)
        return self._splits[draw]

    def _tried(self, kind: str, system: str, probe: Callable[[str], float]) -> float:
        if (kind, system) not in self._each:
            self._each[kind, system] = probe(system)
        return self._each[kind, system]

    def _step(self, system: str) -> float:
        """Seconds of one training step, in the mean of all."""
        _, chosen, steps = self.recipe.chosen(system)
        built = build_system(system, chosen, 0)
        batches = training_batches(built, self.data, self._split(self.tried_on), None, 0)
        return loop.estimate_seconds(lambda: build_system(system, chosen, 0), batches, self._where, steps) / steps

    def _generate(self, generator: str) -> float:
        """Seconds of one generated image."""
        system, hands, rows = self._ready(generator)
        pair = PairBatch(hands.batch(rows), hands.batch(rows, pixels=False)).to(self._where.torch_device)
        return second_time(lambda: system.generate(pair).float().cpu()) / len(rows)

    def _predict(self, estimator: str) -> float:
        """Seconds of one predicted hand."""
        system, hands, rows = self._ready(estimator)

        def work() -> object:
            said = system.predict(hands.batch(rows).to(self._where.torch_device))
            return said.keypoints_px.float().cpu(), said.relative_depth.float().cpu()  # waits for a GPU

        return second_time(work) / len(rows)

    def _ready(self, name: str) -> tuple[Any, Hands, np.ndarray]:
        system: Any = build_system(name, self.recipe.chosen(name)[1], 0)
        for network in system.networks().values():
            network.to(self._where.torch_device).eval()
        hands = Hands(self.data, self._split(self.tried_on).reduced[:_BATCH], system.settings.size)
        return system, hands, np.arange(len(hands))

    def _render(self, simulator: str) -> float:
        """Seconds of one rendered pose on one core."""
        size = self.data.info.plan.size
        settings = override(SimulatorSettings(size=size), self.recipe.of(simulator))
        slots = tuple(self._split(self.tried_on).held_out[:_POSES].tolist())
        poses = StoredPoses(self.data.address, self.data.hash, slots, size, "frame")
        return second_time(lambda: list(rendered(poses, settings))) / len(slots)
