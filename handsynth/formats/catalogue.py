"""Catalogues, parsed once: an Arrow file in the user's cache stands for the annotation files it was made from.

Reads the annotation files of a dataset, writes ``$HANDSYNTH_CACHE/NAME-PLACE-STAMP.arrow`` (or below
``~/.cache/handsynth/catalogues``) part by part. The file is mapped, not read, so a million rows open at once and cost
no memory until they are looked at. The cache may be deleted at any time; a damaged or unwritable one is done without.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from handsynth.errors import DataError, HandsynthError, MissingError, SpaceError, sentence
from handsynth.formats.columns import catalogue_schema
from handsynth.formats.format import FILE_COLUMNS, Format
from handsynth.formats.layout import ESCAPE, inside, listing, require_folder
from handsynth.hand.rows import column as array_of
from handsynth.hand.sample import ABSENT
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, digest

CATALOGUE_VERSION = 3
"""Raised whenever a format's parsing changes, so that older caches no longer match."""

_BATCH = 1 << 16
_MAX_SIDE_PX = 65535
_HASH_KEY = b"handsynth.source"
_FRESH_NS = 2_000_000_000
"""A file written this recently may change again without its time of change telling."""


@dataclass(frozen=True)
class Catalogue:
    """All samples of a dataset.

    Attributes:
        table: columns of ``hand.rows.row_schema``, then ``FILE_COLUMNS``; mapped from ``file`` where there is one.
        hash: of the names and bytes of the annotation files and of the manifest, wherever the dataset lies.
        file: the cached catalogue; None where it could not be kept.
    """

    table: pa.Table
    hash: str
    file: Path | None = None


def open_catalogue(format: Format, root: Path, options: Settings) -> Catalogue:
    """All samples of a dataset, from the cache where the annotation files have not changed.

    Args:
        root: folder of the unpacked dataset.
        options: of ``format.options_type``.

    Raises:
        MissingError: the root or an annotation file is not there.
        DataError: annotations are damaged or cannot be read, keys repeat, a file name leads out of the root, a
            number is infinite, or a camera is none.
    """
    with _readable(root):
        return _open(format, Path(root), options)


def _open(format: Format, root: Path, options: Settings) -> Catalogue:
    require_folder(root, format.name)
    annotations = format.annotations(root, options)
    place = digest([str(root.resolve()), format.name, options])[:8]
    stamp = digest([CATALOGUE_VERSION, _manifest_hash(format), _stamp(annotations, root)])[:24]
    cached = _cache_folder() / f"{format.name}-{place}-{stamp}.arrow"
    found = read_catalogue(cached)
    if found is not None:
        return found
    source_hash = digest([_manifest_hash(format), _content(annotations, root)])
    # A catalogue is worth having even where it cannot be kept.
    with contextlib.suppress(SpaceError):
        with files.replacing(cached) as temporary:
            _write(temporary, format.catalogue(root, options), source_hash)
            with pa.memory_map(str(temporary)) as mapped:
                _check(pa.ipc.open_file(mapped).read_all(), root)
        for older in cached.parent.glob(f"{format.name}-{place}-*.arrow"):
            if older != cached:
                older.unlink(missing_ok=True)
    found = read_catalogue(cached)
    if found is not None:
        return found
    table = pa.concat_tables([catalogue_schema().empty_table(), *format.catalogue(root, options)])
    _check(table, root)
    return Catalogue(table, source_hash)


