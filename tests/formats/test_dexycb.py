"""DexYCB: official splits, views and their common frame, frames without labels, labels that are not what they seem."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.arrayfiles import read_npz, write_npz
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.dexycb import DexYcb, DexYcbOptions
from handsynth.formats.dexycb_rules import official_split
from handsynth.formats.manifest import load_manifest
from handsynth.formats.yamlfiles import read_yaml, write_yaml
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import HAND, JOINTS
from handsynth.hand.rows import column, from_row
from handsynth.hand.sample import ABSENT, LABELLED, HandSample
from handsynth.imaging.codecs import write_jpeg, write_png
from handsynth.runtime import progress
from tests.formats.samples import listed, simulated

OPTIONS = DexYcbOptions()
SUBJECTS, SERIALS = (load_manifest("dexycb").groups[name] for name in ("subjects", "serials"))
SUBJECT, SEQUENCE = SUBJECTS[0], "20200709_141754"
CAMERA = Camera(610.0, 611.0, 315.0, 245.0, 640, 480)
ROTATION = RigidTransform.of(np.array([0.1, -0.4, 0.2]), np.array([300.0, -20.0, 55.0]))
BLANK = np.zeros((480, 640, 3), np.uint8)


def joints(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.04, (21, 3)) + np.array([0, 0, 0.7])


def labels(points: np.ndarray | None, **changes: Any) -> dict[str, np.ndarray]:
    arrays = {
        "seg": np.zeros((480, 640), np.uint8),
        "pose_y": np.zeros((4, 3, 4), np.float32),
        "pose_m": np.zeros((1, 51), np.float32),
        "joint_3d": np.full((1, 21, 3), -1, np.float32),
        "joint_2d": np.full((1, 21, 2), -1, np.float32),
    }
    if points is not None:
        arrays["joint_3d"] = points[None].astype(np.float32)
        arrays["joint_2d"] = CAMERA.project(points)[None].astype(np.float32)
    return arrays | changes


def lay_out(
    root: Path,
    frames: dict[str, list[np.ndarray | None]],
    sequence: str = SEQUENCE,
    subject: str = SUBJECT,
    side: str = "right",
) -> Path:
    """One sequence by hand: for each serial its frames' joints (21, 3) m, None where the publishers have no label."""
    for serial, poses in frames.items():
        for i, pose in enumerate(poses):
            folder = root / subject / sequence / serial
            write_jpeg(folder / f"color_{i:06d}.jpg", BLANK)
            write_png(folder / f"aligned_depth_to_color_{i:06d}.png", np.zeros((480, 640), np.uint16))
            write_npz(folder / f"labels_{i:06d}.npz", labels(pose))
        intrinsics = {"fx": CAMERA.fx, "fy": CAMERA.fy, "ppx": CAMERA.cx, "ppy": CAMERA.cy}
        write_yaml(
            root / "calibration/intrinsics" / f"{serial}_640x480.yml",
            {"color": intrinsics, "depth": {"fx": 1.0, "fy": 1.0, "ppx": 0.0, "ppy": 0.0}},
        )
    meta = {
        "serials": list(frames),
        "num_frames": max(len(poses) for poses in frames.values()),
        "extrinsics": "20200702_151821",
        "mano_sides": [side],
        "mano_calib": ["20200709_140042_subject-01_right"],
        "ycb_ids": [1, 5],
        "ycb_grasp_ind": 0,
    }
    write_yaml(root / subject / sequence / "meta.yml", meta)
    return root


def table_of(root: Path, options: DexYcbOptions = OPTIONS) -> Any:
    return listed(DexYcb(), root, options)


def label_file(root: Path) -> Path:
    return root / SUBJECT / SEQUENCE / SERIALS[0] / "labels_000000.npz"


@contextmanager
def said() -> Any:
    lines: list[str] = []

    class Listener(progress.Silent):
        def say(self, text: str) -> None:
            lines.append(text)

    with progress.show(Listener()):
        yield lines


