from __future__ import annotations

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import Anatomy, random_person, typical_anatomy
from handsynth.simulator.contact import PRESS_MM, gap_mm
from handsynth.simulator.gestures import GESTURES
from handsynth.simulator.kinematics import WRIST_LIMITS, joints_mm
from handsynth.simulator.limits import within_limits
from handsynth.simulator.sequences import WAY_PRESS_MM, sequence_angles, sequence_rotations


def gaps(anatomy: Anatomy, angles: np.ndarray) -> np.ndarray:
    many = anatomy.repeated(len(angles))
    return gap_mm(many, joints_mm(many, angles))


@pytest.mark.parametrize("index", range(12))
def test_hands_keep_their_limits_and_stay_out_of_themselves_on_the_way(index: int) -> None:
    anatomy = random_person(rng(0, index)).anatomy
    motion = sequence_angles(3, index, 150, anatomy)
    assert within_limits(motion.angles).all()
    clear = gaps(anatomy, motion.angles)
    assert clear.min() > WAY_PRESS_MM
    assert clear[motion.held].min() > PRESS_MM
    assert (motion.wrist_angles >= WRIST_LIMITS[:, 0]).all()
    assert (motion.wrist_angles <= WRIST_LIMITS[:, 1]).all()


def test_motion_is_smooth() -> None:
    anatomy = typical_anatomy()
    for index in range(4):
        angles = np.rad2deg(sequence_angles(5, index, 1200, anatomy, rate_hz=240.0).angles)
        speed = np.abs(np.diff(angles, axis=0)) * 240
        assert speed.max() < 1000  # degrees a second: a fast hand
        jump = np.abs(np.diff(angles, n=2, axis=0))
        assert jump.max() < 0.6  # a step of one frame would be as large as the motion itself
        assert speed.max() > 100


def test_gestures_are_reached_held_and_changed() -> None:
    anatomy = typical_anatomy(30, "male")
    motion = sequence_angles(1, 0, 900, anatomy)
    assert 0.25 < motion.held.mean() < 0.8
    changes = [name for name, before in zip(motion.gestures[1:], motion.gestures, strict=False) if name != before]
    assert len(changes) > 8
    for frame in np.flatnonzero(motion.held)[::15]:
        shown = GESTURES[motion.gestures[frame]]
        stray = np.abs(motion.angles[frame] - shown.angles) / (shown.tolerance + np.deg2rad(3))
        assert np.median(stray) < 1.5
    still = np.flatnonzero(motion.held[1:] & motion.held[:-1])
    moving = np.flatnonzero(~motion.held[1:] & ~motion.held[:-1])
    pace = np.abs(np.diff(motion.angles, axis=0)).max((1, 2))
    assert np.median(pace[moving]) > 5 * np.median(pace[still])
    assert (pace[still] > 0).all()  # nobody holds quite still


def test_a_sequence_is_one_motion_however_it_is_sampled() -> None:
    anatomy = typical_anatomy()
    long = sequence_angles(7, 2, 90, anatomy)
    short = sequence_angles(7, 2, 40, anatomy)
    fast = sequence_angles(7, 2, 180, anatomy, rate_hz=60.0)
    assert np.array_equal(long.angles[:40], short.angles)
    assert long.gestures[:40] == short.gestures
    np.testing.assert_allclose(fast.angles[::2], long.angles, atol=1e-12)
    assert np.array_equal(sequence_angles(7, 2, 90, anatomy).angles, long.angles)
    assert not np.array_equal(sequence_angles(7, 3, 90, anatomy).angles, long.angles)
    assert not np.array_equal(sequence_angles(8, 2, 90, anatomy).angles, long.angles)
    assert sequence_angles(7, 2, 0, anatomy).angles.shape == (0, 5, 4)


def test_turns_sway_slowly_about_one_orientation() -> None:
    turns = sequence_rotations(1, 4, 300)
    np.testing.assert_allclose(turns @ turns.swapaxes(-1, -2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12)
    assert np.array_equal(sequence_rotations(1, 4, 100), turns[:100])

    def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.rad2deg(np.arccos(np.clip((np.einsum("nij,nij->n", a, b) - 1) / 2, -1, 1)))

    assert degrees(turns[1:], turns[:-1]).max() < 4
    assert 5 < degrees(turns, np.broadcast_to(turns[0], turns.shape)).max() < 120
    spread = np.array([sequence_rotations(2, index, 1, orientation="uniform")[0] for index in range(400)])
    np.testing.assert_allclose((spread**2).mean(0), 1 / 3, atol=0.06)


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(UsageError, match="frame rate above 0"):
        sequence_angles(0, 0, 5, typical_anatomy(), rate_hz=0.0)
