"""Run a chain of stages from one flat TOML file. Stages are safe to run twice, so a pipeline resumes where it stopped.

A file states its parameters at the top and its stages in order; ``{name}`` in a text is a parameter's value. An
argument that comes out as empty text is left to the stage's own default. Parameters that follow from the value of
another one stand in ``[when.NAME.VALUE]``, and that parameter then takes no other values than those listed::

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
from typing import Any

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
        UsageError: an unknown stage or parameter, named with its place, before anything is run.
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
    """Stages of a file as (name, function, arguments), checked against the functions' parameters.

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
        known = set(inspect.signature(function).parameters) - {"workspace"}
        unknown = sorted(set(arguments) - known)
        if unknown:
            raise UsageError(sentence(f"parameters among {', '.join(sorted(known))}", ", ".join(unknown), where))
        calls.append((name, function, arguments))
    return calls


def _parameters(table: dict[str, Any], settings: Sequence[str], path: Path) -> dict[str, Any]:
    """The file's parameters with ``settings`` over them, and those that follow from others."""
    given = dict(table)
    when = given.pop("when", {})
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or key not in given:
            raise UsageError(sentence(f"one of {', '.join(given)} with =", repr(text), "--set"))
        given[key] = _value(value)
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


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        return text


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
        raise UsageError(sentence(f"parameters among {', '.join(parameters)}", str(error), where)) from None
