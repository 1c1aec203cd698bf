"""Result tables: evaluations to a frame of numbers, and the frame to HTML, Markdown and terminal text.

The frame holds plain numbers, so it can be sorted, filtered and saved; what belongs to the reading of it travels in
``frame.attrs``: ``better`` (per column ``lower`` or ``higher``), ``protocols`` and ``notes`` (sentences). Every
rendering carries the protocol below the table.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape
from scipy import stats

from handsynth.reports.arms import Arm, Evaluated, arms
from handsynth.reports.wording import (
    DASH,
    markdown,
    notes_on,
    number,
    place_labels,
    protocol_line,
    score_label,
    score_rank,
)

INTERVAL = " ±"
"""Ending of the columns with the half-widths of 95 % intervals."""

_WORDS = ("system", "training data", "evaluated on", "steps", "seeds")


def results_table(evaluations: Sequence[Evaluated], merge_seeds: bool = True) -> pd.DataFrame:
    """One row per system trained in one way, and per trivial baseline of each evaluated split.

    Args:
        evaluations: runs with their evaluations. Numbers of different stores, splits or protocols may share the
            frame: a column ``evaluated on`` then tells them apart; :func:`handsynth.reports.arms.by_place` parts them.
        merge_seeds: runs that differ by seed alone become one row with their mean; the half-width of the 95 % t
            interval stands in a column of the same name ending in ``±``. False lists every run.

    Returns:
        Columns ``system``, ``training data``, (``evaluated on``), ``steps`` (Int64), ``seeds``, one column per score
        with its unit in the header, its ``±`` column where any row has several seeds, ``trivial`` (bool).
    """
    rows = arms(evaluations, merge_seeds)
    places = place_labels(rows)
    measured = {(score, arm.place.unit) for arm in rows for score in arm.values}
    labels = {pair: score_label(*pair) for pair in sorted(measured, key=lambda pair: (score_rank(pair[0]), pair[1]))}
    better: dict[str, str] = {}
    records = []
    for arm in rows:
        record: dict[str, Any] = {"system": arm.name, "training data": arm.training or DASH}
        if len(places) > 1:
            record["evaluated on"] = places[arm.place]
        record |= {"steps": arm.steps, "seeds": _seeds(arm)}
        for (score, unit), label in labels.items():
            if score in arm.values and unit == arm.place.unit:
                numbers = np.array(arm.values[score], dtype=np.float64)
                record |= {label: numbers.mean(), label + INTERVAL: half_width(numbers)}
                better |= {label: arm.better[score]} if score in arm.better else {}
        records.append(record | {"trivial": arm.trivial})
    frame = pd.DataFrame(records, columns=list(_columns(labels.values(), len(places) > 1)))
    frame["steps"] = frame["steps"].astype("Int64")
    frame["trivial"] = frame["trivial"].astype(bool)
    frame = frame.drop(
        columns=[name for name in map(str, frame) if name.endswith(INTERVAL) and frame[name].isna().all()]
    )
    frame.attrs = {
        "better": better,
        "protocols": [protocol_line(place, label) for place, label in places.items()],
        "notes": notes_on(rows, places) if rows else ["Nothing has been evaluated yet: handsynth evaluate RUN."],
    }
    return frame


def _columns(labels: Iterable[str], several_places: bool) -> Iterator[str]:
    yield from (name for name in _WORDS if several_places or name != "evaluated on")
    for label in dict.fromkeys(labels):
        yield from (label, label + INTERVAL)
    yield "trivial"


def half_width(numbers: np.ndarray) -> float:
    """Half-width of the two-sided 95 % t interval of the mean of (n,) numbers; NaN below two."""
    n = len(numbers)
    if n < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, n - 1) * numbers.std(ddof=1) / np.sqrt(n))


def to_html(frame: pd.DataFrame) -> Markup:
    """A table element with its protocol below; names are escaped, the best trained system per column is bold."""
    cells, numeric = _cells(frame, lambda text: Markup("<strong>{}</strong>").format(text), escape)
    head = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(Markup(' class="number"') if column in numeric else "", header)
        for column, header in _headers(frame).items()
    )
    body = Markup("").join(
        Markup("<tr{}>{}</tr>\n").format(
            Markup(' class="trivial"') if trivial else "",
            Markup("").join(
                Markup('<th scope="row">{}</th>').format(cell)
                if column == "system"
                else Markup("<td{}>{}</td>").format(Markup(' class="number"') if column in numeric else "", cell)
                for column, cell in row.items()
            ),
        )
        for row, trivial in zip(cells, frame["trivial"], strict=True)
    )
    lines = Markup("").join(
        Markup('<p class="protocol">{}</p>\n').format(line) for line in frame.attrs.get("protocols", [])
    )
    return Markup(
        '<div class="scroll"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{}</tbody>\n</table></div>\n{}'
    ).format(head, body, lines)


def to_markdown(frame: pd.DataFrame) -> str:
    """A GitHub table, then protocol and notes; the best trained system per column is bold."""

    cells, numeric = _cells(frame, lambda text: f"**{text}**", markdown)
    headers = {column: markdown(header) for column, header in _headers(frame).items()}
    lines = [
        "| " + " | ".join(headers.values()) + " |",
        "|" + "|".join("---:" if column in numeric else "---" for column in headers) + "|",
        *("| " + " | ".join(row.values()) + " |" for row in cells),
    ]
    protocols = "".join(f"\n{markdown(line)}\n" for line in frame.attrs.get("protocols", []))
    notes = "".join(f"- {markdown(note)}\n" for note in frame.attrs.get("notes", []))
    return "\n".join(lines) + "\n" + protocols + ("\n" + notes if notes else "")


def to_text(frame: pd.DataFrame, width: int = 100) -> str:
    """Aligned columns for a terminal, then protocol and notes wrapped; ``*`` marks the best trained system."""
    cells, numeric = _cells(frame, lambda text: f"{text}*", str)
    headers = _headers(frame)
    table = [headers, *cells]
    widths = {column: max(len(row[column]) for row in table) for column in headers}

    def line(row: dict[str, str]) -> str:
        # The mark hangs to the right of the number, so that digits stay under digits.
        padded = [
            (cell if cell.endswith("*") else cell + " ").rjust(widths[column] + 1)
            if column in numeric
            else cell.ljust(widths[column])
            for column, cell in row.items()
        ]
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * (widths[column] + (column in numeric)) for column in headers)
    wide = max(width, len(rule) if len(rule) <= 160 else width)
    below = [*frame.attrs.get("protocols", []), *frame.attrs.get("notes", [])]
    wrapped = [textwrap.fill(text, wide, subsequent_indent="  ") for text in below]
    return "\n".join([line(headers), rule, *map(line, cells), "", *wrapped]) + "\n"


def _headers(frame: pd.DataFrame) -> dict[str, str]:
    """Shown columns and their headers, with an arrow towards the better numbers."""
    arrows = {"lower": " ↓", "higher": " ↑"}
    better = frame.attrs.get("better", {})
    shown = [name for name in frame.columns if name != "trivial" and not name.endswith(INTERVAL)]
    return {name: name + arrows.get(better.get(name, ""), "") for name in shown}


def _cells(
    frame: pd.DataFrame, mark: Callable[[str], Any], words: Callable[[str], Any]
) -> tuple[list[dict[str, Any]], set[str]]:
    """Texts by row and column, and the columns that hold numbers."""
    shown = list(_headers(frame))
    scores = [name for name in shown if name not in _WORDS]
    best = {name: _best(frame, name) for name in scores}
    better = frame.attrs.get("better", {})
    rows = []
    for position, record in enumerate(frame.to_dict("records")):
        row: dict[str, Any] = {}
        for name in shown:
            if name in scores:
                interval = record.get(name + INTERVAL, np.nan)
                text = number(name, record[name], interval) if name in better else _plain_number(record[name])
                row[name] = mark(text) if position in best[name] else text
            else:
                row[name] = words(DASH if pd.isna(record[name]) else str(record[name]))
        rows.append(row)
    return rows, {*scores, "steps"}


def _best(frame: pd.DataFrame, column: str) -> set[int]:
    """Positions of the best trained systems of each place; none where only one was measured."""
    direction = frame.attrs.get("better", {}).get(column)
    if direction is None:
        return set()
    numbers = frame[column].where(~frame["trivial"].astype(bool)).reset_index(drop=True)
    places = frame["evaluated on"].reset_index(drop=True) if "evaluated on" in frame else pd.Series(0, numbers.index)
    found: set[int] = set()
    for _, group in numbers.groupby(places):
        known = group.dropna()
        if len(known) > 1:
            winner = known.min() if direction == "lower" else known.max()
            found |= {int(position) for position in known.index[known == winner].to_list()}
    return found


def _plain_number(value: float) -> str:
    """Of a score without a better direction: a count, say."""
    return DASH if pd.isna(value) else f"{value:g}"


def _seeds(arm: Arm) -> str:
    listed = ", ".join(map(str, arm.seeds)) or DASH
    return listed if len(arm.seeds) < 2 else f"{listed} (n = {len(arm.seeds)})"
