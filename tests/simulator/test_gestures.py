from __future__ import annotations

import string
from dataclasses import fields

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.hand.joints import FINGERS, INDEX
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import Anatomy, typical_anatomy
from handsynth.simulator.contact import PRESS_MM, gap_mm, relaxed
from handsynth.simulator.gestures import DISTINCT, DISTINCT_ANGLES, GESTURES, gesture, made_by_people
from handsynth.simulator.kinematics import joints_mm
from handsynth.simulator.limits import within_limits

# Which long fingers are stretched, index to little finger.
STRETCHED = {
    "one": "1000",
    "two": "1100",
    "three": "1110",
    "four": "1111",
    "five": "1111",
    "thumb_one": "0000",
    "thumb_two": "1000",
    "thumb_three": "1100",
    "thumb_four": "1110",
    "thumb_five": "1111",
    "pointing": "1000",
    "fist": "0000",
    "flat": "1111",
    "thumbs_up": "0000",
    "victory": "1100",
    "rock": "1001",
    "i_love_you": "1001",
    "call_me": "0001",
    "gun": "1100",
    "A": "0000",
    "B": "1111",
    "D": "1000",
    "G": "1000",
    "H": "1100",
    "I": "0001",
    "L": "1000",
    "R": "1100",
    "S": "0000",
    "U": "1100",
    "V": "1100",
    "W": "1110",
    "Y": "0001",
}
THUMB_OUT = {"five", "thumb_one", "thumb_two", "thumb_three", "thumb_four", "thumb_five", "thumbs_up", "call_me"}


def hand(name: str, age: float = 30.0) -> dict[str, np.ndarray]:
    """Joints of the gesture on a typical hand by name, mm, hand frame."""
    anatomy = typical_anatomy(age)
    joints = joints_mm(anatomy, gesture(name).angles[None])[0]
    return {joint: joints[place] for joint, place in INDEX.items()}


def apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))


def straightness(name: str) -> np.ndarray:
    """(5,) share of a finger's length that lies between its base and its tip."""
    angles = GESTURES[name].angles[None]
    anatomy = typical_anatomy()
    chains = joints_mm(anatomy, angles)[0, 1:].reshape(5, 4, 3)
    return np.asarray(np.linalg.norm(chains[:, 3] - chains[:, 0], axis=-1) / anatomy.phalanges_mm[0].sum(-1))


def test_the_vocabulary_is_whole() -> None:
    letters = set(string.ascii_uppercase) - {"J", "Z"}
    assert letters <= set(GESTURES)
    assert {"pinch", "ok", "relaxed", "cylinder", "sphere", "tripod"} <= set(GESTURES)
    assert set(STRETCHED) <= set(GESTURES)
    for first in range(len(DISTINCT)):
        difference = np.abs(DISTINCT_ANGLES - DISTINCT_ANGLES[first]).max((1, 2))
        assert (np.delete(difference, first) > np.deg2rad(4)).all(), DISTINCT[first]


def test_every_gesture_is_within_the_limits() -> None:
    assert within_limits(DISTINCT_ANGLES).all()


@pytest.mark.parametrize(
    ("age", "sex", "scale"),
    [(30, "female", 1.0), (30, "male", 1.0), (5, "female", 1.0), (9, "male", 1.0), (30, "male", 1.14), (75, "male", 1)],
)
def test_no_gesture_penetrates_beyond_soft_contact(age: float, sex: str, scale: float) -> None:
    typical = typical_anatomy(age, sex)  # type: ignore[arg-type]
    anatomy = Anatomy(*(getattr(typical, field.name) * scale for field in fields(Anatomy))).repeated(len(DISTINCT))
    gaps = gap_mm(anatomy, joints_mm(anatomy, DISTINCT_ANGLES))
    assert gaps.min() > PRESS_MM, DISTINCT[int(gaps.argmin())]


@pytest.mark.parametrize("name", sorted(STRETCHED))
def test_the_named_fingers_are_stretched_and_the_others_not(name: str) -> None:
    share = straightness(name)[1:]
    wanted = np.array([mark == "1" for mark in STRETCHED[name]])
    assert (share[wanted] > 0.97).all()
    assert (share[~wanted] < 0.81).all()


@pytest.mark.parametrize("name", sorted(THUMB_OUT))
def test_the_thumb_stands_out_where_it_counts(name: str) -> None:
    joints = hand(name)
    assert apart(joints["thumb_tip"], joints["index_mcp"]) > 60
    assert joints["thumb_tip"][0] > joints["thumb_cmc"][0] + 50


@pytest.mark.parametrize("name", ["one", "two", "three", "four", "fist", "pointing", "rock", "B", "W"])
def test_the_thumb_is_put_away_where_it_does_not_count(name: str) -> None:
    joints = hand(name)
    assert joints["thumb_tip"][0] < joints["index_mcp"][0] + 5
    assert joints["thumb_tip"][2] > 15  # before the palm


@pytest.mark.parametrize("age", [5.0, 30.0, 70.0])
@pytest.mark.parametrize("name", ["ok", "F", "pinch", "O", "tripod"])
def test_thumb_and_index_tips_meet(name: str, age: float) -> None:
    joints = hand(name, age)
    assert apart(joints["thumb_tip"], joints["index_tip"]) < 25
    if name in ("ok", "F"):
        assert (straightness(name)[2:] > 0.9).all()
    if name == "tripod":
        assert apart(joints["thumb_tip"], joints["middle_tip"]) < 25


def test_letters_differ_by_where_the_thumb_lies() -> None:
    straight_up = hand("A")
    assert straight_up["thumb_tip"][0] > straight_up["index_mcp"][0] + 10
    assert straight_up["thumb_tip"][1] > straight_up["thumb_mcp"][1] + 30
    reached = {name: hand(name)["thumb_tip"][0] for name in "TNM"}  # under one, two and three fingers
    assert reached["T"] > reached["N"] + 5
    assert reached["N"] > reached["M"] + 5
    assert apart(hand("D")["thumb_tip"], hand("D")["middle_tip"]) < 20
    crossing = hand("R")
    assert crossing["index_tip"][0] < crossing["middle_tip"][0]  # only in R do index and middle finger cross
    width = {name: apart(hand(name)["index_tip"], hand(name)["middle_tip"]) for name in "UV"}
    assert hand("U")["index_tip"][0] > hand("U")["middle_tip"][0]
    assert width["V"] > 1.5 * width["U"]
    grip = hand("C")
    assert 30 < apart(grip["thumb_tip"], grip["index_tip"]) < 100


def test_people_make_a_gesture_each_a_little_differently() -> None:
    anatomy = typical_anatomy().repeated(200)
    for name in ("ok", "victory", "sphere"):
        made = made_by_people(rng(1), name, 200)
        assert within_limits(made).all()
        spread = made.std(0)
        assert (spread < 1.2 * GESTURES[name].tolerance).all()
        assert np.median(spread / GESTURES[name].tolerance) > 0.7
        free = relaxed(anatomy, made)
        assert (gap_mm(anatomy, joints_mm(anatomy, free)) >= PRESS_MM).all()


def test_unknown_gestures_are_named() -> None:
    with pytest.raises(UsageError, match="wave"):
        gesture("wave")
    assert len(FINGERS) == len(GESTURES["fist"].angles)