def test_projected_joints_are_the_labelled_ones(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    [row] = table_of(tmp_path).to_pylist()
    sample = from_row(row)
    assert sample.key == f"{SUBJECT}/{SEQUENCE}/{SERIALS[0]}/000000"
    assert (sample.subject, sample.sequence, sample.view, sample.frame) == (SUBJECT, SEQUENCE, SERIALS[0], "000000")
    assert (sample.side, sample.camera) == ("right", CAMERA)
    np.testing.assert_allclose(sample.joints_mm, joints() * 1000, rtol=1e-6)
    np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=0.01)  # type: ignore[arg-type]
    assert set(sample.joint_state) == set(sample.keypoint_state) == {LABELLED}
    assert load_manifest("dexycb").joints == JOINTS


def test_frames_without_a_labelled_hand_stay(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [None, joints()]})
    first, second = (from_row(row) for row in table_of(tmp_path).to_pylist())
    assert set(first.joint_state) == set(first.keypoint_state) == {ABSENT}
    assert first.joints_mm is not None
    assert np.isnan(first.joints_mm).all()
    assert set(second.joint_state) == {LABELLED}
    assert DexYcb().load(tmp_path, table_of(tmp_path).to_pylist()[0]).mask is not None


def test_hands_keep_the_side_of_their_sequence(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]}, side="left")
    assert table_of(tmp_path).column("side").to_pylist() == ["left"]


def test_segmentation_and_depth(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    seg, depth = np.zeros((480, 640), np.uint8), np.zeros((480, 640), np.uint16)
    seg[0, :4] = 0, 1, 21, 255
    depth[0, :3] = 1, 735, 65535
    write_npz(label_file(tmp_path), labels(joints(), seg=seg))
    write_png(label_file(tmp_path).with_name("aligned_depth_to_color_000000.png"), depth)
    sample = DexYcb().load(tmp_path, table_of(tmp_path).to_pylist()[0])
    assert sample.mask is not None
    assert sample.depth_mm is not None
    assert sample.mask[0, :4].tolist() == [0, 0, 0, HAND]
    assert sample.depth_mm[0, :3].tolist() == [1, 735, 65535]
    assert np.isfinite(sample.depth_mm).sum() == 3


def test_views_of_a_moment_meet_in_the_common_frame(tmp_path: Path) -> None:
    """Extrinsics lead from the camera to the common frame, in metres."""
    world = joints()
    second = ROTATION.inverse().apply(world * 1000) / 1000
    lay_out(tmp_path, {SERIALS[0]: [world, world], SERIALS[1]: [second, second], SERIALS[2]: [world]})
    matrix = np.column_stack([np.array(ROTATION.rotation), np.array(ROTATION.translation_mm) / 1000])
    write_yaml(
        tmp_path / "calibration/extrinsics_20200702_151821/extrinsics.yml",
        {
            "master": SERIALS[0],
            "extrinsics": {
                SERIALS[0]: [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
                SERIALS[1]: matrix.ravel().tolist(),
                "apriltag": [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            },
        },
    )
    samples = [from_row(row) for row in table_of(tmp_path).to_pylist()]
    assert len(samples) == 5
    assert {sample.moment for sample in samples} == {f"{SUBJECT}/{SEQUENCE}/{i:06d}" for i in range(2)}
    for sample in samples[:4]:
        assert sample.world_from_camera is not None
        assert sample.joints_mm is not None
        np.testing.assert_allclose(sample.world_from_camera.apply(sample.joints_mm), world * 1000, atol=1e-3)
    assert samples[2].world_from_camera is not None
    np.testing.assert_allclose(samples[2].world_from_camera.translation_mm, ROTATION.translation_mm, atol=1e-9)
    assert samples[4].world_from_camera is None


def chosen(setup: Any, split: str) -> set[tuple[int, int, int]]:
    everything = ((s, c, i) for s in range(10) for c in range(8) for i in range(100))
    return {place for place in everything if official_split(setup, *place) == split}


def test_official_splits() -> None:
    """The toolkit's lists of subjects, cameras and sequences."""
    for setup in ("s0", "s1", "s2", "s3"):
        parts = [chosen(setup, split) for split in ("train", "val", "test")]
        assert sum(map(len, parts)) == len(set().union(*parts)) == 8000
    assert {i for _, _, i in chosen("s0", "train")} == {i for i in range(100) if i % 5 != 4}
    assert {s for s, _, _ in chosen("s0", "val")} == {0, 1}
    assert {s for s, _, _ in chosen("s0", "test")} == set(range(2, 10))
    assert {i for _, _, i in chosen("s0", "test")} == {i for i in range(100) if i % 5 == 4}
    assert [{s for s, _, _ in chosen("s1", split)} for split in ("train", "val", "test")] == [
        {0, 1, 2, 3, 4, 5, 9},
        {6},
        {7, 8},
    ]
    assert [{c for _, c, _ in chosen("s2", split)} for split in ("train", "val", "test")] == [set(range(6)), {6}, {7}]
    assert {i // 5 for _, _, i in chosen("s3", "val")} == {3, 19}
    assert {i // 5 for _, _, i in chosen("s3", "test")} == {7, 11, 15}
    assert len(chosen("s0", "train")) == 10 * 8 * 80
    assert load_manifest("dexycb").counts["s0_train_samples"] == 465_504


def test_the_place_of_a_sequence_goes_by_name_among_a_hundred(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]}, sequence="20200709_150004")
    for i in range(100):
        if i != 4:
            lay_out(tmp_path, {SERIALS[0]: []}, sequence=f"20200709_1500{i:02d}")
    for setup, split in (("s0", "val"), ("s1", "train"), ("s2", "train"), ("s3", "train")):
        with said() as lines:
            table = table_of(tmp_path, DexYcbOptions(split=setup))  # type: ignore[arg-type]
        assert table.column("split").to_pylist() == [split]
        assert not lines


def test_splits_of_a_partial_subject_are_not_guessed(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    for setup, split in (("s0", None), ("s1", "train"), ("s2", "train"), ("s3", None)):
        with said() as lines:
            assert table_of(tmp_path, DexYcbOptions(split=setup)).column("split").to_pylist() == [split]  # type: ignore[arg-type]
        assert any(SUBJECT in line and "not known" in line for line in lines) == (split is None)


def test_frames_that_a_download_lacks_are_counted(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()] * 3, SERIALS[1]: [joints()]})
    with said() as lines:
        assert len(table_of(tmp_path)) == 4
    assert lines[0] == "dexycb: 2 of the 6 frames that meta.yml files count are not here"


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        ("color_000001.jpg", r"expected the 3 images .*found 2 \(color_000001\.jpg"),
        ("aligned_depth_to_color_000002.png", r"found 2 \(aligned_depth_to_color_000002\.png"),
        ("labels_000000.npz", r"a labels_\*\.npz for each image, found 1 images without"),
    ],
)
def test_files_without_partners(tmp_path: Path, lost: str, says: str) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()] * 3})
    label_file(tmp_path).with_name(lost).unlink()
    with pytest.raises(DataError, match=says):
        table_of(tmp_path)


