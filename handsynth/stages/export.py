"""Write a store's samples in a dataset's own layout, for other people's trainers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from shutil import rmtree
from typing import Any

from handsynth.errors import StoreError, sentence
from handsynth.formats import get_format
from handsynth.hand.sample import HandSample
from handsynth.runtime import progress
from handsynth.stages.workspace import Workspace, store_name


def export(
    store: str | None = None,
    as_: str = "ge_realworld",
    out: str | Path | None = None,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write the kept samples of a store as raw files; returns the folder.

    Fields that the layout has no place for are dropped; which ones is said.

    Raises:
        UsageError: no such format.
        StoreError: the folder holds something already.
        DataError: a sample lacks what the layout must have.
    """
    space = Workspace.of(workspace)
    data, writer = space.store(store), get_format(as_)
    folder = Path(out) if out else space.root / "data" / f"{store_name(data.address)}-{as_}"
    with progress.task(f"writing {as_}", len(data.kept)) as advance:

        def samples() -> Iterator[HandSample]:
            for sample in data.samples(data.kept):
                advance()
                yield sample

        write_raw(folder, writer, samples())
    return folder


def write_raw(
    folder: Path, writer: Any, samples: Iterable[HandSample], beside: Mapping[str, bytes] | None = None
) -> None:
    """Write raw files, and small files ``beside`` them, apart from their place, and move them there at the end.

    A stopped run so leaves nothing half made.

    Raises:
        StoreError: the folder holds something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise StoreError(sentence("an empty folder", "files in it", folder, "choose another --out"))
    part = folder.parent / f".{folder.name}.part"
    rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        seen: set[str] = set()
        writer.write(part, _watched(samples, seen), writer.options_type())
        for name, data in (beside or {}).items():
            (part / name).write_bytes(data)
        dropped = sorted(seen - set(writer.fields))
        if dropped:
            progress.say(f"{writer.name} has no place for {', '.join(dropped)}; left out")
        if folder.exists():
            folder.rmdir()
        part.rename(folder)
    finally:
        rmtree(part, ignore_errors=True)


def _watched(samples: Iterable[HandSample], seen: set[str]) -> Iterator[HandSample]:
    """Pass samples on, noting which of their fields hold something."""
    names = ("rgb", "depth_mm", "mask", "joints_mm", "keypoints_px", "visible", "camera", "world_from_camera")
    for sample in samples:
        seen.update(name for name in names if getattr(sample, name) is not None)
        yield sample
