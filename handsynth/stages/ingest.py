"""Turn a dataset's raw folder into a store: check its labels, crop every hand, write shards in parallel.

Reads a raw folder through its format, writes ``stores/NAME``. Tasks carry a shard number and paths; a worker reads
its rows from the cached catalogue, decodes and crops its images, and writes its own shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.doctor.examine import examine_source
from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue, read_catalogue
from handsynth.formats.format import FILE_COLUMNS, Format
from handsynth.imaging import codecs
from handsynth.runtime import progress
from handsynth.runtime.cluster import default_workers, run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import Settings, override
from handsynth.stages.crops import PALM_FORMULA, crops
from handsynth.stages.forecast import forecast
from handsynth.stages.workspace import Workspace
from handsynth.store.findings import refusals, tell
from handsynth.store.read import open_store
from handsynth.store.schema import Codec, PixelField, Source, StorePlan
from handsynth.store.write import Item, discard, finish, write_shard, writing


@dataclass(frozen=True)
class _Task:
    root: Path
    options: Settings
    catalogue: Path | None
    address: str
    plan: StorePlan
    shard: int
    images: int
    """What each worker is about to decode in all, JPEG left out; as far as is known."""


def ingest(
    name: str,
    root: str | Path | None = None,
    store: str | None = None,
    *,
    size: int = 256,
    margin: float = 0.25,
    root_joint: str = "wrist",
    side: str | None = None,
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
        root_joint: ``wrist``, or ``palm``: joint 0 is then the palm centre, as labelled or else derived
            (:data:`PALM_FORMULA`, recorded in the plan).
        side: ``left`` or ``right``: hands of the other side are mirrored, pixels, joints and camera together; hands of
            unknown side stay as they are.
        codec: ``raw`` (read at memory speed) or ``zstd``.
        limit: take the first N samples of the catalogue only.
        settings: ``key=value`` texts over the format's options.
        shard_size: slots per shard.
        accept: take a source whose checks fail.
        dry_run: check the source, say what would be read and written and how long it takes, write nothing.

    Raises:
        UsageError: a wrong name or setting.
        MissingError: the raw folder or an annotation file is not there.
        DataError: annotations are damaged or do not agree with themselves, or no sample could be taken.
        StoreError: the place holds something else, or somebody writes it.
        SpaceError: the disk is full; what was finished stays for the next run.
    """
    format = get_format(name)
    _check_arguments(size, margin, root_joint, side, codec, limit, shard_size, workers)
    options = override(format.options_type(), settings)
    space = Workspace.of(workspace)
    folder, address = space.data(name, root), space.new_store(store or name)
    catalogue = open_catalogue(format, folder, options)
    table = catalogue.table[:limit]
    if not len(table):
        raise DataError(sentence("at least one sample", "none", folder, "check that the download is complete"))
    shards = -(-len(table) // shard_size)
    count = min(workers or default_workers(), shards)
    pictures = _pictures(table)
    codecs.expect(pictures // count)  # here too: the checks look at images, and workers find it compiled
    _check_source(table, format, folder, accept)
    plan = StorePlan(
        source=Source(kind="dataset", name=name, hash=catalogue.hash),
        settings={
            "options": msgspec.to_builtins(options),
            "margin": margin,
            "root_joint": root_joint,
            "limit": limit,
            "cropped": format.cropped,
            # Only where chosen, so that older stores keep their hash.
            **({"palm": PALM_FORMULA} if root_joint == "palm" else {}),
            **({"side": side} if side else {}),
        },
        slots=len(table),
        size=size,
        shard_size=shard_size,
        codec=msgspec.convert(codec, Codec),
        pixels=_pixel_fields(table),
        independent_2d=format.independent_2d,
    )
    if dry_run:
        take = partial(crops, format, folder, plan.settings, plan.size)
        for text in forecast(table, folder, plan, address, count, take):
            progress.say(text)
        return address
    with writing(address, plan, overwrite=overwrite) as todo:
        left = sum(len(plan.slot_range(shard)) for shard in todo)
        images = min(left, pictures) // count
        tasks = [_Task(folder, options, catalogue.file, address, plan, shard, images) for shard in todo]
        with progress.task(f"ingesting {name}", plan.slots) as advance:
            advance(plan.slots - left)
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


def _ingest_shard(task: _Task) -> ShardRecord:
    codecs.expect(task.images)
    with codecs.sharing():
        return write_shard(task.address, task.plan, task.shard, _items(task))


def _items(task: _Task) -> Iterator[Item]:
    plan, slots = task.plan, task.plan.slot_range(task.shard)
    format = get_format(plan.source.name)
    table = _rows(plan.source.name, task.root, task.options, plan.source.hash, task.catalogue)
    rows = table.slice(slots.start, len(slots)).to_pylist()
    for slot, sample in zip(slots, crops(format, task.root, plan.settings, plan.size, rows), strict=True):
        yield slot, sample, None


@lru_cache(maxsize=1)
def _rows(name: str, root: Path, options: Settings, source_hash: str, cached: Path | None) -> pa.Table:
    """The catalogue, opened once per worker: from the cache, or parsed again where a worker cannot see it."""
    found = read_catalogue(cached) if cached else None
    if found is None or found.hash != source_hash:
        found = open_catalogue(get_format(name), root, options)
    return found.table


def _pictures(table: pa.Table) -> int:
    """Samples that have an image other than JPEG, for which :func:`codecs.expect` has no fast way."""
    columns = [table.column(name) for name in FILE_COLUMNS]
    return max(pc.sum(pc.invert(pc.ends_with(column, ".jpg"))).as_py() or 0 for column in columns)


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
    findings = examine_source(
        table,
        partial(format.load, root),
        name=format.name,
        independent_2d=format.independent_2d,
        cropped=format.cropped,
    ).findings
    tell(findings, progress.say)
    refusal = refusals(findings)
    if refusal and not accept:
        raise DataError(
            sentence(
                "labels that agree with themselves", refusal, root, "check the copy, or --accept to take it as it is"
            )
        )


def _check_arguments(
    size: int,
    margin: float,
    root_joint: str,
    side: str | None,
    codec: str,
    limit: int | None,
    shard_size: int,
    workers: int | None,
) -> None:
    wrong = [
        ("a size of 8 to 4096 px", size, "--size", not 8 <= size <= 4096),
        ("a margin of 0 to 4", margin, "--margin", not 0 <= margin <= 4),
        ("wrist or palm", root_joint, "--root", root_joint not in ("wrist", "palm")),
        ("left or right", side, "--side", side not in (None, "left", "right")),
        ("raw or zstd", codec, "--codec", codec not in ("raw", "zstd")),
        ("a limit of at least 1", limit, "--limit", limit is not None and limit < 1),
        ("at least 1 worker", workers, "--workers", workers is not None and workers < 1),
        ("a shard size of at least 1", shard_size, "shard_size", shard_size < 1),
    ]
    for expected, found, where, is_wrong in wrong:
        if is_wrong:
            raise UsageError(sentence(expected, repr(found), where))


def _tell(address: str, filled: int, rejected: int, worked: bool) -> None:
    if not worked:
        progress.say(f"{address} is finished already: {filled} samples, {rejected} rejected")
    elif rejected:
        first = open_store(address).rejects()["reason"][0].as_py()
        progress.say(f"{filled} samples in {address}, {rejected} rejected; the first because: {first}")
    else:
        progress.say(f"{filled} samples in {address}")
