"""One record per finished shard: ``ledger/NNNNN.json``. A shard counts only once its record stands, written last."""

from __future__ import annotations

import hashlib

from handsynth.errors import StoreError, sentence
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, parse, pretty_json


class ShardRecord(Settings, frozen=True, kw_only=True):
    """What one shard holds."""

    shard: int
    settings_hash: str
    filled: int
    rejected: int
    files: dict[str, str]
    """Checksum of every file of the shard by path inside the store: ``sha256:`` or ``crc32c:`` and hex digits."""


def record_checksum(record: ShardRecord) -> str:
    """sha256 of the record as it lies on disk."""
    return hashlib.sha256(pretty_json(record)).hexdigest()


def record_path(shard: int) -> str:
    """Path of a shard's record below the root."""
    return f"ledger/{shard:05d}.json"


def write_record(root: str, record: ShardRecord) -> None:
    """Declare a shard finished."""
    files.write(files.join(root, record_path(record.shard)), pretty_json(record))


def read_records(root: str, settings_hash: str | None = None) -> dict[int, ShardRecord]:
    """Finished shards by number.

    Raises:
        StoreError: a record was made with other settings than ``settings_hash``.
    """
    records = {}
    for name in files.names(files.join(root, "ledger")):
        address = files.join(root, "ledger", name)
        record = parse(files.read(address), ShardRecord, address)
        if settings_hash is not None and record.settings_hash != settings_hash:
            raise StoreError(
                sentence(
                    f"a shard made with the settings of this run ({settings_hash[:8]})",
                    f"one made with others ({record.settings_hash[:8]})",
                    root,
                    "use the same settings to resume, or --overwrite to start again",
                )
            )
        records[record.shard] = record
    return records
