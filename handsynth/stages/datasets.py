"""What is known about each dataset: what it is, what to download, where to put it, what of it is here."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from handsynth.errors import HandsynthError
from handsynth.formats import format_names, get_format
from handsynth.formats.format import Format
from handsynth.formats.manifest import Manifest, load_manifest, manifest_names
from handsynth.runtime import files
from handsynth.runtime.settings import json_schema
from handsynth.stages.workspace import Workspace


def datasets(
    name: str | None = None, root: str | Path | None = None, workspace: str | Path | Workspace | None = None
) -> dict[str, Any]:
    """One line for every dataset, or a page about one: how to get it, what of it is here, how it is read.

    Args:
        root: folder to look at for what is there; ``data/NAME`` by default.

    Raises:
        UsageError: there is no dataset of that name.
    """
    space = Workspace.of(workspace)
    if name is None:
        return {each: f"{get_format(each).summary} ({_seen(space, each)})" for each in format_names()}
    reader = get_format(name)
    folder = space.root / "data" / name if root is None else Path(root)
    if name not in manifest_names():  # a format that another package brings
        return {"name": name, "summary": reader.summary, "found here": _readable(reader, folder)}
    return _page(reader, load_manifest(name), folder)


def _page(reader: Format, manifest: Manifest, folder: Path) -> dict[str, Any]:
    name = manifest.name
    page: dict[str, Any] = {
        "name": name,
        "title": manifest.title,
        "summary": reader.summary,
        "paper": manifest.paper,
        "licence": manifest.licence,
        "1. download": {"from": manifest.page}
        | {archive.file: f"{archive.holds}: {archive.unpack}" for archive in manifest.archives},
        f"2. so that {folder} holds": manifest.layout,
        "3. what is there now": _found(reader, manifest, folder),
        "4. read it": f"handsynth ingest {name}" + (f" {folder}" if folder.parts[-2:] != ("data", name) else ""),
    }
    options = _options(reader)
    if options:
        page["options (--set key=value)"] = options
    page |= {
        "samples": ", ".join(f"{key.replace('_', ' ')} {count:,}" for key, count in manifest.counts.items()) or "yours",
        "splits": manifest.splits,
        "kept together": manifest.moments,
        "as stored": f"{manifest.unit}; x {manifest.axes[0]}, y {manifest.axes[1]}, z {manifest.axes[2]}; "
        f"root {manifest.root}; {' and '.join(manifest.sides)} hands",
        "joints in its order": list(manifest.joints),
        "fields": list(reader.fields),
    }
    if manifest.defects:
        page["to know"] = list(manifest.defects)
    if manifest.known_bad:
        frames = sum(len(manifest.bad_frames(place)) for place in manifest.known_bad)
        page["known bad"] = f"{frames} frames in {len(manifest.known_bad)} places, kept and marked"
    page["all numbers"] = str(files.shipped("manifests") / f"{name}.toml")
    return {key: value for key, value in page.items() if value not in ("", [], {})}


def _found(reader: Format, manifest: Manifest, folder: Path) -> str | dict[str, str]:
    """What a folder holds of what a whole download has."""
    if not folder.is_dir():
        return f"nothing: there is no folder {folder}"
    counts = {pattern: count_files(folder, pattern.split(" or ")) for pattern in manifest.expected}
    lines = {}
    for pattern, expected in manifest.expected.items():
        found = counts[pattern]
        wanted = f" of {expected:,}" if expected else ""
        short = found < expected or not found
        lines[pattern] = f"{found:,}{wanted}" + (" <- missing" if not found else " <- incomplete" if short else "")
    return lines | {"it can be read": _readable(reader, folder)}


def _readable(reader: Format, folder: Path) -> str:
    try:
        count = len(reader.annotations(folder, reader.options_type()))
    except HandsynthError as error:
        return f"no: {error}"
    return f"yes, by {count:,} annotation file{'s' if count != 1 else ''}; ingest tells what else lacks"


def _seen(space: Workspace, name: str) -> str:
    found = [kind for kind in ("data", "stores") if (space.root / kind / name).is_dir()]
    return f"here: {', '.join(f'{kind}/{name}' for kind in found)}" if found else "not here"


def count_files(root: Path, patterns: Iterable[str]) -> int:
    """Number of files below ``root`` that match any of the patterns, ``*`` standing for a part of one name."""
    return sum(1 for pattern in patterns for _ in _matching(str(root), pattern.split("/")))


def _matching(folder: str, parts: list[str]) -> Iterator[str]:
    head, *rest = parts
    if not any(mark in head for mark in "*?["):
        path = os.path.join(folder, head)
        if rest:
            yield from _matching(path, rest)
        elif os.path.isfile(path):
            yield path
        return
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if fnmatch.fnmatchcase(entry.name, head)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    for entry in found:
        if rest and entry.is_dir():
            yield from _matching(entry.path, rest)
        elif not rest and entry.is_file():
            yield entry.path


def _options(reader: Format) -> dict[str, str]:
    """Options of a format: default and what they may be."""
    schema = json_schema(reader.options_type)
    kind = next(iter(schema.get("$defs", {}).values()), schema)
    return {
        name: f"{_shown(option.get('default'))}  ({_choices(option)})"
        for name, option in kind.get("properties", {}).items()
    }


def _shown(value: Any) -> str:
    return "none" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value).lower()


def _choices(option: dict[str, Any]) -> str:
    if "enum" in option:
        return "one of " + ", ".join(map(str, option["enum"]))
    kinds = [each for each in option.get("anyOf", [option]) if each.get("type") != "null"]
    if any("enum" in each for each in kinds):
        return _choices(next(each for each in kinds if "enum" in each))
    names = {"string": "a word", "integer": "a whole number", "number": "a number", "boolean": "true or false"}
    return " or ".join(names.get(str(each.get("type")), "a list") for each in kinds)
