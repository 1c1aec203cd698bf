"""Plain folders: partners by pattern, cameras, splits, the table of joints, real depth, and folders that do not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.jointtable import HEADER
from handsynth.formats.rgbd_folder import RgbdFolder, RgbdFolderOptions
from handsynth.hand.camera import Camera
from handsynth.hand.joints import INDEX
from handsynth.hand.sample import DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import read_raw, write_jpeg, write_png
from handsynth.stages.ingest import ingest
from handsynth.store.read import open_store
from tests.formats.samples import real, simulated

CAMERA: dict[str, Any] = {"fx": 476.007, "fy": 476.007, "cx": 313.683, "cy": 242.755, "width": 640, "height": 480}


def picture(root: Path, name: str, value: int = 0) -> None:
    depth = "depth" in name
    image = np.full((48, 64) if depth else (48, 64, 3), value, np.uint16 if depth else np.uint8)
    (write_jpeg if name.endswith("jpg") else write_png)(root / name, image)


def read(root: Path, **options: Any) -> list[HandSample]:
    settings = RgbdFolderOptions(**options)
    return [RgbdFolder().load(root, row) for row in open_catalogue(RgbdFolder(), root, settings).table.to_pylist()]


def test_real_depth_without_labels(tmp_path: Path) -> None:
    """Depth only, 1/8 mm steps, no joints: it is read in metres' thousandths and passes ingest."""
    root = real("sr305_depth")
    samples = read(root, depth="*/*", depth_unit_mm=0.125, **CAMERA)
    assert [sample.frame for sample in samples] == ["30", "50", "70", "90", "110", "130", "150", "170"]
    assert {sample.sequence for sample in samples} == {"20210326-230536"}
    assert samples[0].camera == Camera(**CAMERA)
    raw = read_raw(root / "20210326-230536" / "30.png")
    depth = samples[0].depth_mm
    assert depth is not None
    np.testing.assert_array_equal(np.isnan(depth), raw == 0)
    np.testing.assert_array_equal(depth[raw > 0], raw[raw > 0] / np.float32(8))
    assert 150 < np.nanmin(depth) < np.nanmedian(depth) < np.nanmax(depth) < 4000
    assert samples[0].rgb is None
    assert samples[0].extra == {}

    settings = [f"{name}={value}" for name, value in CAMERA.items()] + ["depth=*/*", "depth_unit_mm=0.125"]
    store = open_store(ingest("rgbd_folder", root, str(tmp_path / "store"), size=64, settings=settings, workers=1))
    assert len(store.kept) == 8
    [first] = store.samples(store.kept[:1])
    assert first.depth_mm is not None
    assert np.isfinite(first.depth_mm).any()
    assert not first.joint_state.any()


def test_partners_have_the_same_wildcards(tmp_path: Path) -> None:
    for sequence in ("s1", "s2"):
        for i in (2, 10, 1):
            picture(tmp_path, f"{sequence}/rgb/frame_{i}.jpg", i)
            picture(tmp_path, f"{sequence}/depth/d_{i}.png", 100 * i)
    samples = read(tmp_path, color="*/rgb/frame_*", depth="*/depth/d_*.png")
    assert [sample.key for sample in samples] == [f"{s}/{i}" for s in ("s1", "s2") for i in (1, 2, 10)]
    assert [sample.moment for sample in samples] == [sample.key for sample in samples]
    assert {sample.split for sample in samples} == {"train"}
    for sample in samples:
        assert sample.frame is not None
        assert sample.depth_mm is not None
        assert sample.depth_mm[0, 0] == 100 * int(sample.frame)
        assert sample.rgb is not None
        assert abs(int(sample.rgb[0, 0, 0]) - int(sample.frame)) <= 2


def test_partners_by_number_and_by_order(tmp_path: Path) -> None:
    for i in (1, 2):
        picture(tmp_path, f"color/c{i}.png", i)
        picture(tmp_path, f"depth/depth_000{i}.png", i)
        picture(tmp_path, f"later/depth_{10 * i}.png", 10 * i)
    with pytest.raises(DataError, match=r"color/c1\.png is the first without.*pair by number or order"):
        read(tmp_path)
    by_number = read(tmp_path, pair="number")
    assert [float(s.depth_mm[0, 0]) for s in by_number if s.depth_mm is not None] == [1, 2]
    by_order = read(tmp_path, pair="order", depth="later/*")
    assert [float(s.depth_mm[0, 0]) for s in by_order if s.depth_mm is not None] == [10, 20]
    assert [s.key for s in by_order] == ["c1", "c2"]


