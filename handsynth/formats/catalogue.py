"""Catalogues, parsed once: a Parquet file in the user's cache stands for the annotation files it was made from.

Reads the annotation files of a dataset, writes ``$HANDSYNTH_CACHE/NAME-HASH.parquet`` (or below
``~/.cache/handsynth/catalogues``). The cache may be deleted at any time; a damaged or unwritable one is rebuilt.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from handsynth.errors import DataError, HandsynthError, sentence
from handsynth.formats.columns import catalogue_schema
from handsynth.formats.format import FILE_COLUMNS, Format
from handsynth.formats.layout import ESCAPE, inside, require_folder
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, canonical_json

CATALOGUE_VERSION = 1
"""Raised whenever a format's parsing changes, so that older caches no longer match."""


def open_catalogue(format: Format, root: Path, options: Settings) -> pa.Table:
    """All samples of a dataset, from the cache where the annotation files have not changed.

    Args:
        root: folder of the unpacked dataset.
        options: of ``format.options_type``.

    Returns:
        Table with the columns of ``hand.rows.row_schema``, then ``FILE_COLUMNS``; no image is opened.

    Raises:
        MissingError: the root or an annotation file is not there.
        DataError: annotations are damaged, keys repeat, or a file name leads out of the root.
    """
    root = Path(root)
    require_folder(root, format.name)
    cached = _cache_folder() / f"{format.name}-{_source_hash(format, root, options)}.parquet"
    table = _read(cached)
    if table is None:
        table = format.catalogue(root, options)
        _check(table, root)
        # A catalogue is worth having even where it cannot be kept.
        with contextlib.suppress(HandsynthError, OSError):
            buffer = pa.BufferOutputStream()
            pq.write_table(table, buffer, compression="zstd")
            files.write(cached, buffer.getvalue())
    return table


def _check(table: pa.Table, root: Path) -> None:
    if table.schema.names != catalogue_schema().names:
        raise ValueError(f"a catalogue's columns are {catalogue_schema().names}, found {table.schema.names}")
    for column in FILE_COLUMNS:
        escapes = table.column(column).filter(pc.match_substring_regex(table.column(column), ESCAPE))
        if len(escapes):
            inside(root, escapes[0].as_py())
    if pc.count_distinct(table.column("key")).as_py() != len(table):
        counts = table.group_by("key").aggregate([([], "count_all")])
        repeated = counts.filter(pc.field("count_all") > 1).column("key")[0].as_py()
        raise DataError(sentence("every sample once", f"{repeated} more than once", root, "check the annotation files"))


def _read(cached: Path) -> pa.Table | None:
    try:
        table = pq.read_table(cached)
    except (OSError, pa.ArrowException):
        return None
    return table if table.schema.equals(catalogue_schema()) else None


def _cache_folder() -> Path:
    chosen = os.environ.get("HANDSYNTH_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "handsynth" / "catalogues"
    except RuntimeError:  # an account without a home: the write fails and is forgiven
        return Path(os.devnull)


def _source_hash(format: Format, root: Path, options: Settings) -> str:
    """Changes with the format, its manifest, the options, and the names and bytes of the annotation files."""
    manifest = files.shipped("manifests") / f"{format.name}.toml"
    parts: dict[str, Any] = {
        "version": CATALOGUE_VERSION,
        "format": format.name,
        "options": options,
        "manifest": files.sha256(manifest) if manifest.is_file() else None,
        "files": _checksums(format.annotations(root, options), root),
    }
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:32]


def _checksums(paths: Iterable[Path], root: Path) -> Mapping[str, str]:
    return {path.relative_to(root).as_posix(): files.sha256(path) for path in paths}
