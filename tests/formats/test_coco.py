"""COCO: mmpose's real samples, keypoints by name, shared images, and files that are not what they seem."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.coco import Coco, CocoOptions
from handsynth.formats.manifest import load_manifest
from handsynth.hand.joints import INDEX, JOINTS
from handsynth.hand.pose import chirality, palm_length
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import write_png
from tests.formats.samples import listed, real, simulated

OPTIONS = CocoOptions()
MMPOSE = [
    "wrist",
    *(f"{f}{i}" for f in ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger") for i in range(1, 5)),
]


def lay_out(root: Path, **changes: Any) -> Path:
    """One image with one annotation; keypoint i at (i, 2 i)."""
    keypoints = [value for i in range(21) for value in (i, 2 * i, 2)]
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}],
        "annotations": [{"id": 3, "image_id": 7, "category_id": 1, "keypoints": keypoints}],
        "categories": [{"id": 1, "name": "hand", "keypoints": MMPOSE}],
    } | changes
    root.mkdir(exist_ok=True)
    (root / "hands_test.json").write_text(json.dumps(content))
    write_png(root / "a.png", np.zeros((48, 64, 3), np.uint8))
    return root


def read(root: Path, options: CocoOptions = OPTIONS) -> list[HandSample]:
    return [Coco().load(root, row) for row in open_catalogue(Coco(), root, options).table.to_pylist()]


def test_real_rhd_reprojects() -> None:
    """Names in this file say base first while each finger is stored tip first: the option puts it right."""
    root = real("rhd_mmpose")
    samples = read(root, CocoOptions(joints="rhd"))
    assert [(s.key, s.side, s.split) for s in samples] == [
        ("test_rhd/111", "left", "test"),
        ("test_rhd/1111", "left", "test"),
        ("test_rhd/11111", "right", "test"),
    ]
    errors = []
    for sample in samples:
        assert sample.joints_mm is not None
        error = np.linalg.norm(sample.projected() - sample.keypoints_px, axis=-1)  # type: ignore[operator]
        errors.append((round(float(error.max()), 3), round(float(error.mean()), 3)))
        bone = np.linalg.norm(sample.joints_mm[INDEX["index_mcp"]] - sample.joints_mm[0])
        assert bone == pytest.approx(93.7, abs=0.05)
        assert (chirality(sample.joints_mm) > 0) == (sample.side == "right")
        assert sample.visible is None
    assert errors == [(0.075, 0.042), (0.056, 0.036), (0.063, 0.040)]
    # As the file names them, the hand is as long as its middle finger reaches.
    lied = read(root)[0]
    assert lied.joints_mm is not None
    assert palm_length(lied.joints_mm) > 130


def test_real_freihand_keypoints() -> None:
    samples = {sample.frame: sample for sample in read(real("freihand_2d_mmpose"))}
    assert len(samples) == 8
    first = samples["17620"].keypoints_px
    assert first is not None
    np.testing.assert_allclose(first[0], [75.0900715, 114.7903539], atol=1e-5)
    # Four appearances of one pose carry the same joints (facts, section 9).
    for copies in (("17620", "50180", "82740", "115300"), ("355", "32915", "65475", "98035")):
        for copy in copies[1:]:
            np.testing.assert_array_equal(samples[copies[0]].keypoints_px, samples[copy].keypoints_px)


def test_real_interhand_has_boxes_only() -> None:
    samples = read(real("interhand_mmpose"), CocoOptions(annotations="*_data.json"))
    assert [sample.frame for sample in samples] == ["326750", "286291", "680801", "471953"]
    assert not any(sample.keypoint_state.any() for sample in samples)
    assert samples[3].rgb is not None
    assert samples[3].rgb.shape == (334, 512, 3)


def test_mmpose_reads_what_is_written(tmp_path: Path) -> None:
    """The keys its datasets of hands look at; both hands of an image share it."""
    samples = simulated("rhd")
    Coco().write(tmp_path, samples, OPTIONS)
    for split in ("train", "test"):
        content = json.loads((tmp_path / f"annotations/{split}.json").read_text())
        mine = [sample for sample in samples if sample.split == split]
        assert len(content["annotations"]) == len(mine) == 2 * len(content["images"])
        [category] = content["categories"]
        assert category["keypoints"] == list(JOINTS)
        assert min(map(min, category["skeleton"])) == 1
        images = {image["id"]: image for image in content["images"]}
        for annotation, sample in zip(content["annotations"], mine, strict=True):
            image = images[annotation["image_id"]]
            assert (tmp_path / image["file_name"]).is_file()
            keypoints = np.array(annotation["keypoints"]).reshape(21, 3)
            np.testing.assert_allclose(keypoints[:, :2], sample.keypoints_px, atol=1e-4)
            np.testing.assert_array_equal(keypoints[:, 2] == 2, sample.visible)
            x, y, width, height = annotation["bbox"]
            inside = keypoints[((keypoints[:, :2] >= 0) & (keypoints[:, :2] < 320)).all(1), :2]
            assert ((inside >= [x - 1e-6, y - 1e-6]) & (inside <= [x + width + 1e-6, y + height + 1e-6])).all()
            assert annotation["hand_type"] == sample.side
            assert annotation["num_keypoints"] == 21
            assert annotation["iscrowd"] == 0
            projected = np.array(annotation["joint_cam"]) / np.array(annotation["joint_cam"])[:, 2:]
            focal, center = np.array(image["cam_param"]["focal"]), np.array(image["cam_param"]["princpt"])
            np.testing.assert_allclose(projected[:, :2] * focal + center, sample.keypoints_px, atol=1e-2)


def test_keypoints_go_by_name(tmp_path: Path) -> None:
    place = np.random.default_rng(0).permutation(21).tolist()
    names = [MMPOSE[i] for i in place]
    keypoints = [value for i in place for value in (i, 2 * i, 2)]
    category = [{"id": 1, "keypoints": names}]
    annotation = [{"id": 3, "image_id": 7, "keypoints": keypoints}]
    [sample] = read(lay_out(tmp_path, categories=category, annotations=annotation))
    np.testing.assert_array_equal(sample.keypoints_px, np.stack([np.arange(21), 2 * np.arange(21)], 1))
    assert (sample.key, sample.split, sample.moment) == ("hands_test/3", "test", "hands_test/7")
    assert sample.visible is not None
    assert sample.visible.all()


def test_joints_by_option(tmp_path: Path) -> None:
    root = lay_out(tmp_path, categories=[])
    with pytest.raises(DataError, match=r"names of the 21 keypoints in category 1, found none .*option joints"):
        read(root)
    [mine] = read(root, CocoOptions(joints=", ".join(reversed(JOINTS))))
    assert mine.keypoints_px is not None
    np.testing.assert_array_equal(mine.keypoints_px[0], [20, 40])
    [theirs] = read(root, CocoOptions(joints="msra15"))
    assert theirs.keypoints_px is not None
    np.testing.assert_array_equal(theirs.keypoints_px[:, 0], load_manifest("msra15").order)
    with pytest.raises(UsageError, match="one of the datasets"):
        read(root, CocoOptions(joints="no_such_set"))
    with pytest.raises(UsageError, match="the option joints"):
        read(root, CocoOptions(joints="a,b"))


def test_what_is_not_labelled_is_absent(tmp_path: Path) -> None:
    keypoints = [value for i in range(21) for value in (i, i, 0 if i == 4 else 1 if i == 5 else 2)]
    annotations = [
        {"id": 3, "image_id": 7, "keypoints": keypoints, "hand_type": "interacting"},
        {"id": 4, "image_id": 7, "bbox": [1, 2, 3, 4]},
    ]
    images = [{"id": i, "file_name": "a.png", "width": 64, "height": 48} for i in (9, 7)]
    first, second, third = read(lay_out(tmp_path, annotations=annotations, images=images))
    assert np.flatnonzero(first.keypoint_state == 0).tolist() == [4]
    assert first.visible is not None
    assert np.flatnonzero(~first.visible).tolist() == [4, 5]
    assert first.side == "unknown"
    assert second.keypoints_px is None
    assert (third.key, third.frame) == ("hands_test/9/none", "9")


def test_joints_alone_are_projected(tmp_path: Path) -> None:
    joints = [[i, 2.0 * i, 100.0] for i in range(21)]
    annotation = {"id": 3, "image_id": 7, "joint_cam": joints, "joint_valid": [[i != 2] for i in range(21)]}
    image = {"id": 7, "file_name": "a.png", "width": 64, "height": 48}
    image["cam_param"] = {"focal": [100, 200], "princpt": [10, 20]}
    [sample] = read(lay_out(tmp_path, annotations=[annotation], images=[image]))
    assert sample.keypoints_px is not None
    np.testing.assert_allclose(sample.keypoints_px[5], [15, 40])
    assert sample.keypoint_state.tolist() == [DERIVED] * 2 + [0] + [DERIVED] * 18


def test_depth_without_colour_is_the_image(tmp_path: Path) -> None:
    sample = simulated("msra15")[0]
    Coco().write(tmp_path, [replace(sample, rgb=None)], OPTIONS)
    [row] = listed(Coco(), tmp_path, OPTIONS).to_pylist()
    assert row["rgb_file"] is None
    got = Coco().load(tmp_path, row)
    np.testing.assert_allclose(got.depth_mm, sample.depth_mm, atol=0.051)


def test_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    (root / "pictures").mkdir()
    (root / "a.png").rename(root / "pictures" / "a.png")
    with pytest.raises(DataError, match=r"the 1 images that hands_test\.json labels, found 0"):
        read(root)
    assert len(read(root, CocoOptions(images="pictures"))) == 1
    for folder in ("../", "/etc", "a/../.."):
        with pytest.raises(DataError, match="below the dataset's folder"):
            read(root, CocoOptions(images=folder))
    for pattern in ("../*.json", "/etc/*.json"):
        with pytest.raises(UsageError, match="below the dataset's folder"):
            read(root, CocoOptions(annotations=pattern))
    with pytest.raises(MissingError, match=r"expected x/\*\.json"):
        read(root, CocoOptions(annotations="x/*.json"))


IMAGE = {"id": 7, "file_name": "a.png", "width": 64, "height": 48}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": [IMAGE, IMAGE]}, "every image id once, found 7 more than once"),
        ({"images": []}, "image 7 among images"),
        ({"images": [{"id": "7"}]}, r"images\[0\] of"),
        ({"images": [IMAGE | {"id": 1 << 70}]}, "published shape"),
        ({"images": [IMAGE | {"file_name": "../a.png"}]}, "below the dataset's folder"),
        ({"images": [IMAGE | {"cam_param": {"focal": [1], "princpt": [1, 2]}}]}, "focal and princpt of 2 numbers"),
        ({"images": [IMAGE | {"cam_param": {"focal": [0, 1], "princpt": [1, 2]}}]}, "a camera"),
        ({"images": [IMAGE | {"cam_param": {"focal": [9, 9], "princpt": [1, 2]}, "width": 63}]}, "63 x 48 px"),
        ({"annotations": [{"id": 1}]}, r"annotations\[0\] of"),
        ({"annotations": [{"id": 1, "image_id": 1 << 70}]}, "published shape"),
        ({"annotations": [{"id": 1, "image_id": 7, "keypoints": [1, 2]}]}, "keypoints of x, y, v"),
        ({"annotations": [{"id": 1, "image_id": 7, "keypoints": [[1, 2], [3]]}]}, "keypoints of x, y, v"),
        ({"annotations": [{"id": 1, "image_id": 7, "keypoints": [1, 2, 2]}]}, "names of the 1 keypoints"),
        ({"annotations": [{"id": 1, "image_id": 7, "keypoints": [1e300, 2, 2] * 21}]}, "beyond float32"),
        ({"annotations": [{"id": 1, "image_id": 7, "joint_cam": [[1, 2]] * 21}]}, "3 entries in point 0"),
        ({"annotations": [{"id": 1, "image_id": 7, "joint_cam": [[1, 2, 3]] * 21, "joint_valid": [1]}]}, "joint_valid"),
        ({"categories": [{"id": 1, "keypoints": ["wrist", *MMPOSE[:20]]}]}, "named twice"),
        ({"categories": [{"id": 1, "keypoints": ["nose"] * 21}]}, "names of the 21 keypoints"),
    ],
)
def test_files_of_another_shape(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(lay_out(tmp_path, **changes))


@pytest.mark.parametrize("length", [0, 1, 40, 300, -3])
def test_truncated_files(tmp_path: Path, length: int) -> None:
    path = lay_out(tmp_path) / "hands_test.json"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match="JSON of the published shape"):
        read(tmp_path)


def test_nothing_is_left_of_a_stopped_writer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample bare"):
        Coco().write(tmp_path, [simulated("rhd")[0], HandSample(key="bare")], OPTIONS)
    assert list((tmp_path / "annotations").iterdir()) == []
