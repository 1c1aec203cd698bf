"""Check a store: every byte against its checksum, and by the doctor its labels against each other and its images.

Reads a store, writes an HTML page with the findings and pictures of the worst samples.
"""

from __future__ import annotations

from pathlib import Path

from handsynth.doctor.examine import Histogram, examine_store, samples_of
from handsynth.errors import UsageError, sentence
from handsynth.hand.sample import HandSample
from handsynth.reports.doctor import render_doctor
from handsynth.runtime import files
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.findings import Report, is_sound
from handsynth.store.read import Store
from handsynth.store.verify import check_files

_LOOKED_AT = 12
"""Samples on the page beside the worst ones."""


def verify(
    store: str | None = None,
    out: str | Path | None = None,
    page: bool = True,
    *,
    workspace: str | Path | Workspace | None = None,
) -> Report:
    """Findings of all checks; ``report.ok`` is False where anything is at fault.

    Args:
        out: HTML file to write; ``runs/NAME-doctor.html`` in the workspace by default.
        page: whether to write it.

    Raises:
        MissingError, UsageError, StoreError: there is no such store, several to choose from, or it is unfinished.
        SpaceError: the page cannot be written.
    """
    space = Workspace.of(workspace)
    opened = space.store(store)
    path = Path(out) if out is not None else space.root / "runs" / f"{store_name(opened.address)}-doctor.html"
    if page and path.suffix != ".html":
        raise UsageError(sentence("a file that ends in .html", repr(path.name), "--out"))
    findings = check_files(opened)
    histograms: tuple[Histogram, ...] = ()
    pictures: dict[str, HandSample] = {}
    if is_sound(finding for finding in findings if finding.check != "file names"):
        examined = examine_store(opened)
        findings += examined.findings
        histograms = examined.histograms
        if page:
            pictures = samples_of(
                opened, {*(key for found in examined.findings for key in found.worst), *_some(opened)}
            )
    report = Report(
        ok=is_sound(findings),
        store_hash=opened.hash,
        findings=tuple(findings),
        path=str(path) if page else None,
    )
    if page:
        title = f"{store_name(opened.address)}: {'sound' if report.ok else 'not sound'}"
        plan = opened.info.plan
        about = f"{len(opened)} samples of {plan.source.name}, {plan.size} px, {', '.join(plan.pixels)}"
        files.write(path, render_doctor(title, about, findings, histograms, pictures).encode())
    return report


def _some(store: Store) -> list[str]:
    """Keys at even steps through the store."""
    keys = store.table(["key"]).column("key")
    step = max(len(keys) // _LOOKED_AT, 1)
    return [keys[row].as_py() for row in range(0, len(keys), step)][:_LOOKED_AT]
