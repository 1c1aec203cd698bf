"""Names of simulated samples: subject, sequence, frame, moment, split and key, in the words of the camera's dataset.

Index by index people take turns, each for a clip of neighbouring frames (of one frame, unless hands move). The last
quarter of the people is the test split; of one person alone, the last quarter of every few clips. Where sizes of both
splits are asked for, the training people take turns first, then the test people.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from handsynth.errors import UsageError, sentence
from handsynth.simulator.presets import PRESETS, CameraName, names_in

_ROUND = 16  # with one subject, the last quarter of every so many clips is the test split


@dataclass(frozen=True)
class Words:
    """Where one moment stands in its source; a source may lack any of them."""

    subject: str | None
    sequence: str | None
    frame: str | None
    moment: str | None
    split: str | None

    def key(self, camera: CameraName, side: str, view: str | None, hands: int) -> str:
        """Unique name of one sample of the moment."""
        if camera == "rhd":
            return f"{self.moment}-{side}"
        name = self.moment or ""
        if camera in ("stb_sk", "stb_bb"):
            return f"{self.sequence}/{view}_{self.frame}"
        if view is not None:
            name = f"{name}/{view}"
        return name if hands == 1 else f"{name}-{side}"

    def in_view(self, camera: CameraName, view: str | None) -> Words:
        """The words of one view: HO-3D names a sequence for each camera of a group."""
        return replace(self, sequence=f"{self.sequence}{view}") if camera == "ho3d" else self


class _Place(NamedTuple):
    """Where an index stands.

    Attributes:
        person: number of the person, of all.
        rank: of the person among those of its split.
        members: people of the split.
        alone: whether the person is in both splits.
        clip: number of the clip among those of the person in this split.
        frame: within the clip; without motion, of all the person's frames in this split.
        length: frames of a clip; 0 where clips are not told apart.
        split: train or test.
    """

    person: int
    rank: int
    members: int
    alone: bool
    clip: int
    frame: int
    length: int
    split: str

    @property
    def subject(self) -> str:
        return f"s{self.person:02d}"

    def shared(self, names: tuple[str, ...]) -> tuple[str, int]:
        """One of the few names that the clips of a split share, and the number of the frame in it."""
        slot = self.rank + self.members * self.clip
        before = slot // len(names)
        if self.length:
            return names[slot % len(names)], before * self.length + self.frame
        shared = -(-self.members // len(names))  # people who share a name
        return names[slot % len(names)], self.frame * shared + before

    @property
    def running(self) -> int:
        """Number of the frame among all of the split, where these have one folder."""
        if self.length:
            return (self.clip * self.members + self.rank) * self.length + self.frame
        return self.frame * self.members + self.rank


class Turns(NamedTuple):
    """Whose turn it is at which index.

    Attributes:
        subjects: people.
        clip: frames that a person stays; more than one is a sequence of its own where the dataset's words allow.
        tests: people of the test split, the last ones; 0 is as many as the camera's dataset has, or a quarter.
        train: moments of the training split, which then come first, in whole clips; 0 lets all people take turns.
    """

    subjects: int
    clip: int = 1
    tests: int = 0
    train: int = 0

    def at(self, index: int) -> tuple[int, int, int]:
        """Number of the person, of the clip among the person's, and of the frame in the clip."""
        turn, frame = divmod(index, self.clip)
        if not self.train:
            return turn % self.subjects, turn // self.subjects, frame
        trained, first = self.subjects - self.tests, self.train // self.clip
        if turn < first:
            return turn % trained, turn // trained, frame
        return trained + (turn - first) % self.tests, (turn - first) // self.tests, frame


def words_of(camera: CameraName, index: int, turns: Turns) -> Words:
    """The words of one index, in the manner of a camera's dataset."""
    return _NAMES.get(camera, _free)(_place(camera, index, turns))


def require_subjects(camera: CameraName, subjects: int) -> None:
    """Raise UsageError where the dataset's words cannot tell so many people apart."""
    most = PRESETS[camera].most_subjects
    if most is not None and subjects > most:
        raise UsageError(sentence(f"at most {most} subjects", str(subjects), f"settings of camera {camera}"))


