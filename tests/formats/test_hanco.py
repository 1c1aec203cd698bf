"""HanCo: eight views of one world, flags of meta.json, image variants, and folders that do not belong together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.hanco import HanCo, HanCoOptions
from handsynth.hand.camera import RigidTransform, rotation_matrix
from handsynth.hand.joints import HAND
from handsynth.hand.rows import column
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import write_jpeg
from tests.formats.samples import listed, simulated

OPTIONS = HanCoOptions()
SKIP = HanCoOptions(gaps="skip")
GREY = np.full((224, 224, 3), 90, np.uint8)
RNG = np.random.default_rng(5)
TURNS = [rotation_matrix(RNG.normal(0, 0.3, 3)) for _ in range(8)]
CENTRE = np.array([0.1, -0.2, 0.3])
"""Of the hand in the world, metres."""


def calibration(cameras: int = 8) -> dict[str, Any]:
    """Cameras 0.7 m from the hand, each turned another way."""
    k = [[[480.0 + c, 0, 112], [0, 481.0 + c, 110], [0, 0, 1]] for c in range(cameras)]
    m = np.tile(np.eye(4), (cameras, 1, 1))
    for c in range(cameras):
        m[c, :3, :3], m[c, :3, 3] = TURNS[c], np.array([0, 0, 0.7]) - TURNS[c] @ CENTRE
    return {"K": k, "M": m.tolist()}


def points(seed: int = 0) -> list[list[float]]:
    return np.random.default_rng(seed).normal(CENTRE, 0.03, (21, 3)).tolist()


def meta(sequences: int = 2, frames: int = 2) -> dict[str, Any]:
    def all_of(value: Any) -> list[list[Any]]:
        return [[value] * frames for _ in range(sequences)]

    values = {"is_train": True, "subject_id": 7, "is_valid": True, "object_id": None, "has_fit": True}
    return {name: all_of(value) for name, value in values.items()}


def put(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


def lay_out(
    root: Path, sequences: tuple[int, ...] = (1,), frames: int = 2, folders: tuple[str, ...] = ("rgb",)
) -> Path:
    for sequence in sequences:
        for frame in range(frames):
            put(root / f"calib/{sequence:04d}/{frame:08d}.json", calibration())
            put(root / f"xyz/{sequence:04d}/{frame:08d}.json", points(frame))
            for folder in folders:
                for c in range(8):
                    picture = root / f"{folder}/{sequence:04d}/cam{c}/{frame:08d}.jpg"
                    write_jpeg(picture, np.full((224, 224), 250, np.uint8) if folder == "mask_hand" else GREY)
    put(root / "meta.json", meta(max(sequences) + 1, frames))
    return root


def samples(root: Path, options: HanCoOptions = OPTIONS) -> list[HandSample]:
    return [HanCo().load(root, row) for row in listed(HanCo(), root, options).to_pylist()]


def test_joints_go_through_m_and_k_of_their_camera(tmp_path: Path) -> None:
    """As the publishers show them: x = R X + t, u = K x / z."""
    table = open_catalogue(HanCo(), lay_out(tmp_path), OPTIONS).table
    assert table.column("key").to_pylist()[:9] == [
        *(f"rgb/0001/cam{c}/00000000" for c in range(8)),
        "rgb/0001/cam0/00000001",
    ]
    joints, keypoints = column(table, "joints_mm"), column(table, "keypoints_px")
    for row in range(16):
        frame, camera = divmod(row, 8)
        found = calibration()
        m, k = np.array(found["M"][camera]), np.array(found["K"][camera])
        seen = np.array(points(frame)) @ m[:3, :3].T + m[:3, 3]
        np.testing.assert_allclose(joints[row], seen * 1000, atol=1e-3)
        uv = seen @ k.T
        np.testing.assert_allclose(keypoints[row], uv[:, :2] / uv[:, 2:], atol=1e-3)
    assert set(table.column("moment").to_pylist()) == {"0001/00000000", "0001/00000001"}


def test_all_views_meet_in_the_world(tmp_path: Path) -> None:
    got = samples(lay_out(tmp_path))[:8]
    for sample in got:
        assert sample.world_from_camera is not None
        assert sample.joints_mm is not None
        np.testing.assert_allclose(
            sample.world_from_camera.apply(sample.joints_mm), np.array(points(0)) * 1000, atol=1e-3
        )
        assert sample.joint_state.tolist() == [LABELLED] * 21
        assert sample.keypoint_state.tolist() == [DERIVED] * 21
    assert [sample.view for sample in got] == [f"cam{c}" for c in range(8)]
    assert {(sample.subject, sample.sequence, sample.split, sample.side) for sample in got} == {
        ("7", "0001", "train", "right")
    }


def test_flags_of_each_frame(tmp_path: Path) -> None:
    root = lay_out(tmp_path, frames=3)
    words = meta(2, 3)
    words["is_train"][1] = [True, False, True]
    words["has_fit"][1] = [True, True, False]
    words["is_valid"][1] = [True, False, False]
    words["object_id"][1] = [None, 12, None]
    words["subject_id"][1] = [7, None, 8]
    put(root / "meta.json", words)
    got = samples(root)[::8]
    assert [sample.split for sample in got] == ["train", "test", "train"]
    assert [sample.subject for sample in got] == ["7", None, "8"]
    assert [float(sample.extra["has_fit"][0]) for sample in got] == [1, 1, 0]
    assert [float(sample.extra["is_valid"][0]) for sample in got] == [1, 0, 0]
    assert ["object_id" in sample.extra for sample in got] == [False, True, False]
    assert got[1].extra["object_id"] == 12
    for frames, kept in (("fitted", [0, 1]), ("validated", [0])):
        rows = listed(HanCo(), root, HanCoOptions(frames=frames)).column("frame").to_pylist()[::8]
        assert rows == [f"{i:08d}" for i in kept]


def test_variants_share_moments_and_masks(tmp_path: Path) -> None:
    root = lay_out(tmp_path, sequences=(0, 1), folders=("rgb", "mask_hand"))
    for c in range(8):
        for frame in range(2):
            write_jpeg(root / f"rgb_merged/0001/cam{c}/{frame:08d}.jpg", GREY // 2)
    assert len(samples(root)) == 32
    both = HanCoOptions(variants=("rgb", "rgb_merged"))
    got = [sample for sample in samples(root, both) if sample.moment == "0001/00000000"]
    assert len(got) == 16
    assert [(sample.key, sample.view) for sample in got[3::8]] == [
        ("rgb/0001/cam3/00000000", "cam3"),
        ("rgb_merged/0001/cam3/00000000", "cam3_merged"),
    ]
    assert [round(float(sample.rgb.mean())) for sample in got[::8]] == [90, 45]  # type: ignore[union-attr]
    for sample in got:
        assert sample.mask is not None
        assert set(np.unique(sample.mask)) == {HAND}
    HanCo().write(tmp_path / "back", got, both)
    assert [(sample.view, round(float(sample.rgb.mean()))) for sample in samples(tmp_path / "back", both)] == [  # type: ignore[union-attr]
        (sample.view, round(float(sample.rgb.mean())))  # type: ignore[union-attr]
        for sample in got
    ]
    only = samples(root, HanCoOptions(variants=("rgb_merged",)))
    assert {sample.sequence for sample in only} == {"0001"}
    with pytest.raises(MissingError, match="folders like rgb_homo/0000"):
        samples(root, HanCoOptions(variants=("rgb_homo",)))


def test_a_frame_without_joints(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    (root / "xyz/0001/00000001.json").unlink()
    with pytest.raises(DataError, match=r"joints of every fitted frame, found no xyz/0001/00000001\.json"):
        listed(HanCo(), root, OPTIONS)
    words = meta()
    words["has_fit"][1][1] = False
    put(root / "meta.json", words)
    got = samples(root)
    assert got[0].joints_mm is not None
    assert got[8].joint_state.tolist() == [ABSENT] * 21
    assert got[8].camera is not None
    HanCo().write(tmp_path / "back", got, OPTIONS)
    assert [sample.joint_state[0] for sample in samples(tmp_path / "back")] == [LABELLED] * 8 + [ABSENT] * 8


def test_views_go_back_into_one_frame(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "a", sequences=(1, 4), folders=("rgb", "mask_hand"))
    given = samples(root)
    HanCo().write(tmp_path / "b", iter(given), OPTIONS)
    back = samples(tmp_path / "b")
    assert [sample.key for sample in back] == [sample.key for sample in given]
    for want, got in zip(given, back, strict=True):
        np.testing.assert_allclose(got.joints_mm, want.joints_mm, atol=1e-3)
        np.testing.assert_array_equal(got.mask, want.mask)
        assert (got.subject, got.split, got.view, got.moment) == (want.subject, want.split, want.view, want.moment)
        assert dict(got.extra) == dict(want.extra)
    old, new = (json.loads((tmp_path / f"{x}/calib/0004/00000001.json").read_text()) for x in "ab")
    np.testing.assert_allclose(new["M"], old["M"], atol=1e-6)
    np.testing.assert_allclose(new["K"], old["K"])
    words = json.loads((tmp_path / "b/meta.json").read_text())
    assert [len(words["is_train"][sequence]) for sequence in range(5)] == [0, 2, 0, 0, 2]


def test_views_that_do_not_meet_get_frames_of_their_own(tmp_path: Path) -> None:
    first = simulated("crop")[0]
    here = replace(first, view="a", side="right", world_from_camera=RigidTransform.of(np.eye(3), np.zeros(3)))
    there = replace(here, view="b", key="b", world_from_camera=RigidTransform.of(np.eye(3), np.array([5.0, 0, 0])))
    HanCo().write(tmp_path / "apart", [here, there], OPTIONS)
    assert len({sample.moment for sample in samples(tmp_path / "apart")}) == 2
    HanCo().write(tmp_path / "met", [here, replace(there, world_from_camera=here.world_from_camera)], OPTIONS)
    got = samples(tmp_path / "met")
    assert [sample.view for sample in got] == ["cam0", "cam1"]
    assert len({sample.moment for sample in got}) == 1
    left, right = simulated("rhd")[:2]
    HanCo().write(tmp_path / "hands", [left, right], OPTIONS)
    assert [sample.frame for sample in samples(tmp_path / "hands")] == ["00000000", "00000001"]


def test_left_hands_are_mirrored_with_their_world(tmp_path: Path) -> None:
    """Every camera mirrors its own picture, and the mirrored views still meet in one world."""
    given = [replace(sample, side="left") for sample in samples(lay_out(tmp_path / "a"))]
    HanCo().write(tmp_path / "b", given, OPTIONS)
    back = samples(tmp_path / "b")
    assert [sample.moment for sample in back] == ["0001/00000000"] * 8 + ["0001/00000001"] * 8
    for want, got in zip(given, back, strict=True):
        np.testing.assert_allclose(got.joints_mm, want.joints_mm * [-1, 1, 1], atol=1e-3)  # type: ignore[operator]


def test_sequences_part_where_cameras_or_masks_change(tmp_path: Path) -> None:
    one, two, three = (replace(sample, sequence="s", subject="x") for sample in simulated("crop")[:3])
    HanCo().write(tmp_path, [one, replace(two, mask=None), three], OPTIONS)
    got = samples(tmp_path)
    assert [(sample.sequence, sample.frame, sample.mask is None) for sample in got] == [
        ("0000", "00000000", False),
        ("0000", "00000001", False),
        ("0001", "00000000", True),
    ]
    assert {sample.subject for sample in got} == {"0"}


@pytest.mark.parametrize(
    ("gone", "error", "says"),
    [
        (
            "rgb/0001/cam3/00000001.jpg",
            DataError,
            r"the 2 images that calib/0001 labels, found 1 \(00000001.jpg lacks\)",
        ),
        ("mask_hand/0001/cam3/00000001.jpg", DataError, "mask_hand/0001/cam3"),
        ("calib/0001/00000001.json", DataError, r"the 1 images that calib/0001 labels, found 2 \(00000001.jpg has no"),
        ("meta.json", MissingError, r"meta\.json of hanco"),
    ],
)
def test_files_that_lack(tmp_path: Path, gone: str, error: type[Exception], says: str) -> None:
    root = lay_out(tmp_path, folders=("rgb", "mask_hand"))
    (root / gone).unlink()
    with pytest.raises(error, match=says):
        listed(HanCo(), root, OPTIONS)


@pytest.mark.parametrize("gone", ["calib/0001", "xyz/0001"])
def test_labels_of_a_sequence_that_lack(tmp_path: Path, gone: str) -> None:
    root = lay_out(tmp_path, sequences=(0, 1))
    (root / gone).rename(tmp_path / "elsewhere")
    with pytest.raises(MissingError, match=rf"{gone}.*handsynth datasets hanco"):
        HanCo().annotations(root, OPTIONS)


def test_gaps_may_be_skipped(tmp_path: Path) -> None:
    root = lay_out(tmp_path, folders=("rgb", "mask_hand"))
    for gone in ("rgb/0001/cam3/00000001.jpg", "rgb/0001/cam7/00000000.jpg", "mask_hand/0001/cam0/00000000.jpg"):
        (root / gone).unlink()
    got = samples(root, SKIP)
    assert len(got) == 14
    assert got[0].mask is None
    assert got[1].mask is not None


def test_a_whole_camera_that_lacks_is_seen(tmp_path: Path) -> None:
    root = lay_out(tmp_path)
    (root / "rgb/0001/cam7").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="K of the 7 cameras seen in rgb/0001, found 8"):
        listed(HanCo(), root, OPTIONS)
    assert len(listed(HanCo(), root, SKIP)) == 14


def odd_m(change: Any) -> dict[str, Any]:
    found = calibration()
    m = np.array(found["M"])
    change(m)
    return found | {"M": m.tolist()}


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        ("calib/0001/00000001.json", calibration(7), "K of the 8 cameras seen in rgb/0001, found 7"),
        (
            "calib/0001/00000001.json",
            calibration() | {"K": [[[1.0]]] * 8},
            r"K of 3 x 3 .* camera 0 of .*00000001\.json",
        ),
        ("calib/0001/00000001.json", {"K": []}, "JSON of the published shape"),
        ("calib/0001/00000001.json", odd_m(lambda m: m[5].__imul__(1000)), "M as a rotation .* camera 5 of"),
        ("calib/0001/00000001.json", odd_m(lambda m: m[2, 0].__imul__(-1)), "M as a rotation .* camera 2 of"),
        ("xyz/0001/00000001.json", points()[:20], r"xyz of 21 x 3 numbers, finite, found 20 x 3 .*00000001\.json"),
        ("xyz/0001/00000001.json", [*points()[:20], [0.0, 1.0]], "lists of unequal length"),
        ("xyz/0001/00000001.json", "[[NaN, 0, 0]]", "JSON of the published shape"),
        ("xyz/0001/00000002.json", points(), r"a calibration for every xyz file, found xyz/0001/00000002\.json"),
        ("meta.json", meta(1, 2), "an entry for every frame, found sequence 0001"),
        ("meta.json", meta(2, 1), "found 1 entries, but frame 00000001"),
        ("meta.json", {"is_train": []}, "JSON of the published shape"),
        ("meta.json", "[" * 100000, "JSON of the published shape"),
    ],
)
def test_annotations_that_do_not_fit(tmp_path: Path, file: str, value: Any, says: str) -> None:
    root = lay_out(tmp_path)
    put(root / file, value)
    with pytest.raises(DataError, match=says):
        open_catalogue(HanCo(), root, OPTIONS)
