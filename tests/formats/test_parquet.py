"""Parquet: the schema that Hugging Face reads, files of other people, and tables that are not what they seem."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.catalogue import open_catalogue
from handsynth.formats.parquet import Parquet, ParquetOptions
from handsynth.hand.sample import LABELLED, HandSample
from handsynth.imaging.codecs import encode_png
from tests.formats.samples import listed, simulated
from tests.formats.test_exchange import full, same

OPTIONS = ParquetOptions()
PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def read(root: Path) -> list[HandSample]:
    return [Parquet().load(root, row) for row in open_catalogue(Parquet(), root, OPTIONS).table.to_pylist()]


def foreign(path: Path, count: int = 2, group: int = 100, **columns: Any) -> None:
    """A table of pictures that handsynth did not write."""
    pictures = [{"bytes": encode_png(PIXELS + i), "path": None} for i in range(count)]
    arrays = {"image": pa.array(pictures, IMAGE)} | columns
    pq.write_table(pa.table(arrays), path, row_group_size=group)


def test_every_field_comes_back(tmp_path: Path) -> None:
    rich = replace(full(), rgb=PIXELS, depth_mm=np.full((4, 4), 9000.5, np.float32), mask=PIXELS[..., 0] % 19)
    poor = HandSample(key="poor", moment="poor", rgb=PIXELS, split="val")
    Parquet().write(tmp_path, [rich, poor], OPTIONS)
    for want, got in zip((rich, poor), read(tmp_path), strict=True):
        same(want, got)
        np.testing.assert_array_equal(got.rgb, PIXELS)
    assert got.depth_mm is None
    assert got.mask is None
    np.testing.assert_array_equal(read(tmp_path)[0].mask, rich.mask)
    np.testing.assert_allclose(read(tmp_path)[0].depth_mm, 9000.5, atol=0.5)  # type: ignore[arg-type]


def test_schema_is_what_hugging_face_reads(tmp_path: Path) -> None:
    """Image features, names of files by split and count, and no type that datasets does not know."""
    Parquet().write(tmp_path, simulated("stb_sk") * 2, ParquetOptions(samples_per_file=2, samples_per_row_group=1))
    paths = sorted((tmp_path / "data").iterdir())
    for path in paths:
        split, number, of, total = path.stem.split("-")
        assert split in ("train", "test")
        assert of == "of"
        assert int(number) < int(total) == sum(other.name.startswith(split) for other in paths)
    table = pq.ParquetFile(paths[0])
    schema = table.schema_arrow
    told = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert told == {name: {"_type": "Image"} for name in ("image", "depth", "mask")}
    for name in told:
        assert schema.field(name).type == IMAGE
    for field in schema:
        assert field.nullable
        assert not pa.types.is_map(field.type)
    assert table.metadata.num_row_groups == table.metadata.num_rows
    # Statistics of pictures would repeat their bytes in the footer.
    columns = {table.metadata.row_group(0).column(i).path_in_schema: i for i in range(table.metadata.num_columns)}
    assert not table.metadata.row_group(0).column(columns["image.bytes"]).is_stats_set


def test_files_of_other_people(tmp_path: Path) -> None:
    """Pictures alone; large row groups are read in pieces, in any order."""
    count = 150
    foreign(tmp_path / "test-00000-of-00001.parquet", count)
    rows = open_catalogue(Parquet(), tmp_path, OPTIONS).table.to_pylist()
    assert [row["key"] for row in rows[99:101]] == [f"test-00000-of-00001-{i}" for i in ("0-99", "1-0")]
    assert {row["split"] for row in rows} == {"test"}
    assert all(row["moment"] == row["key"] for row in rows)
    for i in (0, 70, 3, 99, 100, 149):
        loaded = Parquet().load(tmp_path, rows[i])
        assert loaded.rgb is not None
        np.testing.assert_array_equal(loaded.rgb, PIXELS + np.uint8(i))
        assert loaded.joints_mm is None


def test_columns_of_other_kinds_are_cast(tmp_path: Path) -> None:
    joints = [np.arange(63.0).tolist(), None]
    foreign(tmp_path / "a.parquet", joints_mm=pa.array(joints, pa.list_(pa.float64())), side=["left", None])
    first, second = read(tmp_path)
    assert first.joints_mm is not None
    np.testing.assert_array_equal(first.joints_mm, np.arange(63, dtype=np.float32).reshape(21, 3))
    assert set(first.joint_state.tolist()) == {LABELLED}
    assert second.joints_mm is None
    assert not second.joint_state.any()
    assert (first.side, second.side) == ("left", "unknown")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"joints_mm": [[1.0] * 62] * 2}, "a whole Parquet file of samples"),
        ({"joints_mm": [["a"] * 63] * 2}, "a whole Parquet file of samples"),
        ({"joints_mm": [[np.inf] * 63] * 2}, "finite numbers in joints_mm, found infinity"),
        ({"joint_state": [[7] * 21] * 2}, "states 0, 1 or 2"),
        ({"joint_state": [[-1] * 21] * 2}, "a whole Parquet file of samples"),
        ({"side": ["up", "down"]}, "side left, right or unknown, found down, up"),
        ({"camera": [[0.0] * 11] * 2}, "a real camera in camera"),
        ({"camera": [[np.nan] * 11] * 2}, "a real camera in camera"),
        ({"world_from_camera": [[np.nan] * 12] * 2}, "a real camera in world_from_camera"),
        ({"extra": [[{"name": "palm_mm", "values": [1.0]}]] * 2}, "points of 3 numbers in palm_mm"),
        ({"extra": ["words", "words"]}, "a whole Parquet file of samples"),
        ({"depth_unit_mm": [0.0, 1.0]}, "a positive depth_unit_mm"),
    ],
)
def test_columns_that_are_none(tmp_path: Path, columns: dict[str, Any], says: str) -> None:
    foreign(tmp_path / "a.parquet", **columns)
    with pytest.raises(DataError, match=says):
        read(tmp_path)


def test_tables_without_pictures(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a column image or depth, found text"):
        read(tmp_path)
    pq.write_table(pa.table({"image": [b"bytes alone"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="a struct of bytes and path, found binary"):
        read(tmp_path)
    paths = pa.array([{"bytes": None, "path": "/etc/passwd"}], IMAGE)
    pq.write_table(pa.table({"image": paths}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="the bytes of a picture, found none"):
        read(tmp_path)
    metadata = {b"handsynth": json.dumps({"joints": ["palm"]}).encode()}
    foreign(tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet").replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="joints in the order wrist"):
        read(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-208] + b"\xff" * 200 + data[-8:],
        lambda data: data[:-8] + b"\xff\xff\xff\x7f" + data[-4:],
        lambda data: b"PAR1" * 20,
        lambda data: data[:4] + bytes(len(data) // 2 - 4) + data[len(data) // 2 :],
    ],
)
def test_damaged_files(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "a.parquet"
    foreign(path)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError, match=r"a\.parquet"):
        read(tmp_path)


def test_a_file_cut_after_it_was_listed(tmp_path: Path) -> None:
    Parquet().write(tmp_path, simulated("stb_sk")[:1], OPTIONS)
    [row] = listed(Parquet(), tmp_path, OPTIONS).to_pylist()
    path = next((tmp_path / "data").iterdir())
    Parquet().load(tmp_path, row)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=path.name):
        Parquet().load(tmp_path, row)
    path.unlink()
    with pytest.raises(MissingError, match=path.name):
        Parquet().load(tmp_path, row)


def test_nothing_is_left_of_a_stopped_writer(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="sample bare"):
        Parquet().write(tmp_path, [simulated("stb_sk")[0], HandSample(key="bare")], OPTIONS)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
