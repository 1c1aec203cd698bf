"""What a training may use beside its own reduced set, so that nothing leaks: other stores, and runs of others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.stages.origins import poses_of
from handsynth.stages.systems import lineage, with_used
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training import loop
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.run import RunInfo, RunRef, read_run
from handsynth.training.splits import Split, split_store
from handsynth.training.system import System


def main_store(space: Workspace, name: str | None) -> Store:
    """The store of a name whose reduced sets are trained on and augmented.

    Raises:
        UsageError: it is an augmented one; or see :meth:`Workspace.store`.
        MissingError, StoreError: see there.
    """
    store = space.store(name)
    if store.info.augmented:
        advice = "give the store it was made from; its images join a training by --add"
        raise UsageError(sentence("a store of real or simulated images", "an augmented one", store.address, advice))
    return store


@dataclass(frozen=True)
class Added:
    """Samples of another store that join a training; balanced ones fill half of every batch."""

    name: str
    store: Store
    slots: np.ndarray
    balanced: bool = False
    judge: dict[str, Any] = field(default_factory=dict)
    """What the store's plan says of the estimator that chose the slots; see ``stages/judge.py``."""


def added_store(space: Workspace, data: Store, add: str, split: Split) -> Added:
    """The kept samples of an augmented store or the training split of a simulated one.

    Refused where they were made from another reduced set, or in the poses of a store: those would leak.
    """
    store = space.store(add)
    plan = store.info.plan
    own = store.hash in (data.hash, poses_of(data))
    if plan.source.kind == "simulator" and not poses_of(store) and not own:
        return Added(store_name(store.address), store, split_store(store).reduced, balanced=True)
    if [plan.source.hash, plan.settings.get("reduced_set")] != [data.hash, split.hash]:
        advice = "augment with the same store, --alpha, --seed and --contiguous as this training"
        raise UsageError(
            sentence(
                "generated samples made from this reduced set, or other simulated ones",
                "another origin",
                store.address,
                advice,
            )
        )
    return Added(store_name(store.address), store, store.kept, judge=plan.settings.get("judge", {}))


def refuse_judge(added: Added, system: System, seed: int, begin: TrainedRun | None) -> None:
    """Images do not teach the network that chose them, nor one that has weights in common with it."""
    expected = "an estimator other than the judge of the images"
    if added.judge.get("settings_hash") == loop.settings_hash(system, seed):
        found, advice = "the very network that chose them", "judge by one of another --weights-seed or settings"
        raise UsageError(sentence(expected, found, f"--add {added.name}", advice))
    if begin is not None and lineage(begin.folder) & {added.judge.get("weights"), *added.judge.get("starts", [])}:
        advice = "start from another run, or judge by one that has nothing in common with it"
        raise UsageError(sentence(expected, "one that begins with its weights", f"--start {begin.name}", advice))


@dataclass(frozen=True)
class TrainedRun:
    """A run whose weights may be used where a reduced set alone must have been seen."""

    name: str
    folder: Path
    checkpoint: Path
    weights: str

    @property
    def ref(self) -> RunRef:
        """How ``run.json`` speaks of it."""
        return RunRef(name=self.name, weights=self.weights)


def trained_run(space: Workspace, data: Store, name: str, system: str, split: Split) -> TrainedRun:
    """A run to begin with, to be guided by, to read depth from or to augment with.

    Raises:
        UsageError: it is not of that system, has no checkpoint, it or a run that it used read more of this store than
            its reduced set (another store in the same poses counts), or one that it used has other weights now.
        MissingError: a run that it used is gone.
    """
    folder = space.run(name)
    info = read_run(folder)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if info.system != system or checkpoint is None:
        found = "one without checkpoints" if checkpoint is None else f"one of {info.system}"
        raise UsageError(sentence(f"a trained run of {system}", found, folder, "train it first"))
    for _, seen in with_used(folder):
        if _saw_more(seen, data, split):
            advice = "use a run with the same --alpha, --seed and --contiguous, or on another store"
            raise UsageError(
                sentence("a run that saw this reduced set alone", f"{seen.name}, which saw more", folder, advice)
            )
    return TrainedRun(folder.name, folder, checkpoint, load_checkpoint(checkpoint)[0].weights)


def _saw_more(seen: RunInfo, data: Store, split: Split) -> bool:
    """Whether a run read a store's images or others in its poses, but for those of the reduced set."""
    stores = [seen.store, seen.added] if seen.added is not None else [seen.store]
    if (seen.store.hash, seen.reduced_set) == (data.hash, split.hash):
        stores.remove(seen.store)
    here = {data.hash, poses_of(data)} - {""}
    return any(here & {store.hash, store.poses_of} for store in stores)
