"""NYU: fixture numbers, a real depth frame, the whole test ground truth, states, rows and files that disagree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.manifest import load_manifest
from handsynth.formats.matfiles import write_mat
from handsynth.formats.nyu import Nyu, NyuOptions, read_points
from handsynth.hand.joints import INDEX, JOINTS, MIDDLE_MCP, WRIST
from handsynth.hand.rows import column, from_row
from handsynth.hand.sample import DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import join_bytes, read_raw, write_png
from tests.formats.samples import listed, real, simulated

MANIFEST = load_manifest("nyu")
CAMERA = MANIFEST.camera("kinect")
OPTIONS = NyuOptions()
BLANK = np.zeros((480, 640, 3), dtype=np.uint8)
UNIT = np.array([1.0, -1.0, 1.0])


def some_points(frames: int) -> np.ndarray:
    """(3, F, 36, 3) ``joint_xyz`` of three cameras, mm, y up."""
    return np.random.default_rng(0).normal(0, 40, (3, frames, 36, 3)) + np.array([0, 0, 700])


def projected(points: np.ndarray) -> np.ndarray:
    """``joint_uvd`` by the publishers' formula."""
    x, y, z = np.moveaxis(points, -1, 0)
    return np.stack([588.036865 * x / z + 320, 240 - 587.075073 * y / z, z], axis=-1)


def write_labels(folder: Path, points: np.ndarray, uvd: np.ndarray | None = None) -> None:
    names = np.array([MANIFEST.source_words], dtype=object)
    uvd = projected(points) if uvd is None else uvd
    write_mat(folder / "joint_data.mat", {"joint_names": names, "joint_xyz": points, "joint_uvd": uvd})


def lay_out(root: Path, points: np.ndarray, part: str = "test", kinds: tuple[str, ...] = ("rgb", "depth")) -> Path:
    folder = root / "dataset" / part
    write_labels(folder, points)
    for kind in kinds:
        for camera in (1, 2, 3):
            for n in range(points.shape[1]):
                (folder / f"{kind}_{camera}_{n + 1:07d}.png").touch()
    return root


def ground_truth() -> np.ndarray:
    """(8252, 14, 3) u, v, d of the real test frames."""
    return np.loadtxt(real("nyu") / "nyu_test_groundtruth_label.txt").reshape(-1, 14, 3)


def in_36(uvd: np.ndarray) -> np.ndarray:
    """(3, N, 36, 3) ``joint_xyz`` with the 14 real points of camera 1 in their places, the others at the palm."""
    points = CAMERA.lift(uvd[..., :2], uvd[..., 2]) * UNIT
    out = np.repeat(points[:, 13:], 36, axis=1)
    out[:, MANIFEST.scored] = points
    return np.stack([out] * 3)


def test_signs(tmp_path: Path) -> None:
    points = some_points(1)
    points[0, 0, 0] = 10, 20, 500
    [row] = listed(Nyu(), lay_out(tmp_path, points), OPTIONS).to_pylist()
    sample = from_row(row)
    tip = INDEX["pinky_tip"]
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    np.testing.assert_array_equal(sample.joints_mm[tip], [10, -20, 500])
    np.testing.assert_allclose(sample.keypoints_px[tip], [331.7607, 216.5170], atol=1e-3)
    np.testing.assert_allclose(sample.projected()[tip], [331.7607, 216.5170], atol=1e-3)  # type: ignore[index]
    np.testing.assert_allclose(sample.extra["nyu_mm"][0], [10, -20, 500])


@pytest.mark.parametrize(
    ("stored", "depth_mm"),
    [((0, 2, 223), 735), ((0, 7, 209), np.nan), ((0, 0, 0), np.nan), ((0, 255, 255), 65535), ((0, 7, 208), 2000)],
)
def test_depth_bytes(tmp_path: Path, stored: tuple[int, int, int], depth_mm: float) -> None:
    lay_out(tmp_path, some_points(1), kinds=("depth",))
    picture = BLANK.copy()
    picture[100, 200] = stored
    write_png(tmp_path / "dataset/test/depth_1_0000001.png", picture)
    [row] = listed(Nyu(), tmp_path, OPTIONS).to_pylist()
    sample = Nyu().load(tmp_path, row)
    assert sample.rgb is None
    assert sample.depth_mm is not None
    np.testing.assert_array_equal(sample.depth_mm[100, 200], np.float32(depth_mm))
    assert np.isfinite(sample.depth_mm).sum() == np.isfinite(depth_mm)