def test_a_copy_without_depth_is_read(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    label_file(tmp_path).with_name("aligned_depth_to_color_000000.png").unlink()
    assert DexYcb().load(tmp_path, table_of(tmp_path).to_pylist()[0]).depth_mm is None


@pytest.mark.parametrize("lost", ["calibration", f"{SUBJECT}/{SEQUENCE}/meta.yml", SUBJECT])
def test_what_a_newcomer_forgets(tmp_path: Path, lost: str) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    place = tmp_path / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    with pytest.raises(MissingError, match="handsynth datasets dexycb"):
        open_catalogue(DexYcb(), tmp_path, OPTIONS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"joint_3d": np.zeros((21, 3), np.float32)}, r"joint_3d of shape \(1, 21, 3\), all finite, found \(21, 3\)"),
        ({"joint_3d": np.full((1, 21, 3), np.nan, np.float32)}, "all finite"),
        ({"joint_2d": np.zeros((1, 21, 2), np.int64)}, "found .* of int64"),
        ({"joint_2d": np.zeros((1, 21, 3), np.float32)}, r"joint_2d of shape \(1, 21, 2\)"),
    ],
)
def test_labels_of_another_shape(tmp_path: Path, changes: dict[str, np.ndarray], says: str) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    write_npz(label_file(tmp_path), labels(joints(), **changes))
    with pytest.raises(DataError, match=says):
        table_of(tmp_path)


