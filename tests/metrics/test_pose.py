"""Pose scores: the oracle numbers, and properties that any score must have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import DataError
from handsynth.hand.camera import rotation_matrix
from handsynth.hand.joints import JOINTS
from handsynth.hand.pose import bone_lengths
from handsynth.metrics import pose
from handsynth.metrics.protocol import Protocol, counted_joints

FOUR_FRAMES = np.repeat(np.array([[5.0], [15.0], [25.0], [60.0]]), 21, axis=1)
GE = Path(__file__).parents[2] / "../shared/data/ge_realworld/pose_gt.mat"


def pose_a() -> np.ndarray:
    """Hand-made pose A of the facts: (u, v) in px."""
    fingers = [(40 + 44 * f, 180 - 35 * j) for f in range(5) for j in range(4)]
    return np.array([(128, 230), *fingers], dtype=np.float64)


def hands(seed: int, count: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 21, 3)) * 40 + (0, 0, 450)


def whole(joints: np.ndarray) -> np.ndarray:
    return np.ones(joints.shape[:2], dtype=bool)


def test_mean_and_median_of_four_frames() -> None:
    assert pose.epe(FOUR_FRAMES) == (26.25, 20.0)


def test_auc_conventions_of_four_frames() -> None:
    assert pose.auc_0_50(FOUR_FRAMES) == pytest.approx(0.5328947368, abs=1e-10)
    assert pose.auc_20_50_tail(FOUR_FRAMES) == pytest.approx(0.7159090909, abs=1e-10)
    assert pose.auc(FOUR_FRAMES, np.linspace(20, 50, 100)) == pytest.approx(0.7083333333, abs=1e-10)
    assert pose.auc(FOUR_FRAMES, np.linspace(20, 50, 31)) == pytest.approx(0.7125, abs=1e-10)


def test_auc_of_the_distribution_of_evenly_spaced_errors() -> None:
    errors = np.arange(0, 60.5, 0.5)[:, None]
    assert pose.auc_20_50_cdf(errors) == pytest.approx(0.5826446281, abs=1e-10)
    assert pose.pck_curve(errors, np.linspace(20, 50, 31)).mean() == pytest.approx(0.5867768595, abs=1e-10)


def test_pckb_of_displaced_joints() -> None:
    truth = pose_a()
    assert bone_lengths(truth).mean() == pytest.approx(45.53159507, abs=1e-8)
    assert bone_lengths(truth).mean() * 2 / 3 == pytest.approx(30.35439671, abs=1e-8)
    moved = truth + np.stack([5.0 * np.arange(21), np.zeros(21)], axis=-1)
    errors = pose.errors_mm(moved[None], truth[None], np.ones((1, 21), dtype=bool))
    assert pose.pckb(errors, truth[None]) == pytest.approx(7 / 21, abs=1e-12)


def test_pckb_counts_the_threshold_itself_and_takes_each_frames_own() -> None:
    straight = np.array([(0, 0), *((3 * j, 0) for _ in range(5) for j in range(1, 5))], dtype=np.float64)
    truth = np.stack([straight, 2 * straight])  # bones of 3 and 6 px, so thresholds of 2 and 4
    errors = np.repeat([[2.0], [4.0]], 21, axis=1)
    assert pose.pckb(errors, truth) == 1
    assert pose.pckb(errors[::-1], truth) == 0.5
    assert pose.pckb(np.nextafter(errors, np.inf), truth) == 0


def test_pckb_leaves_out_frames_without_a_known_bone() -> None:
    truth = np.stack([pose_a(), np.full((21, 2), np.nan), pose_a()])
    truth[2, 1:] = np.nan
    errors = np.stack([np.zeros(21), np.full(21, np.nan), np.full(21, np.nan)])
    errors[2, 0] = 1000.0
    assert pose.pckb(errors, truth) == 1


def test_auc_in_pixels_runs_to_thirty() -> None:
    assert pose.auc_0_30px(np.full((2, 21), 31.0)) == 0
    assert pose.auc_0_30px(np.zeros((2, 21))) == 1
    assert pose.auc_0_30px(np.full((2, 21), 15.0)) == pytest.approx(0.5, abs=0.03)


def test_a_joint_weighs_the_same_however_often_it_counts() -> None:
    """Per joint first, then over joints: the rare joint's error is half of the mean."""
    errors = np.full((10, 2), np.nan)
    errors[:, 0], errors[0, 1] = 10.0, 30.0
    assert pose.epe(errors) == (20.0, 20.0)
    assert pose.auc(errors, np.array([15.0, 25.0])) == 0.5


