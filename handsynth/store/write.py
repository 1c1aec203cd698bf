"""Write a store shard by shard: any process may write any shard, in any order, and be killed at any moment.

The writer of a store goes::

    with writing(address, plan) as todo:
        for shard in todo:  # here or in other processes
            write_shard(address, plan, shard, items)
        finish(address, plan)

A shard counts only once its ledger record stands, written last; ``store.json`` is written last of all, so what lacks
it does not open. The next run with the same plan goes on where the last one stopped, to the same bytes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.errors import StoreError, UsageError, sentence
from handsynth.hand.rows import to_table, without_pixels
from handsynth.hand.sample import HandSample
from handsynth.runtime import files, ledger
from handsynth.runtime.settings import pretty_json
from handsynth.store import schema, shards
from handsynth.store.lock import locked
from handsynth.store.schema import ARRAYS, PixelArray, ShardSummary, StoreInfo, StorePlan


@dataclass(frozen=True)
class Reject:
    """A sample that could not be taken: its key and one sentence why. Its slot stays empty."""

    key: str
    reason: str


Item = tuple[int, HandSample | Reject, Mapping[str, Any] | None]
"""Slot, what goes there, and its values for the provenance columns (None where the plan has none)."""


@contextlib.contextmanager
def writing(address: str, plan: StorePlan, *, overwrite: bool = False, resume: bool = True) -> Iterator[list[int]]:
    """Hold the lock of a store, :func:`begin` it, and give the shards still to write.

    Where the block fails, finished shards stay for the next run; without any, the place is left empty.

    Raises:
        StoreError, SpaceError, UsageError: as :func:`handsynth.store.lock.locked` and :func:`begin`.
    """
    with locked(address):
        todo = begin(address, plan, overwrite=overwrite, resume=resume)
        try:
            yield todo
        except BaseException:
            files.sweep(address)
            if todo and not files.names(files.join(address, "ledger")):
                discard(address)
            raise


def begun_with(address: str) -> str | None:
    """Hash of the plan that a store, finished or not, was begun with; None where nothing counts yet."""
    if is_finished(address):
        return schema.read_info(address).settings_hash
    return next((record.settings_hash for record in ledger.read_records(address).values()), None)


def is_finished(address: str) -> bool:
    """Whether a store stands there, whole."""
    return files.exists(schema.store_file(address))


def begin(address: str, plan: StorePlan, *, overwrite: bool = False, resume: bool = True) -> list[int]:
    """Make the place ready and return the shards still to write; call it with the lock held.

    Args:
        overwrite: remove what is there first, if it is a store.
        resume: go on with an unfinished store of the same plan; a finished one has nothing left to do.

    Raises:
        StoreError: the place holds something else, a store of another plan, or (without ``resume``) any store.
        UsageError: the plan is not one that can be written.
    """
    _check(plan)
    _refuse_strangers(address)
    if overwrite:
        discard(address)
    elif not resume and _is_begun(address):
        raise StoreError(sentence("an empty place", "a store", address, "resume it, or --overwrite to start again"))
    if is_finished(address):
        _refuse_other_plan(address, plan)
        return []
    records = ledger.read_records(address, plan.hash)
    if not records:
        # Parts of shards of another plan may lie here without a record to tell; nothing of them counts.
        discard(address)
    files.sweep(address)
    for path, data in shards.metadata(plan).items():
        files.write(files.join(address, path), data)
    return [shard for shard in range(plan.shards) if shard not in records]


def write_shard(address: str, plan: StorePlan, shard: int, items: Iterable[Item]) -> ledger.ShardRecord:
    """Write one shard whole: its pixels, its rows, its rejects, and last its ledger record.

    Args:
        items: at most one per slot of the shard, slots ascending; slots left out stay empty. Samples have every
            pixel array of the plan at (S, S), or None, and their depth registered to colour.

    Raises:
        SpaceError: the disk is full; nothing of the shard counts.
        ValueError: an item is not of this shard, out of order, or of another size.
    """
    slots = plan.slot_range(shard)
    images = {field: _Images(ARRAYS[field], plan, len(slots)) for field in plan.pixels}
    samples: list[HandSample] = []
    values: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    last = slots.start - 1
    for slot, item, provenance in items:
        if slot not in slots or slot <= last:
            raise ValueError(f"slot {slot} after slot {last} in shard {shard} of slots {slots.start} to {slots.stop}")
        last = slot
        if isinstance(item, Reject):
            rejects.append({"slot": slot, "key": item.key, "reason": item.reason})
            continue
        held = [field for field in plan.pixels if images[field].take(slot - slots.start, item)]
        samples.append(without_pixels(item))
        values.append({**(provenance or {}), "slot": slot, "pixels": held})
    checksums = {
        ARRAYS[field].shard_path(shard): shards.put(
            files.join(address, ARRAYS[field].shard_path(shard)), images[field].encoded, plan.shard_size
        )
        for field in plan.pixels
    }
    rows = to_table(samples, schema.extra_columns(plan), values)
    refused = pa.Table.from_pylist(rejects, schema=schema.reject_schema())
    for path, table in ((schema.samples_path(shard), rows), (schema.rejects_path(shard), refused)):
        checksums[path] = "sha256:" + files.write(files.join(address, path), _parquet(table))
    record = ledger.ShardRecord(
        shard=shard, settings_hash=plan.hash, filled=len(samples), rejected=len(rejects), files=checksums
    )
    ledger.write_record(address, record)
    return record


def finish(address: str, plan: StorePlan) -> StoreInfo:
    """Declare the store finished: write ``store.json``.

    Raises:
        StoreError: a shard is missing, or was made by another plan.
    """
    records = ledger.read_records(address, plan.hash)
    missing = sorted(set(range(plan.shards)) - set(records))
    if missing:
        raise StoreError(
            sentence(f"{plan.shards} finished shards", f"{len(missing)} missing", address, "run the same again")
        )
    summaries = tuple(
        ShardSummary(filled=record.filled, rejected=record.rejected, record=ledger.record_checksum(record))
        for _, record in sorted(records.items())
    )
    info = StoreInfo(
        plan=plan,
        settings_hash=plan.hash,
        filled=sum(summary.filled for summary in summaries),
        rejected=sum(summary.rejected for summary in summaries),
        shards=summaries,
    )
    where, data = schema.store_file(address), pretty_json(info)
    if not files.exists(where) or files.read(where) != data:
        files.write(where, data)
    return info


def discard(address: str) -> None:
    """Remove a store, finished or not; ``store.json`` goes first, so that a half-removed one does not open.

    Raises:
        StoreError: the place holds something that is no part of a store.
    """
    _refuse_strangers(address)
    if files.is_local(address):
        files.local(schema.store_file(address)).unlink(missing_ok=True)
        for folder in schema.FOLDERS:
            if files.exists(files.join(address, folder)):
                shutil.rmtree(files.local(files.join(address, folder)))
        return
    import fsspec

    fs, root = fsspec.core.url_to_fs(address)
    for name in (schema.STORE_FILE, *schema.FOLDERS):
        if fs.exists(f"{root}/{name}"):
            fs.rm(f"{root}/{name}", recursive=True)


class _Images:
    """The encoded images of one array and shard, empty ones included."""

    def __init__(self, array: PixelArray, plan: StorePlan, count: int) -> None:
        self.array, self.plan = array, plan
        empty = shards.encode(np.zeros(array.image_shape(plan.size), dtype=array.dtype), plan.codec)
        self.encoded: list[bytes | memoryview] = [empty] * count

    def take(self, place: int, sample: HandSample) -> bool:
        """Put the sample's image in its place; False where it has none."""
        image = getattr(sample, self.array.sample_field)
        if image is None:
            return False
        if image.shape != self.array.image_shape(self.plan.size):
            raise ValueError(f"{self.array.field} of {sample.key} is {image.shape}, the store's side {self.plan.size}")
        if self.array.field == "depth":
            if sample.depth_camera is not None and sample.rgb is not None:
                raise ValueError(f"depth of {sample.key} is not registered to colour")
            image = schema.depth_to_stored(image)
        self.encoded[place] = shards.encode(image, self.plan.codec)
        return True


