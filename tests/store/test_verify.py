"""Verify finds every damaged byte and every number that cannot be; honest stores pass."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.hand.camera import Camera
from handsynth.hand.rows import column, project_rows, to_table
from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import mirror
from handsynth.store.checks import check_samples, refusals
from handsynth.store.read import open_store
from handsynth.store.verify import verify_store
from tests.hands import make_samples
from tests.store.stores import items, make_plan, make_store

SAMPLES = make_samples(80)


def statuses(samples: list[HandSample], independent_2d: bool = True, **options: bool) -> dict[str, str]:
    findings = check_samples(to_table(samples), independent_2d=independent_2d, **options)
    return {finding.check: finding.status for finding in findings}


def test_an_honest_store_passes(tmp_path: Path) -> None:
    report = verify_store(open_store(make_store(str(tmp_path / "store"), make_plan(independent_2d=True))))
    found = {finding.check: finding.status for finding in report.findings}
    assert report.ok
    assert found["file checksums"] == found["shard indexes"] == found["counts"] == found["reprojection"] == "ok"
    assert found["chirality against side"] == "not checkable"  # too few hands


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
    report = verify_store(store)  # whatever the byte is, verify tells and does not fall over
    name = victim.relative_to(folder).as_posix()
    assert not report.ok
    assert any(name in finding.worst for finding in report.findings[:2])


def test_a_store_json_that_contradicts_itself_is_found(tmp_path: Path) -> None:
    address = make_store(str(tmp_path / "store"))
    where = tmp_path / "store/store.json"
    where.write_text(where.read_text().replace('"filled": 8', '"filled": 7'))
    findings = verify_store(open_store(address)).findings
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
    report = verify_store(store)
    assert [f.worst for f in report.findings if f.check == check and f.status == "fault"] == [(damage,)]


def test_stray_parts_are_told(tmp_path: Path) -> None:
    store = open_store(make_store(str(tmp_path / "store")))
    (tmp_path / "store/samples/00009.parquet").write_bytes((tmp_path / "store/samples/00000.parquet").read_bytes())
    report = verify_store(store)
    assert report.ok
    assert [f.worst for f in report.findings if f.check == "file names"] == [("samples/00009.parquet",)]


def test_honest_samples_pass() -> None:
    assert set(statuses(SAMPLES).values()) == {"ok"}
    assert set(statuses([mirror(sample) for sample in SAMPLES]).values()) == {"ok"}
    assert statuses(SAMPLES, independent_2d=False)["reprojection"] == "not checkable"


def test_wrong_labels_are_faults() -> None:
    def all_of(**change: object) -> list[HandSample]:
        return [replace(sample, **change) for sample in SAMPLES]

    def moved(function: object) -> list[HandSample]:
        return [replace(sample, joints_mm=function(sample.joints_mm)) for sample in SAMPLES]

    assert statuses(all_of(side="left"))["chirality against side"] == "fault"
    for factor, unit in ((0.1, "centimetres"), (0.001, "metres")):
        findings = check_samples(to_table(moved(lambda j, f=factor: j * np.float32(f))), independent_2d=False)
        assert f"are the joints in {unit}?" in refusals(findings)
    flipped = statuses(moved(lambda joints: joints * np.float32([1, 1, -1])), independent_2d=False)
    assert flipped["chirality against side"] == "fault"
    shifted = [replace(s, keypoints_px=s.keypoints_px + np.float32(3)) for s in SAMPLES]
    assert statuses(shifted)["reprojection"] == "fault"
    assert statuses(shifted, independent_2d=False)["reprojection"] == "not checkable"
    outside = [replace(s, keypoints_px=s.keypoints_px + np.float32(500)) for s in SAMPLES]
    assert statuses(outside, independent_2d=False)["joints inside the image"] == "fault"
    holes = moved(lambda joints: np.where(np.arange(21)[:, None] == 3, np.nan, joints).astype(np.float32))
    assert statuses(holes)["finite numbers"] == "fault"
    assert statuses([SAMPLES[0], SAMPLES[0]])["keys"] == "fault"


def test_few_bad_samples_are_named_not_refused() -> None:
    keypoints = SAMPLES[7].keypoints_px
    assert keypoints is not None
    samples = [*SAMPLES[:7], replace(SAMPLES[7], keypoints_px=keypoints + np.float32(9)), *SAMPLES[8:]]
    findings = {f.check: f for f in check_samples(to_table(samples), independent_2d=True)}
    assert findings["reprojection"].status == "warning"
    assert findings["reprojection"].worst == ("s0007",)
    assert refusals(list(findings.values())) == ""


def test_what_a_source_lacks_is_not_checkable() -> None:
    bare = [HandSample(key=str(number)) for number in range(30)]
    found = statuses(bare)
    assert {found[name] for name in found if name not in ("keys", "finite numbers")} == {"not checkable"}


def test_projection_by_rows_is_the_cameras_own() -> None:
    cameras = [Camera(100 + i % 3, 90, 30, 31, 64, 64, (0.1, 0.01, 0.001, 0, 0) if i % 2 else ()) for i in range(12)]
    samples = [replace(sample, camera=camera) for sample, camera in zip(SAMPLES, cameras, strict=False)]
    samples[4] = replace(samples[4], camera=None)
    table = to_table(samples)
    pixels = project_rows(column(table, "joints_mm"), column(table, "camera"))
    for sample, found in zip(samples, pixels, strict=True):
        expected = sample.projected()
        assert np.isnan(found).all() if expected is None else np.allclose(found, expected, atol=1e-3)


def test_depth_far_from_the_joints_is_told(tmp_path: Path) -> None:
    plan = make_plan(slots=4)
    depth = {name: store_with_depth(tmp_path / name, plan, shift) for name, shift in (("ok", -15), ("fault", -400))}
    assert depth == {"ok": "ok", "fault": "fault"}


def store_with_depth(folder: Path, plan: object, behind: float) -> str:
    from handsynth.store.write import finish, write_shard, writing

    def flat(sample: HandSample) -> HandSample:
        """All joints at one depth, the surface ``behind`` mm from there."""
        joints = sample.joints_mm * np.float32([1, 1, 0]) + np.float32([0, 0, 500])
        surface = np.full_like(sample.depth_mm, 500 + behind)
        return replace(sample, joints_mm=joints, depth_mm=surface)

    with writing(str(folder), plan):
        made = [(slot, flat(item), None) for slot, item, _ in items(plan, 0) if isinstance(item, HandSample)]
        write_shard(str(folder), plan, 0, made)
        finish(str(folder), plan)
    report = verify_store(open_store(str(folder)))
    return next(f.status for f in report.findings if f.check == "joints against surface depth")