@pytest.mark.parametrize(
    "seg", [np.zeros((480, 641), np.uint8), np.zeros((480, 640), np.int32), np.zeros((1, 480, 640), np.uint8)]
)
def test_masks_of_another_shape_fail_when_they_are_loaded(tmp_path: Path, seg: np.ndarray) -> None:
    """The catalogue never unpacks them."""
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    write_npz(label_file(tmp_path), labels(joints(), seg=seg))
    [row] = table_of(tmp_path).to_pylist()
    with pytest.raises(DataError, match="labels_000000"):
        DexYcb().load(tmp_path, row)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "YAML of the published shape"),
        (b"num_frames: many\n", "YAML of the published shape"),
        (b"!!python/object/apply:os.system ['touch marker']\n", "YAML of the published shape"),
        (b"a: &a [x, x]\nb: &b [*a, *a]\nmano_sides: [*b, *b]\nnum_frames: 1\nextrinsics: a\n", "published shape"),
        (b"[" * 5000, "YAML of the published shape"),
        (b"\x00\xff", "YAML of the published shape"),
        (b"#" * (1 << 21), "a small YAML file"),
        (b"num_frames: 0\nextrinsics: a\nmano_sides: [right]\n", "0 frames, as meta.yml says, found frame 000000"),
        (b"num_frames: 1\nextrinsics: a\nmano_sides: [both]\n", "published shape"),
        (b"num_frames: 1\nextrinsics: a\nmano_sides: []\n", "the side of the hand in mano_sides"),
        (b"num_frames: 1\nextrinsics: /../../../etc\nmano_sides: [right]\n", "below the dataset's folder"),
    ],
)
def test_meta_files_that_are_not_what_they_seem(tmp_path: Path, text: bytes, says: str) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    (tmp_path / SUBJECT / SEQUENCE / "meta.yml").write_bytes(text)
    with pytest.raises(DataError, match=says):
        table_of(tmp_path)


def test_a_gigantic_count_takes_no_memory(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    (tmp_path / SUBJECT / SEQUENCE / "meta.yml").write_text(
        f"num_frames: {10**18}\nextrinsics: a\nmano_sides: [right]\n"
    )
    assert len(table_of(tmp_path)) == 1


@pytest.mark.parametrize(("fx", "says"), [(float("nan"), "finite intrinsics"), (-3.0, "finite intrinsics")])
def test_crooked_intrinsics(tmp_path: Path, fx: float, says: str) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    place = tmp_path / f"calibration/intrinsics/{SERIALS[0]}_640x480.yml"
    write_yaml(place, {"color": {"fx": fx, "fy": 600.0, "ppx": 320.0, "ppy": 240.0}})
    with pytest.raises(DataError, match=says):
        table_of(tmp_path)


@pytest.mark.parametrize("numbers", [[1.0] * 12, [0.0] * 3, [float("nan")] * 12])
def test_crooked_extrinsics(tmp_path: Path, numbers: list[float]) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]})
    place = tmp_path / "calibration/extrinsics_20200702_151821/extrinsics.yml"
    write_yaml(place, {"extrinsics": {SERIALS[0]: numbers}})
    with pytest.raises(DataError, match="a rigid 3 x 4 transform"):
        table_of(tmp_path)


def test_folders_of_nobody(tmp_path: Path) -> None:
    lay_out(tmp_path, {SERIALS[0]: [joints()]}, subject="20240101-subject-11")
    with pytest.raises(DataError, match="subjects 20200709-subject-01 to 20201022-subject-10, found 20240101"):
        table_of(tmp_path)


def shots(count: int, **changes: Any) -> list[HandSample]:
    """Simulated samples under DexYCB's own names, of one moment each."""
    first = replace(simulated("stb_sk")[0], split="train", **changes)
    return [replace(first, key=f"{i}", moment=f"{i}", frame=f"{i:06d}") for i in range(count)]


@pytest.mark.parametrize("setup", ["s0", "s1", "s2", "s3"])
def test_written_splits_come_back_in_every_setup(tmp_path: Path, setup: Any) -> None:
    first = simulated("stb_sk")[0]
    given = [replace(first, key=split, moment=split, split=split) for split in ("train", "val", "test")]
    DexYcb().write(tmp_path, given, DexYcbOptions(split=setup))
    table = table_of(tmp_path, DexYcbOptions(split=setup))
    assert sorted(table.column("split").to_pylist()) == ["test", "train", "val"]
    subjects = set(table.column("subject").to_pylist())
    assert {len(list((tmp_path / subject).iterdir())) for subject in subjects} == {100}


