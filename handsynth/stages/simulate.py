"""Render hands: into a store, or as raw files in the layout of a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from handsynth.errors import StoreError, UsageError, sentence
from handsynth.formats import get_format
from handsynth.hand.sample import HandSample
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import canonical_json, override
from handsynth.simulator import SIMULATOR_VERSION, SimulatorSettings, samples_per_index
from handsynth.simulator import simulate as simulate_hands
from handsynth.stages.export import write_raw
from handsynth.stages.workspace import Workspace
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import finish, write_shard, writing

_SHARD = 16
"""Rendering is slow, so shards are small: a worker is never far ahead of the others at the end."""

CAMERAS = {
    "coco": "crop",
    "dexycb": "stb_sk",
    "fpha": "stb_sk",
    "freihand": "crop",
    "ganerated": "crop",
    "ge_realworld": "crop",
    "ge_synthetic": "crop",
    "hanco": "crop",
    "handpose_x_plus": "stb_sk",
    "ho3d": "stb_sk",
    "icvl": "msra15",
    "interhand26m": "rhd",
    "mhp": "stb_sk",
    "msra15": "msra15",
    "nyu": "stb_sk",
    "panoptic": "stb_sk",
    "parquet": "crop",
    "rgbd_folder": "stb_sk",
    "rhd": "rhd",
    "stb": "stb_sk",
    "webdataset": "crop",
}
"""Simulated camera that stands in for each dataset's own."""


@dataclass(frozen=True)
class _Task:
    address: str
    plan: StorePlan
    settings: SimulatorSettings
    shard: int


def simulate(
    count: int = 100,
    as_: str | None = None,
    out: str | None = None,
    size: int = 256,
    seed: int = 0,
    settings: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> str:
    """Render ``count`` images with exact joints, depth and masks.

    Args:
        as_: format whose layout to write, instead of a store.
        out: store or folder to write; by default ``stores/sim``, or ``data/FORMAT``.
        size: side of a store's images in px; raw files have their publisher's size.
        settings: ``key=value`` texts over the simulator's settings.

    Returns:
        Address of the store, or the folder of raw files.

    Raises:
        UsageError: wrong values, or a format that cannot be simulated.
        StoreError: the place is taken.
    """
    space = Workspace.of(workspace)
    if count < 1:
        raise UsageError(sentence("at least 1 image", str(count), "--count"))
    if as_ is not None:
        return _simulate_files(space, as_, count, out, seed, settings, workers, scheduler, overwrite, dry_run)
    chosen = override(SimulatorSettings(camera="crop", size=size, seed=seed), settings)
    plan = StorePlan(
        source=Source(kind="simulator", name="handsynth", hash=str(SIMULATOR_VERSION)),
        settings={"simulator": msgspec.to_builtins(chosen), "count": count},
        slots=count * samples_per_index(chosen),
        size=chosen.size,
        shard_size=_SHARD * samples_per_index(chosen),
        pixels=("rgb", "depth", "mask"),
    )
    address = space.new_store(out or "sim")
    if dry_run:
        progress.say(f"would render {count} images of {chosen.size} px to {address}")
        return address
    with writing(address, plan, overwrite=overwrite) as todo:
        tasks = [_Task(address, plan, chosen, shard) for shard in todo]
        with progress.task("rendering hands", plan.slots) as advance:
            advance(plan.slots - sum(len(plan.slot_range(shard)) for shard in todo))
            for record in run_tasks(_render_shard, tasks, workers=workers, scheduler=scheduler):
                advance(record.filled)
        finish(address, plan)
    return address


def _render_shard(task: _Task) -> ShardRecord:
    slots = task.plan.slot_range(task.shard)
    each = samples_per_index(task.settings)
    samples = simulate_hands(task.settings, slots.start // each, slots.stop // each)
    return write_shard(
        task.address, task.plan, task.shard, ((slot, sample, None) for slot, sample in zip(slots, samples, strict=True))
    )


def _simulate_files(
    space: Workspace,
    name: str,
    count: int,
    out: str | None,
    seed: int,
    settings: Sequence[str],
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    dry_run: bool,
) -> str:
    get_format(name)
    if name not in CAMERAS:
        raise UsageError(sentence(f"one of the formats {', '.join(CAMERAS)}", repr(name), "--as"))
    chosen = override(SimulatorSettings(seed=seed), [f"camera={CAMERAS[name]}", *settings])
    folder = Path(out) if out else space.root / "data" / name
    made_by = {"count": count, "settings": msgspec.to_builtins(chosen), "version": SIMULATOR_VERSION}
    if _is_there(folder, made_by, overwrite):
        return str(folder)
    if dry_run:
        progress.say(f"would render {count} images as {name} to {folder}")
        return str(folder)
    ranges = [(chosen, start, min(start + 4, count)) for start in range(0, count, 4)]
    writer = get_format(name)

    def samples() -> Iterator[HandSample]:
        for part in run_tasks(_render_range, ranges, workers=workers, scheduler=scheduler, in_order=True):
            yield from part

    beside = {_RECORD: canonical_json(made_by)}
    write_raw(folder, writer, samples(), count * samples_per_index(chosen), writer.options_type(), beside)
    return str(folder)


def _render_range(task: tuple[SimulatorSettings, int, int]) -> list[HandSample]:
    return list(simulate_hands(*task))


_RECORD = "simulated.json"


def _is_there(folder: Path, made_by: dict[str, Any], overwrite: bool) -> bool:
    """Whether the folder holds these very files already.

    Raises:
        StoreError: it holds something else.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return False
    record = folder / _RECORD
    if record.is_file() and overwrite:
        shutil.rmtree(folder)
        return False
    if record.is_file() and record.read_bytes() == canonical_json(made_by):
        return True
    found = "other simulated files" if record.is_file() else "other files"
    advice = "choose another --out, or --overwrite" if record.is_file() else "choose another --out"
    raise StoreError(sentence("an empty folder or the same simulation", found, folder, advice))
