"""What a command prints of what a stage made: the path last, and before it what one would look at first."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from handsynth.runtime.settings import parse
from handsynth.store.read import Store
from handsynth.training.run import Evaluation, read_run

_WIDTH = 110


def summarize(value: Any, planned: bool = False) -> dict[str, Any]:
    """Plain values about a stage's result.

    Args:
        value: a path or address of a store, a run, an evaluation or a report; or a record or a list, shown as it is.
        planned: the path is of what would be made: what lies there is not shown.
    """
    if isinstance(value, str | Path):
        return ({} if planned else _about(str(value))) | {"path": str(value)}
    plain = msgspec.to_builtins(value, enc_hook=os.fspath)
    return plain if isinstance(plain, dict) else {"result": plain}


def as_text(summary: dict[str, Any]) -> str:
    """The same for people: ``key: value`` lines, nested values indented, the path on the last line alone."""
    rest = {key: value for key, value in summary.items() if key != "path"}
    path = summary.get("path")
    return "\n".join([*_lines(rest, 0), *([path] if path else [])])


def kept_summary(store: Store) -> str:
    """How many images of an augmented store its judge kept, in words; nothing where none judged them."""
    judge = store.info.plan.settings.get("judge")
    if judge is None:
        return ""
    scores = store.column("score", store.kept)
    known = scores[np.isfinite(scores)]
    median = f" (median {np.median(known):.1f} mm)" if len(known) else ""
    return (
        f"{len(store.kept):,} of {len(store):,} images kept, "
        f"with a pose error of at most {judge['most_mm']:g} mm{median} by {judge['name']}"
    )


def _about(address: str) -> dict[str, Any]:
    path = Path(address)
    if (path.name.endswith(".json") and path.parent.name == "evaluation") or path.name.endswith(".evaluation.json"):
        return _evaluation(parse(path.read_bytes(), Evaluation, path))
    if path.name.endswith("-reduction.html") and path.with_suffix(".json").is_file():
        from handsynth.stages.reduction import Reduction  # no other command's summary needs what it imports

        record = parse(path.with_suffix(".json").read_bytes(), Reduction, path.with_suffix(".json"))
        return {name: value for name, value in msgspec.to_builtins(record).items() if name != "version"}
    if (path / "run.json").is_file():
        info = read_run(path)
        return {
            "run": info.name,
            "system": f"{info.system} ({info.preset})",
            "steps": info.steps,
            "samples": info.samples,
        }
    return {}


def _evaluation(evaluation: Evaluation) -> dict[str, Any]:
    rows = {row.name: {key: round(value, 4) for key, value in row.values.items()} for row in evaluation.rows}
    where = f"{evaluation.samples} {evaluation.split} samples of {evaluation.store.name}"
    return {"scores": rows, "on": where, "protocol": evaluation.protocol}


def _lines(values: dict[str, Any], depth: int) -> list[str]:
    pad, lines = "  " * depth, []
    for key, value in values.items():
        if isinstance(value, dict):
            flat = not any(isinstance(inner, dict | list) for inner in value.values())
            line = f"{pad}{key}: " + "  ".join(f"{name} {inner}" for name, inner in value.items())
            if value and flat and len(line) <= _WIDTH:
                lines.append(line)
            elif flat:
                width = min(max(map(len, value), default=0), _WIDTH // 2)
                lines.append(f"{pad}{key}:")
                for name, inner in value.items():
                    lines += _wrapped(f"{pad}  {name:<{width}}  {inner}", f"{pad}  {'':<{width}}  ")
            else:
                lines += [f"{pad}{key}:", *_lines(value, depth + 1)]
        elif isinstance(value, list | tuple):
            if all(isinstance(item, int | float) or (isinstance(item, str) and len(item) < 24) for item in value):
                lines += _wrapped(f"{pad}{key}: {', '.join(map(str, value))}", pad + "  ")
                continue
            lines.append(f"{pad}{key}:")
            if _is_table(value):
                lines += [f"{pad}  {line}" for line in _table(value)]
                continue
            for item in value:
                if _is_finding(item):
                    lines.append(f"{pad}  {item['status']:<13} {item['check']}: {item['text']}")
                    lines += [f"{pad}  {'':<13}   {name}" for name in item["worst"]]
                    continue
                inner = (
                    _lines(item, depth + 2) if isinstance(item, dict) else _wrapped(f"{pad}    {item}", pad + " " * 4)
                )
                first = inner[0].strip() if inner else ""
                lines += [f"{pad}  - {first}", *inner[1:]]
        else:
            text = str(value).rstrip("\n")
            shown = text if "\n" not in text else "\n" + "\n".join(f"{pad}  {line}" for line in text.splitlines())
            lines += _wrapped(f"{pad}{key}: {shown}", pad + "  ") if "\n" not in text else [f"{pad}{key}:{shown}"]
    return lines


def _is_finding(item: Any) -> bool:
    return isinstance(item, dict) and {"check", "status", "text"} <= set(item)


def _is_table(rows: Sequence[Any]) -> bool:
    """Whether these are several mappings of the same names to plain values."""
    alike = len(rows) > 1 and all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows)
    return alike and not any(
        _is_finding(row) or isinstance(value, dict | list) for row in rows for value in row.values()
    )


def _table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Aligned columns, numbers to the right."""
    cells = [[*map(str, rows[0])]]
    cells += [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [isinstance(value, int | float) and not isinstance(value, bool) for value in rows[0].values()]
    return [
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in cells
    ]


def _wrapped(text: str, indent: str) -> list[str]:
    """Lines of a text that is too long for one; names and paths stay whole."""
    return textwrap.wrap(
        text, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    ) or [text]
