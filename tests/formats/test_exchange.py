"""Records and pictures of the exchange formats: exact numbers, honest states, and numbers that are none."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from handsynth.errors import DataError
from handsynth.formats.exchange import (
    depth_from_steps,
    depth_steps,
    file_word,
    fitting_unit,
    hand_mask,
    packed,
    split_of,
    take_unit,
    unpacked,
)
from handsynth.formats.records import DEPTH_UNIT, SampleRecord, from_record, to_record
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import JOINTS
from handsynth.hand.rows import to_row, without_pixels
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from tests.formats.samples import simulated


def full() -> HandSample:
    """A sample with something in every field."""
    joints = np.random.default_rng(0).normal(0, 40, (21, 3)).astype(np.float32)
    joints[3] = np.nan
    state = np.full(21, LABELLED, np.uint8)
    state[0], state[3] = DERIVED, ABSENT
    move = RigidTransform.of(np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 1 / 3]))
    return HandSample(
        key="a/b.c",
        joints_mm=joints,
        joint_state=state,
        keypoints_px=np.random.default_rng(1).normal(0, 99, (21, 2)).astype(np.float32),
        keypoint_state=np.full(21, DERIVED, np.uint8),
        visible=np.arange(21) % 3 == 0,
        camera=Camera(501.1, 500.2, 319.5, 1 / 3, 640, 480, (0.1, 0.01, 1e-3, -1e-3, 0.2)),
        depth_camera=Camera(400, 400, 160, 120, 320, 240),
        depth_from_color=move,
        world_from_camera=move.inverse(),
        side="left",
        mirrored=True,
        subject="s",
        sequence="q",
        frame="7",
        view="v",
        moment="m",
        split="val",
        extra={"palm_mm": np.array([[1.0, np.nan, 3]], np.float32), "known_bad": np.array([1.0], np.float32)},
    )


def same(a: HandSample, b: HandSample) -> None:
    for name, value in to_row(a).items():
        other = to_row(b)[name]
        if name == "extra":
            assert [entry[0] for entry in value] == [entry[0] for entry in other]
            value, other = (np.concatenate([entry[1] for entry in entries] or [[]]) for entries in (value, other))
        if value is None or isinstance(value, str | bool):
            assert value == other, name
        else:
            np.testing.assert_array_equal(value, other, err_msg=name)


@pytest.mark.parametrize("sample", [full(), HandSample(key="x", moment="x"), without_pixels(simulated("stb_sk")[0])])
def test_records_are_exact(sample: HandSample) -> None:
    data = msgspec.json.encode(to_record(sample))
    same(sample, from_record(msgspec.json.decode(data, type=SampleRecord), "other", "here"))


def test_a_record_has_a_place_for_every_field() -> None:
    held = {field.name for field in fields(HandSample)} - {"rgb", "depth_mm", "mask"}
    assert set(SampleRecord.__struct_fields__) == held | {"joints", "depth_unit_mm"}


def test_joints_go_by_name() -> None:
    record = to_record(full())
    places = np.random.default_rng(2).permutation(21).tolist()
    for name in ("joints", "joints_mm", "keypoints_px", "joint_state", "keypoint_state", "visible"):
        values = getattr(record, name)
        setattr(record, name, [values[i] for i in places])
    same(full(), from_record(record, "", "here"))


def test_points_beyond_the_21_are_kept() -> None:
    record = SampleRecord(joints=["palm", "wrist"], joints_mm=[[1, 2, 3], [4, 5, 6]])
    sample = from_record(record, "k", "here")
    assert sample.joints_mm is not None
    np.testing.assert_array_equal(sample.joints_mm[0], [4, 5, 6])
    assert sample.joint_state.tolist() == [LABELLED] + [ABSENT] * 20
    np.testing.assert_array_equal(sample.extra["source_mm"], [[1, 2, 3], [4, 5, 6]])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"joints": ["wrist"]}, "1 entries in joints_mm, found 21"),
        ({"joints": ["wrist", "wrist", *JOINTS[2:]]}, "named twice"),
        ({"joints_mm": [[1.0, 2.0]] * 21}, "3 entries in point 0 of joints_mm, found 2"),
        ({"joints_mm": [[1e39, 0.0, 0.0]] * 21}, "beyond float32"),
        ({"joint_state": [3] * 21}, "states 0, 1 or 2"),
        ({"joint_state": [1] * 20}, "21 entries in joint_state"),
        ({"visible": [True]}, "21 entries in visible"),
        ({"extra": {"palm_mm": [1.0]}}, "points of 3 numbers in palm_mm"),
        ({"depth_unit_mm": 0.0}, "a positive depth_unit_mm"),
    ],
)
def test_records_that_are_none(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        from_record(msgspec.structs.replace(to_record(full()), **changes), "", "here")


@pytest.mark.parametrize("change", [{"fx": 0.0}, {"width": 0}, {"height": 1 << 40}, {"distortion": [0.1] * 6}])
def test_cameras_that_are_none(change: dict[str, Any]) -> None:
    record = to_record(full())
    assert record.camera is not None
    with pytest.raises(DataError, match="a camera"):
        from_record(msgspec.structs.replace(record, camera=msgspec.structs.replace(record.camera, **change)), "", "")
    assert record.world_from_camera is not None
    record.world_from_camera.rotation = [[1.0]]
    with pytest.raises(DataError, match="3 x 3 rotation"):
        from_record(record, "", "here")


def test_a_state_without_its_point_is_absent() -> None:
    record = msgspec.structs.replace(to_record(full()), joint_state=[1] * 21)
    assert from_record(record, "", "here").joint_state.tolist() == [1, 1, 1, 0] + [1] * 17


def test_depth_comes_back_within_half_a_step() -> None:
    depth = np.array([[np.nan, 0.04, 735, 735.06], [6553.5, 6553.6, np.inf, -3]], np.float32)
    assert depth_steps(depth, 0.1).tolist() == [[0, 0, 7350, 7351], [65535, 0, 0, 0]]
    back = depth_from_steps(depth_steps(depth, 0.1), 0.1, "here")
    np.testing.assert_array_equal(back[0, 2], np.float32(735))
    assert np.isnan(back).tolist() == [[True, True, False, False], [False, True, True, True]]
    assert fitting_unit(depth, 0.1) == pytest.approx(1.0)
    assert fitting_unit(depth[:1], 0.1) == 0.1
    assert fitting_unit(np.full((2, 2), np.nan, np.float32), 0.1) == 0.1
    # 2.4e-6 mm of rounding aside, whole millimetres are exact.
    whole = np.arange(1, 6554, dtype=np.float32)[None]
    np.testing.assert_array_equal(depth_from_steps(depth_steps(whole, 0.1), 0.1, ""), whole)


def test_the_unit_of_a_row_is_what_was_meant() -> None:
    sample, unit = take_unit(HandSample(key="", extra={DEPTH_UNIT: np.array([0.1], np.float32)}), 1.0)
    assert (unit, sample.extra) == (0.1, {})
    assert take_unit(HandSample(key=""), 1.0)[1] == 1.0


@pytest.mark.parametrize("picture", [np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.float32)])
def test_pictures_that_hold_no_depth(picture: np.ndarray) -> None:
    with pytest.raises(DataError, match="depth picture of one channel"):
        depth_from_steps(picture, 1.0, "here")


def test_masks_have_codes_to_18() -> None:
    with pytest.raises(DataError, match="codes 0 to 18"):
        hand_mask(np.full((2, 2), 255, np.uint8), "here")


def test_names() -> None:
    assert file_word("B1/Counting é.png", "x") == "B1_Counting_png"
    assert file_word("../..", "x") == "x"
    assert file_word(None, "x") == "x"
    assert [split_of(name) for name in ("hands_train", "test2", "valid-00", "train_val", "latest")] == [
        "train",
        "test",
        "val",
        None,
        None,
    ]


def test_places_in_files(tmp_path: Path) -> None:
    assert unpacked(tmp_path, packed("a/b#c.tar", 512, 7)) == (tmp_path / "a/b#c.tar", 512, 7)
    for name in ("a.tar", "a.tar#1", "a.tar#-1,2", "a.tar#1,2,x", "#1,2", "a#9999999999999999999,1"):
        with pytest.raises(DataError, match="a picture inside a file"):
            unpacked(tmp_path, name)
    for name in ("../a.tar#1,2", "/a.tar#1,2"):
        with pytest.raises(DataError, match="below the dataset's folder"):
            unpacked(tmp_path, name)


def test_equal_hands_differ_by_words() -> None:
    with pytest.raises(AssertionError):
        same(full(), replace(full(), subject="t"))
