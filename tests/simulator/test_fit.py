from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import UsageError
from handsynth.hand.joints import FINGERS, INDEX, J
from handsynth.hand.pose import bone_lengths
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import random_anatomies
from handsynth.simulator.fit import FEWEST_JOINTS, fit_person, fit_poses
from handsynth.simulator.fit_slopes import build_slopes, pose_slopes, small_rotations
from handsynth.simulator.fitted import (
    FittedPerson,
    FittedPoses,
    fitted_joints_mm,
    hand_joints_mm,
    hand_palmar_directions,
)
from handsynth.simulator.kinematics import (
    LIMITS,
    joints_mm,
    natural_angles,
    palmar_directions,
    random_rotations,
)
from tests.simulator.real_poses import ge_realworld_mm, msra14_mm

_THREE = ("mcp", "pip", "tip")
_SEEN = {
    # palm centre aside: root, middle and tip of each finger
    "icvl": [
        f"{finger}_{part}" for finger in FINGERS for part in (_THREE if finger != "thumb" else ("cmc", "ip", "tip"))
    ],
    # wrist, thumb, and two points of each finger beyond the knuckle
    "nyu": ["wrist", "thumb_mcp", "thumb_ip", "thumb_tip"]
    + [f"{finger}_{part}" for finger in FINGERS[1:] for part in _THREE[1:]],
}


def _person(seed: int) -> FittedPerson:
    """Somebody whose knuckles and fingers do not stand as the simulator's."""
    random = rng(seed, "person")
    anatomy = random_anatomies(random, 1)
    anatomy = replace(anatomy, bases_mm=anatomy.bases_mm + random.normal(0, 2, (1, 5, 3)))
    return FittedPerson("right", anatomy, small_rotations(random.normal(0, np.deg2rad(5), (5, 3))))


def _simulated(
    seed: int, count: int, person: FittedPerson | None = None
) -> tuple[FittedPerson, np.ndarray, np.ndarray]:
    """A person, angles (N, 5, 4) and joints (N, 21, 3) before a camera; by default the simulator's own hand."""
    random = rng(seed, "poses")
    person = person or FittedPerson.of(random_anatomies(random, 1), "right")
    angles = natural_angles(random, count)
    turned = hand_joints_mm(person, angles) @ random_rotations(random, count).swapaxes(-1, -2)
    return person, angles, turned + random.uniform([-60, -60, 350], [60, 60, 550], (count, 1, 3))


def _apart(person: FittedPerson, poses: FittedPoses, joints: np.ndarray) -> np.ndarray:
    """(N, 21) mm from the fitted joints to others."""
    return np.asarray(np.linalg.norm(fitted_joints_mm(person, poses) - joints, axis=-1))


def test_unturned_fingers_are_those_of_the_simulator() -> None:
    person, angles, _ = _simulated(0, 20)
    own = person.anatomy.select(np.zeros(20, dtype=int))
    np.testing.assert_allclose(hand_joints_mm(person, angles), joints_mm(own, angles), atol=1e-12)
    np.testing.assert_array_equal(hand_palmar_directions(person, angles), palmar_directions(angles))


def test_palmar_directions_stay_across_the_bones_of_turned_fingers() -> None:
    person = _person(1)
    angles = natural_angles(rng(1), 20)
    bones = np.diff(hand_joints_mm(person, angles)[:, 1:].reshape(-1, 5, 4, 3), axis=2)
    pulps = hand_palmar_directions(person, angles)
    np.testing.assert_allclose((bones * pulps).sum(-1), 0, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(pulps, axis=-1), 1, atol=1e-12)


def test_slopes_of_the_pose_agree_with_differences() -> None:
    person, step = _person(2), 1e-6
    angles = natural_angles(rng(2), 3)
    hand = hand_joints_mm(person, angles)
    slopes = pose_slopes(person, angles, hand)
    for freedom in range(20):
        change = np.zeros(20)
        change[freedom] = step
        moved = hand_joints_mm(person, angles + change.reshape(5, 4))
        np.testing.assert_allclose(slopes[..., 6 + freedom], (moved - hand) / step, atol=1e-3)
    turned = hand @ small_rotations(np.array([0, step, 0])).T
    np.testing.assert_allclose(slopes[..., 1], (turned - hand) / step, atol=1e-3)
    np.testing.assert_array_equal(slopes[..., 3:6], np.broadcast_to(np.eye(3), (3, J, 3, 3)))


