"""RHD: depth bytes, part codes, both hands, the real samples, and annotations that are not what they seem."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.format import NoOptions
from handsynth.formats.manifest import load_manifest
from handsynth.formats.pickles import read_pickle, write_pickle
from handsynth.formats.rhd import Rhd
from handsynth.hand.joints import FIRST_PHALANX, HAND, INDEX, OTHER_BODY, PALM_PART
from handsynth.hand.pose import chirality
from handsynth.hand.rows import column
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import read_color, write_png
from tests.formats.samples import listed, real, simulated

OPTIONS = NoOptions()


def entry(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0, 0.05, (42, 3)) + np.array([0, 0, 0.5])
    k = np.array([[300.0, 0, 160], [0, 300, 160], [0, 0, 1]])
    uv = (xyz @ k.T)[:, :2] / xyz[:, 2:]
    return {"xyz": xyz, "K": k, "uv_vis": np.concatenate([uv, rng.integers(0, 2, (42, 1))], axis=1)}


def lay_out(root: Path, annotations: Any, color: bool = True) -> Path:
    """A training folder by hand."""
    write_pickle(root / "training" / "anno_training.pickle", annotations)
    for number in annotations if color else ():
        write_png(root / "training" / "color" / f"{number:05d}.png", np.zeros((320, 320, 3), np.uint8))
    return root


def lay_out_real(root: Path) -> Path:
    """The real samples in RHD's own layout: metres, tip first, the hand's side by its chirality."""
    source = real("rhd_mmpose")
    listed = json.loads((source / "test_rhd.json").read_text())
    entries = {}
    for image, label in zip(listed["images"], listed["annotations"], strict=True):
        assert image["id"] == label["image_id"]
        camera = image["cam_param"]
        xyz = np.array(label["joint_cam"]) / 1000
        canonical = xyz[load_manifest("rhd").order]
        rows = slice(0, 21) if chirality(canonical) < 0 else slice(21, 42)
        e = {"uv_vis": np.zeros((42, 3)), "xyz": np.zeros((42, 3)), "K": np.eye(3)}
        e["xyz"][rows], e["uv_vis"][rows] = xyz, np.array(label["keypoints"])
        e["K"][[0, 1], [0, 1]], e["K"][:2, 2] = camera["focal"], camera["princpt"]
        entries[image["id"]] = e
        write_png(root / "training/color" / image["file_name"], read_color(source / image["file_name"]))
    write_pickle(root / "training/anno_training.pickle", entries)
    return root


def test_real_samples_reproject(tmp_path: Path) -> None:
    root = lay_out_real(tmp_path)
    rows = open_catalogue(Rhd(), root, OPTIONS).table.to_pylist()
    assert [row["key"] for row in rows] == ["training/00111-left", "training/01111-left", "training/11111-right"]
    for row in rows:
        sample = Rhd().load(root, row)
        error = np.linalg.norm(sample.projected() - sample.keypoints_px, axis=-1)  # type: ignore[operator]
        assert error.max() < 0.1, sample.key
        assert sample.joints_mm is not None
        assert (chirality(sample.joints_mm) > 0) == (sample.side == "right")
        bone = sample.joints_mm[INDEX["index_mcp"]] - sample.joints_mm[0]
        assert np.linalg.norm(bone) == pytest.approx(93.7, abs=0.2)


def test_both_hands_keep_their_rows(tmp_path: Path) -> None:
    e = entry()
    e["xyz"][21:, 2] += 0.2  # the hands at different depths prove that the offset of 21 is not swapped
    table = listed(Rhd(), lay_out(tmp_path, {111: e, 7: entry(1)}), OPTIONS)
    assert table.column("key").to_pylist() == [
        "training/00007-left",
        "training/00007-right",
        "training/00111-left",
        "training/00111-right",
    ]
    assert table.column("moment").to_pylist() == ["training/00007"] * 2 + ["training/00111"] * 2
    joints = column(table, "joints_mm")
    order = load_manifest("rhd").order
    np.testing.assert_allclose(joints[2], e["xyz"][:21][order] * 1000, rtol=1e-6)
    np.testing.assert_allclose(joints[3], e["xyz"][21:][order] * 1000, rtol=1e-6)
    np.testing.assert_array_equal(column(table, "visible")[3], e["uv_vis"][21:, 2][order] == 1)


def test_a_hand_of_zeros_is_absent(tmp_path: Path) -> None:
    left = [sample for sample in simulated("rhd") if sample.side == "left"][:1]
    Rhd().write(tmp_path, left, OPTIONS)
    stored = read_pickle(tmp_path / "training/anno_training.pickle")[0]
    assert stored["uv_vis"].shape == (42, 3)
    assert not stored["xyz"][21:].any()
    assert listed(Rhd(), tmp_path, OPTIONS).column("side").to_pylist() == ["left"]


@pytest.mark.parametrize(("red", "green", "metres"), [(255, 255, 5.0), (25, 10, 0.48905165), (128, 1, 2.5001144)])
def test_depth_bytes(tmp_path: Path, red: int, green: int, metres: float) -> None:
    root = lay_out(tmp_path, {0: entry()})
    picture = np.zeros((320, 320, 3), np.uint8)
    picture[10, 20] = red, green, 0
    write_png(root / "training/depth/00000.png", picture)
    depth = Rhd().load(root, listed(Rhd(), root, OPTIONS).to_pylist()[0]).depth_mm
    assert depth is not None
    assert depth[10, 20] == pytest.approx(metres * 1000, abs=1e-2)
    assert np.isfinite(depth).sum() == 1


def test_part_codes_of_each_hand(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {0: entry()})
    codes = np.zeros((320, 320), np.uint8)
    codes[0, :34] = np.arange(34)
    write_png(root / "training/mask/00000.png", codes)
    left, right = (Rhd().load(root, row).mask for row in listed(Rhd(), root, OPTIONS).to_pylist())
    assert left is not None
    assert right is not None
    thumb = [FIRST_PHALANX + 2, FIRST_PHALANX + 1, FIRST_PHALANX]  # tip first in the source
    little = [17, 16, 15]
    assert left[0, 2:5].tolist() == right[0, 18:21].tolist() == thumb
    assert left[0, 14:17].tolist() == right[0, 30:33].tolist() == little
    assert left[0, 17] == right[0, 33] == PALM_PART
    assert set(left[0, 18:34].tolist()) == set(right[0, 2:18].tolist()) == {OTHER_BODY}
    assert left[0, :2].tolist() == right[0, :2].tolist() == [0, OTHER_BODY]
    codes[0, 0] = 34
    write_png(root / "training/mask/00000.png", codes)
    with pytest.raises(DataError, match="codes 0 to 33"):
        Rhd().load(root, listed(Rhd(), root, OPTIONS).to_pylist()[0])


def test_an_unknown_part_becomes_palm(tmp_path: Path) -> None:
    hand = simulated("rhd")[0]
    assert hand.mask is not None
    Rhd().write(tmp_path, [replace(hand, mask=np.minimum(hand.mask, HAND))], OPTIONS)
    mask = Rhd().load(tmp_path, listed(Rhd(), tmp_path, OPTIONS).to_pylist()[0]).mask
    assert mask is not None
    assert set(np.unique(mask).tolist()) == {0, PALM_PART}


@pytest.mark.parametrize("change", ["same side twice", "hands apart", "no side"])
def test_hands_that_make_no_image(tmp_path: Path, change: str) -> None:
    left, right, other, _ = simulated("rhd")[:4]
    samples: dict[str, list[HandSample]] = {
        "same side twice": [left, replace(right, side="left")],
        "hands apart": [left, other, right],
        "no side": [replace(left, side="unknown")],
    }
    with pytest.raises(DataError):
        Rhd().write(tmp_path, samples[change], OPTIONS)


@pytest.mark.parametrize(
    ("annotations", "says"),
    [
        ([], "a dictionary of images, found list"),
        ({}, "a dictionary of images"),
        ({"0": entry()}, "'0' -> dict"),
        ({0: [1, 2]}, "0 -> list"),
        ({0: entry() | {"K": np.eye(4)}}, r"K of shape \(3, 3\), found shape \(4, 4\)"),
        ({0: entry() | {"xyz": np.zeros((21, 3))}}, r"found shape \(21, 3\)"),
        ({0: {"K": np.eye(3)}}, "uv_vis"),
        ({0: entry() | {"xyz": [1.0, 2.0]}}, "found list"),
        ({0: entry() | {"xyz": np.full((42, 3), np.nan)}}, "finite numbers in xyz"),
    ],
)
def test_annotations_of_another_shape(tmp_path: Path, annotations: Any, says: str) -> None:
    lay_out(tmp_path, annotations, color=False)
    with pytest.raises(DataError, match=says):
        open_catalogue(Rhd(), tmp_path, OPTIONS)


def test_images_that_lack(tmp_path: Path) -> None:
    lay_out(tmp_path, {0: entry(), 1: entry()})
    (tmp_path / "training/color/00001.png").unlink()
    with pytest.raises(DataError, match=r"the 2 images that anno_training\.pickle labels, found 1"):
        listed(Rhd(), tmp_path, OPTIONS)


def test_an_image_of_another_size(tmp_path: Path) -> None:
    root = lay_out(tmp_path, {0: entry()})
    write_png(root / "training/color/00000.png", np.zeros((320, 319, 3), np.uint8))
    with pytest.raises(DataError, match="320 x 320 px, found 319 x 320"):
        Rhd().load(root, listed(Rhd(), root, OPTIONS).to_pylist()[0])
