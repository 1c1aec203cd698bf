"""ICVL: fixture numbers, the real test labels, line ends, turned copies that must not leak, hostile label files."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.icvl import Icvl, IcvlOptions
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera
from handsynth.hand.joints import INDEX, JOINTS, WRIST, gather
from handsynth.hand.pose import palm_from_wrist
from handsynth.hand.rows import column, from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED
from handsynth.imaging.codecs import read_raw, write_png
from handsynth.imaging.warp import mirror
from tests.formats.samples import listed, real, simulated

MANIFEST = load_manifest("icvl")
CAMERA = MANIFEST.camera("depth")
OPTIONS = IcvlOptions()
ROTATED = IcvlOptions(rotated=True)
BLANK = np.zeros((240, 320), dtype=np.uint16)


def line(name: str, uvd: tuple[float, float, float] = (170, 130, 500), end: str = " \r\r\n") -> str:
    return " ".join([name, *[f"{number:.3f}" for number in uvd] * 16]) + end


def lay_out(root: Path, text: str, labels: str = "Testing/test_seq_1.txt") -> Path:
    """A label file and empty files in the place of the images it names."""
    path = root / labels
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
    for row in filter(str.strip, text.replace("\r", "\n").split("\n")):
        image = path.parent / "Depth" / row.split()[0]
        image.parent.mkdir(parents=True, exist_ok=True)
        image.touch()
    return root


def real_tests(root: Path) -> pa.Table:
    for name in MANIFEST.test:
        lay_out(root, (real("icvl") / f"{name}.txt").read_bytes().decode(), f"Testing/{name}.txt")
    return open_catalogue(Icvl(), root, OPTIONS).table


def test_a_label_becomes_a_joint(tmp_path: Path) -> None:
    [row] = listed(Icvl(), lay_out(tmp_path, line("test_seq_1/image_0007.png")), OPTIONS).to_pylist()
    sample = from_row(row)
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    tip = INDEX["index_tip"]
    np.testing.assert_allclose(sample.joints_mm[tip], [20.7108, 20.7108, 500], atol=1e-4)
    np.testing.assert_allclose(sample.keypoints_px[tip], [170, 130])
    np.testing.assert_allclose(sample.extra["palm_mm"], [[20.7108, 20.7108, 500]], atol=1e-4)
    assert sample.extra["icvl_mm"].shape == (16, 3)
    assert (sample.key, sample.moment) == ("test_seq_1/image_0007", "test_seq_1/0007")
    assert (sample.side, sample.mirrored, sample.split, sample.view) == ("left", False, "test", None)


def test_16_points_among_21() -> None:
    points = np.arange(48, dtype=np.float64).reshape(16, 3)
    joints = gather(points, MANIFEST.order)
    known = [name for name, joint in zip(JOINTS, joints, strict=True) if np.isfinite(joint).all()]
    assert [JOINTS.index(name) for name in known] == [1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18, 20]
    assert np.isfinite(joints).all(-1).sum() == 15
    np.testing.assert_array_equal(joints[[1, 4, 20]], points[[1, 3, 15]])
    assert MANIFEST.scored.tolist() == list(range(16)), "published numbers are means over all points"


def test_states_say_what_is_absent_and_what_approximate(tmp_path: Path) -> None:
    sample = from_row(listed(Icvl(), lay_out(tmp_path, line("test_seq_1/image_0000.png")), OPTIONS).to_pylist()[0])
    finger = [LABELLED, DERIVED, ABSENT, LABELLED]
    assert sample.joint_state.tolist() == sample.keypoint_state.tolist() == [ABSENT, *finger * 5]
    assert np.isnan(sample.joints_mm[WRIST]).all()  # type: ignore[index]


@pytest.mark.parametrize("end", [" \r\r\n", "\r\n", "\n", "\r"])
def test_line_ends_and_blank_lines(tmp_path: Path, end: str) -> None:
    text = "".join(line(f"test_seq_1/image_{i:04d}.png", (i + 1, 2, 500), end) for i in range(5)) + end * 3
    table = listed(Icvl(), lay_out(tmp_path, text), OPTIONS)
    assert len(table) == 5
    assert column(table, "keypoints_px")[:, INDEX["thumb_tip"], 0].tolist() == [1, 2, 3, 4, 5]


def test_the_real_labels(tmp_path: Path) -> None:
    """Counts, ranges, lengths of bones and side of both test sequences."""
    table = real_tests(tmp_path)
    sequences = np.array(table.column("sequence").to_pylist())
    assert [(sequences == name).sum() for name in MANIFEST.test] == [702, 894]
    assert set(table.column("split").to_pylist()) == {"test"}
    points = np.array([dict(row["extra"])["icvl_mm"] for row in table.select(["extra"]).to_pylist()])
    points = points.reshape(-1, 16, 3)
    published = np.loadtxt(real("icvl") / "icvl_test_groundtruth_label.txt").reshape(-1, 16, 3)
    np.testing.assert_allclose(CAMERA.project(points), published[..., :2], atol=1e-3)
    np.testing.assert_allclose(points[..., 2], published[..., 2], atol=1e-3)
    assert np.floor(published.min((0, 1))).tolist() == [45, 45, 189]
    assert np.ceil(published.max((0, 1))).tolist() == [248, 210, 453]
    lengths = [np.linalg.norm(points[:, 1 + 3 * i] - points[:, 0], axis=-1).mean() for i in range(5)]
    np.testing.assert_allclose(lengths, [29.5, 55.8, 52.2, 44, 42], atol=0.35)
    left = chirality(points) < 0
    assert left[sequences == "test_seq_1"].mean() == pytest.approx(0.92, abs=0.005)
    assert left[sequences == "test_seq_2"].mean() == pytest.approx(0.97, abs=0.005)


def test_the_other_intrinsics_differ_little() -> None:
    uvd = np.loadtxt(real("icvl") / "icvl_test_groundtruth_label.txt").reshape(-1, 16, 3)
    other = Camera(240.99, 240.96, 160, 120, 320, 240)
    ours, theirs = (camera.lift(uvd[..., :2], uvd[..., 2]) for camera in (CAMERA, other))
    apart = np.linalg.norm(ours - theirs, axis=-1)
    assert (apart.mean(), apart.max()) == (pytest.approx(0.10, abs=0.005), pytest.approx(0.30, abs=0.005))


def test_mid_is_not_quite_a_pip() -> None:
    """What the manifest says of the points' meaning."""
    uvd = np.loadtxt(real("icvl") / "icvl_test_groundtruth_label.txt").reshape(-1, 16, 3)
    points = CAMERA.lift(uvd[..., :2], uvd[..., 2])
    root, mid, tip = (points[:, MANIFEST.joints.index(f"index_{part}")] for part in ("mcp", "pip", "tip"))
    assert np.linalg.norm(mid - root, axis=-1).mean() == pytest.approx(28, abs=0.5)
    assert np.linalg.norm(tip - mid, axis=-1).mean() == pytest.approx(18, abs=0.5)


