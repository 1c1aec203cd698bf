"""Render hands, drawn or in the poses of a store: into a store, or as raw files in the layout of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from handsynth.errors import UsageError, sentence
from handsynth.formats import get_format
from handsynth.hand.sample import HandSample
from handsynth.imaging.registration import registered
from handsynth.imaging.warp import crop, square_box
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import override
from handsynth.simulator import SIMULATOR_VERSION, SimulatorSettings
from handsynth.simulator.presets import PRESETS, CameraName
from handsynth.simulator.recipes import get_recipe
from handsynth.stages.rendering import SHARD, Part, Work, chosen_device
from handsynth.stages.rerender import Residuals, StoredPoses, stored_poses
from handsynth.stages.simulated_files import write_files
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import open_store
from handsynth.store.schema import PixelField, Source, StorePlan
from handsynth.store.write import Reject, finish, write_shard, writing

CAMERAS: dict[str, CameraName] = {
    "coco": "crop",
    "dexycb": "dexycb",
    "fpha": "fpha",
    "freihand": "freihand",
    "ganerated": "ganerated",
    "ge_realworld": "ge_realworld",
    "ge_synthetic": "ge_synthetic",
    "hanco": "hanco",
    "handpose_x_plus": "handpose_x_plus",
    "ho3d": "ho3d",
    "icvl": "icvl",
    "interhand26m": "interhand26m",
    "mhp": "mhp",
    "msra15": "msra15",
    "nyu": "nyu",
    "panoptic": "panoptic",
    "parquet": "crop",
    "rgbd_folder": "crop",
    "rhd": "rhd",
    "stb": "stb_sk",
    "webdataset": "crop",
}
"""Simulated cameras that stand in for each dataset's own."""


@dataclass(frozen=True)
class _Task:
    address: str
    plan: StorePlan
    part: Part
    shard: int


