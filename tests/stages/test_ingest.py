"""Raw folder to store: crops, rejects, refusals; the same bytes however it was made; nothing left half-made."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from handsynth.errors import DataError, MissingError, SpaceError, StoreError, UsageError
from handsynth.formats import FORMATS, get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.format import NoOptions
from handsynth.hand.camera import Camera
from handsynth.hand.joints import WRIST
from handsynth.hand.pose import palm_from_wrist
from handsynth.hand.sample import DERIVED, LABELLED, HandSample
from handsynth.imaging import codecs, png
from handsynth.imaging.codecs import read_color
from handsynth.imaging.warp import Box, mirror
from handsynth.runtime import progress
from handsynth.stages.crops import PALM_FORMULA, _looks, palm_rooted, square
from handsynth.stages.info import info
from handsynth.stages.ingest import ingest
from handsynth.stages.migrate import migrate
from handsynth.stages.verify import verify
from handsynth.stages.view import view
from handsynth.store.read import open_store
from handsynth.store.schema import ARRAYS
from handsynth.store.write import Reject
from tests.hands import make_samples
from tests.store.stores import same_folders
from tests.store.test_resume import leftovers, small_disk

ROOT = Path(__file__).parents[2]
REAL = ROOT / "../shared/data/ge_realworld"
COUNT, BROKEN, GONE = 30, 11, 20
FAST = {"size": 32, "shard_size": 4, "workers": 1}


class Heard:
    """Listener that keeps what was said."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.task = progress.Silent().task

    def say(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSYNTH_CACHE", str(tmp_path_factory.getbasetemp() / "catalogues"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small dataset of left hands in Ge's layout."""
    root = tmp_path_factory.mktemp("ge")
    format = get_format("ge_realworld")
    samples = [replace(mirror(sample), split="train") for sample in make_samples(COUNT)]
    format.write(root, samples, format.options_type())
    return root


@pytest.fixture(scope="module")
def damaged(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a truncated and, after its catalogue was made, a missing image."""
    root = tmp_path_factory.mktemp("damaged") / "ge"
    shutil.copytree(whole, root)
    images = sorted((root / "images").iterdir())
    images[BROKEN].write_bytes(images[BROKEN].read_bytes()[:-700])
    return root


def stored(workspace: Path, name: str = "ge_realworld") -> Path:
    return workspace / "stores" / name


def test_every_sample_arrives(whole: Path, tmp_path: Path) -> None:
    store = open_store(ingest("ge_realworld", whole, workspace=tmp_path, size=256, shard_size=16, workers=1))
    assert store.slots.tolist() == list(range(COUNT))
    assert store.info.plan.pixels == ("rgb",)
    keys = store.column("key")
    for slot in (0, 17, COUNT - 1):
        sample = store.sample(slot)
        assert np.array_equal(sample.rgb, read_color(whole / f"images/{keys[slot]}.jpg"))  # published crops stay
        np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=1e-2)
    assert store.sample(3).side == "left"


def test_workers_and_places_change_nothing(damaged: Path, tmp_path: Path) -> None:
    """Rejects included: their reasons hold no path."""
    shutil.copytree(damaged, tmp_path / "elsewhere")
    ingest("ge_realworld", damaged, "one", workspace=tmp_path, **FAST)
    ingest("ge_realworld", tmp_path / "elsewhere", "two", workspace=tmp_path, **{**FAST, "workers": 2})
    assert same_folders(stored(tmp_path, "one"), stored(tmp_path, "two"))
    store = open_store(str(stored(tmp_path, "two")))
    (reject,) = store.rejects().to_pylist()
    assert reject["slot"] == BROKEN
    assert "truncated JPEG" in reject["reason"]
    assert str(tmp_path) not in reject["reason"]
    assert not store.rgb([BROKEN]).any()
    content = b"".join(path.read_bytes() for path in stored(tmp_path, "two").rglob("*") if path.is_file())
    assert str(tmp_path).encode() not in content


def test_killed_and_run_again_is_the_same(damaged: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "import handsynth.stages.ingest as stage\n"
        "real = stage.write_shard\n"
        "def slow(*arguments):\n"
        "    time.sleep(0.2)\n"  # so that the kill finds it at work
        "    return real(*arguments)\n"
        "stage.write_shard = slow\n"
        "stage.ingest('ge_realworld', sys.argv[1], 'killed', workspace=sys.argv[2], size=32, shard_size=4, workers=1)\n"
    )
    command = [sys.executable, "-c", code, str(damaged), str(tmp_path)]
    ledger = stored(tmp_path, "killed") / "ledger"
    with subprocess.Popen(command, cwd=ROOT) as run:
        while run.poll() is None and not (ledger.is_dir() and len(list(ledger.glob("0*.json"))) >= 2):
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    done = {path: path.stat().st_mtime_ns for path in ledger.glob("*.json")}
    assert 2 <= len(done) < 8
    with pytest.raises(StoreError, match="unfinished"):
        open_store(str(stored(tmp_path, "killed")))
    ingest("ge_realworld", damaged, "killed", workspace=tmp_path, **FAST)
    ingest("ge_realworld", damaged, "whole", workspace=tmp_path, **FAST)
    assert all(path.stat().st_mtime_ns == then for path, then in done.items())  # finished shards were not made again
    assert same_folders(stored(tmp_path, "killed"), stored(tmp_path, "whole"))


def test_running_twice_does_nothing(whole: Path, tmp_path: Path) -> None:
    address = ingest("ge_realworld", whole, workspace=tmp_path, limit=6, **FAST)
    before = {path: path.stat().st_mtime_ns for path in Path(address).rglob("*")}
    heard = Heard()
    with progress.show(heard):
        assert ingest("ge_realworld", whole, workspace=tmp_path, limit=6, **FAST) == address
    assert before == {path: path.stat().st_mtime_ns for path in Path(address).rglob("*")}
    assert "finished already" in heard.texts[-1]
    with pytest.raises(StoreError, match="--overwrite"):
        ingest("ge_realworld", whole, workspace=tmp_path, limit=7, **FAST)
    assert (
        open_store(ingest("ge_realworld", whole, workspace=tmp_path, limit=7, overwrite=True, **FAST)).info.filled == 7
    )


def test_missing_images_are_rejected_and_told(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "ge"
    shutil.copytree(whole, root)
    format = get_format("ge_realworld")
    open_catalogue(format, root, format.options_type())
    sorted((root / "images").iterdir())[GONE].unlink()
    heard = Heard()
    with progress.show(heard):
        address = ingest("ge_realworld", root, workspace=tmp_path, **FAST)
    assert open_store(address).rejects()["slot"].to_pylist() == [GONE]
    assert "1 rejected; the first because: expected an image file, found none" in heard.texts[-1]
    for path in (root / "images").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"at least one sample.*an empty file"):
        ingest("ge_realworld", root, "none", workspace=tmp_path, **FAST)
    assert not stored(tmp_path, "none").exists()


def test_full_disk_leaves_nothing_half_made(whole: Path, tmp_path: Path) -> None:
    with small_disk(20_000), pytest.raises(SpaceError, match="room to write"):
        ingest("ge_realworld", whole, workspace=tmp_path, **{**FAST, "size": 64})
    assert not stored(tmp_path).exists()
    assert leftovers(tmp_path) == []
    ingest("ge_realworld", whole, workspace=tmp_path, **FAST)


def test_sources_that_contradict_themselves_are_refused(whole: Path, tmp_path: Path) -> None:
    root = tmp_path / "ge"
    shutil.copytree(whole, root)
    for name, field in (("pose_gt.mat", "pose_gt"), ("params.mat", "pose_root")):
        content = {key: value for key, value in loadmat(root / name).items() if not key.startswith("__")}
        savemat(root / name, content | {field: content[field] * np.float32([-1, 1, 1])})  # right hands, called left
    with pytest.raises(DataError, match=r"bent left hands.*--accept"):
        ingest("ge_realworld", root, workspace=tmp_path, **FAST)
    assert not stored(tmp_path).exists()
    heard = Heard()
    with progress.show(heard):
        address = ingest("ge_realworld", root, workspace=tmp_path, accept=True, **FAST)
    assert any("chirality against side: fault" in text for text in heard.texts)
    assert not verify(address).ok


def write_pairs(root: Path, count: int = 4) -> None:
    """RHD with both hands in every image."""
    samples = []
    camera = Camera(130.0, 128.0, 159.5, 159.5, 320, 320)  # its mirror image is itself
    for number, sample in enumerate(make_samples(count, height=320, width=320)):
        joints = sample.joints_mm + np.float32([40, 0, 0])
        right = replace(sample, camera=camera, joints_mm=joints, keypoints_px=camera.project(joints).astype(np.float32))
        left = replace(mirror(right), rgb=right.rgb, depth_mm=right.depth_mm, mask=None, mirrored=False)
        samples += [replace(hand, key=f"{number}{hand.side}", moment=f"m{number}") for hand in (left, right)]
    get_format("rhd").write(root, samples, NoOptions())


def test_the_fast_way_makes_the_same_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colour, registered depth and masks, of one hand and of two, by OpenCV and by our own decoder."""
    write_pairs(tmp_path / "data/rhd")
    stb = get_format("stb")
    samples = [replace(sample, split="train", extra={}) for sample in make_samples(5, height=240, width=320)]
    stb.write(tmp_path / "data/stb", samples, stb.options_type())
    decoded = []
    real = png.decode
    monkeypatch.setattr(png, "_unfilter", None)
    monkeypatch.setattr(png, "decode", lambda *given: decoded.append(real(*given)) or decoded[-1])
    for name in ("rhd", "stb"):
        slow = ingest(name, store=f"{name}-slow", workspace=tmp_path, accept=True, **FAST)
        assert decoded
        assert all(image is None for image in decoded)
        decoded.clear()
        with monkeypatch.context() as patch:
            patch.setattr(codecs, "_MANY", 1)
            fast = ingest(name, store=f"{name}-fast", workspace=tmp_path, accept=True, **FAST)
            patch.setattr(png, "_unfilter", None)
        assert decoded
        assert all(image is not None for image in decoded)
        decoded.clear()
        monkeypatch.setattr(png, "_unfilter", None)
        assert same_folders(Path(slow), Path(fast))


def test_jpegs_compile_nothing(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(codecs, "expect", asked.append)
    ingest("ge_realworld", whole, workspace=tmp_path, limit=6, **FAST)
    assert set(asked) == {0}
    write_pairs(tmp_path / "data/rhd")
    ingest("rhd", workspace=tmp_path, accept=True, **FAST)
    assert asked[-1] == 8


def test_an_image_of_two_hands_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pairs(tmp_path / "data/rhd")
    asked = []
    real = codecs._decode

    def noted(*given: object) -> np.ndarray:
        if codecs._memory.get() is not None:  # the checks before look at some images too
            asked.append(given[1])
        return real(*given)

    monkeypatch.setattr(codecs, "_decode", noted)
    store = open_store(ingest("rhd", workspace=tmp_path, accept=True, **FAST))
    assert len(store) == 8
    assert len(asked) == len(set(asked)) == 4 * 3
    assert codecs._memory.get() is None
    monkeypatch.setattr("handsynth.stages.crops._looks", lambda rows, boxes: [None] * len(rows))
    apart = open_store(ingest("rhd", store="apart", workspace=tmp_path, accept=True, **FAST))
    np.testing.assert_array_equal(store.rgb(range(8)), apart.rgb(range(8)))


@pytest.mark.parametrize("side", ["left", "right"])
def test_one_side_by_mirroring(tmp_path: Path, side: str) -> None:
    """Pixels, joints and camera are mirrored together, and only of the other hands; the store says so."""
    write_pairs(tmp_path / "data/rhd")
    plain = open_store(ingest("rhd", workspace=tmp_path, accept=True, **FAST))
    assert not {"side", "palm"} & set(plain.info.plan.settings)  # older stores keep their hash
    turned = open_store(ingest("rhd", store="one", side=side, workspace=tmp_path, accept=True, **FAST))
    assert turned.info.plan.settings["side"] == side
    assert set(turned.column("side")) == {side}
    for slot in range(8):
        before, after = plain.sample(slot), turned.sample(slot)
        want = before if before.side == side else mirror(before)
        assert after.mirrored is (before.side != side) is want.mirrored
        for name in ("rgb", "depth_mm", "mask", "joints_mm", "keypoints_px"):
            np.testing.assert_array_equal(getattr(after, name), getattr(want, name))
        assert after.camera == want.camera
        np.testing.assert_allclose(after.projected(), after.keypoints_px, atol=1e-2)
    assert verify(turned.address).findings


def test_dry_run_foretells(damaged: Path, tmp_path: Path) -> None:
    """Counts, bytes, time and room; damaged files are found where they are among those tried."""
    heard = Heard()
    with progress.show(heard):
        ingest("ge_realworld", damaged, workspace=tmp_path, dry_run=True, **FAST)
    size = sum(path.stat().st_size for path in (damaged / "images").iterdir())
    assert f"would read {COUNT} samples from {COUNT} colour images in {damaged}, {size / 1e3:.0f} kB" in heard.texts
    assert any(text.startswith("would take about a second with 1 worker: ") for text in heard.texts)
    assert any("samples tried would be rejected; the first because" in text for text in heard.texts)
    assert heard.texts[-1].endswith(f"ge_realworld: rgb, {COUNT * 32 * 32 * 3 / 1e3:.0f} kB")
    with progress.show(heard):
        ingest("ge_realworld", damaged, workspace=tmp_path, dry_run=True, codec="zstd", limit=1, **FAST)
    assert heard.texts[-1].endswith("kB compressed")
    assert list(tmp_path.iterdir()) == []


def test_looks_cover_their_boxes_and_cost_no_more() -> None:
    files = {"depth_file": None, "mask_file": None}
    rows = [{"rgb_file": name, **files} for name in ("a", "a", "b", "c", "c", "a")]
    boxes = [Box(10, 50, 30), Box(100, -5, 20), Box(1, 2, 3), Box(4, 4, 4), None, Box(0, 0, 9)]
    looks = _looks(rows, boxes)
    assert looks[2:] == [boxes[2], None, None, boxes[5]]
    assert looks[0] == looks[1] == Box(120 - 110, 80 - 110, 110)


def test_wrong_use_writes_nothing(whole: Path, tmp_path: Path) -> None:
    for wrong, error in (
        ({"name": "gee"}, UsageError),
        ({"root": tmp_path / "nowhere"}, MissingError),
        ({"root": tmp_path}, MissingError),
        ({"size": 0}, UsageError),
        ({"limit": 0}, UsageError),
        ({"margin": -1.0}, UsageError),
        ({"root_joint": "elbow"}, UsageError),
        ({"side": "unknown"}, UsageError),
        ({"codec": "lzma"}, UsageError),
        ({"workers": 0}, UsageError),
        ({"settings": ["colour=blue"]}, UsageError),
        ({"dry_run": True}, None),
    ):
        arguments = {"name": "ge_realworld", "root": whole, "workspace": tmp_path, **FAST, **wrong}
        with pytest.raises(error) if error else contextlib.nullcontext():
            ingest(**arguments)
        assert list(tmp_path.iterdir()) == [], wrong


def test_newer_store_is_not_touched(whole: Path, tmp_path: Path) -> None:
    address = ingest("ge_realworld", whole, workspace=tmp_path, limit=4, **FAST)
    where = Path(address, "store.json")
    where.write_text(json.dumps(json.loads(where.read_text()) | {"format_version": 9}))
    with pytest.raises(StoreError, match="upgrade handsynth"):
        ingest("ge_realworld", whole, workspace=tmp_path, limit=4, **FAST)
    for stage in (info, verify, view, migrate):
        with pytest.raises(StoreError, match="found version 9"):
            stage(address)


def test_colour_depth_and_masks_of_both_hands(tmp_path: Path) -> None:
    samples = [replace(sample, moment=f"m{i}") for i, sample in enumerate(make_samples(6, height=320, width=320))]
    samples = [mirror(sample) if i % 2 else sample for i, sample in enumerate(samples)]
    get_format("rhd").write(tmp_path / "data/rhd", samples, NoOptions())
    store = open_store(ingest("rhd", workspace=tmp_path, accept=True, **FAST))
    assert store.info.plan.pixels == ("rgb", "depth", "mask")
    assert store.info.plan.independent_2d
    sample = store.sample(0)
    assert sample.rgb is not None
    assert sample.depth_mm is not None
    assert np.isfinite(sample.depth_mm).mean() > 0.5
    assert sample.mask is not None
    np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=1e-2)
    inside = (sample.keypoints_px > 0) & (sample.keypoints_px < 31)
    assert inside.all()
    assert sample.camera is not None
    assert (sample.camera.width, sample.camera.height) == (32, 32)


def test_crops_are_square_and_hold_the_hand() -> None:
    for sample in make_samples(5):
        cut = square(sample, 40, 0.25, cropped=False)
        assert isinstance(cut, HandSample)
        assert cut.rgb is not None
        assert cut.rgb.shape == (40, 40, 3)
        extent = np.ptp(cut.keypoints_px, axis=0).max()
        assert 40 / 1.35 <= extent <= 40 / 1.2
        np.testing.assert_allclose(cut.projected(), cut.keypoints_px, atol=1e-2)
        padded = square(sample, 40, 0.25, cropped=True)
        assert isinstance(padded, HandSample)
        assert padded.camera is not None
        assert np.isclose(padded.camera.fx, sample.camera.fx * 40 / 128)
        masked = square(replace(sample, joints_mm=None, keypoints_px=None), 40, 0.25, cropped=False)
        assert isinstance(masked, HandSample)


def test_hands_that_are_not_in_their_image_are_rejected() -> None:
    sample = make_samples(1)[0]
    keypoints = sample.keypoints_px
    assert keypoints is not None
    for moved in (keypoints + np.float32(4000), keypoints * np.float32(100)):
        found = square(replace(sample, keypoints_px=moved), 40, 0.25, cropped=False)
        assert isinstance(found, Reject)
        assert "expected a hand in the 128 x 96 image" in found.reason
    bare = HandSample(key="bare", rgb=sample.rgb, camera=Camera(1, 1, 0, 0, 128, 96))
    assert isinstance(square(bare, 40, 0.25, cropped=False), Reject)


def test_palm_rooting_is_marked() -> None:
    sample = make_samples(1)[0]
    labelled = palm_rooted(sample)
    assert np.array_equal(labelled.joints_mm[WRIST], sample.extra["palm_mm"][0])
    assert np.array_equal(labelled.keypoints_px[WRIST], sample.extra["palm_px"][0])
    assert labelled.joint_state[WRIST] == labelled.keypoint_state[WRIST] == LABELLED
    assert np.array_equal(labelled.extra["wrist_mm"], sample.joints_mm[:1])
    derived = palm_rooted(replace(sample, extra={}))
    np.testing.assert_allclose(derived.joints_mm[WRIST], palm_from_wrist(sample.joints_mm[0], sample.joints_mm[13]))
    assert derived.joint_state[WRIST] == DERIVED
    assert np.array_equal(derived.joints_mm[1:], sample.joints_mm[1:])
    assert sample.joint_state[WRIST] == LABELLED  # the original stays


def test_palm_rooted_store_passes_its_checks(whole: Path, tmp_path: Path) -> None:
    address = ingest("ge_realworld", whole, workspace=tmp_path, root_joint="palm", **FAST)
    assert verify(address).ok
    assert open_store(address).info.plan.settings["palm"] == PALM_FORMULA
    assert (open_store(address).column("joint_state")[:, WRIST] == DERIVED).all()


def test_info_verify_view_and_migrate(damaged: Path, tmp_path: Path) -> None:
    address = ingest("ge_realworld", damaged, workspace=tmp_path, codec="zstd", **FAST)
    summary = info(workspace=tmp_path)
    assert (summary["samples"], summary["rejected"], summary["sides"]) == (COUNT - 1, 1, {"left": COUNT - 1})
    json.dumps(summary)
    assert verify(workspace=tmp_path).ok
    sheet = read_color(view(workspace=tmp_path, count=7))
    assert sheet.shape == (2 * 192 + 4, 6 * 192 + 5 * 4, 3)
    assert read_color(view(address, tmp_path / "gallery.jpg", count=5, gallery=True)).shape[0] == 2 * 112 + 2
    page = view(address, tmp_path / "page.html", count=2).read_text()
    assert page.count("<img") == 2
    assert migrate("ge_realworld", workspace=tmp_path) == address
    for wrong in ({"count": 0}, {"out": "sheet.bmp"}, {"out": "gallery.html", "gallery": True}):
        with pytest.raises(UsageError):
            view(address, **wrong)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples in ../shared/data are not here")
def test_real_photographs(tmp_path: Path) -> None:
    address = ingest("ge_realworld", REAL, workspace=tmp_path, size=64, workers=1)
    found = {finding.check: finding for finding in verify(address).findings}
    assert {name for name, finding in found.items() if finding.status not in ("ok", "not checkable")} == set()
    assert found["joints inside the image"].text.startswith("100.0 %")
    assert info(address)["splits"] == {"test": 140, "train": 200}


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_makes_a_store_that_verifies(name: str, tmp_path: Path) -> None:
    """And what the layout holds of pixels arrives, registered."""
    format = get_format(name)
    made = make_samples(3, height=240, width=320)
    samples = [replace(sample, split="train", moment=sample.key, extra={}) for sample in made]
    format.write(tmp_path / "data" / name, samples, format.options_type())
    store = open_store(ingest(name, workspace=tmp_path, accept=True, **FAST))
    assert len(store) == 3
    expected = {field for field, array in ARRAYS.items() if array.sample_field in format.fields}
    assert set(store.info.plan.pixels) == expected
    faults = [finding for finding in verify(store.address).findings if finding.status == "fault"]
    assert {fault.check for fault in faults} <= {"joints against surface depth"}  # the test's depth is a plain slope
    for sample in store.samples():
        np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=2e-2)
