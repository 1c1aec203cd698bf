"""HO-3D: OpenGL axes, depth bytes, wrist-only evaluation, list files, multi-camera groups, crooked pickles."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.ho3d import Ho3d, Ho3dOptions
from handsynth.formats.manifest import load_manifest
from handsynth.formats.pickles import read_pickle, write_pickle
from handsynth.hand.camera import RigidTransform
from handsynth.hand.joints import INDEX, JOINTS, TIPS, WRIST, scatter
from handsynth.hand.pose import chirality
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import write_jpeg, write_png
from handsynth.imaging.warp import mirror
from tests.formats.samples import listed, simulated

OPTIONS = Ho3dOptions()
CAMERA = np.array([[617.343, 0, 312.42], [0, 617.343, 241.42], [0, 0, 1]])
ORDER = [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20]
BLANK = np.zeros((480, 640, 3), np.uint8)
MOVE = RigidTransform.of(np.array([0.3, 0.1, -0.2]), np.array([100.0, -50.0, 25.0]))


def hand() -> np.ndarray:
    """A simulated right hand in our order and frame, mm."""
    sample = mirror(simulated("stb_sk")[0])
    assert sample.joints_mm is not None
    assert sample.side == "right"
    return sample.joints_mm.astype(np.float64)


def stored(joints_mm: np.ndarray) -> np.ndarray:
    """Our joints as HO-3D stores them: MANO's order, metres, y up, z backward."""
    source = np.empty_like(joints_mm)
    source[ORDER] = joints_mm
    return source * [1e-3, -1e-3, -1e-3]


def train_meta(points: np.ndarray | None = None) -> dict[str, Any]:
    points = stored(hand()) if points is None else points
    return {"handJoints3D": points, "camMat": CAMERA, "objName": "006_mustard_bottle", "objRot": None, "objLabel": 6}


def evaluation_meta(root_m: Any) -> dict[str, Any]:
    return {"handJoints3D": root_m, "camMat": CAMERA, "handBoundingBox": [200, 100, 330, 260], "objRot": None}


def lay_out(root: Path, frames: dict[str, Any], folder: str = "train", ending: str = "jpg", depth: bool = True) -> Path:
    """Frames by hand: "ABF10/0000" -> what its pickle holds."""
    for name, meta in frames.items():
        sequence, number = name.split("/")
        place = root / folder / sequence
        (write_jpeg if ending == "jpg" else write_png)(place / "rgb" / f"{number}.{ending}", BLANK)
        if depth:
            write_png(place / "depth" / f"{number}.png", BLANK)
        write_pickle(place / "meta" / f"{number}.pkl", meta)
    (root / f"{folder}.txt").write_text("".join(f"{name}\n" for name in frames))
    return root


def samples_of(root: Path, options: Ho3dOptions = OPTIONS) -> list[HandSample]:
    return [from_row(row) for row in listed(Ho3d(), root, options).to_pylist()]


def test_joints_come_from_opengl_and_mano_order(tmp_path: Path) -> None:
    [sample] = samples_of(lay_out(tmp_path, {"ND2/0007": train_meta()}))
    assert sample.joints_mm is not None
    np.testing.assert_allclose(sample.joints_mm, hand(), atol=1e-3)
    assert chirality(sample.joints_mm) > 0
    assert (sample.key, sample.side, sample.split) == ("train/ND2/0007", "right", "train")
    assert set(sample.joint_state) == {LABELLED}
    assert set(sample.keypoint_state) == {DERIVED}


def test_published_point(tmp_path: Path) -> None:
    """Stored (0.01, 0.02, -0.5) is (0.01, -0.02, 0.5) before an OpenCV camera."""
    points = stored(hand())
    points[0] = 0.01, 0.02, -0.5
    [sample] = samples_of(lay_out(tmp_path, {"ND2/0000": train_meta(points)}))
    assert sample.joints_mm is not None
    assert sample.keypoints_px is not None
    np.testing.assert_allclose(sample.joints_mm[WRIST], [10, -20, 500], rtol=1e-6)
    np.testing.assert_allclose(sample.keypoints_px[WRIST], (CAMERA @ [0.01, -0.02, 0.5])[:2] / 0.5, atol=1e-3)


