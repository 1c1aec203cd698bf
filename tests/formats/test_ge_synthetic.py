"""Ge et al., synthetic set: the camera formula, 1-based numbers, alpha masks, splits by camera, partial copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.format import NoOptions
from handsynth.formats.ge_synthetic import GeSynthetic, euler_degrees, rotation
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import RigidTransform
from handsynth.hand.joints import HAND, INDEX
from handsynth.hand.pose import bone_lengths, chirality
from handsynth.hand.rows import column, from_row
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_raw, write_png
from handsynth.runtime import progress
from handsynth.simulator import SimulatorSettings, simulate
from tests.formats.samples import listed, simulated
from tests.formats.test_mhp import Heard

OPTIONS = NoOptions()
NAMES = load_manifest("ge_synthetic").source_words
CLEAR = np.zeros((256, 256, 4), dtype=np.uint8)


def turn(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about x, y or z, for column vectors."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i], matrix[i, j], matrix[j, i], matrix[j, j] = c, -s, s, c
    return matrix


def poses_cm(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 3, (count, 21, 3)) + np.array([10, 15, 0])


def camera_rows(poses: int, cameras: int) -> np.ndarray:
    """(P, C, 7): cameras that look at the hand from all sides, so that turns about all three axes matter."""
    rng = np.random.default_rng(1)
    rows = np.empty((poses, cameras, 7))
    for row in rows.reshape(-1, 7):
        angles = rng.uniform(-180, 180, 3)
        ahead = turn(2, angles[2]) @ turn(1, angles[1]) @ turn(0, angles[0]) @ np.array([0, 0, -1.0])
        row[:] = [rng.choice([280.00056, 400.0008, 500.001]), *(np.array([10, 15, 0]) - 30 * ahead), *angles]
    return rows


def lay_out(root: Path, poses: int = 2, cameras: int = 7, lights: tuple[str, ...] = ("l01",)) -> Path:
    """A small set by hand, written as the publishers write: blank lines between poses, a blank before line ends."""
    text = "".join(
        "\n" + "".join(f"{name} {x:.10g} {y:.10g} {z:.10g}\n" for name, (x, y, z) in zip(NAMES, pose, strict=True))
        for pose in poses_cm(poses)
    )
    folder = root / "3D_labels"
    folder.mkdir(parents=True)
    (folder / "handGestures.txt").write_text(text)
    rows = camera_rows(poses, cameras)
    blocks = ("\n" + "".join(camera_line(f"cam{i + 1:02d}", row) for i, row in enumerate(pose)) for pose in rows)
    (folder / "camPosition.txt").write_text("".join(blocks))
    (folder / "val-camera.txt").write_text("cam06\n")
    for light in lights:
        for i in range(1, cameras + 1):
            for pose in range(1, poses + 1):
                write_png(image(root, light, f"cam{i:02d}", pose), CLEAR)
    return root


def camera_line(name: str, row: np.ndarray) -> str:
    return " ".join([name, *(f"{number:.12g}" for number in row)]) + " \n"


def image(root: Path, light: str, camera: str, pose: int) -> Path:
    return root / "images" / light / camera / f"handV2_rgt01_ren_{light}_{camera}_.{pose:04d}.png"


@pytest.mark.parametrize(
    "angles", [(0, 0, 0), (90, 0, 0), (0, 90, 0), (0, 0, 90), (180.26, -11.97, -177.49), (7, -90, 3)]
)
def test_angles_turn_about_x_then_y_then_z(angles: tuple[float, float, float]) -> None:
    x, y, z = angles
    expected = turn(2, z) @ turn(1, y) @ turn(0, x)
    np.testing.assert_allclose(rotation(np.array(angles)), expected, atol=1e-12)
    np.testing.assert_allclose(rotation(euler_degrees(expected)), expected, atol=1e-9)


def test_camera_formula_of_the_facts(tmp_path: Path) -> None:
    table = listed(GeSynthetic(), lay_out(tmp_path), OPTIONS)
    rows = camera_rows(2, 7)
    for row in table.to_pylist():
        sample = from_row(row)
        assert sample.camera is not None
        assert sample.world_from_camera is not None
        assert sample.joints_mm is not None
        pose, camera = int(row["frame"]) - 1, int(row["view"][3:]) - 1
        focal, *numbers = rows[pose, camera]
        t, (x, y, z) = np.array(numbers[:3]), numbers[3:]
        world = poses_cm(2)[pose]
        moved = (world - t) @ (turn(2, z) @ turn(1, y) @ turn(0, x)) @ np.diag([1, -1, -1])
        np.testing.assert_allclose(sample.joints_mm, 10 * moved, atol=2e-4)
        assert (sample.joints_mm[:, 2] > 0).all()
        np.testing.assert_allclose(sample.projected(), 128 + focal * moved[:, :2] / moved[:, 2:], atol=1e-2)
        np.testing.assert_allclose(sample.keypoints_px, sample.projected(), atol=1e-3)  # type: ignore[arg-type]
        np.testing.assert_allclose(sample.world_from_camera.apply(sample.joints_mm), 10 * world, atol=2e-3)
        assert set(sample.keypoint_state.tolist()) == {DERIVED}


def test_numbers_are_one_based(tmp_path: Path) -> None:
    """The first pose has the number 0001; the first camera is cam01."""
    root = lay_out(tmp_path)
    table = listed(GeSynthetic(), root, OPTIONS)
    assert table.column("key").to_pylist()[:3] == ["l01/cam01/0001", "l01/cam01/0002", "l01/cam02/0001"]
    for wrong in (0, 3):
        stray = image(root, "l01", "cam01", wrong)
        write_png(stray, CLEAR)
        with pytest.raises(DataError, match=r"an image of the 2 poses and 7 cameras"):
            listed(GeSynthetic(), root, OPTIONS)
        stray.unlink()


def test_all_images_of_a_pose_are_one_moment_and_cameras_are_split(tmp_path: Path) -> None:
    table = listed(GeSynthetic(), lay_out(tmp_path, lights=("l01", "l21")), OPTIONS)
    assert len(table) == 28
    assert table.column("moment").unique().to_pylist() == ["0001", "0002"]
    split = dict(zip(table.column("view").to_pylist(), table.column("split").to_pylist(), strict=True))
    assert split == {f"cam{i:02d}": "val" if i == 6 else "train" for i in range(1, 8)}


def test_labels_go_by_name(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    before = listed(GeSynthetic(), root, OPTIONS)
    poses, cameras = root / "3D_labels/handGestures.txt", root / "3D_labels/camPosition.txt"
    for path in (poses, cameras):
        blocks = [block.split("\n") for block in path.read_text().strip("\n").split("\n\n")]
        path.write_bytes("\r\r\n".join(line for block in blocks for line in reversed(block)).encode())
    assert listed(GeSynthetic(), root, OPTIONS).equals(before)


def test_bones_keep_their_length_and_hands_are_left(tmp_path: Path) -> None:
    """One person's bones over poses and cameras, after a world and text lie between: constant to 0.001 cm."""
    settings = SimulatorSettings(camera="crop", scale=1 / 8, side="left", subjects=1, seed=5)
    turned: list[HandSample] = []
    for number, sample in enumerate(simulate(settings, 0, 6)):
        place = RigidTransform.of(np.array([0.3, -0.9, 0.2]) * number, np.array([100.0, -50.0, 30.0]) * number)
        turned.append(replace(sample, world_from_camera=place))
    GeSynthetic().write(tmp_path, turned, OPTIONS)
    joints = column(listed(GeSynthetic(), tmp_path, OPTIONS), "joints_mm").astype(np.float64)
    assert np.ptp(bone_lengths(joints), axis=0).max() < 0.01
    assert np.mean(chirality(joints) < 0) >= 0.9


