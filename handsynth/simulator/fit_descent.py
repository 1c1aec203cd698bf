"""The poses of a person's hand that come nearest to given joints: damped least squares, many frames at a time.

What is made small is the distance of joints in mm. A joint far off (a wrong label) counts by its distance, not its
square; limits yield at a price; what the joints do not say is drawn to rest.
"""

from __future__ import annotations

from itertools import islice

import numpy as np

from handsynth.hand.joints import PALM, J
from handsynth.simulator.fit_slopes import FREEDOMS, pose_slopes, small_rotations
from handsynth.simulator.fit_start import REST, Given, Guess, in_hand_mm, starts, with_library_fingers
from handsynth.simulator.fitted import FittedPerson, hand_joints_mm
from handsynth.simulator.kinematics import LIMITS
from handsynth.simulator.limits import DIP_PER_PIP

# All weights are chosen; they are mm of misfit that weigh as much as one radian.
_LIMIT_WEIGHT = 40.0  # a degree beyond its limit costs as much as 0.7 mm
_REST_WEIGHT = 0.2  # decides only where labels do not
_RIDGE = 1e-9  # joints on one line do not say how the hand is turned about it
_FAR_MM = 5.0  # from here on a misfit counts by its distance

_SURE_PALM = 4  # joints of the palm that say for certain how the hand lies
_ROUNDS = 40
_ENOUGH = 1e-6  # relative gain of a round below which it was the last
_GIVE_UP = 1e6  # damping at which no step helps


def settled(person: FittedPerson, given: Given, begin: Guess | None = None) -> Guess:
    """The best poses from a first guess, or from several where none is given."""
    if begin is not None:
        return _descended(person, given, begin)[0]
    best = next(starts(person, given))
    best, best_cost = _descended(person, given, best)
    # Where joints are missing there are false valleys: try hands laid on otherwise, then other fingers on the best.
    loose = np.flatnonzero(given.there[:, list(PALM)].sum(1) < _SURE_PALM)
    some = given.rows(loose)
    for guess in islice(starts(person, some), 1, None):
        best, best_cost = _better(best, best_cost, loose, *_descended(person, some, guess))
    partial = np.flatnonzero(given.there.sum(1) < J)
    some = given.rows(partial)
    other = _descended(person, some, with_library_fingers(person, some, best.rows(partial)))
    best, _ = _better(best, best_cost, partial, *other)
    return best


def _better(
    best: Guess, best_cost: np.ndarray, rows: np.ndarray, other: Guess, cost: np.ndarray
) -> tuple[Guess, np.ndarray]:
    """The better of the poses found for some rows (M,) and of those had before."""
    better = cost < best_cost[rows]
    out = best_cost.copy()
    out[rows[better]] = cost[better]
    return best.replaced(rows[better], other.rows(better)), out


def _descended(person: FittedPerson, given: Given, guess: Guess) -> tuple[Guess, np.ndarray]:
    """Levenberg-Marquardt steps, each frame with its own damping until it gains no more; poses and costs (N,)."""
    cost = costs(person, given, guess)
    damping = np.full(len(given), 1e-3)
    active = np.arange(len(given))
    diagonal = np.arange(FREEDOMS)
    for _ in range(_ROUNDS):
        if len(active) == 0:
            break
        now, goal = guess.rows(active), given.rows(active)
        square, slope, _, _ = pose_equations(person, goal, now, hand_joints_mm(person, now.angles))
        square[:, diagonal, diagonal] *= 1 + damping[active, None]
        step = np.linalg.solve(square, slope[..., None])[..., 0]
        moved = Guess(
            now.rotation @ small_rotations(step[:, :3]),
            now.translation_mm + (now.rotation @ step[:, 3:6, None])[..., 0],
            now.angles + step[:, 6:].reshape(-1, 5, 4),
        )
        new_cost = costs(person, goal, moved)
        gain = cost[active] - new_cost
        good = gain >= 0
        guess = guess.replaced(active[good], moved.rows(good))
        cost[active[good]] = new_cost[good]
        damping[active] *= np.where(good, 0.1, 10)
        done = (good & (gain < _ENOUGH * (1 + new_cost))) | (damping[active] > _GIVE_UP)
        active = active[~done]
    return guess, cost


def pose_equations(
    person: FittedPerson, given: Given, guess: Guess, hand_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normal equations of the poses: square (N, 26, 26) and right side (N, 26); slopes (N, 63, 26), weights (N, 63)."""
    count = len(given)
    misfit = in_hand_mm(given, guess) - hand_mm
    distance = np.linalg.norm(misfit, axis=-1)
    weights = np.repeat(given.there * np.minimum(1, _FAR_MM / np.maximum(distance, _FAR_MM)), 3, axis=-1)
    slopes = pose_slopes(person, guess.angles, hand_mm).reshape(count, -1, FREEDOMS)
    weighted = slopes * weights[..., None]
    square = slopes.swapaxes(1, 2) @ weighted
    slope = (weighted.swapaxes(1, 2) @ misfit.reshape(count, -1, 1))[..., 0]
    beyond = beyond_limits(guess.angles)
    every = np.arange(FREEDOMS)
    square[:, every, every] += _RIDGE
    curve = np.broadcast_to(_PULL, (count, 20, 20)).copy()
    diagonal = np.arange(20)
    curve[:, diagonal, diagonal] += _LIMIT_WEIGHT**2 * (beyond != 0).reshape(count, 20)
    square[:, 6:, 6:] += curve
    stray = (guess.angles - REST).reshape(count, 20, 1)
    slope[:, 6:] -= (_PULL @ stray)[..., 0] + _LIMIT_WEIGHT**2 * beyond.reshape(count, 20)
    return square, slope, slopes, weights


def costs(person: FittedPerson, given: Given, guess: Guess) -> np.ndarray:
    """(N,) what is made small: squared misfit in mm, linear from ``_FAR_MM`` on, and the price of odd angles."""
    distance = np.linalg.norm(in_hand_mm(given, guess) - hand_joints_mm(person, guess.angles), axis=-1)
    near = np.minimum(distance, _FAR_MM)
    stray = (guess.angles - REST).reshape(len(given), 20, 1)
    price = (stray.swapaxes(1, 2) @ _PULL @ stray)[:, 0, 0]
    price += _LIMIT_WEIGHT**2 * (beyond_limits(guess.angles) ** 2).sum((1, 2))
    return np.asarray((given.there * near * (2 * distance - near)).sum(1) + price)


def beyond_limits(angles: np.ndarray) -> np.ndarray:
    """(N, 5, 4) by how much angles leave their range, radians, signed; 0 inside."""
    return np.asarray(angles - np.clip(angles, LIMITS[..., 0], LIMITS[..., 1]))


def _pull_to_rest() -> np.ndarray:
    """(20, 20) weights of the squared pull to rest; last joints of long fingers are also drawn to the middle ones."""
    rows = [np.eye(20)]
    for finger in range(1, 5):
        row = np.zeros((1, 20))
        row[0, 4 * finger + 2], row[0, 4 * finger + 3] = -DIP_PER_PIP, 1
        rows.append(row)
    stacked = _REST_WEIGHT * np.concatenate(rows)
    return np.asarray(stacked.T @ stacked)


_PULL = _pull_to_rest()