def test_the_order_is_the_published_one_and_makes_chains() -> None:
    manifest = load_manifest("ho3d")
    assert manifest.order.tolist() == ORDER
    assert [JOINTS[tip] for tip in TIPS] == list(manifest.joints[16:])
    place = np.arange(20)
    straight = np.stack([20.0 * (place // 4) - 40, -60.0 - 25 * (place % 4), np.zeros(20)], axis=-1)
    joints = np.concatenate([np.zeros((1, 3)), straight])
    back = scatter(joints, manifest.order, 21)[ORDER]
    reach = np.linalg.norm(back - back[0], axis=-1)
    for finger in ("index", "middle", "ring", "pinky"):
        assert reach[INDEX[f"{finger}_tip"]] > reach[INDEX[f"{finger}_mcp"]]


@pytest.mark.parametrize(
    ("red", "green", "metres"),
    [(160, 15, 0.49994659), (1, 0, 0.00012498665), (255, 255, 65535 * 0.00012498664727900177)],
)
def test_depth_bytes(tmp_path: Path, red: int, green: int, metres: float) -> None:
    root = lay_out(tmp_path, {"ND2/0000": train_meta()})
    picture = BLANK.copy()
    picture[10, 20] = red, green, 77
    write_png(root / "train/ND2/depth/0000.png", picture)
    depth = Ho3d().load(root, listed(Ho3d(), root, OPTIONS).to_pylist()[0]).depth_mm
    assert depth is not None
    assert depth[10, 20] == pytest.approx(metres * 1000, rel=1e-6)
    assert np.isfinite(depth).sum() == 1


@pytest.mark.parametrize("form", [np.asarray, lambda root: np.asarray(root, np.float32), list])
def test_evaluation_knows_the_wrist_alone(tmp_path: Path, form: Any) -> None:
    [sample] = samples_of(lay_out(tmp_path, {"SM1/0000": evaluation_meta(form(stored(hand())[0]))}, "evaluation"))
    assert sample.joints_mm is not None
    assert sample.split == "test"
    assert sample.joint_state.tolist() == [LABELLED] + [ABSENT] * 20
    assert sample.keypoint_state.tolist() == [DERIVED] + [ABSENT] * 20
    np.testing.assert_allclose(sample.joints_mm[WRIST], hand()[WRIST], atol=1e-3)
    assert np.isnan(sample.joints_mm[1:]).all()
    assert sample.extra["box_px"].tolist() == [[200, 100], [330, 260]]


def test_train_has_no_box(tmp_path: Path) -> None:
    [sample] = samples_of(lay_out(tmp_path, {"ND2/0000": train_meta()}))
    assert sample.extra == {}


def evaluation(root: Path, count: int = 3) -> np.ndarray:
    """An evaluation whose list is not sorted; returns its joints (N, 21, 3) m as stored, in the order of the list."""
    points = np.stack([stored(hand() + np.array([10 * i, 0, 30 * i])) for i in range(count)])
    names = [f"{'AP10' if i % 2 else 'SM1'}/{9 - i:04d}" for i in range(count)]
    lay_out(root, {name: evaluation_meta(each[0]) for name, each in zip(names, points, strict=True)}, "evaluation")
    return points


def test_released_evaluation_joints_go_by_the_line_of_the_list(tmp_path: Path) -> None:
    points = evaluation(tmp_path)
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(points.tolist()))
    got = {sample.key: sample for sample in samples_of(tmp_path)}
    assert list(got) == ["evaluation/AP10/0008", "evaluation/SM1/0007", "evaluation/SM1/0009"]
    for key, i in (("evaluation/SM1/0009", 0), ("evaluation/AP10/0008", 1), ("evaluation/SM1/0007", 2)):
        assert set(got[key].joint_state) == {LABELLED}
        np.testing.assert_allclose(got[key].joints_mm, hand() + np.array([10 * i, 0, 30 * i]), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda xyz: xyz[:2], "3 lists of 21 points, as evaluation.txt has lines, found 2"),
        (lambda xyz: xyz[:, :20], "found 3 of"),
        (lambda xyz: xyz + 0.1, r"in the order of evaluation\.txt, found wrists 173 mm"),
        (lambda xyz: xyz[:, ORDER], "joints in MANO's order"),
        (lambda xyz: xyz[..., :2], "JSON of the published shape"),
    ],
)
def test_evaluation_joints_of_another_version(tmp_path: Path, change: Any, says: str) -> None:
    points = evaluation(tmp_path)
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(change(points).tolist()))
    with pytest.raises(DataError, match=says):
        samples_of(tmp_path)


