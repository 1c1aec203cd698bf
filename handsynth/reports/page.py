"""One static HTML page of a report: tables, figures, settings and where the data came from.

The page is one file without scripts or outside addresses: drawings stand in it as SVG, pictures as data URIs. It reads
on a laptop and on paper, follows the reader's choice of light or dark, and the same input gives the same bytes.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from handsynth.imaging.codecs import encode_png
from handsynth.reports.tables import to_html
from handsynth.training.run import RunInfo, StoreRef

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Figure:
    """A picture with its caption.

    Attributes:
        picture: SVG text of ``reports/plots.py``, PNG bytes, or an (H, W, 3) uint8 array. Pixels are shown at half
            their size, so that they are sharp on dense screens and on paper.
        caption: what is seen and how to read it.
    """

    picture: str | bytes | np.ndarray
    caption: str

    @property
    def markup(self) -> Markup:
        """The element that shows the picture.

        Raises:
            ValueError: the picture is neither of the three.
        """
        if isinstance(self.picture, str):
            if not self.picture.startswith("<svg"):
                raise ValueError(f"a figure's text must be SVG, found {self.picture[:40]!r}")
            name = Markup(' role="img" aria-label="{}"').format(self.caption)
            # Drawn by plots.py, which escapes the names in it.
            return Markup("<svg") + name + Markup(self.picture.removeprefix("<svg"))
        data = encode_png(self.picture) if isinstance(self.picture, np.ndarray) else self.picture
        if not data.startswith(_PNG):
            raise ValueError(f"a figure's bytes must be PNG, found {data[:8]!r}")
        width = struct.unpack_from(">I", data, 16)[0]
        address = "data:image/png;base64," + base64.b64encode(data).decode()
        return Markup('<img src="{}" width="{}" alt="{}"/>').format(address, -(-width // 2), self.caption)


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, in this order.

    Attributes:
        title, intro: plain text; a blank line in ``intro`` starts a new paragraph.
        table: HTML of ``tables.to_html``, which carries its protocol; plain text is escaped.
        notes: sentences a reader needs beside the table.
        figures: pictures.
    """

    title: str
    intro: str = ""
    table: str = ""
    figures: Sequence[Figure] = ()
    notes: Sequence[str] = ()

    @classmethod
    def of_results(
        cls, title: str, frame: pd.DataFrame, intro: str = "", figures: Sequence[Figure] = (), notes: Sequence[str] = ()
    ) -> Section:
        """A section on a result table, its own notes before further ones."""
        return cls(title, intro, to_html(frame), figures, (*frame.attrs.get("notes", ()), *notes))

    @property
    def paragraphs(self) -> list[str]:
        """``intro`` in paragraphs."""
        return [part.strip() for part in self.intro.split("\n\n") if part.strip()]


def render(
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    settings: Sequence[tuple[str, Mapping[str, Any]]],
    provenance: Sequence[RunInfo] = (),
) -> str:
    """The whole page.

    Args:
        title, subtitle: plain text.
        sections: in reading order.
        settings: name and settings of each run, folded away below the sections; nested names are joined by dots.
        provenance: the runs that the numbers come from, one line each at the foot.

    Returns:
        HTML that is also well-formed XML.
    """
    return _template().render(
        title=title,
        subtitle=subtitle,
        sections=sections,
        settings=[(name, list(_flat(values))) for name, values in settings],
        runs=[_origin(info) for info in provenance],
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("report.html")


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _origin(info: RunInfo) -> dict[str, str]:
    """Everything that fixes a run, in words short enough for a line of a table."""
    share = f"{info.alpha:g}" + (" (whole sequences)" if info.contiguous and info.alpha < 1 else "")
    reduced = f", set {info.reduced_set[:8]}" if info.reduced_set else ""
    return {
        "run": info.name,
        "system": f"{info.system}, {info.preset}",
        "store": _store(info.store, info.samples),
        "added": _store(info.added, info.added_samples) if info.added else "none",
        "alpha": share + reduced,
        "seed": str(info.seed),
        "steps": f"{info.steps:,}",
        "parameters": f"{info.parameters:,}",
        "handsynth": info.handsynth or "unknown",
    }


def _store(store: StoreRef, samples: int) -> str:
    return f"{store.name} {store.hash[:8]}, {samples} {'sample' if samples == 1 else 'samples'}"