def test_the_curve_counts_an_error_equal_to_the_threshold() -> None:
    curve = pose.pck_curve(FOUR_FRAMES, np.array([4.9, 5.0, 60.0]))
    assert curve.tolist() == [0.0, 0.25, 1.0]
    assert curve.index.tolist() == [4.9, 5.0, 60.0]


@given(seed=st.integers(0, 10_000), spread=st.floats(1, 80))
@settings(max_examples=30, deadline=None)
def test_scores_have_their_ranges_and_agree_with_each_other(seed: int, spread: float) -> None:
    truth = hands(seed)
    predicted = truth + np.random.default_rng(seed + 1).normal(size=truth.shape) * spread
    counted = np.random.default_rng(seed + 2).random(truth.shape[:2]) > 0.3
    scores = pose.scores(predicted, truth, counted, Protocol())
    for name in ("auc_0_50", "auc_20_50_tail", "auc_20_50_cdf"):
        assert 0 <= scores[name] <= 1
    assert scores["auc_0_50"] <= scores["auc_20_50_tail"] + 1e-12
    assert scores["joints"] == counted.sum()
    assert scores["protocol"] == Protocol().describe()
    worse = pose.scores(truth + 2 * (predicted - truth), truth, counted, Protocol())
    assert worse["epe_mean_mm"] == pytest.approx(2 * scores["epe_mean_mm"])
    assert worse["auc_20_50_tail"] <= scores["auc_20_50_tail"]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_joints_that_do_not_count_change_nothing(seed: int) -> None:
    truth = hands(seed)
    predicted = truth + np.random.default_rng(seed + 1).normal(size=truth.shape) * 20
    counted = np.random.default_rng(seed + 2).random(truth.shape[:2]) > 0.3
    for alignment in ("none", "procrustes"):
        protocol = Protocol(alignment=alignment)
        before = pose.scores(predicted, truth, counted, protocol)
        spoilt, unknown = predicted.copy(), truth.copy()
        spoilt[~counted], unknown[~counted] = np.nan, np.nan
        assert pose.scores(spoilt, unknown, counted, protocol) == before


def test_perfect_and_hopeless_predictions() -> None:
    truth = hands(0)
    perfect = pose.scores(truth, truth, whole(truth), Protocol())
    assert perfect["epe_mean_mm"] == 0
    assert [perfect[name] for name in ("auc_0_50", "auc_20_50_tail", "auc_20_50_cdf")] == pytest.approx([1, 1, 1])
    hopeless = pose.scores(truth + 1000, truth, whole(truth), Protocol())
    assert [hopeless[name] for name in ("auc_0_50", "auc_20_50_tail", "auc_20_50_cdf")] == [0, 0, 0]


@pytest.mark.parametrize("which", ["predicted", "true"])
def test_a_counted_joint_that_is_not_finite_is_refused(which: str) -> None:
    """Leaving it out instead would reward a system for failing."""
    good, bad = hands(0), hands(0)
    bad[3, 5] = np.inf if which == "predicted" else np.nan
    pair = (bad, good) if which == "predicted" else (good, bad)
    with pytest.raises(DataError, match=f"finite {which} joints.*hand 3"):
        pose.scores(*pair, whole(good), Protocol())