def test_a_listed_frame_without_a_hand_stays(tmp_path: Path) -> None:
    [sample] = samples_of(lay_out(tmp_path, {"ND2/0000": train_meta() | {"handJoints3D": None}}))
    assert set(sample.joint_state) == {ABSENT}


def test_frames_that_are_not_listed_are_not_read(tmp_path: Path) -> None:
    nothing = dict.fromkeys(train_meta())
    lay_out(tmp_path, {"ND2/0000": train_meta(), "ND2/0001": nothing})
    (tmp_path / "train.txt").write_bytes(b"ND2/0000\r\r\n\r\n")
    assert [sample.frame for sample in samples_of(tmp_path)] == ["0000"]
    (tmp_path / "train.txt").write_text("ND2/0000\nND2/0001\n")
    with pytest.raises(DataError, match="camMat of shape"):
        samples_of(tmp_path)


def test_versions_go_by_what_is_there(tmp_path: Path) -> None:
    two = lay_out(tmp_path / "two", {"ND2/0000": train_meta()}, ending="png", depth=False)
    three = lay_out(tmp_path / "three", {"ND2/0000": train_meta()})
    for root, ending in ((two, "png"), (three, "jpg")):
        [row] = listed(Ho3d(), root, OPTIONS).to_pylist()
        assert row["rgb_file"] == f"train/ND2/rgb/0000.{ending}"
        assert Ho3d().load(root, row).rgb is not None
    with pytest.raises(DataError, match=r"0000\.jpg is the first that lacks"):
        samples_of(two, Ho3dOptions(version="v3"))


def test_cameras_of_one_group_share_moments(tmp_path: Path) -> None:
    names = ["ABF10/0000", "ABF11/0000", "SMu1/0000", "SMu40/0000", "SMu42/0000", "SS1/0000", "SS2/0000"]
    got = samples_of(lay_out(tmp_path, {name: train_meta() for name in names}))
    assert [sample.moment for sample in got] == [
        "ABF1/0000",
        "ABF1/0000",
        "SMu1/0000",
        "SMu4/0000",
        "SMu4/0000",
        "SS1/0000",
        "SS2/0000",
    ]
    assert [sample.view for sample in got] == ["0", "1", None, "0", "2", None, None]
    known = {"ABF1", "BB1", "GPMF1", "GSF1", "MDF1", "SB1", "ShSu1", "SiBF1", "SMu4", "MPM1", "AP1"}
    assert set(load_manifest("ho3d").groups["multi_camera"]) == known


