"""What a store is: its plan, its description ``store.json``, its columns, its arrays and its files.

A plan is fixed before work starts, and everything on disk follows from the plan and the samples alone. No time, host,
absolute path or store name goes in, so two runs of one plan are byte-identical.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from handsynth.errors import StoreError, sentence
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, digest, parse

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = 1

STORE_FILE = "store.json"
LOCK_FILE = ".lock"
FOLDERS = ("ledger", "samples", "pixels", "rejects", "index")
"""Everything a store may hold beside ``store.json``."""

Codec = Literal["raw", "zstd"]
PixelField = Literal["rgb", "depth", "mask"]
ZSTD_LEVEL = 1
"""General compressors save 7 to 12 percent of a photograph at any level; the fastest is the one to take."""


class Source(Settings, frozen=True, kw_only=True):
    """Where the samples come from, without the name of a place."""

    kind: Literal["dataset", "simulator", "generator"]
    name: str
    """Format, simulator or generator."""
    hash: str = ""
    """Of the annotation files, or of the source store: what fixes the samples beside the settings."""


class StorePlan(Settings, frozen=True, kw_only=True):
    """What a run will write; its hash tells a resumed run from another one.

    Attributes:
        source: where the samples come from.
        settings: the stage's own settings, as plain values; no paths, no worker counts.
        slots: N, number of places; each sample and each reject has one.
        size: S, side of the stored images in px.
        shard_size: slots per shard.
        codec: ``raw`` shards can be memory-mapped; ``zstd`` ones are smaller.
        pixels: arrays the store has; fields of a sample beyond these are not stored.
        provenance: whether rows carry the columns of an augmented store, :data:`PROVENANCE`.
        independent_2d: whether 2-D joints were labelled apart from the 3-D ones, so that reprojection is a check.
    """

    source: Source
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    slots: int
    size: int = 256
    shard_size: int = 256
    codec: Codec = "raw"
    pixels: tuple[PixelField, ...] = ("rgb",)
    provenance: bool = False
    independent_2d: bool = False

    @property
    def hash(self) -> str:
        """Changes when anything in the plan changes."""
        return digest(self)

    @property
    def shards(self) -> int:
        """Number of shards; the last one may be partial."""
        return -(-self.slots // self.shard_size)

    def slot_range(self, shard: int) -> range:
        """Slots of one shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.slots))


class ShardSummary(Settings, frozen=True, kw_only=True):
    """One line of ``store.json`` per shard."""

    filled: int
    rejected: int
    record: str
    """sha256 of the shard's ledger record, which holds the checksums of its files."""


class StoreInfo(Settings, frozen=True, kw_only=True):
    """``store.json``: a finished store."""

    format_version: int = FORMAT_VERSION
    plan: StorePlan
    settings_hash: str
    """Hash of ``plan``, as in every ledger record."""
    filled: int
    rejected: int
    shards: tuple[ShardSummary, ...]

    @property
    def augmented(self) -> bool:
        """Whether its samples were made from another store's."""
        return self.plan.provenance


@dataclass(frozen=True)
class PixelArray:
    """One Zarr array under ``pixels/``: (N, S, S) or (N, S, S, 3), sharded along N, one image per inner chunk."""

    field: PixelField
    sample_field: str
    dtype: np.dtype[Any]
    channels: tuple[int, ...]
    attributes: dict[str, Any]

    def image_shape(self, size: int) -> tuple[int, ...]:
        """Shape of one image."""
        return (size, size, *self.channels)

    def image_bytes(self, size: int) -> int:
        """Bytes of one uncompressed image."""
        return int(np.prod(self.image_shape(size))) * self.dtype.itemsize

    def shard_path(self, shard: int) -> str:
        """Path of a shard inside the store."""
        return "/".join(("pixels", self.field, "c", str(shard), *("0" for _ in self.image_shape(1))))


ARRAYS: dict[str, PixelArray] = {
    "rgb": PixelArray("rgb", "rgb", np.dtype("uint8"), (3,), {}),
    "depth": PixelArray("depth", "depth_mm", np.dtype("<u2"), (), {"unit": "0.1 mm", "none": 0}),
    "mask": PixelArray(
        "mask", "mask", np.dtype("uint8"), (), {"codes": "0 background, 1 hand, 2 palm, 3-17 phalanges"}
    ),
}