@pytest.mark.parametrize(("kind", "gone"), [("color", "color/2.png"), ("depth", "depth/2.png"), ("mask", "mask/3.png")])
@pytest.mark.parametrize("pair", ["name", "number", "order"])
def test_the_first_without_a_partner_is_named(tmp_path: Path, kind: str, gone: str, pair: str) -> None:
    for name in ("color", "depth", "mask"):
        for i in (1, 2, 3):
            write_png(tmp_path / f"{name}/{i}.png", np.zeros((4, 4), np.uint8))
    assert len(read(tmp_path, pair=pair)) == 3
    (tmp_path / gone).unlink()
    number = "3" if pair == "order" else Path(gone).stem
    with pytest.raises(DataError, match=rf"{number}\.png is the first without"):
        read(tmp_path, pair=pair)


def test_colour_alone_and_depth_alone(tmp_path: Path) -> None:
    picture(tmp_path, "color/1.png")
    [only] = read(tmp_path, side="right")
    assert (only.depth_mm, only.camera, only.side) == (None, None, "right")
    (tmp_path / "color/1.png").unlink()
    picture(tmp_path, "depth/a/b/1.png", 7)
    [only] = read(tmp_path)
    assert (only.rgb, only.sequence) == (None, "a/b")


def test_new_pictures_are_seen(tmp_path: Path) -> None:
    """No annotation file changes when a picture is added; the names in the folders do."""
    picture(tmp_path, "color/s/1.png")
    assert len(read(tmp_path)) == 1
    picture(tmp_path, "color/s/2.png")
    assert len(read(tmp_path)) == 2
    picture(tmp_path, "color/t/1.png")
    assert len(read(tmp_path)) == 3


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("camera.json", json.dumps(CAMERA)),
        ("camera.txt", "476.007 476.007 313.683 242.755 640 480\r\n"),
        ("camera.txt", "\n".join(f"{key} = {value}" for key, value in reversed(CAMERA.items()))),
        ("camera.txt", "\n".join(f"{key}: {value}" for key, value in CAMERA.items())),
    ],
)
def test_cameras_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    write_png(tmp_path / "depth/1.png", np.ones((480, 640), np.uint16))
    (tmp_path / name).write_text(text)
    assert read(tmp_path)[0].camera == Camera(**CAMERA)
    (tmp_path / name).rename(tmp_path / f"x{Path(name).suffix}")
    assert read(tmp_path)[0].camera is None
    assert read(tmp_path, camera=f"x{Path(name).suffix}")[0].camera == Camera(**CAMERA)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("camera.json", "{", "JSON of the published shape"),
        ("camera.json", json.dumps(CAMERA | {"fx": "a"}), "fx"),
        ("camera.json", json.dumps(CAMERA | {"fx": -1}), "a camera"),
        ("camera.txt", "476 476 313 242", "6 numbers, found 4"),
        ("camera.txt", "476 476 313 242 640 nan", "finite numbers"),
        ("camera.txt", "476 476 313 242 640 480.5", "a whole width and height"),
    ],
)
def test_cameras_that_are_none(tmp_path: Path, name: str, text: str, says: str) -> None:
    picture(tmp_path, "depth/1.png", 1)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=says):
        read(tmp_path)


def test_cameras_that_do_not_fit(tmp_path: Path) -> None:
    picture(tmp_path, "depth/1.png", 1)
    with pytest.raises(DataError, match="one size, 640 x 480 px, found 64 x 48"):
        read(tmp_path, **CAMERA)
    with pytest.raises(UsageError, match="no cx, cy, width, height"):
        read(tmp_path, fx=1.0, fy=1.0)
    with pytest.raises(MissingError, match=r"no\.json"):
        read(tmp_path, camera="no.json")
    with pytest.raises(DataError, match="below the dataset's folder"):
        read(tmp_path, camera="../camera.json")
    write_png(tmp_path / "color/1.png", np.zeros((47, 64, 3), np.uint8))
    with pytest.raises(DataError, match="one size, 64 x 47 px, found 64 x 48"):
        read(tmp_path)


def test_splits_by_sequence(tmp_path: Path) -> None:
    for i in range(10):
        picture(tmp_path, f"color/s{i}/1.png")
    drawn = {s.sequence for s in read(tmp_path, test_share=0.25) if s.split == "test"}
    assert len(drawn) == 3
    assert drawn == {s.sequence for s in read(tmp_path, test_share=0.25) if s.split == "test"}
    assert {s.sequence for s in read(tmp_path, test="s[3]") if s.split == "test"} == set()
    assert {s.sequence for s in read(tmp_path, test="?3") if s.split == "test"} == {"s3"}
    with pytest.raises(UsageError, match="found both"):
        read(tmp_path, test="s3", test_share=0.5)
    with pytest.raises(DataError, match="two sequence folders to split, found 1"):
        read(tmp_path, color="color/*1/*", test_share=0.5)


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "a/../../*", "C:\\*", "a\\*", "**/**/*", "a**", "**", "*a*a*a*"])
def test_patterns_that_are_refused(tmp_path: Path, pattern: str) -> None:
    picture(tmp_path, "color/1.png")
    with pytest.raises(UsageError, match="the options"):
        read(tmp_path, color=pattern)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    picture(tmp_path / "outside", "depth/1.png", 1)
    (tmp_path / "root" / "depth").mkdir(parents=True)
    (tmp_path / "root" / "depth" / "s").symlink_to(tmp_path / "outside" / "depth")
    with pytest.raises(MissingError, match="handsynth datasets rgbd_folder"):
        read(tmp_path / "root")