def test_the_real_depth_frame(tmp_path: Path) -> None:
    """731 to 2001 mm with 60.9 % background, and the joints inside the hand: decode and labels fit each other."""
    frame = (real("nyu") / "depth_1_0000001.png").read_bytes()
    uvd = ground_truth()[:1]
    lay_out(tmp_path, in_36(uvd), kinds=("depth",))
    path = tmp_path / "dataset/test/depth_1_0000001.png"
    path.write_bytes(frame)
    picture = read_raw(path)
    assert not picture[..., 0].any()
    whole = join_bytes(picture[..., 1], picture[..., 2])
    assert (whole.min(), whole.max()) == (731, 2001)
    [row] = listed(Nyu(), tmp_path, OPTIONS).to_pylist()
    sample = Nyu().load(tmp_path, row)
    depth = sample.depth_mm
    assert depth is not None
    assert np.nanmin(depth) == 731
    assert np.nanmax(depth) < 2001
    assert np.isnan(depth).mean() == pytest.approx(0.609, abs=5e-4)
    at = np.rint(sample.extra["nyu_mm"] @ CAMERA.matrix.T)
    pixels = np.rint(at[:, :2] / at[:, 2:]).astype(int)[MANIFEST.scored]
    behind = uvd[0, :, 2] - depth[pixels[:, 1], pixels[:, 0]]
    assert depth[pixels[0, 1], pixels[0, 0]] == 731
    assert (behind.min(), behind.max()) == (pytest.approx(2.6, abs=0.1), pytest.approx(32.8, abs=0.1))
    assert behind.mean() == pytest.approx(13.1, abs=0.1)


def test_the_real_ground_truth(tmp_path: Path) -> None:
    """Ranges, side, two subjects and three scales of the whole test split."""
    uvd = ground_truth()
    np.testing.assert_allclose(uvd[0, 0], [169.221, 199.638, 736.417])
    write_labels(tmp_path / "test", in_36(uvd))
    for n in range(len(uvd)):
        (tmp_path / f"test/depth_1_{n + 1:07d}.png").touch()
    table = open_catalogue(Nyu(), tmp_path, OPTIONS).table
    assert len(table) == 8252
    rows = table.select(["subject", "sequence", "split", "extra"]).to_pylist()
    stored = np.array([dict(row["extra"])["nyu_mm"] for row in rows]).reshape(-1, 36, 3)[:, MANIFEST.scored]
    pixels = CAMERA.project(stored)
    np.testing.assert_allclose(pixels, uvd[..., :2], atol=1e-3)
    assert np.floor(pixels.min((0, 1))).tolist() == [109, 104]
    assert np.ceil(pixels.max((0, 1))).tolist() == [486, 426]
    assert (round(stored[..., 2].min()), round(stored[..., 2].max())) == (518, 1169)
    # The 14 points lack MCP and DIP: palm, PIP and tip stand in for the bones.
    across = stored[:, 7] - stored[:, 1]
    bends = sum(
        (np.cross(unit(stored[:, pip] - stored[:, 13]), unit(stored[:, tip] - stored[:, pip])) * unit(across)).sum(-1)
        for tip, pip in ((0, 1), (2, 3), (4, 5), (6, 7))
    )
    assert np.mean(bends > 0) == pytest.approx(0.958, abs=5e-4)
    subjects, sequences = np.array([row["subject"] for row in rows]), np.array([row["sequence"] for row in rows])
    assert np.flatnonzero(subjects[1:] != subjects[:-1]).tolist() == [2439]
    assert np.flatnonzero(sequences[1:] != sequences[:-1]).tolist() == [2439, 3135]
    palm = np.linalg.norm(stored[:, 13] - stored[:, 11], axis=-1)
    across_palm = np.linalg.norm(stored[:, 12] - stored[:, 11], axis=-1)
    for name, length in (("test_1", 81.3), ("test_2", 70.6), ("test_3", 67.3)):
        assert palm[sequences == name].mean() == pytest.approx(length, abs=0.05)
        assert palm[sequences == name].std() < 0.1
    assert across_palm[subjects == "test_1"].mean() == pytest.approx(35.3, abs=0.05)
    assert across_palm[subjects == "test_2"].mean() == pytest.approx(29.4, abs=0.05)
    assert np.linalg.norm(stored[0, 12] - stored[0, 10]) < np.linalg.norm(stored[0, 11] - stored[0, 10])


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def test_evaluation_subset() -> None:
    assert MANIFEST.scored.tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24, 25, 27, 30, 31, 32]
    words = [MANIFEST.source_words[place] for place in MANIFEST.scored]
    assert words[:2] == ["F1_KNU3_A", "F1_KNU2_B"]
    assert words[8:] == ["TH_KNU3_A", "TH_KNU3_B", "TH_KNU2_B", "PALM_1", "PALM_2", "PALM_3"]


