"""Ge et al., real-world test set: the real samples, and files that disagree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from handsynth.errors import DataError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.ge_realworld import GeRealWorld, GeRealWorldOptions
from handsynth.hand.pose import palm_length, side_share
from handsynth.hand.rows import column
from tests.formats.samples import listed, real, simulated

OPTIONS = GeRealWorldOptions()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    GeRealWorld().write(tmp_path, simulated("crop"), OPTIONS)
    return tmp_path


def change(path: Path, **variables: Any) -> None:
    kept = {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    savemat(path, kept | variables)


def test_real_samples_are_what_the_facts_say() -> None:
    root = real("ge_realworld")
    table = open_catalogue(GeRealWorld(), root, OPTIONS).table
    assert len(table) == 340
    assert table.column("split").to_pylist() == ["train"] * 200 + ["test"] * 140
    joints, keypoints = column(table, "joints_mm"), column(table, "keypoints_px")
    assert (keypoints >= 0).all()
    assert (keypoints <= 255).all()
    assert side_share(joints) <= 0.1, "left hands in at least 90 percent"
    assert ((palm_length(joints) > 50) & (palm_length(joints) < 130)).all()
    assert 278 < joints[..., 2].min() < joints[..., 2].max() < 482
    truth = loadmat(root / "pose_gt.mat")["pose_gt"]
    np.testing.assert_array_equal(loadmat(root / "params.mat")["pose_root"], truth[:, 0])
    np.testing.assert_allclose(joints, truth * 10, rtol=1e-6)


def test_real_sample_loads_with_its_crop_camera() -> None:
    root = real("ge_realworld")
    row = open_catalogue(GeRealWorld(), root, OPTIONS).table.slice(1, 1).to_pylist()[0]
    sample = GeRealWorld().load(root, row)
    assert sample.rgb is not None
    assert sample.rgb.shape == (256, 256, 3)
    assert sample.camera is not None
    # K_crop = [fx, fy, cx - x, cy - y] * 256 / w with the box (371, 159, 500, 500) of row 1
    assert sample.camera.fx == pytest.approx(923.648 * 256 / 500)
    assert sample.camera.cx == pytest.approx((640.047 - 371) * 256 / 500)
    assert sample.camera.cy == pytest.approx((362.336 - 159) * 256 / 500)
    assert (sample.key, sample.moment, sample.side, sample.split) == ("00001", "00001", "left", "train")


def test_split_follows_the_file_number_not_the_row(written: Path) -> None:
    table = listed(GeRealWorld(), written, OPTIONS)
    words = dict(zip(table.column("key").to_pylist(), table.column("split").to_pylist(), strict=True))
    assert words == {"00000": "train", "00001": "train", "00002": "train", "00300": "test"}
    shifted = listed(GeRealWorld(), written, GeRealWorldOptions(test_from=2))
    assert shifted.column("split").to_pylist() == ["train", "train", "test", "test"]


def test_more_train_samples_than_the_split_has_room_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test_from"):
        GeRealWorld().write(tmp_path, simulated("crop"), GeRealWorldOptions(test_from=1))


@pytest.mark.parametrize(
    ("file", "variables", "says"),
    [
        ("pose_gt.mat", {"pose_gt": np.zeros((4, 20, 3))}, "N x 21 x 3 numbers, found 4 x 20 x 3"),
        ("pose_gt.mat", {"pose_gt": np.zeros((4, 63))}, "found 4 x 63"),
        ("pose_gt.mat", {"pose_gt": np.full((4, 21, 3), np.nan)}, "finite numbers in pose_gt"),
        ("pose_gt.mat", {"pose_gt": np.zeros((3, 21, 3))}, "for each of the 3 poses in pose_gt.mat, found 4"),
        ("pose_gt.mat", {"pose_gt": np.zeros((4, 21, 3))}, "pose_root equal to joint 0"),
        ("params.mat", {"cam_param": np.zeros((4, 3))}, "cam_param of 4 x 4 numbers, found 4 x 3"),
        ("params.mat", {"bbox": np.zeros((4, 4))}, "boxes wider than 0"),
        ("params.mat", {"image_path": np.arange(4.0)}, "image_path as words"),
        ("params.mat", {"image_path": np.array(["/etc/passwd"] * 4)}, "below the dataset's folder"),
        ("params.mat", {"image_path": np.array(["../images/00000.jpg"] * 4)}, "below the dataset's folder"),
        ("params.mat", {"image_path": np.array(["images/a.jpg"] * 4)}, "like images/00012.jpg"),
        ("params.mat", {"image_path": np.array(["images/00000.jpg"] * 4)}, "00000 more than once"),
        ("params.mat", {"image_path": np.array([f"images/0000{i}.jpg" for i in range(4)])}, "the 4 images"),
    ],
)
def test_annotations_that_disagree_are_refused(written: Path, file: str, variables: dict[str, Any], says: str) -> None:
    change(written / file, **variables)
    with pytest.raises(DataError, match=says):
        open_catalogue(GeRealWorld(), written, OPTIONS)


def test_image_paths_in_cells_are_read(written: Path) -> None:
    before = listed(GeRealWorld(), written, OPTIONS)
    cells = np.array(before.column("rgb_file").to_pylist(), dtype=object)[:, None]
    change(written / "params.mat", image_path=cells)
    assert listed(GeRealWorld(), written, OPTIONS).equals(before)