def depth_to_stored(depth_mm: np.ndarray) -> np.ndarray:
    """float32 mm (NaN = none) to uint16 in 0.1 mm (0 = none), rounded.

    What does not fit, below 0.05 mm or beyond 6553.5 mm, becomes none.
    """
    tenths = np.rint(np.asarray(depth_mm, dtype=np.float64) * 10)
    fits = (tenths >= 1) & (tenths <= 65535)
    return np.where(fits, tenths, 0).astype("<u2")


def depth_from_stored(stored: np.ndarray) -> np.ndarray:
    """uint16 in 0.1 mm to float32 mm, NaN where none; inverse of :func:`depth_to_stored` within 0.05 mm."""
    return _depth_table()[stored]


@cache
def _depth_table() -> np.ndarray:
    table = (np.arange(65536) / 10).astype(np.float32)
    table[0] = np.nan
    return table


PROVENANCE: tuple[tuple[str, str], ...] = (
    ("source_key", "string"),
    ("target_key", "string"),
    ("source_slot", "int64"),
    ("target_slot", "int64"),
    ("pose_distance", "float64"),
    ("generator", "string"),
    ("checkpoint", "string"),
    ("seed", "uint64"),
    ("score", "float64"),
    ("kept", "bool"),
    ("reason", "string"),
)
"""Columns of an augmented store: whose look, whose pose, how far apart, made by what, and kept or not, and why.

Slots are those of the source store; ``checkpoint`` is a hash; a sample that is not kept still has its pixels.
"""


def extra_columns(plan: StorePlan) -> list[tuple[str, pa.DataType]]:
    """Columns of ``samples/`` beyond ``hand.rows.row_schema``.

    ``slot``, the place; ``pixels``, the arrays this sample has a value in (what it lacks reads as zeros there);
    then :data:`PROVENANCE` where the plan says so.
    """
    import pyarrow as pa

    columns: list[tuple[str, pa.DataType]] = [("slot", pa.int64()), ("pixels", pa.list_(pa.string()))]
    if plan.provenance:
        columns += [(name, pa.type_for_alias(kind)) for name, kind in PROVENANCE]
    return columns


def reject_schema() -> pa.Schema:
    """Columns of ``rejects/``."""
    import pyarrow as pa

    return pa.schema([("slot", pa.int64()), ("key", pa.string()), ("reason", pa.string())])


def samples_path(shard: int) -> str:
    """Path of a shard's rows inside the store."""
    return f"samples/{shard:05d}.parquet"


def rejects_path(shard: int) -> str:
    """Path of a shard's rejects inside the store; every shard has the file, most have no row in it."""
    return f"rejects/{shard:05d}.parquet"


def store_file(address: str) -> str:
    """Address of ``store.json``."""
    return files.join(address, STORE_FILE)


def read_info(address: str) -> StoreInfo:
    """``store.json`` of a finished store.

    Raises:
        MissingError: there is none.
        StoreError: it is of an older or a newer format version; says what to do.
        DataError: it is damaged.
    """
    where = store_file(address)
    return parse_info(files.read(where), where)


def parse_info(data: bytes, where: str) -> StoreInfo:
    """:func:`read_info` from bytes."""
    version = parse(data, _Version, where).format_version
    if version != FORMAT_VERSION:
        raise wrong_version(version, where)
    return parse(data, StoreInfo, where)


def read_version(where: str) -> int:
    """Format version of a ``store.json``, whatever else is in it."""
    return parse(files.read(where), _Version, where).format_version


def wrong_version(version: int, where: str, current: int = FORMAT_VERSION) -> StoreError:
    """The error for a store of another version; says what to do."""
    do = "upgrade handsynth" if version > current else "run handsynth migrate on the store"
    return StoreError(sentence(f"a store of format version {current}", f"version {version}", where, do))


class _Version(msgspec.Struct):
    """The one field that every version has."""

    format_version: int