def test_bases_are_b_points_and_tips_are_a_points() -> None:
    words = {joint: MANIFEST.source_words[place] for joint, place in zip(JOINTS, MANIFEST.order, strict=True)}
    for finger, code in (("pinky", "F1"), ("ring", "F2"), ("middle", "F3"), ("index", "F4")):
        parts = [words[f"{finger}_{part}"] for part in ("mcp", "pip", "dip", "tip")]
        assert parts == [f"{code}_KNU1_B", f"{code}_KNU2_B", f"{code}_KNU3_B", f"{code}_KNU3_A"]
    thumb = [words[f"thumb_{part}"] for part in ("cmc", "mcp", "ip", "tip")]
    assert thumb == ["TH_KNU1_B", "TH_KNU2_B", "TH_KNU3_B", "TH_KNU3_A"]


def test_the_wrist_is_derived_and_says_so(tmp_path: Path) -> None:
    points = some_points(2)
    table = listed(Nyu(), lay_out(tmp_path, points), OPTIONS)
    sample = from_row(table.to_pylist()[1])
    assert sample.joints_mm is not None
    np.testing.assert_allclose(sample.joints_mm[WRIST], points[0, 1, 30:32].mean(0) * UNIT, atol=1e-3)
    assert sample.joint_state.tolist() == sample.keypoint_state.tolist() == [DERIVED] + [LABELLED] * 20
    np.testing.assert_allclose(sample.keypoints_px, sample.projected(), atol=1e-2)
    np.testing.assert_allclose(sample.extra["palm_mm"], points[0, 1, 32:33] * UNIT, atol=1e-3)


def test_2d_joints_are_the_publishers_own(tmp_path: Path) -> None:
    """Shifted ``joint_uvd`` must show against the 3-D joints, or reprojection would check nothing."""
    points = some_points(1)
    lay_out(tmp_path, points)
    write_labels(tmp_path / "dataset/test", points, projected(points) + np.array([5, 0, 0]))
    sample = from_row(listed(Nyu(), tmp_path, OPTIONS).to_pylist()[0])
    off = sample.keypoints_px - sample.projected()  # type: ignore[operator]
    np.testing.assert_allclose(off[1:], np.broadcast_to([5, 0], (20, 2)), atol=1e-3)
    np.testing.assert_allclose(off[WRIST], 0, atol=1e-3)


def test_cameras_parts_and_words(tmp_path: Path) -> None:
    points = some_points(3)
    lay_out(tmp_path, points, "train")
    lay_out(tmp_path, points[:, :2], "test")
    for n in range(2):
        (tmp_path / f"dataset/test/synthdepth_1_{n + 1:07d}.png").touch()
    tables = {camera: listed(Nyu(), tmp_path, NyuOptions(camera=camera)) for camera in (1, 2, 3)}
    table = tables[2]
    assert table.column("split").to_pylist() == ["train"] * 3 + ["test"] * 2
    row = table.to_pylist()[4]
    assert row["key"] == "test/2_0000002"
    assert row["rgb_file"] == "dataset/test/rgb_2_0000002.png"
    assert row["depth_file"] == "dataset/test/depth_2_0000002.png"
    assert (row["side"], row["mirrored"], row["view"]) == ("right", True, "2")
    assert (row["subject"], row["sequence"]) == (None, "test"), "rows of another length say nothing of subjects"
    for camera, each in tables.items():
        assert each.column("moment").equals(table.column("moment"))
        tips = column(each, "joints_mm")[:, INDEX["pinky_tip"]]
        np.testing.assert_allclose(tips[3:], points[camera - 1, :2, 0] * UNIT, atol=1e-3)


@pytest.mark.parametrize("top", [".", "dataset"])
def test_one_part_and_one_kind_of_image_are_enough(tmp_path: Path, top: str) -> None:
    lay_out(tmp_path, some_points(2), kinds=("depth",))
    root = tmp_path / top
    table = listed(Nyu(), root, OPTIONS)
    assert table.column("rgb_file").null_count == 2
    assert (root / table.column("depth_file")[0].as_py()).is_file()


