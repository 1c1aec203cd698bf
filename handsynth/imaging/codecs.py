"""Picture files to arrays and back. Colour is RGB in memory; damaged files raise, they never decode in part."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from handsynth.errors import DataError, MissingError, SpaceError, sentence
from handsynth.imaging.warp import Box
from handsynth.runtime import files

_PNG = b"\x89PNG\r\n\x1a\n"
_MAX_PIXELS = 1 << 28


def read_color(path: Path, window: Box | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB from an 8-bit PNG or JPEG; grey is repeated, alpha dropped.

    Args:
        window: the part that the caller will look at; pixels outside may be left black.

    Raises:
        MissingError, DataError: the file is not there, is damaged or is no picture.
    """
    image = _decode(path, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(image[..., ::-1])


def read_raw(path: Path, window: Box | None = None) -> np.ndarray:
    """The picture as stored: (H, W) or (H, W, C), its own dtype; three or four channels come as RGB(A).

    ``window`` as in :func:`read_color`.

    Raises:
        MissingError, DataError: as :func:`read_color`.
    """
    image = _decode(path, cv2.IMREAD_UNCHANGED)
    if image.ndim == 3 and image.shape[2] >= 3:
        order = [2, 1, 0, 3][: image.shape[2]]
        image = image[..., order]
    return np.ascontiguousarray(image)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3 or 4) uint8, or (H, W) uint16, as PNG; colour is RGB."""
    _write(path, ".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def write_jpeg(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write (H, W, 3) uint8 RGB as JPEG."""
    _write(path, ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of (H, W) or (H, W, 3) uint8, colour as RGB."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def join_bytes(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """uint16 from two 8-bit channels: 256 high + low, without the overflow of uint8 arithmetic."""
    return (high.astype(np.uint16) << 8) | low.astype(np.uint16)


def split_bytes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """High and low 8-bit channels of uint16; inverse of :func:`join_bytes`."""
    return (values >> 8).astype(np.uint8), (values & 0xFF).astype(np.uint8)


def _decode(path: Path, flags: int) -> np.ndarray:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise MissingError(sentence("an image file", "none", path)) from None
    fault = _fault(data)
    if fault is None:
        try:
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            image = None
        if image is not None:
            return np.asarray(image)
        fault = "one that does not decode"
    raise DataError(sentence("a whole PNG or JPEG image", fault, path, "fetch or extract the file again"))


def _fault(data: bytes) -> str | None:
    """What is wrong with a picture's bytes. OpenCV fills the rest of a truncated file with grey and says nothing."""
    if not data:
        return "an empty file"
    if data.startswith(_PNG):
        return _png_fault(data)
    if data.startswith(b"\xff\xd8"):
        # Cameras may pad behind the end marker, so it is searched near the end.
        return None if b"\xff\xd9" in data[-1024:] else "a truncated JPEG"
    return f"a file that starts with {data[:4]!r}"


def _png_fault(data: bytes) -> str | None:
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            return "a truncated PNG"
        body = memoryview(data)[position + 4 : end - 4]
        if zlib.crc32(body) != struct.unpack_from(">I", data, end - 4)[0]:
            return f"a PNG with a damaged {kind.decode('latin1')} chunk"
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, position + 8)
            if width * height > _MAX_PIXELS:
                return f"a PNG that claims {width} x {height} pixels"
        if kind == b"IEND":
            return None
        position = end
    return "a truncated PNG"


def _encode(ending: str, image: np.ndarray, options: list[int]) -> bytes:
    bgr = image[..., [2, 1, 0, 3][: image.shape[2]]] if image.ndim == 3 else image
    good, buffer = cv2.imencode(ending, np.ascontiguousarray(bgr), options)
    if not good:
        raise SpaceError(f"could not encode an image of shape {image.shape} as {ending}")
    return bytes(buffer.tobytes())


def _write(path: Path, ending: str, image: np.ndarray, options: list[int]) -> None:
    files.write(path, _encode(ending, image, options))
