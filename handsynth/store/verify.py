"""Check the files of a finished store: every byte against its checksum, every count against its records.

Reads every byte once and decodes no image; what the numbers and pixels say is the doctor's to judge.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.parquet as pq

from handsynth.errors import HandsynthError
from handsynth.runtime import files, ledger, progress
from handsynth.runtime.settings import parse
from handsynth.store import schema, shards
from handsynth.store.findings import SHOWN, Finding, Status
from handsynth.store.read import Store
from handsynth.store.schema import ARRAYS


class _Faults:
    """Files at fault in one check."""

    def __init__(self, check: str, good: str, bad: str, status: Status = "fault") -> None:
        self.check, self.good, self.bad, self.status = check, good, bad, status
        self.paths: list[str] = []

    def finding(self) -> Finding:
        count = len(self.paths)
        return Finding(
            check=self.check,
            status=self.status if count else "ok",
            count=count,
            worst=tuple(self.paths[:SHOWN]),
            text=f"{count} {self.bad}" if count else self.good,
        )


def check_files(store: Store) -> list[Finding]:
    """Findings about every file; where one is at fault other than ``file names``, the store is not worth reading."""
    records = _Faults(
        "ledger records", "every record is the one that store.json names", "records are missing or changed"
    )
    sums = _Faults("file checksums", "every file is as it was written", "files are missing or changed")
    indexes = _Faults("shard indexes", "every image can be found in its shard", "shards have a damaged index")
    counts = _Faults("counts", "rows, rejects and slots agree with the records", "parts disagree with their records")
    strays = _Faults("file names", "no stray files", "files belong to no shard", status="warning")
    plan, expected = store.info.plan, set()
    sums.paths += [path for path, data in shards.metadata(plan).items() if _bytes(store, path) != data]
    if not _is_consistent(store.info):
        records.paths.append(schema.STORE_FILE)
    with progress.task("verify", plan.shards) as advance:
        for shard, summary in enumerate(store.info.shards):
            path = ledger.record_path(shard)
            expected.add(path)
            data = _bytes(store, path)
            if data is None or hashlib.sha256(data).hexdigest() != summary.record:
                records.paths.append(path)
            else:
                record = parse(data, ledger.ShardRecord, path)
                expected |= set(record.files)
                contents = {name: _bytes(store, name) for name in record.files}
                sums.paths += [name for name, body in contents.items() if not _is_sound(body, record.files[name])]
                indexes.paths += [name for name, body in contents.items() if not _index_is_sound(plan, name, body)]
                counts.paths += _disagreeing(plan, shard, record, contents)
            advance()
    for folder in ("ledger", "samples", "rejects"):
        names = (f"{folder}/{name}" for name in files.names(files.join(store.address, folder)))
        strays.paths += [name for name in names if name not in expected]
    return [faults.finding() for faults in (records, sums, indexes, counts, strays)]


def _is_consistent(info: schema.StoreInfo) -> bool:
    """Whether ``store.json`` agrees with itself."""
    plan, summaries = info.plan, info.shards
    totals = [sum(s.filled for s in summaries), sum(s.rejected for s in summaries), len(summaries), plan.hash]
    return totals == [info.filled, info.rejected, plan.shards, info.settings_hash]


def _bytes(store: Store, path: str) -> bytes | None:
    try:
        return files.read(files.join(store.address, path))
    except (HandsynthError, OSError):
        return None


def _is_sound(body: bytes | None, expected: str) -> bool:
    if body is None:
        return False
    kind = expected.partition(":")[0]
    found = shards.checksum([body]) if kind == "crc32c" else f"sha256:{hashlib.sha256(body).hexdigest()}"
    return found == expected


def _index_is_sound(plan: schema.StorePlan, name: str, body: bytes | None) -> bool:
    if not name.startswith("pixels/") or body is None:
        return True
    tail = shards.index_bytes(plan.shard_size)
    try:
        entries = shards.read_index(body[-tail:], plan.shard_size, len(body) - tail, name)
    except HandsynthError:
        return False
    field, shard = name.split("/")[1], int(name.split("/")[3])
    inside = entries[: len(plan.slot_range(shard))]
    if plan.codec == "raw":
        size = ARRAYS[field].image_bytes(plan.size)
        return all(entry is None or entry[1] == size for entry in inside)
    return True


def _disagreeing(
    plan: schema.StorePlan, shard: int, record: ledger.ShardRecord, contents: dict[str, bytes | None]
) -> list[str]:
    """Parquet parts of a shard whose rows are not those its record counts, each in a slot of its own."""
    slots: list[int] = []
    wrong = []
    for path, count in ((schema.samples_path(shard), record.filled), (schema.rejects_path(shard), record.rejected)):
        try:
            part = pq.read_table(pa.BufferReader(contents.get(path) or b""), columns=["slot"])["slot"].to_pylist()
        except (OSError, pa.ArrowException):  # pyarrow raises either for damaged bytes
            part = []
        if len(part) != count:
            wrong.append(path)
        slots += part
    if len(set(slots)) != len(slots) or not set(slots) <= set(plan.slot_range(shard)):
        wrong.append(ledger.record_path(shard))
    return wrong
