"""GANerated: the camera of a crop, 2-D labels of their own, partial folders, text files that are not what they seem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.formats import ganerated
from handsynth.formats.ganerated import Ganerated, GaneratedOptions
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera
from handsynth.hand.joints import INDEX, MIDDLE_MCP, WRIST
from handsynth.hand.pose import chirality
from handsynth.hand.rows import column, from_row
from handsynth.hand.sample import LABELLED
from handsynth.imaging.codecs import write_png
from tests.formats.samples import listed, simulated

OPTIONS = GaneratedOptions()
CROP = (200.0, 150.0, 1.6)
BLANK = np.zeros((256, 256, 3), dtype=np.uint8)


def joints(seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).normal(0, 30, (21, 3)) + np.array([0, 0, 500])
    points[8] = [10, 20, 500]  # index tip, the fixture point of the facts
    return points


def crop_pixels(points: np.ndarray) -> np.ndarray:
    """scale (projection - crop), written out."""
    full = 617.173 * points[:, :2] / points[:, 2:] + np.array([315.453, 242.259])
    return (full - CROP[:2]) * CROP[2]


def lay_out(root: Path, folder: str = "noObject/0001", frames: range = range(1, 2)) -> Path:
    for number in frames:
        stem = root / "data" / folder / f"{number:04d}"
        write_png(Path(f"{stem}_color_composed.png"), BLANK)
        points = joints(number)
        for kind, numbers in (
            ("joint2D", crop_pixels(points)),
            ("joint_pos_global", points),
            ("joint_pos", points),
            ("crop_params", np.array(CROP)),
        ):
            Path(f"{stem}_{kind}.txt").write_text(",".join(map(str, numbers.ravel())) + "\n")
    return root


def test_pixels_of_the_facts() -> None:
    whole = load_manifest("ganerated").camera("original")
    point = np.array([10.0, 20.0, 500.0])
    np.testing.assert_allclose(whole.project(point), [327.7965, 266.9459], atol=1e-4)
    np.testing.assert_allclose(crop_pixels(point[None])[0], [204.4744, 187.1134], atol=1e-4)


def test_the_camera_of_a_crop_meets_the_labels(tmp_path: Path) -> None:
    [row] = listed(Ganerated(), lay_out(tmp_path), OPTIONS).to_pylist()
    sample = Ganerated().load(tmp_path, row)
    assert sample.camera is not None
    assert sample.joints_mm is not None
    np.testing.assert_allclose(sample.joints_mm, joints(1), atol=1e-3)
    np.testing.assert_allclose(sample.camera.project([10, 20, 500]), [204.4744, 187.1134], atol=1e-4)  # type: ignore[arg-type]
    np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=1e-3)  # type: ignore[arg-type]
    assert set(sample.keypoint_state.tolist()) == set(sample.joint_state.tolist()) == {LABELLED}
    assert sample.size == (256, 256)
    assert sample.side == "left"


def test_a_camera_without_its_crop_shows(tmp_path: Path) -> None:
    """2-D labels are the files' own, so a wrong crop is seen by whoever compares."""
    root = lay_out(tmp_path)
    (root / "data/noObject/0001/0001_crop_params.txt").write_text("0,0,1\n")
    sample = from_row(listed(Ganerated(), root, OPTIONS).to_pylist()[0])
    assert sample.keypoints_px is not None
    np.testing.assert_allclose(sample.keypoints_px[INDEX["index_tip"]], [204.4744, 187.1134], atol=1e-3)
    assert np.median(np.linalg.norm(sample.projected() - sample.keypoints_px, axis=-1)) > 50  # type: ignore[operator]


def test_partial_folders_and_both_parts(tmp_path: Path) -> None:
    for folder, frames in (("withObject/0092", range(3, 5)), ("noObject/0069", range(9, 12)), ("noObject/0002", [1])):
        lay_out(tmp_path, folder, frames)  # type: ignore[arg-type]
    table = listed(Ganerated(), tmp_path, OPTIONS)
    assert table.column("key").to_pylist() == [
        "noObject/0002/0001",
        *(f"noObject/0069/{number:04d}" for number in (9, 10, 11)),
        *(f"withObject/0092/{number:04d}" for number in (3, 4)),
    ]
    assert table.column("split").to_pylist() == ["test"] + ["train"] * 5
    assert table.column("moment").to_pylist() == table.column("key").to_pylist()
    assert len(set(map(str, column(table, "joints_mm")[:, 0]))) == 6


def test_another_split(tmp_path: Path) -> None:
    for folder in ("noObject/0001", "noObject/0004", "withObject/0004"):
        lay_out(tmp_path, folder)
    table = listed(Ganerated(), tmp_path, GaneratedOptions(test_folders=("0004",)))
    assert table.column("split").to_pylist() == ["train", "test", "test"]
    with pytest.raises(UsageError, match="folders like 0001, found '4'"):
        listed(Ganerated(), tmp_path, GaneratedOptions(test_folders=("4",)))


def test_tables_come_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(tmp_path, frames=range(1, 6))
    original = ganerated.batched
    monkeypatch.setattr(ganerated, "batched", lambda items: original(items, 2))
    assert [len(part) for part in Ganerated().catalogue(tmp_path, OPTIONS)] == [2, 2, 1]


