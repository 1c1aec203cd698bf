"""What layouts share: numbers of frames."""

from __future__ import annotations

from handsynth.formats.layout import FrameNumbers
from handsynth.hand.sample import HandSample


def shot(key: str, moment: str | None = None) -> HandSample:
    return HandSample(key=key, moment=moment)


def test_views_of_a_moment_share_its_number() -> None:
    numbers = FrameNumbers()
    assert numbers.number("a", "left", shot("0l", "0")) == 0
    assert numbers.number("a", "left", shot("1l", "1")) == 1
    assert numbers.number("a", "right", shot("0r", "0")) == 0
    assert numbers.number("b", "right", shot("0r", "0")) == 0
    assert (numbers.count("a"), numbers.count("b"), numbers.count("c")) == (2, 1, 0)


def test_the_other_hand_of_an_image_gets_its_own() -> None:
    numbers = FrameNumbers()
    given = [numbers.number("a", "left", shot(f"0{i}", "0")) for i in range(3)]
    assert given == [0, 1, 2]
    assert numbers.number("a", "left", shot("1", "1")) == 3


def test_wanted_numbers_are_given_once() -> None:
    numbers = FrameNumbers()
    assert numbers.number("a", "", shot("x"), 7) == 7
    assert numbers.number("a", "", shot("y"), 7) == 8
    assert numbers.number("a", "", shot("z")) == 2
    assert numbers.number("a", "", shot("w"), 2) == 9
    assert numbers.count("a") == 10
