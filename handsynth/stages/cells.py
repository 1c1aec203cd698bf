"""What a reduction experiment is made of: reduced sets, judges, augmented stores and cells; how each is made.

A part that is made already costs nothing again: every stage called here is safe to run twice. All of it pickles, so
that parts may be made by workers elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import parse
from handsynth.stages.augment import augment
from handsynth.stages.evaluate import evaluate
from handsynth.stages.simulated_arm import SIMULATOR
from handsynth.stages.systems import choose_settings
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace, store_name
from handsynth.training.checkpoints import CheckpointInfo, latest_checkpoint
from handsynth.training.loop import Device
from handsynth.training.run import Evaluation, read_evaluations, read_run

NONE = "none"
"""The arm without generated images."""


@dataclass(frozen=True)
class Draw:
    """A reduced set: share of the training moments, how they are drawn, by which seed. ``alpha`` 1 is all of them."""

    alpha: float
    contiguous: bool
    seed: int

    @property
    def words(self) -> str:
        """For names: ``0.4-contiguous-seed1``."""
        drawn = ["contiguous"] if self.contiguous else []
        return "-".join([f"{self.alpha:g}", *drawn, *([f"seed{self.seed}"] if self.seed else [])])

    def __str__(self) -> str:
        drawn = " in whole sequences" if self.contiguous else ""
        return f"alpha {self.alpha:g}{drawn}, seed {self.seed}"


@dataclass(frozen=True)
class Judge:
    """The estimator that says which generated images of a reduced set are good enough."""

    draw: Draw

    def __str__(self) -> str:
        return f"judge of {self.draw}"


@dataclass(frozen=True)
class Images:
    """The images one generator makes for a reduced set; its training is part of it. All estimators share them."""

    draw: Draw
    generator: str

    def __str__(self) -> str:
        return f"images by {self.generator}, {self.draw}"


@dataclass(frozen=True)
class Cell:
    """One estimator trained on a reduced set, with or without generated images, and scored on the test split."""

    draw: Draw
    generator: str
    estimator: str

    def __str__(self) -> str:
        data = self.draw if self.generator == NONE else f"{self.draw}, {self.generator}"
        return f"{self.estimator}, {data}"


Part = Judge | Images | Cell


@dataclass(frozen=True)
class Recipe:
    """How the parts of one experiment are made.

    Attributes:
        workspace, store: where, and the address of the data.
        estimators: names; the first is the judge's too.
        preset, steps: of the estimators, equal in all cells; None is their default.
        generator_preset, generator_steps: of the generators.
        settings: ``key=value`` texts by system.
        most_mm: pose error above which a judge rejects a generated image; None keeps all.
        device: ``auto``, ``cpu`` or ``cuda``.
        compile: all networks: ``on`` or ``off``.
        workers: processes that make the images of one store; None is one per core.
        yes: train even where one training takes over an hour.
    """

    workspace: Workspace
    store: str
    estimators: tuple[str, ...]
    preset: str | None = None
    steps: int | None = None
    generator_preset: str | None = None
    generator_steps: int | None = None
    settings: tuple[tuple[str, tuple[str, ...]], ...] = ()
    most_mm: float | None = None
    device: str = "auto"
    compile: str = "off"
    workers: int | None = None
    yes: bool = True

    def of(self, system: str) -> tuple[str, ...]:
        """Settings of one system."""
        return dict(self.settings).get(system, ())

    @property
    def judge(self) -> str:
        """The judge is an estimator of the first kind, with other weights than any that is scored."""
        return self.estimators[0]

    def training(self, system: str) -> tuple[str | None, int | None]:
        """Preset and steps of a system."""
        if system in self.estimators:
            return self.preset, self.steps
        return self.generator_preset, self.generator_steps

    def chosen(self, system: str) -> tuple[str, Any, int]:
        """Name of the preset, settings and steps that a system is trained with here.

        Raises:
            UsageError: no such preset, key or value.
        """
        preset, steps = self.training(system)
        name, settings = choose_settings(system, preset, Device.choose(self.device), self.of(system))
        return name, settings, settings.steps if steps is None else steps  # type: ignore[attr-defined]

    def needs(self, part: Part) -> Part | None:
        """The part that must be made before."""
        if isinstance(part, Cell) and part.generator != NONE:
            return Images(part.draw, part.generator)
        if isinstance(part, Images) and self.most_mm is not None and part.generator != SIMULATOR:
            return Judge(part.draw)
        return None

    def chain(self, part: Part) -> list[Part]:
        """A part after all that it needs, first things first."""
        needed = self.needs(part)
        return [*(self.chain(needed) if needed is not None else []), part]

    def make(self, part: Part, needed: str | None) -> str:
        """Make a part from what it needs: a run's folder, or the address of a store.

        Raises:
            whatever the stages raise.
        """
        if isinstance(part, Images):
            return self._images(part, needed)
        if isinstance(part, Judge):
            seed = weights_seed_of(part.draw)
            return str(self._train(self.judge, part.draw, weights_seed=seed, name=self.judge_name(part.draw)))
        run = self._train(part.estimator, part.draw, add=needed)
        if scores_of(run) is None:
            evaluate(str(run), self.store, device=self.device, workspace=self.workspace)
        return str(run)

    def judge_name(self, draw: Draw) -> str:
        """Of the run of the judge of a reduced set."""
        preset = [self.preset] if self.preset else []
        return "-".join([store_name(self.store), "judge", self.judge, draw.words, *preset])

    def _train(self, system: str, draw: Draw, **more: Any) -> Path:
        preset, steps = self.training(system)
        return train(
            system,
            self.store,
            alpha=draw.alpha,
            preset=preset,
            steps=steps,
            seed=draw.seed,
            contiguous=draw.contiguous,
            device=self.device,
            compile=self.compile,
            settings=self.of(system),
            yes=self.yes,
            workspace=self.workspace,
            **more,
        )

    def _images(self, part: Images, judge: str | None) -> str:
        preset, steps = self.training(part.generator) if part.generator != SIMULATOR else (None, None)
        if part.generator != SIMULATOR:
            self._train(part.generator, part.draw)
        judged: dict[str, Any] = {} if judge is None else {"judge": judge, "most_mm": self.most_mm}
        return augment(
            self.store,
            part.draw.alpha,
            part.generator,
            preset=preset,
            steps=steps,
            seed=part.draw.seed,
            contiguous=part.draw.contiguous,
            device=self.device,
            compile=self.compile if part.generator != SIMULATOR else "off",
            settings=self.of(part.generator),
            workers=self.workers,
            yes=self.yes,
            workspace=self.workspace,
            **judged,
        )


def weights_seed_of(draw: Draw) -> int:
    """Seed of a judge's weights: far from those that anybody asks for, so that it is never one of the scored ones."""
    return entropy(draw.seed, "judge") % 2**31


