"""Pictures in a plain folder: which match a pattern, and which belong together. Reads names only."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from handsynth.errors import DataError, UsageError, sentence
from handsynth.formats.layout import ESCAPE

ENDINGS = (".png", ".jpg", ".jpeg")
_MOST_WILDCARDS = 3
"""In one name; with more of them a hostile name takes for ever to match."""


@dataclass(frozen=True)
class Frame:
    """One instant: paths below the root, None where there is no such picture.

    Attributes:
        id: what the wildcards of its pattern stand for, readable: ``seq1/0001``.
        sequence: of that, all but the last name; None where there is no more.
    """

    id: str
    sequence: str | None
    frame: str
    color: str | None = None
    depth: str | None = None
    mask: str | None = None


def frames_of(root: Path, patterns: Mapping[str, str], pair: Literal["name", "number", "order"]) -> dict[str, Frame]:
    """Frames by the path of their colour picture, else of their depth, in the natural order of their names.

    Args:
        patterns: of ``color``, ``depth`` and ``mask``; an empty one, or one that nothing matches, is none.
        pair: partners have wildcards of the same text, names that end in the same number, or the same place.

    Raises:
        UsageError: a pattern leads out of the root or has too many wildcards.
        DataError: a picture has no partner, or two the same name.
    """
    found = {kind: _identified(root, pattern, pair) for kind, pattern in patterns.items() if pattern}
    found = {kind: pictures for kind, pictures in found.items() if pictures}
    leading = next((kind for kind in ("color", "depth") if kind in found), None)
    if leading is None:
        return {}
    for kind, pictures in found.items():
        _require_partners(root, leading, found[leading], kind, pictures)
    frames = {}
    for place, (identity, (captures, path)) in enumerate(found[leading].items()):
        partners = {kind: pictures[identity][1] for kind, pictures in found.items()}
        sequence, name = "/".join(filter(None, captures[:-1])), captures[-1] or str(place)
        frames[path] = Frame(f"{sequence}/{name}" if sequence else name, sequence or None, name, **partners)
    return frames


def folders_of(root: Path, patterns: list[str]) -> list[Path]:
    """Folders that pictures of the patterns may lie in: their names decide what there is. Empty without pictures."""
    folders: set[Path] = set()
    any_picture = False
    for pattern in filter(None, patterns):
        expression, whole = _expression(pattern)
        for folder, names in _walk(root, pattern):
            folders.add(folder)
            any_picture = any_picture or any(_match(expression, whole, name) for name in names)
    return sorted(folders) if any_picture else []


def matches(pattern: str) -> Callable[[str], bool]:
    """Whether a whole name matches a pattern."""
    expression, _ = _expression(pattern)
    return lambda name: expression.fullmatch(name) is not None


_Identity = tuple[str | int, ...]
_Found = dict[_Identity, tuple[tuple[str, ...], str]]
"""Identity -> what the wildcards stand for, and the path."""


def _identified(root: Path, pattern: str, pair: str) -> _Found:
    expression, whole = _expression(pattern)
    listed = []
    for _, names in _walk(root, pattern):
        for name in names:
            match = _match(expression, whole, name)
            if match is not None:
                # A pattern without wildcards is one picture, called by its own name.
                captures = tuple(text.strip("/") for text in match.groups()) or (Path(name).stem,)
                listed.append((captures, name))
    listed.sort(key=lambda item: [_natural(text) for text in (*item[0], item[1])])
    found: _Found = {}
    places: dict[tuple[str, ...], int] = {}
    for captures, name in listed:
        last = captures[-1]
        folders = tuple(filter(None, captures[:-1]))
        identity: _Identity = (*folders, last)
        if pair == "number":
            digits = re.findall(r"\d+", last)
            if not digits:
                raise DataError(sentence("a number in every name, to pair by", repr(name), root, "pair by name"))
            identity = (*folders, int(digits[-1]))
        elif pair == "order":
            places[folders] = places.get(folders, -1) + 1
            identity = (*folders, places[folders])
        if identity in found:
            raise DataError(
                sentence(f"one picture {pattern} of each name", f"{found[identity][1]} and {name}", root, "remove one")
            )
        found[identity] = captures, name
    return found


def _require_partners(root: Path, leading: str, first: _Found, kind: str, second: _Found) -> None:
    for own, there, pictures in ((first, second, kind), (second, first, leading)):
        lacking = next((identity for identity in own if identity not in there), None)
        if lacking is not None:
            raise DataError(
                sentence(
                    f"a {pictures} picture for each of the {len(own)} pictures such as {own[lacking][1]}",
                    f"{sum(identity in there for identity in own)} ({own[lacking][1]} is the first without)",
                    root,
                    "add or remove it; where names differ, say how by the patterns, or pair by number or order",
                )
            )


def _walk(root: Path, pattern: str) -> Iterator[tuple[Path, list[str]]]:
    """Folders below the part of a pattern that has no wildcards, and the pictures in each as paths below the root.

    Links to folders are not followed: they may lead out of the root, or round in circles.
    """
    literal = re.split(r"[*?]", pattern, maxsplit=1)[0].rpartition("/")[0]
    for folder, folders, names in os.walk(root / literal):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        below = Path(folder).relative_to(root)
        pictures = (name for name in names if name.lower().endswith(ENDINGS) and not name.startswith("."))
        yield Path(folder), [(below / name).as_posix() for name in pictures]


@cache
def _expression(pattern: str) -> tuple[re.Pattern[str], bool]:
    """A pattern as a regular expression with a group for each wildcard, and whether it names the ending itself."""
    if re.search(ESCAPE, pattern) or "\\" in pattern:
        raise UsageError(sentence("a pattern of paths below the folder", repr(pattern), "the options"))
    parts = pattern.split("/")
    several = sum(part == "**" for part in parts)
    crowded = any(sum(map(part.count, "*?")) > _MOST_WILDCARDS for part in parts)
    if several > 1 or parts[-1] == "**" or crowded or any("**" in part and part != "**" for part in parts):
        expected = f"one **/ at most, and {_MOST_WILDCARDS} of * and ? in a name at most"
        raise UsageError(sentence(expected, repr(pattern), "the options"))
    pieces = []
    for part in parts:
        if part == "**":
            pieces.append("((?:[^/]+/)*)")
        else:
            wild = {"*": "([^/]*)", "?": "([^/])"}
            text = "".join(wild.get(sign, re.escape(sign)) for sign in part)
            pieces.append(text + "/")
    return re.compile("".join(pieces).removesuffix("/")), pattern.lower().endswith(ENDINGS)


def _match(expression: re.Pattern[str], whole: bool, name: str) -> re.Match[str] | None:
    return expression.fullmatch(name if whole else name.rpartition(".")[0])


def _natural(text: str) -> list[str | int]:
    """A key that sorts 2 before 10."""
    return [int(piece) if piece.isdecimal() else piece for piece in re.split(r"(\d+)", text)]
