"""JSON annotations: typed whole, or streamed so that no file is ever in memory, and what damaged ones say."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.formats.jsonfiles import read_json, stream_items, stream_pairs, typed, write_json


class Hand(msgspec.Struct):
    side: str
    points: list[tuple[float, float]]


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"hands": [{"side": "left", "points": [[0.1, 2]], "note": "unknown to us"}]})
    assert json.loads((tmp_path / "a.json").read_text())["hands"][0]["points"] == [[0.1, 2]]
    assert read_json(tmp_path / "a.json", dict[str, list[Hand]])["hands"] == [Hand("left", [(0.1, 2.0)])]
    [item] = stream_items(tmp_path / "a.json", "hands.item")
    assert typed([item], list[Hand], "a.json") == [Hand("left", [(0.1, 2.0)])]
    assert dict(stream_pairs(tmp_path / "a.json", "hands.item")) == item
    assert list(stream_items(tmp_path / "a.json", "feet.item")) == []


def test_streaming_holds_no_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("w") as file:
        file.write('{"items": [')
        file.writelines(f"{', ' if i else ''}{json.dumps({'id': i, 'points': [[0.5, i]] * 40})}" for i in range(20_000))
        file.write("]}")
    tracemalloc.start()
    try:
        assert sum(item["id"] for item in stream_items(path, "items.item")) == 19_999 * 10_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < path.stat().st_size / 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "premature EOF"),
        (b'{"a": [1, 2', "premature EOF"),
        (b'{"a": [1]} tail', "trailing garbage"),
        (b'{"a": [NaN]}', "invalid char"),
        (b'{"a": [1e999]}', "overflow"),
        (b'{"a": ["\xff"]}', "invalid bytes in UTF8"),
        (b"\x93NUMPY", "invalid char"),
        (b'{"a": ' + b"[" * 1_000_000, "nested more than 200 deep"),
        (b'{"a": ' + b"[1, {" * 1000, "nested more than 200 deep"),
    ],
)
def test_damaged_files_say_so_in_one_line(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text)
    for stream in (lambda: stream_items(path, "a.item"), lambda: stream_pairs(path)):
        with pytest.raises(DataError, match=says) as raised:
            list(stream())
        assert "\n" not in str(raised.value)
        assert "a.json" in str(raised.value)
    with pytest.raises(DataError, match=r"a\.json"):
        read_json(path, dict[str, list[float]])


def test_numbers_beyond_64_bits_are_refused_where_they_stream(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [99999999999999999999999]}')
    with pytest.raises(DataError, match="integer overflow"):
        list(stream_items(tmp_path / "a.json", "a.item"))


def test_another_shape_is_named_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": {"side": "left", "points": [[1, 2, 3]]}}')
    with pytest.raises(DataError, match=r"length 2.*\$\[\.\.\.\]\.points"):
        read_json(tmp_path / "a.json", dict[str, Hand])
    with pytest.raises(DataError, match=r"missing required field `points` - at `\$\[0\]` in image 7"):
        typed([{"side": "left"}], list[Hand], "image 7")


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path, tmp_path / "none.json" / "below"):
        with pytest.raises(MissingError):
            read_json(path, dict)
        with pytest.raises(MissingError):
            list(stream_items(path, "item"))
