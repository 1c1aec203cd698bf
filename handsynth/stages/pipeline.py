"""Run a chain of stages from one flat TOML file. Stages are safe to run twice, so a pipeline resumes where it stopped.

A file states its parameters at the top and its stages in order; ``{name}`` in a text is a parameter's value. An
argument that comes out as empty text is left to the stage's own default. ``--set`` takes values like the file's own; of
a list one item, or several between commas, will do. Parameters that follow from the value of another one stand in
``[when.NAME.VALUE]``, and that parameter then takes no other values than those listed::

    data = "sim"
    alpha = 0.4

    [when.data.sim]
    store = "bench-v1"

    [when.data.stb]
    store = "stb"

    [[stage]]
    stage = "augment"
    store = "{store}"
    alpha = "{alpha}"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import msgspec

from handsynth.errors import MissingError, UsageError, sentence
from handsynth.runtime import files, progress
from handsynth.runtime.settings import load_toml
from handsynth.stages.workspace import Workspace

STAGES = (
    "prepare",
    "simulate",
    "ingest",
    "index",
    "train",
    "augment",
    "evaluate",
    "image_quality",
    "reduce",
    "ablate",
    "report",
    "paper_figure",
    "paper_table",
    "export",
    "convert",
    "view",
)
"""Stages that a pipeline may name; each is a function of its own name in the module of its name."""

_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", Path: "a text"}


def run(
    pipeline: str | Path,
    settings: Sequence[str] = (),
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Any:
    """Run every stage in order and return the last one's result.

    Args:
        pipeline: a TOML file, or the name of one that comes with handsynth (``demo``).
        settings: ``parameter=value`` texts over the file's own.
        dry_run: check the file and say what would be run.

    Raises:
        MissingError: no such file.
        UsageError: an unknown stage or parameter or a value of another type, named with its place, before anything is
            run.
        whatever a stage raises.
    """
    space = Workspace.of(workspace)
    path = _find(pipeline)
    calls = read_pipeline(path, settings)
    result: Any = None
    for number, (name, function, arguments) in enumerate(calls, start=1):
        words = " ".join(f"{key}={value}" for key, value in arguments.items())
        progress.say(f"[{number}/{len(calls)}] {name} {words}")
        if not dry_run:
            result = function(**arguments, workspace=space)
    return str(path) if dry_run else result


def read_pipeline(path: Path, settings: Sequence[str] = ()) -> list[tuple[str, Callable[..., Any], dict[str, Any]]]:
    """Stages of a file as (name, function, arguments), checked against the functions' parameters and their types.

    Raises:
        MissingError, DataError, UsageError: see :func:`run`.
    """
    table = load_toml(path)
    steps = table.pop("stage", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, dict) for step in steps):
        raise UsageError(sentence("[[stage]] tables", "none", path, "see the file pipelines/demo.toml"))
    parameters = _parameters(table, settings, path)
    calls = []
    for number, step in enumerate(steps, start=1):
        where = f"stage {number} of {path}"
        filled = {key: _filled(value, parameters, where) for key, value in step.items()}
        arguments = {key: value for key, value in filled.items() if value != ""}
        name = arguments.pop("stage", None)
        if name not in STAGES:
            raise UsageError(sentence(f"stage = one of {', '.join(STAGES)}", repr(name), where))
        function = getattr(import_module(f"handsynth.stages.{name}"), name)
        hints = get_type_hints(function)
        known = set(inspect.signature(function).parameters) - {"workspace"}
        unknown = sorted(set(arguments) - known)
        if unknown:
            raise UsageError(sentence(f"parameters among {', '.join(sorted(known))}", ", ".join(unknown), where))
        fitting = {key: _fitting(key, value, hints[key], where) for key, value in arguments.items()}
        calls.append((name, function, fitting))
    return calls


def _parameters(table: dict[str, Any], settings: Sequence[str], path: Path) -> dict[str, Any]:
    """The file's parameters with ``settings`` over them, and those that follow from others."""
    given = dict(table)
    when = given.pop("when", {})
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or key not in given:
            raise UsageError(sentence(f"one of {', '.join(given)} with =", repr(text), "--set"))
        given[key] = _value(key, value, table[key])
    following: dict[str, Any] = {}
    for name, cases in when.items():
        value = str(given.get(name))
        if value not in cases:
            raise UsageError(sentence(f"{name} = one of {', '.join(cases)}", repr(value), path))
        where = f"[when.{name}.{value}] of {path}"
        following |= {key: _filled(each, given, where) for key, each in cases[value].items()}
    return given | following


def _find(pipeline: str | Path) -> Path:
    path = Path(pipeline)
    shipped = files.shipped("pipelines")
    candidate = path if path.suffix == ".toml" else shipped / f"{pipeline}.toml"
    if not candidate.is_file():
        known = ", ".join(name.removesuffix(".toml") for name in files.names(shipped))
        raise MissingError(sentence(f"a TOML file or one of {known}", "none", candidate))
    return candidate


def _value(key: str, text: str, old: Any) -> Any:
    """A ``--set`` text as a value of the old one's type; what replaces a text is checked where a stage takes it."""
    value = _decoded(text)
    if isinstance(old, str) or not text:
        return value if isinstance(value, str) else text
    if isinstance(old, list) and not isinstance(value, list):
        words = text.strip().removeprefix("[").removesuffix("]").split(",")  # a shell takes the quotes out of ["none"]
        return [_value(key, word.strip(), old[0] if old else "") for word in words]
    try:
        return msgspec.convert(value, _kind(old))
    except msgspec.ValidationError:
        like = msgspec.json.encode(old).decode()
        raise UsageError(sentence(f"{key} = a value like {like}", repr(text), "--set")) from None


def _kind(value: Any) -> Any:
    if isinstance(value, list):
        return list[_kind(value[0])] if value else list[Any]  # type: ignore[misc]
    return int | float if type(value) in (int, float) else type(value)


def _decoded(text: str) -> Any:
    """JSON, or a number as people write it (``.4``), or the text itself."""
    for decode in (msgspec.json.decode, float):
        try:
            return decode(text)
        except ValueError:
            continue
    return text


def _fitting(name: str, value: Any, hint: Any, where: str) -> Any:
    """An argument as the stage's parameter takes it; a text is read as what it stands for where none is taken."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, str) and str not in kinds:
        value = _decoded(value)
    try:
        return msgspec.convert(value, str if Path in kinds else hint, strict=False)
    except msgspec.ValidationError:
        raise UsageError(sentence(f"{name} = {_WORDS.get(kinds[0], 'a list')}", repr(value), where)) from None


def _filled(value: Any, parameters: dict[str, Any], where: str) -> Any:
    """Put parameters into texts; a text that is one parameter and nothing else takes the parameter's type."""
    if isinstance(value, list):
        return [_filled(item, parameters, where) for item in value]
    if not isinstance(value, str):
        return value
    if value.startswith("{") and value.endswith("}") and value[1:-1] in parameters:
        return parameters[value[1:-1]]
    try:
        return value.format_map(parameters)
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(sentence(f"parameters among {', '.join(parameters) or 'none'}", str(error), where)) from None