def chirality(points: np.ndarray) -> np.ndarray:
    """Signed side of (N, 16, 3) points: bends from palm to root, mid and tip."""
    across = points[:, 4] - points[:, 13]
    across = across / np.linalg.norm(across, axis=-1, keepdims=True)
    total = np.zeros(len(points))
    for finger in range(1, 5):
        chain = points[:, [0, 1 + 3 * finger, 2 + 3 * finger, 3 + 3 * finger]]
        bones = np.diff(chain, axis=1)
        bones = bones / np.linalg.norm(bones, axis=-1, keepdims=True)
        for first, second in pairwise(bones.transpose(1, 0, 2)):
            total += (np.cross(first, second) * across).sum(-1)
    return total


def test_real_labels_are_written_byte_for_byte(tmp_path: Path) -> None:
    table = real_tests(tmp_path / "a").to_pylist()[:40]
    for row in table:
        write_png(tmp_path / "a" / row["depth_file"], BLANK)
    Icvl().write(tmp_path / "b", (Icvl().load(tmp_path / "a", row) for row in table), OPTIONS)
    source = (real("icvl") / "test_seq_1.txt").read_bytes()
    written = (tmp_path / "b/Testing/test_seq_1.txt").read_bytes()
    assert len(written.split(b"\n")) == 41
    assert source.startswith(written)


TRAINING = "".join(
    line(name)
    for name in (
        "201403121135/image_0000.png",
        "201403121135/image_0001.png",
        "22-5/201403121135/image_0001.png",
        "-90/201403121135/image_0001.png",
        "180/201403121140/image_0001.png",
        "201403121140/image_0001.png",
    )
)


def test_turned_copies_are_left_out_and_never_part_from_their_original(tmp_path: Path) -> None:
    lay_out(tmp_path, TRAINING, "Training/labels.txt")
    assert listed(Icvl(), tmp_path, OPTIONS).column("key").to_pylist() == [
        "201403121135/image_0000",
        "201403121135/image_0001",
        "201403121140/image_0001",
    ]
    rows = listed(Icvl(), tmp_path, ROTATED).to_pylist()
    assert [row["view"] for row in rows] == [None, None, "22-5", "-90", "180", None]
    by_moment: dict[str, list[str]] = {}
    for row in rows:
        assert row["split"] == "train"
        by_moment.setdefault(row["moment"], []).append(row["key"])
    assert by_moment["201403121135/0001"] == [
        "201403121135/image_0001",
        "22-5/201403121135/image_0001",
        "-90/201403121135/image_0001",
    ]
    assert by_moment["201403121140/0001"] == ["180/201403121140/image_0001", "201403121140/image_0001"]
    assert {row["sequence"] for row in rows} == {"201403121135", "201403121140"}
    assert rows[2]["depth_file"] == "Training/Depth/22-5/201403121135/image_0001.png"