def test_alpha_is_the_mask(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    picture = CLEAR.copy()
    picture[10:20, 30:50] = 200, 100, 50, 255
    picture[0, 0] = 9, 8, 7, 0
    write_png(image(root, "l01", "cam01", 1), picture)
    row = listed(GeSynthetic(), root, OPTIONS).to_pylist()[0]
    sample = GeSynthetic().load(root, row)
    assert sample.rgb is not None
    assert sample.mask is not None
    assert sample.mask.sum() == 200
    assert sample.mask[10, 30] == HAND
    assert sample.rgb[10, 30].tolist() == [200, 100, 50]
    assert sample.rgb[0, 0].tolist() == [9, 8, 7], "colour stays where alpha says background"
    picture[..., 3] = 255
    write_png(image(root, "l01", "cam01", 1), picture)
    assert GeSynthetic().load(root, row).mask is None


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (CLEAR[..., :3], "an 8-bit image with alpha"),
        (CLEAR[..., 0], "an 8-bit image with alpha"),
        (CLEAR[..., 0].astype(np.uint16), "an 8-bit image with alpha"),
        (np.zeros((512, 512, 4), np.uint8), "256 x 256 px, found 512 x 512"),
    ],
)
def test_images_of_another_kind(tmp_path: Path, picture: np.ndarray, says: str) -> None:
    root = lay_out(tmp_path)
    write_png(image(root, "l01", "cam01", 1), picture)
    with pytest.raises(DataError, match=says):
        GeSynthetic().load(root, listed(GeSynthetic(), root, OPTIONS).to_pylist()[0])


