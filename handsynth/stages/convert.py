"""Rewrite raw files of one dataset in the layout of another; samples stream, no store lies between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from handsynth.errors import UsageError, sentence
from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.format import Format
from handsynth.hand.sample import HandSample
from handsynth.runtime import progress
from handsynth.runtime.settings import override
from handsynth.stages.export import Written, write_raw
from handsynth.stages.workspace import Workspace

_ROWS = 256


def convert(
    name: str,
    root: str | Path,
    as_: str,
    out: str | Path | None = None,
    *,
    limit: int | None = None,
    settings: Sequence[str] = (),
    as_settings: Sequence[str] = (),
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Written:
    """Read ``root`` as dataset ``name``, write it as ``as_``, read that back, and say what it could not hold.

    One sample is in memory at a time, and what the written layout's own annotation file needs of each.

    Args:
        out: folder; ``data/NAME-FORMAT`` by default.
        limit: take the first N samples of the catalogue only.
        settings: ``key=value`` texts over the options of the format that is read.
        as_settings: the same of the one that is written.

    Raises:
        UsageError: no such format or option.
        MissingError, DataError: the source is missing or damaged, or lacks what the layout must have; nothing is
            left behind.
        StoreError: the folder holds something already.
    """
    if limit is not None and limit < 1:
        raise UsageError(sentence("a limit of at least 1", str(limit), "--limit"))
    space = Workspace.of(workspace)
    reader, writer = get_format(name), get_format(as_)
    options, as_options = override(reader.options_type(), settings), override(writer.options_type(), as_settings)
    source = space.data(name, root)
    table = open_catalogue(reader, source, options).table[:limit]
    folder = Path(out) if out else space.root / "data" / f"{name}-{as_}"
    if dry_run:
        progress.say(f"would write {len(table)} samples of {source} as {as_} to {folder}")
        return Written(format=as_, samples=0, not_held=(), path=str(folder))
    return write_raw(folder, writer, _samples(reader, source, table), len(table), as_options)


def _samples(reader: Format, source: Path, table: pa.Table) -> Iterator[HandSample]:
    for start in range(0, len(table), _ROWS):
        for row in table.slice(start, _ROWS).to_pylist():
            yield reader.load(source, row)
