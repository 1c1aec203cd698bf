"""The fast way for PNG gives what OpenCV gives, bit for bit, or leaves the file to it."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import DataError
from handsynth.imaging import codecs, png
from handsynth.imaging.codecs import decode_color, decode_raw, encode_png
from handsynth.imaging.warp import Box
from tests.imaging.pngs import SIGNATURE, chunk, encode, filtered

KINDS = {"grey": (1, np.uint8), "rgb": (3, np.uint8), "rgba": (4, np.uint8), "grey16": (1, np.uint16)}
RGB = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
WINDOW = Box(5, 7, 12)


@pytest.fixture(autouse=True)
def _ready() -> Iterator[None]:
    """The kernel compiled for these tests and forgotten afterwards, so that others see what small jobs see."""
    before = png._unfilter
    assert png.compile_kernel()
    yield
    png._unfilter = before


def photograph(height: int, width: int, channels: int, dtype: type, seed: int) -> np.ndarray:
    """Something smooth with noise, so that every branch of every filter is taken; with extremes."""
    rng = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    v, u, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    wave = 0.5 + 0.6 * np.sin(u / 7 + c) * np.cos(v / 5 - c) + rng.normal(0, rng.choice([0, 0.01, 0.5]), v.shape)
    image = (np.clip(wave, 0, 1) * top).astype(dtype)
    return image[..., 0] if channels == 1 else image


def by_opencv(data: bytes, flags: int) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    assert image is not None
    if image.ndim == 3:
        image = image[..., [2, 1, 0, 3][: image.shape[2]]]
    return image


def fast(data: bytes, window: Box | None = None) -> np.ndarray | None:
    found = png.scan(memoryview(data))
    assert isinstance(found, png.Png)
    return png.decode(found, window)


def same(got: np.ndarray, want: np.ndarray, window: Box | None = None) -> None:
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    if window is not None:
        seen = np.s_[
            max(window.y, 0) : max(window.y + window.side, 0), max(window.x, 0) : max(window.x + window.side, 0)
        ]
        got, want = got[seen], want[seen]
    np.testing.assert_array_equal(got, want)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    filters=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    pieces=st.integers(1, 5),
    seed=st.integers(0, 1000),
    window=st.none() | st.builds(Box, st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 80)),
)
def test_pixels_are_those_of_opencv(
    kind: str, height: int, width: int, filters: list[int], pieces: int, seed: int, window: Box | None
) -> None:
    image = photograph(height, width, *KINDS[kind], seed)
    data = encode(image, filters, pieces=pieces)
    got = fast(data, window)
    assert got is not None
    assert got.flags.c_contiguous
    same(got, by_opencv(data, cv2.IMREAD_UNCHANGED), window)
    same(got, image, window)
    same(decode_raw(data, "here", window), image, window)
    same(decode_color(data, "here", window), by_opencv(data, cv2.IMREAD_COLOR), window)


@pytest.mark.parametrize("step", range(1, 5))
def test_the_choice_of_neighbour_is_the_specifications(step: int) -> None:
    """All 256 x 256 pairs of left and above meet corners of every size."""
    rng = np.random.default_rng(step)
    kind = {1: (1, np.uint8), 2: (1, np.uint16), 3: (3, np.uint8), 4: (4, np.uint8)}[step]
    image = rng.integers(0, np.iinfo(kind[1]).max + 1, (256, 512, kind[0]), dtype=kind[1])
    image = image[..., 0] if kind[0] == 1 else image
    for filters in ([4], [3], [0, 4, 3]):
        data = encode(image, filters)
        same(fast(data), image)  # type: ignore[arg-type]


def test_only_what_is_seen_is_decoded() -> None:
    """Rows far below the crop may hold anything; rows above it that lead nowhere are left black."""
    image = photograph(2000, 50, 3, np.uint8, 5)
    window = Box(10, 17, 5)
    cut = zlib.compressobj(1)
    upper = filtered(image[:1500], [1, 4, 4])  # inflating looks some rows ahead
    data = encode(image, [1], body=cut.compress(upper) + cut.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 40)
    got = fast(data, window)
    assert got is not None
    same(got, image, window)
    assert not got[:15].any()
    assert not got[22:].any()
    assert not got[:, 15:].any()
    assert fast(data) is None


@pytest.mark.parametrize(
    "name", ["gAMA", "cHRM", "sRGB", "sBIT", "pHYs", "tIME", "tEXt", "zTXt", "iTXt", "eXIf", "iCCP", "bKGD", "tRNS"]
)
def test_side_chunks_change_nothing_or_are_left_to_opencv(name: str) -> None:
    profile = zlib.compress(bytes(132))
    content = {
        "gAMA": struct.pack(">I", 100000),
        "cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
        "sRGB": b"\0",
        "sBIT": b"\5\5\5",
        "pHYs": struct.pack(">IIB", 2835, 1000, 1),
        "tIME": struct.pack(">H5B", 2020, 1, 2, 3, 4, 5),
        "tEXt": b"Comment\0words",
        "zTXt": b"Comment\0\0" + zlib.compress(b"words"),
        "iTXt": b"Comment\0\0\0\0\0words",
        "eXIf": b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0",  # turned by a quarter
        "iCCP": b"name\0\0" + profile,
        "bKGD": b"\0\7\0\7\0\7",
        "tRNS": b"\0\7\0\7\0\7",
    }[name]
    data = encode(RGB, [4, 2], extra=[(name.encode(), content)])
    got = fast(data)
    assert (got is None) == (name in ("bKGD", "tRNS"))
    # What we do not know how to read is OpenCV's; what we read must be what it would have said.
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    same(decode_raw(data, "here"), by_opencv(data, flags))
    if got is not None:
        same(got, by_opencv(data, flags))


def test_odd_kinds_are_left_to_opencv() -> None:
    deep = photograph(9, 9, 3, np.uint16, 1)
    palette = encode(RGB[..., 0], [0], color=3, extra=[(b"PLTE", bytes(range(256)) * 3)])
    for data in (encode(deep, [4]), palette, encode(RGB, [1], interlace=1)):
        assert fast(data) is None
    same(decode_raw(encode(deep, [4]), "here"), deep)
    same(decode_raw(palette, "here"), by_opencv(palette, cv2.IMREAD_UNCHANGED))
    grey = encode(photograph(9, 9, 1, np.uint16, 1), [4])
    same(decode_color(grey, "here"), by_opencv(grey, cv2.IMREAD_COLOR))


def faulty() -> dict[str, bytes]:
    rows = filtered(RGB, [4, 3, 1])
    squeezed = zlib.compress(rows)
    whole = encode(RGB, [4, 3, 1])
    return {
        "too few rows": encode(RGB, [1], body=zlib.compress(rows[:-400])),
        "half a row": encode(RGB, [1], body=zlib.compress(rows[:-20])),
        "too many rows": encode(RGB, [1], body=zlib.compress(rows + rows)),
        "cut stream": encode(RGB, [1], body=squeezed[: len(squeezed) // 2]),
        "wrong sum": encode(RGB, [1], body=squeezed[:-4] + b"\1\2\3\4"),
        "no sum": encode(RGB, [1], body=squeezed[:-4]),
        "no stream": encode(RGB, [1], body=b""),
        "noise": encode(RGB, [1], body=np.random.default_rng(3).bytes(3000)),
        "wrong block": encode(RGB, [1], body=squeezed[:1000] + b"\xff" * 30 + squeezed[1030:]),
        "unknown filter": encode(RGB, [1], body=zlib.compress(b"\5" + rows[1:])),
        "unknown filter below": encode(RGB, [0, 0, 0, 0, 0, 0, 0, 0, 7]),
        "wider header": encode(RGB, [4], width=60),
        "higher header": encode(RGB, [4], height=60),
        "no width": encode(RGB, [4], width=0),
        "no height": encode(RGB, [4], height=0),
        "depth 7": encode(RGB, [4], depth=7),
        "colour 5": encode(RGB, [4], color=5),
        "compression 1": encode(RGB, [4], compression=1),
        "filtering 1": encode(RGB, [4], filtering=1),
        "two headers": whole[:33] + whole[8:],
        "header last": SIGNATURE + whole[33:-12] + whole[8:33] + whole[-12:],
        "no header": SIGNATURE + whole[33:],
        "short header": SIGNATURE + chunk(b"IHDR", whole[16:24]) + whole[33:],
        "empty header": SIGNATURE + chunk(b"IHDR", b"") + whole[33:],
        "split pixels": whole[:-12] + chunk(b"tEXt", b"a\0b") + whole[33:-12] + whole[-12:],
        "nothing but an end": SIGNATURE + chunk(b"IEND", b""),
    }


@pytest.mark.parametrize("name", sorted(faulty()))
@pytest.mark.parametrize("window", [None, Box(0, 0, 60)])
def test_faulty_files_get_opencvs_verdict(name: str, window: Box | None) -> None:
    data = faulty()[name]

    def verdict() -> np.ndarray | str:
        try:
            return decode_color(data, "here", window)
        except DataError as error:
            return str(error)

    ours = verdict()
    kernel, png._unfilter = png._unfilter, None
    theirs = verdict()
    png._unfilter = kernel
    assert type(ours) is type(theirs)
    if isinstance(ours, np.ndarray):
        same(ours, theirs)  # type: ignore[arg-type]
    else:
        assert ours == theirs


def test_damage_is_named() -> None:
    data = bytearray(encode(RGB, [4], pieces=3))
    for place, words in ((20, "damaged IHDR"), (len(data) // 2, "damaged IDAT"), (len(data) - 1, "damaged IEND")):
        broken = bytearray(data)
        broken[place] ^= 1
        with pytest.raises(
            DataError, match=rf"expected a whole PNG or JPEG image, found a PNG with a {words} chunk in x"
        ):
            decode_raw(bytes(broken), "x")
    for end in (9, 40, len(data) // 2, len(data) - 1):
        with pytest.raises(DataError, match="found a truncated PNG in x"):
            decode_raw(bytes(data[:end]), "x")


@pytest.mark.parametrize(("width", "height"), [(1 << 30, 1), (60000, 60000), (1 << 31, 1 << 31)])
def test_gigantic_headers_are_refused_at_once(width: int, height: int) -> None:
    start = time.monotonic()
    tracemalloc.start()
    with pytest.raises(DataError, match=f"claims {width} x {height} pixels"):
        decode_color(encode(RGB, [0], width=width, height=height), "here")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert time.monotonic() - start < 1


def test_large_images_and_bombs_are_left_to_opencv() -> None:
    data = encode(RGB, [0], width=5000, height=5000, body=zlib.compress(bytes(1 << 20)))
    assert fast(data) is None
    bomb = encode(RGB, [0], body=zlib.compress(bytes(1 << 26), 9))  # 64 MB where 6 kB belong
    tracemalloc.start()
    decode_color(bomb, "here", WINDOW)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 21


def test_small_jobs_compile_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_unfilter", None)
    codecs.expect(codecs._MANY - 1)
    assert png._unfilter is None
    assert fast(encode_png(RGB)) is None
    same(decode_color(encode_png(RGB), "here"), RGB)
    codecs.expect(codecs._MANY)
    assert png._unfilter is not None


def test_importing_codecs_does_not_import_numba() -> None:
    code = "import sys, handsynth.imaging.codecs as c; c.expect(10); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("missing", ["numba", "isal"])
def test_without_the_packages_pixels_are_the_same(missing: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(RGB, [4, 3, 2, 1]))
    np.save(tmp_path / "a.npy", RGB)
    code = (
        "import sys\n"
        f"sys.modules[{missing!r}] = None\n"
        "import numpy as np\n"
        "from handsynth.imaging import codecs, png\n"
        "from pathlib import Path\n"
        "codecs.expect(10**6)\n"
        "folder = Path(sys.argv[1])\n"
        "assert np.array_equal(codecs.read_color(folder / 'a.png'), np.load(folder / 'a.npy'))\n"
        "print(png._unfilter is not None)"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert run.stdout == f"{missing == 'isal'}\n"
