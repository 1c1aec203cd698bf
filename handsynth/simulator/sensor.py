"""From light to numbers: what a camera does to colours."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from handsynth.hand.camera import Camera
from handsynth.simulator.environment import LUMINANCE
from handsynth.simulator.looks import Looks
from handsynth.simulator.tones import to_srgb

_METERED = 0.2
"""Linear luminance that a camera makes of the average of what it sees."""
_METERING = 0.6
"""How far it goes in doing so: night stays darker than day."""
_READ_SHARE = 0.15  # of the noise at white that stays in the dark


@dataclass(frozen=True)
class Shot:
    """How one picture is taken.

    Attributes:
        exposure: factor on what metering chooses.
        gains: (3,) of the channels, the error of the white balance.
        vignetting: exponent on the natural fall of light towards the corners.
        aberration: share by which red is larger and blue smaller than green, about the optical axis.
        blur_px: standard deviation of the blur of lens and pixel; 0 is none.
        defocus: radius of the blur of what is out of focus, of the longer side.
        motion: (2,) way (x, y) of the hand while the shutter is open, of the longer side.
        shaken: whether the camera moves instead, and with it all that is seen.
        sharpening: strength.
        noise: standard deviation of linear light at white.
        chroma: share of the noise that is colour, in grains of two pixels.
        contrast, saturation: of the tone curve, see ``Looks``.
        jpeg_quality: 0 for no JPEG.
    """

    exposure: float
    gains: np.ndarray
    vignetting: float
    aberration: float
    blur_px: float
    defocus: float
    motion: np.ndarray
    shaken: bool
    sharpening: float
    noise: float
    chroma: float
    contrast: float
    saturation: float
    jpeg_quality: int


def draw_shot(rng: np.random.Generator, looks: Looks) -> Shot:
    """Draw how a picture is taken; every value is drawn whether or not it is used, so that settings do not mix."""
    cast = looks.white_balance * rng.standard_normal(3) * [1, 0.3, 1]
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*looks.motion)
    moving, shaken, packed = rng.random(3) < [looks.moving, 0.3, looks.jpeg]
    quality = round(rng.uniform(*looks.jpeg_quality))
    return Shot(
        exposure=float(np.exp(rng.uniform(*np.log(looks.exposure)))),
        gains=np.clip(1 + cast, 0.6, 1.5),
        vignetting=float(rng.uniform(*looks.vignetting)),
        aberration=float(looks.aberration * rng.standard_normal()),
        blur_px=float(rng.uniform(*looks.blur_px)),
        defocus=float(max(rng.uniform(*looks.defocus), 0.0)),
        motion=moving * length * np.array([np.cos(angle), np.sin(angle)]),
        shaken=bool(shaken),
        sharpening=float(rng.uniform(*looks.sharpening)),
        noise=float(rng.uniform(*looks.noise)),
        chroma=float(rng.uniform(0.1, 0.7)),
        contrast=float(rng.uniform(*looks.contrast)),
        saturation=float(rng.uniform(*looks.saturation)),
        jpeg_quality=int(packed) * quality,
    )


def smeared(image: np.ndarray, way_px: np.ndarray) -> np.ndarray:
    """(H, W, C) float32 moved along ``way_px`` (2,) (x, y) while the shutter is open, half before and half after."""
    length = float(np.hypot(*way_px))
    if length < 0.3:
        return image
    reach = int(np.ceil(length / 2)) + 1
    v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    x, y = way_px / length
    along, across = np.abs(u * x + v * y), np.abs(u * y - v * x)
    kernel = np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE))


def develop(linear: np.ndarray, shot: Shot, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Turn the light that arrives into a picture.

    Args:
        linear: (H, W, 3) float32 linear light.
        shot: how; its defocus and motion have been applied to what they concern.
        camera: whose pixels they are.
        rng: for the noise.

    Returns:
        (H, W, 3) uint8 sRGB.
    """
    mean = float((linear @ LUMINANCE.astype(np.float32)).mean())
    exposure = shot.exposure * min((_METERED / max(mean, 1e-3)) ** _METERING, 3.0)
    image = linear * (exposure * shot.gains).astype(np.float32)
    if shot.vignetting > 0:
        v, u = np.ogrid[0 : camera.height, 0 : camera.width]
        tangent2 = ((u - camera.cx) / camera.fx) ** 2 + ((v - camera.cy) / camera.fy) ** 2
        image = image * ((1 + tangent2) ** (-2 * shot.vignetting)).astype(np.float32)[..., None]
    image = _split_colors(image, shot.aberration, camera)
    if shot.blur_px > 0:
        image = cv2.GaussianBlur(image, (0, 0), shot.blur_px)
    if shot.noise > 0:
        image = image + _noise(image, shot, rng)
    light = np.clip(image, 0, None)
    # Highlights roll off into white instead of clipping hard.
    bright = light > 0.8
    light[bright] = 1 - 0.2 * np.exp(-(light[bright] - 0.8) / 0.2)
    tone = to_srgb(light)
    tone = tone - (shot.contrast / (2 * np.pi)) * np.sin(2 * np.pi * tone)
    if shot.saturation != 1:
        grey = tone @ LUMINANCE.astype(np.float32)
        tone = grey[..., None] + shot.saturation * (tone - grey[..., None])
    if shot.sharpening > 0:
        tone = tone + shot.sharpening * (tone - cv2.GaussianBlur(tone, (0, 0), 1.0))
    picture = np.asarray(np.round(255 * np.clip(tone, 0, 1)), dtype=np.uint8)
    return _through_jpeg(picture, shot.jpeg_quality) if shot.jpeg_quality else picture


def _split_colors(image: np.ndarray, aberration: float, camera: Camera) -> np.ndarray:
    """Red a little larger and blue a little smaller about the optical axis; green, which labels go by, stays."""
    corner = np.hypot(max(camera.cx, camera.width - camera.cx), max(camera.cy, camera.height - camera.cy))
    if abs(aberration) * corner < 0.05:
        return image
    height, width = image.shape[:2]
    out = image.copy()
    for channel, grow in ((0, 1 + aberration), (2, 1 - aberration)):
        into = np.array([[grow, 0, (1 - grow) * camera.cx], [0, grow, (1 - grow) * camera.cy]])
        plane = np.ascontiguousarray(image[..., channel])
        out[..., channel] = cv2.warpAffine(plane, into, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return out


def _noise(image: np.ndarray, shot: Shot, rng: np.random.Generator) -> np.ndarray:
    """Photons arrive by chance (the root of the light); the electronics add a floor; cameras smear its colour."""
    height, width = image.shape[:2]
    spread = shot.noise * np.sqrt(_READ_SHARE**2 + np.clip(image, 0, 1))
    grey = rng.standard_normal((height, width, 1), dtype=np.float32)
    coarse = rng.standard_normal(((height + 1) // 2, (width + 1) // 2, 3), dtype=np.float32)
    color = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(spread * (np.sqrt(1 - shot.chroma**2) * grey + shot.chroma * color), dtype=np.float32)


def _through_jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    turned = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB))
