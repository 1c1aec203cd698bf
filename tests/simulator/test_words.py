from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.simulator.words import words_of

CAMERAS = ["crop", "rhd", "stb_sk", "stb_bb", "msra15"]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CAMERAS), st.integers(1, 9), st.integers(1, 120))
def test_moments_are_unique_and_splits_share_no_sequence_or_person(camera: Any, subjects: int, count: int) -> None:
    words = [words_of(camera, index, subjects) for index in range(count)]
    assert len({word.moment for word in words}) == count
    splits = defaultdict(set)
    for word in words:
        splits[word.sequence if camera != "msra15" else f"{word.subject}/{word.sequence}"].add(word.split)
        if subjects > 1:
            splits[f"person {word.subject}"].add(word.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("subjects", [1, 4, 8])
def test_a_quarter_is_test(subjects: int) -> None:
    words = [words_of("crop", index, subjects) for index in range(64)]
    assert sum(word.split == "test" for word in words) == 16


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CAMERAS), st.integers(1, 9))
def test_frames_of_a_sequence_count_from_zero(camera: Any, subjects: int) -> None:
    frames = defaultdict(list)
    for index in range(16 * subjects):
        word = words_of(camera, index, subjects)
        frames[word.subject if camera in ("crop", "msra15") else "", word.sequence].append(int(word.frame))
    for numbers in frames.values():
        if camera == "crop" and subjects > 1:
            assert sorted(numbers) == list(range(16))
        elif camera in ("rhd", "msra15") or subjects <= 8:
            assert sorted(numbers) == list(range(len(numbers)))


def test_published_names() -> None:
    assert words_of("stb_sk", 0, 4).sequence == "B2Counting"
    test = words_of("stb_sk", 7, 4)
    assert (test.sequence, test.frame, test.split) == ("B1Counting", "1", "test")
    assert test.key("stb_sk", "left", "SK_color", 1) == "B1Counting/SK_color_1"
    assert words_of("rhd", 3, 4).key("rhd", "left", None, 1) == "evaluation/00000-left"
    msra = words_of("msra15", 3, 4)
    assert (msra.subject, msra.key("msra15", "right", None, 1), msra.split) == ("P0", "P0/1/000000", "test")
    assert {words_of("msra15", index, 9).subject for index in range(9)} == {f"P{n}" for n in range(9)}
