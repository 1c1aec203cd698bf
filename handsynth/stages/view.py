"""Draw a store: a contact sheet with skeletons, depth and part masks, or a gallery of the bare pictures."""

from __future__ import annotations

import base64
import html
import math
from pathlib import Path

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import encode_jpeg, encode_png
from handsynth.imaging.draw import depth_image, mask_image, skeleton, tile
from handsynth.imaging.warp import Box, crop
from handsynth.runtime import files, seeds
from handsynth.stages.summary import kept_summary
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store

_SIDE = 192
_COLUMNS = 6
_LARGE, _SMALL, _GAP = 112, 55, 2


def view(
    store: str | None = None,
    out: str | Path | None = None,
    count: int = 24,
    seed: int = 0,
    gallery: bool = False,
    *,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write a contact sheet of ``count`` samples drawn by ``seed`` and return its path.

    Args:
        out: a ``.png``, ``.jpg`` or ``.html`` file; ``NAME.png`` in the workspace by default.
        gallery: a square of pictures without skeletons, and small beside it their depth and masks.

    Raises:
        UsageError: a wrong count or ending.
        MissingError, StoreError: there is no such store, or it is unfinished.
        SpaceError: the file cannot be written.
    """
    space = Workspace.of(workspace)
    opened = space.store(store)
    path = Path(out) if out is not None else space.root / f"{store_name(opened.address)}.png"
    if count < 1:
        raise UsageError(sentence("at least 1 sample", str(count), "--count"))
    if path.suffix not in (".png", ".jpg", ".html"):
        raise UsageError(sentence("a file that ends in .png, .jpg or .html", repr(path.name), "--out"))
    if gallery and path.suffix == ".html":
        raise UsageError(sentence("a .png or .jpg file", repr(path.name), "--out of a gallery"))
    slots = np.sort(seeds.rng(seed, "view").permutation(opened.slots)[:count])
    samples = list(opened.samples(slots))
    if path.suffix == ".html":
        files.write(path, _page(opened, samples).encode())
    else:
        sheet = _gallery(samples) if gallery else _sheet(samples)
        files.write(path, encode_jpeg(sheet, 90) if path.suffix == ".jpg" else encode_png(sheet))
    return path


def _sheet(samples: list[HandSample]) -> np.ndarray:
    pictures = [picture(sample) for sample in samples]
    return tile(pictures, min(max(_COLUMNS * _SIDE // pictures[0].shape[1], 1), len(pictures)))


def _gallery(samples: list[HandSample]) -> np.ndarray:
    """(H, W, 3) uint8: pictures in a square, depth and masks one above the other at half the size to its right.

    A store without colour shows its depth in the square.
    """
    columns = math.isqrt(len(samples) - 1) + 1
    large = [crop(sample, Box(0, 0, sample.size[0]), _LARGE) for sample in samples]
    small = [crop(sample, Box(0, 0, sample.size[0]), _SMALL) for sample in samples]
    depth = [depth_image(sample.depth_mm) for sample in small if sample.depth_mm is not None]
    masks = [mask_image(sample.mask) for sample in small if sample.mask is not None]
    colors = [sample.rgb for sample in large if sample.rgb is not None]
    shown = colors or [depth_image(sample.depth_mm) for sample in large if sample.depth_mm is not None]
    square = tile(shown, columns, _GAP)
    beside = [tile(images, columns, _GAP) for images in (depth, masks) if images]
    height = max(square.shape[0], sum(block.shape[0] + _GAP for block in beside))
    width = max((block.shape[1] for block in beside), default=-_GAP)
    sheet = np.full((height, square.shape[1] + _GAP + width, 3), 255, dtype=np.uint8)
    sheet[: square.shape[0], : square.shape[1]] = square
    top = 0
    for block in beside:
        sheet[top : top + block.shape[0], square.shape[1] + _GAP :][:, : block.shape[1]] = block
        top += block.shape[0] + _GAP
    return sheet


def picture(sample: HandSample) -> np.ndarray:
    """(192, 192 k, 3) uint8: the hand with its skeleton, then its depth and its mask where it has them."""
    scaled = crop(sample, Box(0, 0, sample.size[0]), _SIDE)
    ground = np.full((_SIDE, _SIDE, 3), 24, dtype=np.uint8)
    panels = []
    if scaled.rgb is not None or scaled.depth_mm is None:
        panels.append(scaled.rgb if scaled.rgb is not None else ground)
    if scaled.depth_mm is not None:
        panels.append(depth_image(scaled.depth_mm))
    points = scaled.keypoints_px if scaled.keypoints_px is not None else scaled.projected()
    if points is not None:
        panels[0] = skeleton(panels[0], points)
    if scaled.mask is not None:
        panels.append(mask_image(scaled.mask))
    return np.concatenate(panels, axis=1)


def _page(store: Store, samples: list[HandSample]) -> str:
    name = html.escape(store_name(store.address))
    figures = "\n".join(
        f'<figure><img alt="" src="data:image/png;base64,{base64.b64encode(encode_png(picture(sample))).decode()}">'
        f"<figcaption>{html.escape(_caption(sample))}</figcaption></figure>"
        for sample in samples
    )
    style = (
        "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color-scheme:light dark}"
        "main{display:flex;flex-wrap:wrap;gap:1em}figure{margin:0}figcaption{font-size:12px;opacity:.7}"
    )
    shown = f"{len(samples)} of {len(store)} samples"
    if judged := kept_summary(store):
        shown += f"; {judged}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{style}</style>'
        f"<h1>{name}</h1><p>{html.escape(shown)}</p><main>\n{figures}\n</main></html>\n"
    )


def _caption(sample: HandSample) -> str:
    return " · ".join([sample.key, sample.side, *([sample.split] if sample.split else [])])
