"""Parquet as Hugging Face ``datasets`` reads it: the bytes of every picture beside all words and numbers.

Reads and writes ``data/train-00000-of-00002.parquet``: struct columns ``image``, ``depth`` and ``mask`` of bytes and
path, marked as Image features in the schema, then the columns of ``hand.rows``, with ``extra`` as a list of names and
values, and ``depth_unit_mm``. Row groups are small, so that a stream of samples needs little memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from handsynth.errors import DataError, MissingError, sentence
from handsynth.formats.columns import catalogue_schema
from handsynth.formats.exchange import (
    EVERYTHING,
    depth_from_steps,
    file_word,
    hand_mask,
    packed,
    require_picture,
    split_of,
    take_unit,
    unpacked,
)
from handsynth.formats.format import Field
from handsynth.formats.layout import nothing_found, require_folder
from handsynth.formats.parquetwriter import EXTRA, IMAGES, ParquetOptions, SplitWriter
from handsynth.formats.records import DEPTH_UNIT
from handsynth.hand.joints import JOINTS
from handsynth.hand.rows import column, from_row, row_schema
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import decode_color, decode_raw
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

_BYTES = (pa.binary(), pa.large_binary())
_WORDS = (pa.string(), pa.large_string(), pa.null())
_PART_ROWS = 1 << 14
_READ_ROWS = 64
_MAX_SIDE_PX = 65535
_DAMAGED = (pa.ArrowException, OSError, LookupError, ValueError, MemoryError, RecursionError)
_ADVICE = "fetch the file again, or mend that column"
_MOST_NUMBERS = 1024
"""Values of a column in a row, on average."""
_MOST_SIGNS = 1000
_MOST_UNPACKED = 1 << 28
_MOST_RATIO = 100
_RIGID = ("depth_from_color", "world_from_camera")


class Parquet:
    """See :class:`handsynth.formats.format.Format`.

    ``write`` puts samples into the files of their split in the order they come, ``train`` where they have none. Files
    from elsewhere need the column ``image`` and may lack every other one.
    """

    name: ClassVar[str] = "parquet"
    summary: ClassVar[str] = "Parquet: pictures and columns in one table, as Hugging Face datasets reads it"
    fields: ClassVar[Mapping[str, Field]] = EVERYTHING
    cropped: ClassVar[bool] = False
    independent_2d: ClassVar[bool] = True
    options_type: ClassVar[type[Settings]] = ParquetOptions

    def annotations(self, root: Path, options: ParquetOptions) -> list[Path]:
        require_folder(root, self.name)
        tables = sorted((*root.glob("*.parquet"), *root.glob("data/*.parquet")))
        if not tables:
            raise nothing_found("data/*.parquet, or *.parquet", root, self.name)
        return tables

    def catalogue(self, root: Path, options: ParquetOptions) -> Iterator[pa.Table]:
        tables = self.annotations(root, options)
        with progress.task("reading annotations of parquet", len(tables)) as advance:
            for path in tables:
                yield from _parts(path, root)
                advance()

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample, unit_mm = take_unit(from_row(row), 1.0)
        rgb = depth = mask = None
        if row["rgb_file"] is not None:
            data, where = _picture(root, row, "image")
            rgb = decode_color(data, where, window)
        if row["depth_file"] is not None:
            data, where = _picture(root, row, "depth")
            depth = depth_from_steps(decode_raw(data, where, window), unit_mm, where)
        if row["mask_file"] is not None:
            data, where = _picture(root, row, "mask")
            mask = hand_mask(decode_raw(data, where, window), where)
        return replace(sample, rgb=rgb, depth_mm=depth, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: ParquetOptions) -> None:
        with ExitStack() as stack:
            writers: dict[str, SplitWriter] = {}
            for sample in samples:
                require_picture(sample, self.name)
                split = file_word(sample.split, "train")
                if split not in writers:
                    writers[split] = stack.enter_context(SplitWriter(root / "data", split, options))
                writers[split].add(sample)
            for writer in writers.values():
                writer.finish()


def _parts(path: Path, root: Path) -> Iterator[pa.Table]:
    """Parts of the catalogue, from one file; the bytes of pictures are not read."""
    file = path.relative_to(root).as_posix()
    try:
        with _opened(path) as table:
            schema = table.schema_arrow
            _check_sizes(table.metadata, path)
            pictures = [name for name in IMAGES if name in schema.names]
            _check_schema(schema, pictures, path)
            wanted = [f"{name}.path" for name in pictures]
            wanted += [name for name in (*row_schema().names, "depth_unit_mm") if name in schema.names]
            for group in range(table.metadata.num_row_groups):
                first = 0
                for batch in table.iter_batches(_PART_ROWS, row_groups=[group], columns=wanted):
                    yield _part(pa.Table.from_batches([batch]), pictures, file, group, first, path)
                    first += len(batch)
    except (DataError, MissingError):
        raise
    except _DAMAGED as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(sentence("a whole Parquet file of samples", found, path, _ADVICE)) from None


def _opened(path: Path) -> pq.ParquetFile:
    """The file, its words and bytes kept as dictionaries: a million rows may name the same megabyte."""
    with pq.ParquetFile(path, memory_map=True) as table:
        metadata = table.metadata
    columns = (metadata.schema.column(i) for i in range(metadata.num_columns))
    coded = [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]
    return pq.ParquetFile(path, memory_map=True, metadata=metadata, read_dictionary=coded)


def _check_sizes(metadata: pq.FileMetaData, path: Path) -> None:
    """Raise DataError for a small file that says it holds very much."""
    advice = "do not trust this copy"
    size = path.stat().st_size
    if metadata.num_rows > size:
        raise DataError(sentence("a picture in every row", f"{metadata.num_rows} rows in {size} bytes", path, advice))
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for i in range(group.num_columns):
            chunk = group.column(i)
            packed, unpacked = chunk.total_compressed_size, chunk.total_uncompressed_size
            found = None
            if chunk.num_values > _MOST_NUMBERS * max(group.num_rows, 1):
                found = f"{chunk.num_values} values in {group.num_rows} rows"
            if unpacked > max(_MOST_UNPACKED, _MOST_RATIO * packed):
                found = f"{packed} bytes that unpack to {unpacked}"
            if found:
                raise DataError(sentence(f"{chunk.path_in_schema} of samples", found, path, advice))


def _check_schema(schema: pa.Schema, pictures: list[str], path: Path) -> None:
    if not {"image", "depth"} & set(pictures):
        raise DataError(sentence("a column image or depth", ", ".join(schema.names[:20]) or "none", path, _ADVICE))
    for name in pictures:
        kind = schema.field(name).type
        inner = {field.name: _plain_type(field.type) for field in kind} if pa.types.is_struct(kind) else {}
        if inner.get("bytes") not in _BYTES or inner.get("path") not in _WORDS:
            raise DataError(sentence(f"{name} as a struct of bytes and path", str(_plain_type(kind)), path, _ADVICE))
    told = json.loads((schema.metadata or {}).get(b"handsynth", b"{}"))
    if not isinstance(told, dict) or told.get("joints", list(JOINTS)) != list(JOINTS):
        raise DataError(sentence(f"joints in the order {', '.join(JOINTS)}", "another order", path, _ADVICE))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _part(stored: pa.Table, pictures: list[str], file: str, group: int, first: int, path: Path) -> pa.Table:
    count = len(stored)
    columns = {name: stored.column(name).combine_chunks() for name in stored.schema.names}
    for name, stored_column in columns.items():
        if pa.types.is_dictionary(stored_column.type):
            longest = pc.max(pc.binary_length(stored_column.dictionary)).as_py() or 0
            if longest > _MOST_SIGNS:
                found = f"one of {longest} bytes"
                raise DataError(sentence(f"words of at most {_MOST_SIGNS} in {name}", found, path, _ADVICE))
    own = [f"{Path(file).stem}-{group}-{first + i}" for i in range(count)]
    split = split_of(Path(file).stem.split("-")[0])
    fallbacks: dict[str, Any] = {
        "key": own,
        "side": ["unknown"] * count,
        "mirrored": [False] * count,
        "joint_state": [[LABELLED] * len(JOINTS)] * count,
        "keypoint_state": [[LABELLED] * len(JOINTS)] * count,
    }
    if "key" not in columns:
        fallbacks["split"] = [split] * count
    arrays: dict[str, pa.Array] = {}
    for field in row_schema():
        if field.name == "extra":
            arrays["extra"] = _extra(columns, count, field.type, path)
            continue
        given = columns.get(field.name)
        array = pa.nulls(count, field.type) if given is None else given.cast(field.type)
        if pa.types.is_fixed_size_list(field.type) and array.flatten().null_count:
            raise DataError(sentence(f"numbers in {field.name}, NaN where unknown", "null", path, _ADVICE))
        if array.null_count and field.name in fallbacks:
            array = _filled(array, fallbacks[field.name], field.type)
        arrays[field.name] = array
    arrays["moment"] = _filled(arrays["moment"], arrays["key"].to_pylist(), pa.string())
    names = {
        column_name: _references(columns.get(name), count, file, group, first) for name, column_name in IMAGES.items()
    }
    schema = catalogue_schema()
    table = pa.Table.from_arrays([(arrays | names)[name] for name in schema.names], schema=schema)
    return _checked(table, path)


def _filled(array: pa.Array, fallback: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(
        [own if own is not None else other for own, other in zip(array.to_pylist(), fallback, strict=True)], kind
    )


def _references(array: pa.Array | None, count: int, file: str, group: int, first: int) -> pa.Array:
    """Where each row's picture lies: file, row group, row in it."""
    valid = np.zeros(count, dtype=np.bool_) if array is None else np.asarray(array.is_valid())
    return pa.array([packed(file, group, first + i) if here else None for i, here in enumerate(valid)], pa.string())


