"""A store killed at any moment resumes to the same bytes; it has one writer; a full disk leaves nothing half-made."""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handsynth.errors import SpaceError, StoreError, UsageError
from handsynth.runtime import files
from handsynth.store.lock import is_locked, locked
from handsynth.store.read import open_store
from handsynth.store.schema import LOCK_FILE, StorePlan
from handsynth.store.write import begin, discard, finish, write_shard, writing
from tests.store.stores import items, make_plan, make_store, same_folders

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond ``limit`` bytes: to the writer the same as a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def stopped_run(address: str, plan: StorePlan, *shards: int) -> None:
    """Write some shards and stop, as Ctrl-C would."""
    with contextlib.suppress(KeyboardInterrupt), writing(address, plan) as todo:
        assert todo == list(range(plan.shards))
        for shard in shards:
            write_shard(address, plan, shard, items(plan, shard))
        raise KeyboardInterrupt


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob(".*") if path.is_file()]


def test_order_of_shards_and_stops_change_nothing(tmp_path: Path) -> None:
    whole, stopped, plan = str(tmp_path / "a"), str(tmp_path / "b"), make_plan()
    make_store(whole)
    stopped_run(stopped, plan, 1)
    Path(stopped, "pixels/rgb/c/0/0/0").mkdir(parents=True)
    Path(stopped, "pixels/rgb/c/0/0/0/.0.abc.part").write_bytes(b"half")
    Path(stopped, "pixels/rgb/c/0/0/0/0").write_bytes(b"another half")
    with writing(stopped, plan) as todo:
        assert todo == [0, 2]
        for shard in todo:
            write_shard(stopped, plan, shard, items(plan, shard))
        finish(stopped, plan)
    assert same_folders(tmp_path / "a", tmp_path / "b")
    with writing(stopped, plan) as todo:
        assert todo == []
    assert same_folders(tmp_path / "a", tmp_path / "b")


def test_killed_writer_frees_the_lock_and_resumes(tmp_path: Path) -> None:
    make_store(str(tmp_path / "whole"))
    code = (
        "import sys, time\n"
        "from handsynth.store.write import write_shard, writing\n"
        "from tests.store.stores import items, make_plan\n"
        "plan = make_plan()\n"
        "with writing(sys.argv[1], plan) as todo:\n"
        "    write_shard(sys.argv[1], plan, 2, items(plan, 2))\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    address = str(tmp_path / "killed")
    with subprocess.Popen([sys.executable, "-c", code, address], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        assert is_locked(address)
        with pytest.raises(StoreError, match="one being written"), locked(address):
            pass
        writer.kill()
    assert not is_locked(address)
    assert Path(address, LOCK_FILE).exists()
    make_store(address)
    assert same_folders(tmp_path / "whole", tmp_path / "killed")


def test_other_settings_are_refused(tmp_path: Path) -> None:
    address, plan, other = str(tmp_path / "store"), make_plan(), make_plan(codec="zstd", pixels=("rgb",))
    stopped_run(address, plan, 0)
    with pytest.raises(StoreError, match=r"made with the settings.*--overwrite"), writing(address, other):
        pass
    with pytest.raises(StoreError, match=r"1 missing|2 missing"):
        finish(address, plan)
    make_store(address)
    with pytest.raises(StoreError, match=r"finished one made with others.*--overwrite"), writing(address, other):
        pass
    with pytest.raises(StoreError, match="an empty place"), writing(address, plan, resume=False):
        pass
    assert open_store(address).info.plan == plan
    with writing(address, other, overwrite=True) as todo:
        for shard in todo:
            write_shard(address, other, shard, items(other, shard))
        finish(address, other)
    make_store(str(tmp_path / "fresh"), other)
    assert same_folders(tmp_path / "store", tmp_path / "fresh")


def test_parts_without_a_record_do_not_count(tmp_path: Path) -> None:
    """A run killed before its first record leaves shards of a plan that nobody remembers."""
    address, plan = str(tmp_path / "store"), make_plan()
    stopped_run(address, plan, 0)
    shutil.rmtree(tmp_path / "store/ledger")
    make_store(address, make_plan(pixels=("rgb",)))
    assert not (tmp_path / "store/pixels/depth").exists()


def test_strangers_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "samples").mkdir()
    for overwrite in (False, True):
        with pytest.raises(StoreError, match=r"thesis.tex"), writing(str(tmp_path), make_plan(), overwrite=overwrite):
            pass
    with pytest.raises(StoreError, match=r"thesis.tex"):
        discard(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples", "thesis.tex"]
    with pytest.raises(UsageError, match="slots of at least 1"):
        begin(str(tmp_path / "store"), make_plan(slots=0))


def test_full_disk_leaves_nothing_and_resumes(tmp_path: Path) -> None:
    address, plan = str(tmp_path / "store"), make_plan()
    with small_disk(2000), pytest.raises(SpaceError, match="room to write"), writing(address, plan) as todo:
        write_shard(address, plan, todo[0], items(plan, todo[0]))
    assert not Path(address).exists()
    stopped_run(address, plan, 0)
    with small_disk(2000), pytest.raises(SpaceError), writing(address, plan):
        write_shard(address, plan, 1, items(plan, 1))
    assert leftovers(tmp_path) == []
    assert [path.name for path in Path(address, "ledger").iterdir()] == ["00000.json"]
    make_store(address)
    make_store(str(tmp_path / "whole"))
    assert same_folders(tmp_path / "store", tmp_path / "whole")


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpaceError, match="choose another place"), locked(str(tmp_path / "file" / "store")):
        pass


def test_lock_leaves_no_trace(tmp_path: Path) -> None:
    address = str(tmp_path / "store")
    with locked(address):
        assert is_locked(address)
    assert not Path(address).exists()


def test_remote_lock(tmp_path: Path) -> None:
    address = f"memory://{tmp_path.name}/store"
    with locked(address):
        assert is_locked(address)
        with pytest.raises(StoreError, match="or delete memory://"), locked(address):
            pass
    assert not is_locked(address)


def test_remote_store_resumes_and_is_overwritten(tmp_path: Path) -> None:
    address, plan = f"memory://{tmp_path.name}/store", make_plan()
    stopped_run(address, plan, 0)
    with writing(address, plan) as todo:
        assert todo == [1, 2]
    make_store(address)
    with writing(address, plan, overwrite=True) as todo:
        assert todo == [0, 1, 2]
    assert not files.exists(f"{address}/store.json")
