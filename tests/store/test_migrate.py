"""The chain of migration steps, with a made-up format version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from handsynth.errors import MissingError, StoreError
from handsynth.store.migrate import migrate_store
from handsynth.store.read import open_store
from handsynth.store.schema import store_file
from tests.store.stores import make_store


def age(address: str, version: int) -> None:
    """Pretend that the store is of another version, whose plan went by another name."""
    where = Path(store_file(address))
    record = json.loads(where.read_text())
    record["format_version"] = version
    if version < 1:
        record["the_plan"] = record.pop("plan")
    where.write_text(json.dumps(record))


def rename_the_plan(address: str) -> None:
    where = Path(store_file(address))
    record = json.loads(where.read_text())
    record["plan"] = record.pop("the_plan")
    record["format_version"] = 1
    where.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def test_current_store_stays(tmp_path: Path) -> None:
    address = make_store(str(tmp_path / "store"))
    before = open_store(address).hash
    assert migrate_store(address) == 0
    assert open_store(address).hash == before
    assert not list((tmp_path / "store").glob(".*"))


def test_steps_run_in_order(tmp_path: Path) -> None:
    address = make_store(str(tmp_path / "store"))
    info = open_store(address).info
    age(address, -1)

    def number_zero(place: str) -> None:
        record = json.loads(Path(store_file(place)).read_text())
        Path(store_file(place)).write_text(json.dumps(record | {"format_version": 0}))

    assert migrate_store(address, {0: rename_the_plan, -1: number_zero}) == 2
    assert open_store(address).info == info


def test_no_way(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        migrate_store(str(tmp_path / "nothing"))
    assert not (tmp_path / "nothing").exists()
    address = make_store(str(tmp_path / "store"))
    age(address, 0)
    with pytest.raises(StoreError, match="found version 0"):
        migrate_store(address)
    age(address, 7)
    with pytest.raises(StoreError, match=r"found version 7.*upgrade handsynth"):
        migrate_store(address)