def simulate(
    count: int | None = None,
    as_: str | None = None,
    out: str | None = None,
    size: int | None = None,
    seed: int = 0,
    poses: str | None = None,
    person: str = "subject",
    recipe: str | None = None,
    device: str = "auto",
    settings: Sequence[str] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> str:
    """Render hands with exact joints, depth and masks: drawn ones, or the poses of a store.

    A run that stopped is gone on with, of a store as of raw files, to the same bytes as in one go. Until raw files are
    whole, their samples wait in ``.FOLDER.unfinished`` beside the folder, without loss: a quarter to a third of
    the bare pictures' size, about 0.6 MB for each of 640 x 480 px with depth and mask.

    Args:
        count: moments; 100 by default. Cameras with several views give several images of each. Of a store's poses, the
            first so many, by default all.
        as_: format whose layout to write, instead of a store.
        out: store or folder to write; by default ``stores/sim`` (``stores/NAME-sim`` of poses), or ``data/FORMAT``.
        size: side of a store's images in px, 256 by default; raw files have their publisher's size, poses that of
            their store.
        poses: store whose poses to render, by the hand fitted to its labelled joints, before its cameras and under its
            words. Samples keep those joints as extra ``target_mm``; what cannot be fitted is rejected.
        person: ``subject`` fits one hand to all frames of a subject, ``frame`` one to each frame.
        recipe: a benchmark by its name, ``bench-v1`` or ``bench-v1-mini``, instead of count, size, seed and settings;
            the store gets its name by default.
        device: what traces and colours the hands: ``cpu``, ``cuda``, or ``auto``, which is a GPU where there is one,
            and the CPU with a ``scheduler``, whose workers need not have what this machine has. Each worker sends a
            GPU the hands of several moments together.
        settings: ``key=value`` texts over the simulator's settings.

    Returns:
        Address of the store, or the folder of raw files.

    Raises:
        UsageError: wrong values, a format that cannot be simulated, a recipe of another version of the simulator, or
            ``cuda`` where there is no GPU.
        StoreError: the place is taken, or a run that stopped there had other settings.
        MissingError, DataError: there is no store of poses, or nothing in it.
    """
    space = Workspace.of(workspace)
    if count is not None and count < 1:
        raise UsageError(sentence("at least 1 image", str(count), "--count"))
    if as_ is not None:
        _require_format(as_)
    source = None if poses is None else stored_poses(space.store(poses), person, count)
    if recipe is not None:
        _refuse_beside_recipe(as_=as_, count=count, size=size, seed=seed or None, poses=poses, set=settings or None)
        named = get_recipe(recipe)
        work = Work(named.settings, named.count)
    else:
        work = _work(as_, count, size, seed, source, settings)
    work = replace(work, device=chosen_device(device, scheduler))
    if as_ is not None:
        folder = Path(out) if out else space.root / "data" / as_
        write_files(folder, as_, work, workers, scheduler, overwrite, dry_run)
        return str(folder)
    shown = PRESETS[work.settings.camera]
    held = {"rgb": shown.color, "depth": shown.depth, "mask": shown.mask}
    fields = cast(tuple[PixelField, ...], tuple(name for name, there in held.items() if there))
    plan = StorePlan(
        source=Source(kind="simulator", name="handsynth", hash=str(SIMULATOR_VERSION)),
        settings=work.described(),
        slots=work.samples,
        size=work.settings.size,
        shard_size=SHARD * work.each,
        pixels=fields,
    )
    address = space.new_store(out or recipe or ("sim" if poses is None else f"{store_name(poses)}-sim"))
    if dry_run:
        progress.say(f"would render {work.samples} images of {work.settings.size} px to {address}")
        return address
    with writing(address, plan, overwrite=overwrite) as todo:
        ready = work.fitted(workers, scheduler) if todo else work
        parts = {shard: plan.slot_range(shard) for shard in todo}
        tasks = [
            _Task(address, plan, ready.part(range(slots.start // work.each, slots.stop // work.each)), shard)
            for shard, slots in parts.items()
        ]
        with progress.task("rendering hands", plan.slots) as advance:
            advance(plan.slots - sum(map(len, parts.values())))
            for record in run_tasks(_render_shard, tasks, workers=workers, scheduler=scheduler):
                advance(record.filled + record.rejected)
        finish(address, plan)
    if poses is not None:
        residuals = Residuals()
        residuals.add_store(open_store(address))
        progress.say(residuals.summary())
    return address


def _work(
    as_: str | None,
    count: int | None,
    size: int | None,
    seed: int,
    source: StoredPoses | None,
    settings: Sequence[str],
) -> Work:
    """Raises UsageError where settings are wrong, or contradict the store of poses."""
    if source is None:
        camera: CameraName = "crop" if as_ is None else CAMERAS[as_]
        chosen = override(SimulatorSettings(camera=camera, size=size or 256, seed=seed), settings)
        return Work(chosen, 100 if count is None else count)
    chosen = override(SimulatorSettings(size=source.size, seed=seed), settings)
    if chosen.camera != "crop" or size not in (None, source.size) or chosen.size != source.size:
        found = f"camera {chosen.camera} and size {size or chosen.size}"
        wanted = f"the cameras of the poses' own store, of {source.size} px"
        raise UsageError(sentence(wanted, found, "--poses", "leave camera and size out"))
    return Work(chosen, len(source.slots), source)


def _refuse_beside_recipe(**given: object) -> None:
    there = [f"--{name.rstrip('_')}" for name, value in given.items() if value is not None]
    if there:
        raise UsageError(sentence("nothing that the recipe fixes already", ", ".join(there), "--recipe"))


def _render_shard(task: _Task) -> ShardRecord:
    slots, size = task.plan.slot_range(task.shard), task.plan.size
    items = ((slot, _square(item, size), None) for slot, item in zip(slots, task.part.render(), strict=True))
    return write_shard(task.address, task.plan, task.shard, items)


def _square(item: HandSample | Reject, size: int) -> HandSample | Reject:
    """A sample as a store holds it: cut around the joints where its camera's picture is another one."""
    if isinstance(item, Reject) or (item.size == (size, size) and item.depth_camera is None):
        return item
    assert item.keypoints_px is not None
    box = square_box(item.keypoints_px)
    return crop(registered(item, box), box, size)


def _require_format(name: str) -> None:
    get_format(name)
    if name not in CAMERAS:
        raise UsageError(sentence(f"one of the formats {', '.join(CAMERAS)}", repr(name), "--as"))
