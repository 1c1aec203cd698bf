"""Read a store: numbers from Parquet, pixels from memory-mapped Zarr shards.

A store needs no handsynth to be read. With zarr and pyarrow alone::

    pixels = zarr.open_group("stores/stb/pixels", mode="r")
    rgb = pixels["rgb"][slot]                      # (S, S, 3) uint8
    depth_mm = pixels["depth"][slot] / 10          # (S, S), 0 = no measurement
    rows = pyarrow.parquet.read_table("stores/stb/samples")
    joints_mm = numpy.array(rows["joints_mm"].to_pylist()).reshape(-1, 21, 3)   # of slots rows["slot"]

This module reads the same bytes about as fast as memory allows. Raw local shards are mapped once and images copied out
of the map; compressed or remote ones go through byte ranges. Nothing is open before it is used, a store pickles as its
address, and reads release the GIL while they copy, so threads, forked and spawned workers may all read.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.errors import MissingError, StoreError, sentence
from handsynth.hand import rows
from handsynth.hand.sample import HandSample
from handsynth.runtime import files
from handsynth.store import schema, shards
from handsynth.store.lock import is_locked
from handsynth.store.schema import ARRAYS, PixelArray, StoreInfo

Slots = Sequence[int] | np.ndarray
_ROWS = 64
"""Rows that become samples at once."""


def open_store(address: str) -> Store:
    """Open a finished store; reads ``store.json`` alone.

    Raises:
        MissingError: there is no store.
        StoreError: it is unfinished, being written, or of another format version; says what to do.
        DataError: ``store.json`` is damaged.
    """
    where = schema.store_file(address)
    if not files.exists(where):
        if not any(files.exists(files.join(address, folder)) for folder in schema.FOLDERS):
            raise MissingError(sentence("a store", "none", address, "make one with handsynth ingest"))
        if is_locked(address):
            raise StoreError(sentence("a finished store", "one being written", address, "wait until it is done"))
        raise StoreError(
            sentence("a finished store", "an unfinished one", address, "run the command that made it again to resume")
        )
    data = files.read(where)
    return Store(address, schema.parse_info(data, where), hashlib.sha256(data).hexdigest())


class Store:
    """A finished store, read lazily.

    Attributes:
        address: folder or fsspec address.
        info: what ``store.json`` says.
        hash: sha256 of ``store.json``, which fixes every byte of the store.
    """

    def __init__(self, address: str, info: StoreInfo, hash: str) -> None:
        self.address = str(address)
        self.info = info
        self.hash = hash
        self._columns: dict[str, np.ndarray] = {}
        self._pixels = {field: _Pixels(self.address, info, ARRAYS[field]) for field in info.plan.pixels}

    def __reduce__(self) -> tuple[Any, ...]:
        return open_store, (self.address,)

    def __len__(self) -> int:
        """Number of filled slots."""
        return self.info.filled

    def __repr__(self) -> str:
        return f"Store({self.address!r}, {len(self)} samples)"

    @cached_property
    def slots(self) -> np.ndarray:
        """(filled,) int64: the filled slots, ascending; rows of :meth:`table` are in this order."""
        return self.column("slot")

    @cached_property
    def kept(self) -> np.ndarray:
        """Filled slots without those that an augmentation marked as not kept."""
        if not self.info.plan.provenance:
            return self.slots
        return self.slots[[value is None or bool(value) for value in self.column("kept")]]

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Some columns (None: all) of all filled slots, slots ascending; reads no others.

        Raises:
            StoreError: a part is missing or damaged.
        """
        return self._parts([schema.samples_path(shard) for shard in range(self.info.plan.shards)], columns)

    def rejects(self) -> pa.Table:
        """Slot, key and reason of what could not be taken. Raises as :meth:`table`."""
        return self._parts([schema.rejects_path(shard) for shard in range(self.info.plan.shards)], None)

    def column(self, name: str, slots: Slots | None = None) -> np.ndarray:
        """One column as an array, of all filled slots or of these, in their order.

        Joints come as (n, 21, 3), keypoints as (n, 21, 2), cameras as (n, 11), words as objects; NaN where unknown.

        Raises:
            ValueError: a slot is not filled, or there is no such column.
        """
        values = self._columns.get(name)
        if values is None:
            if name not in self._column_names:
                raise ValueError(f"{name!r} is none of the columns {', '.join(sorted(self._column_names))}")
            values = self._columns[name] = _array(self.table([name]), name)
        return values if slots is None else values[self.positions(slots)]

    def positions(self, slots: Slots) -> np.ndarray:
        """Row numbers of filled slots.

        Raises:
            ValueError: a slot is not filled.
        """
        wanted = np.asarray(slots, dtype=np.int64)
        found = np.minimum(np.searchsorted(self.slots, wanted), max(len(self.slots) - 1, 0))
        if len(wanted) and (not len(self.slots) or (self.slots[found] != wanted).any()):
            raise ValueError(
                f"slots of {self.address} that are not filled: {sorted(set(wanted) - set(self.slots))[:5]}"
            )
        return found

    def rgb(self, slots: Slots, out: np.ndarray | None = None) -> np.ndarray:
        """(n, S, S, 3) uint8 images of any slots, into ``out`` where given; empty slots are black.

        Raises:
            StoreError: the store has no colour, or a shard is damaged.
        """
        return self._gather("rgb", slots, out)

    def depth_mm(self, slots: Slots) -> np.ndarray:
        """(n, S, S) float32 camera z, NaN where nothing was measured; empty slots are all NaN. Raises as rgb."""
        return schema.depth_from_stored(self._gather("depth", slots, None))

    def mask(self, slots: Slots, out: np.ndarray | None = None) -> np.ndarray:
        """(n, S, S) uint8 part codes; empty slots are all 0. Raises as rgb."""
        return self._gather("mask", slots, out)

    def has(self, field: str) -> bool:
        """Whether the store has the array ``rgb``, ``depth`` or ``mask``."""
        return field in self._pixels

    def sample(self, slot: int, pixels: bool = True) -> HandSample:
        """One sample whole, or its words and numbers alone; a pixel field that it lacks is None.

        Raises:
            ValueError: the slot is not filled.
            StoreError: a shard is damaged.
        """
        return next(self.samples([slot], pixels))

    def samples(self, slots: Slots | None = None, pixels: bool = True) -> Iterator[HandSample]:
        """Samples one by one, all filled slots by default; many cost less than as many calls of :meth:`sample`.

        Raises:
            ValueError, StoreError: as :meth:`sample`, when the samples around it are reached.
        """
        wanted = self.slots if slots is None else np.asarray(slots, dtype=np.int64)
        for start in range(0, len(wanted), _ROWS):
            part = wanted[start : start + _ROWS]
            found = self._rows.take(self.positions(part)).to_pylist()
            for slot, row in zip(part.tolist(), found, strict=True):
                sample = rows.from_row(row)
                yield replace(sample, **self._images(slot, row["pixels"])) if pixels else sample

    def _images(self, slot: int, fields: Sequence[str]) -> dict[str, Any]:
        read = {"rgb": self.rgb, "depth": self.depth_mm, "mask": self.mask}
        return {ARRAYS[field].sample_field: read[field]([slot])[0] for field in fields}

    @cached_property
    def _rows(self) -> pa.Table:
        return self.table()

    @cached_property
    def _column_names(self) -> set[str]:
        return {*rows.row_schema().names, *(name for name, _ in schema.extra_columns(self.info.plan))}

    def _parts(self, paths: Sequence[str], columns: Sequence[str] | None) -> pa.Table:
        where = self.address
        try:
            parts = []
            for path in paths:
                where = files.join(self.address, path)
                parts.append(pq.read_table(pa.BufferReader(files.read(where)), columns=columns))
            return pa.concat_tables(parts).combine_chunks()
        except (OSError, pa.ArrowException) as error:  # pyarrow raises either for damaged bytes
            raise StoreError(
                sentence("a whole Parquet part", str(error), where, "run handsynth verify, then make it again")
            ) from None

    def _gather(self, field: str, slots: Slots, out: np.ndarray | None) -> np.ndarray:
        if field not in self._pixels:
            raise StoreError(sentence(f"a store with {field}", f"only {', '.join(self._pixels)}", self.address))
        array = self._pixels[field]
        wanted = np.asarray(slots, dtype=np.int64).tolist()
        shape = (len(wanted), *array.shape)
        if out is None:
            out = np.empty(shape, dtype=array.dtype)
        elif out.shape != shape or out.dtype != array.dtype:
            raise ValueError(f"out must be {shape} {array.dtype}, not {out.shape} {out.dtype}")
        array.gather(wanted, out)
        return out


