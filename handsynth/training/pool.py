"""History pool: critics see some of the generator's earlier images, so that they do not forget them.

Shrivastava et al., "Learning from simulated and unsupervised images through adversarial training" (CVPR 2017), in the
form of the pix2pix family: until the pool is full every image goes in and through; after that each is, with
probability 1/2, exchanged for a random one in the pool.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from handsynth.runtime.seeds import rng


class HistoryPool:
    """Holds up to ``size`` entries; an entry is one row of each of the tensors that are drawn together.

    Draws are fixed by the seed, the name and the number of entries seen so far, so a resumed training draws as an
    uninterrupted one; what is held and that number are its whole state.

    Args:
        size: entries held; 0 passes everything through.
        seed: of the training.
        name: tells the pools of one training apart.
    """

    def __init__(self, size: int, seed: int, name: str) -> None:
        self.size = size
        self._seed = seed
        self._name = name
        self._seen = 0
        self._held: list[tuple[Tensor, ...]] = []

    def draw(self, *fresh: Tensor) -> tuple[Tensor, ...]:
        """Put B entries in and get B out, some of them older.

        Args:
            fresh: tensors (B, ...) without gradient, alike in number and shape from call to call.
        """
        if self.size == 0:
            return fresh
        choices = rng(self._seed, "history pool", self._name, self._seen)
        drawn = [self._exchange(entry, choices.random(), choices.random()) for entry in zip(*fresh, strict=True)]
        self._seen += len(drawn)
        return tuple(torch.stack(parts) for parts in zip(*drawn, strict=True))

    def _exchange(self, entry: tuple[Tensor, ...], coin: float, place: float) -> tuple[Tensor, ...]:
        if len(self._held) < self.size:
            self._held.append(_copy(entry))
            return entry
        if coin < 0.5:
            return entry
        index = int(place * self.size)
        older, self._held[index] = self._held[index], _copy(entry)
        return older

    def state(self) -> dict[str, Tensor]:
        """What to save for a resumption: the count of entries seen and each part's entries, stacked."""
        parts = {f"part{k}": torch.stack(part) for k, part in enumerate(zip(*self._held, strict=True))}
        return {"seen": torch.tensor(self._seen), **parts}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over a saved state; its tensors stay on their device."""
        self._seen = int(state["seen"])
        parts = [state[f"part{k}"].unbind() for k in range(len(state) - 1)]
        self._held = [_copy(entry) for entry in zip(*parts, strict=True)]


def _copy(entry: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # A row is a view: without a copy each entry would keep its whole batch alive.
    return tuple(part.detach().clone() for part in entry)