def test_calibrations_lead_to_the_common_frame(tmp_path: Path) -> None:
    """``cam_orders.txt`` names the digit of the i-th transform, which is in metres."""
    lay_out(tmp_path, {"ABF10/0000": train_meta(), "ABF13/0000": train_meta(), "ABF14/0000": train_meta()})
    folder = tmp_path / "calibration/ABF1/calibration"
    folder.mkdir(parents=True)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = MOVE.rotation, np.array(MOVE.translation_mm) / 1000
    (folder / "cam_orders.txt").write_text("3.000000e+00\n0.000000e+00\n")
    np.savetxt(folder / "trans_0.txt", matrix)
    np.savetxt(folder / "trans_1.txt", np.eye(4))
    first, second, third = samples_of(tmp_path)
    assert first.world_from_camera == RigidTransform.of(np.eye(3), np.zeros(3))
    assert second.world_from_camera is not None
    np.testing.assert_allclose(second.world_from_camera.translation_mm, MOVE.translation_mm, atol=1e-9)
    assert third.world_from_camera is None
    np.savetxt(folder / "trans_0.txt", 2 * np.eye(4))
    with pytest.raises(DataError, match="a rigid 4 x 4 transform"):
        samples_of(tmp_path)


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        ([], "a dictionary, found list"),
        (train_meta() | {"handJoints3D": np.zeros((20, 3))}, r"shape \(21, 3\) or \(3,\), found shape \(20, 3\)"),
        (train_meta() | {"handJoints3D": np.full((21, 3), np.nan)}, "finite numbers in handJoints3D"),
        (train_meta() | {"handJoints3D": "far away"}, "found str"),
        (train_meta() | {"handJoints3D": [[1], [2, 3]]}, "found list"),
        (train_meta() | {"camMat": np.eye(4)}, r"camMat of shape \(3, 3\)"),
        (train_meta() | {"camMat": -np.eye(3)}, "positive focal lengths"),
        (evaluation_meta(np.zeros(3)) | {"handBoundingBox": [1, 2]}, "handBoundingBox of shape"),
    ],
)
def test_pickles_of_another_shape(tmp_path: Path, meta: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        samples_of(lay_out(tmp_path, {"ND2/0000": meta}))


class _Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.marker),)


def test_pickles_are_not_run(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"ND2/0000": train_meta()})
    path = root / "train/ND2/meta/0000.pkl"
    path.write_bytes(pickle.dumps(train_meta() | {"objName": _Runs(tmp_path / "marker")}, 2))
    with pytest.raises(DataError, match="do not trust this copy"):
        samples_of(root)
    assert not (tmp_path / "marker").exists()
    path.write_bytes(pickle.dumps(train_meta() | {"objName": np.str_("006_mustard_bottle")}, 2))
    assert len(samples_of(root)) == 1


@pytest.mark.parametrize("line", ["ND2", "../ND2/0000", "ND2/../0000", "ND2/0000/1", "/etc/0000", "ND2/9999999999"])
def test_lines_that_name_no_frame(tmp_path: Path, line: str) -> None:
    root = lay_out(tmp_path, {"ND2/0000": train_meta()})
    (root / "train.txt").write_text(f"{line}\n")
    with pytest.raises(DataError, match="lines like ABF10/0000"):
        samples_of(root)


def test_a_frame_listed_twice(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"ND2/0000": train_meta()})
    (root / "train.txt").write_text("ND2/0000\nND2/0000\n")
    with pytest.raises(DataError, match="more than once"):
        open_catalogue(Ho3d(), root, OPTIONS)


@pytest.mark.parametrize("kind", ["rgb", "depth", "meta"])
def test_files_that_lack(tmp_path: Path, kind: str) -> None:
    root = lay_out(tmp_path, {"ND2/0000": train_meta(), "ND2/0001": train_meta()})
    next(iter(sorted((root / "train/ND2" / kind).iterdir()))).unlink()
    with pytest.raises(DataError, match=r"the 2 images that train\.txt labels, found 1 \(0000"):
        samples_of(root)


def test_a_list_file_that_lacks(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {"ND2/0000": train_meta()})
    (root / "evaluation").mkdir()
    with pytest.raises(MissingError, match=r"evaluation\.txt of ho3d.*handsynth datasets ho3d"):
        open_catalogue(Ho3d(), root, OPTIONS)