class _Pixels:
    """One pixel array: shards opened when first touched."""

    def __init__(self, address: str, info: StoreInfo, array: PixelArray) -> None:
        self.address, self.plan, self.array = address, info.plan, array
        self.shape, self.dtype = array.image_shape(info.plan.size), array.dtype
        self._maps: dict[int, Sequence[np.ndarray] | np.ndarray] = {}
        self._shards: dict[int, _Ranges] = {}

    def gather(self, slots: list[int], out: np.ndarray) -> None:
        """Copy images of any slots into ``out``."""
        count, shard_size = self.plan.slots, self.plan.shard_size
        if slots and (min(slots) < 0 or max(slots) >= count):
            raise ValueError(f"slots must be 0 to {count - 1}, not {min(slots)} to {max(slots)}")
        if self.plan.codec != "raw" or not files.is_local(self.address):
            self._gather_ranges(slots, out)
            return
        maps = self._maps
        for position, slot in enumerate(slots):
            shard, place = divmod(slot, shard_size)
            images = maps.get(shard)
            if images is None:
                images = maps[shard] = self._map(shard)
            out[position] = images[place]

    def _gather_ranges(self, slots: list[int], out: np.ndarray) -> None:
        for position, slot in enumerate(slots):
            shard, place = divmod(slot, self.plan.shard_size)
            ranges = self._shards.get(shard)
            if ranges is None:
                ranges = self._shards[shard] = _Ranges(self._where(shard), self.plan.shard_size)
            data = ranges.read(place)
            if data is None:
                out[position] = 0
            else:
                shards.decode(data, self.plan.codec, out[position])

    def _map(self, shard: int) -> Sequence[np.ndarray] | np.ndarray:
        """Images of a raw local shard as views of its memory map."""
        ranges = _Ranges(self._where(shard), self.plan.shard_size)
        count = len(self.plan.slot_range(shard))
        size = self.array.image_bytes(self.plan.size)
        if ranges.entries[:count] == [(place * size, size) for place in range(count)]:
            return np.frombuffer(ranges.body, dtype=self.dtype, count=count * size // self.dtype.itemsize).reshape(
                count, *self.shape
            )
        # Another Zarr library may have rewritten the shard in another order, leaving out empty images.
        images = [np.zeros(self.shape, dtype=self.dtype) for _ in range(count)]
        for place, image in enumerate(images):
            data = ranges.read(place)
            if data is not None:
                shards.decode(data, "raw", image)
        return images

    def _where(self, shard: int) -> str:
        return files.join(self.address, self.array.shard_path(shard))


