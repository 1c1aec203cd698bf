"""CMU Panoptic: the studio's cameras and people, HandDB's pictures, and files that are not what they seem."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.panoptic import Panoptic, PanopticOptions
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import read_color, write_jpeg, write_png
from handsynth.runtime import progress
from tests.formats.samples import listed, simulated

READER = Panoptic()
STUDIO = PanopticOptions()
SEQUENCE = "171204_pose1"
BLANK = np.zeros((108, 192, 3), np.uint8)
DISTORTION = [-0.2, 0.1, 0.001, -0.002, 0.01]
TURN = np.array(RigidTransform.of(np.array([0.1, 2.0, -0.2]), np.zeros(3)).rotation)


def lens(node: int, panel: int = 0) -> dict[str, Any]:
    """A camera as the publishers write it; all but camera 0 are turned."""
    return {
        "name": f"{panel:02d}_{node:02d}",
        "type": "hd" if panel == 0 else "vga",
        "resolution": [192, 108],
        "panel": panel,
        "node": node,
        "K": [[140.0, 0, 96.0], [0, 139.0, 54.0], [0, 0, 1]],
        "distCoef": DISTORTION,
        "R": (TURN if node else np.eye(3)).tolist(),
        "t": [[1.0], [2.0], [100.0]],
    }


def hand(center: tuple[float, float, float] = (0, 0, 0), seed: int = 0) -> dict[str, Any]:
    points = np.random.default_rng(seed).normal(center, 4, (21, 3))
    return {
        "landmarks": points.ravel().tolist(),
        "averageScore": [0.5] * 21,
        "averageReproError": [1.0] * 21,
        "validity": [True] * 21,
        "visibility": [[1, 2]] * 21,
    }


def studio(root: Path, people: dict[int, list[dict[str, Any]]], nodes: tuple[int, ...] = (0, 5)) -> Path:
    """A sequence by hand: people by frame, an image of every frame for every camera."""
    folder = root / SEQUENCE
    put(folder / f"calibration_{SEQUENCE}.json", {"cameras": [lens(3, panel=7), *(lens(node) for node in (0, 5, 30))]})
    for frame, there in people.items():
        put(folder / f"hdHand3d/handRecon3D_hd{frame:08d}.json", {"version": 0.7, "people": there})
        for node in nodes:
            write_jpeg(folder / f"hdImgs/00_{node:02d}/00_{node:02d}_{frame:08d}.jpg", BLANK)
    return root


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def samples_of(root: Path, part: str = "studio") -> list[HandSample]:
    options = PanopticOptions(part=part)  # type: ignore[arg-type]
    return [READER.load(root, row) for row in open_catalogue(READER, root, options).table.to_pylist()]


def test_studio_joints_come_to_each_camera(tmp_path: Path) -> None:
    left, right = hand(seed=1), hand(seed=2)
    root = studio(tmp_path, {100: [{"id": 4, "left_hand": left, "right_hand": right}]})
    samples = samples_of(root)
    assert [sample.key for sample in samples] == [
        f"{SEQUENCE}/00_00/00000100-0-left",
        f"{SEQUENCE}/00_00/00000100-0-right",
        f"{SEQUENCE}/00_05/00000100-0-left",
        f"{SEQUENCE}/00_05/00000100-0-right",
    ]
    assert {sample.moment for sample in samples} == {f"{SEQUENCE}/100"}
    assert {sample.subject for sample in samples} == {f"{SEQUENCE}/4"}
    assert {sample.split for sample in samples} == {None}
    for sample in samples:
        stored = left if sample.side == "left" else right
        turn = np.eye(3) if sample.view == "00_00" else TURN
        world_cm = np.reshape(stored["landmarks"], (21, 3))
        expected_mm = 10 * (world_cm @ turn.T + [1, 2, 100])
        np.testing.assert_allclose(sample.joints_mm, expected_mm, atol=1e-3)
        x, y = (expected_mm[:, :2] / expected_mm[:, 2:]).T
        k1, k2, p1, p2, k3 = DISTORTION
        r2 = x**2 + y**2
        bend = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = 140 * (x * bend + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)) + 96
        v = 139 * (y * bend + 2 * p2 * x * y + p1 * (r2 + 2 * y**2)) + 54
        np.testing.assert_allclose(sample.keypoints_px, np.stack([u, v], -1), atol=1e-3)
        assert sample.camera == Camera(140, 139, 96, 54, 192, 108, tuple(DISTORTION))
        assert sample.world_from_camera is not None
        assert sample.joints_mm is not None
        np.testing.assert_allclose(sample.world_from_camera.apply(sample.joints_mm), 10 * world_cm, atol=1e-2)
        assert (sample.keypoint_state == DERIVED).all()
        assert sample.extra["score"] == pytest.approx([0.5] * 21)


def test_validity_alone_tells(tmp_path: Path) -> None:
    doubted = hand()
    doubted["validity"] = [i != 8 for i in range(21)]
    bare = {"landmarks": hand(seed=3)["landmarks"]}
    people = [{"id": -1, "left_hand": doubted}, {"id": 2, "right_hand": bare}, {"id": 3, "left_hand": {}}, {"id": 5}]
    first, second = samples_of(studio(tmp_path, {7: people}, nodes=(0,)))
    assert first.joint_state.tolist() == [LABELLED if i != 8 else ABSENT for i in range(21)]
    assert first.subject is None
    assert second.side == "right"
    assert (second.joint_state == LABELLED).all()
    assert "score" not in second.extra


def test_hands_outside_of_an_image_are_no_samples_of_it(tmp_path: Path) -> None:
    there, aside, behind = hand(), hand((300, 0, 0)), hand((0, 0, -200))
    people = [{"id": i, "left_hand": item} for i, item in enumerate((there, aside, behind))]
    assert [sample.key[-6:] for sample in samples_of(studio(tmp_path, {1: people}, nodes=(0,)))] == ["0-left"]


def test_images_that_were_not_taken_are_left_out(tmp_path: Path) -> None:
    root = studio(tmp_path, {frame: [{"id": 0, "left_hand": hand()}] for frame in (1, 2, 3)})
    images = root / SEQUENCE / "hdImgs"
    (images / "00_05/00_05_00000002.jpg").unlink()
    (images / "00_00/00_00_00000003.jpg").rename(images / "00_00/00_00_00000003.jpg.part")
    write_png(images / "00_00/00_00_00000003.png", BLANK)
    said: list[str] = []

    class Ears(progress.Silent):
        def say(self, text: str) -> None:
            said.append(text)

    with progress.show(Ears()):
        table = open_catalogue(READER, root, STUDIO).table
    assert sorted(zip(table["view"].to_pylist(), table["frame"].to_pylist(), strict=True)) == [
        ("00_00", "1"),
        ("00_00", "2"),
        ("00_00", "3"),
        ("00_05", "1"),
        ("00_05", "3"),
    ]
    assert said == [f"{SEQUENCE}: 1 of 6 labelled images of 2 cameras are not there and are left out"]
    # A camera taken later is seen, though no annotation changed.
    write_jpeg(images / "00_30/00_30_00000002.jpg", BLANK)
    assert len(open_catalogue(READER, root, STUDIO).table) == 6


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        ("calibration", "{", "JSON"),
        ("calibration", {"cameras": [lens(0)]}, "a calibration of 00_05"),
        ("calibration", {"cameras": [lens(0), lens(5) | {"R": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}]}, "a rotation"),
        (
            "calibration",
            {"cameras": [lens(0), lens(5) | {"K": [[140, 2, 96], [0, 140, 54], [0, 0, 1]]}]},
            "without skew",
        ),
        ("calibration", {"cameras": [lens(0), lens(5) | {"distCoef": [0, 0]}]}, "length 5"),
        ("calibration", {"cameras": [lens(0), lens(5) | {"resolution": [10**12, 1]}]}, "resolution"),
        ("calibration", {"cameras": [lens(0), lens(5) | {"t": [1, 2, 3]}]}, "array"),
        ("hands", "", "JSON"),
        ("hands", "[" * 100_000, "JSON"),
        ("hands", {"people": [{"left_hand": hand() | {"landmarks": [0.0] * 62}}]}, "63 numbers, found 62"),
        ("hands", {"people": [{"left_hand": hand() | {"validity": [True]}}]}, "21 numbers, found 1"),
        ("hands", {"people": [{"left_hand": hand() | {"landmarks": ["x"] * 63}}]}, "landmarks"),
        ("hands", '{"people": [{"left_hand": {"landmarks": [NaN]}}]}', "JSON"),
    ],
)
def test_studio_files_of_another_shape(tmp_path: Path, file: str, value: Any, says: str) -> None:
    root = studio(tmp_path, {1: [{"id": 0, "left_hand": hand()}]})
    name = f"calibration_{SEQUENCE}.json" if file == "calibration" else "hdHand3d/handRecon3D_hd00000001.json"
    put(root / SEQUENCE / name, value)
    with pytest.raises(DataError, match=says):
        open_catalogue(READER, root, STUDIO)


def test_studio_is_written_as_it_was(tmp_path: Path) -> None:
    people = [{"id": i, "left_hand": hand(seed=i), "right_hand": hand(seed=9 + i)} for i in range(2)]
    root = studio(tmp_path / "a", {12: people, 15: people[:1]})
    samples = samples_of(root)
    assert len(samples) == 12
    READER.write(tmp_path / "b", samples, STUDIO)
    back = {sample.key: sample for sample in samples_of(tmp_path / "b")}
    assert set(back) == {sample.key for sample in samples}
    for sample in samples:
        np.testing.assert_allclose(back[sample.key].joints_mm, sample.joints_mm, atol=1e-3)
        assert back[sample.key].camera == sample.camera
        assert back[sample.key].extra["score"] == pytest.approx(sample.extra["score"])
    for frame, there in ((12, people), (15, people[:1])):
        path = tmp_path / "b" / SEQUENCE / f"hdHand3d/handRecon3D_hd{frame:08d}.json"
        for person, given in zip(json.loads(path.read_text())["people"], there, strict=True):
            for side in ("left_hand", "right_hand"):
                np.testing.assert_allclose(person[side]["landmarks"], given[side]["landmarks"], atol=1e-3)


def test_other_looks_of_a_hand_get_frames_of_their_own(tmp_path: Path) -> None:
    left = next(sample for sample in simulated("rhd") if sample.side == "left")
    shifted = replace(left, key="b", view="v", joints_mm=left.joints_mm + np.float32(5))  # type: ignore[operator]
    READER.write(tmp_path, [left, replace(left, key="a"), shifted], STUDIO)
    assert len({sample.moment for sample in samples_of(tmp_path)}) == 3


def picture(folder: Path, stem: str, points: Any, is_left: Any = 0, **more: Any) -> None:
    put(folder / f"{stem}.json", {"hand_pts": points, "is_left": is_left, "hand_box_center": [1, 2], **more})
    write_jpeg(folder / f"{stem}.jpg", BLANK)


def flat(seed: int = 0) -> list[list[float]]:
    return [[*row, 1.0] for row in np.random.default_rng(seed).uniform(1, 100, (21, 2)).tolist()]


def test_pictures_with_labels(tmp_path: Path) -> None:
    points = flat()
    points[3] = [5.5, 6.5, 0]
    points[4] = [0, 0, 0]
    train, test = tmp_path / "hand_labels/manual_train", tmp_path / "hand_labels/manual_test"
    picture(train, "005880453_01_l", points, 1, mpii_image="005880453.jpg")
    picture(train, "005880453_02_r", flat(1), 0.0)
    picture(train, "ex2_2.flv_000040_l", flat(2), True)
    picture(train, "ex2_2.flv_000040_r", flat(3), False)
    picture(test, "017920921_01_r", flat(4))
    samples = samples_of(tmp_path, "manual")
    assert [(sample.key, sample.side, sample.split, sample.moment) for sample in samples] == [
        ("manual_train/005880453_01_l", "left", "train", "manual_train/005880453"),
        ("manual_train/005880453_02_r", "right", "train", "manual_train/005880453"),
        ("manual_train/ex2_2.flv_000040_l", "left", "train", "manual_train/ex2_2.flv_000040"),
        ("manual_train/ex2_2.flv_000040_r", "right", "train", "manual_train/ex2_2.flv_000040"),
        ("manual_test/017920921_01_r", "right", "test", "manual_test/017920921"),
    ]
    first = samples[0]
    assert first.joints_mm is None
    assert first.camera is None
    assert first.keypoint_state.tolist() == [LABELLED] * 3 + [ABSENT] * 2 + [LABELLED] * 16
    assert first.visible is not None
    assert first.visible.tolist() == [i not in (3, 4) for i in range(21)]
    np.testing.assert_allclose(first.keypoints_px[5], points[5][:2], atol=1e-4)  # type: ignore[index]
    np.testing.assert_allclose(first.extra["invalid_px"][3], [5.5, 6.5])
    assert np.isnan(first.extra["invalid_px"][4]).all()
    assert "invalid_px" not in samples[1].extra


@pytest.mark.parametrize("part", ["manual", "synth", "hand143"])
def test_pictures_are_written_as_they_were(tmp_path: Path, part: str) -> None:
    options = PanopticOptions(part=part)  # type: ignore[arg-type]
    flat_samples = [replace(sample, camera=None, joints_mm=None) for sample in simulated("rhd")]
    READER.write(tmp_path / "a", flat_samples, options)
    samples = samples_of(tmp_path / "a", part)
    assert len(samples) == len(flat_samples)
    by_points = {round(float(sample.keypoints_px[0, 0]), 3): sample for sample in samples}  # type: ignore[index]
    for given in flat_samples:
        got = by_points[round(float(given.keypoints_px[0, 0]), 3)]  # type: ignore[index]
        np.testing.assert_allclose(got.keypoints_px, given.keypoints_px, atol=1e-4)
        assert (got.keypoint_state == LABELLED).all()
        assert got.rgb is not None
        assert given.rgb is not None
        assert np.abs(got.rgb.astype(int) - given.rgb).max() <= 60
        assert got.side == ("unknown" if part == "hand143" else given.side)
        assert got.split == ("train" if part == "hand143" else given.split)
    READER.write(tmp_path / "b", samples, options)
    again = {sample.key: sample for sample in samples_of(tmp_path / "b", part)}
    assert list(again) == [sample.key for sample in samples]
    for sample in samples:
        np.testing.assert_array_equal(again[sample.key].keypoints_px, sample.keypoints_px)


def test_joints_are_projected_where_there_are_no_labels(tmp_path: Path) -> None:
    given = replace(simulated("crop")[0], keypoints_px=None)
    READER.write(tmp_path, [given], PanopticOptions(part="manual"))
    [back] = samples_of(tmp_path, "manual")
    np.testing.assert_allclose(back.keypoints_px, given.projected(), atol=1e-4)
    for bare, lacks in (
        (replace(given, key="bare", camera=None), "keypoints_px"),
        (replace(given, side="unknown"), "side"),
    ):
        with pytest.raises(DataError, match=lacks):
            READER.write(tmp_path / "no", [bare], PanopticOptions(part="manual"))


def test_files_without_21_points_have_no_joints(tmp_path: Path) -> None:
    folder = tmp_path / "hand_labels_synth/synth1"
    picture(folder, "a_l", flat()[:15], 1)
    picture(folder, "b_l", flat(1), 1)
    picture(folder, "c_l", [], 1)
    short, whole, empty = samples_of(tmp_path, "synth")
    assert not short.keypoint_state.any()
    np.testing.assert_allclose(short.extra["points_px"][:15], np.array(flat())[:15, :2], atol=1e-4)
    assert whole.keypoint_state.all()
    assert "points_px" not in whole.extra
    assert not empty.keypoint_state.any()


def test_synth4_is_test(tmp_path: Path) -> None:
    for number in (1, 2, 4):
        picture(tmp_path / f"hand_labels_synth/synth{number}", "a", flat())
    assert [sample.split for sample in samples_of(tmp_path, "synth")] == ["train", "train", "test"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("", "JSON"),
        ({"is_left": 1}, "hand_pts"),
        ({"hand_pts": flat()}, "is_left"),
        ({"hand_pts": [[1, 2]] * 21, "is_left": 1}, "length 3"),
        ({"hand_pts": [[1, 2, 1]] * 1000, "is_left": 1}, "21 points, found 1000"),
        ({"hand_pts": "x", "is_left": 1}, "hand_pts"),
        ({"hand_pts": flat(), "is_left": "yes"}, "is_left"),
    ],
)
def test_labels_of_another_shape(tmp_path: Path, value: Any, says: str) -> None:
    folder = tmp_path / "hand_labels/manual_test"
    picture(folder, "a_l", flat())
    put(folder / "a_l.json", value)
    with pytest.raises(DataError, match=says):
        listed(READER, tmp_path, PanopticOptions(part="manual"))


def test_pictures_and_labels_that_lack(tmp_path: Path) -> None:
    folder = tmp_path / "hand_labels/manual_test"
    for stem in ("a_l", "b_l"):
        picture(folder, stem, flat())
    (folder / "a_l.json").rename(tmp_path / "kept")
    with pytest.raises(DataError, match=r"none for 1 pictures \(a_l\.jpg"):
        listed(READER, tmp_path, PanopticOptions(part="manual"))
    (tmp_path / "kept").rename(folder / "a_l.json")
    (folder / "b_l.jpg").unlink()
    with pytest.raises(DataError, match=r"the 2 images .* found 1"):
        listed(READER, tmp_path, PanopticOptions(part="manual"))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"img_paths": "../../outside.jpg"}, "below the dataset's folder"),
        ({"img_paths": "imgs/none.jpg"}, "found 0"),
        ({"img_paths": 7}, "img_paths"),
        ({"joint_self": [[1, 2]]}, "length 3"),
        (None, "a list of hands at root"),
    ],
)
def test_hand143_entries_of_another_shape(tmp_path: Path, entry: Any, says: str) -> None:
    folder = tmp_path / "hand143_panopticdb"
    write_jpeg(folder / "imgs/00000000.jpg", BLANK)
    whole = {"img_paths": "imgs/00000000.jpg", "joint_self": flat()}
    put(folder / "hands_v143_14817.json", {"root": [] if entry is None else [whole, whole | entry]})
    with pytest.raises(DataError, match=says):
        open_catalogue(READER, tmp_path, PanopticOptions(part="hand143"))


def test_what_lies_in_the_folder_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "hand_labels/manual_test", "a_l", flat())
    with pytest.raises(MissingError, match=r"sequences like 171204_pose1 .* part=manual"):
        listed(READER, tmp_path, STUDIO)
    with pytest.raises(MissingError, match="hands_v143"):
        listed(READER, tmp_path, PanopticOptions(part="hand143"))
    assert read_color(tmp_path / "hand_labels/manual_test/a_l.jpg").shape == BLANK.shape
