"""One check over all formats: what was written comes back, in the declared fields and within their tolerance."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.formats import FORMATS, get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.columns import catalogue_schema
from handsynth.formats.format import FILE_COLUMNS, Format
from handsynth.formats.manifest import load_manifest, manifest_names
from handsynth.hand.camera import Camera
from handsynth.hand.joints import INDEX, JOINTS
from handsynth.hand.rows import from_row, row_schema, to_table
from handsynth.hand.sample import ABSENT, LABELLED, HandSample
from handsynth.imaging.registration import registered
from handsynth.imaging.warp import Box
from handsynth.runtime.settings import canonical_json, convert
from tests.formats.cases import CASES, Case
from tests.formats.samples import listed, simulated

PER_JOINT = ("joints_mm", "keypoints_px", "joint_state", "keypoint_state", "visible")
TOLERANCE: dict[str, float] = {}
"""Largest difference of a joint, mm, where a layout's numbers are coarser than a few micrometres."""


@pytest.fixture(params=CASES, ids=lambda case: f"{case.format}-{case.camera}")
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def written(case: Case, tmp_path: Path) -> tuple[Format, Path, Any]:
    reader = get_format(case.format)
    options = reader.options_type(**dict(case.options))
    reader.write(tmp_path / "raw", prepared(case), options)
    return reader, tmp_path / "raw", options


def prepared(case: Case) -> list[HandSample]:
    return [case.prepare(sample) for sample in simulated(case.camera)]


def test_every_format_has_a_case_and_a_manifest() -> None:
    assert {case.format for case in CASES} == set(FORMATS)
    assert set(FORMATS) <= set(manifest_names())


def test_declared_fields_come_back(case: Case, written: tuple[Format, Path, Any]) -> None:
    reader, root, options = written
    samples = prepared(case)
    rows = open_catalogue(reader, root, options).table.to_pylist()
    assert len(rows) == len(samples)
    by_key = {sample.key: sample for sample in samples}
    assert len({sample.split for sample in samples}) == 2, "the samples must show that splits come back"
    for row, arrived in zip(rows, samples, strict=True):
        want = by_key.get(row["key"], arrived)
        got = reader.load(root, row)
        assert got.key == row["key"]
        known = ~np.isin(JOINTS, case.absent)
        for name, field in reader.fields.items():
            wanted, value = getattr(want, name), getattr(got, name)
            if wanted is not None and name in PER_JOINT:
                assert value is not None, name
                wanted, value = wanted[known], value[known]
            if wanted is not None:
                assert_close(wanted, value, field.tolerance, f"{name} of {got.key}")
        assert (got.joint_state[~known] == ABSENT).all()
        assert (got.keypoint_state[~known] == ABSENT).all()
        assert got.mirrored is case.mirrored


def test_catalogue_and_loaded_sample_agree(written: tuple[Format, Path, Any]) -> None:
    reader, root, options = written
    table = open_catalogue(reader, root, options).table
    assert table.schema.equals(catalogue_schema())
    row = table.to_pylist()[-1]
    listed, loaded = from_row(row), reader.load(root, row)
    for name in ("joints_mm", "keypoints_px", "joint_state", "keypoint_state"):
        np.testing.assert_array_equal(getattr(listed, name), getattr(loaded, name))
    assert listed.moment == loaded.moment is not None
    assert loaded.size == (loaded.camera.height, loaded.camera.width)  # type: ignore[union-attr]