@pytest.mark.parametrize("kind", ["color_composed.png", "joint2D.txt", "joint_pos_global.txt", "crop_params.txt"])
def test_frames_that_lack_a_file(tmp_path: Path, kind: str) -> None:
    root = lay_out(tmp_path, frames=range(1, 4))
    (root / f"data/noObject/0001/0002_{kind}").unlink()
    with pytest.raises(DataError, match=rf"for each of the 3 frames, found 2 \(0002_{kind} is the first"):
        Ganerated().annotations(root, OPTIONS)


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("joint_pos_global", "1,2,3\n", "63 numbers, found 3"),
        ("joint_pos_global", "", "63 numbers, found 1"),
        ("joint2D", ",".join(["1"] * 63), "42 numbers, found 63"),
        ("joint2D", ",".join(["nan"] * 42), "NaN or infinity"),
        ("crop_params", "200,150,x", "could not convert"),
        ("crop_params", "200,150,0", "a scale above 0, found 0"),
        ("crop_params", "200,150,inf", "NaN or infinity"),
        ("crop_params", "200,\0", "binary data"),
    ],
)
def test_texts_that_are_none(tmp_path: Path, kind: str, content: str, says: str) -> None:
    root = lay_out(tmp_path)
    (root / f"data/noObject/0001/0001_{kind}.txt").write_text(content)
    with pytest.raises(DataError, match=says) as raised:
        listed(Ganerated(), root, OPTIONS)
    assert f"0001_{kind}.txt" in str(raised.value)


def test_numbers_may_stand_on_several_lines(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    before = listed(Ganerated(), root, OPTIONS)
    path = root / "data/noObject/0001/0001_joint_pos_global.txt"
    path.write_bytes(b"\r\r\n".join(",".join(map(str, point)).encode() for point in joints(1)) + b"\r\r\n\r\r\n")
    assert listed(Ganerated(), root, OPTIONS).equals(before)


def test_an_empty_download(tmp_path: Path) -> None:
    (tmp_path / "data/noObject/0001").mkdir(parents=True)
    with pytest.raises(MissingError, match="handsynth datasets ganerated"):
        Ganerated().annotations(tmp_path, OPTIONS)


def test_an_image_of_another_size(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    write_png(root / "data/noObject/0001/0001_color_composed.png", BLANK[:200])
    with pytest.raises(DataError, match="256 x 256 px, found 256 x 200"):
        Ganerated().load(root, listed(Ganerated(), root, OPTIONS).to_pylist()[0])


def test_own_words_are_kept(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "a", "withObject/0092", range(7, 9))
    lay_out(root, "noObject/0003")
    rows = listed(Ganerated(), root, OPTIONS)
    Ganerated().write(tmp_path / "b", (Ganerated().load(root, row) for row in rows.to_pylist()), OPTIONS)
    again = listed(Ganerated(), tmp_path / "b", OPTIONS)
    for name in ("key", "split", "rgb_file", "frame"):
        assert again.column(name).to_pylist() == rows.column(name).to_pylist()
    np.testing.assert_allclose(column(again, "camera"), column(rows, "camera"), atol=1e-4)
    np.testing.assert_allclose(column(again, "keypoints_px"), column(rows, "keypoints_px"), atol=1e-4)


def test_normalised_joints_as_the_publishers_have_them(tmp_path: Path) -> None:
    Ganerated().write(tmp_path, simulated("crop")[:1], OPTIONS)
    text = (tmp_path / "data/noObject/0004/0001_joint_pos.txt").read_text()
    points = np.array(text.split(","), dtype=float).reshape(21, 3)
    np.testing.assert_allclose(points[MIDDLE_MCP], 0, atol=1e-6)
    assert np.linalg.norm(points[WRIST]) == pytest.approx(1, abs=1e-6)


def test_left_hands_only(tmp_path: Path) -> None:
    Ganerated().write(tmp_path, simulated("rhd"), OPTIONS)
    table = listed(Ganerated(), tmp_path, OPTIONS)
    assert set(table.column("side").to_pylist()) == {"left"}
    assert np.mean(chirality(column(table, "joints_mm").astype(np.float64)) < 0) >= 0.9


def test_full_folders_are_left_for_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ganerated, "_FRAMES_PER_FOLDER", 2)
    one = simulated("crop")[0]
    train = [replace(one, key=f"a{i}", split="train") for i in range(5)]
    Ganerated().write(tmp_path, train, OPTIONS)
    assert listed(Ganerated(), tmp_path, OPTIONS).column("key").to_pylist() == [
        *(f"noObject/{folder}/{frame}" for folder in ("0004", "0005") for frame in ("0001", "0002")),
        "noObject/0006/0001",
    ]
    test = [replace(one, key=f"b{i}", split="test") for i in range(3)]
    with pytest.raises(DataError, match="room for all test samples"):
        Ganerated().write(tmp_path / "b", test, GaneratedOptions(test_folders=("0001",)))


def test_cameras_that_crops_cannot_say_are_resampled(tmp_path: Path) -> None:
    one = simulated("crop")[0]
    assert one.camera is not None
    odd: Any = replace(one.camera, fy=one.camera.fy * 1.2, distortion=(0.1, 0.0, 0.0, 0.0, 0.0))
    assert isinstance(odd, Camera)
    keypoints = odd.project(one.joints_mm).astype(np.float32)  # type: ignore[arg-type]
    Ganerated().write(tmp_path, [replace(one, camera=odd, keypoints_px=keypoints)], OPTIONS)
    sample = from_row(listed(Ganerated(), tmp_path, OPTIONS).to_pylist()[0])
    assert sample.camera is not None
    assert sample.camera.fx == pytest.approx(sample.camera.fy)
    np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=1e-2)  # type: ignore[arg-type]