def _parquet(table: pa.Table) -> memoryview:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd")
    return memoryview(buffer.getvalue())


def _check(plan: StorePlan) -> None:
    for name in ("slots", "size", "shard_size"):
        if getattr(plan, name) < 1:
            raise UsageError(sentence(f"a {name} of at least 1", str(getattr(plan, name)), "the plan of the store"))
    if not plan.pixels:
        raise UsageError(sentence("at least one of rgb, depth, mask", "none", "the plan of the store"))


def _is_begun(address: str) -> bool:
    return any(name in (schema.STORE_FILE, *schema.FOLDERS) for name in files.names(address))


def _refuse_strangers(address: str) -> None:
    known = {schema.STORE_FILE, *schema.FOLDERS}
    strangers = [name for name in files.names(address) if name not in known and not name.startswith(".")]
    if strangers:
        raise StoreError(
            sentence("an empty place or a store", f"also {', '.join(strangers[:3])}", address, "choose another place")
        )


def _refuse_other_plan(address: str, plan: StorePlan) -> None:
    info = schema.read_info(address)
    if info.settings_hash != plan.hash:
        raise StoreError(
            sentence(
                f"a store made with the settings of this run ({plan.hash[:8]})",
                f"a finished one made with others ({info.settings_hash[:8]})",
                address,
                "choose another name, or --overwrite to replace it",
            )
        )
