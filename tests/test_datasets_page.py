"""``docs/datasets.md`` says what the formats and their manifests say; ``make schemas`` writes it anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from handsynth.formats import format_names, get_format
from handsynth.formats.format import Format
from handsynth.formats.manifest import Manifest, load_manifest

PAGE = Path(__file__).parents[1] / "docs" / "datasets.md"
HEAD = """# Datasets and exchange formats

Written by `make schemas` from `handsynth/formats/` and `manifests/`. `handsynth datasets NAME` tells what to download,
where to put it and what of it is there; `handsynth ingest NAME` reads it into a store; `handsynth convert` and
`handsynth export` write it. Every format is read and written, and a test writes each one and reads it back.

Pixels: c colour, d depth, m mask. "2-D" says that the files hold 2-D joints beside the 3-D ones, so that reprojection
checks the source.
"""


def page() -> str:
    names = format_names()
    return "\n".join([HEAD, *_table(names), "", *(line for name in names for line in _section(name))])


def _table(names: list[str]) -> Iterator[str]:
    yield "| name | | pixels | joints | stored in | hands | 2-D |"
    yield "|---|---|---|---:|---|---|---|"
    for name in names:
        reader, manifest = get_format(name), load_manifest(name)
        pixels = "".join(
            letter for field, letter in (("rgb", "c"), ("depth_mm", "d"), ("mask", "m")) if field in reader.fields
        )
        stored = f"{manifest.unit}, x {manifest.axes[0]}, y {manifest.axes[1]}, z {manifest.axes[2]}"
        two = "yes" if reader.independent_2d else ""
        sides = ", ".join(manifest.sides)
        cells = (f"[`{name}`](#{name})", manifest.title, pixels, str(len(manifest.joints)), stored, sides, two)
        yield f"| {' | '.join(cells)} |"


def _section(name: str) -> Iterator[str]:
    reader, manifest = get_format(name), load_manifest(name)
    yield from (f"## {name}", "", f"{reader.summary}.", "")
    yield from (f"- Paper: {manifest.paper}", f"- Licence: {manifest.licence}", f"- Splits: {manifest.splits}")
    yield f"- Kept together: {manifest.moments}"
    yield from (f"- {_counts(manifest)}",) if manifest.counts else ()
    yield from (f"- To know: {defect}" for defect in manifest.defects)
    yield from ("", f"Comes back after writing and reading: {_fields(reader)}.", "")


def _counts(manifest: Manifest) -> str:
    return "Counts: " + ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in manifest.counts.items())


def _fields(reader: Format) -> str:
    parts = []
    for name, field in reader.fields.items():
        how = [f"within {field.tolerance:g}"] if field.tolerance else []
        how += [field.note] if field.note else []
        parts.append(f"`{name}`" + (f" ({'; '.join(how)})" if how else ""))
    return ", ".join(parts)


def test_the_page_is_what_the_manifests_say() -> None:
    assert PAGE.read_text() == page(), "run make schemas"


if __name__ == "__main__":
    PAGE.write_text(page())
