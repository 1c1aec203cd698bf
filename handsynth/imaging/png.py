"""PNG files: whether they are whole, and the pixels of the common kinds faster than OpenCV gives them.

Reads bytes of PNG files. The fast way inflates with ISA-L and undoes the row filters of only the rows and columns that
a crop needs: filters look left and up, and inflating may stop early. It knows 8-bit grey, RGB and RGBA and 16-bit grey,
not interlaced; for everything else it gives None, and the caller asks OpenCV, which gives the same pixels bit for bit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from handsynth.imaging.warp import Box

try:
    from isal import isal_zlib as fast_zlib
except ImportError:  # no wheel for this machine
    import zlib as fast_zlib  # type: ignore[no-redef]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 1 << 28
_MAX_FAST_PIXELS = 1 << 24
"""Larger images are left to OpenCV: the inflated rows stand in memory beside the pixels."""

_CHANNELS = {(8, 0): 1, (8, 2): 3, (8, 6): 4, (16, 0): 1}
"""Channels by (bit depth, colour type) of the kinds that the fast way knows."""

_HARMLESS = frozenset(b"gAMA cHRM sRGB iCCP sBIT pHYs tIME tEXt zTXt iTXt eXIf".split())
"""Chunks that change no pixel that OpenCV gives; transparency, palettes, animation and unknown ones are its own."""

_CHUNK, _SUM, _HEADER = struct.Struct(">I4s"), struct.Struct(">I"), struct.Struct(">IIBBBBB")

_unfilter: Callable[[np.ndarray, int, int, int, int, int, np.ndarray], bool] | None = None


@dataclass(frozen=True)
class Png:
    """A whole PNG file, its checksums checked, not decoded.

    Attributes:
        width, height: in px.
        depth, color: bits per channel and colour type of the header.
        body: the compressed pixels, in the pieces that the file holds.
        plain: whether nothing in it is beyond the fast way.
    """

    width: int
    height: int
    depth: int
    color: int
    body: tuple[memoryview, ...]
    plain: bool


def compile_kernel() -> bool:
    """Make the fast way ready; until then :func:`decode` gives None. False where numba is not installed.

    Takes up to half a second, three where a machine compiles for the first time; worth it from some hundred images on.
    """
    global _unfilter
    if _unfilter is None:
        try:
            from handsynth.imaging.unfilter import unfilter
        except ImportError:
            return False
        _unfilter = unfilter
    return _unfilter is not None


def scan(data: memoryview) -> Png | str:
    """Check all chunks of a PNG file up to its end mark; what is wrong with it, in words, where something is."""
    position, size = len(SIGNATURE), len(data)
    header: tuple[int, ...] = ()
    body: list[memoryview] = []
    kinds: list[bytes] = []  # neighbours of one kind count once: most files come in dozens of pieces
    last = b""
    while position + 12 <= size:
        length, kind = _CHUNK.unpack_from(data, position)
        end = position + 12 + length
        if end > size:
            return "a truncated PNG"
        if fast_zlib.crc32(data[position + 4 : end - 4]) != _SUM.unpack_from(data, end - 4)[0]:
            return f"a PNG with a damaged {kind.decode('latin1')} chunk"
        if kind != last:
            kinds.append(kind)
            last = kind
        if kind == b"IDAT":
            body.append(data[position + 8 : end - 4])
        elif kind == b"IEND":
            return _png(header, body, kinds)
        elif kind == b"IHDR" and length >= 8:
            width, height = struct.unpack_from(">II", data, position + 8)
            if width * height > MAX_PIXELS:
                return f"a PNG that claims {width} x {height} pixels"
            # A second header, or one of another length, is nothing that we know how to read.
            header = _HEADER.unpack_from(data, position + 8) if length == _HEADER.size and not header else (0,) * 7
        position = end
    return "a truncated PNG"


def decode(png: Png, window: Box | None) -> np.ndarray | None:
    """Pixels of a PNG: (H, W) uint8 or uint16, or (H, W, 3 or 4) uint8 as RGB(A); None where OpenCV is to be asked.

    Args:
        window: the part that the caller will look at; pixels outside may be left black.
    """
    if _unfilter is None or not png.plain:
        return None
    channels = _CHANNELS[png.depth, png.color]
    step = channels * png.depth // 8
    stride = 1 + png.width * step
    top, bottom, right = 0, png.height, png.width
    if window is not None:
        bottom = min(max(window.y + window.side, 1), bottom)
        right = min(max(window.x + window.side, 1), right)
        top = min(max(window.y, 0), bottom - 1)
    try:
        # Feeding all pieces as one costs a copy of the file; feeding them one by one costs a copy of the pixels.
        body = png.body[0] if len(png.body) == 1 else b"".join(png.body)
        inflater = fast_zlib.decompressobj()
        filtered = inflater.decompress(body, bottom * stride)
        # A whole image must end where the header says; of a part, what lies below is vouched for by the checksums only.
        ends = bottom < png.height or (not inflater.decompress(inflater.unconsumed_tail, 1) and inflater.eof)
    except (fast_zlib.error, MemoryError):  # type: ignore[misc]
        return None
    if len(filtered) < bottom * stride or not ends:
        return None
    rows = np.zeros((png.height, png.width * step), dtype=np.uint8)
    if not _unfilter(np.frombuffer(filtered, np.uint8), stride, step, top, bottom, right * step, rows):
        return None
    if png.depth == 16:
        return rows.view(">u2").astype(np.uint16)
    return rows if channels == 1 else rows.reshape(png.height, png.width, channels)


def _png(header: tuple[int, ...], body: list[memoryview], kinds: list[bytes]) -> Png:
    """Gather what was found; a file without a sound header is left to OpenCV to refuse."""
    width, height, depth, color, compression, filtering, interlace = header or (0,) * 7
    middle = [kind for kind in kinds[1:-1] if kind not in _HARMLESS]
    plain = (
        kinds[0] == b"IHDR"
        and middle == [b"IDAT"]
        and (depth, color) in _CHANNELS
        and compression == filtering == interlace == 0
        and 0 < width * height <= _MAX_FAST_PIXELS
    )
    return Png(width, height, depth, color, tuple(body), plain)
