"""Render hands, drawn or in the poses of a store: into a store, or as raw files in the layout of a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import msgspec

from handsynth.errors import StoreError, UsageError, sentence
from handsynth.formats import get_format
from handsynth.hand.sample import HandSample
from handsynth.imaging.registration import registered
from handsynth.imaging.warp import crop, square_box
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import canonical_json, override
from handsynth.simulator import SIMULATOR_VERSION, SimulatorSettings, samples_per_index
from handsynth.simulator import simulate as simulate_hands
from handsynth.simulator.presets import PRESETS, CameraName
from handsynth.simulator.recipes import get_recipe
from handsynth.simulator.sight import Device
from handsynth.stages.export import write_raw
from handsynth.stages.rerender import Residuals, StoredPoses, rendered, stored_poses, with_people
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import open_store
from handsynth.store.schema import PixelField, Source, StorePlan
from handsynth.store.write import Reject, finish, write_shard, writing

_SHARD = 16
"""Rendering is slow, so shards are small: a worker is never far ahead of the others at the end."""
_PIECE = 4  # moments that a worker renders at a time for raw files

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
class _Work:
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

    def described(self) -> dict[str, Any]:
        """What fixes every byte of the result; a GPU rounds otherwise than a CPU, and is named for it."""
        chosen = {"simulator": msgspec.to_builtins(self.settings), "count": self.count}
        traced = {} if self.device == "cpu" else {"device": self.device}
        return chosen | traced | ({"poses": self.poses.described()} if self.poses else {})

    def fitted(self, workers: int | None, scheduler: str | None) -> _Work:
        """The same, ready to be rendered piece by piece."""
        if self.poses is None:
            return self
        return replace(self, poses=with_people(self.poses, workers, scheduler))

    def part(self, moments: range) -> _Part:
        """Some of it, for a worker."""
        return _Part(self.settings, moments, None if self.poses is None else self.poses.part(moments), self.device)


@dataclass(frozen=True)
class _Part:
    """Some moments of a work, or some poses."""

    settings: SimulatorSettings
    moments: range
    poses: StoredPoses | None
    device: Device

    def render(self) -> Iterator[HandSample | Reject]:
        """Samples, in order."""
        if self.poses is None:
            return simulate_hands(self.settings, self.moments.start, self.moments.stop, self.device)
        return rendered(self.poses, self.settings)


@dataclass(frozen=True)
class _Task:
    address: str
    plan: StorePlan
    part: _Part
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
        device: what traces drawn hands: ``cpu``, ``cuda``, or ``auto``, which is a GPU where there is one. Each worker
            sends it the moments of a shard together. A store's poses are traced on the CPU.
        settings: ``key=value`` texts over the simulator's settings.

    Returns:
        Address of the store, or the folder of raw files.

    Raises:
        UsageError: wrong values, a format that cannot be simulated, a recipe of another version of the simulator, or
            ``cuda`` where there is no GPU.
        StoreError: the place is taken.
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
        work = _Work(named.settings, named.count)
    else:
        work = _work(as_, count, size, seed, source, settings)
    work = replace(work, device=_device(device, poses is not None))
    if as_ is not None:
        return _write_files(space, as_, out, work, workers, scheduler, overwrite, dry_run)
    shown = PRESETS[work.settings.camera]
    held = {"rgb": shown.color, "depth": shown.depth, "mask": shown.mask}
    fields = cast(tuple[PixelField, ...], tuple(name for name, there in held.items() if there))
    plan = StorePlan(
        source=Source(kind="simulator", name="handsynth", hash=str(SIMULATOR_VERSION)),
        settings=work.described(),
        slots=work.count * work.each,
        size=work.settings.size,
        shard_size=_SHARD * work.each,
        pixels=fields,
    )
    address = space.new_store(out or recipe or ("sim" if poses is None else f"{store_name(poses)}-sim"))
    if dry_run:
        progress.say(f"would render {work.count * work.each} images of {work.settings.size} px to {address}")
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
) -> _Work:
    """Raises UsageError where settings are wrong, or contradict the store of poses."""
    if source is None:
        camera: CameraName = "crop" if as_ is None else CAMERAS[as_]
        chosen = override(SimulatorSettings(camera=camera, size=size or 256, seed=seed), settings)
        return _Work(chosen, 100 if count is None else count)
    chosen = override(SimulatorSettings(size=source.size, seed=seed), settings)
    if chosen.camera != "crop" or size not in (None, source.size) or chosen.size != source.size:
        found = f"camera {chosen.camera} and size {size or chosen.size}"
        wanted = f"the cameras of the poses' own store, of {source.size} px"
        raise UsageError(sentence(wanted, found, "--poses", "leave camera and size out"))
    return _Work(chosen, len(source.slots), source)


def _refuse_beside_recipe(**given: object) -> None:
    there = [f"--{name.rstrip('_')}" for name, value in given.items() if value is not None]
    if there:
        raise UsageError(sentence("nothing that the recipe fixes already", ", ".join(there), "--recipe"))


def _device(name: str, stored: bool) -> Device:
    """What traces the hands, ``stored`` poses or drawn ones; raises UsageError for what is not there."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(sentence("auto, cpu or cuda", repr(name), "--device"))
    if stored and name == "cuda":
        raise UsageError(sentence("auto or cpu beside --poses", name, "--device"))
    if stored or name == "cpu":
        return "cpu"
    from handsynth.simulator import cuda  # not before it is asked for

    if name == "cuda":
        cuda.require_gpu()
    return "cuda" if cuda.is_available() else "cpu"


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


def _write_files(
    space: Workspace,
    name: str,
    out: str | None,
    work: _Work,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    dry_run: bool,
) -> str:
    folder = Path(out) if out else space.root / "data" / name
    described = work.described()
    made_by = {"settings": described.pop("simulator"), **described, "version": SIMULATOR_VERSION}
    if _is_there(folder, made_by, overwrite):
        return str(folder)
    if dry_run:
        progress.say(f"would render {work.count * work.each} images as {name} to {folder}")
        return str(folder)
    work = work.fitted(workers, scheduler)
    parts = [work.part(range(start, min(start + _PIECE, work.count))) for start in range(0, work.count, _PIECE)]
    residuals = Residuals()

    def samples() -> Iterator[HandSample]:
        for part in run_tasks(_render_part, parts, workers=workers, scheduler=scheduler, in_order=True):
            yield from residuals.watch(part) if work.poses else part

    writer = get_format(name)
    write_raw(
        folder, writer, samples(), work.count * work.each, writer.options_type(), {_RECORD: canonical_json(made_by)}
    )
    if work.poses:
        progress.say(residuals.summary())
    return str(folder)


def _render_part(part: _Part) -> list[Any]:
    return list(part.render())


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
