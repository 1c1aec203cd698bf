"""Names of simulated samples: subject, sequence, frame, moment, split and key, in the words of the camera's dataset."""

from __future__ import annotations

from dataclasses import dataclass

from handsynth.simulator.rigs import CameraName

_STB_TEST = ("B1Counting", "B1Random")
_STB_TRAIN = tuple(f"B{number}{kind}" for number in range(2, 7) for kind in ("Counting", "Random"))
_ROUND = 16  # with one subject, the last quarter of every so many frames is the test split


@dataclass(frozen=True)
class Words:
    """Where one moment stands in its source."""

    subject: str
    sequence: str
    frame: str
    moment: str
    split: str

    def key(self, camera: CameraName, side: str, view: str | None, hands: int) -> str:
        """Unique name of one sample of the moment."""
        if camera == "rhd":
            return f"{self.moment}-{side}"
        if view is not None:
            return f"{self.sequence}/{view}_{self.frame}"
        return self.moment if hands == 1 else f"{self.moment}-{side}"


def words_of(camera: CameraName, index: int, subjects: int) -> Words:
    """The words of one index: the last quarter of the subjects, of one subject the last quarter of frames, is test.

    MSRA15 is read leave-one-out, so there only the last subject is test, under the name P0 of its default test subject.
    """
    subject, turn = index % subjects, index // subjects
    tests = 1 if camera == "msra15" else max(1, subjects // 4)
    if subjects == 1:
        position, members = 0, 1
        cycle, place = divmod(turn, _ROUND)
        train = _ROUND - _ROUND // 4
        split = "train" if place < train else "test"
        turn = cycle * train + place if split == "train" else cycle * (_ROUND - train) + place - train
    else:
        split = "test" if subject >= subjects - tests else "train"
        position = subject - (subjects - tests) if split == "test" else subject
        members = tests if split == "test" else subjects - tests
    if camera in ("stb_sk", "stb_bb"):
        sequences = _STB_TEST if split == "test" else _STB_TRAIN
        shared = -(-members // len(sequences))  # people who share a sequence
        frame = str(turn * shared + position // len(sequences))
        sequence = sequences[position % len(sequences)]
        return Words(f"s{subject:02d}", sequence, frame, f"{sequence}/{frame}", split)
    if camera == "rhd":
        folder = "evaluation" if split == "test" else "training"
        frame = f"{turn * members + position:05d}"
        return Words(f"s{subject:02d}", folder, frame, f"{folder}/{frame}", split)
    if camera == "msra15":
        name = "P0" if split == "test" else f"P{position + 1}"
        frame = f"{turn:06d}"
        return Words(name, "1", frame, f"{name}/1/{frame}", split)
    frame = f"{turn:06d}"
    name = f"s{subject:02d}"
    sequence = name if subjects > 1 else f"{name}-{split}"
    return Words(name, sequence, frame, f"{sequence}/{frame}", split)
