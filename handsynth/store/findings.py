"""What checks report: one finding per check, and the report of a whole store that ``handsynth verify`` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

from handsynth.runtime.settings import Settings

Status = Literal["ok", "warning", "fault", "not checkable"]

SHOWN = 5
"""Keys or paths that a finding names."""


class Finding(Settings, frozen=True, kw_only=True):
    """What one check found."""

    check: str
    status: Status
    count: int = 0
    """Samples or files at fault."""
    worst: tuple[str, ...] = ()
    """Their keys, or paths in the store; the worst first, five at most."""
    text: str
    why: str = ""
    """What explains it, as far as that is known; ``text`` ends in it."""

    @property
    def bare_text(self) -> str:
        """``text`` without ``why``."""
        return self.text.removesuffix(f"; {self.why}") if self.why else self.text


class Report(Settings, frozen=True, kw_only=True):
    """All findings about a store."""

    ok: bool
    """Whether nothing is at fault; warnings and what cannot be checked are no fault."""
    store_hash: str
    findings: tuple[Finding, ...]
    path: str | None = None
    """The HTML page, where one was written."""


def not_checkable(check: str, why: str) -> Finding:
    """The finding of a check that a source has no means for."""
    return Finding(check=check, status="not checkable", text=why)


def is_sound(findings: Iterable[Finding]) -> bool:
    """Whether none is a fault."""
    return all(finding.status != "fault" for finding in findings)


def refusals(findings: Iterable[Finding]) -> str:
    """The faults as one clause, what explains them once at its end; empty where there is none."""
    faults = [finding for finding in findings if finding.status == "fault"]
    return "; ".join([*(f"{finding.check}: {finding.bare_text}" for finding in faults), *_reasons(faults)])


def tell(findings: Iterable[Finding], say: Callable[[str], None]) -> None:
    """Say every warning and fault, then what explains them."""
    told = [finding for finding in findings if finding.status in ("warning", "fault")]
    for finding in told:
        say(f"{finding.check}: {finding.status}; {finding.bare_text}")
    for reason in _reasons(told):
        say(reason)


def _reasons(findings: Iterable[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.why for finding in findings if finding.why))
