"""Damage for the shared check of hostile input: bytes, words, numbers and containers that no publisher writes.

Everything is drawn from a seeded ``random.Random``, so a failing case is told by its seed.
"""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import pickle
import random
import re
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io
import yaml

ESCAPES = ("../../../etc/passwd", "/etc/passwd", "C:\\outside", "a/../../b", "..", "a\0b")
WORDS = ("", " ", "x", "0", "nan", "Infinity", "é漢字", "x" * 5000, "\ud800", "-0", "1_000", "0x10", *ESCAPES)
NUMBERS = (
    *(-1, 0, 1, 2, 3, 255, 65536, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 10**5000),
    *(0.5, -0.0, 1e-320, 1e39, -1e39, 1e308, float("nan"), float("inf"), float("-inf")),
)
TOKENS = ("nan", "NaN", "inf", "-inf", "1e999", "1e39", "-1", "0", "9" * 30, "9" * 5000, "x", "", "1,5", "1_0", "0x1")


def scalar(rng: random.Random) -> Any:
    """Something where something else was promised."""
    odd: list[Any] = [None, True, False, [], {}, [[]], [None], {"a": 1}, [1.5, "x"], rng.choice(NUMBERS)]
    return rng.choice([*odd, rng.choice(NUMBERS), rng.choice(NUMBERS), rng.choice(WORDS), rng.choice(WORDS)])


def raw(data: bytes, rng: random.Random) -> bytes:
    """The bytes, cut, flipped, doubled or replaced somewhere."""
    size = len(data)
    first, second = sorted((rng.randrange(size + 1), rng.randrange(size + 1)))
    flipped = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        if size:
            flipped[rng.randrange(size)] ^= rng.choice((1 << rng.randrange(8), rng.randrange(1, 256)))
    edges = bytearray(data)
    if size > 8:
        place = rng.randrange(size - 8)
        edges[place : place + rng.choice((1, 2, 4, 8))] = rng.choice((b"\xff", b"\0", b"\x7f")) * 8
    return rng.choice(
        (
            bytes(flipped),
            bytes(flipped),
            bytes(flipped),
            bytes(edges)[: size or None],
            data[:first],
            data[:first] + data[second:],
            data[:second] + data[first:],
            data[:first] + rng.randbytes(rng.randrange(64)) + data[first:],
            data + rng.randbytes(rng.randrange(1, 2000)),
            data + data,
            rng.randbytes(size),
            b"",
        )
    )


