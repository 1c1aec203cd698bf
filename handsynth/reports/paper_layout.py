"""A table whose columns stand in groups, as printed tables have them, in HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from handsynth.reports.wording import markdown


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        group: heading that it shares with its neighbours.
        name: its own, with an arrow towards the better numbers.
        cells: a text per row.
        best: rows that hold its best number.
    """

    group: str
    name: str
    cells: tuple[str, ...]
    best: frozenset[int]


@dataclass(frozen=True)
class PaperTable:
    """A table in the paper's layout.

    Attributes:
        title: what it is, in a line.
        heads: headings of the columns that name a row.
        rows: per row one text for each of ``heads``.
        columns: in groups, from left to right.
        notes: sentences that belong below it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]

    def to_html(self) -> Markup:
        """A table element with the groups in a row above the columns; the best number per column is bold."""
        empty = Markup("<th></th>") * len(self.heads)
        groups = Markup("").join(
            Markup('<th scope="colgroup" colspan="{}" class="number">{}</th>').format(len(list(members)), group)
            for group, members in groupby(column.group for column in self.columns)
        )
        names = Markup("").join(Markup('<th scope="col">{}</th>').format(head) for head in self.heads)
        names += Markup("").join(
            Markup('<th scope="col" class="number">{}</th>').format(column.name) for column in self.columns
        )
        body = Markup("").join(
            Markup("<tr>{}{}</tr>\n").format(
                Markup("").join(Markup('<th scope="row">{}</th>').format(word) for word in words),
                Markup("").join(
                    Markup('<td class="number">{}</td>').format(
                        Markup("<strong>{}</strong>").format(column.cells[at])
                        if at in column.best
                        else column.cells[at]
                    )
                    for column in self.columns
                ),
            )
            for at, words in enumerate(self.rows)
        )
        head = Markup("<thead><tr>{}{}</tr>\n<tr>{}</tr></thead>").format(empty, groups, names)
        return Markup('<div class="scroll"><table>\n{}\n<tbody>\n{}</tbody>\n</table></div>\n').format(head, body)

    def to_markdown(self) -> str:
        """A GitHub table under its title, and the notes as a list.

        Such a table has one line of headings: it holds the groups, and the names of the columns follow as a row.
        """
        columns = self.columns
        starts = [not at or columns[at - 1].group != column.group for at, column in enumerate(columns)]
        groups = [column.group if first else "" for column, first in zip(columns, starts, strict=True)]
        lines = [
            _line(map(markdown, [*self.heads, *groups])),
            _line(["---"] * len(self.heads) + ["---:"] * len(columns)),
            _line([*[""] * len(self.heads), *(f"*{markdown(column.name)}*" for column in columns)]),
        ]
        for at, words in enumerate(self.rows):
            cells = [f"**{column.cells[at]}**" if at in column.best else column.cells[at] for column in columns]
            lines.append(_line([*map(markdown, words), *cells]))
        notes = "".join(f"- {markdown(note)}\n" for note in self.notes)
        return f"## {markdown(self.title)}\n\n" + "\n".join(lines) + "\n\n" + notes


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
