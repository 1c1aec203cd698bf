"""The poses of a store, to be rendered anew: fits the simulator's hand to them, reads joints and cameras, no pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from handsynth.errors import DataError, UsageError, sentence
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.seeds import entropy
from handsynth.simulator import SimulatorSettings
from handsynth.simulator.fit import FEWEST_JOINTS, fit_person, fit_poses
from handsynth.simulator.fitted import FittedPerson, FittedSide, fitted_joints_mm
from handsynth.simulator.rerender import fitted_scene, render_fitted
from handsynth.simulator.scene import Scene
from handsynth.simulator.sight import Device
from handsynth.stages.origins import origin_words
from handsynth.store.read import Store, open_store
from handsynth.store.write import Reject

PersonOf = Literal["subject", "frame"]
"""Whose hand is fitted: one for all frames of a subject, or another one for each frame."""

TARGET = "target_mm"
"""Name under which samples keep the joints that their hand was fitted to."""

_Owner = tuple[str, FittedSide]
_NEAREST_MM = 50.0  # a joint nearer to the camera, or behind it, cannot be rendered


@dataclass(frozen=True)
class StoredPoses:
    """Samples of a store whose poses are to be rendered.

    Attributes:
        address: of the store.
        hash: of the store.
        slots: places of the samples in it.
        first: number of the first of them among all that are rendered.
        size: side of its images, px.
        person: whose hand is fitted.
        people: hands that were fitted already, by subject and side.
        origin: where the poses of the store came from, if not from itself; see ``origins.py``.
    """

    address: str
    hash: str
    slots: tuple[int, ...]
    size: int
    person: PersonOf
    first: int = 0
    people: tuple[tuple[_Owner, FittedPerson], ...] = ()
    origin: tuple[tuple[str, str], ...] = ()

    def part(self, places: range) -> StoredPoses:
        """Those at some places of ``slots``."""
        return replace(self, slots=self.slots[places.start : places.stop], first=self.first + places.start)

    def described(self) -> dict[str, Any]:
        """What fixes the poses, for the plan of the store that is made of them."""
        return {"store": self.hash, "count": len(self.slots), "person": self.person, **dict(self.origin)}


def stored_poses(store: Store, person: str, count: int | None) -> StoredPoses:
    """The first ``count`` kept samples of a store; None is all.

    Raises:
        UsageError: no such choice of persons.
        DataError: the store has no samples.
    """
    if person not in ("subject", "frame"):
        raise UsageError(sentence("subject or frame", repr(person), "--person"))
    slots = tuple(int(slot) for slot in store.kept[:count])
    if not slots:
        raise DataError(sentence("samples to render anew", "none", store.address))
    whose: PersonOf = "subject" if person == "subject" else "frame"
    origin = tuple(origin_words(store).items())
    return StoredPoses(store.address, store.hash, slots, store.info.plan.size, whose, origin=origin)


def with_people(poses: StoredPoses, workers: int | None, scheduler: str | None) -> StoredPoses:
    """The same with the hands of all subjects fitted, each to all frames of it that are wanted."""
    if poses.person == "frame":
        return poses
    owners: dict[_Owner, list[int]] = {}
    nobodies = 0
    for slot, sample in zip(poses.slots, _samples(poses, poses.slots), strict=True):
        owner = _owner(sample)
        if owner is None:
            nobodies += 1
        elif _refusal(sample) is None:
            owners.setdefault(owner, []).append(slot)
    if nobodies:
        progress.say(f"{nobodies} samples name no subject; a hand is fitted to each of them by itself")
    tasks = [(poses, tuple(slots)) for slots in owners.values()]
    with progress.task("fitting hands", len(tasks)) as advance:
        people = []
        for person in run_tasks(_fit, tasks, workers=workers, scheduler=scheduler, in_order=True):
            people.append(person)
            advance()
    return replace(poses, people=tuple(zip(owners, people, strict=True)))


def rendered(poses: StoredPoses, settings: SimulatorSettings, device: Device = "cpu") -> Iterator[HandSample | Reject]:
    """The samples rendered anew, in order; what cannot be fitted says why. A GPU traces the hands of many together.

    Raises:
        UsageError: there is no GPU.
    """
    given = list(_samples(poses, poses.slots))
    people = dict(poses.people)
    made: dict[int, Scene | Reject] = {}
    groups: dict[_Owner | int, list[int]] = {}
    for number, sample in enumerate(given):
        refusal = _refusal(sample)
        if refusal is not None:
            made[number] = Reject(sample.key, refusal)
            continue
        owner = _owner(sample)
        groups.setdefault(owner if owner is not None and owner in people else number, []).append(number)
    for whose, numbers in groups.items():
        targets = np.stack([target_joints_mm(given[number]) for number in numbers])
        person = fit_person(targets, _side(given[numbers[0]])) if isinstance(whose, int) else people[whose]
        made.update(_scenes(settings, person, targets, [given[i] for i in numbers], numbers, poses.first))
    ordered = [made[number] for number in range(len(given))]
    samples = render_fitted(settings, [item for item in ordered if isinstance(item, Scene)], device)
    for sample, item in zip(given, ordered, strict=True):
        yield item if isinstance(item, Reject) else _named(next(samples), sample)


def target_joints_mm(sample: HandSample) -> np.ndarray:
    """(21, 3) float64 the labelled joints of a sample; NaN for the others, derived ones too."""
    joints = np.full((21, 3), np.nan)
    if sample.joints_mm is not None:
        labelled = sample.joint_state == LABELLED
        joints[labelled] = sample.joints_mm[labelled]
    return joints


class Residuals:
    """How far fitted joints lie from those they were fitted to, gathered from rendered samples."""

    def __init__(self) -> None:
        self._distances_mm: list[np.ndarray] = []
        self._samples = 0
        self._refused = 0

    def watch(self, items: Iterable[HandSample | Reject]) -> Iterator[HandSample]:
        """Pass the samples on; count what could not be fitted."""
        for item in items:
            if isinstance(item, Reject):
                self._refused += 1
            else:
                self.add(item)
                yield item

    def add(self, sample: HandSample) -> None:
        """Count a sample that is in a store already."""
        assert sample.joints_mm is not None
        apart = np.linalg.norm(sample.joints_mm - sample.extra[TARGET], axis=-1)
        self._distances_mm.append(apart[np.isfinite(apart)])
        self._samples += 1

    def add_store(self, store: Store) -> None:
        """Count all samples and rejects of a finished store."""
        for sample in store.samples(pixels=False):
            self.add(sample)
        self._refused += store.info.rejected

    def summary(self) -> str:
        """One sentence: mean, median and largest distance in mm, and how many were left out."""
        total = self._samples + self._refused
        left = f"{self._refused} of {total} samples could not be fitted"
        if not self._distances_mm:
            return left
        apart = np.concatenate(self._distances_mm)
        return (
            f"fitted joints lie {apart.mean():.2f} mm from the given ones in the mean, {np.median(apart):.2f} in the "
            f"median, {apart.max():.1f} at most; {left}"
        )


def _samples(poses: StoredPoses, slots: Sequence[int]) -> Iterator[HandSample]:
    return _opened(poses.address, poses.hash).samples(slots, pixels=False)


@lru_cache(maxsize=1)
def _opened(address: str, hash: str) -> Store:
    """The store, whose numbers are read once by each process; ``hash`` tells it from what stood there before."""
    return open_store(address)


def _side(sample: HandSample) -> FittedSide:
    return "left" if sample.side == "left" else "right"


def _owner(sample: HandSample) -> _Owner | None:
    """Whose hand it is; None where nobody says, and each frame is fitted by itself."""
    return None if sample.subject is None else (sample.subject, _side(sample))


def _refusal(sample: HandSample) -> str | None:
    """Why a sample cannot be fitted, if so."""
    known = int(np.isfinite(target_joints_mm(sample)).all(-1).sum())
    if known < FEWEST_JOINTS:
        return sentence(
            f"at least {FEWEST_JOINTS} labelled joints to fit a hand to", str(known), f"sample {sample.key}"
        )
    if sample.camera is None:
        return sentence("a camera to render for", "none", f"sample {sample.key}")
    if sample.side == "unknown":
        return sentence("a left or right hand", "side unknown", f"sample {sample.key}")
    return None


def _fit(task: tuple[StoredPoses, tuple[int, ...]]) -> FittedPerson:
    poses, slots = task
    samples = list(_samples(poses, slots))
    return fit_person(np.stack([target_joints_mm(sample) for sample in samples]), _side(samples[0]))


def _scenes(
    settings: SimulatorSettings,
    person: FittedPerson,
    targets: np.ndarray,
    given: Sequence[HandSample],
    numbers: Sequence[int],
    first: int,
) -> Iterator[tuple[int, Scene | Reject]]:
    """Number and what is to be rendered of each sample of one person."""
    poses = fit_poses(person, targets)
    nearest = fitted_joints_mm(person, poses)[..., 2].min(-1)
    for row, (number, sample) in enumerate(zip(numbers, given, strict=True)):
        if not nearest[row] >= _NEAREST_MM:
            found = "none" if np.isnan(nearest[row]) else f"one {nearest[row]:.0f} mm before it"
            yield number, Reject(sample.key, sentence("a hand before the camera", found, f"sample {sample.key}"))
            continue
        assert sample.camera is not None
        subject = entropy(0, "subject", sample.subject or sample.key) % 2**31
        yield number, fitted_scene(settings, person, poses, row, sample.camera, first + number, subject)


def _named(made: HandSample, given: HandSample) -> HandSample:
    """The rendered sample with the words of the one whose pose it shows."""
    words = ("key", "subject", "sequence", "frame", "view", "moment", "split", "mirrored", "world_from_camera")
    target = target_joints_mm(given).astype(np.float32)
    return replace(made, **{word: getattr(given, word) for word in words}, extra={TARGET: target})
