"""One Zarr v3 shard as bytes: image after image in slot order, then the index.

Layout (Zarr v3, codec ``sharding_indexed``, index at the end): the encoded images one behind the other, then one pair
(offset, length) of little-endian uint64 per slot, then the crc32c of these pairs. Places behind the end of the array
carry 2^64 - 1 twice. Written directly because zarr-python needs ten times as long, read directly because one look at
the index turns a raw shard into a memory map.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import google_crc32c
import numpy as np

from handsynth.errors import StoreError, sentence
from handsynth.runtime import files
from handsynth.runtime.settings import pretty_json
from handsynth.store.schema import ARRAYS, ZSTD_LEVEL, Codec, PixelArray, StorePlan

_NOWHERE = 2**64 - 1


def metadata(plan: StorePlan) -> dict[str, bytes]:
    """The ``zarr.json`` of the group and of each array, by path inside the store."""
    group = {"attributes": {}, "node_type": "group", "zarr_format": 3}
    arrays = {f"pixels/{field}/zarr.json": pretty_json(_metadata(ARRAYS[field], plan)) for field in plan.pixels}
    return {"pixels/zarr.json": pretty_json(group), **arrays}


def _metadata(array: PixelArray, plan: StorePlan) -> dict[str, Any]:
    image = list(array.image_shape(plan.size))
    little: dict[str, Any] = {"name": "bytes", "configuration": {"endian": "little"}}
    inner = [little if array.dtype.itemsize > 1 else {"name": "bytes"}]
    if plan.codec == "zstd":
        inner.append({"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}})
    sharding = {
        "chunk_shape": [1, *image],
        "codecs": inner,
        "index_codecs": [little, {"name": "crc32c"}],
        "index_location": "end",
    }
    return {
        "attributes": array.attributes,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [plan.shard_size, *image]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "data_type": array.dtype.name,
        "fill_value": 0,
        "node_type": "array",
        "shape": [plan.slots, *image],
        "storage_transformers": [],
        "zarr_format": 3,
    }


def encode(image: np.ndarray, codec: Codec) -> bytes | memoryview:
    """Bytes of one image (S, S) or (S, S, 3); raw ones are not copied."""
    flat = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
    if codec == "raw":
        return flat.data
    import numcodecs.zstd

    return bytes(numcodecs.zstd.compress(flat, ZSTD_LEVEL))


def decode(data: Any, codec: Codec, out: np.ndarray) -> None:
    """Fill ``out``, one image, from its bytes.

    Raises:
        StoreError: they do not decode, or not to one image.
    """
    if codec == "zstd":
        import numcodecs.zstd

        try:
            data = numcodecs.zstd.decompress(data)
        except RuntimeError as error:
            raise StoreError(sentence("a zstd frame", str(error), "a pixel shard", "run handsynth verify")) from None
    flat = np.frombuffer(data, dtype=out.dtype)
    if flat.size != out.size:
        raise StoreError(
            sentence(f"{out.nbytes} bytes of an image", str(flat.nbytes), "a pixel shard", "run handsynth verify")
        )
    out[...] = flat.reshape(out.shape)


def put(address: str, images: Sequence[bytes | memoryview], shard_size: int) -> str:
    """Write one shard whole; returns its checksum, ``crc32c:`` and 8 hex digits.

    crc32c rather than sha256: five times faster, and it guards against damage, not against forgery.

    Raises:
        SpaceError: it could not be written; no temporary file is left.
    """
    chunks = [*images, index(images, shard_size)]
    if not files.is_local(address):
        files.write(address, *chunks)
        return checksum(chunks)
    crc = 0
    with files.replacing(files.local(address)) as temporary, temporary.open("wb", buffering=0) as file:
        for chunk in chunks:
            crc = _extended(crc, chunk)  # just before it is written, while it is in the cache
            _write_all(file, chunk)
    return _spelled(crc)


def _write_all(file: Any, chunk: bytes | memoryview) -> None:
    left = memoryview(chunk)
    while left:
        left = left[file.write(left) :]


def checksum(chunks: Iterable[bytes | memoryview]) -> str:
    """crc32c of bytes that come in pieces."""
    crc = 0
    for chunk in chunks:
        crc = _extended(crc, chunk)
    return _spelled(crc)


def _extended(crc: int, chunk: bytes | memoryview) -> int:
    return int(google_crc32c.extend(crc, np.frombuffer(chunk, dtype=np.uint8)))


def _spelled(crc: int) -> str:
    return f"crc32c:{crc:08x}"


def index(images: Sequence[bytes | memoryview], shard_size: int) -> bytes:
    """The index of a shard whose encoded images lie one behind the other."""
    entries = np.full((shard_size, 2), _NOWHERE, dtype="<u8")
    lengths = np.array([len(image) for image in images], dtype=np.uint64)
    entries[: len(images), 0] = np.concatenate([[0], np.cumsum(lengths)])[:-1] if len(images) else []
    entries[: len(images), 1] = lengths
    data = entries.tobytes()
    return data + struct.pack("<I", google_crc32c.value(data))


def index_bytes(shard_size: int) -> int:
    """Length of the index at the end of a shard."""
    return 16 * shard_size + 4


def read_index(tail: bytes, shard_size: int, body_bytes: int, where: str) -> list[tuple[int, int] | None]:
    """(offset, length) per slot from the last bytes of a shard; None where nothing was written.

    Raises:
        StoreError: the checksum is wrong or an entry leaves the body.
    """
    damaged = "run handsynth verify, then restore the file or make the store again with --overwrite"
    if len(tail) != index_bytes(shard_size):
        raise StoreError(sentence(f"an index of {index_bytes(shard_size)} bytes", str(len(tail)), where, damaged))
    if struct.unpack("<I", tail[-4:])[0] != google_crc32c.value(tail[:-4]):
        raise StoreError(sentence("a sound shard index", "one with a wrong checksum", where, damaged))
    entries: list[tuple[int, int] | None] = []
    for offset, length in np.frombuffer(tail[:-4], dtype="<u8").reshape(-1, 2).tolist():
        if (offset, length) == (_NOWHERE, _NOWHERE):
            entries.append(None)
        elif offset + length > body_bytes:
            raise StoreError(sentence(f"ranges within {body_bytes} bytes", f"{offset}+{length}", where, damaged))
        else:
            entries.append((offset, length))
    return entries
