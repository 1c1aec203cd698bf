"""Picture files to arrays and back. Colour is RGB in memory; damaged files raise, they never decode in part."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

import cv2
import numpy as np

from handsynth.errors import DataError, MissingError, SpaceError, sentence
from handsynth.imaging import png
from handsynth.imaging.warp import Box
from handsynth.runtime import files

_MANY = 250
"""Pictures from which the fast way pays: half a second to load against some 5 ms saved for each of 640 x 480."""

_KEPT = 4
"""Pictures remembered by :func:`sharing`: colour, depth and mask of one image, and one to spare."""

_memory: ContextVar[dict[tuple[str, Path, Box | None], np.ndarray] | None] = ContextVar("pictures", default=None)

_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_color(path: Path, window: Box | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB from an 8-bit PNG or JPEG; grey is repeated, alpha dropped.

    Args:
        window: the part that the caller will look at; pixels outside may be left black.

    Raises:
        MissingError, DataError: the file is not there, is damaged or is no picture.
    """
    return _remembered(("color", path, window), lambda: decode_color(_read(path), path, window))


def read_raw(path: Path, window: Box | None = None) -> np.ndarray:
    """The picture as stored: (H, W) or (H, W, C), its own dtype; three or four channels come as RGB(A).

    ``window`` as in :func:`read_color`.

    Raises:
        MissingError, DataError: as :func:`read_color`.
    """
    return _remembered(("raw", path, window), lambda: decode_raw(_read(path), path, window))


def decode_color(data: bytes | memoryview, where: object, window: Box | None = None) -> np.ndarray:
    """As :func:`read_color`, from the bytes of a file; ``where`` names their place in errors.

    Raises:
        DataError: the bytes are damaged or no picture.
    """
    image = _decode(data, where, cv2.IMREAD_COLOR, window)
    if image.ndim == 2:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))
    return image if image.shape[2] == 3 else np.ascontiguousarray(image[..., :3])


def decode_raw(data: bytes | memoryview, where: object, window: Box | None = None) -> np.ndarray:
    """As :func:`read_raw`, from the bytes of a file; ``where`` names their place in errors.

    Raises:
        DataError: the bytes are damaged or no picture.
    """
    return _decode(data, where, cv2.IMREAD_UNCHANGED, window)


def expect(images: int) -> None:
    """Say how many pictures this process is about to decode: from some hundred on the fast way for PNG pays.

    Pixels are the same either way.
    """
    if images >= _MANY:
        png.compile_kernel()


@contextlib.contextmanager
def sharing() -> Iterator[None]:
    """Decode a file once that is read again soon with the same window: several hands of one image.

    Arrays that :func:`read_color` and :func:`read_raw` give inside are not to be written to.
    """
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3 or 4) uint8, or (H, W) uint16, as PNG; colour is RGB."""
    _write(path, ".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def write_jpeg(path: Path, image: np.ndarray, quality: int = 95) -> None:
    """Write (H, W, 3) uint8 RGB as JPEG."""
    _write(path, ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of what :func:`write_png` takes, pressed harder."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 6])


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """JPEG bytes of (H, W, 3) uint8 RGB."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def join_bytes(high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """uint16 from two 8-bit channels: 256 high + low, without the overflow of uint8 arithmetic."""
    return (high.astype(np.uint16) << 8) | low.astype(np.uint16)


def split_bytes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """High and low 8-bit channels of uint16; inverse of :func:`join_bytes`."""
    return (values >> 8).astype(np.uint8), (values & 0xFF).astype(np.uint8)


def _remembered(asked: tuple[str, Path, Box | None], decode: Callable[[], np.ndarray]) -> np.ndarray:
    memory = _memory.get()
    if memory is None:
        return decode()
    if asked not in memory:
        image = decode()
        image.flags.writeable = False
        memory[asked] = image
        if len(memory) > _KEPT:
            del memory[next(iter(memory))]
    return memory[asked]


def _read(path: Path) -> bytes:
    try:
        return files.read(path)
    except MissingError as error:
        if os.path.lexists(path):
            raise  # a folder or a pipe in its place, or no right to read it: said already
        raise MissingError(sentence("an image file", "none", path)) from error


def _decode(data: bytes | memoryview, where: object, flags: int, window: Box | None) -> np.ndarray:
    """RGB(A), or grey: 8-bit where ``flags`` ask for colour, else as stored."""
    data = memoryview(data)
    found = _checked(data)
    if isinstance(found, png.Png) and (flags == cv2.IMREAD_UNCHANGED or found.depth == 8):
        image = png.decode(found, window)
        if image is not None:
            return image
    if not isinstance(found, str):
        try:
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
        except cv2.error:
            image = None
        if image is not None:
            return _as_rgb(image)
        found = "one that does not decode"
    raise DataError(sentence("a whole PNG or JPEG image", found, where, "fetch or extract the file again"))


def _as_rgb(image: np.ndarray) -> np.ndarray:
    if image.ndim == 2 or image.shape[2] < 3:
        return image
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA))


def _checked(data: memoryview) -> png.Png | str | None:
    """What the bytes are, or in words what is wrong with them.

    OpenCV fills the rest of a truncated file with grey and says nothing.
    """
    if not data:
        return "an empty file"
    if data[: len(png.SIGNATURE)] == png.SIGNATURE:
        return png.scan(data)
    if data[:2] == b"\xff\xd8":
        return _jpeg_fault(data)
    return f"a file that starts with {bytes(data[:4])!r}"


def _jpeg_fault(data: memoryview) -> str | None:
    # Cameras may pad behind the end marker, so it is searched near the end.
    if b"\xff\xd9" not in bytes(data[-1024:]):
        return "a truncated JPEG"
    position = 2
    while position + 9 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker in _FRAME_MARKERS:
            height, width = struct.unpack_from(">HH", data, position + 5)
            return f"a JPEG that claims {width} x {height} pixels" if width * height > png.MAX_PIXELS else None
        # 0xFF fills up, 0x01 and 0xD0 to 0xD7 stand alone; all others say how long they are.
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD7
        length = struct.unpack_from(">H", data, position + 2)[0]
        position += 1 if marker == 0xFF else 2 if alone else 2 + length
    return None


def _encode(ending: str, image: np.ndarray, options: list[int]) -> bytes:
    bgr = image[..., [2, 1, 0, 3][: image.shape[2]]] if image.ndim == 3 else image
    good, buffer = cv2.imencode(ending, np.ascontiguousarray(bgr), options)
    if not good:
        raise SpaceError(f"could not encode an image of shape {image.shape} as {ending}")
    return bytes(buffer.tobytes())


def _write(path: Path, ending: str, image: np.ndarray, options: list[int]) -> None:
    files.write(path, _encode(ending, image, options))
