"""Curriculum of pairs: who is paired with whom, and in which order (MM-Hand's geometry-based curriculum training)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from handsynth.errors import DataError, sentence


def draw_pairs(
    rng: np.random.Generator,
    ids: int | Int[np.ndarray, " N"],
    groups: Int[np.ndarray, " N"] | None = None,
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Pair every hand, as target, with another one as source; every hand is source once and never its own target.

    One random cycle through all hands, or through those of each group: each is the source of the next.

    Args:
        rng: see ``runtime.seeds``.
        ids: N, or (N,) distinct ids.
        groups: (N,) whose hands are paired among themselves; those that are alone in theirs are one more group, and a
            single such hand joins another.

    Returns:
        (N,) source ids and (N,) target ids, int64; targets in the order of ``ids``.

    Raises:
        DataError: there are fewer than two hands.
    """
    names = np.arange(ids, dtype=np.int64) if isinstance(ids, int) else ids.astype(np.int64)
    if len(names) < 2:
        raise DataError(sentence("at least two hands", str(len(names)), "the pairs of a curriculum", "raise alpha"))
    cycle = rng.permutation(len(names))
    before = np.roll(cycle, 1)
    if groups is not None:
        member = _companions(groups)[cycle]
        cycle = cycle[np.argsort(member, kind="stable")]
        first = np.flatnonzero(np.diff(np.sort(member), prepend=-1))  # codes are 0 and up
        before = np.roll(cycle, 1)
        before[first] = cycle[np.append(first[1:], len(cycle)) - 1]
    source = np.empty_like(names)
    source[cycle] = names[before]
    return source, names


def _companions(groups: np.ndarray) -> np.ndarray:
    """(N,) codes from 0 of groups of two hands or more."""
    _, code, count = np.unique(groups, return_inverse=True, return_counts=True)
    alone = count[code] == 1
    if alone.sum() == 1:
        return np.where(alone, code[np.argmin(alone)], code)
    return np.where(alone, len(count), code)


def curriculum_order(distances: Float[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Pairs from easy to hard: positions in ascending order of distance, equal distances by position.

    The stable argsort of non-negative numbers, several times faster: the leading bits of a distance and the position
    make one integer, integers sort fast, and the rare runs whose leading bits agree are put right afterwards.

    Args:
        distances: (N,) pose distances, >= 0.

    Returns:
        (N,) int64 permutation.

    Raises:
        DataError: a distance is negative or not finite.
    """
    count = len(distances)
    if count == 0:
        return np.empty(0, dtype=np.int64)
    largest = float(distances.max())
    if not (float(distances.min()) >= 0 and largest < np.inf):
        raise DataError(sentence("pose distances of 0 or more", "a negative one or NaN", "the order of a curriculum"))
    position_bits = max(1, (count - 1).bit_length())
    # Powers of two: the fixed-point numbers are in the order of the distances, equal where leading bits agree.
    exponent = 62 - position_bits - int(np.frexp(max(largest, np.finfo(np.float64).tiny))[1])
    keys = np.ldexp(distances.astype(np.float64), exponent).astype(np.int64)
    keys <<= position_bits
    keys |= np.arange(count)
    keys.sort()
    agree = (keys[1:] ^ keys[:-1]) < (1 << position_bits)
    keys &= (1 << position_bits) - 1
    if agree.any():
        _put_right(keys, distances, agree)
    return keys


def _put_right(order: np.ndarray, distances: np.ndarray, agree: np.ndarray) -> None:
    """Sort, in place, every run of neighbours whose leading bits agree by the whole distance, then by position."""
    inside = np.concatenate([[False], agree]) | np.concatenate([agree, [False]])
    places = np.flatnonzero(inside)
    run = np.cumsum(~np.concatenate([[False], agree])[places])
    members = order[places]
    values = distances[members]
    if ((values[1:] < values[:-1]) & (run[1:] == run[:-1])).any():
        order[places] = members[np.lexsort((members, values, run))]