def test_two_pictures_of_one_name(tmp_path: Path) -> None:
    picture(tmp_path, "color/1.png")
    picture(tmp_path, "color/1.jpg")
    with pytest.raises(DataError, match=r"one picture color/\*\*/\* of each name"):
        read(tmp_path)


def test_own_captures_with_joints(tmp_path: Path) -> None:
    """A short table by hand: few columns, two hands in a picture, one picture without."""
    for i in (1, 2):
        picture(tmp_path, f"color/{i}.png")
    (tmp_path / "joints.csv").write_text(
        "\ufeffimage, side,wrist_u,wrist_v,thumb_tip_x,thumb_tip_y,thumb_tip_z,derived_joints,visible\r\n"
        "color/2.png,left,10,20,1,2,3,thumb_tip,wrist\r\n"
        "\r\n"
        "color/2.png,right,30,40,,2,3,,none\r\n"
    )
    left, right, bare = read(tmp_path)
    assert [(s.key, s.side, s.moment) for s in (left, right, bare)] == [
        ("2", "left", "2"),
        ("2-2", "right", "2"),
        ("1", "unknown", "1"),
    ]
    assert left.keypoints_px is not None
    assert left.keypoints_px[0].tolist() == [10, 20]
    assert left.keypoint_state.tolist() == [LABELLED] + [0] * 20
    assert left.joint_state[INDEX["thumb_tip"]] == DERIVED
    assert left.visible is not None
    assert left.visible.tolist() == [True] + [False] * 20
    assert right.joints_mm is None
    assert right.visible is not None
    assert not right.visible.any()
    assert bare.joints_mm is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "columns image"),
        ("image,x\n", "unknown x"),
        ("image,image\n", "each once"),
        ("image\ncolor/9.png\n", "a picture of the folder, found 'color/9.png' in line 2"),
        ("image\n../../etc/passwd\n", "a picture of the folder"),
        ("image,side\ncolor/1.png\n", "2 cells, found 1 in line 2"),
        ("image,side\ncolor/1.png,up\n", "side left, right or unknown, found 'up'"),
        ("image,mirrored\ncolor/1.png,yes\n", "mirrored 0 or 1"),
        ("image,fx\ncolor/1.png,5\n", "no fy, cx, cy, width, height"),
        ("image,wrist_u,wrist_v\ncolor/1.png,a,1\n", "a number in wrist_u, found 'a'"),
        ("image,wrist_u,wrist_v\ncolor/1.png,inf,1\n", "a finite number in wrist_u"),
        ("image,wrist_u,wrist_v\ncolor/1.png,1e40,1\n", "beyond float32"),
        ("image,visible\ncolor/1.png,palm\n", "names of joints, all or none, found palm"),
        ('image\n"color/1.png\n', "a table of comma-separated text"),
        ("image\n" + "x" * 200_000 + "\n", "a table of comma-separated text"),
        ("image\n\0\n", "a "),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, says: str) -> None:
    picture(tmp_path, "color/1.png")
    (tmp_path / "joints.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        read(tmp_path)


def test_table_written(tmp_path: Path) -> None:
    """Both hands of a picture share it; every column that is written is one that is read."""
    samples = simulated("rhd")
    RgbdFolder().write(tmp_path, samples, RgbdFolderOptions())
    lines = (tmp_path / "joints.csv").read_text().splitlines()
    assert lines[0] == ",".join(HEADER)
    assert len(lines) == len(samples) + 1
    for sample, got in zip(samples, read(tmp_path), strict=True):
        np.testing.assert_array_equal(sample.joints_mm, got.joints_mm)
        np.testing.assert_array_equal(sample.keypoints_px, got.keypoints_px)
        assert sample.camera == got.camera
        assert (sample.subject, sample.view, sample.moment) == (got.subject, got.view, got.moment)


def test_depth_that_is_none(tmp_path: Path) -> None:
    write_png(tmp_path / "depth/1.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DataError, match="a depth picture of one channel"):
        read(tmp_path)
