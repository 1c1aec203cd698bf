from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError
from handsynth.imaging.codecs import (
    decode_color,
    decode_raw,
    encode_jpeg,
    encode_png,
    join_bytes,
    read_color,
    read_raw,
    split_bytes,
    write_jpeg,
    write_png,
)
from handsynth.imaging.draw import depth_image, mask_image, skeleton, tile

RGB = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)


def test_png_is_exact_and_rgb(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(read_color(tmp_path / "a.png"), RGB)
    np.testing.assert_array_equal(read_raw(tmp_path / "a.png"), RGB)
    deep = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    write_png(tmp_path / "d.png", deep)
    np.testing.assert_array_equal(read_raw(tmp_path / "d.png"), deep)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.97])
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_truncated_image_is_refused(tmp_path: Path, ending: str, share: float) -> None:
    path = tmp_path / f"a{ending}"
    (write_png if ending == ".png" else write_jpeg)(path, RGB)
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(DataError, match="whole PNG or JPEG"):
        read_color(path)


def test_a_flipped_byte_in_a_png_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="damaged"):
        read_color(path)


def test_other_files_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(DataError, match="starts with"):
        read_color(tmp_path / "a.png")
    with pytest.raises(MissingError, match="found none"):
        read_color(tmp_path / "b.png")


@pytest.mark.parametrize("hold", [bytes, memoryview])
def test_bytes_decode_like_files(tmp_path: Path, hold: type) -> None:
    for name, data in (("a.png", encode_png(RGB)), ("a.jpg", encode_jpeg(RGB))):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(decode_color(hold(data), "a tar"), read_color(tmp_path / name))
        np.testing.assert_array_equal(decode_raw(hold(data), "a tar"), read_raw(tmp_path / name))
        with pytest.raises(DataError, match="truncated"):
            decode_color(hold(data[:-20]), "member 3 of a tar")
    with pytest.raises(DataError, match="an empty file in a tar"):
        decode_raw(hold(b""), "a tar")


def test_the_size_of_a_jpeg_is_looked_at_first() -> None:
    data = encode_jpeg(RGB)
    at = data.index(b"\xff\xc0") + 5
    huge = data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    with pytest.raises(DataError, match="a JPEG that claims 65535 x 65535 pixels"):
        decode_color(huge, "here")
    filled = data[:2] + b"\xff" * 9 + data[2:]
    np.testing.assert_array_equal(decode_color(filled, "here"), decode_color(data, "here"))
    with pytest.raises(DataError):
        decode_color(b"\xff\xd8" + b"\xff\xe0\0\2" * 1000 + b"\xff\xd9", "here")


def test_two_bytes_do_not_overflow() -> None:
    values = np.array([[735, 40000, 65535, 0]], dtype=np.uint16)
    high, low = split_bytes(values)
    assert (high[0, 0], low[0, 0]) == (2, 223)
    np.testing.assert_array_equal(join_bytes(high, low), values)


def test_drawings_show_something_and_leave_their_input_alone() -> None:
    ground = np.zeros((64, 64, 3), dtype=np.uint8)
    points = np.random.default_rng(1).uniform(5, 58, (21, 2)).astype(np.float32)
    points[3] = np.nan
    assert skeleton(ground, points).any()
    assert not ground.any()
    depth = np.full((4, 4), np.nan, dtype=np.float32)
    assert not depth_image(depth).any()
    depth[1, 1] = 300
    assert depth_image(depth)[1, 1].any()
    assert len(np.unique(mask_image(np.arange(19, dtype=np.uint8).reshape(1, -1)).reshape(-1, 3), axis=0)) == 19
    assert tile([ground] * 5, columns=2, gap=4).shape == (64 * 3 + 8, 64 * 2 + 4, 3)


def test_what_is_no_plain_file_is_a_sentence(tmp_path: Path) -> None:
    """Reading a pipe would never end; a link in circles and a folder are refused by the system."""
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name in ("folder.png", "pipe.png", "loop.png"):
        with pytest.raises(MissingError, match=name):
            read_color(tmp_path / name)