def test_slopes_of_the_build_agree_with_differences() -> None:
    person, step = _person(3), 1e-6
    angles = natural_angles(rng(3), 3)
    hand = hand_joints_mm(person, angles)
    slopes = build_slopes(person, hand)
    for freedom in range(45):
        bases, lengths, turns = np.where(np.arange(45) == freedom, step, 0.0).reshape(3, 5, 3)
        anatomy = replace(
            person.anatomy,
            bases_mm=person.anatomy.bases_mm + bases,
            phalanges_mm=person.anatomy.phalanges_mm + lengths,
        )
        moved = hand_joints_mm(FittedPerson("right", anatomy, small_rotations(turns) @ person.turns), angles)
        np.testing.assert_allclose(slopes[..., freedom], (moved - hand) / step, atol=1e-3)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_poses_of_a_known_person_come_back(seed: int) -> None:
    person, angles, joints = _simulated(seed, 40)
    poses = fit_poses(person, joints)
    assert poses.residual_mm.max() < 0.05
    np.testing.assert_allclose(poses.residual_mm, _apart(person, poses, joints), atol=1e-12)
    assert np.rad2deg(np.median(np.abs(poses.angles - angles))) < 0.05
    assert poses.beyond_limits_deg.max() < 0.1
    np.testing.assert_allclose(np.linalg.det(poses.rotation), 1)
    np.testing.assert_allclose(poses.translation_mm, joints[:, 0], atol=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_an_unknown_person_is_found_from_fifty_frames(seed: int) -> None:
    truth, _, joints = _simulated(seed, 80, _person(seed))
    person = fit_person(joints[:50], "right")
    assert fit_poses(person, joints[:50]).residual_mm.max() < 0.5
    assert fit_poses(person, joints[50:]).residual_mm.max() < 0.5
    # Bones are measured, not fitted.
    np.testing.assert_allclose(person.anatomy.phalanges_mm, truth.anatomy.phalanges_mm, atol=1e-9)
    np.testing.assert_allclose(person.anatomy.palm_mm, truth.anatomy.palm_mm, atol=0.5)
    # Flesh comes with the size.
    assert np.abs(person.anatomy.radii_mm / truth.anatomy.radii_mm - 1).max() < 0.35


def test_one_frame_is_enough_for_a_person() -> None:
    _, _, joints = _simulated(4, 1, _person(4))
    person = fit_person(joints, "right")
    assert fit_poses(person, joints).residual_mm.max() < 2.5


def test_noise_is_averaged_out_rather_than_followed() -> None:
    _, _, joints = _simulated(5, 100, _person(5))
    noisy = joints + rng(5, "noise").normal(0, 2, joints.shape)
    person = fit_person(noisy[:50], "right")
    poses = fit_poses(person, noisy[50:])
    off = np.linalg.norm(noisy - joints, axis=-1).mean()
    assert _apart(person, poses, joints[50:]).mean() < 0.75 * off
    assert _apart(person, poses, joints[50:]).max() < 12
    assert poses.residual_mm.mean() < off


def test_one_wrong_label_does_not_drag_the_hand_along() -> None:
    person, _, joints = _simulated(6, 20)
    wrong = joints.copy()
    wrong[:, INDEX["ring_pip"]] += [0, 0, 60]
    poses = fit_poses(person, wrong)
    others = np.delete(_apart(person, poses, joints), INDEX["ring_pip"], axis=1)
    assert np.median(others) < 1
    assert (poses.residual_mm.argmax(1) == INDEX["ring_pip"]).mean() > 0.8


@pytest.mark.parametrize("source", _SEEN)
@pytest.mark.parametrize("known", [True, False])
def test_joints_may_be_missing(source: str, known: bool) -> None:
    person, _, joints = _simulated(7, 60)
    seen = [INDEX[name] for name in _SEEN[source]]
    partial = np.full_like(joints, np.nan)
    partial[:, seen] = joints[:, seen]
    found = person if known else fit_person(partial, "right")
    poses = fit_poses(found, partial)
    assert np.array_equal(np.isnan(poses.residual_mm), np.isnan(partial[..., 0]))
    assert np.nanmean(poses.residual_mm) < 0.5
    # What was never seen lies where a hand has it.
    assert np.median(_apart(found, poses, joints)) < (1 if known else 3)
    assert np.linalg.norm(_apart(found, poses, joints), axis=0).max() / np.sqrt(60) < (5 if known else 15)


def test_a_left_hand_is_a_mirrored_right_one() -> None:
    _, _, joints = _simulated(8, 30, _person(8))
    mirror = np.array([-1.0, 1.0, 1.0])
    right, left = fit_person(joints, "right"), fit_person(joints * mirror, "left")
    assert np.array_equal(right.turns, left.turns)
    assert np.array_equal(right.anatomy.bases_mm, left.anatomy.bases_mm)
    ours, theirs = fit_poses(right, joints), fit_poses(left, joints * mirror)
    assert np.array_equal(ours.angles, theirs.angles)
    np.testing.assert_allclose(np.linalg.det(theirs.rotation), 1)
    np.testing.assert_allclose(fitted_joints_mm(left, theirs), fitted_joints_mm(right, ours) * mirror, atol=1e-9)


def test_a_frame_is_fitted_by_itself_whatever_stands_beside_it() -> None:
    person, _, joints = _simulated(9, 300)
    joints = joints + rng(9, "noise").normal(0, 3, joints.shape)
    joints[::7, 5:9] = np.nan
    whole, part = fit_poses(person, joints), fit_poses(person, joints[250:263])
    for name in ("angles", "rotation", "translation_mm", "residual_mm"):
        assert getattr(whole, name)[250:263].tobytes() == getattr(part, name).tobytes()


def test_limits_yield_to_the_joints_and_say_by_how_much() -> None:
    person, angles, _ = _simulated(10, 10)
    angles[:, 2, 2] = LIMITS[2, 2, 1] + np.deg2rad(15)
    joints = hand_joints_mm(person, angles) + np.array([0, 0, 400])
    poses = fit_poses(person, joints)
    assert (poses.beyond_limits_deg[:, 2, 2] > 2).all()
    assert (poses.beyond_limits_deg <= 15.5).all()
    assert poses.residual_mm.mean() < 1.5
    inside = np.delete(poses.beyond_limits_deg.reshape(10, 20), 10, axis=1)
    assert np.median(inside) == 0


def test_frames_without_enough_joints_are_nan() -> None:
    person, _, joints = _simulated(11, 4)
    joints[1, FEWEST_JOINTS - 1 :] = np.nan
    joints[2] = np.nan
    poses = fit_poses(person, joints)
    for value in (poses.angles, poses.rotation, poses.translation_mm, fitted_joints_mm(person, poses)):
        assert np.isnan(value[1:3]).all()
        assert np.isfinite(value[[0, 3]]).all()
    assert np.isnan(poses.residual_mm[1:3]).all()
    assert len(fit_poses(person, joints[:0])) == 0


def test_joints_that_no_hand_has_still_give_a_hand() -> None:
    for strange in (np.zeros((3, J, 3)), np.tile(np.arange(J)[:, None] * [0, 20.0, 0], (3, 1, 1))):
        person = fit_person(strange, "right")
        poses = fit_poses(person, strange)
        assert np.isfinite(person.turns).all()
        assert np.isfinite(poses.angles).all()


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((3, 20, 3)), r"expected joints \(N, 21, 3\)"),
        (np.full((2, J, 3), np.nan), "at least one frame with 4 joints"),
        (_simulated(12, 3)[2] / 1000, "give millimetres"),
    ],
)
def test_what_cannot_be_fitted_is_said(joints: np.ndarray, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit_person(joints, "right")


@pytest.mark.parametrize(("name", "mean_mm"), [("ge_realworld", 3.0), ("msra14", 1.8)])
def test_real_poses_are_reached(name: str, mean_mm: float) -> None:
    joints = ge_realworld_mm() if name == "ge_realworld" else msra14_mm()
    joints = joints[np.linspace(0, len(joints) - 1, 50).round().astype(int)]
    person = fit_person(joints, "right")
    poses = fit_poses(person, joints)
    assert poses.residual_mm.mean() < mean_mm
    assert poses.residual_mm.mean(1).max() < 6
    # Limits are nearly kept, and the bones are those of the labels.
    assert (poses.beyond_limits_deg > 2).mean() < 0.02
    measured = np.median(bone_lengths(joints), axis=0).reshape(5, 4)[:, 1:]
    np.testing.assert_allclose(person.anatomy.phalanges_mm[0], measured, atol=1e-9)
