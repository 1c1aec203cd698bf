"""Fitting the simulator's hand to given joints: whose hand it is, once per person, and its pose, frame by frame.

Real hands do not share our axes, so the places of the bases and the turns of the fingers adapt to the person; what is
left is how labels and hands bend beyond that. Where labels say nothing (a joint that no frame has) the usual decides.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.hand.joints import J
from handsynth.hand.pose import bone_lengths
from handsynth.simulator.anatomy import typical_anatomy
from handsynth.simulator.fit_descent import beyond_limits, costs, pose_equations, settled
from handsynth.simulator.fit_slopes import BUILD, build_slopes, small_rotations
from handsynth.simulator.fit_start import REST, Given, Guess, in_hand_mm
from handsynth.simulator.fitted import FittedPerson, FittedPoses, FittedSide, fitted_joints_mm, hand_joints_mm

FEWEST_JOINTS = 4
"""A frame with fewer is not fitted."""

# How far a person may stray from the usual, in mm at usual size, shares of length, radians; chosen. A few frames that
# say otherwise outweigh it.
_BASE_MM, _LENGTH_SHARE, _TURN = 4.0, 0.06, np.deg2rad(8.0)

_SIZES = (0.3, 2.0)  # of the usual hand: outside, the unit is wrong
_PERSON_FRAMES = 96  # as many frames, evenly spread, are enough to know a person
_BLOCK = 256  # frames worked on at a time
_ROUNDS = 25
_ENOUGH = 1e-5  # relative gain of a round below which it was the last
_LENGTH_STEP = 0.3  # largest change of a length in one round, as a share of it
_GIVE_UP = 1e6  # damping at which no step helps


def fit_person(joints_mm: np.ndarray, side: FittedSide) -> FittedPerson:
    """The hand of one person from frames of it.

    Bones that are seen have the median of their lengths; bases and turns of the fingers are fitted together with the
    poses of up to 96 frames, evenly spread; the rest is as usual for the size.

    Args:
        joints_mm: (N, 21, 3) camera frame; NaN where absent. N = 1 is enough, more are better.
        side: of all frames.

    Raises:
        UsageError: another shape, no frame with enough joints to fit, or bones of no human length in mm.
    """
    given = _given(joints_mm, side)
    given = given.rows(given.there.sum(1) >= FEWEST_JOINTS)
    if len(given) == 0:
        found = f"none among {len(joints_mm)} frames"
        raise UsageError(sentence(f"at least one frame with {FEWEST_JOINTS} joints", found, "fit_person"))
    person, known = _usual_person(given, side)
    given = given.rows(np.unique(np.linspace(0, len(given) - 1, min(len(given), _PERSON_FRAMES)).round().astype(int)))
    return _adapted(person, known, given)


def fit_poses(person: FittedPerson, joints_mm: np.ndarray) -> FittedPoses:
    """The poses of a person's hand that come nearest to given joints; each frame is fitted by itself.

    Args:
        person: of :func:`fit_person`, or ``FittedPerson.of`` an anatomy.
        joints_mm: (N, 21, 3) camera frame; NaN where absent. Frames with fewer than 4 joints come back NaN.

    Raises:
        UsageError: another shape.
    """
    given = _given(joints_mm, person.side)
    fitted = np.flatnonzero(given.there.sum(1) >= FEWEST_JOINTS)
    count = len(given)
    guess = Guess(np.full((count, 3, 3), np.nan), np.full((count, 3), np.nan), np.full((count, 5, 4), np.nan))
    for start in range(0, len(fitted), _BLOCK):
        rows = fitted[start : start + _BLOCK]
        guess = guess.replaced(rows, settled(person, given.rows(rows)))
    mirror = person.mirror
    poses = FittedPoses(
        angles=guess.angles,
        rotation=mirror @ guess.rotation @ mirror,
        translation_mm=guess.translation_mm @ mirror,
        residual_mm=np.full((count, J), np.nan),
        beyond_limits_deg=np.rad2deg(np.abs(beyond_limits(guess.angles))),
    )
    misfit = np.linalg.norm(fitted_joints_mm(person, poses) - given.joints_mm @ mirror, axis=-1)
    return replace(poses, residual_mm=np.where(given.there > 0, misfit, np.nan))


def _given(joints_mm: np.ndarray, side: FittedSide) -> Given:
    """The joints as those of right hands."""
    joints = np.asarray(joints_mm, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[1:] != (J, 3):
        raise UsageError(sentence(f"joints (N, {J}, 3)", str(joints.shape), "the joints to fit a hand to"))
    there = np.asarray(np.isfinite(joints).all(-1))
    right = np.where(there[..., None], joints, 0.0) * np.array([-1.0 if side == "left" else 1.0, 1, 1])
    return Given(np.asarray(right), there.astype(np.float64))


def _usual_person(given: Given, side: FittedSide) -> tuple[FittedPerson, np.ndarray]:
    """The usual hand at the size of the given ones, with the lengths of the bones that are seen, and which (5, 3)."""
    usual = typical_anatomy()
    joints = np.where(given.there[..., None] > 0, given.joints_mm, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a bone that no frame has
        measured = np.nanmedian(bone_lengths(joints), axis=0)
        measured[measured == 0] = np.nan  # two joints in one place are no bone
        size = np.nanmedian(measured / bone_lengths(hand_joints_mm(FittedPerson.of(usual, side), REST[None]))[0])
    if np.isnan(size):
        size = 1.0
    if not _SIZES[0] <= size <= _SIZES[1]:
        expected = f"bones {_SIZES[0]:g} to {_SIZES[1]:g} times as long as usual"
        raise UsageError(sentence(expected, f"{size:.3g} times", "the joints to fit a hand to", "give millimetres"))
    phalanges = measured.reshape(5, 4)[:, 1:]
    known = np.isfinite(phalanges)
    anatomy = replace(
        usual,
        bases_mm=usual.bases_mm * size,
        phalanges_mm=np.where(known, phalanges, usual.phalanges_mm * size),
        radii_mm=usual.radii_mm * size,
        wrist_mm=usual.wrist_mm * size,
        arm_mm=usual.arm_mm * size,
    )
    return FittedPerson.of(anatomy, side), known


def _adapted(person: FittedPerson, known: np.ndarray, given: Given) -> FittedPerson:
    """The person with bases, turns and unknown lengths fitted; the poses follow every step."""
    size = float(person.anatomy.palm_mm[0] / typical_anatomy().palm_mm[0])
    spread = np.repeat([_BASE_MM * size, _LENGTH_SHARE, _TURN], 15)
    pull = spread**-2.0
    strayed = np.zeros(BUILD)
    guess = settled(person, given)
    cost = costs(person, given, guess).sum()
    damping = 1e-3
    for _ in range(_ROUNDS):
        # What a step counts in: mm, shares of a length (0 where that is known), radians.
        unit = np.concatenate([np.ones(15), (~known * person.anatomy.phalanges_mm[0]).ravel(), np.ones(15)])
        hand = hand_joints_mm(person, guess.angles)
        square, slope, slopes, weights = pose_equations(person, given, guess, hand)
        build = (build_slopes(person, hand) * unit).reshape(len(given), -1, BUILD)
        weighted = build * weights[..., None]
        across = slopes.swapaxes(1, 2) @ weighted
        misfit = (in_hand_mm(given, guess) - hand).reshape(len(given), -1, 1)
        # What the poses take up by themselves is eliminated (Schur complement).
        taken = np.linalg.solve(square, np.concatenate([across, slope[..., None]], axis=-1))
        own = (build.swapaxes(1, 2) @ weighted - across.swapaxes(1, 2) @ taken[..., :-1]).sum(0) + np.diag(pull)
        towards = (weighted.swapaxes(1, 2) @ misfit - across.swapaxes(1, 2) @ taken[..., -1:]).sum(0)[:, 0]
        towards -= pull * strayed
        helped = False
        while not helped and damping < _GIVE_UP:
            step = np.linalg.solve(own + damping * np.diag(np.diag(own)), towards) * (unit > 0)
            step[15:30] = np.clip(step[15:30], -_LENGTH_STEP, _LENGTH_STEP)
            new = _rebuilt(person, step)
            new_guess = settled(new, given, guess)
            new_cost = costs(new, given, new_guess).sum() + (pull * (strayed + step) ** 2).sum()
            gain = cost - new_cost
            helped = gain >= 0
            damping *= 0.1 if helped else 10
        if not helped:
            break
        person, guess, strayed, cost = new, new_guess, strayed + step, new_cost
        if gain < _ENOUGH * cost:
            break
    return person


def _rebuilt(person: FittedPerson, step: np.ndarray) -> FittedPerson:
    bases, lengths, turns = step.reshape(3, 5, 3)
    anatomy = replace(
        person.anatomy,
        bases_mm=person.anatomy.bases_mm + bases,
        # Shares are logarithms, so that lengths stay positive.
        phalanges_mm=person.anatomy.phalanges_mm * np.exp(lengths),
    )
    return replace(person, anatomy=anatomy, turns=small_rotations(turns) @ person.turns)
