"""InterHand2.6M: the real frames, validity, moments, what the writer keeps, and annotations that are broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.interhand26m import InterHand26M, InterHandOptions
from handsynth.formats.manifest import load_manifest
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import WRIST
from handsynth.hand.pose import chirality, palm_length
from handsynth.hand.rows import from_row
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import write_jpeg
from tests.formats.samples import listed, real, simulated

OPTIONS = InterHandOptions()
READER = InterHand26M()
JSON = dict[str, Any]
KINDS = ("data", "camera", "joint_3d")


def made() -> dict[str, Any]:
    """Two cameras, two frames and a capture of one split, both hands: numbers that tell every row apart."""
    rng = np.random.default_rng(0)
    turns = {"400026": np.eye(3), "410001": RigidTransform.of(np.array([0, 0.3, 0.1]), np.zeros(3)).rotation}
    places = [(frame, camera) for frame in (12, 15) for camera in turns]
    images = [
        {
            "id": 70 - i,
            "file_name": f"Capture3/0390_dh/cam{camera}/image{frame}.jpg",
            "width": 40,
            "height": 60,
            "capture": 3,
            "subject": 8,
            "seq_name": "0390_dh",
            "camera": camera,
            "frame_idx": frame,
        }
        for i, (frame, camera) in enumerate(places)
    ]
    label = {"bbox": [1.0, 2.0, 30.0, 40.0], "joint_valid": [[1]] * 42, "hand_type": "interacting"}
    world = {str(frame): rng.normal([0, 0, 900], 30, (42, 3)) for frame in (12, 15)}
    return {
        "data": {
            "images": images,
            "annotations": [label | {"image_id": 70 - i, "hand_type_valid": 1} for i in (2, 0, 3, 1)],
        },
        "camera": {
            "3": {
                "campos": {camera: [10.0, -20.0, 5.0] for camera in turns},
                "camrot": {camera: np.array(turn).tolist() for camera, turn in turns.items()},
                "focal": {camera: [1200.0, 1210.0] for camera in turns},
                "princpt": {camera: [20.0, 30.0] for camera in turns},
            }
        },
        "joint_3d": {
            "3": {
                frame: {"world_coord": points.tolist(), "joint_valid": [[True]] * 42, "hand_type": "interacting"}
                for frame, points in world.items()
            }
        },
    }


def lay_out(root: Path, files: JSON, split: str = "train", pictures: bool = True) -> Path:
    for kind in KINDS:
        path = root / "annotations" / split / f"InterHand2.6M_{split}_{kind}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(files[kind]))
    for image in files["data"]["images"] if pictures else ():
        pixels = np.zeros((image["height"], image["width"], 3), np.uint8)
        write_jpeg(root / "images" / split / image["file_name"], pixels)
    return root


def real_files() -> JSON:
    source = real("interhand_mmpose")
    files = {kind: json.loads((source / f"test_interhand2.6m_{kind}.json").read_text()) for kind in KINDS}
    for image in files["data"]["images"]:
        place = f"Capture{image['capture']}/{image['seq_name']}/cam{image['camera']}"
        image["file_name"] = f"{place}/{image['file_name']}"
    return files


def lay_out_real(root: Path, files: JSON) -> Path:
    lay_out(root, files, "test", pictures=False)
    for image in files["data"]["images"]:
        path = root / "images" / "test" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(real("interhand_mmpose") / path.name, path)
    return root


def samples_of(root: Path, options: InterHandOptions = OPTIONS) -> list[HandSample]:
    return [READER.load(root, row) for row in listed(READER, root, options).to_pylist()]


def test_real_samples(tmp_path: Path) -> None:
    root = lay_out_real(tmp_path, real_files())
    rows = open_catalogue(READER, root, OPTIONS).table.to_pylist()
    samples = [READER.load(root, row) for row in rows]
    assert [(sample.frame, sample.side) for sample in samples] == [
        ("69148", "left"),
        ("69148", "right"),
        ("44669", "left"),
        ("44669", "right"),
        ("29590", "left"),
        ("2017", "right"),
    ]
    signs = [round(float(chirality(sample.joints_mm)), 2) for sample in samples if sample.frame != "44669"]
    assert signs == [-4.64, 5.14, -3.56, 6.50]
    praying = [round(float(chirality(sample.joints_mm)), 2) for sample in samples if sample.frame == "44669"]
    assert sorted(praying) == [-0.34, 0.60]
    for sample in samples:
        assert sample.rgb is not None
        assert sample.rgb.shape[:2] in ((512, 334), (334, 512))
        assert sample.split == "test"
        assert sample.joints_mm is not None
        assert 50 < palm_length(sample.joints_mm) < 130
        assert (sample.joint_state == LABELLED).all()
        assert (sample.keypoint_state == DERIVED).all()
    assert samples[0].subject == "3"
    assert samples[0].sequence == "Capture3/0390_dh_touchROM"
    assert samples[0].view == "cam400026"
    assert samples[0].key == "test/Capture3/0390_dh_touchROM/cam400026/69148-left"


def test_published_boxes_are_the_projected_joints_widened(tmp_path: Path) -> None:
    by_moment: dict[str | None, list[HandSample]] = {}
    for sample in samples_of(lay_out_real(tmp_path, real_files())):
        by_moment.setdefault(sample.moment, []).append(sample)
    assert len(by_moment) == 4
    for hands in by_moment.values():
        points = np.concatenate([hand.keypoints_px for hand in hands]).astype(np.float64)  # type: ignore[arg-type]
        low, high = points.min(0), points.max(0)
        widened = np.stack([(low + high) / 2 - 0.6 * (high - low), (low + high) / 2 + 0.6 * (high - low)])
        np.testing.assert_allclose(hands[0].extra["box_px"], widened, atol=1e-3)


def test_the_flag_tells_not_the_filler(tmp_path: Path) -> None:
    """Row 33 of frame 2017 is not valid but holds real coordinates; its neighbours hold 1.0."""
    files = real_files()
    stored = files["joint_3d"]["4"]["2017"]
    assert stored["world_coord"][33][2] > 1000
    assert stored["world_coord"][34] == [1.0, 1.0, 1.0]
    label = next(item for item in files["data"]["annotations"] if item["image_id"] == 471953)
    label["hand_type"] = "interacting"
    left, right = (sample for sample in samples_of(lay_out_real(tmp_path, files)) if sample.frame == "2017")
    assert left.joint_state.tolist() == [ABSENT] * 21
    assert np.isnan(left.joints_mm).all()  # type: ignore[arg-type]
    assert right.joint_state.tolist() == [LABELLED] * 21


def test_real_samples_are_written_as_they_were(tmp_path: Path) -> None:
    files = real_files()
    root = lay_out_real(tmp_path / "a", files)
    READER.write(tmp_path / "b", samples_of(root), OPTIONS)
    assert images(tmp_path / "b") == images(root)
    back = {
        kind: json.loads((tmp_path / f"b/annotations/test/InterHand2.6M_test_{kind}.json").read_text())
        for kind in KINDS
    }
    for capture, frames in files["joint_3d"].items():
        for frame, entry in frames.items():
            valid = np.array(entry["joint_valid"]).ravel()
            written = back["joint_3d"][capture][frame]
            assert np.array_equal(np.array(written["joint_valid"]).ravel(), valid)
            assert written["hand_type"] == entry["hand_type"]
            difference = np.array(written["world_coord"]) - np.array(entry["world_coord"])
            assert np.abs(difference[valid]).max() < 1e-3
    for kind in ("campos", "camrot", "focal", "princpt"):
        for capture, entry in files["camera"].items():
            for camera, numbers in entry[kind].items():
                np.testing.assert_allclose(back["camera"][capture][kind][camera], numbers, atol=1e-6)
    for image, label, given in zip(
        back["data"]["images"], back["data"]["annotations"], files["data"]["annotations"], strict=True
    ):
        assert image["id"] == label["image_id"]
        np.testing.assert_allclose(label["bbox"], given["bbox"], atol=1e-3)
        assert label["joint_valid"] == given["joint_valid"]
        assert label["hand_type"] == given["hand_type"]
    lines = (tmp_path / "b/annotations/skeleton.txt").read_text().splitlines()
    assert lines[1] == "r_thumb_tip 0 1"
    assert lines[21] == "r_wrist 20 -1"
    assert lines[-2:] == ["l_pinky_mcp 40 41", "l_wrist 41 -1"]


def images(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.jpg"))


def test_rows_of_both_hands_and_cameras(tmp_path: Path) -> None:
    """Each joint by its name: a swap of hands, of the order of fingers or of the rotation would show."""
    files = made()
    root = lay_out(tmp_path, files)
    samples = samples_of(root)
    assert len(samples) == 8
    names = load_manifest("interhand26m").joints
    for sample in samples:
        world = np.array(files["joint_3d"]["3"][sample.frame]["world_coord"])
        assert sample.view is not None
        turn = np.array(files["camera"]["3"]["camrot"][sample.view[3:]])
        offset = 0 if sample.side == "right" else 21
        assert sample.joints_mm is not None
        for canonical, row in enumerate(load_manifest("interhand26m").order):
            assert names[row] == "wrist" or canonical > 0
            expected = turn @ (world[offset + row] - [10, -20, 5])
            np.testing.assert_allclose(sample.joints_mm[canonical], expected, atol=1e-3)
            u = 1200 * expected[0] / expected[2] + 20
            v = 1210 * expected[1] / expected[2] + 30
            np.testing.assert_allclose(sample.keypoints_px[canonical], [u, v], atol=1e-2)  # type: ignore[index]
        assert sample.world_from_camera is not None
        back = sample.world_from_camera.apply(sample.joints_mm[WRIST])
        np.testing.assert_allclose(back, world[offset + 20], atol=1e-3)
    # Annotations come in the file's order, not in that of the images' numbers.
    assert [sample.frame for sample in samples[::2]] == ["15", "12", "15", "12"]
    assert {sample.moment for sample in samples} == {"train/Capture3/12", "train/Capture3/15"}
    assert len({sample.key for sample in samples}) == 8


@pytest.mark.parametrize("where", ["data", "joint_3d"])
@pytest.mark.parametrize("flat", [False, True])
def test_a_hand_without_wrist(tmp_path: Path, where: str, flat: bool) -> None:
    files = made()
    owner = files["data"]["annotations"][1] if where == "data" else files["joint_3d"]["3"]["12"]
    owner["joint_valid"] = [[int(i not in (20, 25))] for i in range(42)]
    if flat:
        for item in (*files["data"]["annotations"], *files["joint_3d"]["3"].values()):
            item["joint_valid"] = [flag for [flag] in item["joint_valid"]]
    root = lay_out(tmp_path, files)
    left, right = samples_of(root)[2:4]
    assert right.joint_state.tolist() == [ABSENT] * 21
    assert left.joint_state.tolist().count(ABSENT) == 1
    left, right = samples_of(root, InterHandOptions(rootless="keep"))[2:4]
    assert right.joint_state.tolist() == [ABSENT] + [LABELLED] * 20
    assert np.isnan(right.keypoints_px[WRIST]).all()  # type: ignore[index]
    assert right.keypoint_state[WRIST] == ABSENT


def test_which_hands_an_image_has(tmp_path: Path) -> None:
    files = made()
    one, other, none, doubted = files["data"]["annotations"]
    one["hand_type"] = "right"
    one["joint_valid"] = [[1]] * 21 + [[0]] * 21
    other["hand_type"] = "right"  # but joints of the left are valid
    none["joint_valid"] = [[0]] * 42
    doubted["hand_type_valid"] = 0
    samples = samples_of(lay_out(tmp_path, files))
    assert [sample.side for sample in samples] == ["right", "left", "right", "left", "right", "left", "right"]
    assert not samples[3].joint_state.any()
    assert not samples[4].joint_state.any()
    assert [sample.extra.get("hand_type_valid") is not None for sample in samples] == [False] * 5 + [True] * 2


def test_the_camera_that_is_wrong_is_marked(tmp_path: Path) -> None:
    files = json.loads(json.dumps(made()).replace("400026", "400412"))
    root = lay_out(tmp_path, files)
    rows = listed(READER, root, OPTIONS).to_pylist()
    marked = {row["view"]: from_row(row).extra.get("known_bad") for row in rows}
    assert marked["cam410001"] is None
    assert marked["cam400412"] == [1.0]
    turned = next(row for row in rows if row["view"] == "cam400412")
    write_jpeg(root / turned["rgb_file"], np.zeros((40, 60, 3), np.uint8))
    with pytest.raises(DataError, match="expected 40 x 60 px, found 60 x 40"):
        READER.load(root, turned)


def test_splits_that_have_images_are_read(tmp_path: Path) -> None:
    for split in ("val", "test"):
        lay_out(tmp_path, made(), split)
    lay_out(tmp_path, made(), "train", pictures=False)  # its annotations come with the others'
    assert set(listed(READER, tmp_path, OPTIONS).column("split").to_pylist()) == {"val", "test"}
    assert len(open_catalogue(READER, tmp_path, OPTIONS).table) == 16  # no key is there twice
    assert len(listed(READER, tmp_path, InterHandOptions(split="val"))) == 8
    with pytest.raises(MissingError, match="images/train"):
        listed(READER, tmp_path, InterHandOptions(split="train"))
    shutil.rmtree(tmp_path / "annotations" / "val")
    with pytest.raises(MissingError, match=r"InterHand2\.6M_val_data\.json of interhand26m"):
        listed(READER, tmp_path, OPTIONS)


def broken(change: Callable[[JSON], Any]) -> JSON:
    files = made()
    change(files)
    return files


FAULTS: list[tuple[Callable[[JSON], Any], str]] = [
    (lambda f: f["data"]["images"].clear(), "a list of images"),
    (lambda f: f["data"]["images"][1].update(id=70), "id 70 more than once"),
    (lambda f: f["data"]["images"][1].update(width=10**9), "width"),
    (lambda f: f["data"]["images"][1].update(height=-1), "height"),
    (lambda f: f["data"]["images"][1].update(frame_idx=13), "none for 13 of capture 3"),
    (lambda f: f["data"]["images"][1].update(camera="9"), "none for 9 of capture 3"),
    (lambda f: f["data"]["images"][1].update(capture=None), "capture"),
    (lambda f: f["data"]["images"][1].update(file_name="../../../../etc/passwd"), "below the dataset's folder"),
    (lambda f: f["data"]["images"][1].update(file_name="/etc/passwd"), "below the dataset's folder|found 0"),
    (lambda f: f["data"]["images"][1].update(file_name="Capture3/gone.jpg"), r"the 1 images that .*found 0"),
    (lambda f: f["data"]["annotations"][0].update(image_id=5), "image_id 5"),
    (lambda f: f["data"]["annotations"][0].update(image_id=2**70), "integer overflow"),
    (lambda f: f["data"]["annotations"].pop(), r"none for 1 of 4, image id 69"),
    (lambda f: f["data"]["annotations"][0].update(joint_valid=[[1]] * 41), "42 flags"),
    (lambda f: f["data"]["annotations"][0].update(joint_valid=[[1]] * 41 + [[1, 1]]), "42 flags"),
    (lambda f: f["data"]["annotations"][0].update(joint_valid=[["x"]] * 42), "42 flags"),
    (lambda f: f["data"]["annotations"][0].update(hand_type="foot"), "foot"),
    (lambda f: f["data"]["annotations"][0].update(bbox=[1, 2, 3]), "length 4"),
    (lambda f: f["joint_3d"]["3"]["12"].update(world_coord=[[0, 0, 1]] * 41), "42 points"),
    (lambda f: f["joint_3d"]["3"]["12"].update(world_coord=[[0, 1]] * 42), "length 3"),
    (lambda f: f["joint_3d"]["3"]["12"].pop("joint_valid"), "joint_valid"),
    (lambda f: f["joint_3d"].update({"3": [1, 2]}), "object"),
    (lambda f: f["camera"]["3"]["focal"].pop("400026"), "campos, camrot, focal and princpt"),
    (lambda f: f["camera"]["3"]["camrot"].update({"400026": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}), "a rotation"),
    (lambda f: f["camera"]["3"]["camrot"].update({"400026": [[-1, 0, 0], [0, 1, 0], [0, 0, 1]]}), "a rotation"),
    (lambda f: f["camera"].clear(), "none for 400026 of capture 3"),
]


@pytest.mark.parametrize(("change", "says"), FAULTS, ids=lambda value: value if isinstance(value, str) else "")
def test_annotations_of_another_shape(tmp_path: Path, change: Callable[[JSON], Any], says: str) -> None:
    lay_out(tmp_path, made())
    lay_out(tmp_path, broken(change), pictures=False)
    with pytest.raises(DataError, match=says):
        open_catalogue(READER, tmp_path, OPTIONS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [b"", b"{", b"[" * 100_000, b"\x80\x04junk", b"[]"])
def test_files_that_are_no_annotations(tmp_path: Path, kind: str, text: bytes) -> None:
    lay_out(tmp_path, made())
    (tmp_path / f"annotations/train/InterHand2.6M_train_{kind}.json").write_bytes(text)
    with pytest.raises(DataError, match=r"InterHand2\.6M_train"):
        open_catalogue(READER, tmp_path, OPTIONS)


def test_views_of_a_moment_are_written_into_one_frame(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "a", made())
    samples = samples_of(root)
    READER.write(tmp_path / "b", samples, OPTIONS)
    assert images(tmp_path / "b") == images(root)
    back = {sample.key: sample for sample in samples_of(tmp_path / "b")}
    for sample in samples:
        np.testing.assert_allclose(back[sample.key].joints_mm, sample.joints_mm, atol=1e-3)
        assert back[sample.key].world_from_camera == sample.world_from_camera
        assert back[sample.key].moment == sample.moment
        assert back[sample.key].subject == sample.subject


def test_what_does_not_fit_one_frame_gets_another(tmp_path: Path) -> None:
    """A second left hand, another look of the same hand, and a view without a common world."""
    left = next(sample for sample in simulated("rhd") if sample.side == "left")
    other = replace(left, key="other", joints_mm=left.joints_mm + np.float32(40))  # type: ignore[operator]
    look = replace(left, key="look")
    beside = replace(left, key="beside", view="second", joints_mm=left.joints_mm + np.float32(5))  # type: ignore[operator]
    given = [left, other, look, beside]
    READER.write(tmp_path, given, OPTIONS)
    back = samples_of(tmp_path)
    assert len({sample.moment for sample in back}) == 4
    for sample, want in zip(back, given, strict=True):
        np.testing.assert_allclose(sample.joints_mm, want.joints_mm, atol=1e-3)


def test_unknown_joints_and_lenses_that_bend(tmp_path: Path) -> None:
    left = next(sample for sample in simulated("rhd") if sample.side == "left")
    assert left.joints_mm is not None
    assert left.camera is not None
    joints, state = left.joints_mm.copy(), left.joint_state.copy()
    joints[5], state[5], state[7] = np.nan, ABSENT, DERIVED
    bent = replace(left.camera, distortion=(0.05, -0.02, 0.001, 0.0, 0.0))
    READER.write(tmp_path, [replace(left, joints_mm=joints, joint_state=state, camera=bent)], OPTIONS)
    [back] = samples_of(tmp_path)
    assert back.joint_state.tolist() == [LABELLED if i != 5 else ABSENT for i in range(21)]
    assert back.camera == Camera(bent.fx, bent.fy, bent.cx, bent.cy, bent.width, bent.height)
    stored = json.loads((tmp_path / "annotations/train/InterHand2.6M_train_joint_3d.json").read_text())
    row = 21 + int(load_manifest("interhand26m").order[5])
    assert stored["0"]["0"]["world_coord"][row] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("field", "value"), [("side", "unknown"), ("joints_mm", None), ("rgb", None), ("camera", None)]
)
def test_what_cannot_be_written(tmp_path: Path, field: str, value: Any) -> None:
    sample = replace(simulated("rhd")[0], key="bare", **{field: value})
    with pytest.raises(DataError, match="sample bare"):
        READER.write(tmp_path, [sample], OPTIONS)
