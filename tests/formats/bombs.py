"""Files made to do harm: pickles that run, headers of terabytes, members that unpack to gigabytes, names that escape.

Each function gives the bytes by a name that says what they try; ``innocent`` is a file of the kind to build upon.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import pickletools
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.io

TELLTALE = "executed-by-a-hostile-file"
"""A folder of this name shows that something ran."""
_ZEROS = 350 << 20
"""Bytes of zeros in small files: more than any reader may take."""
_CORES = ("numpy.core", "numpy._core")


class _Calls:
    """Pickles as a call of anything."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._call


def pickles(innocent: bytes) -> dict[str, bytes]:
    """Pickles that execute, in every protocol, and others that only ask for memory or time."""
    order = f"mkdir {TELLTALE}"
    calls: dict[str, Any] = {
        "os.system": _Calls(os.system, order),
        "os.mkdir": _Calls(os.mkdir, TELLTALE),
        "eval": _Calls(builtins.eval, f"__import__('os').mkdir({TELLTALE!r})"),
        "exec": _Calls(builtins.exec, f"import os; os.mkdir({TELLTALE!r})"),
        "subprocess": _Calls(subprocess.call, ["mkdir", TELLTALE]),
        "a getattr": _Calls(getattr, "x", "upper"),
        "within an object array": np.array([_Calls(os.mkdir, TELLTALE)], dtype=object),
        "within a dictionary": {0: {"K": _Calls(os.mkdir, TELLTALE), "uv_vis": 0, "xyz": 0}},
        "an object array": np.array([None, {}, "x"], dtype=object),
        "structured": np.zeros(3, dtype=[("x", "f4")]),
        "dates": np.zeros(3, dtype="M8[s]"),
        "a class": builtins.dict,
        "a partial": _Calls(__import__("functools").partial, os.mkdir, TELLTALE),
        "fromfile": _Calls(np.fromfile, "/dev/zero"),
    }
    found = {}
    for name, value in calls.items():
        for protocol in range(6):
            found[f"{name}, protocol {protocol}"] = pickle.dumps(value, protocol=protocol)
    # Through names that readers of arrays must allow.
    for core in _CORES:
        for name in ("_reconstruct", "scalar"):
            allowed = f"c{core}.multiarray\n{name}\n".encode()
            found[f"a path behind {core} {name}"] = f"c{core}.multiarray\n{name}.__globals__\n.".encode()
            found[f"{core} {name} of os.system"] = allowed + b"(cos\nsystem\n(I0\ntS'b'\ntR."
            found[f"state of {core} {name}"] = allowed + b"(N}S'x'\nI1\nsd}(S'__call__'\ncos\nsystem\nusb."
    nested = b"\x80\x04\x8c" + bytes([len(f"{_CORES[0]}.multiarray")]) + f"{_CORES[0]}.multiarray".encode()
    found["a dotted name"] = nested + b"\x8c\x16_reconstruct.__class__\x93."
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
    dtype = b"cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb"
    found["terabytes as a number"] = array + b"(I1\n(I125000000000\nt" + dtype + b"I00\nI1000000000000\ntb."
    found["terabytes in a shape"] = array + b"(I1\n(I125000000000\nt" + dtype + b"I00\nS'12345678'\ntb."
    found["a negative shape"] = array + b"(I1\n(I-1\nt" + dtype + b"I00\nS'12345678'\ntb."
    found["a text of gigabytes"] = b"\x80\x04X\xff\xff\xff\x7fabc."
    found["bytes of exabytes"] = b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7fabc."
    found["a number of gigabytes"] = b"\x80\x02\x8b\xff\xff\xff\x7f1."
    found["a frame of exabytes"] = b"\x80\x04\x95" + b"\xff" * 8 + b"N."
    found["lists in lists"] = b"(" * 100_000 + b"l" * 100_000 + b"."
    found["tuples in tuples"] = b"N" + b"\x85" * 100_000 + b"."
    found["a list that holds itself"] = b"(lp0\ng0\na."
    laughs = (b"(g%d\ng%d\ng%d\nlp%d\n0" % (i, i, i, i + 1) for i in range(40))
    found["a laugh"] = b"(lp0\n0" + b"".join(laughs) + b"g40\n."
    found["a memo of half a gigabyte"] = b"N" + b"r\x00\x00\x00\x02" + b"."
    found["a persistent name"] = b"Pos.system\n."
    found["an extension"] = b"\x80\x02\x82\x01."
    found["an instance"] = b"(S'x'\nios\nsystem\n."
    found["no end"] = pickletools.optimize(innocent)[:-1]
    return found


