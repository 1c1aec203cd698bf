"""Pictures for people: skeletons over images, depth and masks in colour."""

from __future__ import annotations

import cv2
import numpy as np

from handsynth.hand.joints import BONES, CHAINS

FINGER_COLORS = ((230, 60, 60), (240, 170, 40), (70, 190, 70), (60, 140, 240), (180, 90, 220))
"""RGB per finger, thumb to pinky."""

_FINGER_OF = {joint: finger for finger, chain in enumerate(CHAINS) for joint in chain}


def skeleton(image: np.ndarray, keypoints_px: np.ndarray, width: float | None = None) -> np.ndarray:
    """Draw 21 keypoints (21, 2) and their bones over a copy of an RGB image (H, W, 3); NaN joints are left out."""
    out = np.ascontiguousarray(image).copy()
    stroke = max(1, round(width or max(image.shape[:2]) / 128))
    fraction = 4  # sub-pixel drawing: OpenCV takes fixed-point coordinates

    def fixed(point: np.ndarray) -> tuple[int, int]:
        return round(float(point[0]) * 2**fraction), round(float(point[1]) * 2**fraction)

    drawable = np.isfinite(keypoints_px).all(-1) & (np.abs(np.nan_to_num(keypoints_px)) < 1e5).all(-1)
    for parent, child in BONES:
        if drawable[parent] and drawable[child]:
            color = FINGER_COLORS[_FINGER_OF[child]]
            cv2.line(out, fixed(keypoints_px[parent]), fixed(keypoints_px[child]), color, stroke, cv2.LINE_AA, fraction)
    for joint in np.flatnonzero(drawable).tolist():
        color = FINGER_COLORS[_FINGER_OF[joint]] if joint in _FINGER_OF else (255, 255, 255)
        radius = int(1.2 * stroke * 2**fraction)
        cv2.circle(out, fixed(keypoints_px[joint]), radius, color, -1, cv2.LINE_AA, fraction)
    return out


def depth_image(depth_mm: np.ndarray) -> np.ndarray:
    """(H, W) depth in mm to RGB: near is bright, no measurement black; scaled to the map's own range."""
    known = np.isfinite(depth_mm)
    out = np.zeros((*depth_mm.shape, 3), dtype=np.uint8)
    if known.any():
        low, high = np.percentile(depth_mm[known], [1, 99])
        grey = np.clip(255 - 220 * (np.nan_to_num(depth_mm) - low) / max(high - low, 1e-6), 0, 255).astype(np.uint8)
        out[known] = cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)[..., ::-1][known]
    return out


def mask_image(mask: np.ndarray) -> np.ndarray:
    """(H, W) part codes to RGB: palm grey, fingers in their colours, lighter towards the tip, other body brown."""
    table = np.zeros((256, 3), dtype=np.uint8)
    table[1], table[2], table[18] = (120, 120, 120), (150, 150, 150), (110, 80, 60)
    for finger, color in enumerate(FINGER_COLORS):
        for segment in range(3):
            table[3 + 3 * finger + segment] = np.array(color) * (0.6 + 0.2 * segment)
    return np.ascontiguousarray(table[mask])


def tile(images: list[np.ndarray], columns: int, gap: int = 4, ground: int = 255) -> np.ndarray:
    """Lay equally sized RGB images (H, W, 3) on one sheet, row by row."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), ground, dtype=np.uint8)
    for position, image in enumerate(images):
        y, x = (position // columns) * (height + gap), (position % columns) * (width + gap)
        sheet[y : y + height, x : x + width] = image
    return sheet


def label(image: np.ndarray, text: str, size: int | None = None, ink: int = 40, ground: int = 255) -> np.ndarray:
    """Put a strip with one line of text below an RGB image (H, W, 3); too long a text shrinks, then ends in dots.

    Args:
        image: (H, W, 3) uint8.
        text: printable ASCII; OpenCV's fonts know no more, so other characters become question marks.
        size: height of the strip in px; a tenth of the image's width, at least 18, where None.
        ink, ground: grey levels of text and strip.

    Returns:
        (H + size, W, 3) uint8.
    """
    width = image.shape[1]
    size = size or max(18, round(width / 10))
    strip = np.full((size, width, 3), ground, dtype=np.uint8)
    words = text.encode("ascii", "replace").decode()
    font, margin = cv2.FONT_HERSHEY_SIMPLEX, max(2, size // 8)
    scale = 0.6 * size / 22  # 22 px is the font's line height at scale 1
    smallest = min(scale, 0.36)

    def extent(line: str, scale: float) -> int:
        return int(cv2.getTextSize(line, font, scale, 1)[0][0])

    scale = max(smallest, min(scale, scale * (width - 2 * margin) / max(extent(words, scale), 1)))
    while len(words) > 3 and extent(words, scale) > width - 2 * margin:
        words = words.removesuffix("...")[:-1] + "..."
    cv2.putText(strip, words, (margin, round(0.72 * size)), font, scale, (ink,) * 3, 1, cv2.LINE_AA)
    return np.concatenate([image, strip])