def test_a_folder_of_angle_0_holds_originals(tmp_path: Path) -> None:
    text = line("0/201403121135/image_0000.png") + line("45/201403121135/image_0000.png")
    lay_out(tmp_path, text, "Training/labels.txt")
    [row] = listed(Icvl(), tmp_path, OPTIONS).to_pylist()
    assert (row["key"], row["moment"]) == ("0/201403121135/image_0000", "201403121135/0000")
    assert len(set(listed(Icvl(), tmp_path, ROTATED).column("moment").to_pylist())) == 1


def test_turned_copies_come_back_beside_their_originals(tmp_path: Path) -> None:
    lay_out(tmp_path / "a", TRAINING, "Training/labels.txt")
    rows = listed(Icvl(), tmp_path / "a", ROTATED).to_pylist()
    for row in rows:
        write_png(tmp_path / "a" / row["depth_file"], BLANK)
    Icvl().write(tmp_path / "b", (Icvl().load(tmp_path / "a", row) for row in rows), ROTATED)
    back = listed(Icvl(), tmp_path / "b", ROTATED).to_pylist()
    for word in ("sequence", "view"):
        assert [row[word] for row in back] == [row[word] for row in rows]
    first = {row["moment"]: i for i, row in reversed(list(enumerate(rows)))}
    again = {row["moment"]: i for i, row in reversed(list(enumerate(back)))}
    assert [first[row["moment"]] for row in rows] == [again[row["moment"]] for row in back]


def test_only_copies_are_an_error_without_the_option(tmp_path: Path) -> None:
    lay_out(tmp_path, line("45/201403121135/image_0000.png"), "Training/labels.txt")
    with pytest.raises(DataError, match="set the option rotated = true"):
        listed(Icvl(), tmp_path, OPTIONS)


@pytest.mark.parametrize("name", ["45/image_0000.png", "image_0000.png", "201403121135/photo.png", "201403121135/"])
def test_images_without_a_recording_are_refused(tmp_path: Path, name: str) -> None:
    """A turned copy of nobody knows what could land in another split than its original."""
    (tmp_path / "Training").mkdir()
    (tmp_path / "Training/labels.txt").write_text(line(name))
    with pytest.raises(DataError, match=r"lines that start like 201403121135/image_0000\.png"):
        listed(Icvl(), tmp_path, ROTATED)


@pytest.mark.parametrize("name", ["../../outside/image_0000.png", "/etc/image_0000.png", "a/../../b/image_0000.png"])
def test_names_that_leave_the_root(tmp_path: Path, name: str) -> None:
    (tmp_path / "Training").mkdir()
    (tmp_path / "Training/labels.txt").write_text(line(name))
    with pytest.raises(DataError, match="below the dataset's folder"):
        listed(Icvl(), tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("test_seq_1/image_0000.png 1 2 3\n", "expected 48 numbers, found 3 in the line of test_seq_1/image_0000"),
        ("test_seq_1/image_0000.png" + " 1" * 49 + "\n", "expected 48 numbers, found 49"),
        ("test_seq_1/image_0000.png" + " x" * 48 + "\n", "expected 48 numbers"),
        ("test_seq_1/image_0000.png" + " nan" * 48 + "\n", "expected finite numbers"),
        ("test_seq_1/image_0000.png" + " 1e999" * 48 + "\n", "expected finite numbers"),
        ("test_seq_1/image_0000.png\0 1\n", "a text file, found binary data"),
        (line("test_seq_1/image_0000.png") * 2, "every sample once"),
    ],
)
def test_label_files_of_another_kind(tmp_path: Path, text: str, says: str) -> None:
    lay_out(tmp_path, line("test_seq_1/image_0000.png"))
    (tmp_path / "Testing/test_seq_1.txt").write_text(text)
    with pytest.raises(DataError, match=says):
        open_catalogue(Icvl(), tmp_path, OPTIONS)


def test_points_behind_the_camera_are_absent(tmp_path: Path) -> None:
    lay_out(tmp_path, line("test_seq_1/image_0000.png", (10, 10, 0)))
    sample = from_row(listed(Icvl(), tmp_path, OPTIONS).to_pylist()[0])
    assert not sample.joint_state.any()
    assert np.isnan(sample.keypoints_px).all()  # type: ignore[arg-type]


