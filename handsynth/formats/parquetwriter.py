"""Parquet files of samples: their schema, and the writer of one split, row group by row group.

Writes ``data/SPLIT-00000-of-00002.parquet``.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.formats.exchange import ImageCodec, color_bytes, depth_steps, fitting_unit
from handsynth.hand.joints import JOINTS
from handsynth.hand.rows import row_schema, to_row
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import encode_png
from handsynth.runtime import files
from handsynth.runtime.settings import Settings

IMAGES = {"image": "rgb_file", "depth": "depth_file", "mask": "mask_file"}
"""Columns of pictures, and what a catalogue calls them."""
EXTRA = pa.list_(pa.struct([("name", pa.string()), ("values", pa.list_(pa.float32()))]))
"""How ``extra`` is stored: ``datasets`` knows no maps."""


class ParquetOptions(Settings, frozen=True, kw_only=True):
    """How files are written; reading needs none of it."""

    image: ImageCodec = "png"
    """``png`` keeps colour exactly, ``jpeg`` is smaller."""
    quality: Annotated[int, msgspec.Meta(ge=1, le=100)] = 95
    """Of JPEG."""
    depth_unit_mm: Annotated[float, msgspec.Meta(gt=0)] = 0.1
    """Step of the 16-bit depth; ten times it, and so on, for an image that reaches further than 65535 steps."""
    samples_per_file: Annotated[int, msgspec.Meta(ge=1)] = 4096
    samples_per_row_group: Annotated[int, msgspec.Meta(ge=1)] = 64
    """What a reader holds at once, and what a writer keeps until it is written."""


class SplitWriter:
    """Files of one split. Their number is part of their names, so they get these when all are written."""

    def __init__(self, folder: Path, split: str, options: ParquetOptions) -> None:
        self._folder, self._split, self._options = folder, split, options
        self._rows: list[dict[str, Any]] = []
        self._count = 0
        self._paths: list[Path] = []
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def add(self, sample: HandSample) -> None:
        if self._count % self._options.samples_per_file == 0:
            self._close()
            path = self._folder / f"{self._split}-{len(self._paths):05d}.parquet"
            temporary = self._open.enter_context(files.replacing(path))
            self._writer = self._open.enter_context(_parquet_writer(temporary))
            self._paths.append(path)
        self._rows.append(_stored(sample, f"{self._split}-{self._count:08d}", self._options))
        self._count += 1
        if len(self._rows) == self._options.samples_per_row_group:
            self._flush()

    def finish(self) -> None:
        self._close()
        for path in self._paths:
            path.rename(path.with_name(f"{path.stem}-of-{len(self._paths):05d}.parquet"))

    def _close(self) -> None:
        self._flush()
        self._open.close()

    def _flush(self) -> None:
        if self._rows:
            assert self._writer is not None
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=_schema()), row_group_size=len(self._rows))
            self._rows = []


def _parquet_writer(path: Path) -> pq.ParquetWriter:
    schema = _schema()
    words = [field.name for field in schema if pa.types.is_string(field.type)]
    # Pictures are compressed already; uncompressed columns are read from a memory map without a copy of the group.
    return pq.ParquetWriter(path, schema, compression="none", use_dictionary=words, write_statistics=words)


def _schema() -> pa.Schema:
    """Columns as they are stored: all may be null, none is of a kind that ``datasets`` does not know."""
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = [(name, image) for name in IMAGES]
    for field in row_schema():
        if pa.types.is_map(field.type):
            kind = EXTRA
        elif pa.types.is_fixed_size_list(field.type):
            kind = pa.list_(field.type.value_type, field.type.list_size)
        else:
            kind = field.type
        columns.append((field.name, kind))
    features = {name: {"_type": "Image"} for name in IMAGES}
    metadata = {
        "huggingface": json.dumps({"info": {"features": features}}),
        "handsynth": json.dumps({"joints": JOINTS}),
    }
    return pa.schema([*columns, ("depth_unit_mm", pa.float64())], metadata=metadata)


def _stored(sample: HandSample, base: str, options: ParquetOptions) -> dict[str, Any]:
    """One row, pictures encoded."""
    row = to_row(sample)
    row["extra"] = [{"name": name, "values": values} for name, values in row["extra"]]
    if sample.rgb is not None:
        data, ending = color_bytes(sample.rgb, options.image, options.quality)
        row["image"] = {"bytes": data, "path": f"{base}.{ending}"}
    if sample.depth_mm is not None:
        row["depth_unit_mm"] = fitting_unit(sample.depth_mm, options.depth_unit_mm)
        steps = depth_steps(sample.depth_mm, row["depth_unit_mm"])
        row["depth"] = {"bytes": encode_png(steps), "path": f"{base}.depth.png"}
    if sample.mask is not None:
        row["mask"] = {"bytes": encode_png(sample.mask), "path": f"{base}.mask.png"}
    return row