def shots(**changes: Any) -> list[HandSample]:
    first = replace(mirror(simulated("stb_sk")[0]), split="train", **changes)
    return [replace(first, key=f"{i}", moment=f"{i}") for i in range(2)]


def test_own_sequences_frames_and_cameras_are_kept(tmp_path: Path) -> None:
    given = [
        replace(sample, sequence=f"SB1{view}", view=view, frame=f"{20 + int(sample.key):04d}", world_from_camera=MOVE)
        for view in "02"
        for sample in shots()
    ]
    Ho3d().write(tmp_path, given, OPTIONS)
    table = listed(Ho3d(), tmp_path, OPTIONS)
    assert table.column("key").to_pylist() == [f"train/{each.sequence}/{each.frame}" for each in given]
    assert table.column("moment").to_pylist() == ["SB1/0020", "SB1/0021"] * 2
    for sample in samples_of(tmp_path):
        assert sample.world_from_camera is not None
        np.testing.assert_allclose(sample.world_from_camera.translation_mm, MOVE.translation_mm, atol=1e-9)
    again = tmp_path / "again"
    Ho3d().write(again, [Ho3d().load(tmp_path, row) for row in table.to_pylist()], OPTIONS)
    assert listed(Ho3d(), again, OPTIONS).drop(["world_from_camera"]).equals(table.drop(["world_from_camera"]))


def test_views_of_other_datasets_stay_together(tmp_path: Path) -> None:
    given = [replace(sample, key=view + sample.key, view=view) for view in ("left", "right") for sample in shots()]
    Ho3d().write(tmp_path, given, OPTIONS)
    table = listed(Ho3d(), tmp_path, OPTIONS)
    assert table.column("sequence").to_pylist() == ["HS10", "HS10", "HS11", "HS11"]
    assert table.column("moment").to_pylist() == ["HS1/0000", "HS1/0001"] * 2
    again = tmp_path / "again"
    Ho3d().write(again, [Ho3d().load(tmp_path, row) for row in table.to_pylist()], OPTIONS)
    assert listed(Ho3d(), again, OPTIONS).column("moment").equals(table.column("moment"))


def test_both_hands_of_an_image_become_two_frames(tmp_path: Path) -> None:
    given = simulated("rhd")[:2]
    Ho3d().write(tmp_path, given, OPTIONS)
    got = samples_of(tmp_path)
    assert len(got) == 2
    assert len({sample.moment for sample in got}) == 2


def test_written_evaluations(tmp_path: Path) -> None:
    """All joints where all are known; the wrist and a box always."""
    whole = [replace(sample, split="test") for sample in shots()]
    Ho3d().write(tmp_path / "whole", whole, OPTIONS)
    meta = read_pickle(tmp_path / "whole/evaluation/HS10/meta/0000.pkl")
    assert meta["handJoints3D"].shape == (3,)
    assert meta["handBoundingBox"].shape == (4,)
    assert all(set(sample.joint_state) == {LABELLED} for sample in samples_of(tmp_path / "whole"))
    assert whole[0].joints_mm is not None
    joints = whole[0].joints_mm.copy()
    joints[1:] = np.nan
    wrist_only = replace(whole[0], joints_mm=joints, key="bare", moment="bare")
    Ho3d().write(tmp_path / "part", [whole[0], wrist_only], OPTIONS)
    assert not (tmp_path / "part/evaluation_xyz.json").exists()
    assert [int((sample.joint_state == LABELLED).sum()) for sample in samples_of(tmp_path / "part")] == [1, 1]
    for split in ("train", "test"):
        lost = replace(wrist_only, split=split, joints_mm=np.full((21, 3), np.nan, np.float32))
        with pytest.raises(DataError, match="sample bare"):
            Ho3d().write(tmp_path / "none", [lost], OPTIONS)
