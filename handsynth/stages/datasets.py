"""What is known about each dataset: what it is, what to download, where to put it, what is found here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from handsynth.errors import HandsynthError
from handsynth.formats import format_names, get_format
from handsynth.formats.manifest import load_manifest, manifest_names
from handsynth.runtime.settings import canonical_json
from handsynth.stages.workspace import Workspace


def datasets(name: str | None = None, workspace: str | Path | Workspace | None = None) -> dict[str, Any]:
    """One line for every dataset, or all about one.

    Raises:
        UsageError: there is no dataset of that name.
    """
    import msgspec

    space = Workspace.of(workspace)
    if name is None:
        return {each: f"{get_format(each).summary} (found here: {_found(space, each)})" for each in format_names()}
    get_format(name)  # an unknown name is refused with the list of formats
    if name not in manifest_names():
        return {"name": name, "summary": get_format(name).summary, "found here": _found(space, name)}
    page: dict[str, Any] = msgspec.json.decode(canonical_json(load_manifest(name)))
    named = {key: value for key, value in page.items() if value not in (None, [], {})}
    first = ("name", "title", "page", "licence", "paper", "archives", "layout", "counts")
    ordered = {key: named.pop(key) for key in first if key in named}
    place = space.root / "data" / name
    return (
        ordered
        | {"put it": f"{place}, or give its folder to: handsynth ingest {name} FOLDER"}
        | named
        | {"found here": _found(space, name)}
    )


def _found(space: Workspace, name: str) -> str:
    """What of a dataset lies in the workspace."""
    folder = space.root / "data" / name
    store = space.root / "stores" / name / "store.json"
    if not folder.is_dir():
        return f"a store, {store.parent}" if store.is_file() else "nothing"
    reader = get_format(name)
    try:
        annotations = reader.annotations(folder, reader.options_type())
    except HandsynthError as error:
        return f"an incomplete folder: {error}"
    return f"{len(annotations)} annotation files in {folder}" + (", and a store" if store.is_file() else "")
