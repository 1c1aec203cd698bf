"""Turn a dataset's raw folder into a store: check its labels, crop every hand, write shards in parallel.

Reads a raw folder through its format, writes ``stores/NAME``. Tasks carry a shard number and paths; a worker reads
its rows from the cached catalogue, decodes and crops its images, and writes its own shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, MissingError, UsageError, sentence
from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue, read_catalogue
from handsynth.formats.format import FILE_COLUMNS, Format
from handsynth.hand.joints import INDEX, WRIST
from handsynth.hand.pose import palm_from_wrist
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.warp import Box, crop, mask_box, square_box
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import Settings, override
from handsynth.stages.workspace import Workspace
from handsynth.store import checks
from handsynth.store.read import open_store
from handsynth.store.schema import ARRAYS, Codec, PixelField, Source, StorePlan
from handsynth.store.write import Item, Reject, discard, finish, write_shard, writing

_FARTHEST = 4.0
"""A crop wider than this many image sides belongs to a hand that is not in the image."""


@dataclass(frozen=True)
class _Task:
    root: Path
    options: Settings
    catalogue: Path | None
    address: str
    plan: StorePlan
    shard: int


def ingest(
    name: str,
    root: str | Path | None = None,
    store: str | None = None,
    *,
    size: int = 256,
    margin: float = 0.25,
    root_joint: str = "wrist",
    codec: str = "raw",
    limit: int | None = None,
    settings: Sequence[str] = (),
    shard_size: int = 256,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    accept: bool = False,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> str:
    """Make a store of a dataset and return its address; a stopped run goes on where it ended.

    A sample whose image is missing or damaged, or whose hand is not in its image, is rejected with its reason.

    Args:
        name: format, as in ``handsynth datasets``.
        root: raw folder; ``data/NAME`` by default.
        store: name or address to write; the format's name by default.
        size: side of the stored square images in px.
        margin: room around the joints as a share of their extent; publishers' own crops are only resized.
        root_joint: ``wrist``, or ``palm``: joint 0 is then the palm centre, as labelled or else derived.
        codec: ``raw`` (read at memory speed) or ``zstd``.
        limit: take the first N samples of the catalogue only.
        settings: ``key=value`` texts over the format's options.
        shard_size: slots per shard.
        accept: take a source whose checks fail.
        dry_run: check the source, say what would be written, write nothing.

    Raises:
        UsageError: a wrong name or setting.
        MissingError: the raw folder or an annotation file is not there.
        DataError: annotations are damaged or do not agree with themselves, or no sample could be taken.
        StoreError: the place holds something else, or somebody writes it.
        SpaceError: the disk is full; what was finished stays for the next run.
    """
    format = get_format(name)
    _check_arguments(size, margin, root_joint, codec, limit, shard_size, workers)
    options = override(format.options_type(), settings)
    space = Workspace.of(workspace)
    folder, address = space.data(name, root), space.new_store(store or name)
    catalogue = open_catalogue(format, folder, options)
    table = catalogue.table[:limit]
    if not len(table):
        raise DataError(sentence("at least one sample", "none", folder, "check that the download is complete"))
    _check_source(table, format, folder, accept)
    plan = StorePlan(
        source=Source(kind="dataset", name=name, hash=catalogue.hash),
        settings={
            "options": msgspec.to_builtins(options),
            "margin": margin,
            "root_joint": root_joint,
            "limit": limit,
            "cropped": format.cropped,
        },
        slots=len(table),
        size=size,
        shard_size=shard_size,
        codec=msgspec.convert(codec, Codec),
        pixels=_pixel_fields(table),
        independent_2d=format.independent_2d,
    )
    if dry_run:
        raw = plan.slots * sum(ARRAYS[field].image_bytes(size) for field in plan.pixels)
        progress.say(
            f"would write {plan.slots} samples of {size} px to {address}: {', '.join(plan.pixels)}, "
            f"{raw / 1e9:.2f} GB uncompressed"
        )
        return address
    with writing(address, plan, overwrite=overwrite) as todo:
        tasks = [_Task(folder, options, catalogue.file, address, plan, shard) for shard in todo]
        with progress.task(f"ingesting {name}", plan.slots) as advance:
            advance(plan.slots - sum(len(plan.slot_range(shard)) for shard in todo))
            for record in run_tasks(_ingest_shard, tasks, workers=workers, scheduler=scheduler):
                advance(len(plan.slot_range(record.shard)))
        info = finish(address, plan)
        if not info.filled:
            reason = open_store(address).rejects()["reason"][0].as_py()
            discard(address)
            raise DataError(
                sentence("at least one sample that can be read", f"{info.rejected} that cannot ({reason})", folder)
            )
    _tell(address, info.filled, info.rejected, bool(todo))
    return address


def square(sample: HandSample, size: int, margin: float, cropped: bool) -> HandSample | Reject:
    """A sample as the store takes it: (size, size) around the hand, camera and points along.

    ``cropped`` images are the publisher's own: they are only padded to a square and resized.
    """
    height, width = sample.size
    if cropped:
        side = max(height, width)
        return crop(sample, Box((width - side) // 2, (height - side) // 2, side), size)
    box = _window(sample, margin)
    if box is None and sample.mask is not None and sample.mask.any():
        box = mask_box(sample.mask, margin)
    if box is None:
        return Reject(sample.key, sentence("joints or a mask to crop around", "neither", sample.key))
    overlaps = -box.side < box.x < width and -box.side < box.y < height
    if not overlaps or box.side > _FARTHEST * max(height, width):
        found = f"a box of {box.side} px at {box.x}, {box.y}"
        return Reject(sample.key, sentence(f"a hand in the {width} x {height} image", found, sample.key))
    return crop(sample, box, size)


def palm_rooted(sample: HandSample) -> HandSample:
    """The sample with the palm centre as joint 0: the source's own where it has one, else derived from the wrist.

    The wrist goes to ``extra["wrist_mm"]`` and ``extra["wrist_px"]``.
    """
    changes: dict[str, Any] = {}
    extra = dict(sample.extra)
    for points, states, unit in (("joints_mm", "joint_state", "mm"), ("keypoints_px", "keypoint_state", "px")):
        values = getattr(sample, points)
        if values is None:
            continue
        palm, state = extra.get(f"palm_{unit}"), LABELLED
        if palm is None and unit == "px" and "palm_mm" in extra and sample.camera is not None:
            palm, state = sample.camera.project(extra["palm_mm"]), DERIVED
        if palm is None:
            palm, state = palm_from_wrist(values[WRIST], values[INDEX["ring_mcp"]]), DERIVED
        moved, moved_states = values.copy(), getattr(sample, states).copy()
        moved[WRIST] = np.reshape(palm, (-1, values.shape[1]))[0]
        moved_states[WRIST] = state if np.isfinite(moved[WRIST]).all() else ABSENT
        changes |= {points: moved, states: moved_states}
        extra[f"wrist_{unit}"] = values[WRIST : WRIST + 1]
    return replace(sample, **changes, extra=extra)


def _ingest_shard(task: _Task) -> ShardRecord:
    return write_shard(task.address, task.plan, task.shard, _items(task))


def _items(task: _Task) -> Iterator[Item]:
    plan, slots = task.plan, task.plan.slot_range(task.shard)
    format = get_format(plan.source.name)
    table = _rows(plan.source.name, task.root, task.options, plan.source.hash, task.catalogue)
    rows = table.slice(slots.start, len(slots)).to_pylist()
    for slot, row in zip(slots, rows, strict=True):
        try:
            window = None if plan.settings["cropped"] else _window(from_row(row), plan.settings["margin"])
            loaded = format.load(task.root, row, window)
            sample = square(loaded, plan.size, plan.settings["margin"], plan.settings["cropped"])
        except (MissingError, DataError) as error:
            sample = Reject(row["key"], _without_root(str(error), task.root))
        if isinstance(sample, HandSample) and plan.settings["root_joint"] == "palm":
            sample = palm_rooted(sample)
        yield slot, sample, None


@lru_cache(maxsize=1)
def _rows(name: str, root: Path, options: Settings, source_hash: str, cached: Path | None) -> pa.Table:
    """The catalogue, opened once per worker: from the cache, or parsed again where a worker cannot see it."""
    found = read_catalogue(cached) if cached else None
    if found is None or found.hash != source_hash:
        found = open_catalogue(get_format(name), root, options)
    return found.table


def _pixel_fields(table: pa.Table) -> tuple[PixelField, ...]:
    """Arrays that the catalogue has files for; depth in a camera of its own has no place beside cropped colour."""
    known = {column: table.column(column).null_count < len(table) for column in FILE_COLUMNS}
    own_camera = table.column("depth_camera").null_count < len(table)
    if known["depth_file"] and known["rgb_file"] and own_camera:
        progress.say("depth is not registered to colour and is left out")
        known["depth_file"] = False
    fields: list[PixelField] = ["rgb", "depth", "mask"]
    return tuple(field for field in fields if known[f"{field}_file"])


def _check_source(table: pa.Table, format: Format, root: Path, accept: bool) -> None:
    findings = checks.check_samples(table, independent_2d=format.independent_2d)
    checks.tell(findings, progress.say)
    refusal = checks.refusals(findings)
    if refusal and not accept:
        raise DataError(
            sentence(
                "labels that agree with themselves", refusal, root, "check the copy, or --accept to take it as it is"
            )
        )


def _check_arguments(
    size: int, margin: float, root_joint: str, codec: str, limit: int | None, shard_size: int, workers: int | None
) -> None:
    wrong = [
        ("a size of 8 to 4096 px", size, "--size", not 8 <= size <= 4096),
        ("a margin of 0 to 4", margin, "--margin", not 0 <= margin <= 4),
        ("wrist or palm", root_joint, "--root", root_joint not in ("wrist", "palm")),
        ("raw or zstd", codec, "--codec", codec not in ("raw", "zstd")),
        ("a limit of at least 1", limit, "--limit", limit is not None and limit < 1),
        ("at least 1 worker", workers, "--workers", workers is not None and workers < 1),
        ("a shard size of at least 1", shard_size, "shard_size", shard_size < 1),
    ]
    for expected, found, where, is_wrong in wrong:
        if is_wrong:
            raise UsageError(sentence(expected, repr(found), where))


def _window(sample: HandSample, margin: float) -> Box | None:
    """The square that will be cut around a sample's known joints; needs no pixels."""
    points = _points(sample)
    return None if points is None else square_box(points, margin)


def _points(sample: HandSample) -> np.ndarray | None:
    """Known 2-D joints (M, 2), labelled or projected; None where there is none."""
    for points in (sample.keypoints_px, sample.projected()):
        if points is not None and np.isfinite(points).all(-1).any():
            return points
    return None


def _without_root(reason: str, root: Path) -> str:
    """A store holds no absolute path, so that it is the same wherever the raw files lay."""
    for prefix in (f"{root}/", f"{root.resolve()}/"):
        reason = reason.replace(prefix, "")
    return reason


def _tell(address: str, filled: int, rejected: int, worked: bool) -> None:
    if not worked:
        progress.say(f"{address} is finished already: {filled} samples, {rejected} rejected")
    elif rejected:
        first = open_store(address).rejects()["reason"][0].as_py()
        progress.say(f"{filled} samples in {address}, {rejected} rejected; the first because: {first}")
    else:
        progress.say(f"{filled} samples in {address}")
