"""The simulator as an arm of a comparison: held-out poses rendered instead of generated.

The simulator's hand is fitted to the held-out joints, one hand for each of them, and rendered before their cameras.
Nothing is trained and no picture of the store is read. Labels are the fitted hand's own joints, exact for the image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.sample import HandSample
from handsynth.reports.contact_sheet import sample_sheet
from handsynth.reports.page import Figure, Section
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import override
from handsynth.simulator import SIMULATOR_VERSION, SimulatorSettings
from handsynth.stages.origins import origin_words
from handsynth.stages.rerender import Residuals, StoredPoses, rendered
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store, open_store
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import Item, Reject, finish, write_shard, writing
from handsynth.training.splits import Split

SIMULATOR = "simulator"
"""Its name among the generators; it is no trainable system."""

_SHARD = 16
_SHOWN = 8


@dataclass(frozen=True)
class _Task:
    address: str
    plan: StorePlan
    settings: SimulatorSettings
    poses: StoredPoses
    seed: int
    shard: int


def refuse_training(**given: object) -> None:
    """The simulator learns nothing: options of a training, or of a choice among its images, have no meaning here.

    Raises:
        UsageError: any of them is given: neither None nor False.
    """
    there = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False)]
    if there:
        wanted, advice = f"a generator that is trained beside {', '.join(there)}", "leave them out"
        raise UsageError(sentence(wanted, "the simulator", "--generator", advice))


def render_held_out(
    space: Workspace,
    data: Store,
    split: Split,
    targets: np.ndarray,
    *,
    alpha: float,
    contiguous: bool = False,
    seed: int = 0,
    settings: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> str:
    """Render these held-out slots of a store as the augmented store ``NAME-ALPHA-simulator``; returns its address.

    What cannot be fitted (too few labelled joints, no camera, side unknown) is rejected with the reason.

    Args:
        targets: slots whose joints and cameras are read.
        settings: ``key=value`` texts over the simulator's settings: ``looks.skin=...``.

    Raises:
        UsageError: wrong settings, or a camera or size other than the store's.
        StoreError: a store of that name was made with other settings.
    """
    size = data.info.plan.size
    chosen = override(SimulatorSettings(size=size, seed=seed), settings)
    if chosen.camera != "crop" or chosen.size != size:
        found = f"camera {chosen.camera} and size {chosen.size}"
        raise UsageError(sentence(f"the cameras of {store_name(data.address)}, of {size} px", found, "--set"))
    address = space.new_store(rendered_name(store_name(data.address), alpha, contiguous, seed))
    if dry_run:
        progress.say(f"would render {len(targets)} images in {address}")
        return address
    plan = StorePlan(
        source=Source(kind="generator", name=SIMULATOR, hash=data.hash),
        settings={
            "store": store_name(data.address),
            **origin_words(data),
            "alpha": alpha,
            "contiguous": contiguous,
            "seed": seed,
            "reduced_set": split.hash,
            "targets": len(targets),
            "simulator": msgspec.to_builtins(chosen),
            "version": SIMULATOR_VERSION,
        },
        slots=len(targets),
        size=size,
        shard_size=_SHARD,
        pixels=("rgb",),
        provenance=True,
    )
    poses = StoredPoses(data.address, data.hash, tuple(targets.tolist()), size, "frame")
    with writing(address, plan, overwrite=overwrite) as todo:
        tasks = [_Task(address, plan, chosen, poses.part(plan.slot_range(shard)), seed, shard) for shard in todo]
        with progress.task("rendering held-out poses", plan.slots) as advance:
            advance(plan.slots - sum(len(plan.slot_range(shard)) for shard in todo))
            for record in run_tasks(_make_shard, tasks, workers=workers, scheduler=scheduler):
                advance(record.filled + record.rejected)
        finish(address, plan)
    progress.say(fit_summary(open_store(address)))
    return address


def rendered_name(store: str, alpha: float, contiguous: bool, seed: int) -> str:
    """Name of the augmented store that :func:`render_held_out` makes; ``store`` is a name."""
    words = [store, f"{alpha:g}", SIMULATOR, *(["contiguous"] if contiguous else [])]
    return "-".join([*words, *([f"seed{seed}"] if seed else [])])


def fit_summary(store: Store) -> str:
    """How far the rendered hands' joints lie from the held-out ones, in one sentence."""
    residuals = Residuals()
    residuals.add_store(store)
    return residuals.summary()


def rendered_section(space: Workspace, store: Store) -> Section:
    """What a report says of such a store: what it is, how well the poses were met, and some of its hands."""
    settings = store.info.plan.settings
    intro = (
        f"{len(store):,} images by the simulator in poses held out from the reduced set of "
        f"{100 * settings['alpha']:g} %: {fit_summary(store)}."
    )
    notes = []
    if settings["store"] in space.store_names() and _is_simulated(space.store(settings["store"])):
        notes.append(
            f"{settings['store']} is simulated itself, so this arm is its own renderer: an upper bound of what any "
            "generator can reach, not a competitor."
        )
    shown = store.slots[np.unique(np.linspace(0, len(store) - 1, _SHOWN).round().astype(int))] if len(store) else []
    sheet = sample_sheet(list(store.samples(shown)), columns=4)
    caption = "Rendered hands with the joints of the fitted hand, which are their labels."
    figures = [Figure(sheet, caption)] if len(shown) else []
    return Section(f"Rendered: {store_name(store.address)}", intro, figures=figures, notes=notes)


def _is_simulated(store: Store) -> bool:
    return store.info.plan.source.kind == "simulator"


def _make_shard(task: _Task) -> ShardRecord:
    return write_shard(task.address, task.plan, task.shard, _items(task))


def _items(task: _Task) -> Iterator[Item]:
    slots = task.plan.slot_range(task.shard)
    for slot, target, item in zip(slots, task.poses.slots, rendered(task.poses, task.settings), strict=True):
        if isinstance(item, Reject):
            yield slot, item, None
        else:
            yield slot, _renamed(item), _provenance(task, item.key, target)


def _renamed(sample: HandSample) -> HandSample:
    return replace(sample, key=f"{sample.key}@{SIMULATOR}")


def _provenance(task: _Task, key: str, target: int) -> dict[str, Any]:
    """Of whose look there is none: no source key, no slot, no distance, no checkpoint."""
    return {
        "source_key": None,
        "target_key": key,
        "source_slot": None,
        "target_slot": target,
        "pose_distance": None,
        "generator": SIMULATOR,
        "checkpoint": None,
        "seed": task.seed,
        "kept": True,
        "reason": "",
    }
