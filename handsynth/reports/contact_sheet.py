"""Contact sheets: what was generated, predicted or stored, side by side, as (H, W, 3) uint8 pictures for the page.

Cells are drawn at twice the size at which a page shows them. Pictures of any size and shape are fitted into square
cells without changing their aspect; keypoints follow (u' = (u + 1/2) s - 1/2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from handsynth.hand.sample import HandSample
from handsynth.imaging.draw import depth_image, label, mask_image, skeleton, tile

_DARK, _EMPTY = 24, 238
_GAP = 8


def pair_sheet(rows: Sequence[Mapping[str, Any]], count: int = 8, cell: int = 224) -> np.ndarray:
    """Generated hands beside what they were made from, one per row, from near to far pose.

    Columns: source; target pose; generated; generated with the target's skeleton; the real image of the target, which
    the generator never saw (left out where no row has one).

    Args:
        rows: per pair ``source_rgb``, ``generated_rgb`` and ``target_rgb`` (H, W, 3) uint8, the last may be None;
            ``target_keypoints`` (21, 2) in px of the generated image; ``distance`` (pose distance); ``source_key``,
            ``target_key``; where known ``score``. Further keys are ignored.
        count: rows shown; of more, those at even steps of the order by distance, nearest and farthest included.
        cell: side of a cell in px.

    Raises:
        ValueError: there are no rows.
    """
    chosen = _evenly(sorted(rows, key=lambda row: (row["distance"], row["target_key"])), count)
    if not chosen:
        raise ValueError("no pairs to show")
    real = any(row["target_rgb"] is not None for row in chosen)
    titles = ["source", "target pose", "generated", "with target pose", "real (held out)"][: 5 if real else 4]
    return _stack([_heads(titles, cell), *(_pair_row(row, real, cell) for row in chosen)])


def prediction_sheet(
    images: np.ndarray,
    predicted: np.ndarray,
    true: np.ndarray,
    errors_mm: np.ndarray,
    keys: Sequence[str] | None = None,
    count: int = 4,
    cell: int = 208,
) -> np.ndarray:
    """Best, median and worst predictions: a row each of pairs, the prediction left and the truth right.

    Args:
        images: (N, S, S, 3) uint8.
        predicted, true: (N, 21, 2) keypoints in px of the images.
        errors_mm: (N,) mean error of each sample; samples with NaN are not shown.
        keys: names of the samples.
        count: pairs per row, fewer where there are fewer samples; no sample is shown twice.
        cell: side of a cell in px.

    Raises:
        ValueError: no error is known.
    """
    errors_mm = np.asarray(errors_mm)
    known = np.flatnonzero(np.isfinite(errors_mm))
    order = known[np.argsort(errors_mm[known], kind="stable")]
    if len(order) == 0:
        raise ValueError("no sample with a known error to show")
    if len(order) < 3:
        cases = {"all": order}
    else:
        count = min(count, len(order) // 3)
        start = (len(order) - count) // 2
        cases = {"best": order[:count], "median": order[start : start + count], "worst": order[-count:]}

    def pair(index: int, case: str) -> np.ndarray:
        sides = [_with_skeleton(images[index], points[index], cell) for points in (predicted, true)]
        name = f"  {keys[index]}" if keys is not None else ""
        return label(np.concatenate(sides, axis=1), f"{case}: {errors_mm[index]:.1f} mm{name}", _line(cell))

    lines = [_side_by_side([pair(int(index), case) for index in indices]) for case, indices in cases.items()]
    head = label(np.full((0, lines[0].shape[1], 3), 255, np.uint8), "left predicted, right true", _line(cell), ink=0)
    return _stack([head, *lines])


def sample_sheet(samples: Sequence[HandSample], columns: int = 4, size: int = 224) -> np.ndarray:
    """Samples with their skeletons; depth and part mask beside the colour where any of the samples has them.

    Args:
        samples: at least one; their own sizes may differ.
        columns: samples per row.
        size: side of a picture in px.

    Raises:
        ValueError: there are no samples.
    """
    if not samples:
        raise ValueError("no samples to show")
    present = {name for sample in samples for name in ("rgb", "depth_mm", "mask") if getattr(sample, name) is not None}
    tiles = [label(_views(sample, present, size), sample.key, _line(size)) for sample in samples]
    return tile(tiles, min(columns, len(tiles)), _GAP)


def _views(sample: HandSample, present: set[str], size: int) -> np.ndarray:
    keypoints = sample.keypoints_px if sample.keypoints_px is not None else sample.projected()
    points = np.full((21, 2), np.nan) if keypoints is None else keypoints
    blank = np.full((size, size, 3), _EMPTY, np.uint8)
    views = []
    if "rgb" in present:
        views.append(blank if sample.rgb is None else _with_skeleton(sample.rgb, points, size))
    if "depth_mm" in present:
        # The camera is that of the depth pixels where there is no colour, so the skeleton fits there.
        on_depth = points if sample.rgb is None else np.full((21, 2), np.nan)
        depth = sample.depth_mm
        views.append(blank if depth is None else _with_skeleton(depth_image(depth), on_depth, size))
    if "mask" in present:
        views.append(blank if sample.mask is None else _fit(mask_image(sample.mask), size)[0])
    return np.concatenate(views or [_with_skeleton(np.full((*sample.size, 3), _DARK, np.uint8), points, size)], axis=1)


def _pair_row(row: Mapping[str, Any], real: bool, cell: int) -> np.ndarray:
    generated, pose = row["generated_rgb"], row["target_keypoints"]
    cells = [
        _with_skeleton(row["source_rgb"], np.full((21, 2), np.nan), cell),
        _with_skeleton(np.full_like(generated, _DARK), pose, cell),
        _fit(generated, cell)[0],
        _with_skeleton(generated, pose, cell),
    ]
    if real:
        target = row["target_rgb"]
        cells.append(np.full((cell, cell, 3), _EMPTY, np.uint8) if target is None else _fit(target, cell)[0])
    score = f"   score {row['score']:.3f}" if row.get("score") is not None else ""
    words = f"pose distance {row['distance']:.4f}{score}   {row['source_key']} -> {row['target_key']}"
    return label(_side_by_side(cells), words, _line(cell))


def _with_skeleton(image: np.ndarray, keypoints_px: np.ndarray, size: int) -> np.ndarray:
    """Drawn after enlarging, so that lines stay fine whatever the image's own size."""
    fitted, scale, corner = _fit(image, size)
    return skeleton(fitted, (keypoints_px + 0.5) * scale - 0.5 + corner, size / 110)