def test_black_holes_of_colour_stay(tmp_path: Path) -> None:
    lay_out(tmp_path, some_points(1))
    picture = np.full_like(BLANK, 90)
    picture[10:20, 30:50] = 0
    for kind in ("rgb", "depth"):
        write_png(tmp_path / f"dataset/test/{kind}_1_0000001.png", picture)
    sample = Nyu().load(tmp_path, listed(Nyu(), tmp_path, OPTIONS).to_pylist()[0])
    np.testing.assert_array_equal(sample.rgb, picture)


def test_write_inverts_the_labels(tmp_path: Path) -> None:
    points = some_points(3)
    lay_out(tmp_path / "a", points)
    for n in range(3):
        for kind in ("rgb", "depth"):
            write_png(tmp_path / f"a/dataset/test/{kind}_2_{n + 1:07d}.png", BLANK)
    options = NyuOptions(camera=2)
    rows = listed(Nyu(), tmp_path / "a", options).to_pylist()
    Nyu().write(tmp_path / "b", (Nyu().load(tmp_path / "a", row) for row in rows), options)
    stored = loadmat(tmp_path / "b/dataset/test/joint_data.mat")
    assert stored["joint_xyz"].shape == stored["joint_uvd"].shape == (3, 3, 36, 3)
    assert [str(name[0]) for name in stored["joint_names"].ravel()] == list(MANIFEST.source_words)
    np.testing.assert_allclose(stored["joint_xyz"][1], points[1], atol=1e-3)
    np.testing.assert_allclose(stored["joint_uvd"][1], projected(points)[1], atol=1e-3)
    assert np.isnan(stored["joint_xyz"][[0, 2]]).all()
    background = read_raw(tmp_path / "b/dataset/test/depth_2_0000001.png")
    assert (background == [0, 7, 209]).all()


def test_points_that_other_datasets_lack_are_derived(tmp_path: Path) -> None:
    sample = simulated("rhd")[0]
    Nyu().write(tmp_path, [sample], OPTIONS)
    [row] = listed(Nyu(), tmp_path, OPTIONS).to_pylist()
    got = from_row(row)
    points = dict(zip(MANIFEST.source_words, got.extra["nyu_mm"], strict=True))
    assert got.joints_mm is not None
    for finger, code in (("index", "F4"), ("pinky", "F1")):
        mcp, pip, dip = (got.joints_mm[INDEX[f"{finger}_{part}"]] for part in ("mcp", "pip", "dip"))
        np.testing.assert_allclose(points[f"{code}_KNU1_A"], (mcp + pip) / 2, atol=1e-3)
        np.testing.assert_allclose(points[f"{code}_KNU2_A"], (pip + dip) / 2, atol=1e-3)
    # The proportions of the real test labels: 35.3 to 81.3, and both lower points as far from the upper one.
    one, two, three = (points[f"PALM_{i}"] for i in (1, 2, 3))
    assert np.linalg.norm(one - two) / np.linalg.norm(one - three) == pytest.approx(0.435, abs=0.01)
    assert np.linalg.norm(two - three) == pytest.approx(np.linalg.norm(one - three), rel=1e-3)
    little, index = got.joints_mm[INDEX["pinky_mcp"]], got.joints_mm[INDEX["index_mcp"]]
    assert np.linalg.norm(one - little) < np.linalg.norm(two - little)
    assert np.linalg.norm(one - index) > np.linalg.norm(two - index)
    wrist_to_knuckle = np.linalg.norm(got.joints_mm[MIDDLE_MCP] - got.joints_mm[WRIST])
    assert 0.6 < np.linalg.norm(three - got.joints_mm[WRIST]) / wrist_to_knuckle < 0.8


def test_far_depth_becomes_background(tmp_path: Path) -> None:
    sample = simulated("rhd")[0]
    depth = np.full((320, 320), np.nan, dtype=np.float32)
    depth[:160] = 2600
    depth[160:] = 1999.6
    Nyu().write(tmp_path, [replace(sample, depth_mm=depth)], OPTIONS)
    loaded = Nyu().load(tmp_path, listed(Nyu(), tmp_path, OPTIONS).to_pylist()[0]).depth_mm
    assert loaded is not None
    assert set(np.unique(loaded[np.isfinite(loaded)])) == {2000.0}


def test_samples_of_unequal_images_are_refused(tmp_path: Path) -> None:
    first, second = simulated("rhd")[:2]
    with pytest.raises(DataError, match="depth_mm to write nyu"):
        Nyu().write(tmp_path / "a", [first, replace(second, depth_mm=None)], OPTIONS)
    Nyu().write(tmp_path / "b", [replace(first, rgb=None), second], OPTIONS)
    assert listed(Nyu(), tmp_path / "b", OPTIONS).column("rgb_file").null_count == 2


