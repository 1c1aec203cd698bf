"""Where to begin a fit: the hand laid on the palm, each finger taken from a small library of bends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from handsynth.hand.joints import PALM, J
from handsynth.simulator.fitted import FittedPerson, hand_joints_mm
from handsynth.simulator.kinematics import LIMITS

REST = np.deg2rad([[0.0, 10.0, 15.0, 20.0], *([deviation, 15.0, 25.0, 16.0] for deviation in (3.0, 0.0, -3.0, -6.0))])
"""(5, 4) angles of a hand at rest, radians; chosen."""

_CURLS = (0.2, 0.8, 1.6, 2.6, 3.6)  # of the rest pose: the hand as a whole, where its palm is not seen
_FINGER_WEIGHT = 0.05  # of a joint beyond the palm, where the hand is laid on
# Shares of the range of the deviation, of the base flexion, and of both outer flexions, which go together.
_SHARES = np.stack(np.meshgrid([0.15, 0.5, 0.85], [0.1, 0.35, 0.6, 0.85], [0.08, 0.3, 0.55, 0.85]), axis=-1)
_SHARES = _SHARES.reshape(-1, 1, 3)[..., [0, 1, 2, 2]]
_LIBRARY = LIMITS[..., 0] + _SHARES * (LIMITS[..., 1] - LIMITS[..., 0])  # (48, 5, 4)


@dataclass(frozen=True)
class Given:
    """N right hands to fit: joints (N, 21, 3) mm with zeros where absent, and whether each is there (N, 21), 0 or 1."""

    joints_mm: np.ndarray
    there: np.ndarray

    def __len__(self) -> int:
        return len(self.joints_mm)

    def rows(self, rows: np.ndarray | slice) -> Given:
        return Given(self.joints_mm[rows], self.there[rows])


@dataclass(frozen=True)
class Guess:
    """N poses of a right hand: camera joints are ``hand @ rotation.T + translation_mm``."""

    rotation: np.ndarray
    translation_mm: np.ndarray
    angles: np.ndarray

    def rows(self, rows: np.ndarray | slice) -> Guess:
        return Guess(self.rotation[rows], self.translation_mm[rows], self.angles[rows])

    def replaced(self, rows: np.ndarray, other: Guess) -> Guess:
        """These poses with the given rows (M,) taken from M others."""
        mixed = (self.rotation.copy(), self.translation_mm.copy(), self.angles.copy())
        for old, new in zip(mixed, (other.rotation, other.translation_mm, other.angles), strict=True):
            old[rows] = new
        return Guess(*mixed)


def in_hand_mm(given: Given, guess: Guess) -> np.ndarray:
    """(N, 21, 3) the given joints seen from the hand frame of the guess."""
    return np.asarray((given.joints_mm - guess.translation_mm[:, None]) @ guess.rotation)


def starts(person: FittedPerson, given: Given) -> Iterator[Guess]:
    """Guesses of the poses; they differ where the palm is not seen."""
    weights = np.full(J, _FINGER_WEIGHT)
    weights[list(PALM)] = 1
    for curl in _CURLS:
        whole = hand_joints_mm(person, curl * REST[None])
        rotation, translation = laid_on(whole, given.joints_mm, weights * given.there)
        yield with_library_fingers(person, given, Guess(rotation, translation, np.empty((len(given), 5, 4))))


def with_library_fingers(person: FittedPerson, given: Given, guess: Guess) -> Guess:
    """The guess with each finger's angles taken from the library: the bend that comes nearest to its joints."""
    library = hand_joints_mm(person, _LIBRARY)[:, 1:].reshape(-1, 5, 12)
    there = np.repeat(given.there[:, 1:], 3, axis=-1).reshape(-1, 5, 12)
    seen = in_hand_mm(given, guess)[:, 1:].reshape(-1, 5, 12) * there
    # Squared distances but for what no bend changes; einsum, since its sums do not hang on how many frames there are.
    squared = np.einsum("nfi,mfi->nfm", there, library**2) - 2 * np.einsum("nfi,mfi->nfm", seen, library)
    return Guess(guess.rotation, guess.translation_mm, _LIBRARY[squared.argmin(-1), np.arange(5)])


def laid_on(points: np.ndarray, goals: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rigid move that lays points on goals with least weighted squares (Kabsch).

    Args:
        points: (N or 1, K, 3).
        goals: (N, K, 3).
        weights: (N, K), not all 0.

    Returns:
        Proper rotation (N, 3, 3) and translation (N, 3): goals are about ``points @ rotation.T + translation``.
    """
    weights = weights[..., None] / weights.sum(-1)[:, None, None]
    center, goal = ((weights * each).sum(1, keepdims=True) for each in (points, goals))
    u, _, vt = np.linalg.svd((weights * (goals - goal)).swapaxes(-1, -2) @ (points - center))
    flip = np.ones((len(u), 1, 3))
    flip[:, 0, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * flip) @ vt
    return rotation, (goal - center @ rotation.swapaxes(-1, -2))[:, 0]
