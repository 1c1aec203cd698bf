"""FPHA: labels of the depth camera, frames from 0, splits, ignored and empty sequences, crooked text."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.fpha import Fpha, FphaOptions
from handsynth.formats.manifest import load_manifest
from handsynth.hand.joints import INDEX, JOINTS, WRIST
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import read_raw, write_jpeg, write_png
from handsynth.imaging.warp import mirror
from handsynth.runtime import progress
from tests.formats.samples import listed, simulated

OPTIONS = FphaOptions()
DEPTH_ONLY = FphaOptions(camera="depth")
ORDER = [0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20]
SEQUENCE = "Subject_1/put_salt/1"
COLOR, DEPTH = np.zeros((1080, 1920, 3), np.uint8), np.zeros((480, 640), np.uint16)


def points(frames: int = 1) -> np.ndarray:
    """(F, 21, 3) mm as stored; the wrist is the published fixture's point."""
    stored = np.random.default_rng(0).normal(0, 30, (frames, 21, 3)) + np.array([0, 0, 500])
    stored[:, 0] = 10, 20, 500
    return stored


def skeleton(stored: np.ndarray, first: int = 0) -> str:
    lines = (" ".join([f"{first + i}", *(f"{number:.4f}" for number in row.ravel())]) for i, row in enumerate(stored))
    return "".join(f"{line}\n" for line in lines)


def lay_out(
    root: Path, text: str | bytes, images: int = 1, sequence: str = SEQUENCE, color: bool = True, folder: str = "_v1"
) -> Path:
    """One sequence by hand."""
    labels = root / f"Hand_pose_annotation{folder}" / sequence / "skeleton.txt"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_bytes(text if isinstance(text, bytes) else text.encode())
    (root / "Video_files" / sequence).mkdir(parents=True, exist_ok=True)
    for i in range(images):
        if color:
            write_jpeg(root / "Video_files" / sequence / "color" / f"color_{i:04d}.jpeg", COLOR[:2, :2])
        write_png(root / "Video_files" / sequence / "depth" / f"depth_{i:04d}.png", DEPTH)
    return root


def samples_of(root: Path, options: FphaOptions = OPTIONS) -> list[HandSample]:
    return [from_row(row) for row in listed(Fpha(), root, options).to_pylist()]


@contextmanager
def said() -> Any:
    lines: list[str] = []

    class Listener(progress.Silent):
        def say(self, text: str) -> None:
            lines.append(text)

    with progress.show(Listener()):
        yield lines


def test_labels_of_the_depth_camera_come_to_colour(tmp_path: Path) -> None:
    root = lay_out(tmp_path, skeleton(points()))
    [sample] = samples_of(root)
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    np.testing.assert_allclose(sample.joints_mm[WRIST], [36.097397, 19.897387, 503.945048], atol=1e-4)
    np.testing.assert_allclose(sample.keypoints_px[WRIST], [1035.7095, 595.7897], atol=1e-3)
    [sample] = samples_of(root, DEPTH_ONLY)
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    assert sample.joints_mm[WRIST].tolist() == [10, 20, 500]
    np.testing.assert_allclose(sample.keypoints_px[WRIST], [325.4462, 264.2897], atol=1e-3)
    assert set(sample.joint_state) == {LABELLED}
    assert set(sample.keypoint_state) == {DERIVED}


def test_the_transform_is_the_published_matrix() -> None:
    published = [
        [0.999988496304, -0.00468848412856, 0.000982563360594],
        [0.00469115935266, 0.999985218048, -0.00273845880292],
        [-0.000969709653873, 0.00274303671904, 0.99999576807],
    ]
    move = load_manifest("fpha").transform("color_from_depth")
    np.testing.assert_allclose(move.rotation, published, atol=6e-8)
    assert move.translation_mm == (25.7, 1.22, 3.902)


