"""Hands in motion: from gesture to gesture, with holds, drift and tremor, as functions of time.

A motion is fixed by (seed, sequence, hand) and is continuous: another frame rate samples the same motion, and a longer
sequence begins with the shorter one. Joints move by minimum jerk; where the straight way would push fingers into each
other, the hand opens in between, and thumb and fingers leave and arrive one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from handsynth.errors import UsageError, sentence
from handsynth.runtime.seeds import rng as stream
from handsynth.simulator.anatomy import Anatomy
from handsynth.simulator.contact import gap_mm, relaxed
from handsynth.simulator.gestures import DISTINCT, GESTURES, made_by_people
from handsynth.simulator.kinematics import WRIST_LIMITS, joints_mm
from handsynth.simulator.limits import to_limits
from handsynth.simulator.orientation import Orientation, about, random_rotations

WAY_PRESS_MM = -5.0
"""On the way from gesture to gesture ways with smaller gaps are not taken: a rub, deeper than a touch that is held."""

_HELD_GAP_MM = -2.0  # gestures are loosened up to here, so that tremor and drift stay soft contact
_MOVE_S, _HOLD_S = (0.5, 1.1), (0.3, 1.2)
_DETOUR_TIME = 1.7
_CHECKED = np.linspace(0, 1, 33)  # places of a way that are looked at for penetration
_CHECKED_PRESS_MM = WAY_PRESS_MM + 1.2  # leaves room for drift and tremor, and between those places
_ATTEMPTS = 6
_OPEN = GESTURES["five"].angles
_DRIFT_RAD, _DRIFT_HZ = np.deg2rad(0.25), (0.2, 0.8)
_TREMOR_RAD, _TREMOR_HZ = np.deg2rad(0.06), (8.0, 12.0)
_WRIST_RAD, _WRIST_HZ = np.deg2rad([12.0, 5.0]), (0.1, 0.5)
_TURN_RAD, _TURN_HZ = np.deg2rad(14.0), (0.05, 0.3)


@dataclass(frozen=True)
class Motion:
    """F frames of one hand.

    Attributes:
        angles: (F, 5, 4) radians, within the limits.
        wrist_angles: (F, 2) radians, within ``WRIST_LIMITS``.
        gestures: (F,) the gesture that is held or, on the way, the next one.
        held: (F,) bool, whether the frame lies in a hold.
    """

    angles: np.ndarray
    wrist_angles: np.ndarray
    gestures: tuple[str, ...]
    held: np.ndarray


@dataclass(frozen=True)
class _Way:
    """How thumb and fingers go from one gesture to another; spans are shares of the time of the way.

    Attributes:
        opening: share of the full opening in between, 0 the straight way.
        leave: spans in which thumb and fingers open.
        arrive: spans in which they close again.
    """

    opening: float
    leave: tuple[tuple[float, float], tuple[float, float]]
    arrive: tuple[tuple[float, float], tuple[float, float]]

    def angles(self, start: np.ndarray, end: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(P, 5, 4) at places (P,) from 0 to 1."""
        span = (0.25, 0.75) if self.opening else (0.0, 1.0)
        direct = start + _minimum_jerk(place, span)[:, None, None] * (end - start)
        if not self.opening:
            return direct
        opened = [
            self.opening * _minimum_jerk(place, leave) * (1 - _minimum_jerk(place, arrive))
            for leave, arrive in zip(self.leave, self.arrive, strict=True)
        ]
        share = np.stack([opened[0], *[opened[1]] * 4], axis=-1)
        return np.asarray(direct + share[..., None] * (_OPEN - direct))


_FIRST_OUT, _LAST_OUT, _FIRST_IN, _LAST_IN = (0.0, 0.3), (0.12, 0.5), (0.5, 0.88), (0.7, 1.0)
_TOGETHER = _Way(0.0, (_FIRST_OUT, _FIRST_OUT), (_LAST_IN, _LAST_IN))
_WAYS = (
    _TOGETHER,
    *(
        _Way(opening, leave, arrive)
        for opening in (0.5, 1.0)
        for leave in ((_FIRST_OUT, _LAST_OUT), (_LAST_OUT, _FIRST_OUT))
        for arrive in ((_LAST_IN, _FIRST_IN), (_FIRST_IN, _LAST_IN))
    ),
)
"""From the shortest to the longest: straight, then by a half open and by an open hand in all four orders."""


