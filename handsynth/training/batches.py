"""Stores to batches: at a system's working size, in an order that is a function of the seed and the step alone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import numpy as np
import torch

from handsynth.hand.joints import OTHER_BODY
from handsynth.hand.sample import LABELLED
from handsynth.imaging.warp import resize_stack
from handsynth.poseindex.curriculum import curriculum_order, draw_pairs
from handsynth.poseindex.distance import pose_distance
from handsynth.runtime.seeds import rng
from handsynth.store.read import Store
from handsynth.training.system import HandBatch, PairBatch

_CACHE_BYTES = 1 << 30
_FLESH_MM = 20.0  # before and behind the joints


class Hands:
    """Some slots of one store, as batches at a working size.

    Images and depth maps are kept in memory at that size once read, where all of them fit in 1 GiB; otherwise read each
    time.
    """

    def __init__(self, store: Store, slots: np.ndarray, size: int) -> None:
        self.store, self.slots, self.size = store, np.asarray(slots, dtype=np.int64), size
        scale = size / store.info.plan.size
        self.joints_mm = store.column("joints_mm", self.slots).astype(np.float32)
        pixels = store.column("keypoints_px", self.slots).astype(np.float32)
        self.keypoints_px = (pixels + 0.5) * np.float32(scale) - np.float32(0.5)
        self.labelled = store.column("joint_state", self.slots) == LABELLED
        camera = store.column("camera", self.slots)[:, :4]
        moved = np.concatenate([camera[:, :2] * scale, (camera[:, 2:] + 0.5) * scale - 0.5], axis=1)
        self.camera = moved.astype(np.float32)
        self._images = _Kept(len(self.slots), (size, size, 3), np.uint8, self._read_images)
        self._depths = _Kept(len(self.slots), (size, size), np.float32, self._read_depths)

    def __len__(self) -> int:
        return len(self.slots)

    def images(self, positions: np.ndarray) -> np.ndarray:
        """(n, size, size, 3) uint8 of these positions in ``slots``."""
        return self._images(positions)

    def depths_mm(self, positions: np.ndarray) -> np.ndarray:
        """(n, size, size) float32 camera z of these positions in ``slots``, NaN but for the hand: the nearest pixel's.

        The hand is what the mask says; where it says nothing, what lies within 20 mm of the known joints' z range.

        Raises:
            StoreError: the store has no depth.
        """
        return self._depths(positions)

    def _read_images(self, positions: np.ndarray) -> np.ndarray:
        return resize_stack(self.store.rgb(self.slots[positions]), self.size)

    def _read_depths(self, positions: np.ndarray) -> np.ndarray:
        slots, side = self.slots[positions], self.store.info.plan.size
        pixel = ((np.arange(self.size) + 0.5) * side / self.size).astype(np.int64)
        depth = self.store.depth_mm(slots)[:, pixel[:, None], pixel]
        z = self.joints_mm[positions, :, 2]
        near, far = (edge(z, axis=1)[:, None, None] for edge in (np.fmin.reduce, np.fmax.reduce))
        hand = (depth >= near - _FLESH_MM) & (depth <= far + _FLESH_MM)
        if self.store.has("mask"):
            mask = self.store.mask(slots)[:, pixel[:, None], pixel]
            marked = (mask > 0) & (mask < OTHER_BODY)
            hand = np.where(marked.any((1, 2), keepdims=True), marked, hand)
        return np.where(hand, depth, np.float32(np.nan))

    def batch(self, positions: np.ndarray, pixels: bool = True, depth: bool = False) -> HandBatch:
        """The hands at these positions in ``slots``; without ``pixels`` no image is read, with ``depth`` depth maps."""
        rgb = depth_mm = None
        if pixels:
            rgb = torch.from_numpy(self.images(positions)).permute(0, 3, 1, 2).float().div_(255)
        if depth:
            depth_mm = torch.from_numpy(self.depths_mm(positions))[:, None]
        return HandBatch(
            slots=torch.from_numpy(self.slots[positions]),
            keypoints_px=torch.from_numpy(self.keypoints_px[positions]),
            joints_mm=torch.from_numpy(self.joints_mm[positions]),
            joint_labelled=torch.from_numpy(self.labelled[positions]),
            camera=torch.from_numpy(self.camera[positions]),
            rgb=rgb,
            depth_mm=depth_mm,
        )


class _Kept:
    """Arrays of one shape by number, read once where all of them fit in memory."""

    def __init__(
        self, count: int, shape: tuple[int, ...], dtype: type[np.generic], read: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        self._read = read
        fits = count * math.prod(shape) * np.dtype(dtype).itemsize <= _CACHE_BYTES
        self._values = np.empty((count if fits else 0, *shape), dtype=dtype)
        self._held = np.zeros(len(self._values), dtype=bool)

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        if not len(self._values):
            return self._read(numbers)
        wanted = np.unique(numbers)
        wanted = wanted[~self._held[wanted]]
        for start in range(0, len(wanted), 64):
            part = wanted[start : start + 64]
            self._values[part] = self._read(part)
            self._held[part] = True
        return self._values[numbers]


class BatchSource(Protocol):
    """An endless row of batches, each a function of its step alone."""

    def __call__(self, step: int) -> HandBatch | PairBatch: ...


class HandBatches:
    """Batches for estimators: samples of one or more stores, in seeded order.

    All samples alike, every one once an epoch; or, ``balanced``, equally many of each store in every batch, so that few
    photographs are not lost among many simulated hands. What does not divide goes to the first stores.
    """

    def __init__(self, hands: Sequence[Hands], batch: int, seed: int, balanced: bool = False) -> None:
        self.hands, self.batch, self.seed = list(hands), batch, seed
        self.balanced = balanced
        self._starts = np.cumsum([0, *(len(part) for part in self.hands)])

    def __call__(self, step: int) -> HandBatch:
        drawn = self._shares(step) if self.balanced else self._alike(step)
        parts = [part.batch(rows) for part, rows in zip(self.hands, drawn, strict=True) if len(rows)]
        return parts[0] if len(parts) == 1 else _concatenate(parts)

    def _alike(self, step: int) -> list[np.ndarray]:
        chosen = _epoch_slice(int(self._starts[-1]), self.batch, step, lambda epoch, n: self._order(epoch, n))
        bounds = itertools.pairwise(self._starts)
        return [chosen[(chosen >= start) & (chosen < stop)] - start for start, stop in bounds]

    def _shares(self, step: int) -> list[np.ndarray]:
        count, rest = divmod(self.batch, len(self.hands))
        return [
            _epoch_slice(len(part), count + (number < rest), step, partial(self._order, part=number))
            for number, part in enumerate(self.hands)
        ]

    def _order(self, epoch: int, count: int, part: int | None = None) -> np.ndarray:
        purpose = ("order", epoch) if part is None else ("order", epoch, part)
        return rng(self.seed, *purpose).permutation(count)


class PairBatches:
    """Batches for generators: pairs of the reduced set, easiest first in each epoch (MM-Hand 3.3.1) or shuffled.

    Pairs are drawn once, as in the paper, or anew for every epoch where ``redraw`` is set; of all hands, or of
    one group each where ``groups``, a number per hand, are given.
    """

    def __init__(
        self,
        hands: Hands,
        features: np.ndarray,
        batch: int,
        seed: int,
        curriculum: bool = True,
        redraw: bool = False,
        groups: np.ndarray | None = None,
    ) -> None:
        self.hands, self.features, self.batch, self.seed = hands, features, batch, seed
        self.curriculum, self.redraw, self.groups = curriculum, redraw, groups
        self._drawn: tuple[int, np.ndarray, np.ndarray] | None = None

    def __call__(self, step: int) -> PairBatch:
        count = len(self.hands)
        chosen = _epoch_slice(count, self.batch, step, lambda epoch, n: np.stack(self._pairs(epoch), axis=1))
        return PairBatch(self.hands.batch(chosen[:, 0]), self.hands.batch(chosen[:, 1]))

    def _pairs(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        draw = epoch if self.redraw else 0
        if self._drawn is None or self._drawn[0] != draw:
            source, target = draw_pairs(rng(self.seed, "pairs", draw), len(self.hands), self.groups)
            self._drawn = (draw, source, target)
        _, source, target = self._drawn
        if self.curriculum:
            order = curriculum_order(pose_distance(self.features[source], self.features[target]))
        else:
            order = rng(self.seed, "order", epoch).permutation(len(target))
        return source[order], target[order]


class DepthBatches:
    """Batches for generators of depth: every hand once an epoch in seeded order, with its depth and without colour.

    Nothing of a source goes into a depth map, so each hand stands as its own.
    """

    def __init__(self, hands: Hands, batch: int, seed: int) -> None:
        self.hands, self.batch, self.seed = hands, batch, seed

    def __call__(self, step: int) -> PairBatch:
        chosen = _epoch_slice(
            len(self.hands), self.batch, step, lambda epoch, n: rng(self.seed, "order", epoch).permutation(n)
        )
        hands = self.hands.batch(chosen, pixels=False, depth=True)
        return PairBatch(hands, hands)


def _epoch_slice(count: int, batch: int, step: int, order: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """Items ``step * batch`` and on of the endless row of epochs."""
    start, rows = step * batch, []
    while batch:
        epoch, offset = divmod(start, count)
        rows.append(order(epoch, count)[offset : offset + batch])
        start, batch = start + len(rows[-1]), batch - len(rows[-1])
    return np.concatenate(rows)


def _concatenate(parts: Sequence[HandBatch]) -> HandBatch:
    def joined(name: str) -> torch.Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    return HandBatch(
        slots=joined("slots"),
        keypoints_px=joined("keypoints_px"),
        joints_mm=joined("joints_mm"),
        joint_labelled=joined("joint_labelled"),
        camera=joined("camera"),
        rgb=joined("rgb"),
    )
