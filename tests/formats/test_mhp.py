"""MHP: labels by name, webcams with their lens, the wrist from the palm, images that lack, rigs of any dataset."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.formats.manifest import load_manifest
from handsynth.formats.mhp import Mhp, MhpOptions
from handsynth.formats.pickles import read_pickle, write_pickle
from handsynth.formats.textfiles import named_points
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import INDEX, WRIST, permutation
from handsynth.hand.pose import chirality
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import write_jpeg
from handsynth.runtime import progress
from tests.formats.samples import listed, simulated

OPTIONS = MhpOptions()
NAMES = load_manifest("mhp").source_words
BLANK = np.zeros((480, 640, 3), dtype=np.uint8)


def world(seed: int = 0) -> dict[str, np.ndarray]:
    """Label points by the source's names, the palm's normal among them; one is the facts' fixture point."""
    points = np.random.default_rng(seed).normal(0, 30, (22, 3))
    return dict(zip((*NAMES, "PALM_NORMAL"), points, strict=True)) | {"F4_KNU3_A": np.array([10.0, 20.0, 0.0])}


def lines(points: dict[str, np.ndarray]) -> list[str]:
    return [f"{name} {x} {y} {z}" for name, (x, y, z) in points.items()]


def lay_out(
    root: Path, folder: str = "data_1", frames: Sequence[int] = (0,), webcams: Sequence[int] = (1, 2, 3, 4)
) -> Path:
    """A folder by hand: webcam k stands k - 1 metres left of the first, which looks along z from (0, 0, -500)."""
    for frame in frames:
        text = root / "annotated_frames" / folder / f"{frame}_joints.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text("\n".join(lines(world(frame))) + "\n")
        for webcam in webcams:
            write_jpeg(text.with_name(f"{frame}_webcam_{webcam}.jpg"), BLANK)
    for webcam in (1, 2, 3, 4):
        place = root / "calibrations" / folder / f"webcam_{webcam}"
        write_pickle(place / "rvec.pkl", np.zeros((3, 1)))
        write_pickle(place / "tvec.pkl", np.array([[1000.0 * (webcam - 1)], [0.0], [500.0]]))
    return root