def _place(camera: CameraName, index: int, turns: Turns) -> _Place:
    person, clip, frame = turns.at(index)
    subjects, length = turns.subjects, turns.clip
    if subjects == 1:
        rank, members = 0, 1
        cycle, part = divmod(clip, _ROUND)
        train = _ROUND - _ROUND // 4
        split = "train" if part < train else "test"
        clip = cycle * train + part if split == "train" else cycle * (_ROUND - train) + part - train
    else:
        # MSRA15 leaves one person out; half of FPHA's people are test.
        tests = turns.tests or {"msra15": 1, "fpha": subjects // 2}.get(camera, max(1, subjects // 4))
        split = "test" if person >= subjects - tests else "train"
        rank, members = (person - (subjects - tests), tests) if split == "test" else (person, subjects - tests)
    if length == 1:
        return _Place(person, rank, members, subjects == 1, 0, clip, 0, split)
    return _Place(person, rank, members, subjects == 1, clip, frame, length, split)


def _free(place: _Place) -> Words:
    """Crops and sensors that are no dataset."""
    sequence = f"{place.subject}-{place.split}" if place.alone else place.subject
    return _numbered(place, place.subject, _with_clip(place, sequence), f"{place.frame:06d}")


def _numbered(place: _Place, subject: str, sequence: str, frame: str) -> Words:
    return Words(subject, sequence, frame, f"{sequence}/{frame}", place.split)


def _with_clip(place: _Place, sequence: str) -> str:
    return f"{sequence}-{place.clip:04d}" if place.length else sequence


def _dexycb(place: _Place) -> Words:
    # The official setup s0 tests subjects 3 to 10.
    names = names_in("dexycb", "subjects")
    subject = names[-1 - place.rank] if place.split == "test" else names[place.rank]
    return _numbered(place, subject, f"{subject[:8]}_{100000 + place.clip:06d}", f"{place.frame:06d}")


def _fpha(place: _Place) -> Words:
    tests = names_in("fpha", "test")
    trains = tuple(name for name in (f"Subject_{number}" for number in range(1, 7)) if name not in tests)
    subject = (tests if place.split == "test" else trains)[place.rank]
    actions = names_in("fpha", "actions")
    repetition, action = divmod(place.clip, len(actions))
    sequence, frame = f"{actions[action]}/{repetition + 1}", f"{place.frame:04d}"
    return Words(subject, sequence, frame, f"{subject}/{sequence}/{frame}", place.split)


def _freihand(place: _Place) -> Words:
    return _numbered(place, place.subject, _freiburg(place), f"{place.running:08d}")


def _freiburg(place: _Place) -> str:
    return "evaluation" if place.split == "test" else "training"


def _ganerated(place: _Place) -> Words:
    tests = names_in("ganerated", "test")
    if place.split == "test":
        folder, frame = place.shared(tests)
    else:
        folder, frame = f"{len(tests) + 1 + place.rank + place.members * place.clip:04d}", place.frame
    return _numbered(place, place.subject, f"noObject/{folder}", f"{frame + 1:04d}")


def _hanco(place: _Place) -> Words:
    return _numbered(place, f"{place.person}", f"{_apart(place):04d}", f"{place.frame:08d}")


def _apart(place: _Place) -> int:
    """A number for the clip that no other of either split has."""
    number = place.rank + place.members * place.clip
    return 2 * number + (place.split == "test")


def _handpose_x_plus(place: _Place) -> Words:
    return _numbered(place, place.subject, f"case_{_apart(place):03d}", f"{40000 * place.frame:09d}")


def _ho3d(place: _Place) -> Words:
    # Letters for split, person and clip, and a digit; cameras add theirs.
    clip = "".join(chr(97 + place.clip // 26**power % 26) for power in (2, 1, 0))
    group = f"{'T' if place.split == 'test' else 'S'}{chr(97 + place.person % 26)}{clip}{place.person // 26 + 1}"
    return _numbered(place, place.subject, group, f"{place.frame:04d}")


def _icvl(place: _Place) -> Words:
    if place.split == "test":
        sequence, frame = place.shared(names_in("icvl", "test"))
    else:
        sequence, frame = f"2014{place.rank + place.members * place.clip:08d}", place.frame
    return _numbered(place, place.subject, sequence, f"{frame:04d}")


def _interhand26m(place: _Place) -> Words:
    sequence = f"Capture{place.rank}/{place.clip:04d}_hands"
    words = _numbered(place, f"{place.person}", sequence, f"{place.frame + 1}")
    # Captures of the same number in two splits are different ones.
    return replace(words, moment=f"{place.split}/{words.moment}")


def _mhp(place: _Place) -> Words:
    tests = names_in("mhp", "test")
    if place.split == "test":
        folder, frame = place.shared(tests)
    else:
        free = (name for number in count(1) if (name := f"data_{number}") not in tests)
        slot = place.rank + place.members * place.clip
        folder, frame = next(name for number, name in enumerate(free) if number == slot), place.frame
    return _numbered(place, place.subject, folder, f"{frame}")


_MSRA_GESTURES = (*map(str, range(1, 10)), "I", "IP", "L", "MP", "RP", "T", "TIP", "Y")


def _msra15(place: _Place) -> Words:
    name = "P0" if place.split == "test" else f"P{place.rank + 1}"
    before, gesture = divmod(place.clip, len(_MSRA_GESTURES))
    sequence, frame = _MSRA_GESTURES[gesture], f"{before * place.length + place.frame:06d}"
    return Words(name, sequence, frame, f"{name}/{sequence}/{frame}", place.split)


def _nyu(place: _Place) -> Words:
    sequence = "test_1" if place.split == "test" else "train"
    return _numbered(place, place.subject, sequence, f"{place.running + 1:07d}")


def _panoptic(place: _Place) -> Words:
    return _numbered(place, place.subject, f"{_apart(place):06d}_hands", f"{place.frame:08d}")


def _rhd(place: _Place) -> Words:
    return _numbered(place, place.subject, _freiburg(place), f"{place.running:05d}")


_STB_TEST = ("B1Counting", "B1Random")
_STB_TRAIN = tuple(f"B{number}{kind}" for number in range(2, 7) for kind in ("Counting", "Random"))


def _stb(place: _Place) -> Words:
    sequence, frame = place.shared(_STB_TEST if place.split == "test" else _STB_TRAIN)
    return _numbered(place, place.subject, sequence, f"{frame}")


_NAMES: dict[CameraName, Callable[[_Place], Words]] = {
    "dexycb": _dexycb,
    "fpha": _fpha,
    "freihand": _freihand,
    "ganerated": _ganerated,
    "hanco": _hanco,
    "handpose_x_plus": _handpose_x_plus,
    "ho3d": _ho3d,
    "icvl": _icvl,
    "interhand26m": _interhand26m,
    "mhp": _mhp,
    "msra15": _msra15,
    "nyu": _nyu,
    "panoptic": _panoptic,
    "rhd": _rhd,
    "stb_bb": _stb,
    "stb_sk": _stb,
}