def text(data: bytes, rng: random.Random) -> bytes:
    """A text with one token, line or encoding that does not belong."""
    lines = data.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    words = re.split(rb"([\s,:;=/]+)", lines[i])
    words[rng.randrange((len(words) + 1) // 2) * 2] = rng.choice((*TOKENS, *WORDS)).encode("utf-8", "surrogatepass")
    changed = [*lines[:i], b"".join(words), *lines[i + 1 :]]
    swapped = list(lines)
    swapped[i], swapped[j] = swapped[j], swapped[i]
    shuffled = rng.sample(lines, len(lines))
    return rng.choice(
        (
            *[b"\n".join(changed)] * 8,
            b"\n".join([*lines[:i], *lines[i + 1 :]]),
            b"\n".join([*lines[: i + 1], *lines[i:]]),
            b"\n".join(swapped),
            b"\n".join(shuffled),
            b"\n".join([*lines[:i], rng.choice(lines) * 3, *lines[i:]]),
            data.replace(b"\n", b"\r\r\n"),
            data.replace(b"\n", b"\n\n"),
            data.replace(b"\n", b" "),
            data.replace(b" ", b"\t"),
            data.replace(b" ", b""),
            data.replace(b".", b","),
            data.replace(b"-", b""),
            b"\xef\xbb\xbf" + data,
            data.decode("latin1").encode("utf-16"),
            data + b"\0",
            data.upper(),
            b"\n",
        )
    )


def array(value: np.ndarray, rng: random.Random) -> Any:
    """An array of another type or shape, or with a number that no label is."""
    value = np.array(value)
    flat = value.ravel()
    if value.dtype.kind in "iuf" and flat.size and rng.random() < 0.4:
        flat = flat.astype(np.float64)
        number = rng.choice((np.nan, np.inf, -np.inf, 1e39, 1e300, -1.0, 0.0, 1e9))
        flat[rng.randrange(flat.size)] = number
        return flat.reshape(value.shape).astype(rng.choice((np.float32, np.float64)))
    kinds = ("O", "c16", "S8", "U8", "?", "f2", "M8[s]", "i8", "u1", ">f8", ">f4", "<i2", "g")
    if rng.random() < 0.5:
        try:
            return value.astype(rng.choice(kinds))
        except (ValueError, TypeError):
            return value.astype("O")
    return rng.choice(
        (
            value[:0],
            value[:-1] if value.ndim else value,
            np.concatenate([value, value]) if value.ndim else value[None],
            value[None],
            value[..., None],
            value.T,
            value.ravel(),
            np.zeros(()),
            np.zeros((0, 0)),
            np.zeros_like(value) if value.dtype.kind in "iuf" else value,
            np.zeros(2, dtype=[("x", "f4"), ("y", "i4")]),
            np.array([{"a": 1}, None], dtype=object),
            value.tolist(),
        )
    )


def value(given: Any, rng: random.Random) -> Any:
    """Plain containers with one thing, somewhere in them, changed, gone or doubled."""
    if isinstance(given, np.ndarray):
        return array(given, rng) if rng.random() < 0.8 else scalar(rng)
    inner = list(given) if isinstance(given, dict) else range(len(given)) if isinstance(given, list) else ()
    if not inner or rng.random() < 0.12:
        return _container(given, rng) if inner and rng.random() < 0.7 else scalar(rng)
    out = copy.copy(given)
    place = rng.choice(list(inner))
    out[place] = value(out[place], rng)
    return out


def _container(given: Any, rng: random.Random) -> Any:
    if isinstance(given, dict):
        out = dict(given)
        name = rng.choice(list(out))
        action = rng.randrange(6)
        if action <= 1:
            del out[name]
        elif action == 2:
            out[rng.choice((*WORDS, f"{name}x", str(rng.choice(NUMBERS[:8]))))] = out.pop(name)
        elif action == 3:
            out[rng.choice(WORDS)] = out[name]
        elif action == 4:
            return list(out.values())
        else:
            other = rng.choice(list(out))
            out[name], out[other] = out[other], out[name]
        return out
    items = list(given)
    place = rng.randrange(len(items))
    action = rng.randrange(7)
    if action == 0:
        del items[place]
    elif action == 1:
        items.insert(place, items[place])
    elif action == 2:
        items.append(scalar(rng))
    elif action == 3:
        rng.shuffle(items)
    elif action == 4:
        return {str(i): item for i, item in enumerate(items)}
    elif action == 5:
        return [items]
    else:
        items = items[:1] * 200
    return items


def structured(data: bytes, ending: str, rng: random.Random) -> bytes:
    """The file's content changed in the terms of its own kind; ``ending`` as in ``.json``.

    Raises:
        Exception: whatever the writers of a kind say to values that they cannot hold.
    """
    return _BY_ENDING[ending](data, rng)


def knows(ending: str) -> bool:
    """Whether :func:`structured` knows the kind."""
    return ending in _BY_ENDING


def _json(data: bytes, rng: random.Random) -> bytes:
    return json.dumps(value(json.loads(data), rng)).encode()


def _yaml(data: bytes, rng: random.Random) -> bytes:
    return yaml.safe_dump(value(yaml.safe_load(data), rng)).encode()


def _pickle(data: bytes, rng: random.Random) -> bytes:
    damaged = value(pickle.loads(data, encoding="latin1"), rng)  # noqa: S301
    return pickle.dumps(damaged, protocol=rng.randrange(6))


def _mat(data: bytes, rng: random.Random) -> bytes:
    held = {k: v for k, v in scipy.io.loadmat(io.BytesIO(data)).items() if not k.startswith("_")}
    name = rng.choice(list(held))
    damaged = array(held[name], rng) if rng.random() < 0.8 else rng.choice(({"a": 1}, "words", 1.5, [[1, 2], [3, 4]]))
    held[name] = damaged
    if rng.random() < 0.1:
        del held[name]
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, held, format=rng.choice("5554"), do_compression=rng.random() < 0.5)
    return buffer.getvalue()


def _npz(data: bytes, rng: random.Random) -> bytes:
    with np.load(io.BytesIO(data)) as archive:
        held = {name: archive[name] for name in archive.files}
    buffer = io.BytesIO()
    damaged = value(held, rng)
    damaged = damaged if isinstance(damaged, dict) else {"x": damaged}
    np.savez_compressed(buffer, **{str(name): np.asarray(item) for name, item in damaged.items()})
    return buffer.getvalue()


def _tar(data: bytes, rng: random.Random) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(member, tar.extractfile(member).read()) for member in tar.getmembers()]  # type: ignore[union-attr]
    i = rng.randrange(len(members))
    member, content = members[i]
    action = rng.randrange(8)
    if action <= 3:
        content = _json(content, rng) if member.name.endswith("json") else raw(content, rng)
        member.size = len(content)
    elif action == 4:
        member.name = rng.choice((*(word.replace("\0", "") for word in WORDS), "a.json", "a.depth.png")) or "y"
    elif action == 5:
        member.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
        member.linkname = "/etc/passwd"
    elif action == 6:
        member.pax_headers = {"path": "../../outside.png", "size": "99999999999999"}
    else:
        rng.shuffle(members)
    members[i] = member, content
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=rng.choice((tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT))) as tar:
        for info, body in members:
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def _parquet(data: bytes, rng: random.Random) -> bytes:
    table = pq.read_table(io.BytesIO(data))
    i = rng.randrange(table.num_columns)
    name, count, column = table.column_names[i], len(table), table.column(i)
    items = column.to_pylist()
    action = rng.randrange(6)
    if action == 0:
        table = table.remove_column(i)
    elif action == 1:
        table = table.set_column(i, name, pa.nulls(count))
    elif action == 2:
        odd: list[list[Any]] = [["x"] * count, [1.5] * count, [2**62] * count, [[float("nan")] * 3] * count]
        odd += [[{"bytes": b"", "path": "../../x"}] * count, [{"bytes": "x"}] * count, [[]] * count]
        table = table.set_column(i, name, pa.array(rng.choice(odd)))
    elif action == 3:
        table = table.rename_columns(
            [rng.choice(table.column_names) if j == i else n for j, n in enumerate(table.column_names)]
        )
    elif action == 4:
        damaged = value(items, rng)
        table = table.set_column(i, name, pa.array(damaged if len(damaged) == count else items[::-1], column.type))
    else:
        told = {b"handsynth": rng.choice((b"", b"{", b"[]", b'{"joints": 3}', b"\xff", b'{"joints": ["wrist"]}'))}
        table = table.replace_schema_metadata(told)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=rng.choice((1, 100)))
    return buffer.getvalue()


