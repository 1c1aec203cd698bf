"""FreiHAND: versions, lossy masks, the real samples, and copies that are cut or mixed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats import freihand
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.freihand import FreiHand, FreiHandOptions
from handsynth.hand.joints import HAND
from handsynth.hand.pose import chirality, palm_length
from handsynth.hand.rows import column
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample
from handsynth.imaging.codecs import read_raw, write_jpeg
from handsynth.runtime.progress import Silent, show
from tests.formats.cases import freihand_crop
from tests.formats.samples import listed, real, simulated

OPTIONS = FreiHandOptions()
K = [[480.0, 0, 112], [0, 480.0, 112], [0, 0, 1]]
GREY = np.full((224, 224, 3), 90, np.uint8)


def pose(seed: int) -> list[list[float]]:
    return np.random.default_rng(seed).normal([0, 0, 0.7], 0.04, (21, 3)).tolist()


def lay_out(root: Path, count: int = 2, versions: int = 4, masks: bool = True, name: str = "training") -> Path:
    """A set by hand; pixels of image i + n v are 10 v."""
    for number in range(count * versions):
        write_jpeg(root / name / "rgb" / f"{number:08d}.jpg", np.full_like(GREY, 10 * (number // count)))
        if masks and number < count:
            write_jpeg(root / name / "mask" / f"{number:08d}.jpg", np.full((224, 224), 255, np.uint8))
    put(root, f"{name}_K.json", [K] * count)
    put(root, f"{name}_xyz.json", [pose(i) for i in range(count)])
    return root


def put(root: Path, name: str, value: Any) -> None:
    (root / name).write_text(value if isinstance(value, str) else json.dumps(value))


def samples(root: Path, options: FreiHandOptions = OPTIONS) -> list[HandSample]:
    return [FreiHand().load(root, row) for row in listed(FreiHand(), root, options).to_pylist()]


def test_real_samples() -> None:
    root = real("freihand")
    table = open_catalogue(FreiHand(), root, OPTIONS).table
    assert table.column("key").to_pylist() == [f"training/{i:08d}" for i in range(3)]
    assert set(table.column("view").to_pylist()) == {"gs"}
    assert table.column("mask_file").null_count == 3
    keypoints, joints = column(table, "keypoints_px"), column(table, "joints_mm")
    assert ((keypoints >= 0) & (keypoints <= 223)).all()
    assert ((palm_length(joints) > 85) & (palm_length(joints) < 105)).all()
    stored = json.loads((root / "training_xyz.json").read_text())
    k = np.array(json.loads((root / "training_K.json").read_text()))
    np.testing.assert_allclose(joints, np.array(stored) * 1000, rtol=1e-6)
    uv = np.einsum("nij,nkj->nki", k, np.array(stored))
    np.testing.assert_allclose(keypoints, uv[..., :2] / uv[..., 2:], atol=1e-4)
    np.testing.assert_allclose(
        keypoints[:, 0], [[131.4769, 93.5137], [81.6296, 99.8002], [74.3749, 141.4140]], atol=1e-3
    )
    np.testing.assert_allclose(chirality(joints), [-0.742, -0.736, 3.008], atol=2e-3)  # two are flat hands
    sample = FreiHand().load(root, table.to_pylist()[0])
    assert sample.rgb is not None
    assert sample.rgb.shape == (224, 224, 3)
    assert (sample.side, sample.split, sample.frame) == ("right", "train", "00000000")


def test_versions_of_the_whole_set_belong_to_one_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """32,560 samples are 130,240 images; two quadruples of image numbers are known to show one pose each."""
    count, images = 32560, 130240
    put(tmp_path, "training_K.json", "[" + ",".join([json.dumps(K)] * count) + "]")
    put(tmp_path, "training_xyz.json", "[" + ",".join([json.dumps([[0, 0, 1]] * 21)] * count) + "]")
    monkeypatch.setattr(freihand, "listing", lambda folder: frozenset(f"{i:08d}.jpg" for i in range(images)))
    parts = list(FreiHand().catalogue(tmp_path, OPTIONS))
    assert sum(map(len, parts)) == images
    for quadruple in ((17620, 50180, 82740, 115300), (355, 32915, 65475, 98035)):
        for version, number in enumerate(quadruple):
            part = parts[version].select(["key", "moment", "rgb_file", "mask_file"])
            assert part.slice(number - version * count, 1).to_pylist() == [
                {
                    "key": f"training/{number:08d}",
                    "moment": f"training/{quadruple[0]:08d}",
                    "rgb_file": f"training/rgb/{number:08d}.jpg",
                    "mask_file": f"training/mask/{quadruple[0]:08d}.jpg",
                }
            ]


def test_each_version_has_its_image_and_the_mask_of_its_sample(tmp_path: Path) -> None:
    root = lay_out(tmp_path, count=2, versions=4)
    got = samples(root)
    assert [sample.view for sample in got] == ["gs"] * 2 + ["hom"] * 2 + ["sample"] * 2 + ["auto"] * 2
    assert [sample.key for sample in got] == [f"training/{i:08d}" for i in range(8)]
    assert [sample.moment for sample in got] == ["training/00000000", "training/00000001"] * 4
    for number, sample in enumerate(got):
        assert sample.rgb is not None
        assert sample.mask is not None
        assert abs(int(sample.rgb.mean()) - 10 * (number // 2)) <= 1
        assert set(np.unique(sample.mask)) == {HAND}
        np.testing.assert_array_equal(sample.joints_mm, got[number % 2].joints_mm)


def test_versions_that_are_asked_for(tmp_path: Path) -> None:
    root = lay_out(tmp_path, count=2, versions=2)
    assert [sample.key for sample in samples(root)] == [f"training/{i:08d}" for i in range(4)]
    assert [sample.view for sample in samples(root, FreiHandOptions(versions=("hom",)))] == ["hom", "hom"]
    with pytest.raises(MissingError, match="version auto"):
        samples(root, FreiHandOptions(versions=("gs", "auto")))


@pytest.mark.parametrize(("low", "high"), [(0, 255), (7, 248), (1, 254), (127, 128)])
def test_masks_are_lossy(tmp_path: Path, low: int, high: int) -> None:
    root = lay_out(tmp_path, count=1, versions=1)
    mask = np.full((224, 224), low, np.uint8)
    mask[:, 112:] = high
    write_jpeg(root / "training/mask/00000000.jpg", mask, quality=100)
    [sample] = samples(root)
    assert sample.mask is not None
    np.testing.assert_array_equal(sample.mask[:, 112:], HAND)
    np.testing.assert_array_equal(sample.mask[:, :112], 0)
    write_jpeg(root / "training/mask/00000000.jpg", np.repeat(mask[..., None], 3, axis=2), quality=100)
    np.testing.assert_array_equal(samples(root)[0].mask, sample.mask)


def test_written_masks_lie_near_0_and_255(tmp_path: Path) -> None:
    hand = freihand_crop(simulated("crop")[0])
    FreiHand().write(tmp_path, [hand], OPTIONS)
    stored = read_raw(tmp_path / "training/mask/00000000.jpg")
    assert stored.ndim == 2
    assert len(np.unique(stored)) > 2, "JPEG keeps neither exactly"
    np.testing.assert_array_equal(samples(tmp_path)[0].mask, hand.mask)


def test_evaluation_without_joints(tmp_path: Path) -> None:
    root = lay_out(tmp_path, count=2, versions=1, masks=False, name="evaluation")
    assert samples(root)[0].joint_state.tolist() == [LABELLED] * 21
    assert samples(root)[0].keypoint_state.tolist() == [DERIVED] * 21
    (root / "evaluation_xyz.json").unlink()
    put(root, "evaluation_scale.json", [0.03, 0.031])
    got = samples(root)
    assert [sample.split for sample in got] == ["test", "test"]
    assert got[1].joints_mm is None
    assert got[1].keypoints_px is None
    assert got[1].joint_state.tolist() == got[1].keypoint_state.tolist() == [ABSENT] * 21
    assert got[1].camera is not None
    assert got[1].camera.fx == 480
    assert got[1].extra["scale_m"] == pytest.approx(0.031)
    FreiHand().write(tmp_path / "back", got, OPTIONS)
    assert not (tmp_path / "back/evaluation_xyz.json").exists()
    assert len(samples(tmp_path / "back")) == 2


def test_scale_that_is_another_length_is_said(tmp_path: Path) -> None:
    root = lay_out(tmp_path, count=2, versions=1)
    bones = [float(np.linalg.norm(np.subtract(pose(i)[9], pose(i)[10]))) for i in range(2)]
    said: list[str] = []

    class Listener(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    put(root, "training_scale.json", bones)
    with show(Listener()):
        listed(FreiHand(), root, OPTIONS)
        assert not said
        put(root, "training_scale.json", [bones[0], 3 * bones[1]])
        listed(FreiHand(), root, OPTIONS)
    assert said == ["training_scale.json: 1 of 2 scales are not the length middle MCP to middle PIP in metres"]


def test_release_is_kept(tmp_path: Path) -> None:
    root = lay_out(tmp_path, count=1, versions=1)
    assert "release" not in samples(root)[0].extra
    assert samples(root, FreiHandOptions(release="v2"))[0].extra["release"] == 2


def test_versions_go_back_to_their_places(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "a", count=3, versions=4)
    given = samples(root)
    order = np.random.default_rng(0).permutation(len(given))
    FreiHand().write(tmp_path / "b", (given[i] for i in order), OPTIONS)
    back = samples(tmp_path / "b")
    assert [sample.view for sample in back] == [sample.view for sample in given]
    assert sorted((tmp_path / "b/training").iterdir()) == [tmp_path / "b/training/mask", tmp_path / "b/training/rgb"]
    for sample in back:
        same = [x for x in given if x.view == sample.view and np.allclose(x.joints_mm, sample.joints_mm, atol=1e-3)]  # type: ignore[arg-type]
        assert len(same) == 1
        assert sample.rgb is not None
        assert abs(int(sample.rgb.mean()) - int(same[0].rgb.mean())) <= 1  # type: ignore[union-attr]
    for name in ("K", "xyz"):
        entries = json.loads((tmp_path / f"b/training_{name}.json").read_text())
        assert np.array(entries).shape == {"K": (3, 3, 3), "xyz": (3, 21, 3)}[name]
    bones = [np.linalg.norm(np.subtract(xyz[9], xyz[10])) for xyz in entries]
    np.testing.assert_allclose(json.loads((tmp_path / "b/training_scale.json").read_text()), bones)


def test_versions_that_are_not_whole_cannot_be_numbered(tmp_path: Path) -> None:
    given = samples(lay_out(tmp_path / "a", count=2, versions=2))
    with pytest.raises(DataError, match="version hom of each of the 2 samples, found 1"):
        FreiHand().write(tmp_path / "b", given[:3], OPTIONS)


def test_hands_of_one_moment_that_differ_are_samples_of_their_own(tmp_path: Path) -> None:
    left, right = simulated("rhd")[:2]
    FreiHand().write(tmp_path, [left, right], OPTIONS)
    assert [sample.moment for sample in samples(tmp_path)] == ["training/00000000", "training/00000001"]
    hom = replace(right, view="hom", key="other")
    with pytest.raises(DataError, match="version gs of each"):
        FreiHand().write(tmp_path / "b", [left, hom], OPTIONS)


def test_masks_of_some_samples_are_left_out(tmp_path: Path) -> None:
    first, second = simulated("crop")[:2]
    FreiHand().write(tmp_path, [first, replace(second, mask=None)], OPTIONS)
    assert not (tmp_path / "training/mask").exists()
    assert [sample.mask for sample in samples(tmp_path)] == [None, None]


@pytest.mark.parametrize(
    ("file", "value", "says"),
    [
        ("training_K.json", [K], "1 entries, as there are calibration matrices, found 2"),
        ("training_K.json", [], "at least one entry, found 0"),
        ("training_K.json", [K, [[1, 2, 3]] * 2], "K of 3 x 3 numbers, finite, found 2 x 3 numbers in entry 1"),
        ("training_K.json", [K, [[480, 3, 112], [0, 480, 112], [0, 0, 1]]], "without skew"),
        ("training_xyz.json", [pose(0)], "2 entries, as there are calibration matrices, found 1"),
        (
            "training_xyz.json",
            [pose(0), pose(1)[:20]],
            "xyz of 21 x 3 numbers, finite, found 20 x 3 numbers in entry 1",
        ),
        ("training_xyz.json", [pose(0), None], "training_xyz"),
        ("training_xyz.json", [pose(0), "x"], "training_xyz"),
        ("training_xyz.json", "[[[NaN, 0, 1]]]", "JSON of the published shape"),
        ("training_xyz.json", "[" * 100000, "JSON of the published shape"),
        ("training_xyz.json", "[[[1, 2, 3]", "JSON of the published shape"),
        ("training_scale.json", [1.0], "2 entries"),
    ],
)
def test_annotations_of_another_shape(tmp_path: Path, file: str, value: Any, says: str) -> None:
    root = lay_out(tmp_path)
    put(root, file, value)
    with pytest.raises(DataError, match=says):
        open_catalogue(FreiHand(), root, OPTIONS)


@pytest.mark.parametrize(
    ("count", "says"),
    [
        (1, r"images up to 00000003, as the 1 entries of training_K\.json allow, found 00000007"),
        (3, r"the 3 images that training_K\.json labels, found 2"),
    ],
)
def test_annotations_of_fewer_or_more_samples_would_part_the_versions_wrongly(
    tmp_path: Path, count: int, says: str
) -> None:
    root = lay_out(tmp_path, count=2, versions=4, masks=False)
    put(root, "training_K.json", [K] * count)
    put(root, "training_xyz.json", [pose(i) for i in range(count)])
    with pytest.raises(DataError, match=says):
        listed(FreiHand(), root, OPTIONS)


@pytest.mark.parametrize(
    ("gone", "error", "says"),
    [
        ("training/rgb/00000003.jpg", DataError, "the 2 images that training_K.json labels, found 1"),
        ("training/mask/00000001.jpg", DataError, "the 2 images that training_K.json labels, found 1"),
        ("training_xyz.json", MissingError, "training_xyz.json of freihand"),
        ("training_K.json", MissingError, "training_K.json of freihand"),
    ],
)
def test_files_that_lack(tmp_path: Path, gone: str, error: type[Exception], says: str) -> None:
    root = lay_out(tmp_path)
    (root / gone).unlink()
    with pytest.raises(error, match=says):
        listed(FreiHand(), root, OPTIONS)


def test_a_mask_of_another_size(tmp_path: Path) -> None:
    root = lay_out(tmp_path, versions=1)
    write_jpeg(root / "training/mask/00000000.jpg", np.zeros((112, 112), np.uint8))
    with pytest.raises(DataError, match="224 x 224 px, found 112 x 112"):
        samples(root)