def test_partial_looks_decode_what_is_asked_for(written: tuple[Format, Path, Any]) -> None:
    """Inside the window a sample is the same as when all of it is decoded."""
    reader, root, options = written
    row = open_catalogue(reader, root, options).table.to_pylist()[0]
    whole = reader.load(root, row)
    height, width = whole.size
    for window in (
        Box(width // 3, height // 4, width // 3),
        Box(-9, -5, width // 2),
        Box(width // 2, height // 2, width),
    ):
        part = reader.load(root, row, window)
        seen = np.s_[max(window.y, 0) : window.y + window.side, max(window.x, 0) : window.x + window.side]
        for name in ("rgb", "depth_mm", "mask"):
            if getattr(whole, name) is not None and not (name == "depth_mm" and whole.depth_camera):
                np.testing.assert_array_equal(getattr(part, name)[seen], getattr(whole, name)[seen])


def test_columns_equal_rows_built_one_by_one(written: tuple[Format, Path, Any]) -> None:
    reader, root, options = written
    table = listed(reader, root, options)
    slow = to_table(from_row(row) for row in table.to_pylist())
    assert same(table.select(row_schema().names), slow)


def test_catalogue_opens_no_image(case: Case, written: tuple[Format, Path, Any]) -> None:
    reader, root, options = written
    if case.packed:
        pytest.skip("its images lie inside its annotation files")
    before = listed(reader, root, options)
    labels = reader.annotations(root, options)  # DexYCB's masks lie in them
    for path in set(images(root, before)).difference(labels):
        path.write_bytes(b"")
    assert same(listed(reader, root, options), before)


def test_writing_twice_is_identical(case: Case, written: tuple[Format, Path, Any], tmp_path: Path) -> None:
    reader, root, options = written
    reader.write(tmp_path / "again", iter(prepared(case)), options)
    assert tree(tmp_path / "again") == tree(root)


def test_truncated_images_are_refused(case: Case, written: tuple[Format, Path, Any]) -> None:
    reader, root, options = written
    if case.packed:
        pytest.skip("its images lie inside its annotation files")
    row = open_catalogue(reader, root, options).table.to_pylist()[0]
    for column in FILE_COLUMNS:
        if row[column] is not None:
            path = root / row[column]
            whole = path.read_bytes()
            for length in (0, 10, len(whole) // 2, len(whole) - 3):
                path.write_bytes(whole[:length])
                with pytest.raises(DataError, match=path.name):
                    reader.load(root, row)
            path.unlink()
            with pytest.raises(MissingError, match=path.name):
                reader.load(root, row)
            path.write_bytes(whole)
    reader.load(root, row)


def test_missing_images_are_counted(case: Case, written: tuple[Format, Path, Any]) -> None:
    reader, root, options = written
    if case.gaps:
        pytest.skip("its publishers left images out")
    if case.packed:
        pytest.skip("its images lie inside its annotation files")
    table = listed(reader, root, options)
    next(images(root, table)).unlink()
    with pytest.raises(DataError, match="expected"):
        listed(reader, root, options)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_missing_folders_are_named(name: str, tmp_path: Path) -> None:
    reader = get_format(name)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for place in ("nowhere", "empty", "file"):
        with pytest.raises(MissingError, match=f"handsynth datasets {name}"):
            open_catalogue(reader, tmp_path / place, reader.options_type())


def test_options_round_trip(case: Case) -> None:
    kind = get_format(case.format).options_type
    options = kind(**dict(case.options))
    assert msgspec.json.decode(canonical_json(options), type=kind) == options
    with pytest.raises(UsageError):
        convert({"no_such_option": 1}, kind, "options")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_paths_that_leave_the_root_are_not_opened(name: str, tmp_path: Path) -> None:
    reader = get_format(name)
    case = next(case for case in CASES if case.format == name)
    reader.write(tmp_path, prepared(case), reader.options_type(**dict(case.options)))
    row = listed(reader, tmp_path, reader.options_type(**dict(case.options))).to_pylist()[0]
    for column in FILE_COLUMNS:
        for place in ("/etc/passwd", "../outside.png", "images/../../outside.png", "C:\\outside.png"):
            if row[column] is not None:
                with pytest.raises(DataError, match="below the dataset's folder"):
                    reader.load(tmp_path, row | {column: place})


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_writers_name_what_is_lacking(name: str, tmp_path: Path) -> None:
    reader = get_format(name)
    with pytest.raises(DataError, match="sample bare"):
        reader.write(tmp_path, [HandSample(key="bare")], reader.options_type())


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        *((name, camera) for name in sorted(FORMATS) for camera in ("crop", "stb_sk", "rhd")),
        ("msra15", "msra15"),  # it has no colour to give to the others
    ],
)
def test_any_dataset_converts_to_any_other(name: str, camera: str, tmp_path: Path) -> None:
    """Joints, sides and the agreement of joints, camera and pixels survive a change of camera and of side."""
    reader = get_format(name)
    if "joints_mm" not in reader.fields:
        pytest.skip("it holds 2-D joints only")
    samples = simulated(camera)[:2]
    reader.write(tmp_path, samples, reader.options_type())
    rows = listed(reader, tmp_path, reader.options_type()).to_pylist()
    got = sorted((reader.load(tmp_path, row) for row in rows), key=lambda sample: middle_tip(sample.joints_mm))
    want = sorted(
        ((given.joints_mm * ([-1, 1, 1] if turned(name, given) else [1, 1, 1]), given) for given in samples),
        key=lambda pair: middle_tip(pair[0]),
    )
    for sample, (joints, given) in zip(got, want, strict=True):
        known = sample.joint_state == LABELLED
        np.testing.assert_allclose(sample.joints_mm[known], joints[known], atol=TOLERANCE.get(name, 6e-3))
        known &= sample.keypoint_state != ABSENT
        if sample.camera is not None:
            np.testing.assert_allclose(sample.keypoints_px[known], sample.projected()[known], atol=0.05)
        if sample.depth_mm is not None and given.depth_mm is not None and sample.camera is not None:
            assert on_surface(registered(sample), given.visible) >= on_surface(registered(given), given.visible) - 0.15


def middle_tip(joints: np.ndarray) -> tuple[float, ...]:
    """A joint that every layout holds; samples are told apart by where it is."""
    return tuple(np.round(joints[INDEX["middle_tip"]], 1).tolist())


def turned(name: str, sample: HandSample) -> bool:
    return sample.side not in load_manifest(name).sides


def on_surface(sample: HandSample, visible: np.ndarray) -> float:
    """Share of visible joints that lie at most 25 mm behind the depth measured at their pixel, and not before it."""
    uv = np.nan_to_num(np.rint(sample.projected()), nan=-1).astype(int)  # absent joints lie in no image
    height, width = sample.size
    inside = ((uv >= 0) & (uv < [width, height])).all(-1) & visible
    assert sample.depth_mm is not None
    assert sample.joints_mm is not None
    behind = sample.joints_mm[inside, 2] - sample.depth_mm[uv[inside, 1], uv[inside, 0]]
    measured = np.isfinite(behind)  # a depth camera beside the colour camera does not see every joint
    assert measured.mean() > 0.6
    share = float(np.mean((behind[measured] > -3) & (behind[measured] < 25)))
    assert share > 0.5
    return share


def images(root: Path, table: pa.Table) -> Iterator[Path]:
    for column in FILE_COLUMNS:
        for name in table.column(column).unique().to_pylist():
            if name is not None:
                yield root / name


def same(first: pa.Table, second: pa.Table) -> bool:
    """Whether two tables are equal, absent joints (NaN) included, which Arrow takes for different."""
    return first.schema.equals(second.schema) and repr(first.to_pylist()) == repr(second.to_pylist())


def tree(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file()
    }


def assert_close(want: Any, got: Any, tolerance: float, what: str) -> None:
    assert got is not None, what
    if isinstance(want, Camera):
        want = np.array([want.fx, want.fy, want.cx, want.cy, want.width, want.height])
        got = np.array([got.fx, got.fy, got.cx, got.cy, got.width, got.height])
    if not isinstance(want, np.ndarray):
        assert got == want, what
        return
    assert got.shape == want.shape, what
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want), err_msg=what)
    difference = np.nanmax(np.abs(got.astype(np.float64) - want.astype(np.float64)))
    assert difference <= tolerance, f"{what}: {difference} > {tolerance}"