def mats(innocent: bytes) -> dict[str, bytes]:
    """MATLAB files of other types, with crooked headers, and one that unpacks to very much more."""
    names = [name for name in scipy.io.loadmat(io.BytesIO(innocent)) if not name.startswith("_")]

    def saved(value: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, dict.fromkeys(names, value), **options)
        return buffer.getvalue()

    cell = np.empty((3, 1), dtype=object)
    cell[:] = [["x"], [np.zeros((2, 2))], [np.zeros(0)]]
    head = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    array = b"".join(
        (
            struct.pack("<IIII", 6, 8, 6, 0),
            struct.pack("<IIiiii", 5, 12, 2**31 - 1, 2**31 - 1, 3, 0),
            struct.pack("<II", 1, len(names[0])) + names[0].encode().ljust(-(-len(names[0]) // 8) * 8, b"\0"),
        )
    )
    big = struct.pack("<II", 9, 0xFFFFFFF0)
    inner = struct.pack("<II", 14, 0x7FFFFFFF) + array + big
    packer = zlib.compressobj(1)
    zeros = packer.compress(inner) + packer.compress(bytes(_ZEROS)) + packer.flush()
    return {
        "cells": saved(cell),
        "a struct": saved({"a": 1, "b": [1, 2]}),
        "complex": saved(np.zeros((4, 21, 3), dtype=complex)),
        "words": saved("words"),
        "empty": saved(np.zeros((0, 0))),
        "version 4": saved(np.zeros((4, 3)), format="4"),
        "version 7.3": b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n" + bytes(512),
        "terabytes": head + inner,
        "terabytes of an array": head + struct.pack("<II", 14, len(array) + 8) + array + big,
        "zeros": head + struct.pack("<II", 15, len(zeros)) + zeros,
        "a header only": head,
    }


def npzs(names: tuple[str, ...]) -> dict[str, bytes]:
    """Archives with object arrays, crooked headers, paths in their names, and zeros without end."""

    def archive(members: dict[str, bytes]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
            for name, data in members.items():
                out.writestr(name, data)
        return buffer.getvalue()

    def header(shape: str, descr: str = "'<f8'") -> bytes:
        text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text

    def all_of(data: bytes) -> bytes:
        return archive({f"{name}.npy": data for name in names})

    small = {f"{name}.npy": header("(2,)") + bytes(16) for name in names}
    objects = io.BytesIO()
    np.save(objects, np.array([_Calls(os.mkdir, TELLTALE)], dtype=object), allow_pickle=True)
    lying = bytearray(all_of(header("(2,)") + bytes(16)))
    place = lying.find(b"PK\x01\x02")
    lying[place + 24 : place + 28] = b"\xf0\xff\xff\xff"
    return {
        "objects": all_of(objects.getvalue()),
        "terabytes": all_of(header("(125000000000,)")),
        "negative": all_of(header("(-1, 21, 3)") + bytes(504)),
        "a header that calls": all_of(header(f"__import__('os').mkdir('{TELLTALE}')")),
        "a header of brackets": all_of(header("(" * 4000 + ")" * 4000)),
        "subarrays": all_of(header("(1,)", "('<f8', (100000, 100000, 100000))")),
        "a dtype that is none": all_of(header("(1,)", "'nonsense'")),
        "paths": archive({f"../../../{name}.npy": header("(2,)") + bytes(16) for name in names}),
        "zeros": archive(small | {f"{names[0]}.npy": header(f"({_ZEROS // 8},)") + bytes(_ZEROS)}),
        "a size that lies": bytes(lying),
        "no members": archive({}),
        "text": all_of(b"text"),
    }


def yamls() -> dict[str, bytes]:
    """YAML that builds objects, laughs, nests and merges."""
    laugh = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}, *a{i}]\n" for i in range(40))
    merge = "m0: &m0 {x: 1}\n" + "".join(f"m{i + 1}: &m{i + 1} {{<<: [*m{i}, *m{i}]}}\n" for i in range(40))
    return {
        "a call": f"!!python/object/apply:os.mkdir [{TELLTALE}]".encode(),
        "a name": b"num_frames: !!python/name:os.system\n",
        "a laugh": laugh.encode(),
        "merges": merge.encode(),
        "brackets": b"[" * 200_000,
        "braces": b"{a: " * 100_000,
        "questions": b"? " * 100_000,
        "dashes": b"- " * 100_000,
        "a list that holds itself": b"&a [*a]",
        "a number of a million digits": b"num_frames: " + b"9" * 1_000_000,
        "sexagesimals": b"num_frames: 1" + b":59" * 200_000,
        "megabytes": b"a: b\n" * 1_000_000,
        "two documents": b"a: 1\n---\na: 2\n",
        "binary": bytes(range(256)),
        "no string": b"? [a, b]\n: 1\n? {c: d}\n: 2\n",
        "a date": b"num_frames: 2020-01-01\nextrinsics: 2020-13-45\n",
        "twice": b"num_frames: 1\nnum_frames: 2\n",
    }


def jsons() -> dict[str, bytes]:
    """JSON that nests, repeats or is none."""
    return {
        "brackets": b"[" * 200_000,
        "closed brackets": b"[" * 100_000 + b"]" * 100_000,
        "braces": b'{"a":' * 100_000,
        "a number of a million digits": b"[" + b"9" * 1_000_000 + b"]",
        "a fraction of a million digits": b"[0." + b"9" * 1_000_000 + b"]",
        "beyond float": b"[1e999, -1e999]",
        "NaN": b"[NaN]",
        "null": b"null",
        "a number": b"1",
        "a text": b'"' + b"x" * 1_000_000 + b'"',
        "an open text": b'["' + b"x" * 1_000_000,
        "a half sign": b'{"\\ud800": "\\udfff"}',
        "not UTF-8": b'["\xff\xfe"]',
        "UTF-16": '{"a": 1}'.encode("utf-16"),
        "twice": b'{"images": 1, "images": [], "cameras": [], "cameras": 1}',
        "two values": b"{}{}",
        "empty lists": b"[" + b"[]," * 300_000 + b"[]]",
        "objects": b"[" + b"{}," * 300_000 + b"{}]",
    }


def tars(innocent: bytes) -> dict[str, bytes]:
    """Shards with members that are no files, lie elsewhere or claim terabytes."""

    def shard(change: Callable[[tarfile.TarInfo], Any], data: bytes = b"{}", kind: int = tarfile.PAX_FORMAT) -> bytes:
        buffer = io.BytesIO()
        member = tarfile.TarInfo("a.json")
        member.size = len(data)
        with tarfile.open(fileobj=buffer, mode="w", format=kind) as tar:
            change(member)
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
        return innocent[: len(innocent) // 10240 * 10240 - 10240] + buffer.getvalue()

    def setting(**values: Any) -> Callable[[tarfile.TarInfo], None]:
        return lambda member: [setattr(member, name, value) for name, value in values.items()] and None

    def sized(size: bytes) -> bytes:
        header = bytearray(tarfile.TarInfo("a.png").tobuf(tarfile.USTAR_FORMAT))
        header[124:136] = size.ljust(12, b"\0")
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        return bytes(header) + bytes(10240)

    kinds = {"a link": "SYMTYPE", "a hard link": "LNKTYPE", "a device": "CHRTYPE", "a pipe": "FIFOTYPE"}
    found = {name: shard(setting(type=getattr(tarfile, kind), linkname="/etc/passwd")) for name, kind in kinds.items()}
    names = ("../../outside.png", "/etc/passwd.png", "a/../../b.png", "C:\\x.png", "x" * 3000 + ".png", ".png", "..png")
    for name in names:
        found[f"a member {name[:20]}"] = shard(setting(name=name))
    found |= {
        "terabytes": sized(b"7" * 11),
        "terabytes in base 256": sized(b"\x80" + b"\0" * 4 + b"\x7f" + b"\xff" * 6),
        "a negative size": sized(b"\xff" * 12),
        "a size that is none": sized(b"nonsense"),
        "a pax size": shard(setting(pax_headers={"size": "99999999999999"})),
        "a negative pax size": shard(setting(pax_headers={"size": "-512"})),
        "a pax path": shard(setting(pax_headers={"path": "../../../outside.json"})),
        "sparse": shard(setting(pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": "999999999999"})),
        "deep JSON": shard(setting(), b"[" * 100_000),
        "compressed": zlib.compress(innocent),
        "one without an end": innocent[:-10240],
    }
    return found


def parquets() -> dict[str, bytes]:
    """Tables of other types, and small files of a billion rows or of gigabytes."""

    def table(columns: dict[str, Any], **options: Any) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer, **options)
        return buffer.getvalue()

    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = 20_000_000
    nothing = pa.nulls(rows, picture)
    word = pa.DictionaryArray.from_arrays(pa.array(np.zeros(4096, dtype=np.int32)), pa.array(["x" * (1 << 20)]))
    blob = pa.DictionaryArray.from_arrays(pa.array(np.zeros(60, dtype=np.int32)), pa.array([bytes(32 << 20)]))
    blobs = pa.StructArray.from_arrays([blob, pa.nulls(60, pa.string())], ["bytes", "path"])
    return {
        "no columns": table({}),
        "another column": table({"x": [1]}),
        "pictures that are words": table({"image": ["x"]}),
        "pictures that are lists": table({"image": pa.array([[{"bytes": b"", "path": ""}]])}),
        "bytes that are numbers": table({"image": pa.array([{"bytes": 1, "path": "x"}])}),
        "bytes that are structs": table({"image": pa.array([{"bytes": {"a": 1}, "path": "x"}])}),
        "paths that are numbers": table({"image": pa.array([{"bytes": b"x", "path": 3}])}),
        "nulls within lists": table(
            {"image": pa.nulls(1, picture), "joint_state": [[1] * 20 + [None]], "joints_mm": [[None] * 63]}
        ),
        "no rows": table({"image": pa.array([], picture)}),
        "nothing": table({"image": pa.nulls(3, picture)}),
        "millions of rows": table({"image": nothing}, compression="zstd"),
        "words of gigabytes": table(
            {"image": pa.nulls(4096, picture), "key": word}, compression="zstd", store_schema=False
        ),
        "pictures of gigabytes": table({"image": blobs}, compression="zstd", store_schema=False),
        "a footer of gigabytes": b"PAR1" + bytes(64) + b"\xff\xff\xff\x7f" + b"PAR1",
        "a footer of nothing": b"PAR1" + bytes(4) + b"PAR1",
        "magic only": b"PAR1",
        "metadata of brackets": _told(picture, b"[" * 100_000),
        "metadata of numbers": _told(picture, json.dumps({"joints": 10**4000}).encode()),
        "metadata that is no text": _told(picture, b"\xff\xfe"),
    }


def _told(picture: pa.DataType, text: bytes) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": pa.nulls(1, picture)}).replace_schema_metadata({b"handsynth": text}), buffer)
    return buffer.getvalue()
