"""MSRA15: fixture numbers, a real joint.txt, crops with hostile headers, folds and known bad frames."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handsynth.errors import DataError, UsageError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.manifest import load_manifest
from handsynth.formats.msra15 import Msra15, Msra15Options, read_bin, read_joints, write_bin
from handsynth.hand.joints import INDEX, WRIST
from handsynth.hand.pose import bone_lengths, palm_length, side_share
from handsynth.hand.rows import column, from_row
from tests.formats.samples import listed, real, simulated

CAMERA = load_manifest("msra15").camera("depth")
OPTIONS = Msra15Options()
EMPTY = struct.pack("<6I", 320, 240, 0, 0, 0, 0)


def lay_out(root: Path, joints: bytes, bins: int, place: str = "P0/1") -> Path:
    (root / place).mkdir(parents=True)
    (root / place / "joint.txt").write_bytes(joints)
    for i in range(bins):
        (root / place / f"{i:06d}_depth.bin").write_bytes(EMPTY)
    return root


def lines(count: int, rows: int, end: str = "\n") -> bytes:
    row = " ".join(["10 20 -500"] * 21)
    return end.join([str(count), *[row] * rows, ""]).encode()


def test_signs(tmp_path: Path) -> None:
    table = listed(Msra15(), lay_out(tmp_path, lines(1, 1), 1), OPTIONS)
    sample = from_row(table.to_pylist()[0])
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    np.testing.assert_array_equal(sample.joints_mm[WRIST], [10, -20, 500])
    np.testing.assert_allclose(sample.keypoints_px[WRIST], [164.8284, 110.3432], atol=1e-3)


def test_a_real_joint_file(tmp_path: Path) -> None:
    source = real("msra14") / "joint.txt"
    table = open_catalogue(Msra15(), lay_out(tmp_path, source.read_bytes(), 280), OPTIONS).table
    joints, keypoints = column(table, "joints_mm"), column(table, "keypoints_px")
    assert joints.shape == (280, 21, 3)
    assert side_share(joints) == 1.0
    assert (keypoints >= 0).all()
    assert (keypoints <= [319, 239]).all()
    assert 200 < joints[..., 2].min() < joints[..., 2].max() < 430
    assert ((palm_length(joints) > 50) & (palm_length(joints) < 130)).all()
    rigid = [i for i in range(20) if i + 1 != INDEX["thumb_cmc"]]
    assert bone_lengths(joints)[:, rigid].std(axis=0).max() < 0.01


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_and_trailing_blanks(tmp_path: Path, end: str) -> None:
    (tmp_path / "joint.txt").write_bytes(lines(2, 2, end) + end.encode() * 3)
    assert read_joints(tmp_path / "joint.txt").shape == (2, 21, 3)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (lines(3, 2), r"count line says \('3'\), found 2 rows"),
        (lines(1, 2), "found 2 rows"),
        (b"", "found 0 rows"),
        (lines(-1, 0), "found 0 rows"),
        (lines(99999999999, 1), "found 1 rows"),
        (b"1\n1 2 3\n", "63 numbers in each row, found 3"),
        (b"2\n" + b"1 " * 63 + b"\n" + b"1 " * 62 + b"\n", "63 numbers in each row"),
        (b"1\n" + b"x " * 63, "63 numbers in each row"),
        (b"1\n" + b"nan " * 63, "finite numbers"),
        (b"\xff\xfe\x00", "rows"),
    ],
)
def test_joint_files_that_disagree(tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "joint.txt").write_bytes(text)
    with pytest.raises(DataError, match=says):
        read_joints(tmp_path / "joint.txt")


def test_fewer_depth_files_than_rows(tmp_path: Path) -> None:
    lay_out(tmp_path, lines(3, 3), 2)
    with pytest.raises(DataError, match=r"3 depth files, as joint\.txt labels, found 2"):
        open_catalogue(Msra15(), tmp_path, OPTIONS)


def test_a_small_box(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<f4") + 500
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack("<6I", 320, 240, 100, 50, 103, 52) + values.tobytes())
    depth = read_bin(path, CAMERA)
    assert depth.shape == (240, 320)
    np.testing.assert_array_equal(depth[50:52, 100:103].ravel(), values)
    assert np.isfinite(depth).sum() == 6


@given(
    st.integers(0, 320), st.integers(0, 240), st.integers(0, 40), st.integers(0, 40), st.floats(0, 1), st.integers(0, 9)
)
def test_boxes_round_trip(
    tmp_path_factory: pytest.TempPathFactory, left: int, top: int, width: int, height: int, share: float, seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "box.bin"
    rng = np.random.default_rng(seed)
    depth = np.full((240, 320), np.nan, dtype=np.float32)
    box = depth[top : top + height, left : left + width]
    box[rng.random(box.shape) < share] = 432.1
    write_bin(path, depth)
    np.testing.assert_array_equal(read_bin(path, CAMERA), depth)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6), st.binary(max_size=64))
def test_hostile_headers_are_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, header: list[int], rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.bin"
    for numbers in (header, [320, 240, *header[2:]]):
        path.write_bytes(struct.pack("<6I", *numbers) + rest)
        width, height, left, top, right, bottom = numbers
        try:
            depth = read_bin(path, CAMERA)
        except DataError:
            continue
        assert depth.shape == (height, width) == (240, 320)
        assert (right - left) * (bottom - top) * 4 == len(rest)


@pytest.mark.parametrize(
    "header",
    [
        (320, 240, 100, 50, 99, 52),  # right of its right
        (320, 240, 2**32 - 10, 0, 2**32 - 1, 240),  # negative as signed
        (320, 240, 0, 0, 320, 240),  # larger than the file
        (640, 480, 0, 0, 1, 1),
        (2**32 - 1, 2**32 - 1, 0, 0, 2**32 - 1, 2**32 - 1),
    ],
)
def test_known_bad_headers(tmp_path: Path, header: tuple[int, ...]) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(struct.pack("<6I", *header) + bytes(4))
    with pytest.raises(DataError):
        read_bin(path, CAMERA)


def test_folds(tmp_path: Path) -> None:
    for place in ("P0/1", "P0/TIP", "P3/1", "P8/Y"):
        lay_out(tmp_path, lines(1, 1), 1, place)

    def split(options: Msra15Options) -> dict[str, str]:
        table = listed(Msra15(), tmp_path, options)
        return dict(zip(table.column("key").to_pylist(), table.column("split").to_pylist(), strict=True))

    keys = ["P0/1/000000", "P0/TIP/000000", "P3/1/000000", "P8/Y/000000"]
    assert split(OPTIONS) == dict(zip(keys, ["test", "test", "train", "train"], strict=True))
    assert split(Msra15Options(test_subject="P3")) == dict(zip(keys, ["train", "train", "test", "train"], strict=True))
    with pytest.raises(UsageError, match="P0 to P8"):
        split(Msra15Options(test_subject="P9"))


def test_known_bad_frames_are_kept_and_marked(tmp_path: Path) -> None:
    lay_out(tmp_path, lines(175, 175), 175, "P2/TIP")
    rows = listed(Msra15(), tmp_path, OPTIONS).to_pylist()
    marked = [i for i, row in enumerate(rows) if dict(row["extra"]) == {"known_bad": [1.0]}]
    assert marked == [127, 172, 173, 174]
    assert len(rows) == 175


def test_known_bad_frames_of_the_manifest() -> None:
    manifest = load_manifest("msra15")
    # 126 in the published validity masks, and two of DeepPrior++ that are not among them.
    assert sum(len(manifest.bad_frames(place)) for place in manifest.known_bad) == 128
    assert manifest.bad_frames("P3/T") == {120, 489}
    assert manifest.bad_frames("P0/1") == frozenset()


def test_depth_is_cut_to_the_hand(tmp_path: Path) -> None:
    sample = simulated("rhd")[0]
    assert sample.depth_mm is not None
    assert sample.mask is not None
    Msra15().write(tmp_path, [sample, replace(sample, mask=None)], OPTIONS)
    cut, whole = (Msra15().load(tmp_path, row).depth_mm for row in listed(Msra15(), tmp_path, OPTIONS).to_pylist())
    assert cut is not None
    assert whole is not None
    assert 0 < np.isfinite(cut).sum() < np.isfinite(whole).sum()


def test_an_empty_frame_is_refused(tmp_path: Path) -> None:
    """Some files of the real dataset hold no measurement at all."""
    lay_out(tmp_path, lines(1, 1), 1)
    [row] = listed(Msra15(), tmp_path, OPTIONS).to_pylist()
    with pytest.raises(DataError, match="expected depth of a hand, found no measurement"):
        Msra15().load(tmp_path, row)
    sample = simulated("msra15")[0]
    assert sample.depth_mm is not None
    with pytest.raises(DataError, match="expected depth of a hand"):
        Msra15().write(tmp_path, [replace(sample, depth_mm=np.full_like(sample.depth_mm, np.nan))], OPTIONS)
