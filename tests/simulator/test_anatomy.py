from __future__ import annotations

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.runtime.seeds import rng
from handsynth.simulator.anatomy import (
    PALM_RANGE_MM,
    Anatomy,
    Sex,
    random_anatomies,
    random_person,
    typical_anatomy,
)

ADULTS = (18.0, 60.0)


def breadth_mm(anatomy: Anatomy) -> np.ndarray:
    """(N,) across the knuckles, flesh included."""
    between = np.linalg.norm(anatomy.bases_mm[:, 1] - anatomy.bases_mm[:, 4], axis=-1)
    return np.asarray(between + anatomy.radii_mm[:, 1, 0] + anatomy.radii_mm[:, 4, 0])


def length_mm(anatomy: Anatomy) -> np.ndarray:
    """(N,) wrist to the end of the middle finger, some millimetres beyond its last joint."""
    return np.asarray(anatomy.palm_mm + anatomy.phalanges_mm[:, 2].sum(-1) + 0.5 * anatomy.radii_mm[:, 2, 3])


def by_sex(count: int) -> dict[Sex, Anatomy]:
    people = [random_person(rng(0, number), ADULTS) for number in range(count)]
    found: dict[Sex, Anatomy] = {}
    for sex in ("female", "male"):
        hands = [person.anatomy for person in people if person.sex == sex]
        columns = ("bases_mm", "phalanges_mm", "radii_mm", "wrist_mm", "arm_mm")
        found[sex] = Anatomy(*(np.concatenate([getattr(hand, name) for hand in hands]) for name in columns))
    return found


def test_all_hands_are_human() -> None:
    anatomy = random_anatomies(rng(1), 4000)
    assert PALM_RANGE_MM[0] >= 50  # what the doctor of datasets takes for a hand
    assert PALM_RANGE_MM[1] <= 130
    assert anatomy.palm_mm.min() >= PALM_RANGE_MM[0] - 1e-9
    assert anatomy.palm_mm.max() <= PALM_RANGE_MM[1] + 1e-9
    assert 80 < anatomy.palm_mm.mean() < 90
    middle = anatomy.phalanges_mm[:, 2].sum(-1)
    assert (middle > anatomy.phalanges_mm[:, 4].sum(-1)).all()
    assert (np.diff(anatomy.radii_mm, axis=-1) < 0).all()


def test_women_and_men_differ_as_surveys_say() -> None:
    hands = by_sex(800)
    for sex, length, breadth in (("female", 180.5, 79.4), ("male", 193.8, 90.4)):
        some = hands[sex]  # type: ignore[index]
        assert abs(length_mm(some).mean() - length) < 4
        assert 7 < length_mm(some).std() < 13
        assert abs(breadth_mm(some).mean() - breadth) < 5
        assert 0.4 < np.corrcoef(length_mm(some), breadth_mm(some))[0, 1] < 0.8
    ratios = [(hand.phalanges_mm[:, 1].sum(-1) / hand.phalanges_mm[:, 3].sum(-1)).mean() for hand in hands.values()]
    assert ratios[0] > ratios[1] + 0.005


def test_children_grow() -> None:
    ages = (5, 7, 9, 11, 13, 15, 18)
    palms = np.array([[typical_anatomy(age, sex).palm_mm[0] for age in ages] for sex in ("female", "male")])
    assert (np.diff(palms) > 0).all()
    assert (palms[:, 0] < 60).all()
    assert palms[0, 4] == pytest.approx(palms[1, 4], rel=0.05)  # at 13 girls are nearly as large as boys
    small, grown = typical_anatomy(5), typical_anatomy(30)
    assert small.radii_mm[0, 1, 1] / small.palm_mm[0] > grown.radii_mm[0, 1, 1] / grown.palm_mm[0]
    assert (length_mm(small) > 115).all()
    assert (length_mm(small) < 130).all()


def test_lengths_go_together() -> None:
    anatomy = random_anatomies(rng(2), 3000, ADULTS)
    lengths = np.concatenate([anatomy.palm_mm[:, None], anatomy.phalanges_mm[:, 1:].sum(-1)], axis=-1)
    correlation = np.corrcoef(lengths.T)
    assert correlation.min() > 0.6
    assert correlation[~np.eye(5, dtype=bool)].max() < 0.98


def test_ages_are_drawn_as_asked() -> None:
    people = [random_person(rng(3, number)) for number in range(600)]
    ages = np.array([person.age_years for person in people])
    assert 0.1 < (ages < 18).mean() < 0.2
    assert 5 <= ages.min() < 8
    assert 70 < ages.max() <= 75
    assert 0.42 < np.mean([person.sex == "male" for person in people]) < 0.58
    grown = [random_person(rng(4, number), (30.0, 32.0)).age_years for number in range(20)]
    assert all(30 <= age <= 32 for age in grown)
    only = [random_person(rng(5, number), children=1.0).age_years for number in range(20)]
    assert max(only) < 18


def test_a_person_is_a_function_of_the_stream() -> None:
    first, again, other = (random_person(rng(6, name)) for name in "aab")
    assert first.age_years == again.age_years
    assert np.array_equal(first.anatomy.radii_mm, again.anatomy.radii_mm)
    assert first.age_years != other.age_years


@pytest.mark.parametrize("ages", [(2.0, 30.0), (40.0, 30.0), (20.0, 130.0)])
def test_impossible_ages_are_refused(ages: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="youngest <= oldest"):
        random_person(rng(0), ages)
    with pytest.raises(UsageError, match="share from 0 to 1"):
        random_anatomies(rng(0), 2, children=1.5)
