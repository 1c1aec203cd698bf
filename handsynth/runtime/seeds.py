"""Random streams by name: a seed and a purpose fix a stream, wherever and in whatever order it is drawn."""

from __future__ import annotations

import hashlib

import numpy as np

from handsynth.errors import UsageError, sentence


def entropy(seed: int, *purpose: object) -> int:
    """64-bit number fixed by the seed and the words of its purpose.

    Raises:
        UsageError: the seed is negative, or more than stores have room for.
    """
    if not 0 <= seed < 1 << 64:
        raise UsageError(sentence("a seed of 0 or more, below 2^64", str(seed), "the seed"))
    text = "\x1f".join([str(seed), *map(str, purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def rng(seed: int, *purpose: object) -> np.random.Generator:
    """numpy generator for one purpose: ``rng(seed, "reduce", alpha)``."""
    return np.random.Generator(np.random.PCG64(entropy(seed, *purpose)))