def _fit(image: np.ndarray, size: int) -> tuple[np.ndarray, float, np.ndarray]:
    """An RGB image in a square cell, centred on grey; its scale and its top left corner (x, y)."""
    height, width = image.shape[:2]
    scale = size / max(height, width)
    shape = max(round(width * scale), 1), max(round(height * scale), 1)
    shrinks = scale < 1
    resized = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    x, y = (size - shape[0]) // 2, (size - shape[1]) // 2
    out = np.full((size, size, 3), _EMPTY, np.uint8)
    out[y : y + shape[1], x : x + shape[0]] = resized
    return out, scale, np.array([x, y], dtype=np.float64)


def _heads(titles: Sequence[str], cell: int) -> np.ndarray:
    return _side_by_side([label(np.full((0, cell, 3), 255, np.uint8), title, _line(cell), ink=0) for title in titles])


def _line(cell: int) -> int:
    return max(20, cell // 9)


def _side_by_side(images: Sequence[np.ndarray]) -> np.ndarray:
    return tile(list(images), len(images), _GAP)


def _stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One below the other on white, flush left, framed by the gap."""
    width = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, _GAP), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    return np.concatenate(padded)[:-_GAP]


def _evenly(items: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    if len(items) <= count:
        return list(items)
    return [items[position] for position in np.linspace(0, len(items) - 1, count).round().astype(int)]