def test_scores_of_nothing_are_refused() -> None:
    truth = hands(0)
    with pytest.raises(DataError, match="joints that count"):
        pose.scores(truth, truth, ~whole(truth), Protocol())


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_procrustes_undoes_any_similarity_but_no_reflection(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = hands(seed)
    turned = rng.uniform(0.3, 3) * truth @ rotation_matrix(rng.normal(size=3)).T + rng.normal(size=3) * 100
    protocol = Protocol(alignment="procrustes")
    assert pose.scores(turned, truth, whole(truth), protocol)["epe_mean_mm"] < 1e-8
    assert pose.scores(turned * (-1, 1, 1), truth, whole(truth), protocol)["epe_mean_mm"] > 1


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_procrustes_is_never_worse_in_squares_than_the_mean_alignment(seed: int) -> None:
    truth, predicted = hands(seed), hands(seed + 1)
    aligned = pose.align(predicted, truth, whole(truth), Protocol(alignment="procrustes"))
    centred = predicted - predicted.mean(1, keepdims=True) + truth.mean(1, keepdims=True)
    assert (((aligned - truth) ** 2).sum((1, 2)) <= ((centred - truth) ** 2).sum((1, 2)) + 1e-6).all()


def test_root_alignment_takes_out_a_shift() -> None:
    truth = hands(0)
    protocol = Protocol(alignment="root")
    assert pose.scores(truth + np.array([5, 6, 7]), truth, whole(truth), protocol)["epe_mean_mm"] < 1e-9


def test_table_by_joint() -> None:
    errors = FOUR_FRAMES.copy()
    errors[:, 3] = np.nan
    errors[0, 4] = np.nan
    table = pose.per_joint(errors)
    assert table.index.tolist() == list(JOINTS)
    assert table["hands"].tolist()[:5] == [4, 4, 4, 0, 3]
    assert table.loc["wrist", "epe_mean_mm"] == 26.25
    assert table.iloc[3, 1:].isna().all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_trivial_answers_are_blind_to_place_and_size_of_training_hands(seed: int) -> None:
    train, truth = hands(seed, 9), hands(seed + 1)
    rng = np.random.default_rng(seed)
    moved = train * rng.uniform(0.5, 2, (9, 1, 1)) + rng.normal(size=(9, 1, 3)) * 100
    for baseline in (pose.mean_pose, pose.nearest_training_pose_oracle):
        first, second = baseline(train, truth, Protocol()), baseline(moved, truth, Protocol())
        np.testing.assert_allclose(first, second, atol=1e-6)
        np.testing.assert_allclose(first[:, 0], truth[:, 0])


def test_mean_pose_is_the_same_for_every_hand_and_exact_for_one_training_pose() -> None:
    truth = hands(0)
    answer = pose.mean_pose(hands(1, 30), truth, Protocol(scale_given=False))
    relative = answer - answer[:, :1]
    np.testing.assert_allclose(relative, np.broadcast_to(relative[:1], relative.shape), atol=1e-9)
    np.testing.assert_allclose(pose.mean_pose(truth[:1], truth[:1], Protocol()), truth[:1])


def test_the_oracle_finds_a_training_pose_again_and_beats_every_single_one() -> None:
    train, truth = hands(0, 12), hands(1)
    again = pose.nearest_training_pose_oracle(train, train[3:5] * 1.5 + 20, Protocol())
    np.testing.assert_allclose(again, train[3:5] * 1.5 + 20)

    def distance(answer: np.ndarray) -> np.ndarray:
        return ((answer - truth) ** 2).sum((1, 2))

    best = distance(pose.nearest_training_pose_oracle(train, truth, Protocol()))
    for one in range(12):
        assert (best <= distance(pose.mean_pose(train[one : one + 1], truth, Protocol())) + 1e-6).all()


def test_trivial_answers_with_unknown_joints() -> None:
    train, truth = hands(0, 12), hands(1)
    gaps = train.copy()
    gaps[0, 5], gaps[1, 0] = np.nan, np.nan
    truth[2, 8] = np.nan
    assert np.isfinite(pose.mean_pose(gaps, truth, Protocol())).all()
    answer = pose.nearest_training_pose_oracle(gaps, truth, Protocol())
    np.testing.assert_allclose(answer, pose.nearest_training_pose_oracle(train[2:], truth, Protocol()))
    gaps[:, 5] = np.nan
    with pytest.raises(DataError, match="training pose"):
        pose.mean_pose(gaps, truth, Protocol())
    with pytest.raises(DataError, match="all 21 joints"):
        pose.nearest_training_pose_oracle(gaps, truth, Protocol())


@pytest.mark.skipif(not GE.is_file(), reason="the real samples are not beside this checkout")
def test_mean_pose_on_real_hands() -> None:
    from scipy.io import loadmat

    joints = loadmat(GE)["pose_gt"].astype(np.float64) * 10
    train, truth = joints[:200], joints[200:]
    counted = counted_joints(truth, np.ones(truth.shape[:2], dtype=np.uint8), Protocol())

    def mean_error(protocol: Protocol) -> float:
        return pose.scores(pose.mean_pose(train, truth, protocol), truth, counted, protocol)["epe_mean_mm"]

    assert mean_error(Protocol()) == pytest.approx(51.94, abs=0.01)
    assert mean_error(Protocol(scale_given=False)) == pytest.approx(51.17, abs=0.01)
    assert mean_error(Protocol(root="middle_mcp")) == pytest.approx(43.06, abs=0.01)
