"""Rewrite raw files of one dataset in the layout of another; samples stream, no store lies between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.hand.sample import HandSample
from handsynth.runtime import progress
from handsynth.stages.export import write_raw
from handsynth.stages.workspace import Workspace


def convert(
    name: str,
    root: str | Path,
    as_: str,
    out: str | Path | None = None,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Read ``root`` as dataset ``name`` and write it as ``as_``; returns the folder.

    Raises:
        UsageError: no such format.
        MissingError, DataError: the source is missing or damaged; nothing is left behind.
        StoreError: the folder holds something already.
    """
    space = Workspace.of(workspace)
    reader, writer = get_format(name), get_format(as_)
    source = space.data(name, root)
    table = open_catalogue(reader, source, reader.options_type()).table
    folder = Path(out) if out else space.root / "data" / f"{name}-{as_}"
    with progress.task(f"{name} to {as_}", len(table)) as advance:

        def samples() -> Iterator[HandSample]:
            for batch in table.to_batches(max_chunksize=256):
                for row in batch.to_pylist():
                    yield reader.load(source, row)
                    advance()

        write_raw(folder, writer, samples())
    return folder
