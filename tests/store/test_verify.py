"""Every damaged byte and every record that disagrees is found; whole stores pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.store.findings import is_sound
from handsynth.store.read import open_store
from handsynth.store.verify import check_files
from tests.store.stores import make_plan, make_store


def test_a_whole_store_passes(tmp_path: Path) -> None:
    findings = check_files(open_store(make_store(str(tmp_path / "store"))))
    assert {finding.status for finding in findings} == {"ok"}
    assert len(findings) == 5


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(make_store(str(tmp_path_factory.mktemp("verify") / "sound"), make_plan(slots=5)))


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_changed_byte_is_found(sound: Path, data: st.DataObject) -> None:
    folder = sound.parent / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound, folder)
    store = open_store(str(folder))
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "store.json")
    victim = data.draw(st.sampled_from(paths))
    content = bytearray(victim.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    victim.write_bytes(content)
    findings = check_files(store)  # whatever the byte is, the check tells and does not fall over
    name = victim.relative_to(folder).as_posix()
    assert not is_sound(findings)
    assert any(name in finding.worst for finding in findings[:2])


def test_a_store_json_that_contradicts_itself_is_found(tmp_path: Path) -> None:
    address = make_store(str(tmp_path / "store"))
    where = tmp_path / "store/store.json"
    where.write_text(where.read_text().replace('"filled": 8', '"filled": 7'))
    findings = check_files(open_store(address))
    assert [f.worst for f in findings if f.status == "fault"] == [("store.json",)]


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        ("ledger/00001.json", "ledger records"),
        ("samples/00002.parquet", "file checksums"),
        ("pixels/rgb/c/1/0/0/0", "file checksums"),
    ],
)
def test_missing_files_are_found(tmp_path: Path, damage: str, check: str) -> None:
    store = open_store(make_store(str(tmp_path / "store")))
    (tmp_path / "store" / damage).unlink()
    assert [f.worst for f in check_files(store) if f.check == check and f.status == "fault"] == [(damage,)]


def test_stray_parts_are_told(tmp_path: Path) -> None:
    store = open_store(make_store(str(tmp_path / "store")))
    (tmp_path / "store/samples/00009.parquet").write_bytes((tmp_path / "store/samples/00000.parquet").read_bytes())
    findings = check_files(store)
    assert is_sound(findings)
    assert [f.worst for f in findings if f.check == "file names"] == [("samples/00009.parquet",)]
