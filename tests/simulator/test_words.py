from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handsynth.errors import UsageError
from handsynth.simulator.presets import PRESETS
from handsynth.simulator.words import Turns, require_subjects, words_of

CAMERAS = sorted(PRESETS)
NUMBERED_ANEW = ("freihand", "nyu", "rhd", "stb_bb", "stb_sk")
"""Whose few folders hold all people and clips of a split."""


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(CAMERAS), st.integers(1, 6), st.integers(1, 120), st.sampled_from([1, 5]))
def test_moments_are_unique_and_splits_share_no_sequence_or_person(
    camera: Any, subjects: int, count: int, clip: int
) -> None:
    words = [words_of(camera, index, Turns(subjects, clip)) for index in range(count)]
    keys = {
        word.in_view(camera, "3").key(camera, "left", view, 1) for word in words for view in ("cam1", "cam2")
    }  # fmt: skip
    assert len({word.moment for word in words}) == count
    assert len(keys) == count * (1 if camera == "rhd" else 2)
    splits = defaultdict(set)
    for word in words:
        # MSRA15's and FPHA's sequences are a subject's; InterHand2.6M's captures are counted in each split.
        owner = word.subject if camera in ("fpha", "interhand26m", "msra15") else ""
        if not (camera == "interhand26m" and subjects == 1):
            splits[f"{owner}/{word.sequence}"].add(word.split)
        if subjects > 1:
            splits[f"person {word.subject}"].add(word.split)
    assert all(len(found) == 1 for found in splits.values())


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("clip", [1, 4])
def test_a_clip_is_one_person_s_and_a_sequence_where_names_allow(camera: Any, clip: int) -> None:
    words = [words_of(camera, index, Turns(3, clip)) for index in range(12 * clip)]
    for start in range(0, len(words), clip):
        row = words[start : start + clip]
        assert len({(word.subject, word.sequence, word.split) for word in row}) == 1
        frames = [int(word.frame or "") for word in row]
        steps = [after - before for before, after in pairwise(frames)]
        assert set(steps) <= ({40000} if camera == "handpose_x_plus" else {1})
    if clip > 1 and camera not in NUMBERED_ANEW:
        sequences = {(word.subject, word.sequence) for word in words}
        shared = {"ganerated": 11, "icvl": 10, "mhp": 10}.get(camera, 12)  # few test folders
        assert len(sequences) == shared


@pytest.mark.parametrize("subjects", [1, 4, 8])
@pytest.mark.parametrize("clip", [1, 2])
def test_a_quarter_is_test(subjects: int, clip: int) -> None:
    words = [words_of("crop", index, Turns(subjects, clip)) for index in range(64)]
    assert sum(word.split == "test" for word in words) == 16


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["crop", *NUMBERED_ANEW, "msra15"]), st.integers(1, 8), st.sampled_from([1, 4]))
def test_frames_of_a_sequence_count_without_gaps(camera: Any, subjects: int, clip: int) -> None:
    frames = defaultdict(list)
    for index in range(32 * subjects * clip):
        word = words_of(camera, index, Turns(subjects, clip))
        frames[word.subject if camera == "msra15" else "", word.sequence].append(int(word.frame or ""))
    for numbers in frames.values():
        first = 1 if camera == "nyu" else 0
        assert sorted(numbers)[0] == first
        assert len(set(numbers)) == len(numbers)
        if camera in ("crop", "nyu", "rhd", "freihand", "msra15"):
            assert sorted(numbers) == list(range(first, first + len(numbers)))


def test_published_names() -> None:
    assert words_of("stb_sk", 0, Turns(4)).sequence == "B2Counting"
    test = words_of("stb_sk", 7, Turns(4))
    assert (test.sequence, test.frame, test.split) == ("B1Counting", "1", "test")
    assert test.key("stb_sk", "left", "SK_color", 1) == "B1Counting/SK_color_1"
    assert words_of("rhd", 3, Turns(4)).key("rhd", "left", None, 1) == "evaluation/00000-left"
    msra = words_of("msra15", 3, Turns(4))
    assert (msra.subject, msra.key("msra15", "right", None, 1), msra.split) == ("P0", "P0/1/000000", "test")
    assert {words_of("msra15", index, Turns(9)).subject for index in range(9)} == {f"P{n}" for n in range(9)}
    assert words_of("msra15", 12 * 9 * 4, Turns(9, 4)).sequence == "MP"
    dexycb = words_of("dexycb", 0, Turns(4))
    assert (dexycb.subject, dexycb.sequence) == ("20200709-subject-01", "20200709_100000")
    assert words_of("dexycb", 3, Turns(4)).subject == "20201022-subject-10"
    fpha = [words_of("fpha", index, Turns(6)) for index in range(6)]
    assert {word.subject for word in fpha if word.split == "test"} == {"Subject_2", "Subject_5", "Subject_6"}
    assert fpha[0].sequence == "charge_cell_phone/1"
    assert words_of("mhp", 3, Turns(4)).sequence == "data_12"
    assert [words_of("ganerated", index, Turns(4)).sequence for index in (0, 3)] == ["noObject/0004", "noObject/0001"]
    assert words_of("icvl", 3, Turns(4)).sequence == "test_seq_1"
    assert words_of("panoptic", 0, Turns(4)).sequence == "000000_hands"
    ho3d = words_of("ho3d", 0, Turns(4)).in_view("ho3d", "2")
    assert (ho3d.sequence, ho3d.moment) == ("Saaaa12", "Saaaa1/0000")


def test_words_tell_so_many_people_apart_and_no_more() -> None:
    for camera, most in (("msra15", 9), ("fpha", 6), ("dexycb", 10)):
        require_subjects(camera, most)  # type: ignore[arg-type]
        assert len({words_of(camera, index, Turns(most)).subject for index in range(most)}) == most  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"at most {most}"):
            require_subjects(camera, most + 1)  # type: ignore[arg-type]
    require_subjects("crop", 1000)


def test_sizes_of_both_splits_as_asked_for() -> None:
    turns = Turns(20, clip=50, tests=4, train=8000)
    words = [words_of("crop", index, turns) for index in range(9000)]
    assert [word.split for word in words] == ["train"] * 8000 + ["test"] * 1000
    people = defaultdict(set)
    for word in words:
        people[word.split].add(word.subject)
    assert [len(people[split]) for split in ("train", "test")] == [16, 4]
    assert not people["train"] & people["test"]
    assert len({word.sequence for word in words}) == 180
    assert len({word.moment for word in words}) == 9000
