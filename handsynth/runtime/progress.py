"""Progress and talk on stderr. Stages report here; who listens is the caller's choice.

In Python nothing is printed. The command line installs a rich listener with :func:`show`. A stage writes
``with task("ingest", total) as advance: ... advance()`` and ``say("training mmhand first")``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Protocol

_SECONDS_BETWEEN_LINES = 10.0

Advance = Callable[..., None]
"""``advance(steps=1, note="")``."""


class Listener(Protocol):
    """Where talk goes."""

    def say(self, text: str) -> None: ...

    def task(self, title: str, total: int) -> contextlib.AbstractContextManager[Advance]: ...


class Silent:
    """The default listener."""

    def say(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        yield lambda steps=1, note="": None


class Terminal:
    """Bars on a terminal; a line every few seconds where stderr is a file."""

    def __init__(self) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    @contextlib.contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        from rich import progress as bars

        if not self.console.is_terminal:
            yield self._lines(title, total)
            return
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
            bars.TextColumn("{task.fields[note]}"),
        )
        with bars.Progress(*columns, console=self.console) as bar:
            item = bar.add_task(title, total=total, note="")

            def advance(steps: int = 1, note: str = "") -> None:
                if note:
                    bar.update(item, advance=steps, note=note)
                else:
                    bar.update(item, advance=steps)

            yield advance

    def _lines(self, title: str, total: int) -> Advance:
        done, shown = 0, time.monotonic()

        def advance(steps: int = 1, note: str = "") -> None:
            nonlocal done, shown
            done += steps
            late = time.monotonic() - shown > _SECONDS_BETWEEN_LINES
            if late or (steps and done == total):
                shown = time.monotonic()
                self.say(f"{title}: {done}/{total}{'  ' + note if note else ''}")

        return advance


_listener: ContextVar[Listener] = ContextVar("handsynth_listener", default=Silent())  # noqa: B039 - Silent has no state


def say(text: str) -> None:
    """Tell the user something worth knowing while work goes on."""
    _listener.get().say(text)


def duration(seconds: float) -> str:
    """Seconds in words, as exact as an estimate deserves."""
    if seconds < 1.5:
        return "a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def task(title: str, total: int) -> contextlib.AbstractContextManager[Advance]:
    """Open a progress bar; the value is ``advance(steps=1, note="")``."""
    return _listener.get().task(title, total)


@contextlib.contextmanager
def show(listener: Listener) -> Iterator[None]:
    """Send talk to ``listener`` inside the block."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
