"""handpose X plus: the real frames and their depth, folders, and files that are not what they seem."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.format import NoOptions
from handsynth.formats.handpose_x_plus import HandposeXPlus, read_points
from handsynth.hand.pose import bone_lengths, chirality, palm_length
from handsynth.hand.rows import column
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_raw, write_jpeg, write_png
from tests.formats.samples import listed, real, simulated

OPTIONS = NoOptions()
POINTS = np.random.default_rng(0).normal([0, 0, 500], 40, (21, 3))


def lay_out(folder: Path, frames: tuple[str, ...] = ("790154000",), depth: bool = True) -> None:
    for frame in frames:
        write_jpeg(folder / f"{frame}_o.jpg", np.full((480, 640, 3), 90, np.uint8))
        if depth:
            write_png(folder / f"{frame}_depth.png", np.full((480, 640), 700, np.uint16))
        lines = ["v " + " ".join(map(str, point)) for point in POINTS.tolist()]
        (folder / f"{frame}_Joint.obj").write_text("\n".join([*lines, ""]))
        (folder / f"{frame}_intrinsics.txt").write_text("498.136505 498.22818 317.334106 233.805847")


def samples(root: Path) -> list[HandSample]:
    return [HandposeXPlus().load(root, row) for row in listed(HandposeXPlus(), root, OPTIONS).to_pylist()]


def test_real_frames_are_right_hands_on_their_depth() -> None:
    root = real("handpose_x_plus")
    table = open_catalogue(HandposeXPlus(), root, OPTIONS).table
    assert table.column("frame").to_pylist()[:2] == ["790154000", "790194000"]
    assert len(table) == 20
    joints, keypoints = column(table, "joints_mm"), column(table, "keypoints_px")
    assert (chirality(joints) > 0.5).all(), "right hands, closed ones (7.1) to open ones (0.6)"
    assert chirality(joints).max() == pytest.approx(7.14, abs=0.01)
    assert ((palm_length(joints) > 95.9) & (palm_length(joints) < 107.6)).all()
    assert bone_lengths(joints).std(0).max() == pytest.approx(3.26, abs=0.01), "the model is fitted anew in each frame"
    assert ((keypoints >= 0) & (keypoints <= [639, 479])).all()
    medians = []
    for row in table.to_pylist():
        sample = HandposeXPlus().load(root, row)
        assert sample.rgb is not None
        assert sample.depth_mm is not None
        assert sample.joints_mm is not None
        assert sample.camera is not None
        assert (sample.rgb.shape, sample.depth_mm.shape) == ((480, 640, 3), (480, 640))
        assert sample.camera.fx == 498.136505
        assert 0.8 < np.isnan(sample.depth_mm).mean() < 0.9
        u, v = np.rint(sample.keypoints_px).astype(int).T  # type: ignore[arg-type]
        behind = sample.joints_mm[:, 2] - sample.depth_mm[v, u]
        assert np.isnan(behind).sum() <= 1
        medians.append(np.nanmedian(behind))
    assert 2.5 < min(medians) < max(medians) < 12.5


def test_real_frame_as_stored() -> None:
    root = real("handpose_x_plus")
    row = listed(HandposeXPlus(), root, OPTIONS).to_pylist()[0]
    sample = HandposeXPlus().load(root, row)
    assert sample.joints_mm is not None
    assert sample.depth_mm is not None
    np.testing.assert_allclose(sample.joints_mm[0], [-21.680666, 73.561241, 475.78595], rtol=1e-6)
    raw = read_raw(root / "790154000_depth.png")
    assert raw.dtype == np.uint16
    np.testing.assert_array_equal(np.nan_to_num(sample.depth_mm), raw)
    words = (sample.key, sample.sequence, sample.moment, sample.split, sample.side)
    assert words == ("case/790154000", "case", "case/790154000", None, "right")


def test_real_frames_come_back(tmp_path: Path) -> None:
    root = real("handpose_x_plus")
    rows = listed(HandposeXPlus(), root, OPTIONS).to_pylist()[:2]
    HandposeXPlus().write(tmp_path, (HandposeXPlus().load(root, row) for row in rows), OPTIONS)
    for frame in ("790154000", "790194000"):
        for ending in ("Joint.obj", "intrinsics.txt"):
            old, new = ((place / f"{frame}_{ending}").read_text().split() for place in (root, tmp_path / "case_000"))
            assert [float(word) for word in new if word != "v"] == pytest.approx(
                [float(word) for word in old if word != "v"], rel=1e-6
            )
        np.testing.assert_array_equal(
            read_raw(root / f"{frame}_depth.png"), read_raw(tmp_path / f"case_000/{frame}_depth.png")
        )


def test_folders_are_sequences_and_frames_go_by_number(tmp_path: Path) -> None:
    inner = tmp_path / "handpose_x_plus_datas"
    lay_out(inner / "case_004", ("1000", "999", "790154000"))
    lay_out(inner / "case_002", ("5",), depth=False)
    (inner / "case_004" / "1000_PinchIndex.txt").write_text("")
    got = samples(tmp_path)
    assert [sample.key for sample in got] == ["case_002/5", "case_004/999", "case_004/1000", "case_004/790154000"]
    assert [sample.depth_mm is None for sample in got] == [True, False, False, False]
    assert [sample.key for sample in samples(inner)] == [sample.key for sample in got]
    HandposeXPlus().write(tmp_path / "back", got, OPTIONS)
    assert [sample.key for sample in samples(tmp_path / "back")] == [
        "case_002/000000005",
        "case_004/000000999",
        "case_004/000001000",
        "case_004/790154000",
    ]


def test_other_sequences_get_folders(tmp_path: Path) -> None:
    one, two, three = simulated("crop")[:3]
    frames = [replace(one, frame="7"), replace(two, frame="7", sequence=one.sequence), replace(three, depth_mm=None)]
    HandposeXPlus().write(tmp_path, frames, OPTIONS)
    keys = [sample.key for sample in samples(tmp_path)]
    assert keys == ["case_000/000000007", "case_000/000000008", "case_001/000000000"]
    assert (tmp_path / "case_000/000000007_gesture.txt").read_text() == "None"


def test_zero_is_no_depth(tmp_path: Path) -> None:
    lay_out(tmp_path)
    picture = np.zeros((480, 640), np.uint16)
    picture[10, 20], picture[11, 20] = 65535, 1
    write_png(tmp_path / "790154000_depth.png", picture)
    [sample] = samples(tmp_path)
    assert sample.depth_mm is not None
    assert np.isfinite(sample.depth_mm).sum() == 2
    assert (sample.depth_mm[10, 20], sample.depth_mm[11, 20]) == (65535, 1)
    write_png(tmp_path / "790154000_depth.png", picture.astype(np.uint8))
    with pytest.raises(DataError, match="16-bit depth image"):
        samples(tmp_path)


def test_points_of_an_obj_file(tmp_path: Path) -> None:
    path = tmp_path / "a_Joint.obj"
    lines = [f"v {i} {i}e0 -{i}.5" for i in range(21)]
    path.write_bytes("\r\n".join(["# made by hand", "", *lines, "f 1 2 3", ""]).encode())
    assert read_points(path).tolist() == [[i, i, -i - 0.5] for i in range(21)]


@pytest.mark.parametrize(
    ("ending", "text", "says"),
    [
        ("Joint.obj", "v 1 2 3\n" * 20, "21 points 'v x y z', found 20"),
        ("Joint.obj", "v 1 2 3\n" * 22, "found 22"),
        ("Joint.obj", "", "found 0"),
        ("Joint.obj", "v 1 2\n" * 21, "3 numbers, found 2"),
        ("Joint.obj", "v 1 2 nan\n" * 21, "finite numbers, found NaN"),
        ("Joint.obj", "v 1 2 x\n" * 21, "3 numbers"),
        ("Joint.obj", "v\x00", "a text file, found binary data"),
        ("intrinsics.txt", "498 498 317", "4 numbers, found 3"),
        ("intrinsics.txt", "0 498 317 233", "focal lengths above 0"),
    ],
)
def test_annotations_of_another_shape(tmp_path: Path, ending: str, text: str, says: str) -> None:
    lay_out(tmp_path)
    (tmp_path / f"790154000_{ending}").write_text(text)
    with pytest.raises(DataError, match=says):
        open_catalogue(HandposeXPlus(), tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("ending", "error", "says"),
    [
        ("o.jpg", DataError, r"the 2 images that its _Joint\.obj files labels, found 1"),
        ("depth.png", DataError, "2_depth.png is the first that lacks"),
        ("intrinsics.txt", MissingError, r"2_intrinsics\.txt of handpose_x_plus"),
    ],
)
def test_partner_files_that_lack(tmp_path: Path, ending: str, error: type[Exception], says: str) -> None:
    lay_out(tmp_path, ("1", "2"))
    (tmp_path / f"2_{ending}").unlink()
    with pytest.raises(error, match=says):
        listed(HandposeXPlus(), tmp_path, OPTIONS)
