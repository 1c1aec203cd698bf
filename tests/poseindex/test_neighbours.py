"""Nearest poses: the brute-force answer, ties by index, one answer whatever the order, the tree and the threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import DataError
from handsynth.poseindex import neighbours
from handsynth.poseindex.distance import features, pose_distance, unit
from handsynth.poseindex.neighbours import TIE, NeighbourIndex, nearest
from tests.poseindex.hand_made import blobs

DIMENSIONS = pytest.mark.parametrize("dimensions", [3, 7, 60])


def brute(targets: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Lowest index among the candidates nearest up to rounding."""
    chords = np.linalg.norm(unit(targets)[:, None] - unit(candidates)[None], axis=-1)
    return np.argmax(chords <= chords.min(1, keepdims=True) + TIE, axis=1)


@DIMENSIONS
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), distinct=st.integers(1, 40), copies=st.integers(1, 6))
def test_brute_force_agrees(dimensions: int, seed: int, distinct: int, copies: int) -> None:
    rng = np.random.default_rng(seed)
    some = np.abs(rng.normal(size=(distinct, dimensions))) + 0.1
    candidates = some[rng.integers(0, distinct, distinct * copies)]  # many exact duplicates
    candidates = candidates * rng.choice([1.0, 1.0, 3.7], (len(candidates), 1))  # and some equal up to rounding
    targets = np.concatenate([np.abs(rng.normal(size=(20, dimensions))), candidates[:5] * 0.3])
    index, distance = NeighbourIndex(candidates).query(targets)
    np.testing.assert_array_equal(index, brute(targets, candidates))
    np.testing.assert_array_equal(distance, pose_distance(targets, candidates[index]))
    assert index.dtype == np.int64


@DIMENSIONS
def test_ties_between_different_poses_go_to_the_lowest_index(dimensions: int) -> None:
    # Every target is as far from axis i as from axis j.
    axes = np.eye(dimensions)
    rng = np.random.default_rng(0)
    for _ in range(10):
        candidates = axes[rng.permutation(dimensions)]
        pairs = np.array([rng.choice(dimensions, 2, replace=False) for _ in range(30)])
        targets = axes[pairs[:, 0]] + axes[pairs[:, 1]]
        index, distance = NeighbourIndex(candidates).query(targets)
        place = candidates.argmax(1).argsort()  # where each axis went
        np.testing.assert_array_equal(index, place[pairs].min(1))
        np.testing.assert_allclose(distance, 0.25)


@pytest.mark.parametrize("name", ["paper", "joint_difference"])
def test_threads_batches_and_the_order_of_targets_change_nothing(name: str) -> None:
    poses = blobs(4, 900)
    f = features(name, poses, poses[..., :2])
    candidates, targets = f[:600], np.concatenate([f[600:], f[:50] * 2])
    index, distance = NeighbourIndex(candidates, workers=1).query(targets)
    for workers in (2, -1):
        again = NeighbourIndex(candidates, workers=workers).query(targets[::-1])
        np.testing.assert_array_equal(again[0][::-1], index)
        np.testing.assert_array_equal(again[1][::-1], distance)
    parts = [NeighbourIndex(candidates).query(part) for part in (targets[:1], targets[1:200], targets[200:])]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), index)
    np.testing.assert_array_equal(index[-50:], np.arange(50))
    np.testing.assert_array_equal(index, brute(targets, candidates))


def test_the_order_of_candidates_changes_nothing_but_their_numbers() -> None:
    candidates, targets = np.abs(blobs(5, 400))[:, 0], np.abs(blobs(6, 300))[:, 0]
    order = np.random.default_rng(0).permutation(len(candidates))
    index, _ = NeighbourIndex(candidates).query(targets)
    moved, _ = NeighbourIndex(candidates[order]).query(targets)
    np.testing.assert_array_equal(order[moved], index)


def test_blocks_of_products_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    poses = blobs(7, 300)
    f = features("joint_difference", poses, poses[..., :2])
    candidates = np.concatenate([f[:200], f[:200]])
    expected = NeighbourIndex(candidates).query(f)
    monkeypatch.setattr(neighbours, "_TARGETS", 7)
    monkeypatch.setattr(neighbours, "_CANDIDATES", 11)
    found = NeighbourIndex(candidates).query(f)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[0][:200], np.arange(200))


def test_many_ties_are_settled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    some = np.abs(blobs(8, 30))[:, 0]
    candidates = np.concatenate([some, some * 3.3, some * 1.7])  # equal up to rounding, not bit for bit
    monkeypatch.setattr(neighbours, "_SETTLED", 4)
    index, distance = NeighbourIndex(candidates).query(some * 0.77)
    np.testing.assert_array_equal(index, np.arange(30))
    assert distance.max() < 1e-14


def test_nearest_returns_ids_of_the_candidates_alone() -> None:
    candidates, targets = np.abs(blobs(9, 40))[:, 0], np.abs(blobs(10, 15))[:, 0]
    ids = np.arange(40) * 3 + 100
    found, distance = nearest(targets, candidates, ids)
    place, same = nearest(targets, candidates)
    np.testing.assert_array_equal(found, ids[place])
    np.testing.assert_array_equal(distance, same)
    assert np.isin(found, ids).all()


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(DataError, match="at least one candidate"):
        NeighbourIndex(np.empty((0, 7)))
    with pytest.raises(DataError, match="zero vector"):
        NeighbourIndex(np.ones((2, 7)) * [[1], [0]])
    index = NeighbourIndex(np.ones((1, 7)))
    with pytest.raises(DataError, match="not finite"):
        index.query(np.full((1, 7), np.nan))
    assert index.query(np.ones((2, 7)))[0].tolist() == [0, 0]
    assert index.query(np.empty((0, 7)))[0].shape == (0,)
    assert NeighbourIndex(np.ones((1, 60))).query(np.empty((0, 60)))[1].shape == (0,)