class _Ranges:
    """A shard's index and its byte ranges: of a memory map where it is local, of requests where it is not."""

    def __init__(self, where: str, shard_size: int) -> None:
        tail = shards.index_bytes(shard_size)
        try:
            size = files.size(where)
            if files.is_local(where):
                with files.local(where).open("rb") as file:
                    self.body: Any = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            else:
                self.body = _Remote(where)
            end = bytes(self.body[max(size - tail, 0) : size])
        except FileNotFoundError:
            raise StoreError(
                sentence("a pixel shard", "none", where, "run handsynth verify, then make the store again")
            ) from None
        except ValueError:  # an empty file cannot be mapped
            end, size = b"", 0
        self.entries = shards.read_index(end, shard_size, size - tail, where)

    def read(self, place: int) -> Any:
        """Encoded bytes of one image; None where nothing was written."""
        entry = self.entries[place]
        return None if entry is None else self.body[entry[0] : entry[0] + entry[1]]


class _Remote:
    """Byte ranges of a remote object, sliced like a buffer."""

    def __init__(self, where: str) -> None:
        import fsspec

        self.fs, self.path = fsspec.core.url_to_fs(where)

    def __getitem__(self, span: slice) -> bytes:
        return bytes(self.fs.cat_file(self.path, start=span.start, end=span.stop))


def _array(table: pa.Table, name: str) -> np.ndarray:
    kind = table.schema.field(name).type
    if pa.types.is_fixed_size_list(kind):
        return rows.column(table, name)
    column = table.column(name)
    if pa.types.is_floating(kind) or (pa.types.is_primitive(kind) and not column.null_count):
        return np.asarray(column.to_numpy())
    values = np.empty(len(column), dtype=object)
    values[:] = column.to_pylist()
    return values
