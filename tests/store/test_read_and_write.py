"""What goes into a store comes out of it, by our reader and by plain zarr and pyarrow."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from handsynth.errors import DataError, MissingError, StoreError
from handsynth.runtime import files
from handsynth.store import read, schema
from handsynth.store.read import open_store
from handsynth.store.schema import ARRAYS, PROVENANCE, depth_from_stored, depth_to_stored
from handsynth.store.write import finish, write_shard, writing
from tests.store.stores import BARE, EMPTY, REJECTED, SIZE, equal, items, make_plan, make_store, square_samples

FILLED = [slot for slot in range(10) if slot not in (EMPTY, REJECTED)]


@pytest.fixture(params=["raw", "zstd", "memory raw", "memory zstd"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    place, _, codec = request.param.rpartition(" ")
    where = f"memory://{tmp_path.name}/store" if place else str(tmp_path / "store")
    return make_store(where, make_plan(codec=codec))


def test_samples_come_back(address: str) -> None:
    store = open_store(address)
    assert store.slots.tolist() == FILLED == store.kept.tolist()
    assert len(store) == len(FILLED)
    for slot, made in enumerate(square_samples(10)):
        if slot not in FILLED:
            with pytest.raises(ValueError, match="not filled"):
                store.sample(slot)
            continue
        whole = store.sample(slot)
        assert equal(whole, made)
        assert np.array_equal(whole.rgb, made.rgb)
        assert equal(store.sample(slot, pixels=False), made)
        if slot == BARE:
            assert whole.depth_mm is None
            assert whole.mask is None
        else:
            assert np.array_equal(whole.mask, made.mask)
            np.testing.assert_allclose(whole.depth_mm, made.depth_mm, atol=0.0501)


def test_many_samples_are_those_of_one_by_one(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "_ROWS", 3)  # so that they come in several parts
    store, made = open_store(address), list(square_samples(10))
    assert [sample.key for sample in store.samples()] == [made[slot].key for slot in FILLED]
    wanted = [*FILLED[::-1], FILLED[0], FILLED[0]]
    for slot, sample, bare in zip(wanted, store.samples(wanted), store.samples(wanted, pixels=False), strict=True):
        assert equal(sample, made[slot])
        assert np.array_equal(sample.rgb, made[slot].rgb)
        assert equal(bare, made[slot])
        assert bare.rgb is None
    assert list(store.samples([])) == []
    with pytest.raises(ValueError, match="not filled"):
        list(store.samples([FILLED[0], REJECTED]))


def test_plain_zarr_and_pyarrow_read_the_same(address: str) -> None:
    store, slots = open_store(address), np.arange(10)
    group = zarr.open_group(f"{address}/pixels", mode="r")
    assert sorted(group.array_keys()) == ["depth", "mask", "rgb"]
    assert np.array_equal(group["rgb"][:], store.rgb(slots))
    assert np.array_equal(group["mask"][:], store.mask(slots))
    depth = group["depth"][:]
    assert np.array_equal(np.where(depth == 0, np.nan, depth / 10).astype(np.float32), store.depth_mm(slots), True)
    for slot in (EMPTY, REJECTED):
        assert not group["rgb"][slot].any()
        assert np.isnan(store.depth_mm([slot])).all()
    assert [group["rgb"].shards, group["rgb"].chunks] == [(4, SIZE, SIZE, 3), (1, SIZE, SIZE, 3)]
    if not address.startswith("memory"):
        rows = pq.read_table(f"{address}/samples")
        assert rows["slot"].to_pylist() == FILLED
        joints = np.array(rows["joints_mm"].to_pylist()).reshape(-1, 21, 3)
        assert np.array_equal(joints, store.column("joints_mm"))


def test_gathers_any_slots_in_any_order(address: str) -> None:
    store = open_store(address)
    slots = [9, 0, 0, EMPTY, 3]
    out = np.empty((5, SIZE, SIZE, 3), dtype=np.uint8)
    assert store.rgb(slots, out) is out
    assert np.array_equal(out, store.rgb(np.arange(10))[slots])
    assert store.rgb([]).shape == (0, SIZE, SIZE, 3)
    for wrong in ([10], [-1]):
        with pytest.raises(ValueError, match="slots must be 0 to 9"):
            store.rgb(wrong)
    with pytest.raises(ValueError, match="out must be"):
        store.rgb([0], np.empty((1, SIZE, SIZE), dtype=np.uint8))
    assert store.column("key", [9, 0]).tolist() == ["s0009", "s0000"]
    assert store.column("joints_mm", [3, 1]).shape == (2, 21, 3)
    with pytest.raises(ValueError, match="none of the columns"):
        store.column("joint")


def test_rejects_are_listed(address: str) -> None:
    assert open_store(address).rejects().to_pylist() == [{"slot": REJECTED, "key": "s0002", "reason": "a broken image"}]


def test_shards_written_by_zarr_read_the_same(tmp_path: Path) -> None:
    """Another library leaves empty images out and may order the rest in its own way."""
    store = open_store(make_store(str(tmp_path / "store")))
    before = store.rgb(np.arange(10))
    array = zarr.open_group(f"{store.address}/pixels", mode="r+")["rgb"]
    array[:] = before[::-1].copy()
    assert np.array_equal(open_store(store.address).rgb(np.arange(10)), before[::-1])


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 8000, width=32) | st.just(np.nan)))
def test_depth_keeps_a_twentieth_of_a_millimetre(depth_mm: np.ndarray) -> None:
    back = depth_from_stored(depth_to_stored(depth_mm))
    known = (depth_mm >= 0.06) & (depth_mm <= 6553.5)
    np.testing.assert_allclose(back[known], depth_mm[known], atol=0.0505)
    assert np.isnan(back[~(depth_mm >= 0.05) | (depth_mm > 6553.55)]).all()
    assert np.array_equal(depth_to_stored(back), depth_to_stored(depth_mm))


def test_provenance_of_augmented_stores(tmp_path: Path) -> None:
    plan, address = make_plan(slots=3, provenance=True, pixels=("rgb",)), str(tmp_path / "made")
    samples = square_samples(3)
    values = [
        {"source_key": "a", "source_slot": 4, "pose_distance": 0.25, "seed": 2**63, "kept": slot != 1, "reason": None}
        for slot in range(3)
    ]
    with writing(address, plan):
        write_shard(address, plan, 0, zip(range(3), samples, values, strict=True))
        finish(address, plan)
    store = open_store(address)
    assert store.info.augmented
    assert store.kept.tolist() == [0, 2]
    table = store.table([name for name, _ in PROVENANCE])
    assert table["seed"].to_pylist() == [2**63] * 3
    assert store.column("pose_distance").tolist() == [0.25] * 3
    assert np.isnan(store.column("score")).all()
    assert not store.has("depth")
    with pytest.raises(StoreError, match="a store with depth"):
        store.depth_mm([0])


def test_stores_pickle_and_cross_threads_and_processes(tmp_path: Path) -> None:
    store = open_store(make_store(str(tmp_path / "store")))
    expected = store.rgb(np.arange(10))
    assert np.array_equal(pickle.loads(pickle.dumps(store)).rgb(np.arange(10)), expected)  # noqa: S301 - our own
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda slot: open_store(store.address).rgb([slot])[0], range(10))
        assert np.array_equal(np.stack(list(parts)), expected)
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        assert np.array_equal(workers.apply(store.rgb, ([1, 9],)), expected[[1, 9]])


@pytest.mark.parametrize(
    ("change", "advice"),
    [({"format_version": 2}, "upgrade handsynth"), ({"format_version": 0}, "handsynth migrate"), (None, "damaged")],
)
def test_other_versions_say_what_to_do(tmp_path: Path, change: dict[str, int] | None, advice: str) -> None:
    import json

    address = make_store(str(tmp_path / "store"))
    where = Path(schema.store_file(address))
    if change is None:
        where.write_text("{")
        with pytest.raises(DataError, match="restore or delete"):
            open_store(address)
    else:
        where.write_text(json.dumps(json.loads(where.read_text()) | change | {"unheard_of": 1}))
        with pytest.raises(StoreError, match=rf"format version 1, found version {change['format_version']}.*{advice}"):
            open_store(address)


def test_missing_unfinished_and_locked_stores_do_not_open(tmp_path: Path) -> None:
    address, plan = str(tmp_path / "store"), make_plan()
    with pytest.raises(MissingError, match="handsynth ingest"):
        open_store(address)
    with writing(address, plan):
        write_shard(address, plan, 0, items(plan, 0))
        with pytest.raises(StoreError, match=r"one being written.*wait"):
            open_store(address)
    with pytest.raises(StoreError, match=r"unfinished.*resume"):
        open_store(address)


@pytest.mark.parametrize("damage", ["byte", "short", "empty", "gone"])
def test_damaged_index_is_an_error(tmp_path: Path, damage: str) -> None:
    address = make_store(str(tmp_path / "store"))
    shard = Path(files.join(address, ARRAYS["rgb"].shard_path(1)))
    data = bytearray(shard.read_bytes())
    if damage == "byte":
        data[-10] ^= 1
    shard.write_bytes({"byte": data, "short": data[:50], "empty": b"", "gone": b""}[damage])
    if damage == "gone":
        shard.unlink()
    store = open_store(address)
    assert store.rgb([0]).any()
    with pytest.raises(StoreError, match="handsynth verify"):
        store.rgb([4])


def test_damaged_rows_are_an_error(tmp_path: Path) -> None:
    address = make_store(str(tmp_path / "store"))
    Path(address, schema.samples_path(1)).write_bytes(b"PAR1 and no more")
    with pytest.raises(StoreError, match=r"Parquet part.*handsynth verify"):
        _ = open_store(address).slots


def test_items_are_checked(tmp_path: Path) -> None:
    plan, address = make_plan(), str(tmp_path / "store")
    first, second, *_ = square_samples(2)
    for wrong, message in (
        ([(1, first, None), (0, second, None)], "slot 0 after slot 1"),
        ([(4, first, None)], "slot 4"),
        ([(0, replace(first, rgb=np.zeros((5, 5, 3), np.uint8)), None)], "side"),
        ([(0, replace(first, depth_camera=first.camera), None)], "not registered"),
    ):
        with writing(address, plan), pytest.raises(ValueError, match=message):
            write_shard(address, plan, 0, iter(wrong))
