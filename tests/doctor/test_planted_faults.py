"""Faults planted where they happen, in raw files or their reader, are each caught and named; sound data pass."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from handsynth.formats import get_format, msra15, stb
from handsynth.formats.manifest import Rigid, load_manifest
from handsynth.formats.pickles import read_pickle, write_pickle
from handsynth.hand.camera import RigidTransform
from handsynth.imaging.warp import mirror
from tests.doctor.raw import alarms, examined, examined_samples, faults, moved
from tests.formats.samples import real, simulated

COUNT = 28
SURFACE, MASK, SIDE = "joints against surface depth", "joints on the mask", "chirality against side"


def written(name: str, camera: str, folder: Path) -> Path:
    reader = get_format(name)
    reader.write(folder, simulated(camera, COUNT), reader.options_type())
    return folder


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Raw files of a format, written once."""
    made: dict[str, Path] = {}
    cameras = {"ge_realworld": "crop", "msra15": "msra15", "rhd": "rhd", "stb": "stb_sk"}

    def root(name: str) -> Path:
        if name not in made:
            made[name] = written(name, cameras[name], tmp_path_factory.mktemp(name) / "raw")
        return made[name]

    return root


def copied(root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(root, tmp_path / "raw"))


def rewrite_joints(root: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change the stored joints (N, 21, 3) of MSRA15, in the source's order, unit and axes."""
    for path in root.glob("*/*/joint.txt"):
        joints = change(msra15.read_joints(path))
        lines = [str(len(joints)), *(" ".join(f"{number:.9g}" for number in row.ravel()) for row in joints)]
        path.write_bytes("\r\n".join([*lines, ""]).encode())


def rewrite_annotations(root: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change what RHD's pickles say of every image."""
    for path in root.glob("*/anno_*.pickle"):
        images = read_pickle(path)
        for values in images.values():
            change(values)
        path.unlink()
        write_pickle(path, images)


@pytest.mark.parametrize("name", ["ge_realworld", "msra15", "rhd", "stb"])
def test_sound_raw_files_raise_no_alarm(name: str, roots: Callable[[str], Path]) -> None:
    found = examined(name, roots(name))
    assert alarms(found) == {}
    assert found[SIDE].status == found["joint order"].status == found["palm length"].status == "ok"
    if name != "ge_realworld":  # it has neither depth nor masks
        assert found[SURFACE].status == found["frame numbers"].status == "ok"
    if name in ("rhd", "stb"):
        assert found["colour against depth"].status == "ok"


@pytest.mark.parametrize(("camera", "count"), [("crop", COUNT), ("stb_bb", 10)])
def test_sound_samples_raise_no_alarm(camera: str, count: int) -> None:
    assert alarms(examined_samples(simulated(camera, count))) == {}


@pytest.mark.parametrize("name", ["ge_realworld", "handpose_x_plus"])
def test_real_samples_raise_no_alarm(name: str) -> None:
    assert alarms(examined(name, real(name))) == {}


def test_swapped_joints(roots: Callable[[str], Path], tmp_path: Path) -> None:
    root = copied(roots("msra15"), tmp_path)
    rewrite_joints(root, lambda joints: joints[:, [0, 1, 3, 2, *range(4, 21)]])
    found = examined("msra15", root)
    assert faults(found) == {"joint order"}
    assert found["joint order"].text.endswith("only if index_pip and index_dip are swapped")
    assert found["joint order"].count == len(found["joint order"].worst) + COUNT - 5


def test_joints_swapped_now_and_then(roots: Callable[[str], Path], tmp_path: Path) -> None:
    """Single mislabelled frames are named and do not refuse the source."""

    def swap(joints: np.ndarray) -> np.ndarray:
        joints[::4] = joints[::4, [0, 1, 2, 4, 3, *range(5, 21)]]
        return joints

    root = copied(roots("msra15"), tmp_path)
    rewrite_joints(root, swap)
    found = examined("msra15", root)
    assert set(alarms(found)) == {"joint order"}
    assert faults(found) == set()
    assert found["joint order"].count == sum(-(-len(msra15.read_joints(path)) // 4) for path in root.glob("*/*/*.txt"))
    assert "mostly: index_dip and index_tip are swapped" in found["joint order"].text


def test_scatter_for_gather(monkeypatch: pytest.MonkeyPatch, roots: Callable[[str], Path]) -> None:
    root = roots("msra15")
    monkeypatch.setattr(msra15, "gather", lambda points, order: points[..., np.argsort(order), :])
    found = examined("msra15", root)
    assert {"joint order", SIDE} <= faults(found)
    said = "if the list of joints is used to gather instead of to scatter"
    assert said in found["joint order"].text
    assert said in found[SIDE].text  # the order explains the side


def test_swapped_2d_joints(roots: Callable[[str], Path], tmp_path: Path) -> None:
    """In the 2-D labels alone: the proportions of the hand are right, and the projection tells."""

    def swap(values: dict[str, np.ndarray]) -> None:
        values["uv_vis"] = values["uv_vis"][[*range(4), 8, 5, 6, 7, 4, *range(9, 42)]]

    root = copied(roots("rhd"), tmp_path)
    rewrite_annotations(root, swap)
    found = examined("rhd", root)
    assert faults(found) == {"reprojection"}
    assert "thumb_cmc and index_mcp are swapped" in found["reprojection"].text


def test_mirrored_hands(tmp_path: Path) -> None:
    """Images and labels alike, and still called left."""
    reader = get_format("ge_realworld")
    samples = [replace(mirror(sample), side="left") for sample in simulated("crop", COUNT)]
    reader.write(tmp_path, samples, reader.options_type())
    found = examined("ge_realworld", tmp_path)
    assert faults(found) == {SIDE}
    assert "the hands are mirrored" in found[SIDE].text


def test_mirrored_labels_on_images_that_are_not(roots: Callable[[str], Path], tmp_path: Path) -> None:
    root = copied(roots("msra15"), tmp_path)
    rewrite_joints(root, lambda joints: joints * (-1, 1, 1))
    found = examined("msra15", root)
    assert {SIDE, SURFACE} <= faults(found)
    assert "x is negated (the labels are mirrored)" in found[SIDE].text


@pytest.mark.parametrize(("factor", "unit"), [(0.001, "metres"), (0.1, "centimetres"), (10, "tenths of a millimetre")])
def test_wrong_units(factor: float, unit: str, roots: Callable[[str], Path], tmp_path: Path) -> None:
    root = copied(roots("msra15"), tmp_path)
    rewrite_joints(root, lambda joints: joints * factor)
    found = examined("msra15", root)
    assert "palm length" in faults(found)
    assert f"agree with the images if they are taken to be in {unit}" in found["palm length"].text


def test_wrong_intrinsics_against_2d_labels(roots: Callable[[str], Path], tmp_path: Path) -> None:
    """RHD's calibration differs from image to image; a fixed one is a known mistake of readers."""

    def fix(values: dict[str, np.ndarray]) -> None:
        values["K"] = np.array([[283.1, 0, 160], [0, 283.1, 150], [0, 0, 1]], dtype=np.float32)

    root = copied(roots("rhd"), tmp_path)
    rewrite_annotations(root, fix)
    found = examined("rhd", root)
    assert "reprojection" in faults(found)
    assert "the intrinsics are those of another camera" in found["reprojection"].text
    assert "differs from image to image" in found["reprojection"].text


def test_wrong_intrinsics_against_depth(monkeypatch: pytest.MonkeyPatch, roots: Callable[[str], Path]) -> None:
    root = roots("msra15")
    manifest = load_manifest("msra15")
    longer = {"depth": replace(manifest.camera("depth"), fx=362.0, fy=362.0)}
    monkeypatch.setattr(msra15, "load_manifest", lambda _: msgspec.structs.replace(manifest, cameras=longer))
    found = examined("msra15", root)
    assert SURFACE in faults(found)
    assert "projected with the camera depth of the manifest" in found[SURFACE].text


def test_colour_seen_with_the_depth_camera(monkeypatch: pytest.MonkeyPatch, roots: Callable[[str], Path]) -> None:
    """Joints and depth go wrong together, so only the colours tell."""
    root = roots("stb")
    manifest = load_manifest("stb")
    cameras = manifest.cameras | {"sk_color": manifest.camera("sk_depth")}
    monkeypatch.setattr(stb, "load_manifest", lambda _: msgspec.structs.replace(manifest, cameras=cameras))
    found = examined("stb", root)
    assert "camera sk_color of the manifest" in alarms(found)["colour against depth"]


def test_extrinsics_reversed_for_labels_and_depth(
    monkeypatch: pytest.MonkeyPatch, roots: Callable[[str], Path]
) -> None:
    root = roots("stb")
    manifest = load_manifest("stb")
    back = manifest.transform("sk_depth_from_color").inverse()
    vector = tuple(-number for number in manifest.transforms["sk_depth_from_color"].rotation_vector)
    rigid = manifest.transforms | {
        "sk_depth_from_color": Rigid(rotation_vector=vector, translation_mm=back.translation_mm)
    }
    monkeypatch.setattr(stb, "load_manifest", lambda _: msgspec.structs.replace(manifest, transforms=rigid))
    found = examined("stb", root)
    assert faults(found) == {"colour against depth"}
    assert "the extrinsics sk_depth_from_color are applied the other way round" in found["colour against depth"].text


def test_extrinsics_reversed_for_labels(roots: Callable[[str], Path], tmp_path: Path) -> None:
    root = copied(roots("stb"), tmp_path)
    move = load_manifest("stb").transform("sk_depth_from_color").inverse()
    for path in (root / "labels").glob("*.mat"):
        labels = loadmat(path)["handPara"]
        savemat(path, {"handPara": move.apply(move.apply(labels.transpose(2, 1, 0))).transpose(2, 1, 0)})
    found = examined("stb", root)
    assert SURFACE in faults(found)
    assert "the extrinsics sk_depth_from_color are applied the other way round" in found[SURFACE].text


@pytest.mark.parametrize("points", [("xyz", "uv_vis"), ("xyz",)], ids=["both", "3-D only"])
def test_left_and_right_rows_swapped(points: tuple[str, ...], roots: Callable[[str], Path], tmp_path: Path) -> None:
    def swap(values: dict[str, np.ndarray]) -> None:
        for name in points:
            values[name] = np.roll(values[name], 21, axis=0)

    root = copied(roots("rhd"), tmp_path)
    rewrite_annotations(root, swap)
    found = examined("rhd", root)
    assert {SIDE, MASK} <= faults(found)
    assert ("reprojection" in faults(found)) == (len(points) == 1)
    assert "the rows of the left and the right hand are swapped back" in found[SIDE].text


def test_left_and_right_rows_swapped_without_masks(tmp_path: Path) -> None:
    """InterHand2.6M has colour alone: only the way the fingers bend tells."""
    reader = get_format("interhand26m")
    reader.write(tmp_path, simulated("rhd", COUNT), reader.options_type())
    assert alarms(examined("interhand26m", tmp_path)) == {}
    for path in tmp_path.glob("annotations/*/*_joint_3d.json"):
        captures = json.loads(path.read_text())
        for frame in (frame for frames in captures.values() for frame in frames.values()):
            for name in ("world_coord", "joint_valid"):
                frame[name] = frame[name][21:] + frame[name][:21]
        path.write_text(json.dumps(captures))
    found = examined("interhand26m", tmp_path)
    assert faults(found) == {SIDE}
    assert "left and right are exchanged" in found[SIDE].text


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        (("right", "down", "backward"), "y is negated (y runs up in the source)"),
        (("right", "up", "forward"), "z is negated"),
        (("right", "down", "forward"), "y and z are negated"),
    ],
)
def test_axes_left_as_they_are(
    axes: tuple[str, str, str], words: str, monkeypatch: pytest.MonkeyPatch, roots: Callable[[str], Path]
) -> None:
    root = roots("msra15")
    manifest = msgspec.structs.replace(load_manifest("msra15"), axes=axes)
    monkeypatch.setattr(msra15, "load_manifest", lambda _: manifest)
    found = examined("msra15", root)
    check = SIDE if axes[2] == "backward" else "joints before the camera"
    assert check in faults(found)
    assert words in found[check].text


@pytest.mark.parametrize(("name", "step"), [("msra15", 1), ("msra15", -1), ("stb", 1)])
def test_frame_numbers_off_by_one(name: str, step: int, roots: Callable[[str], Path], tmp_path: Path) -> None:
    """The pictures of a sequence are those of the next or previous frame; the last one comes round."""
    root = copied(roots(name), tmp_path)
    for names in pictures(root, name):
        bodies = [path.read_bytes() for path in names]
        for path, body in zip(names, bodies[step:] + bodies[:step], strict=True):
            path.write_bytes(body)
    found = examined(name, root)
    assert "frame numbers" in faults(found)
    said = "i + 1" if step == 1 else "i - 1"
    assert f"the labels of frame {said} fit the image of frame i" in found["frame numbers"].text
    assert "off by one" in found[SURFACE].text


def pictures(root: Path, name: str) -> Iterator[list[Path]]:
    """Files of one kind of one sequence, in the order of their numbers."""
    patterns = {"msra15": ["*/*"], "stb": ["images/*"]}[name]
    kinds = {"msra15": ["*_depth.bin"], "stb": ["SK_color_*", "SK_depth_*"]}[name]
    for pattern in patterns:
        for folder in sorted(root.glob(pattern)):
            for kind in kinds:
                yield sorted(folder.glob(kind), key=lambda path: int("".join(filter(str.isdigit, path.stem))))


def test_world_coordinates_left_as_they_are() -> None:
    """Multi-view sources store joints in the world; who forgets the extrinsics has labels of no image."""

    world = RigidTransform.of(np.array([0.2, 0.4, 0.1]), np.array([90.0, 30.0, 60.0]))
    samples = [replace(sample, world_from_camera=world) for sample in simulated("rhd", COUNT)]
    found = examined_samples(moved(samples, world.apply))
    assert MASK in faults(found)
    assert "the camera's extrinsics are applied, which were left out" in found[MASK].text
