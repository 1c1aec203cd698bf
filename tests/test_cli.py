"""The command line: signatures equal the stages', every error is one sentence, exit codes mean something."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import handsynth
from handsynth import cli
from handsynth.command import load_stage
from handsynth.runtime import files
from handsynth.stages.systems import image_generators

COMMANDS = {command.callback.__name__: command.callback for command in cli.app.registered_commands if command.callback}


def run(*arguments: str, workspace: Path | None = None) -> Result:
    where = ["--workspace", str(workspace)] if workspace else []
    return CliRunner().invoke(cli.app, [*arguments, *where], catch_exceptions=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_the_stage_s_parameters(name: str) -> None:
    command, stage = COMMANDS[name], load_stage(COMMANDS[name].stage)  # type: ignore[attr-defined]
    ours, theirs = inspect.signature(command).parameters, inspect.signature(stage).parameters
    assert set(ours) - {"json"} <= set(theirs), f"{name} offers what the stage does not take"
    for parameter in set(ours) - {"json", "workspace", "yes"}:
        one, two = ours[parameter].default, theirs[parameter].default
        assert (list(one) if isinstance(one, list) else one) == (list(two) if isinstance(two, tuple) else two), (
            parameter
        )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_teaches(name: str) -> None:
    result = run(name.replace("_", "-"), "--help")
    assert result.exit_code == 0
    assert "--json" in result.output
    assert "--workspace" in result.output


def test_help_points_to_where_things_stand() -> None:
    """Texts come before options; names that an argument may have are told."""
    pipelines = [name.removesuffix(".toml") for name in files.names(files.shipped("pipelines"))]
    named = {"run": pipelines, "augment": [*image_generators(), "simulator"]}
    for name in COMMANDS:
        shown = run(name.replace("_", "-"), "--help").output
        assert "see below" not in shown, name
        assert [wanted for wanted in named.get(name, []) if wanted not in shown] == []


def test_every_stage_is_a_function_of_the_package() -> None:
    for name in handsynth.__all__:
        assert getattr(handsynth, name)
    assert set(COMMANDS) <= set(handsynth.__all__)
    with pytest.raises(AttributeError, match="no attribute"):
        handsynth.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["ingest", "nosuch", "."], 2, ["one of the formats", "ge_realworld"]),
        (["ingest", "ge_realworld"], 1, ["raw files of ge_realworld", "handsynth datasets ge_realworld"]),
        (["ingest", "ge_realworld", "nowhere"], 1, ["nowhere"]),
        (["info"], 1, ["expected a store, found none", "handsynth ingest"]),
        (["info", "nosuch"], 1, ["a store named nosuch"]),
        (["train", "nosuch"], 1, ["expected a store"]),
        (["evaluate"], 1, ["expected a run, found none", "handsynth train"]),
        (["report"], 1, ["runs or augmented stores"]),
        (["run", "nosuch"], 1, ["a TOML file or one of", "demo"]),
        (["datasets", "nosuch"], 2, ["one of the formats"]),
        (["simulate", "--count", "0"], 2, ["at least 1 image"]),
        (["simulate", "--as", "nosuch"], 2, ["one of the formats"]),
        (["nosuch"], 2, ["No such command"]),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path: Path, arguments: list[str], code: int, words: list[str]) -> None:
    command = [sys.executable, "-m", "handsynth.cli", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr
    if arguments != ["nosuch"]:
        assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir()), "something half-made was left behind"


def test_datasets_as_json() -> None:
    result = run("datasets", "stb", "--json")
    page = json.loads(result.stdout)
    assert page["name"] == "stb"
    assert "licence" in page
    assert set(json.loads(run("datasets", "--json").stdout)) >= {"ge_realworld", "stb", "rhd", "msra15"}


def test_version() -> None:
    assert run("--version").output.strip() == handsynth.__version__


def test_interrupting_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("handsynth.command.load_stage", lambda stage: interrupted)
    assert run("demo").exit_code == 130
