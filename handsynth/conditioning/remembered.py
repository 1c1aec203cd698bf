"""A depth provider that keeps what it made: training asks for the same hands in every epoch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor

_KEPT_BYTES = 256 << 20


class RememberedDepth:
    """Wraps a depth provider (``training.system.DepthProvider``); the least recently used maps are forgotten first.

    On a CPU every map is made by itself, so it is the same whatever batch it is asked for in and whether it was kept or
    not: a resumed training sees the same depth, bit for bit. On a GPU the provider is asked directly and for whole
    batches: drawing is cheaper there than looking things up on the host. A network's maps may then differ in their last
    digits where batches are of other sizes.
    """

    def __init__(self, provider: Callable[[Tensor, Tensor, int], Tensor], kept_bytes: int = _KEPT_BYTES) -> None:
        self._provider, self._kept_bytes = provider, kept_bytes
        self._maps: OrderedDict[tuple[bytes, bytes, int], Tensor] = OrderedDict()

    def __call__(self, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        """(B, 21, 3) joints and (B, 4) cameras to (B, 1, S, S) depth in mm, NaN = background."""
        if joints_mm.is_cuda:
            return self._provider(joints_mm, camera, size)
        return torch.cat([self._one(joints_mm[i : i + 1], camera[i : i + 1], size) for i in range(len(joints_mm))])

    def _one(self, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        key = (joints_mm.numpy().tobytes(), camera.numpy().tobytes(), size)
        if key in self._maps:
            self._maps.move_to_end(key)
            return self._maps[key]
        made = self._maps[key] = self._provider(joints_mm, camera, size)
        while len(self._maps) > max(self._kept_bytes // (made.numel() * made.element_size()), 1):
            self._maps.popitem(last=False)
        return made
