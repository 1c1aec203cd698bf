"""The run folder: one training and what was measured of it.

```
runs/NAME/
  run.json             RunInfo: settings, inputs' hashes, seed; written before training starts
  log.jsonl            one line per logged step: step, losses, learning-rate factor, seconds
  tensorboard/         the same curves
  checkpoints/         STEP.pt (tensors) and STEP.json (what they are)
  evaluation/STORE.json      Evaluation: scores with their protocol, trivial baselines, PCK curves
  evaluation/STORE.parquet   one row per sample: key, slot, predicted and true joints, errors
  curriculum/STORE-SPLIT.png a generator's errors over the pose distance of pairs; the points in a .csv beside it
```
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from handsynth.errors import MissingError, sentence
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, parse, pretty_json

RUN_VERSION = 1


class StoreRef(Settings, frozen=True, kw_only=True):
    """A store that a run read."""

    name: str
    hash: str
    poses_of: str = ""
    """Hash of the store whose poses a re-rendered one shows: of the first along a chain of such stores."""


class RunRef(Settings, frozen=True, kw_only=True):
    """A trained run whose weights another one used."""

    name: str
    weights: str
    """Hash of its weights, see ``CheckpointInfo``."""


class DepthRef(Settings, frozen=True, kw_only=True):
    """What made the depth maps that a generator read, where they were not drawn capsules."""

    kind: Literal["simulator", "run"]
    run: RunRef | None = None
    """Of the kind ``run``; its folder lies beside that of the run which used it."""

    @property
    def name(self) -> str:
        """``simulator``, or the run's name."""
        return self.kind if self.run is None else self.run.name


class RunInfo(Settings, frozen=True, kw_only=True):
    """``run.json``: everything that fixes a training."""

    version: int = RUN_VERSION
    name: str
    system: str
    family: str
    preset: str
    settings: dict[str, Any]
    store: StoreRef
    added: StoreRef | None = None
    """Augmented store that joins the training samples."""
    start: RunRef | None = None
    """Trained run whose weights stood at the beginning."""
    depth: DepthRef | None = None
    """Of a generator that reads depth; null for drawn capsules, or where none is read."""
    guide: RunRef | None = None
    """Frozen estimator of a generator's pose loss; its folder lies beside this one."""
    alpha: float = 1.0
    """Share of the training split's moments that was used; 1 is all of it."""
    contiguous: bool = False
    """Whether the reduced set was drawn as whole sequences."""
    seed: int = 0
    """Of the reduced set, and of weights, order and pairs."""
    weights_seed: int | None = None
    """Of weights, order and pairs, where it is another than that of the reduced set."""
    precision: str = "32-true"
    """As lightning-fabric names it."""
    compiled: bool = False
    """Whether its networks, or those of the part it was resumed from, ran compiled."""
    steps: int
    samples: int
    """Training samples of ``store``."""
    added_samples: int = 0
    parameters: int
    """Trainable parameters of all networks."""
    reduced_set: str = ""
    """Hash of the training slots: equal for all systems of one (store, alpha, seed)."""
    converted: str = ""
    """sha256 of the file that others trained and this run was made from; what it saw is then unknown."""
    estimated_seconds: float = 0.0
    handsynth: str = ""

    @property
    def own_seed(self) -> int:
        """What a system's weights are built and its training is drawn with."""
        return self.seed if self.weights_seed is None else self.weights_seed


class Scores(Settings, frozen=True, kw_only=True):
    """One row of a result table."""

    name: str
    """``hpm3d``, ``mean pose``, ``copy of the source``, ..."""
    trivial: bool = False
    """Whether this is a baseline that learns nothing."""
    values: dict[str, float]
    curve: list[float] = msgspec.field(default_factory=list)
    """PCK at ``Evaluation.thresholds``; empty for generators."""


class Evaluation(Settings, frozen=True, kw_only=True):
    """``evaluation/STORE.json``: one system on one split of one store."""

    version: int = RUN_VERSION
    run: str
    store: StoreRef
    split: str
    samples: int
    protocol: str
    """One line: unit, frame, root, scale, alignment, joints counted."""
    better: dict[str, str]
    """Per score, ``lower`` or ``higher``."""
    rows: list[Scores]
    thresholds: list[float] = msgspec.field(default_factory=list)
    threshold_unit: str = "mm"
    checkpoint: str = ""


def write_run(folder: Path, info: RunInfo) -> None:
    """Write ``run.json``."""
    files.write(folder / "run.json", pretty_json(info))


def read_run(folder: Path) -> RunInfo:
    """Read ``run.json``.

    Raises:
        MissingError: the folder is no run.
        DataError: the record is damaged or of another version.
    """
    path = folder / "run.json"
    if not path.is_file():
        advice = "train first: handsynth train SYSTEM"
        raise MissingError(sentence("a run folder with run.json", "none", folder, advice))
    return parse(path.read_bytes(), RunInfo, path)


def write_evaluation(folder: Path, evaluation: Evaluation) -> Path:
    """Write the scores of a run on a store; returns the file."""
    path = folder / "evaluation" / f"{evaluation.store.name}.json"
    files.write(path, pretty_json(evaluation))
    return path


def read_evaluations(folder: Path) -> list[Evaluation]:
    """All evaluations of a run, by store name; empty where it was not evaluated."""
    return [parse(path.read_bytes(), Evaluation, path) for path in sorted((folder / "evaluation").glob("*.json"))]


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``; a half-written last line of a killed run is left out."""
    path = folder / "log.jsonl"
    lines = path.read_bytes().splitlines() if path.is_file() else []
    entries = []
    for line in lines:
        try:
            entries.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            break
    return entries
