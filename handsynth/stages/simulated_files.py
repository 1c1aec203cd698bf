"""Simulated raw files in the layout of a dataset, resumable: workers render pieces, which are laid out in their order.

FOLDER appears whole at the end. Until then the rendered samples wait losslessly in the hidden ``.FOLDER.unfinished``
beside it: a stopped run loses no finished piece, and only the laying out begins anew.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any, cast

from handsynth.errors import StoreError, sentence
from handsynth.formats import get_format
from handsynth.runtime import progress
from handsynth.runtime.cluster import run_tasks
from handsynth.runtime.ledger import ShardRecord
from handsynth.runtime.settings import canonical_json, digest
from handsynth.simulator import SIMULATOR_VERSION
from handsynth.stages import pieces
from handsynth.stages.export import write_raw
from handsynth.stages.rendering import Part, Work
from handsynth.stages.rerender import Residuals

_RECORD = "simulated.json"


@dataclass(frozen=True)
class _Task:
    folder: str
    number: int
    settings_hash: str
    part: Part


def write_files(
    folder: Path,
    name: str,
    work: Work,
    workers: int | None = None,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> None:
    """Render a work and write it in the layout of the format ``name``; go on where a stopped run ended.

    Raises:
        StoreError: the folder holds something else, or a stopped run had other settings.
        SpaceError: the disk is full.
        DataError, MissingError: a rendered piece was damaged or removed meanwhile.
    """
    described = work.described()
    made_by = {"format": name, "settings": described.pop("simulator"), **described, "version": SIMULATOR_VERSION}
    whole = folder.absolute()  # workers may stand elsewhere
    unfinished = whole.parent / f".{whole.name}.unfinished"
    if _is_there(folder, made_by, overwrite):
        if not dry_run:
            rmtree(unfinished, ignore_errors=True)  # of a run that was killed at the very end
        return
    if dry_run:
        progress.say(f"would render {work.samples} images as {name} to {folder}")
        return
    settings_hash = digest({"layout": pieces.LAYOUT} | made_by)
    with pieces.waiting(unfinished, settings_hash, overwrite) as finished:
        if overwrite and folder.exists():
            rmtree(folder)
        if finished:
            before = sum(record.filled + record.rejected for record in finished.values())
            progress.say(f"{before} of {work.samples} images were rendered by a run that stopped; going on from there")
        todo = {number: moments for number, moments in enumerate(work.pieces()) if number not in finished}
        ready = work.fitted(workers, scheduler) if todo else work
        tasks = [_Task(str(unfinished), number, settings_hash, ready.part(part)) for number, part in todo.items()]
        residuals, writer = Residuals(), get_format(name)
        with closing(_all_records(finished, tasks, workers, scheduler)) as records:
            items: Iterator[Any] = (item for record in records for item in pieces.read_piece(str(unfinished), record))
            samples = residuals.watch(items) if work.poses else items
            beside = {_RECORD: canonical_json(made_by)}
            write_raw(folder, writer, samples, work.samples, writer.options_type(), beside)
    if work.poses:
        progress.say(residuals.summary())


def _all_records(
    finished: Mapping[int, ShardRecord], tasks: Sequence[_Task], workers: int | None, scheduler: str | None
) -> Generator[ShardRecord, None, None]:
    """The records of all pieces, in order: of those that are ``finished``, and of those that the tasks render."""
    results = run_tasks(_render_piece, tasks, workers=workers, scheduler=scheduler, in_order=True)
    with closing(cast(Generator[ShardRecord, None, None], results)):
        for number in range(len(finished) + len(tasks)):
            yield finished[number] if number in finished else next(results)


def _render_piece(task: _Task) -> ShardRecord:
    return pieces.write_piece(task.folder, task.number, task.settings_hash, task.part.render())


def _is_there(folder: Path, made_by: dict[str, Any], overwrite: bool) -> bool:
    """Whether the folder holds these very files already, and they shall stay.

    Raises:
        StoreError: it holds something else, which no simulation wrote or nobody wishes to replace.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return False
    record = folder / _RECORD
    simulated = record.is_file()
    if simulated and overwrite:
        return False
    if simulated and record.read_bytes() == canonical_json(made_by):
        return True
    found = "other simulated files" if simulated else "other files"
    advice = "choose another --out, or --overwrite" if simulated else "choose another --out"
    raise StoreError(sentence("an empty folder or the same simulation", found, folder, advice))
