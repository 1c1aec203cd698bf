"""How a command of the command line comes about: from a signature, the stage of the same parameters, a help text.

Results go to stdout (``--json`` for machines), talk to stderr. Exit codes: 0 done, 1 failed, 2 wrong use,
130 interrupted. Stages are imported when they run, so that ``--help`` is instant.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

import handsynth
from handsynth.errors import HandsynthError, sentence

app = typer.Typer(
    name="handsynth",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""Turn any 3-D hand dataset into one clean store, and too little data into enough.

    The flow: **simulate** or **ingest** -> **index** -> **augment** -> **train** -> **evaluate** -> **report**.
    See all of it in minutes: `handsynth demo`.

    A STORE or RUN is a name in the workspace (the current folder, `--workspace` or `HANDSYNTH_WORKSPACE`) or a path;
    where only one candidate exists it may be left out.""",
    epilog="Results go to stdout, talk to stderr. Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
)

FLOW, STORES, MORE = "The flow", "Stores", "Whole experiments"

Argument, Option = typer.Argument, typer.Option
StoreName = Annotated[str | None, Argument(metavar="STORE", help="Store name or path; the only store by default.")]
Scheduler = Annotated[str | None, Option(help="Address of a running Dask scheduler to join.")]
Workers = Annotated[int | None, Option(help="Local processes; one per core by default.")]
Seed = Annotated[int, Option(help="Fixes splits, pairs, order and results on one machine.")]
DryRun = Annotated[bool, Option("--dry-run", help="Say what would be done; write nothing.")]
Overwrite = Annotated[bool, Option("--overwrite/--resume", help="Start again, or go on where a stopped run ended.")]
Contiguous = Annotated[bool, Option("--contiguous", help="Draw whole sequences: neighbouring frames stay together.")]
Assignments = Annotated[list[str], Option("--set", metavar="KEY=VALUE", help="Change a setting; repeatable.")]
Preset = Annotated[str | None, Option(help="paper, published, small or tiny; by default small on a GPU, else tiny.")]
DeviceName = Annotated[str, Option(help="auto, cpu or cuda.")]
Compile = Annotated[str, Option(help="Networks: on, off, or auto: on a GPU for over ten minutes.")]
CompileAll = Annotated[str, Option(help="Networks: on or off; auto is off: no arm may differ by a measured time.")]
Yes = Annotated[bool, Option("--yes", help="Train even where the estimate is over an hour.")]
Steps = Annotated[int | None, Option(help="Optimisation steps; the preset's by default.")]
FormatName = Annotated[str, Option("--as", metavar="FORMAT", help="Layout to write; see: handsynth datasets.")]


def command(stage: str, panel: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command that calls ``stage`` (``module:function`` below ``handsynth.stages``) with its parameters.

    Adds ``--json`` and ``--workspace``, shows progress, prints the result, turns errors into a sentence and a code.
    """

    def register(signature: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(signature)
        def wrapped(**arguments: Any) -> None:
            from handsynth.runtime.progress import Terminal, show

            as_json = arguments.pop("json")
            with _explained(), show(Terminal()):
                result = load_stage(stage)(**arguments)
                _print(result, as_json, planned=arguments.get("dry_run", False))
            if getattr(result, "ok", True) is False:  # a report that found faults
                raise typer.Exit(1)

        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        json_option = Annotated[bool, Option("--json", help="Print the result as JSON.")]
        workspace_option = Annotated[Path | None, Option(help="Folder of data/, stores/ and runs/.")]
        parameters = [
            *inspect.signature(signature, eval_str=True).parameters.values(),
            inspect.Parameter("workspace", keyword, default=None, annotation=workspace_option),
            inspect.Parameter("json", keyword, default=False, annotation=json_option),
        ]
        wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        wrapped.stage = stage  # type: ignore[attr-defined]
        del wrapped.__wrapped__
        app.command(rich_help_panel=panel)(wrapped)
        return wrapped

    return register


def load_stage(stage: str) -> Callable[..., Any]:
    """The function of a stage, imported now."""
    from importlib import import_module

    module, _, name = stage.partition(":")
    function: Callable[..., Any] = getattr(import_module(f"handsynth.stages.{module}"), name)
    return function


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """What a user did wrong, or a machine could not do, is one sentence; our own mistakes keep their traceback."""
    try:
        yield
    except HandsynthError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; what was finished is kept, and the same command resumes", 130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS, errno.EPERM):
            raise
        where = error.filename or "the workspace"
        _fail(sentence("room to write", (error.strerror or "an error").lower(), where, "free some space"), 1)


def _fail(message: str, code: int) -> None:
    print(f"handsynth: {message}", file=sys.stderr)
    raise typer.Exit(code)


def _print(value: Any, as_json: bool, planned: bool) -> None:
    from handsynth.stages.summary import as_text, summarize

    summary = summarize(value, planned)
    if as_json:
        from handsynth.runtime.settings import pretty_json

        sys.stdout.write(pretty_json(summary).decode())
    else:
        print(as_text(summary))


def _show_version(asked: bool) -> None:
    if asked:
        print(handsynth.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, Option("--version", is_eager=True, callback=_show_version, help="Print the version and stop.")
    ] = False,
) -> None:
    pass