def read_catalogue(cached: Path) -> Catalogue | None:
    """A catalogue that :func:`open_catalogue` kept; None where there is none, or a damaged one."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(cached))).read_all()
    except (OSError, pa.ArrowException):
        return None
    source_hash = (table.schema.metadata or {}).get(_HASH_KEY)
    if source_hash is None or not table.schema.equals(catalogue_schema()):
        return None
    return Catalogue(table.replace_schema_metadata(None), source_hash.decode(), cached)


def _write(path: Path, parts: Iterator[pa.Table], source_hash: str) -> None:
    schema = catalogue_schema()
    with (
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, schema.with_metadata({_HASH_KEY: source_hash})) as out,
    ):
        for part in parts:
            if part.schema.names != schema.names:
                raise ValueError(f"a catalogue's columns are {schema.names}, found {part.schema.names}")
            out.write_table(part.combine_chunks(), max_chunksize=_BATCH)


def _check(table: pa.Table, root: Path) -> None:
    for column in FILE_COLUMNS:
        escapes = table.column(column).filter(pc.match_substring_regex(table.column(column), ESCAPE))
        if len(escapes):
            inside(root, escapes[0].as_py())
    for batch in table.to_batches(_BATCH):
        _check_numbers(pa.Table.from_batches([batch]), root)
    if pc.count_distinct(table.column("key")).as_py() != len(table):
        counts = table.group_by("key").aggregate([([], "count_all")])
        repeated = counts.filter(pc.field("count_all") > 1).column("key")[0].as_py()
        raise DataError(sentence("every sample once", f"{repeated} more than once", root, "check the annotation files"))


def _check_numbers(table: pa.Table, root: Path) -> None:
    """What no reader need look at for itself, whatever the numbers were made from."""
    faults = {}
    for points, states in (("joints_mm", "joint_state"), ("keypoints_px", "keypoint_state")):
        values, known = array_of(table, points), array_of(table, states) != ABSENT
        odd = np.isinf(values).any(-1) | (known & ~np.isfinite(values).all(-1))
        faults[f"finite numbers in {points}"] = odd.any(-1)
    for name in ("camera", "depth_camera", "depth_from_color", "world_from_camera"):
        values = array_of(table, name)
        sound = np.isfinite(values).all(-1)
        if name.endswith("camera") and "from" not in name:
            lengths, sides = values[:, :2], values[:, -2:]
            sound &= (lengths > 0).all(-1) & ((sides > 0) & (sides <= _MAX_SIDE_PX)).all(-1)
        faults[f"numbers of a real camera in {name}"] = ~sound & np.asarray(table.column(name).is_valid())
    for expected, odd in faults.items():
        if odd.any():
            key = table.column("key")[int(np.flatnonzero(odd)[0])].as_py()
            advice = "check the annotation files, or fetch them again"
            raise DataError(sentence(expected, f"others for {key}", root, advice))


@contextlib.contextmanager
def _readable(root: Path) -> Iterator[None]:
    """What the file system refuses is a sentence too: a folder for a file, links in circles, missing rights.

    So are finite numbers that cannot be computed with; numpy would warn and go on with infinity.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except HandsynthError:
        raise
    except UnicodeEncodeError as error:
        raise DataError(sentence("file names in UTF-8", repr(error.object), root, "rename that file")) from None
    except (FloatingPointError, OverflowError) as error:
        advice = "check the annotation files, or fetch them again"
        raise DataError(sentence("numbers of hands and cameras", f"larger ones ({error})", root, advice)) from None
    except OSError as error:
        found, where = (error.strerror or str(error)).lower(), error.filename or root
        raise DataError(sentence("files that can be read", found, where, "extract the archive again")) from error


def _cache_folder() -> Path:
    chosen = os.environ.get("HANDSYNTH_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path.home() / ".cache" / "handsynth" / "catalogues"
    except RuntimeError:  # an account without a home: the write fails and is forgiven
        return Path(os.devnull)


def _manifest_hash(format: Format) -> str | None:
    manifest = files.shipped("manifests") / f"{format.name}.toml"
    return files.sha256(manifest) if manifest.is_file() else None


def _stamp(paths: Sequence[Path], root: Path) -> str:
    """Hash of what tells a changed file from an unchanged one without reading it: name, size, time of change.

    Reading a million small files, or gigabytes of JSON, to see that nothing changed would take longer than the rest.
    """
    out = hashlib.sha256()
    now = time.time_ns()
    for path in paths:
        try:
            status = path.stat()
        except FileNotFoundError:
            raise MissingError(sentence("an annotation file", "none", path)) from None
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            # Pipes and devices come in archives too, and reading one may never end.
            raise DataError(sentence("a plain file", "a pipe or a device", path, "do not trust this copy"))
        size = 0 if path.is_dir() else status.st_size  # a folder's own size differs between file systems
        fresh = _bytes_of(path) if now - status.st_mtime_ns < _FRESH_NS else ""
        out.update(f"{_name(path, root)}\0{size}\0{status.st_mtime_ns}\0{fresh}\n".encode())
    return out.hexdigest()


def _content(paths: Sequence[Path], root: Path) -> str:
    """Hash of the names and contents of files, and of the names in folders."""
    out = hashlib.sha256()
    for path in paths:
        out.update(f"{_name(path, root)}\0{_bytes_of(path)}\n".encode())
    return out.hexdigest()


def _bytes_of(path: Path) -> str:
    return digest(sorted(listing(path))) if path.is_dir() else files.sha256(path)


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