def test_joint_names_of_manifests_are_a_permutation() -> None:
    """Gather lists as the field has them; -1 is a wrist that the source lacks."""
    expected = {
        "coco": list(range(21)),
        "freihand": list(range(21)),
        "ge_realworld": list(range(21)),
        "hanco": list(range(21)),
        "handpose_x_plus": list(range(21)),
        "parquet": list(range(21)),
        "rgbd_folder": list(range(21)),
        "webdataset": list(range(21)),
        "stb": [-1, 17, 18, 19, 20, 13, 14, 15, 16, 9, 10, 11, 12, 5, 6, 7, 8, 1, 2, 3, 4],
        "dexycb": list(range(21)),
        "fpha": [0, 1, 6, 7, 8, 2, 9, 10, 11, 3, 12, 13, 14, 4, 15, 16, 17, 5, 18, 19, 20],
        "ho3d": [0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20],
        "rhd": [0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17],
        "panoptic": list(range(21)),
        "interhand26m": [20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16],
        "msra15": [0, 17, 18, 19, 20, *range(1, 17)],
        "mhp": [-1, 17, 16, 18, 19, 1, 0, 2, 3, 5, 4, 6, 7, 13, 12, 14, 15, 9, 8, 10, 11],
        "ganerated": list(range(21)),
        "ge_synthetic": list(range(21)),
        "nyu": [-1, 29, 27, 25, 24, 23, 21, 19, 18, 17, 15, 13, 12, 11, 9, 7, 6, 5, 3, 1, 0],
        "icvl": [-1, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, 12, 13, 14, -1, 15],
    }
    for name, order in expected.items():
        manifest = load_manifest(name)
        assert manifest.order.tolist() == order
        for canonical, place in zip(JOINTS, order, strict=True):
            assert place < 0 or manifest.joints[place] == canonical
