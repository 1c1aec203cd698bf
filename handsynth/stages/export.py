"""Write a store's samples in a dataset's own layout, for other people's trainers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shutil import rmtree

from handsynth.errors import StoreError, sentence
from handsynth.formats import get_format
from handsynth.formats.format import Format
from handsynth.hand.sample import HandSample
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings, override
from handsynth.stages.holdings import Holdings, differences
from handsynth.stages.workspace import Workspace, store_name


class Written(Settings, frozen=True, kw_only=True):
    """Raw files that were written, and what their layout could not hold."""

    format: str
    samples: int
    not_held: tuple[str, ...]
    """One clause per field, joint or word that was known before and is not there any more, or was changed."""
    path: str


def export(
    store: str | None = None,
    as_: str = "ge_realworld",
    out: str | Path | None = None,
    settings: Sequence[str] = (),
    workspace: str | Path | Workspace | None = None,
) -> Written:
    """Write the kept samples of a store as raw files, read them back, and say what the layout could not hold.

    Args:
        as_: format to write.
        out: folder; ``data/STORE-FORMAT`` by default.
        settings: ``key=value`` texts over the format's options.

    Raises:
        UsageError: no such format or option.
        StoreError: the folder holds something already.
        DataError: a sample lacks what the layout must have; nothing is left behind.
    """
    space = Workspace.of(workspace)
    data, writer = space.store(store), get_format(as_)
    folder = Path(out) if out else space.root / "data" / f"{store_name(data.address)}-{as_}"
    samples = data.samples(data.kept)
    return write_raw(folder, writer, samples, len(data.kept), override(writer.options_type(), settings))


def write_raw(
    folder: Path,
    writer: Format,
    samples: Iterable[HandSample],
    count: int,
    options: Settings,
    beside: Mapping[str, bytes] | None = None,
) -> Written:
    """Write raw files, and small files ``beside`` them, apart from their place, and move them there at the end.

    A stopped run so leaves nothing half made. What was written is listed again, so it can be read.

    Args:
        count: number of samples, for the progress bar.

    Raises:
        StoreError: the folder holds something already.
        DataError: a sample lacks what the layout must have.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(sentence("an empty folder", "files in it", folder, "choose another --out"))
    part = folder.parent / f".{folder.name}.part"
    rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    given, written = Holdings(), Holdings()
    try:
        with progress.task(f"writing {writer.name}", count) as advance:
            writer.write(part, given.watch(samples, advance), options)
        for table in writer.catalogue(part, options):
            written.add_rows(table)
        for name, data in (beside or {}).items():
            (part / name).write_bytes(data)
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    finally:
        rmtree(part, ignore_errors=True)
    lost = tuple(differences(given, written))
    return Written(format=writer.name, samples=written.samples, not_held=lost, path=str(folder))
