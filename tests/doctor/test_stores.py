"""The doctor on stores: images without partners, copies of images, palm roots, large stores, sources without pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.doctor import examine
from handsynth.doctor.examine import examine_store, samples_of, spread
from handsynth.hand.sample import HandSample
from handsynth.imaging.registration import registered
from handsynth.stages.crops import palm_rooted, square
from handsynth.store.findings import Finding
from handsynth.store.read import Store, open_store
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import finish, write_shard, writing
from tests.doctor.raw import alarms, examined_samples
from tests.formats.samples import simulated

SIZE = 64


def stored(folder: Path, samples: Sequence[HandSample], **plan: object) -> Store:
    """A store of samples, cropped around their hands as ingest does."""
    made = StorePlan(
        **{
            "source": Source(kind="simulator", name="sim"),
            "slots": len(samples),
            "size": SIZE,
            "shard_size": 8,
            "pixels": ("rgb", "depth", "mask"),
            **plan,
        }
    )
    with writing(str(folder), made) as todo:
        for shard in todo:
            slots = made.slot_range(shard)
            write_shard(
                str(folder), made, shard, [(slot, square(samples[slot], SIZE, 0.25, False), None) for slot in slots]
            )
        finish(str(folder), made)
    return open_store(str(folder))


def hands(camera: str = "crop", count: int = 24) -> list[HandSample]:
    return [registered(sample) for sample in simulated(camera, count)]


def found(store: Store) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_store(store).findings}


@pytest.mark.parametrize("camera", ["crop", "stb_sk", "msra15"])
def test_sound_stores_raise_no_alarm(camera: str, tmp_path: Path) -> None:
    findings = found(stored(tmp_path / "store", hands(camera)))
    assert alarms(findings) == {}
    assert findings["duplicate images"].status == "ok"
    assert findings["joints against surface depth"].status == "ok"


def test_palm_rooted_stores_are_sound(tmp_path: Path) -> None:
    rooted = [palm_rooted(sample) for sample in hands()]
    findings = found(stored(tmp_path / "store", rooted, settings={"root_joint": "palm"}))
    assert alarms(findings) == {}
    assert findings["palm length"].status == "ok"


def test_labels_in_world_frame_of_a_store_are_told(tmp_path: Path) -> None:
    """A crop is cut around wrong labels, so the hand may be outside of it; that nothing fits is told all the same."""
    wrong = [replace(sample, joints_mm=sample.joints_mm + np.float32([0, 0, 300])) for sample in hands()]
    assert "joints against surface depth" in alarms(found(stored(tmp_path / "store", wrong)))


@pytest.mark.parametrize(("off_px", "status"), [(1.0, "ok"), (6.0, "fault")])
def test_errors_grow_with_crops(off_px: float, status: str, tmp_path: Path) -> None:
    """A store's hands are larger than the source's, so the limit is a share of the image, not two pixels."""
    beside = [replace(s, keypoints_px=s.keypoints_px + np.float32([off_px, 0])) for s in hands("stb_sk")]
    store = stored(tmp_path / "store", beside, size=64, independent_2d=True)
    assert found(store)["reprojection"].status == status


def test_copies_of_images_are_found_and_judged(tmp_path: Path) -> None:
    samples = hands()
    first = samples[0]
    samples[9] = replace(samples[9], rgb=first.rgb, camera=first.camera, keypoints_px=first.keypoints_px)
    samples[10] = replace(first, key="copy", moment="another", split="other")
    samples[11] = replace(first, key="twin of one moment")
    findings = found(stored(tmp_path / "store", samples))
    copies = findings["duplicate images"]
    assert copies.status == "warning"
    assert copies.count == 2
    assert copies.worst == (samples[9].key, "copy")
    assert (
        copies.text == ("2 images equal one of another moment, 1 of them with other labels, 1 of them in another split")
        or samples[9].split != first.split
    )


def test_many_contradicting_copies_are_a_fault(tmp_path: Path) -> None:
    samples = hands()
    first = samples[0]
    spoilt = [
        replace(sample, rgb=first.rgb, camera=first.camera, keypoints_px=first.keypoints_px) if i % 4 == 1 else sample
        for i, sample in enumerate(samples)
    ]
    assert found(stored(tmp_path / "store", spoilt))["duplicate images"].status == "fault"


def test_empty_images_are_no_copies(tmp_path: Path) -> None:
    black = [replace(sample, rgb=np.zeros_like(sample.rgb)) for sample in hands(count=4)]
    assert found(stored(tmp_path / "store", black))["duplicate images"].status == "ok"


def test_missing_partners_are_counted(tmp_path: Path) -> None:
    samples = hands()
    samples[3] = replace(samples[3], depth_mm=None, mask=None)
    samples[5] = replace(samples[5], mask=None)
    partners = found(stored(tmp_path / "store", samples))["partner files"]
    assert partners.status == "warning"
    assert partners.worst == (samples[3].key, samples[5].key)
    assert "1 samples lack depth" in partners.text
    assert "2 samples lack mask" in partners.text


def test_a_large_store_is_mapped_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = stored(tmp_path / "store", hands())
    small = examine_store(store)
    monkeypatch.setattr(examine, "_SMALL", 3)
    large = examine_store(store)
    assert large.findings == small.findings
    assert [each.title for each in large.histograms] == [each.title for each in small.histograms]


def test_samples_come_by_key(tmp_path: Path) -> None:
    samples = hands(count=10)
    store = stored(tmp_path / "store", samples)
    got = samples_of(store, {samples[8].key, samples[1].key, "nobody"})
    assert got.keys() == {samples[8].key, samples[1].key}
    assert np.array_equal(got[samples[8].key].rgb, store.rgb([8])[0])


def test_images_that_cannot_be_read_are_told() -> None:
    samples = hands(count=8)
    readable = examined_samples(samples, broken=[samples[2].key])["readable images"]
    assert (readable.status, readable.count, readable.worst) == ("warning", 1, (samples[2].key,))
    assert "a truncated picture" in readable.text


def test_two_dimensional_sources() -> None:
    """Panoptic's 2-D part has no joints and no camera; its mask, where there is one, can be held against keypoints."""
    flat = [
        replace(sample, joints_mm=None, joint_state=np.zeros(21, np.uint8), camera=None, depth_mm=None)
        for sample in hands()
    ]
    findings = examined_samples(flat)
    assert alarms(findings) == {}
    assert findings["joints on the mask"].status == "ok"
    assert findings["joints inside the image"].status == "not checkable"
    beside = [replace(sample, keypoints_px=sample.keypoints_px[:, ::-1] + np.float32(60)) for sample in flat]
    assert "joints on the mask" in alarms(examined_samples(beside))


def test_spread_is_even_and_always_the_same() -> None:
    rows = np.arange(1000)
    chosen = spread(rows, 100)
    assert len(set(chosen.tolist())) == 100
    assert np.array_equal(chosen, spread(rows, 100))
    assert (np.abs(chosen - np.arange(5, 1000, 10)) <= 5).all()
    assert len({row % 2 for row in chosen.tolist()}) == 2
    assert np.array_equal(spread(rows[:7], 100), rows[:7])
