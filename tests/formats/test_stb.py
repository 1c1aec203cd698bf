"""STB: fixture numbers of the published cameras, palm and wrist, depth, moments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from handsynth.errors import DataError, MissingError
from handsynth.formats.manifest import load_manifest
from handsynth.formats.matfiles import write_mat
from handsynth.formats.stb import Stb, StbOptions
from handsynth.hand.joints import INDEX, WRIST
from handsynth.hand.rows import from_row
from handsynth.hand.sample import DERIVED, LABELLED
from handsynth.imaging.codecs import read_raw, write_png
from tests.formats.samples import listed, simulated

BLANK = np.zeros((480, 640, 3), dtype=np.uint8)


def lay_out(root: Path, points: np.ndarray, sequence: str = "B1Counting", folder: str = "images") -> Path:
    """A sequence by hand: label points (F, 21, 3) mm for both cameras, blank images."""
    for part in ("SK", "BB"):
        write_mat(root / "labels" / f"{sequence}_{part}.mat", {"handPara": points.transpose(2, 1, 0)})
    for i in range(len(points)):
        for prefix in ("SK_color", "SK_depth", "BB_left", "BB_right"):
            write_png(root / folder / sequence / f"{prefix}_{i}.png", BLANK)
    return root


def points(frames: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    labels = rng.normal(0, 30, (frames, 21, 3)) + np.array([0, 0, 500])
    labels[:, 0] = [10, 20, 500]  # the palm, as in the published fixtures
    labels[:, 1] = [10, 20, 500]  # little MCP
    return labels


def test_labels_of_the_depth_camera_come_to_colour(tmp_path: Path) -> None:
    lay_out(tmp_path, points())
    [row] = listed(Stb(), tmp_path, StbOptions()).to_pylist()
    sample = from_row(row)
    pinky = INDEX["pinky_mcp"]
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    np.testing.assert_allclose(sample.joints_mm[pinky], [40.095001, 23.004830, 500.673886], atol=1e-4)
    np.testing.assert_allclose(sample.keypoints_px[pinky], [363.4671, 264.3556], atol=1e-3)
    np.testing.assert_allclose(sample.extra["palm_mm"], [[40.095001, 23.004830, 500.673886]], atol=1e-4)
    manifest = load_manifest("stb")
    depth_pixel = manifest.camera("sk_depth").project(np.array([10.0, 20.0, 500.0]))
    np.testing.assert_allclose(depth_pixel, [345.9243, 257.7707], atol=1e-3)


def test_bumblebee_views(tmp_path: Path) -> None:
    lay_out(tmp_path, points())
    rows = listed(Stb(), tmp_path, StbOptions(part="BB")).to_pylist()
    left, right = (from_row(row) for row in rows)
    assert (left.view, right.view) == ("BB_left", "BB_right")
    assert left.moment == right.moment == "B1Counting/0"
    pinky = INDEX["pinky_mcp"]
    assert left.keypoints_px is not None
    assert right.keypoints_px is not None
    np.testing.assert_allclose(left.keypoints_px[pinky], [334.9293, 283.2246], atol=1e-3)
    np.testing.assert_allclose(right.keypoints_px[pinky], [137.3707, 283.2246], atol=1e-3)


def test_wrist_is_derived_from_the_palm_and_says_so(tmp_path: Path) -> None:
    lay_out(tmp_path, points())
    [row] = listed(Stb(), tmp_path, StbOptions()).to_pylist()
    sample = from_row(row)
    assert sample.joints_mm is not None
    palm, ring = sample.extra["palm_mm"][0], sample.joints_mm[INDEX["ring_mcp"]]
    np.testing.assert_allclose(sample.joints_mm[WRIST], ring + 2 * (palm - ring), atol=1e-3)
    assert sample.joint_state.tolist() == [DERIVED] + [LABELLED] * 20
    assert set(sample.keypoint_state.tolist()) == {DERIVED}


def test_frames_are_numbers_and_views_of_a_frame_share_its_moment(tmp_path: Path) -> None:
    lay_out(tmp_path, points(11))
    table = listed(Stb(), tmp_path, StbOptions(part="both"))
    assert len(table) == 33
    assert table.column("key").to_pylist()[9:12] == [
        "B1Counting/SK_color_9",
        "B1Counting/SK_color_10",
        "B1Counting/BB_left_0",
    ]
    assert table.column("moment").unique().to_pylist() == [f"B1Counting/{i}" for i in range(11)]


def test_splits_and_folders_without_images(tmp_path: Path) -> None:
    for sequence in ("B1Counting", "B1Random", "B2Random", "B6Counting"):
        lay_out(tmp_path, points(), sequence, folder=".")
    table = listed(Stb(), tmp_path, StbOptions())
    split = dict(zip(table.column("sequence").to_pylist(), table.column("split").to_pylist(), strict=True))
    assert split == {"B1Counting": "test", "B1Random": "test", "B2Random": "train", "B6Counting": "train"}
    assert table.column("rgb_file").to_pylist()[0] == "B1Counting/SK_color_0.png"
    Stb().load(tmp_path, table.to_pylist()[0])


@pytest.mark.parametrize(("depth_mm", "red", "green"), [(735, 223, 2), (32769, 1, 128), (65535, 255, 255)])
def test_depth_bytes(tmp_path: Path, depth_mm: int, red: int, green: int) -> None:
    lay_out(tmp_path, points())
    picture = BLANK.copy()
    picture[100, 200] = red, green, 0
    write_png(tmp_path / "images/B1Counting/SK_depth_0.png", picture)
    [row] = listed(Stb(), tmp_path, StbOptions(depth="raw")).to_pylist()
    sample = Stb().load(tmp_path, row)
    assert sample.depth_mm is not None
    assert sample.depth_camera is not None
    assert sample.depth_mm[100, 200] == depth_mm
    assert np.isnan(sample.depth_mm).sum() == 640 * 480 - 1
    Stb().write(tmp_path / "back", [sample], StbOptions())
    np.testing.assert_array_equal(read_raw(tmp_path / "back/images/B1Counting/SK_depth_0.png"), picture)


def test_depth_choices(tmp_path: Path) -> None:
    Stb().write(tmp_path, simulated("stb_sk")[:1], StbOptions())
    loaded = {}
    for depth in ("registered", "raw", "none"):
        [row] = listed(Stb(), tmp_path, StbOptions(depth=depth)).to_pylist()
        loaded[depth] = Stb().load(tmp_path, row)
    assert loaded["none"].depth_mm is None
    assert loaded["raw"].depth_camera == load_manifest("stb").camera("sk_depth")
    registered = loaded["registered"]
    assert registered.depth_camera is None
    assert registered.depth_mm is not None
    # The hand is as large in colour as its fingers' joints are wide, not a scatter of points with holes.
    hand = np.isfinite(registered.depth_mm)
    v, u = np.nonzero(hand)
    inner = hand[v.min() : v.max() + 1, u.min() : u.max() + 1]
    filled = inner[1:-1, 1:-1]
    neighbours = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    assert (neighbours & ~filled).sum() <= 0.001 * filled.sum()


def test_write_inverts_labels_exactly(tmp_path: Path) -> None:
    labels = points(3)
    lay_out(tmp_path / "a", labels)
    rows = listed(Stb(), tmp_path / "a", StbOptions(part="both")).to_pylist()
    Stb().write(tmp_path / "b", (Stb().load(tmp_path / "a", row) for row in rows), StbOptions(part="both"))
    for part in ("SK", "BB"):
        stored = loadmat(tmp_path / f"b/labels/B1Counting_{part}.mat")["handPara"]
        assert stored.shape == (3, 21, 3)
        np.testing.assert_allclose(stored.transpose(2, 1, 0), labels, atol=1e-3)


def test_both_hands_of_one_image_become_two_frames(tmp_path: Path) -> None:
    first = simulated("stb_sk")[0]
    Stb().write(tmp_path, [first, replace(first, key="other")], StbOptions())
    assert len(listed(Stb(), tmp_path, StbOptions())) == 2


@pytest.mark.parametrize(
    ("shape", "says"),
    [((3, 20, 2), r"3 x 21 x N numbers, found 3 x 20 x 2"), ((2, 21, 3), "found 2 x 21 x 3"), ((3, 21, 5), "5 images")],
)
def test_labels_of_another_shape(tmp_path: Path, shape: tuple[int, ...], says: str) -> None:
    lay_out(tmp_path, points(2))
    write_mat(tmp_path / "labels/B1Counting_SK.mat", {"handPara": np.full(shape, 500.0)})
    with pytest.raises(DataError, match=says):
        listed(Stb(), tmp_path, StbOptions())


def test_more_images_than_labels(tmp_path: Path) -> None:
    lay_out(tmp_path, points(2))
    write_png(tmp_path / "images/B1Counting/SK_color_2.png", BLANK)
    with pytest.raises(DataError, match=r"expected 2 images SK_color.*found 3"):
        listed(Stb(), tmp_path, StbOptions())


def test_images_without_labels(tmp_path: Path) -> None:
    lay_out(tmp_path, points())
    (tmp_path / "labels/B1Counting_SK.mat").unlink()
    with pytest.raises(MissingError, match=r"B1Counting_SK\.mat"):
        listed(Stb(), tmp_path, StbOptions())
    assert len(listed(Stb(), tmp_path, StbOptions(part="BB"))) == 2


def test_a_kind_of_image_may_lack_altogether_but_not_in_part(tmp_path: Path) -> None:
    for sequence in ("B1Counting", "B2Counting"):
        lay_out(tmp_path, points(), sequence)
        (tmp_path / f"images/{sequence}/BB_right_0.png").unlink()
    assert len(listed(Stb(), tmp_path, StbOptions(part="BB"))) == 2
    (tmp_path / "images/B2Counting/BB_left_0.png").unlink()
    with pytest.raises(DataError, match=r"BB_left_0\.png"):
        listed(Stb(), tmp_path, StbOptions(part="BB"))