def test_partial_copies_are_told(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    image(root, "l01", "cam03", 2).unlink()
    (root / "images/l01/cam03/notes.txt").write_text("")
    heard = Heard()
    with progress.show(heard):
        table = listed(GeSynthetic(), root, OPTIONS)
    assert len(table) == 13
    assert heard.said == ["ge_synthetic: 1 of 7 folders hold fewer images than the 2 labelled poses"]


def test_labels_or_images_that_lack(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    (root / "3D_labels/val-camera.txt").rename(tmp_path / "elsewhere")
    with pytest.raises(MissingError, match=r"val-camera\.txt of ge_synthetic"):
        GeSynthetic().annotations(root, OPTIONS)
    (tmp_path / "elsewhere").rename(root / "3D_labels/val-camera.txt")
    (root / "images").rename(tmp_path / "away")
    with pytest.raises(MissingError, match="images/l01/cam01"):
        GeSynthetic().annotations(root, OPTIONS)


@pytest.mark.parametrize(
    "name", ["x_l01_cam02_.0001.png", "x_l02_cam01_.0001.png", "0001.png", "x_l01_cam01_.-001.png"]
)
def test_images_in_the_wrong_place(tmp_path: Path, name: str) -> None:
    root = lay_out(tmp_path)
    write_png(root / "images/l01/cam01" / name, CLEAR)
    with pytest.raises(DataError, match="images like PREFIX_l01_cam01_"):
        listed(GeSynthetic(), root, OPTIONS)


def dropped(line: int) -> Callable[[str], str]:
    return lambda text: "\n".join(row for i, row in enumerate(filter(str.strip, text.split("\n"))) if i != line)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("handGestures.txt", dropped(3), "21 lines a pose, found 41 lines"),
        ("handGestures.txt", lambda text: "", "21 lines a pose, found 0"),
        ("handGestures.txt", lambda text: text.replace("thumb_L_01", "thumb_R_01"), "'loc_bn_thumb_R_01'"),
        ("handGestures.txt", lambda text: text.replace("loc_bn_palm_L ", "loc_bn_palm_L 1 "), "3 numbers, found 4"),
        ("camPosition.txt", dropped(3), "2 lines of cam04, one for each pose"),
        ("camPosition.txt", lambda text: text + text, "2 lines of cam01, one for each pose"),
        ("camPosition.txt", lambda text: text.replace("cam01", "front"), "a camera like cam01, found 'front'"),
        ("camPosition.txt", lambda text: text.replace("cam01", "cam01 nan"), "7 numbers, found 8"),
        ("camPosition.txt", lambda text: "cam01 nan 1 1 1 1 1 1\n" * 2, "NaN or infinity"),
        ("camPosition.txt", lambda text: "cam02 400 1 1 1 1 1 1\ncam06 1 1 1 1 1 1 1\n" * 2, "2 poses and 2 cameras"),
        ("camPosition.txt", lambda text: "cam01 0 1 1 1 1 1 1\ncam06 1 1 1 1 1 1 1\n" * 2, "an image of the"),
        ("val-camera.txt", lambda text: "cam77\n", "'cam77'"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, name: str, change: Callable[[str], str], says: str) -> None:
    root = lay_out(tmp_path)
    path = root / "3D_labels" / name
    path.write_text(change(path.read_text()))
    with pytest.raises(DataError, match=says):
        listed(GeSynthetic(), root, OPTIONS)


def test_a_copy_is_the_same_set(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "a", poses=2, lights=("l03", "l21"))
    table = listed(GeSynthetic(), root, OPTIONS)
    GeSynthetic().write(tmp_path / "b", (GeSynthetic().load(root, row) for row in table.to_pylist()), OPTIONS)
    again = listed(GeSynthetic(), tmp_path / "b", OPTIONS)
    assert again.column("key").to_pylist() == table.column("key").to_pylist()
    # cam12, 20 and 21 are not here, and the set's own val-camera.txt names all four.
    assert again.column("split").to_pylist() == table.column("split").to_pylist()
    for name, close in (("joints_mm", 1e-3), ("camera", 1e-6), ("world_from_camera", 1e-4)):
        np.testing.assert_allclose(column(again, name), column(table, name), atol=close)
    assert read_raw(tmp_path / "b" / again.column("rgb_file")[0].as_py()).shape == (256, 256, 4)
    assert len((tmp_path / "b/3D_labels/camPosition.txt").read_text().split()) == 2 * 25 * 8


def test_views_of_any_rig_share_a_pose(tmp_path: Path) -> None:
    one = simulated("crop")[0]
    assert one.joints_mm is not None
    given = []
    for number in range(23):  # two more than there are training cameras
        move = RigidTransform.of(np.array([0.0, 0.0, 0.1 * number]), np.zeros(3))
        joints = move.apply(one.joints_mm).astype(np.float32)
        given.append(
            replace(one, key=f"v{number:02d}", joints_mm=joints, keypoints_px=None, world_from_camera=move.inverse())
        )
    GeSynthetic().write(tmp_path, given, OPTIONS)
    table = listed(GeSynthetic(), tmp_path, OPTIONS)
    assert table.column("moment").to_pylist().count("0001") == 21
    assert table.column("moment").to_pylist().count("0002") == 2
    assert set(table.column("split").to_pylist()) == {"train"}
    tips = np.round(column(table, "joints_mm")[:, INDEX["middle_tip"]], 1)
    wanted = np.round(np.stack([sample.joints_mm[INDEX["middle_tip"]] for sample in given]), 1)  # type: ignore[index]
    np.testing.assert_allclose(sorted(tips.tolist()), sorted(wanted.tolist()), atol=0.11)


def test_hands_off_the_axis_stay_in_the_image(tmp_path: Path) -> None:
    one = simulated("crop")[0]
    assert one.joints_mm is not None
    assert one.camera is not None
    shifted = one.joints_mm + np.array([200, 0, 0], dtype=np.float32)
    camera = replace(one.camera, cx=one.camera.cx - one.camera.fx * 200 / float(one.joints_mm[:, 2].mean()))
    GeSynthetic().write(tmp_path, [replace(one, joints_mm=shifted, camera=camera, keypoints_px=None)], OPTIONS)
    sample = from_row(listed(GeSynthetic(), tmp_path, OPTIONS).to_pylist()[0])
    assert sample.keypoints_px is not None
    assert ((sample.keypoints_px >= 0) & (sample.keypoints_px <= 255)).all()