def test_order_of_joints(tmp_path: Path) -> None:
    manifest = load_manifest("fpha")
    assert manifest.order.tolist() == ORDER
    assert [manifest.joints[i] for i in ORDER] == list(JOINTS)
    stored = points()
    [sample] = samples_of(lay_out(tmp_path, skeleton(stored)), DEPTH_ONLY)
    assert sample.joints_mm is not None
    np.testing.assert_allclose(sample.joints_mm[INDEX["middle_pip"]], stored[0, 12], atol=1e-3)
    np.testing.assert_allclose(sample.joints_mm[INDEX["pinky_tip"]], stored[0, 20], atol=1e-3)


def test_rows_pair_with_files_from_zero(tmp_path: Path) -> None:
    stored = points(3)
    for first in (0, 1):
        root = lay_out(tmp_path / str(first), skeleton(stored, first), images=3)
        rows = listed(Fpha(), root, DEPTH_ONLY).to_pylist()
        assert [row["key"] for row in rows] == [f"{SEQUENCE}/{i:04d}" for i in range(3)]
        assert [Path(row["depth_file"]).name for row in rows] == [f"depth_{i:04d}.png" for i in range(3)]
        for row, want in zip(rows, stored, strict=True):
            np.testing.assert_allclose(from_row(row).joints_mm, want[ORDER], atol=1e-3)


def test_words(tmp_path: Path) -> None:
    [sample] = samples_of(lay_out(tmp_path, skeleton(points()), folder="_v1_1"))
    assert (sample.subject, sample.sequence, sample.frame) == ("Subject_1", "put_salt/1", "0000")
    assert (sample.moment, sample.side, sample.split) == (f"{SEQUENCE}/0000", "right", "train")


@pytest.mark.parametrize("millimetres", [1, 255, 256, 583, 65535])
def test_depth_is_whole_millimetres(tmp_path: Path, millimetres: int) -> None:
    root = lay_out(tmp_path, skeleton(points()))
    picture = DEPTH.copy()
    picture[100, 200] = millimetres
    write_png(root / "Video_files" / SEQUENCE / "depth/depth_0000.png", picture)
    sample = Fpha().load(root, listed(Fpha(), root, DEPTH_ONLY).to_pylist()[0])
    assert sample.rgb is None
    assert sample.depth_mm is not None
    assert sample.depth_mm[100, 200] == millimetres
    assert np.isfinite(sample.depth_mm).sum() == 1


def test_depth_choices(tmp_path: Path) -> None:
    root = lay_out(tmp_path, skeleton(points()))
    place = root / "Video_files" / SEQUENCE
    write_jpeg(place / "color/color_0000.jpeg", COLOR)
    write_png(place / "depth/depth_0000.png", np.full((480, 640), 600, np.uint16))
    got = {}
    for choice in ("registered", "raw", "none"):
        [row] = listed(Fpha(), root, FphaOptions(depth=choice)).to_pylist()  # type: ignore[arg-type]
        got[choice] = Fpha().load(root, row)
    assert got["none"].depth_mm is None
    assert got["raw"].depth_mm is not None
    assert got["registered"].depth_mm is not None
    assert got["raw"].depth_mm.shape == (480, 640)
    assert got["raw"].depth_camera == load_manifest("fpha").camera("depth")
    assert got["registered"].depth_mm.shape == (1080, 1920)
    assert got["registered"].depth_camera is None
    assert np.nanmedian(got["registered"].depth_mm) == pytest.approx(603.9, abs=0.5)


def test_cross_subject_split_is_the_default(tmp_path: Path) -> None:
    for i in range(1, 7):
        lay_out(tmp_path, skeleton(points()), sequence=f"Subject_{i}/put_salt/1")
    got = {sample.subject: sample.split for sample in samples_of(tmp_path)}
    train, test = ("Subject_1", "Subject_3", "Subject_4"), ("Subject_2", "Subject_5", "Subject_6")
    assert got == dict.fromkeys(train, "train") | dict.fromkeys(test, "test")


