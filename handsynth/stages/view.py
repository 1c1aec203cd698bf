"""Draw a contact sheet of a store: skeletons over colour, depth and part mask beside where there are any."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import encode_png
from handsynth.imaging.draw import depth_image, mask_image, skeleton, tile
from handsynth.imaging.warp import Box, crop
from handsynth.runtime import files, seeds
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store

_SIDE = 192
_COLUMNS = 6


def view(
    store: str | None = None,
    out: str | Path | None = None,
    count: int = 24,
    seed: int = 0,
    *,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write a contact sheet of ``count`` samples drawn by ``seed`` and return its path.

    Args:
        out: a ``.png`` or ``.html`` file; ``NAME.png`` in the workspace by default.

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
    if path.suffix not in (".png", ".html"):
        raise UsageError(sentence("a file that ends in .png or .html", repr(path.name), "--out"))
    slots = np.sort(seeds.rng(seed, "view").permutation(opened.slots)[:count])
    samples = [opened.sample(int(slot)) for slot in slots]
    if path.suffix == ".html":
        files.write(path, _page(opened, samples).encode())
    else:
        pictures = [picture(sample) for sample in samples]
        columns = min(max(_COLUMNS * _SIDE // pictures[0].shape[1], 1), len(pictures))
        files.write(path, encode_png(tile(pictures, columns)))
    return path


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
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{style}</style>'
        f"<h1>{name}</h1><p>{len(samples)} of {len(store)} samples</p><main>\n{figures}\n</main></html>\n"
    )


def _caption(sample: HandSample) -> str:
    return " · ".join([sample.key, sample.side, *([sample.split] if sample.split else [])])