def sequence_angles(seed: int, index: int, frames: int, anatomy: Anatomy, rate_hz: float = 30.0) -> Motion:
    """The motion of one sequence.

    Args:
        seed: of the whole simulation.
        index: which sequence.
        frames: F.
        anatomy: of length 1; contacts are those of this hand.
        rate_hz: frames per second.

    Raises:
        UsageError: the rate is not positive.
    """
    if not rate_hz > 0:
        raise UsageError(sentence("a frame rate above 0", f"{rate_hz:g}", "the rate of a simulated sequence"))
    time = np.arange(frames) / rate_hz
    angles = np.empty((frames, 5, 4))
    names = np.empty(frames, dtype=object)
    held = np.zeros(frames, dtype=bool)
    stop, now = 0, _stop(seed, index, 0, 0, anatomy, "")
    arrived = 0.0
    while True:
        leaving = arrived + now.hold_s
        here = (time >= arrived) & (time < leaving)
        angles[here], names[here], held[here] = now.pose, now.name, True
        if frames == 0 or leaving > time[-1]:
            break
        stop += 1
        following, way = _next(seed, index, stop, anatomy, now)
        arrived = leaving + following.move_s * (_DETOUR_TIME if way.opening else 1.0)
        here = (time >= leaving) & (time < arrived)
        angles[here] = way.angles(now.pose, following.pose, (time[here] - leaving) / (arrived - leaving))
        names[here], now = following.name, following
    drift = _waves(seed, ("drift", index), time, (5, 4), _DRIFT_HZ) * _DRIFT_RAD
    tremor = _waves(seed, ("tremor", index), time, (5, 4), _TREMOR_HZ) * _TREMOR_RAD
    wrist = _waves(seed, ("wrist", index), time, (2,), _WRIST_HZ) * _WRIST_RAD
    wrist = np.clip(wrist, WRIST_LIMITS[:, 0], WRIST_LIMITS[:, 1])
    return Motion(to_limits(angles + drift + tremor), wrist, tuple(names), held)


def sequence_rotations(
    seed: int, index: int, frames: int, rate_hz: float = 30.0, orientation: Orientation = "frontal"
) -> np.ndarray:
    """(F, 3, 3) hand frame to camera axes: one orientation, and a slow sway of the hand about it."""
    first = random_rotations(_stream(seed, "orientation", index), 1, orientation)
    sway = _waves(seed, ("sway", index), np.arange(frames) / rate_hz, (3,), _TURN_HZ) * _TURN_RAD
    return np.asarray(first @ about(0, sway[:, 0]) @ about(1, sway[:, 1]) @ about(2, sway[:, 2]))


@dataclass(frozen=True)
class _Stop:
    """A gesture as it is made this time: (5, 4) radians, how long it takes to get there by the straight way and how
    long it is held."""

    name: str
    pose: np.ndarray
    move_s: float
    hold_s: float


def _stop(seed: int, index: int, stop: int, attempt: int, anatomy: Anatomy, before: str) -> _Stop:
    """Draw a gesture other than the one before."""
    rng = _stream(seed, "stop", index, stop, attempt)
    name = str(rng.choice([name for name in DISTINCT if name != before]))
    pose = relaxed(anatomy, made_by_people(rng, name, 1), _HELD_GAP_MM)[0]
    return _Stop(name, pose, float(rng.uniform(*_MOVE_S)), float(rng.uniform(*_HOLD_S)))


def _next(seed: int, index: int, stop: int, anatomy: Anatomy, now: _Stop) -> tuple[_Stop, _Way]:
    """Where to go from here, and the way; where no way there is free (one in a hundred), another gesture is drawn."""
    tried = []
    for attempt in range(_ATTEMPTS):
        following = _stop(seed, index, stop, attempt, anatomy, now.name)
        way, deepest_mm = _way(anatomy, now.pose, following.pose)
        if deepest_mm >= _CHECKED_PRESS_MM:
            return following, way
        tried.append((deepest_mm, attempt, following, way))
    return max(tried)[2:]


def _way(anatomy: Anatomy, start: np.ndarray, end: np.ndarray) -> tuple[_Way, float]:
    """The shortest way that does not push fingers into each other, or else the one that does so least; its gap, mm."""
    deepest = []
    many = anatomy.repeated(len(_CHECKED))
    for way in _WAYS:
        angles = to_limits(way.angles(start, end, _CHECKED))
        deepest.append(float(gap_mm(many, joints_mm(many, angles)).min()))
        if deepest[-1] >= _CHECKED_PRESS_MM:
            return way, deepest[-1]
    best = int(np.argmax(deepest))
    return _WAYS[best], deepest[best]


def _minimum_jerk(place: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """From 0 before the span to 1 after it with the least jerk (Flash and Hogan 1985)."""
    x = np.clip((place - span[0]) / (span[1] - span[0]), 0, 1)
    return np.asarray(x**3 * (10 + x * (6 * x - 15)))


def _waves(
    seed: int, purpose: tuple[object, ...], time: np.ndarray, shape: tuple[int, ...], band_hz: tuple[float, float]
) -> np.ndarray:
    """(F, *shape) sums of three sines of random frequency and phase, of unit variance over time."""
    rng = _stream(seed, *purpose)
    frequency = rng.uniform(*band_hz, (3, *shape))
    phase = rng.uniform(0, 2 * np.pi, (3, *shape))
    angle = 2 * np.pi * time.reshape(-1, *[1] * (1 + len(shape))) * frequency + phase
    return np.asarray(np.sin(angle).sum(1) * np.sqrt(2 / 3))


def _stream(seed: int, *purpose: object) -> np.random.Generator:
    return stream(seed, "simulator", "sequence", *purpose)