def test_other_splits(tmp_path: Path) -> None:
    for sequence in (SEQUENCE, "Subject_2/put_salt/1", "Subject_2/pour_milk/3"):
        lay_out(tmp_path, skeleton(points()), sequence=sequence)
    got = [sample.split for sample in samples_of(tmp_path, FphaOptions(split="object"))]
    assert got == ["train", "test", "train"]
    with pytest.raises(MissingError, match=r"data_split_action_recognition\.txt of fpha"):
        open_catalogue(Fpha(), tmp_path, FphaOptions(split="action"))
    listing = f"Training 1\r\nSubject_2/put_salt/1 26\r\nTest 1\r\n{SEQUENCE} 26\r\n"
    (tmp_path / "data_split_action_recognition.txt").write_text(listing)
    got = [sample.split for sample in samples_of(tmp_path, FphaOptions(split="action"))]
    assert got == ["test", None, "train"]
    (tmp_path / "data_split_action_recognition.txt").write_text("Subject_2/put_salt/1 26\n")
    with pytest.raises(DataError, match="lines like Subject_1/put_salt/1 26"):
        samples_of(tmp_path, FphaOptions(split="action"))


def test_objects_of_the_test_are_actions_that_exist() -> None:
    groups = load_manifest("fpha").groups
    assert len(groups["actions"]) == len(set(groups["actions"])) == 45
    assert set(groups["cross_object_test"]) <= set(groups["actions"])


def test_ignored_sequences_are_marked(tmp_path: Path) -> None:
    ignored = ("Subject_2/close_milk/4", "Subject_2/put_tea_bag/2", "Subject_4/flip_sponge/2")
    for sequence in (*ignored, "Subject_2/close_milk/3"):
        lay_out(tmp_path, skeleton(points(2)), images=2, sequence=sequence)
    for sample in samples_of(tmp_path):
        bad = f"{sample.subject}/{sample.sequence}" in ignored
        assert ("known_bad" in sample.extra) == bad


@pytest.mark.parametrize("text", [b"", b"\r\n\r\n", b"  \n"])
def test_images_of_an_empty_skeleton_file_stay(tmp_path: Path, text: bytes) -> None:
    lay_out(tmp_path, text, images=2)
    with said() as lines:
        first, second = samples_of(tmp_path)
    assert set(first.joint_state) == set(second.keypoint_state) == {ABSENT}
    assert lines == ["fpha: 2 images have no row in their skeleton.txt; their joints are absent"]


def test_fewer_images_than_rows(tmp_path: Path) -> None:
    lay_out(tmp_path, skeleton(points(3)), images=2)
    with pytest.raises(DataError, match=r"the 3 images that skeleton\.txt labels, found 2 \(color_0002\.jpeg"):
        samples_of(tmp_path)


def test_fewer_depth_images_than_colour(tmp_path: Path) -> None:
    root = lay_out(tmp_path, skeleton(points(2)), images=2)
    (root / "Video_files" / SEQUENCE / "depth/depth_0000.png").unlink()
    with pytest.raises(DataError, match=r"depth_0000\.png"):
        samples_of(root)
    assert len(samples_of(root, FphaOptions(depth="none"))) == 2


def test_depth_alone_needs_no_colour(tmp_path: Path) -> None:
    root = lay_out(tmp_path, skeleton(points()), color=False)
    assert len(samples_of(root, DEPTH_ONLY)) == 1
    with pytest.raises(DataError, match=r"color_0000\.jpeg"):
        samples_of(root)


def test_subjects_without_videos_are_said(tmp_path: Path) -> None:
    lay_out(tmp_path, skeleton(points()))
    labels = tmp_path / "Hand_pose_annotation_v1/Subject_5/put_salt/1/skeleton.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text(skeleton(points()))
    with said() as lines:
        assert len(samples_of(tmp_path)) == 1
    assert "no videos of Subject_5" in lines[0]