class Heard:
    """A listener that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    task = progress.Silent.task


def test_lens_of_the_facts() -> None:
    camera = load_manifest("mhp").camera("webcam")
    bare = replace(camera, distortion=())
    point = np.array([10.0, 20.0, 500.0])
    np.testing.assert_allclose(bare.project(point), [325.5166, 255.9072], atol=1e-4)
    np.testing.assert_allclose(camera.project(point), [325.5101, 255.8973], atol=1e-4)
    corner = np.array([150.0, 100.0, 500.0])
    np.testing.assert_allclose(camera.project(corner) - bare.project(corner), [0.84, 0.43], atol=5e-3)


def test_world_points_come_to_the_pixel_of_the_facts(tmp_path: Path) -> None:
    first, second, *_ = map(from_row, listed(Mhp(), lay_out(tmp_path), OPTIONS).to_pylist())
    tip = INDEX["index_tip"]
    assert first.joints_mm is not None
    assert first.keypoints_px is not None
    assert second.joints_mm is not None
    assert first.world_from_camera is not None
    np.testing.assert_allclose(first.joints_mm[tip], [10, 20, 500], atol=1e-4)
    np.testing.assert_allclose(first.keypoints_px[tip], [325.5101, 255.8973], atol=1e-3)
    np.testing.assert_allclose(second.joints_mm[tip], [1010, 20, 500], atol=1e-4)
    np.testing.assert_allclose(first.world_from_camera.apply(first.joints_mm)[tip], [10, 20, 0], atol=1e-4)


def test_labels_go_by_name(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    ordered = listed(Mhp(), root, OPTIONS)
    text = root / "annotated_frames/data_1/0_joints.txt"
    shuffled = np.random.default_rng(1).permutation(lines(world()))
    text.write_bytes(("\r\n".join(shuffled) + "\r\n\r\n").encode())
    assert listed(Mhp(), root, OPTIONS).equals(ordered)


def test_gather_list_of_the_facts() -> None:
    facts = [20, 17, 16, 18, 19, 1, 0, 2, 3, 5, 4, 6, 7, 13, 12, 14, 15, 9, 8, 10, 11]
    as_wrist = [name.replace("palm", "wrist") for name in load_manifest("mhp").joints]
    assert permutation(as_wrist).tolist() == facts
    chains = {"thumb": "TH", "index": "F4", "middle": "F3", "ring": "F2", "pinky": "F1"}
    for finger, word in chains.items():
        parts = ("cmc", "mcp", "ip", "tip") if finger == "thumb" else ("mcp", "pip", "dip", "tip")
        for part, knuckle in zip(parts, ("KNU1_B", "KNU1_A", "KNU2_A", "KNU3_A"), strict=True):
            assert NAMES[facts[INDEX[f"{finger}_{part}"]]] == f"{word}_{knuckle}"


def test_wrist_is_derived_and_the_palm_kept(tmp_path: Path) -> None:
    sample = from_row(listed(Mhp(), lay_out(tmp_path), OPTIONS).to_pylist()[0])
    points = world()
    palm, ring = (points[name] + [0, 0, 500] for name in ("PALM_POSITION", "F2_KNU1_B"))
    assert sample.joints_mm is not None
    np.testing.assert_allclose(sample.extra["palm_mm"], [palm], atol=1e-3)
    np.testing.assert_allclose(sample.joints_mm[WRIST], ring + 2 * (palm - ring), atol=1e-3)
    assert sample.joint_state.tolist() == [DERIVED] + [LABELLED] * 20
    assert set(sample.keypoint_state.tolist()) == {DERIVED}
    assert list(sample.extra) == ["palm_mm"]


def test_views_of_a_frame_share_its_moment_and_numbers_sort_as_numbers(tmp_path: Path) -> None:
    for folder in ("data_10", "data_2"):
        lay_out(tmp_path, folder, frames=(9, 10), webcams=(1, 4))
    table = listed(Mhp(), tmp_path, OPTIONS)
    assert table.column("key").to_pylist() == [
        f"{folder}/{frame}_webcam_{webcam}"
        for folder in ("data_2", "data_10")
        for frame in (9, 10)
        for webcam in (1, 4)
    ]
    assert table.column("moment").to_pylist()[:3] == ["data_2/9", "data_2/9", "data_2/10"]
    assert table.column("view").to_pylist()[:2] == ["webcam_1", "webcam_4"]


def test_folders_are_split(tmp_path: Path) -> None:
    for folder in ("data_1", "data_12", "data_13"):
        lay_out(tmp_path, folder, webcams=(1,))
    assert listed(Mhp(), tmp_path, OPTIONS).column("split").to_pylist() == ["train", "test", "test"]
    chosen = MhpOptions(test_folders=("data_1",))
    assert listed(Mhp(), tmp_path, chosen).column("split").to_pylist() == ["test", "train", "train"]
    with pytest.raises(UsageError, match="folders like data_12, found 'B1'"):
        listed(Mhp(), tmp_path, MhpOptions(test_folders=("B1",)))


def test_missing_webcam_images_are_counted(tmp_path: Path) -> None:
    root = lay_out(tmp_path, frames=(0, 1))
    (root / "annotated_frames/data_1/1_webcam_2.jpg").unlink()
    heard = Heard()
    with progress.show(heard):
        table = listed(Mhp(), root, OPTIONS)
    assert len(table) == 7
    assert heard.said == ["mhp: 7 of 8 webcam images are there"]


def test_images_without_labels_have_no_joints(tmp_path: Path) -> None:
    root = lay_out(tmp_path, frames=(0, 1), webcams=(2,))
    (root / "annotated_frames/data_1/0_joints.txt").unlink()
    bare, whole = map(from_row, listed(Mhp(), root, OPTIONS).to_pylist())
    assert set(bare.joint_state.tolist()) == set(bare.keypoint_state.tolist()) == {ABSENT}
    assert bare.extra == {}
    assert whole.joint_state[1] == LABELLED
    (root / "annotated_frames/data_1/1_joints.txt").unlink()
    with pytest.raises(MissingError, match=r"0_joints\.txt.*handsynth datasets mhp"):
        listed(Mhp(), root, OPTIONS)


def test_altered_copies_share_the_moment(tmp_path: Path) -> None:
    root = lay_out(tmp_path, webcams=(1,))
    write_jpeg(root / "augmented_samples/data_1/0_webcam_1.jpg", BLANK)
    assert len(listed(Mhp(), root, OPTIONS)) == 1
    both = MhpOptions(images="both")
    table = listed(Mhp(), root, both)
    assert table.column("key").to_pylist() == ["data_1/0_webcam_1", "augmented/data_1/0_webcam_1"]
    assert table.column("moment").to_pylist() == ["data_1/0"] * 2
    again = tmp_path / "again"
    Mhp().write(again, (Mhp().load(root, row) for row in table.to_pylist()), both)
    assert listed(Mhp(), again, both).column("key").to_pylist() == table.column("key").to_pylist()
    assert len(listed(Mhp(), root, MhpOptions(images="augmented"))) == 1


def test_calibrations_of_python_2(tmp_path: Path) -> None:
    root = lay_out(tmp_path, webcams=(1,))
    before = listed(Mhp(), root, OPTIONS)
    path = root / "calibrations/data_1/webcam_1/tvec.pkl"
    for protocol in (0, 2):
        text = pickle.dumps(np.array([[0.0], [0.0], [500.0]]), protocol=protocol)
        path.write_bytes(text.replace(b"numpy._core", b"numpy.core"))
        assert listed(Mhp(), root, OPTIONS).equals(before)


class Harm:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (np.zeros((3, 3)), r"3 finite numbers, found shape \(3, 3\)"),
        (np.array([0, 0, np.nan]), "finite"),
        ({"rvec": [0, 0, 0]}, "found dict"),
        ("words", "found str"),
        (["a", "b", "c"], "found list"),
        (Harm(), "do not trust this copy"),
    ],
)
def test_calibrations_that_are_none(tmp_path: Path, content: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root = lay_out(tmp_path / "raw", webcams=(1,))
    (root / "calibrations/data_1/webcam_1/rvec.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(DataError, match=says):
        listed(Mhp(), root, OPTIONS)
    assert not (tmp_path / "harm").exists()


def test_calibrations_that_lack(tmp_path: Path) -> None:
    root = lay_out(tmp_path, webcams=(1, 3))
    (root / "calibrations/data_1/webcam_2/rvec.pkl").unlink()
    listed(Mhp(), root, OPTIONS)
    (root / "calibrations/data_1/webcam_3/tvec.pkl").unlink()
    with pytest.raises(MissingError, match=r"calibrations/data_1/webcam_3/tvec\.pkl of mhp"):
        Mhp().annotations(root, OPTIONS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows[1:], "21 named points, found no F4_KNU1_A"),
        (lambda rows: [*rows, rows[0]], "'F4_KNU1_A' twice"),
        (lambda rows: [*rows, "F9_KNU1_A 1 2 3"], "'F9_KNU1_A'"),
        (lambda rows: ["F4_KNU1_A 1 2", *rows[1:]], "3 numbers, found 2 in F4_KNU1_A of"),
        (lambda rows: ["F4_KNU1_A 1 2 x", *rows[1:]], "could not convert"),
        (lambda rows: ["F4_KNU1_A 1 2 nan", *rows[1:]], "NaN or infinity"),
        (lambda rows: ["\0", *rows], "binary data"),
        (lambda rows: [], "no F4_KNU1_A"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, change: Any, says: str) -> None:
    root = lay_out(tmp_path)
    (root / "annotated_frames/data_1/0_joints.txt").write_text("\n".join(change(lines(world()))))
    with pytest.raises(DataError, match=says):
        listed(Mhp(), root, OPTIONS)


def test_named_points_may_ignore_names() -> None:
    rows = ["b 4 5 6", "other up and down", "a 1 2 3"]
    np.testing.assert_array_equal(named_points(rows, ("a", "b"), "here", frozenset({"other"})), [[1, 2, 3], [4, 5, 6]])
    with pytest.raises(DataError, match="'other'"):
        named_points(rows, ("a", "b"), "here")


def views(count: int) -> list[HandSample]:
    """One right hand seen by several cameras that stand about it."""
    camera = load_manifest("mhp").camera("webcam")
    first = HandSample("", rgb=BLANK, joints_mm=simulated("stb_sk")[0].joints_mm, camera=camera, side="right")
    assert first.joints_mm is not None
    center = first.joints_mm.mean(0)
    out = []
    for number in range(count):
        turn = RigidTransform.of(np.array([0.0, 0.3 * number, 0.0]), np.zeros(3))
        shift = center - turn.apply(center)
        move = RigidTransform.of(np.array(turn.rotation), shift)  # turns the camera's frame about the hand
        joints = move.apply(first.joints_mm).astype(np.float32)
        out.append(
            replace(
                first,
                key=f"view{number}",
                view=f"cam{number}",
                moment="one",
                joints_mm=joints,
                world_from_camera=move.inverse(),
            )
        )
    return out


def test_a_rig_keeps_its_frames_and_places(tmp_path: Path) -> None:
    given = views(6)
    Mhp().write(tmp_path, given, OPTIONS)
    table = listed(Mhp(), tmp_path, OPTIONS)
    assert table.column("key").to_pylist() == [
        *(f"data_1/0_webcam_{webcam}" for webcam in (1, 2, 3, 4)),
        "data_1/1_webcam_1",
        "data_1/2_webcam_1",
    ]
    for sample, want in zip(map(from_row, table.to_pylist()), given, strict=True):
        np.testing.assert_allclose(sample.joints_mm, want.joints_mm, atol=1e-2)  # type: ignore[arg-type]
    for sample, want in zip(map(from_row, table.to_pylist()[:4]), given[:4], strict=True):
        assert sample.world_from_camera is not None
        assert want.world_from_camera is not None
        np.testing.assert_allclose(sample.world_from_camera.rotation, want.world_from_camera.rotation, atol=1e-6)


def test_both_hands_of_one_image_become_two_frames(tmp_path: Path) -> None:
    left, right = simulated("rhd")[:2]
    assert left.moment == right.moment
    Mhp().write(tmp_path, [left, right], OPTIONS)
    table = listed(Mhp(), tmp_path, OPTIONS)
    assert table.column("key").to_pylist() == ["data_1/0_webcam_1", "data_1/1_webcam_1"]
    assert (chirality(np.stack([from_row(row).joints_mm for row in table.to_pylist()])) > 0).all()  # type: ignore[misc]


def test_own_words_are_kept(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "a", "data_7", frames=(3, 12))
    lay_out(root, "data_13", frames=(5,), webcams=(2, 3))
    table = listed(Mhp(), root, OPTIONS)
    Mhp().write(tmp_path / "b", (Mhp().load(root, row) for row in table.to_pylist()), OPTIONS)
    again = listed(Mhp(), tmp_path / "b", OPTIONS)
    for name in ("key", "view", "frame", "moment", "split", "rgb_file"):
        assert again.column(name).to_pylist() == table.column(name).to_pylist()
    for got, want in zip(again.to_pylist(), table.to_pylist(), strict=True):
        np.testing.assert_allclose(got["joints_mm"], want["joints_mm"], atol=1e-3)
        np.testing.assert_allclose(got["world_from_camera"], want["world_from_camera"], atol=1e-9)
    assert read_pickle(tmp_path / "b/calibrations/data_7/webcam_1/rvec.pkl").shape == (3, 1)
    assert len((tmp_path / "b/annotated_frames/data_7/3_joints.txt").read_text().splitlines()) == 22


def test_an_image_of_another_size(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    write_jpeg(root / "annotated_frames/data_1/0_webcam_1.jpg", BLANK[:, :600])
    with pytest.raises(DataError, match="640 x 480 px, found 600 x 480"):
        Mhp().load(root, listed(Mhp(), root, OPTIONS).to_pylist()[0])


def test_another_lens_is_resampled(tmp_path: Path) -> None:
    given = replace(simulated("stb_sk")[0], side="right", depth_mm=None, depth_camera=None, depth_from_color=None)
    assert isinstance(given.camera, Camera)
    Mhp().write(tmp_path, [given], OPTIONS)
    [row] = listed(Mhp(), tmp_path, OPTIONS).to_pylist()
    assert from_row(row).camera == load_manifest("mhp").camera("webcam")