def _extra(columns: Mapping[str, pa.Array], count: int, kind: pa.MapType, path: Path) -> pa.Array:
    given = columns["extra"].cast(EXTRA).to_pylist() if "extra" in columns else [None] * count
    units = columns["depth_unit_mm"].cast(pa.float64()) if "depth_unit_mm" in columns else pa.nulls(count)
    rows = []
    for entries, unit in zip(given, units.to_pylist(), strict=True):
        if any(entry is None or None in entry.values() for entry in entries or []):
            raise DataError(sentence("names and values in extra", "null", path, _ADVICE))
        row = {entry["name"]: entry["values"] for entry in entries or []}
        for name, values in row.items():
            dimensions = 2 if str(name).endswith("_px") else 3 if str(name).endswith("_mm") else 1
            if len(values) % dimensions:
                raise DataError(sentence(f"points of {dimensions} numbers in {name}", str(len(values)), path, _ADVICE))
        if unit is not None:
            if not 0 < unit < np.inf:
                raise DataError(sentence("a positive depth_unit_mm", f"{unit:g}", path, _ADVICE))
            row[DEPTH_UNIT] = [unit]
        rows.append(sorted(row.items()))
    return pa.array(rows, kind)


def _checked(table: pa.Table, path: Path) -> pa.Table:
    """The part with states 0 where points are unknown.

    Raises:
        DataError: infinite numbers, states beyond 2, a side that is none, or a camera that is none.
    """
    for name in ("camera", "depth_camera", *_RIGID):
        known = column(table, name)[np.asarray(table.column(name).is_valid())]
        sound = np.isfinite(known).all()
        if sound and name not in _RIGID:
            size = known[:, -2:]
            sound = (known[:, :2] > 0).all() and ((size > 0) & (size <= _MAX_SIDE_PX)).all()
        if not sound:
            raise DataError(sentence(f"numbers of a real camera in {name}", "others", path, _ADVICE))
    sides = set(table.column("side").unique().to_pylist())
    if not sides <= {"left", "right", "unknown"}:
        found = ", ".join(sorted(map(str, sides)))
        raise DataError(sentence("side left, right or unknown", found, path, _ADVICE))
    for points, state in (("joints_mm", "joint_state"), ("keypoints_px", "keypoint_state")):
        values, states = column(table, points), column(table, state)
        if np.isinf(values).any():
            raise DataError(sentence(f"finite numbers in {points}", "infinity", path, _ADVICE))
        if states.max(initial=0) > DERIVED:
            raise DataError(sentence(f"states 0, 1 or 2 in {state}", str(states.max()), path, _ADVICE))
        states = np.where(np.isfinite(values).all(-1), states, ABSENT)
        index = table.schema.get_field_index(state)
        flat = pa.array(states.astype(np.uint8).ravel(), pa.uint8())
        table = table.set_column(
            index,
            table.schema.field(index),
            pa.FixedSizeListArray.from_arrays(flat, type=table.schema.field(index).type),
        )
    return table