def test_a_missing_skeleton_file(tmp_path: Path) -> None:
    root = lay_out(tmp_path, skeleton(points()))
    (root / "Hand_pose_annotation_v1" / SEQUENCE / "skeleton.txt").unlink()
    with pytest.raises(MissingError, match=r"skeleton\.txt of fpha"):
        open_catalogue(Fpha(), root, OPTIONS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 1 2 3\n", r"64 numbers, found 4 in line 1 of .*skeleton\.txt"),
        (skeleton(points()).replace("500.0000", "nan", 1), "finite numbers"),
        (skeleton(points()).replace("500.0000", "far", 1), "64 numbers"),
        (
            skeleton(points(3)[::-1]).replace("\n1 ", "\n5 ", 1),
            "frame numbers in steps of 1, found another step in line 2",
        ),
        (b"\x00" * 40, "binary data"),
        (skeleton(points(2))[:-30], "found .* in line 2"),
    ],
)
def test_crooked_labels(tmp_path: Path, text: str | bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        samples_of(lay_out(tmp_path, text, images=3))


@pytest.mark.parametrize("picture", [np.zeros((480, 640), np.uint8), np.zeros((240, 320), np.uint16)])
def test_depth_images_of_another_kind(tmp_path: Path, picture: np.ndarray) -> None:
    root = lay_out(tmp_path, skeleton(points()))
    write_png(root / "Video_files" / SEQUENCE / "depth/depth_0000.png", picture)
    with pytest.raises(DataError, match=r"depth_0000\.png"):
        Fpha().load(root, listed(Fpha(), root, DEPTH_ONLY).to_pylist()[0])


def shots(**changes: Any) -> list[HandSample]:
    """Depth-only samples: small and quick."""
    first = simulated("msra15")[0]
    return [replace(first, key=str(i), moment=str(i), split="train", **changes) for i in range(2)]


def test_own_sequences_are_kept(tmp_path: Path) -> None:
    given = [*shots(subject="Subject_3", sequence="pour_milk/12"), *shots(subject="Subject_2", sequence="put_salt/1")]
    Fpha().write(tmp_path, given, DEPTH_ONLY)
    got = samples_of(tmp_path, DEPTH_ONLY)
    assert [sample.key for sample in got] == [
        "Subject_1/charge_cell_phone/1/0000",  # subject 2 cannot hold training samples
        "Subject_1/charge_cell_phone/1/0001",
        "Subject_3/pour_milk/12/0000",
        "Subject_3/pour_milk/12/0001",
    ]


@pytest.mark.parametrize("split", ["subject", "object", "action"])
def test_written_splits_come_back(tmp_path: Path, split: Any) -> None:
    options = FphaOptions(camera="depth", split=split)
    given = [*shots(), *(replace(sample, split="test") for sample in shots())]
    Fpha().write(tmp_path, given, options)
    assert sorted(str(sample.split) for sample in samples_of(tmp_path, options)) == ["test", "test", "train", "train"]


def test_what_is_read_is_written_alike(tmp_path: Path) -> None:
    given = replace(mirror(simulated("stb_sk")[0]), split="train")
    raw = FphaOptions(depth="raw")
    Fpha().write(tmp_path, [given], raw)
    again = tmp_path / "again"
    Fpha().write(again, [Fpha().load(tmp_path, row) for row in listed(Fpha(), tmp_path, raw).to_pylist()], raw)
    place = "Video_files/Subject_1/charge_cell_phone/1/depth/depth_0000.png"
    np.testing.assert_array_equal(read_raw(again / place), read_raw(tmp_path / place))
    labels = "Hand_pose_annotation_v1/Subject_1/charge_cell_phone/1/skeleton.txt"
    written, back = (np.loadtxt(folder / labels) for folder in (tmp_path, again))
    np.testing.assert_allclose(back, written, atol=2e-4)
