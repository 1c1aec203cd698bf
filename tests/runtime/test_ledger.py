"""Records of finished shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from handsynth.errors import DataError, StoreError
from handsynth.runtime import files
from handsynth.runtime.ledger import ShardRecord, read_records, record_checksum, record_path, write_record


def record(shard: int, settings_hash: str = "abcdef0123") -> ShardRecord:
    return ShardRecord(shard=shard, settings_hash=settings_hash, filled=3, rejected=1, files={"a/b": "sha256:00"})


def test_records_come_back(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert read_records(root) == {}
    for shard in (12, 3):
        write_record(root, record(shard))
    assert read_records(root, "abcdef0123") == {3: record(3), 12: record(12)}
    assert record_checksum(record(3)) == files.sha256(files.join(root, record_path(3)))
    assert record_checksum(record(3)) != record_checksum(record(4))


def test_other_settings_are_refused(tmp_path: Path) -> None:
    write_record(str(tmp_path), record(0, "feedface00"))
    with pytest.raises(StoreError, match=r"feedface.*--overwrite"):
        read_records(str(tmp_path), "abcdef0123")


def test_damaged_record_is_named(tmp_path: Path) -> None:
    write_record(str(tmp_path), record(0))
    (tmp_path / record_path(0)).write_text('{"shard": "zero"}')
    with pytest.raises(DataError, match=r"00000\.json"):
        read_records(str(tmp_path))