def groups_of(
    alphas: Sequence[float],
    generators: Sequence[str],
    estimators: Sequence[str],
    seeds: Sequence[int],
    single: Sequence[str],
    draws: Sequence[bool],
) -> list[list[Cell]]:
    """All cells in the order of their worth; a group is a comparison's row of all estimators, whole or not at all.

    One seed of everything comes before the next seed; within a seed first the full set, then the reduced sets alone,
    then all generators of one share before the next share.

    Args:
        single: generators that get the first seed only.
        draws: of the reduced sets: whether contiguous; one or both.
    """

    def arms(seed: int) -> Iterator[tuple[Draw, str]]:
        yield Draw(1.0, False, seed), NONE
        reduced = [Draw(alpha, contiguous, seed) for alpha in alphas for contiguous in draws]
        if NONE in generators:
            yield from ((draw, NONE) for draw in reduced)
        yield from ((draw, name) for draw in reduced for name in generators if name != NONE)

    return [
        [Cell(draw, generator, estimator) for estimator in estimators]
        for number, seed in enumerate(seeds)
        for draw, generator in arms(seed)
        if number == 0 or generator not in single
    ]


def scores_of(run: Path) -> Evaluation | None:
    """The run's scores on the test split of its own store, as far as they are of its newest weights."""
    newest = latest_checkpoint(run / "checkpoints")
    if newest is None:
        return None
    sidecar = newest.with_suffix(".json")
    weights = parse(sidecar.read_bytes(), CheckpointInfo, sidecar).weights
    store = read_run(run).store.hash
    for each in read_evaluations(run):
        if (each.split, each.store.hash, each.checkpoint) == ("test", store, weights):
            return each
    return None