def _csv(data: bytes, rng: random.Random) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode())))
    i = rng.randrange(len(rows))
    j = rng.randrange(len(rows[i]))
    rows[i][j] = str(rng.choice((*WORDS[:6], *TOKENS, *NUMBERS[:14], *NUMBERS[16:], *ESCAPES)))
    if rng.random() < 0.2:
        rows[i] = rows[i] * 2 if rng.random() < 0.5 else rows[i][:j]
    buffer = io.StringIO()
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


_BY_ENDING: dict[str, Callable[[bytes, random.Random], bytes]] = {
    ".json": _json,
    ".yml": _yaml,
    ".pickle": _pickle,
    ".pkl": _pickle,
    ".mat": _mat,
    ".npz": _npz,
    ".tar": _tar,
    ".parquet": _parquet,
    ".csv": _csv,
    ".txt": text,
    ".obj": text,
}


def places() -> dict[str, Callable[[Path], None]]:
    """What may stand where a file belongs, by name; each is given a path at which nothing is."""
    return {
        "a folder": lambda path: path.mkdir(),
        "a dangling link": lambda path: path.symlink_to("nowhere"),
        "a link to itself": lambda path: path.symlink_to(path.name),
        "a link to a device": lambda path: path.symlink_to("/dev/zero"),
        "a pipe": lambda path: os.mkfifo(path),
        "nothing": lambda path: None,
    }


def anything(data: bytes, ending: str, rng: random.Random) -> Iterator[bytes]:
    """Endless damage to a file of any kind."""
    while True:
        try:
            kind = rng.random()
            if kind < 0.6 and knows(ending):
                damaged = structured(data, ending, rng)
                yield structured(damaged, ending, rng) if rng.random() < 0.2 else damaged
            elif kind < 0.75 and ending in (".json", ".yml", ".csv", ".txt", ".obj"):
                yield text(data, rng)
            else:
                yield raw(data, rng)
        except Exception:  # a value that the kind cannot hold: draw another
            continue
