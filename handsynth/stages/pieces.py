"""Rendered samples that wait on disk, whole and lossless, until the files of a layout are made of them.

A killed run so goes on where it stopped. Below a folder of their own lie::

    ledger/NNNNN.json      one per finished piece, written last; holds the hash of the settings
    pieces/NNNNN.parquet   its samples, a row group each: rows as ``hand.rows`` has them, and the arrays of the pixels
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.errors import DataError, sentence
from handsynth.hand.rows import PIXEL_FIELDS, from_row, to_table, without_pixels
from handsynth.hand.sample import HandSample
from handsynth.runtime import files, ledger
from handsynth.runtime.ledger import ShardRecord
from handsynth.store.lock import locked
from handsynth.store.write import Reject

LAYOUT = 1
"""Version of these files. It belongs into the hash of the settings, so that pieces of another one are not taken up."""

_FOLDERS = ("ledger", "pieces")
_ARRAY = pa.struct(
    [pa.field("dtype", pa.string()), pa.field("shape", pa.list_(pa.int32())), pa.field("data", pa.binary())]
)
_COLUMNS = [*((name, _ARRAY) for name in PIXEL_FIELDS), ("reason", pa.string())]


@contextlib.contextmanager
def waiting(folder: Path, settings_hash: str, overwrite: bool = False) -> Iterator[dict[int, ShardRecord]]:
    """Hold the lock of a folder of pieces and give the finished ones; it vanishes when the block ends well.

    Where the block fails, finished pieces stay for the next run.

    Args:
        folder: whose lock it is; made where it is not there.
        settings_hash: of this run.
        overwrite: remove what is there first.

    Raises:
        StoreError: somebody else writes there, or pieces of other settings are there.
        SpaceError: the place cannot be written.
    """
    root = str(folder)
    with locked(root):
        if overwrite:
            _discard(folder)
        records = ledger.read_records(root, settings_hash)
        files.sweep(root)
        try:
            yield records
        except BaseException:
            files.sweep(root)
            if not files.names(files.join(root, "ledger")):
                _discard(folder)
            raise
        _discard(folder)


def write_piece(folder: str, number: int, settings_hash: str, items: Iterable[HandSample | Reject]) -> ShardRecord:
    """Write a piece whole, one sample in memory at a time, and last its record.

    Raises:
        SpaceError: the disk is full; the piece does not count.
    """
    path = _path(number)
    counts = {HandSample: 0, Reject: 0}
    with (
        files.replacing(files.local(files.join(folder, path))) as temporary,
        pq.ParquetWriter(
            temporary, to_table([], _COLUMNS).schema, compression="zstd", use_dictionary=False, write_statistics=False
        ) as writer,
    ):
        for item in items:
            writer.write_table(_row(item))
            counts[type(item)] += 1
    record = ShardRecord(
        shard=number,
        settings_hash=settings_hash,
        filled=counts[HandSample],
        rejected=counts[Reject],
        files={path: "sha256:" + files.sha256(files.join(folder, path))},
    )
    ledger.write_record(folder, record)
    return record


def read_piece(folder: str, record: ShardRecord) -> Iterator[HandSample | Reject]:
    """What was written, in order and equal to the bit; pixels are read-only.

    Raises:
        MissingError: the piece is gone.
        DataError: it is damaged.
    """
    for path, checksum in record.files.items():
        address = files.join(folder, path)
        if "sha256:" + files.sha256(address) != checksum:
            found = "other bytes"
            raise DataError(sentence("the samples that were rendered", found, address, "--overwrite to start again"))
        with pq.ParquetFile(address) as file:
            for group in range(file.num_row_groups):
                [row] = file.read_row_group(group).to_pylist()
                yield _item(row)


def _path(number: int) -> str:
    return f"pieces/{number:05d}.parquet"


def _discard(folder: Path) -> None:
    """Remove all pieces; records go first, so that none speaks of a piece that is not there."""
    for name in _FOLDERS:
        rmtree(folder / name, ignore_errors=True)


def _row(item: HandSample | Reject) -> pa.Table:
    """Table of one row; a reject has its key and reason alone."""
    if isinstance(item, Reject):
        return to_table([HandSample(item.key)], _COLUMNS, [{"reason": item.reason}])
    arrays = {name: getattr(item, name) for name in PIXEL_FIELDS}
    packed = {
        name: {"dtype": array.dtype.str, "shape": array.shape, "data": array.tobytes()}
        for name, array in arrays.items()
        if array is not None
    }
    return to_table([without_pixels(item)], _COLUMNS, [packed])


def _item(row: dict[str, Any]) -> HandSample | Reject:
    if row["reason"] is not None:
        return Reject(row["key"], row["reason"])
    arrays: dict[str, Any] = {
        name: np.frombuffer(packed["data"], packed["dtype"]).reshape(packed["shape"])
        for name in PIXEL_FIELDS
        if (packed := row[name]) is not None
    }
    return replace(from_row(row), **arrays)