def _picture(root: Path, row: Mapping[str, Any], name: str) -> tuple[bytes, str]:
    """Bytes of one picture, and how errors name it."""
    path, group, index = unpacked(root, row[IMAGES[name]])
    where = f"{name} of {row['key']} in {path}"
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        found = "none" if isinstance(error, FileNotFoundError) else (error.strerror or str(error)).lower()
        raise MissingError(sentence("a Parquet file", found, path, "fetch it again")) from None
    block = _block(path, changed, group, index // _READ_ROWS, name)
    offset = index % _READ_ROWS
    data = block[offset].as_py() if offset < len(block) else None
    if data is None:
        raise DataError(sentence("the bytes of a picture", "none", where, "embed the pictures in the file"))
    return data, where


@lru_cache(maxsize=len(IMAGES))
def _block(path: Path, changed: int, group: int, number: int, name: str) -> pa.Array:
    """Pictures of rows ``_READ_ROWS * number`` and following of a row group; neighbouring samples are read together.

    Large row groups of other writers are passed through in pieces, so that memory stays bounded.
    """
    try:
        with _opened(path) as table:
            for i, batch in enumerate(table.iter_batches(_READ_ROWS, row_groups=[group], columns=[f"{name}.bytes"])):
                if i == number:
                    return batch.column(0).field("bytes")
    except _DAMAGED as error:
        found = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(sentence("a whole Parquet file of samples", found, path, _ADVICE)) from None
    return pa.array([], pa.binary())