def damaged(name: str, value: np.ndarray | None) -> dict[str, np.ndarray]:
    points = some_points(2)
    whole = {
        "joint_names": np.array([MANIFEST.source_words], dtype=object),
        "joint_xyz": points,
        "joint_uvd": projected(points),
    }
    whole.pop(name)
    return whole if value is None else whole | {name: value}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("joint_uvd", None, "the variable joint_uvd"),
        ("joint_xyz", some_points(2)[..., :2], "N x 36 x 3 numbers, found 2 x 36 x 2"),
        ("joint_xyz", some_points(2)[:2], "3 x N x 36 x 3 numbers, found 2 x 2 x 36 x 3"),
        ("joint_xyz", some_points(2)[0], "3 x N x 36 x 3 numbers, found 2 x 36 x 3"),
        ("joint_xyz", some_points(2)[:, :, :14], "found 2 x 14 x 3"),
        ("joint_xyz", np.full((3, 2, 36, 3), np.nan), "finite numbers in joint_xyz of camera 1"),
        ("joint_xyz", np.full((3, 2, 36, 3), "a"), "found 2 x 36 x 3 of|numbers, found"),
        ("joint_uvd", projected(some_points(3)), "2 rows of joint_uvd, as of joint_xyz, found 3"),
        ("joint_names", np.array([MANIFEST.source_words[::-1]], dtype=object), "found PALM_6 for F1_KNU3_A"),
        ("joint_names", np.array([MANIFEST.source_words[:14]], dtype=object), "found 14 joints"),
        ("joint_names", np.zeros((1, 36)), "joint_names as words"),
    ],
)
def test_label_files_of_another_kind(tmp_path: Path, name: str, value: np.ndarray | None, says: str) -> None:
    write_mat(tmp_path / "joint_data.mat", damaged(name, value))
    with pytest.raises(DataError, match=says):
        read_points(tmp_path / "joint_data.mat", 1)


def test_rows_and_files_that_disagree(tmp_path: Path) -> None:
    lay_out(tmp_path, some_points(3), kinds=("depth",))
    folder = tmp_path / "dataset/test"
    (folder / "depth_1_0000004.png").touch()
    with pytest.raises(DataError, match=r"expected 3 images depth_1.*found 4"):
        listed(Nyu(), tmp_path, OPTIONS)
    (folder / "depth_1_0000004.png").unlink()
    (folder / "depth_1_0000001.png").rename(folder / "depth_1_0000000.png")  # numbered from 0 by somebody
    with pytest.raises(DataError, match=r"expected the 3 images.*depth_1_0000001\.png is the first that lacks"):
        listed(Nyu(), tmp_path, OPTIONS)


def test_what_a_partial_download_lacks_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path, some_points(1), kinds=("rgb",))
    (tmp_path / "dataset/test/joint_data.mat").rename(tmp_path / "elsewhere.mat")
    with pytest.raises(MissingError, match=r"dataset/test/joint_data\.mat of nyu"):
        listed(Nyu(), tmp_path, OPTIONS)
    for image in (tmp_path / "dataset/test").glob("rgb_3_*"):
        image.unlink()
    with pytest.raises(MissingError, match=r"images like dataset/test/depth_3_0000001\.png"):
        listed(Nyu(), tmp_path, NyuOptions(camera=3))


def test_a_depth_image_of_another_kind(tmp_path: Path) -> None:
    lay_out(tmp_path, some_points(1), kinds=("depth",))
    path = tmp_path / "dataset/test/depth_1_0000001.png"
    [row] = listed(Nyu(), tmp_path, OPTIONS).to_pylist()
    for picture in (np.zeros((480, 640), np.uint16), np.zeros((480, 640, 4), np.uint8), np.zeros((480, 640), np.uint8)):
        write_png(path, picture)
        with pytest.raises(DataError, match="8-bit depth image of 3 channels"):
            Nyu().load(tmp_path, row)
    write_png(path, BLANK[:240])
    with pytest.raises(DataError, match="640 x 480 px, found 640 x 240"):
        Nyu().load(tmp_path, row)


def test_a_sample_without_any_image_is_refused(tmp_path: Path) -> None:
    sample: HandSample = replace(simulated("rhd")[0], rgb=None, depth_mm=None)
    with pytest.raises(DataError, match="rgb to write nyu"):
        Nyu().write(tmp_path, [sample], OPTIONS)
