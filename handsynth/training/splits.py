"""Who may be trained on: splits and reduced sets that never part a moment.

A store's own splits are kept as its publisher made them. A reduced set of share alpha is one seeded draw of moments
inside the training split; it is a function of (store, alpha, seed) alone, so every system of a comparison shares it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.runtime.seeds import rng
from handsynth.runtime.settings import digest
from handsynth.store.read import Store


@dataclass(frozen=True)
class Split:
    """Slots of one store, sorted: the drawn part of the training split, the rest of it, and the test split."""

    reduced: np.ndarray
    held_out: np.ndarray
    test: np.ndarray

    @property
    def hash(self) -> str:
        """Equal for equal reduced sets."""
        return digest(self.reduced.tolist())

    @property
    def share(self) -> float:
        """Share of the training samples that is drawn; moments and sequences stay whole, so it is alpha only about."""
        return len(self.reduced) / (len(self.reduced) + len(self.held_out))

    def check_held_out(self, alpha: float) -> None:
        """Refuse a draw of share ``alpha`` that took every training sample.

        Raises:
            UsageError: nothing is held out.
        """
        if not len(self.held_out):
            found, advice = "none: the draw takes them all", "choose a smaller share, or leave --contiguous out"
            raise UsageError(sentence("held-out training samples", found, f"--alpha {alpha:g}", advice))


def split_store(store: Store, alpha: float = 1.0, seed: int = 0, contiguous: bool = False) -> Split:
    """Split a store and draw its reduced set.

    Args:
        alpha: share of the training split's moments, in (0, 1].
        contiguous: draw whole sequences, so that neighbouring video frames stay together.

    Raises:
        UsageError: alpha is out of range, the store has no training samples, or no sequences to draw.
    """
    if not 0 < alpha <= 1:
        raise UsageError(sentence("a share above 0 and up to 1", f"{alpha:g}", "--alpha"))
    words = store.table(["split", "sequence", "moment", "key"]).to_pydict()
    slots = store.slots
    moment = np.array([moment or key for moment, key in zip(words["moment"], words["key"], strict=True)])
    split = _published_split(np.array([word or "" for word in words["split"]]), moment)
    train, test = slots[split == "train"], slots[split == "test"]
    if len(train) == 0:
        raise UsageError(sentence("a training split", "none", store.address, "choose a store with training samples"))
    in_train = split == "train"
    if contiguous:
        chosen = _draw_sequences(
            np.array([word or "" for word in words["sequence"]])[in_train], alpha, seed, store.address
        )
    else:
        chosen = _draw(moment[in_train], alpha, seed)
    return Split(reduced=train[chosen], held_out=train[~chosen], test=test)


def _published_split(split: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """The source's own split; where it states none, the last quarter of the moments in storage order is the test."""
    if (split != "").any():
        return split
    order = {name: i for i, name in enumerate(dict.fromkeys(moment))}
    late = np.array([order[name] >= round(0.75 * len(order)) for name in moment])
    return np.where(late, "test", "train")


def _draw(moment: np.ndarray, alpha: float, seed: int) -> np.ndarray:
    """Mask of the samples whose moment is drawn. The draws of one seed are nested: a larger alpha adds moments."""
    groups = np.unique(moment)
    count = max(1, round(alpha * len(groups)))
    drawn = rng(seed, "reduced set").permutation(len(groups))[:count]
    return np.isin(moment, groups[drawn])


def _draw_sequences(sequence: np.ndarray, alpha: float, seed: int, where: str) -> np.ndarray:
    groups = np.unique(sequence)
    if len(groups) < 2 and alpha < 1:
        advice = "draw moments instead: leave --contiguous out"
        raise UsageError(sentence("at least two training sequences", str(len(groups)), where, advice))
    order = groups[rng(seed, "reduced set").permutation(len(groups))]
    sizes = np.array([(sequence == name).sum() for name in order])
    # The number of whole sequences whose samples come nearest to the share asked for, at least one.
    count = 1 + int(np.argmin(np.abs(np.cumsum(sizes) - alpha * len(sequence))))
    return np.isin(sequence, order[:count])
