"""Makes the parts of a reduction experiment: one after the other here, or spread over Dask workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from handsynth.errors import HandsynthError, MissingError, UsageError
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.stages.cells import NONE, Cell, Images, Part, Recipe, scores_of
from handsynth.stages.reduction import CellScore, Reduction
from handsynth.stages.workspace import store_name
from handsynth.store.read import Store
from handsynth.training.run import StoreRef, read_run


@dataclass(frozen=True)
class _Outcome:
    """What became of a part: where it is, or why it is not."""

    place: str = ""
    failure: str = ""


@dataclass(frozen=True)
class _Task:
    recipe: Recipe
    part: Part
    needed: str | None


@dataclass
class Work:
    """Makes parts, each once; one that fails takes those with it that need it, and no others."""

    recipe: Recipe
    outcomes: dict[Part, _Outcome] = field(default_factory=dict)

    def one_by_one(self, cells: Sequence[Cell], cost: Callable[[Part], float], end: float | None) -> list[Cell]:
        """Here, each with all cores, in their order.

        Args:
            cost: seconds that a part takes; asked for only where there is an ``end``.
            end: of ``time.monotonic``: what would not be done by then is not begun.

        Returns:
            Cells that were not begun.
        """
        late = []
        for number, cell in enumerate(cells, start=1):
            missing = [part for part in self.recipe.chain(cell) if part not in self.outcomes]
            price = sum(map(cost, missing)) if end is not None else 0.0
            if end is not None and price and time.monotonic() + price > end:
                progress.say(f"[{number}/{len(cells)}] left out, for things took longer than estimated: {cell}")
                late.append(cell)
                continue
            progress.say(f"[{number}/{len(cells)}] {cell}")
            for task in self._ready(missing):
                self._note(*_make(task))
        return late

    def spread(self, cells: Sequence[Cell], workers: int | None, scheduler: str | None) -> None:
        """As Dask tasks, each on one thread: first all that needs nothing, then what needs it.

        Raises:
            MissingError: no scheduler answers at the address.
        """
        every = dict.fromkeys(part for cell in cells for part in self.recipe.chain(cell))
        depth = {part: len(self.recipe.chain(part)) for part in every}
        for level in sorted(set(depth.values())):
            tasks = list(self._ready([part for part in every if depth[part] == level]))
            with progress.task(f"making parts ({level} of {max(depth.values())})", len(tasks)) as advance:
                try:
                    for part, outcome in run_tasks(_make, tasks, workers=workers, scheduler=scheduler):
                        self._note(part, outcome)
                        advance()
                except (MissingError, UsageError):  # no scheduler: no cell's own trouble
                    raise
                except HandsynthError as error:  # workers died, say: what they had not given back is not done
                    for task in tasks:
                        if task.part not in self.outcomes:
                            self._note(task.part, _Outcome(failure=str(error)))

    def finished(self, cells: Sequence[Cell]) -> dict[Cell, str]:
        """Run folders of the cells that are done."""
        return {cell: self.outcomes[cell].place for cell in cells if self._of(cell).place}

    def failures(self, cells: Sequence[Cell]) -> list[str]:
        """A line per cell that failed."""
        return [f"{cell}: {self._of(cell).failure}" for cell in cells if self._of(cell).failure]

    def stores(self) -> list[str]:
        """Addresses of the augmented stores that were made."""
        return [outcome.place for part, outcome in self.outcomes.items() if isinstance(part, Images) and outcome.place]

    def _of(self, part: Part) -> _Outcome:
        return self.outcomes.get(part, _Outcome())

    def _ready(self, parts: Sequence[Part]) -> Iterator[_Task]:
        """Tasks of the parts that can be made, as they become so."""
        for part in parts:
            needed = self.recipe.needs(part)
            if needed is not None and self._of(needed).failure:
                self._note(part, _Outcome(failure=f"no {needed}: {self._of(needed).failure}"), said=True)
            else:
                yield _Task(self.recipe, part, None if needed is None else self._of(needed).place)

    def _note(self, part: Part, outcome: _Outcome, said: bool = False) -> None:
        self.outcomes[part] = outcome
        if outcome.failure and not said:
            progress.say(f"failed: {part}: {outcome.failure}")


def measure(store: Store, runs: Mapping[Cell, str], left_out: Sequence[Cell], failed: Sequence[str]) -> Reduction:
    """Gather the scores of finished cells, given by their run folders.

    Trivial answers depend on the reduced set alone, so they stand once per draw.
    """
    rows: dict[tuple[object, ...], CellScore] = {}
    protocol = ""
    for cell, run in runs.items():
        info, evaluation = read_run(Path(run)), scores_of(Path(run))
        assert evaluation is not None  # the cell is finished
        protocol = evaluation.protocol
        for score in evaluation.rows:
            row = CellScore(
                estimator=score.name,
                generator=NONE if score.trivial else cell.generator,
                alpha=cell.draw.alpha,
                contiguous=cell.draw.contiguous,
                seed=cell.draw.seed,
                epe_mean_mm=score.values["epe_mean_mm"],
                auc_20_50_tail=score.values["auc_20_50_tail"],
                samples=info.samples,
                added=0 if score.trivial else info.added_samples,
                trivial=score.trivial,
                run="" if score.trivial else info.name,
            )
            rows.setdefault((row.estimator, row.generator, cell.draw), row)
    return Reduction(
        store=StoreRef(name=store_name(store.address), hash=store.hash),
        protocol=protocol,
        cells=tuple(rows.values()),
        left_out=tuple(map(str, left_out)),
        failed=tuple(failed),
    )


def _make(task: _Task) -> tuple[Part, _Outcome]:
    """Make one part; whatever goes wrong is told, so that the others go on."""
    try:
        return task.part, _Outcome(place=task.recipe.make(task.part, task.needed))
    except HandsynthError as error:
        return task.part, _Outcome(failure=str(error))
    except Exception as error:  # a GPU out of memory, say: one cell's trouble is not the others'
        return task.part, _Outcome(failure=f"{type(error).__name__}: {error}")