def test_missing_images_are_counted(tmp_path: Path) -> None:
    lay_out(tmp_path, line("test_seq_1/image_0000.png") + line("test_seq_1/image_0001.png"))
    (tmp_path / "Testing/Depth/test_seq_1/image_0001.png").unlink()
    with pytest.raises(DataError, match=r"the 2 images that test_seq_1\.txt labels, found 1 \(image_0001\.png"):
        listed(Icvl(), tmp_path, OPTIONS)


def test_one_part_is_enough_and_none_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, line("test_seq_2/image_0000.png"), "Testing/test_seq_2.txt")
    assert listed(Icvl(), tmp_path, OPTIONS).column("sequence").to_pylist() == ["test_seq_2"]
    (tmp_path / "Testing/test_seq_2.txt").unlink()
    with pytest.raises(MissingError, match=r"Training/labels\.txt or Testing/test_seq_1\.txt"):
        listed(Icvl(), tmp_path, OPTIONS)


def test_depth_images(tmp_path: Path) -> None:
    lay_out(tmp_path, line("test_seq_1/image_0000.png"))
    path = tmp_path / "Testing/Depth/test_seq_1/image_0000.png"
    [row] = listed(Icvl(), tmp_path, OPTIONS).to_pylist()
    picture = BLANK.copy()
    picture[10, 20], picture[11, 20] = 355, 40000
    write_png(path, picture)
    depth = Icvl().load(tmp_path, row).depth_mm
    assert depth is not None
    assert (depth[10, 20], depth[11, 20], np.isfinite(depth).sum()) == (355, 40000, 2)
    for wrong in (np.zeros((240, 320), np.uint8), np.zeros((240, 320, 3), np.uint8)):
        write_png(path, wrong)
        with pytest.raises(DataError, match="16-bit depth image of one channel"):
            Icvl().load(tmp_path, row)
    write_png(path, BLANK[:, :300])
    with pytest.raises(DataError, match="320 x 240 px, found 300 x 240"):
        Icvl().load(tmp_path, row)


def test_writing_other_hands(tmp_path: Path) -> None:
    """The palm is derived from the wrist; subjects and sequences stay apart; right hands are mirrored."""
    samples = simulated("msra15")
    Icvl().write(tmp_path, samples, OPTIONS)
    rows = listed(Icvl(), tmp_path, OPTIONS).to_pylist()
    given = [sample for sample in samples if sample.split == "train"]
    got = [from_row(row) for row in rows if row["split"] == "train"]
    groups = {(sample.subject, sample.sequence) for sample in given}
    assert len({sample.sequence for sample in got}) == len(groups) > 1
    for want, have in zip(given, got, strict=True):
        left = want if want.side == "left" else mirror(want)
        assert left.joints_mm is not None
        palm = palm_from_wrist(left.joints_mm[WRIST], left.joints_mm[INDEX["ring_mcp"]])
        np.testing.assert_allclose(have.extra["palm_mm"][0], palm, atol=5e-3)
        assert have.sequence is not None
        assert have.sequence.startswith("2014")
    depth = read_raw(tmp_path / rows[0]["depth_file"])
    assert (depth.dtype, depth.shape) == (np.uint16, (240, 320))


def test_the_samples_own_points_follow_a_mirror(tmp_path: Path) -> None:
    sample = simulated("msra15")[0]
    Icvl().write(tmp_path / "a", [sample], OPTIONS)
    read = Icvl().load(tmp_path / "a", listed(Icvl(), tmp_path / "a", OPTIONS).to_pylist()[0])
    Icvl().write(tmp_path / "b", [mirror(read)], OPTIONS)  # a right hand, so the writer mirrors it back
    texts = [(tmp_path / place / "Training/labels.txt").read_bytes() for place in "ab"]
    assert texts[0] == texts[1]


def test_unknown_points_are_counted(tmp_path: Path) -> None:
    sample = simulated("msra15")[0]
    assert sample.joints_mm is not None
    joints = sample.joints_mm.copy()
    joints[[WRIST, INDEX["index_tip"], INDEX["index_dip"]]] = np.nan
    with pytest.raises(DataError, match="16 points to write icvl, found 2 unknown"):  # the palm and the tip
        Icvl().write(tmp_path, [replace(sample, joints_mm=joints)], OPTIONS)
    with pytest.raises(DataError, match="16 points to write icvl, found 16 unknown"):
        Icvl().write(tmp_path, [replace(sample, joints_mm=None)], OPTIONS)