def test_own_names_frames_and_places_are_kept(tmp_path: Path) -> None:
    own = {"subject": SUBJECT, "view": SERIALS[3], "side": "left", "world_from_camera": ROTATION}
    given = [
        replace(sample, split=split, key=f"{sequence}{sample.key}", moment=f"{sequence}{sample.key}", sequence=sequence)
        for sequence, split in (("20200709_141754", "train"), ("20200709_150000", "val"), ("20200709_150001", "train"))
        for sample in shots(2, **own)
    ]
    DexYcb().write(tmp_path, given[::-1], OPTIONS)
    table = table_of(tmp_path)
    assert table.column("key").to_pylist() == [
        f"{SUBJECT}/{sample.sequence}/{SERIALS[3]}/{sample.frame}" for sample in given
    ]
    assert table.column("split").to_pylist() == [sample.split for sample in given]
    np.testing.assert_allclose(column(table, "world_from_camera")[0, 9:], ROTATION.translation_mm, atol=1e-9)
    again = tmp_path / "again"
    DexYcb().write(again, [DexYcb().load(tmp_path, row) for row in table.to_pylist()], OPTIONS)
    assert table_of(again).drop(["camera"]).equals(table.drop(["camera"]))


def test_views_of_a_moment_are_written_as_one_frame(tmp_path: Path) -> None:
    first = shots(1)[0]
    given = [replace(first, key=view, view=view) for view in ("front", "back")]
    DexYcb().write(tmp_path, given, OPTIONS)
    table = table_of(tmp_path)
    assert table.column("view").to_pylist() == list(SERIALS[:2])
    assert len(table.column("moment").unique()) == 1


def test_both_hands_of_an_image_get_a_sequence_each(tmp_path: Path) -> None:
    DexYcb().write(tmp_path, simulated("rhd")[:4], OPTIONS)
    table = table_of(tmp_path)
    assert table.column("side").to_pylist() == ["left", "left", "right", "right"]
    assert len(table.column("sequence").unique()) == 2


def test_a_moving_camera_and_a_missing_mask_are_left_out(tmp_path: Path) -> None:
    first, second = shots(2)
    moving = [replace(first, world_from_camera=ROTATION, mask=None), replace(second, world_from_camera=None)]
    DexYcb().write(tmp_path, moving, OPTIONS)
    rows = table_of(tmp_path).to_pylist()
    assert [row["world_from_camera"] for row in rows] == [None, None]
    masks = [DexYcb().load(tmp_path, row).mask for row in rows]
    assert masks[0] is None
    assert masks[1] is not None


def test_a_sample_without_joints_is_written_as_not_labelled(tmp_path: Path) -> None:
    nothing = np.zeros(21, np.uint8)
    bare = replace(shots(1)[0], joints_mm=None, keypoints_px=None, joint_state=nothing, keypoint_state=nothing)
    DexYcb().write(tmp_path, [bare], OPTIONS)
    [row] = table_of(tmp_path).to_pylist()
    assert set(row["joint_state"]) == {ABSENT}
    path = tmp_path / row["mask_file"]
    assert (read_npz(path, ["joint_3d"])["joint_3d"] == -1).all()


def test_what_the_toolkit_asks_for_is_there(tmp_path: Path) -> None:
    DexYcb().write(tmp_path, shots(1, world_from_camera=ROTATION), OPTIONS)
    row = table_of(tmp_path).to_pylist()[0]
    meta = read_yaml(tmp_path / row["subject"] / row["sequence"] / "meta.yml", dict)
    assert meta["num_frames"] == 1
    assert meta["serials"] == list(SERIALS)
    assert len(read_yaml(tmp_path / f"calibration/mano_{meta['mano_calib'][0]}/mano.yml", dict)["betas"]) == 10
    extrinsics = read_yaml(tmp_path / f"calibration/extrinsics_{meta['extrinsics']}/extrinsics.yml", dict)
    assert extrinsics["master"] in extrinsics["extrinsics"]
    assert len(extrinsics["extrinsics"]["apriltag"]) == 12
    arrays = read_npz(tmp_path / row["mask_file"], ["pose_y", "pose_m", "joint_3d", "joint_2d", "seg"])
    assert arrays["pose_m"].shape == (1, 51)
    assert arrays["joint_3d"].dtype == np.float32
    assert set(np.unique(arrays["seg"]).tolist()) == {0, 255}
