"""Nearest poses, exactly and reproducibly: the match of a target pose among source poses.

The angle is monotone in the chord between unit vectors, so the nearest by pose distance is the nearest by Euclid on
the sphere: a k-d tree for the 7-D identity, blocked products for the 60-D joint differences. Candidates whose
distances are equal up to rounding are ties, and the lowest candidate index wins, whatever the tree, the blocks and
the number of threads did.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from handsynth.errors import DataError, sentence
from handsynth.poseindex.distance import chord, unit, unit_distance

TIE = 1e-13
"""Chords that differ by less are equal: some hundred times the rounding of unit features."""

_TREE_DIMENSIONS = 16  # beyond, a k-d tree visits nearly every leaf
_LEAF, _ORDER_LEAF = 48, 64
_TARGETS, _CANDIDATES = 256, 4096  # a block of products: 8 MiB
_SETTLED = 1 << 16  # tied targets looked at together


class NeighbourIndex:
    """Exact nearest neighbours among M candidate poses; ties go to the lowest candidate index."""

    def __init__(self, features: Float[np.ndarray, "M D"], workers: int = -1) -> None:
        """Index candidates by their features (M, D), of any length.

        Args:
            features: see ``distance.DISTANCES``.
            workers: threads of a query, -1 for all cores; changes nothing but time.

        Raises:
            DataError: there is no candidate, or one has no direction.
        """
        if len(features) == 0:
            raise DataError(sentence("at least one candidate pose", "none", "the neighbour index"))
        units = unit(features)
        kept = _first_copies(units)
        self._tree: cKDTree | None = None
        if features.shape[1] <= _TREE_DIMENSIONS:
            # Neighbours on the sphere become neighbours in memory.
            kept = kept[_tree_order(units[kept])]
        self._original = kept  # (K,) lowest candidate index of each distinct candidate
        self._units = units[kept]
        self._workers = workers
        if features.shape[1] <= _TREE_DIMENSIONS:
            self._tree = cKDTree(self._units, leafsize=_LEAF, balanced_tree=False)

    def query(self, targets: Float[np.ndarray, "N D"]) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, " N"]]:
        """The nearest candidate of each target.

        Args:
            targets: (N, D) features.

        Returns:
            (N,) int64 candidate index and (N,) float64 pose distance, the bits of ``distance.pose_distance``.

        Raises:
            DataError: a target has no direction.
        """
        if targets.shape[1] != self._units.shape[1]:
            raise ValueError(f"{targets.shape[1]}-D targets for a {self._units.shape[1]}-D index")
        units = unit(targets)
        found = self._by_products(units) if self._tree is None else self._by_tree(units, self._tree)
        return self._original[found], unit_distance(units, self._units[found])

    def _by_tree(self, targets: np.ndarray, tree: cKDTree) -> np.ndarray:
        found = np.empty(len(targets), dtype=np.int64)
        if not len(targets):
            return found
        # In the order of a tree of their own, successive targets visit the same leaves: 2.7 times faster at a million.
        order = _tree_order(targets)
        chords, rows = tree.query(targets[order], k=2, workers=self._workers)
        found[order] = rows[:, 0]
        tied = chords[:, 1] - chords[:, 0] <= 2 * TIE
        radius = chords[tied, 0] + 2 * TIE
        for first in range(0, len(radius), _SETTLED):
            part = order[tied][first : first + _SETTLED]
            near = tree.query_ball_point(targets[part], radius[first : first + _SETTLED], workers=self._workers)
            counts = [len(some) for some in near]
            found[part] = self._settle(targets[part], np.repeat(np.arange(len(part)), counts), np.concatenate(near))
        return found

    def _by_products(self, targets: np.ndarray) -> np.ndarray:
        found = np.empty(len(targets), dtype=np.int64)
        # A cosine within this of the largest may belong to the nearest or to a tie of it.
        slack = 8 * targets.shape[1] * np.finfo(np.float64).eps + 4 * TIE
        for first in range(0, len(targets), _TARGETS):
            block = targets[first : first + _TARGETS]
            largest = np.full(len(block), -np.inf)
            rows, columns, cosines = [], [], []
            for start in range(0, len(self._units), _CANDIDATES):
                cosine = block @ self._units[start : start + _CANDIDATES].T
                here = cosine.max(1)
                np.maximum(largest, here, out=largest)
                worth = np.flatnonzero(here >= largest - slack)
                row, column = np.nonzero(cosine[worth] >= (largest[worth] - slack)[:, None])
                rows.append(worth[row])
                columns.append(column + start)
                cosines.append(cosine[worth[row], column])
            row, column = np.concatenate(rows), np.concatenate(columns)
            worth = np.concatenate(cosines) >= (largest - slack)[row]
            found[first : first + len(block)] = self._settle(block, row[worth], column[worth])
        return found

    def _settle(self, targets: np.ndarray, rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """Per target, the lowest original index among its nearest of the listed (row, candidate) pairs."""
        order = np.lexsort((self._original[candidates], rows))
        rows, candidates = rows[order], candidates[order]
        chords = chord(targets[rows], self._units[candidates])
        least = np.full(len(targets), np.inf)
        np.minimum.at(least, rows, chords)
        tied = chords <= least[rows] + TIE
        _, first = np.unique(rows[tied], return_index=True)
        return np.asarray(candidates[tied][first])


def nearest(
    targets: Float[np.ndarray, "N D"],
    candidates: Float[np.ndarray, "M D"],
    candidate_ids: Int[np.ndarray, " M"] | None = None,
    workers: int = -1,
) -> tuple[Int[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Match every target with its nearest candidate; candidates are the reduced set only, or the match leaks.

    Args:
        targets: (N, D) features of the poses to make.
        candidates: (M, D) features of the poses that have images.
        candidate_ids: (M,) what to return for a candidate (a store's slot, say); its position where not given.
        workers: threads, -1 for all cores.

    Returns:
        (N,) int64 ids and (N,) float64 pose distances.

    Raises:
        DataError: there is no candidate, or a pose has no direction.
    """
    index, distance = NeighbourIndex(candidates, workers).query(targets)
    return (index if candidate_ids is None else candidate_ids[index].astype(np.int64)), distance


def _tree_order(points: np.ndarray) -> np.ndarray:
    """Order of points (N, D) in which neighbours mostly follow one another: the leaves of a coarse k-d tree."""
    tree = cKDTree(points, leafsize=_ORDER_LEAF, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.indices)


def _first_copies(rows: np.ndarray) -> np.ndarray:
    """Ascending index of the first of each set of equal rows (M, D)."""
    bits = (rows + 0.0).view(np.uint64)  # -0.0 and 0.0 are equal
    key = np.zeros(len(rows), dtype=np.uint64)
    for column in bits.T:
        key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    order = np.argsort(key)
    same_key = key[order[1:]] == key[order[:-1]]
    after, before = order[1:][same_key], order[:-1][same_key]
    if not np.array_equal(bits[after], bits[before]):  # two different rows share a key: never seen
        return np.sort(np.unique(bits, axis=0, return_index=True)[1])
    starts = np.flatnonzero(np.concatenate([[True], ~same_key]))
    return np.sort(np.minimum.reduceat(order, starts))
