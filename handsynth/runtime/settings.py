"""Settings are frozen msgspec structs: one type gives validation, TOML and JSON, a JSON Schema and a stable hash."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from handsynth.errors import DataError, MissingError, UsageError, sentence


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all settings; unknown names are refused."""


T = TypeVar("T")


def canonical_json(value: Any) -> bytes:
    """The one spelling of a value: keys sorted, no spaces. What is hashed and what goes to disk."""
    return msgspec.json.encode(value, order="sorted")


def digest(value: Any) -> str:
    """32 hex digits that change when any setting in ``value`` changes."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:32]


def pretty_json(value: Any) -> bytes:
    """Canonical JSON, indented for people, ending in a newline."""
    return msgspec.json.format(canonical_json(value), indent=2) + b"\n"


def parse(data: bytes, kind: type[T], where: object) -> T:
    """Decode JSON into a settings or record type.

    Raises:
        DataError: the file is not JSON of that shape.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise DataError(
            sentence(f"a {kind.__name__} record", str(error), where, "restore or delete the file")
        ) from None


def convert(value: Any, kind: type[T], where: object) -> T:
    """Build a settings type from plain values (a TOML table, say).

    Raises:
        UsageError: a name or a type is wrong.
    """
    try:
        return msgspec.convert(value, type=kind, strict=False)
    except msgspec.ValidationError as error:
        raise UsageError(sentence(f"{kind.__name__} settings", str(error), where)) from None


def override(settings: T, assignments: Sequence[str]) -> T:
    """Apply ``key=value`` texts (dots reach into nested settings); values are JSON or bare words.

    Raises:
        UsageError: a text without '=', an unknown key or a value of the wrong type.
    """
    if not assignments:
        return settings
    tree = msgspec.to_builtins(settings)
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(sentence("key=value", repr(assignment), "--set"))
        *parents, last = path.strip().split(".")
        node = tree
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            known = ", ".join(sorted(tree))
            raise UsageError(sentence(f"one of the settings {known}", repr(path), "--set"))
        try:
            node[last] = msgspec.json.decode(text.encode())
        except msgspec.DecodeError:
            node[last] = text
    return convert(tree, type(settings), "--set " + " ".join(assignments))


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        MissingError, DataError: it is not there, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingError(sentence("a TOML file", "none", path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(sentence("TOML", str(error), path, "mend that line")) from None


def json_schema(kind: type) -> dict[str, Any]:
    """JSON Schema of a settings or record type, as kept in ``schemas/``."""
    return msgspec.json.schema(kind)
