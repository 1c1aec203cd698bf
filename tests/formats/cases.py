"""How each format is tried in the shared test: with which simulated hands, and what its layout cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from handsynth.hand.camera import Camera
from handsynth.hand.sample import HandSample
from handsynth.imaging.registration import seen_by


def as_they_are(sample: HandSample) -> HandSample:
    """Simulated samples that fit the layout already."""
    return sample


def through(camera: Camera) -> Callable[[HandSample], HandSample]:
    """Samples as the dataset's own camera sees them, so that nothing need be resampled when they are written."""
    return lambda sample: seen_by(sample, camera)


@dataclass(frozen=True)
class Case:
    """One way to try a format.

    Attributes:
        format: its name.
        camera: simulated camera that stands in for the dataset's, see ``tests.formats.samples.simulated``.
        options: of the format, such that nothing is lost.
        prepare: makes a simulated sample what the layout holds, its camera above all; the declared fields of the
            result come back.
        absent: joints that the layout has no place for and no way to derive.
        mirrored: whether the dataset's sensor flips its images.
        gaps: whether the publishers left images out, so that a missing one is no fault.
    """

    format: str
    camera: str
    options: tuple[tuple[str, Any], ...] = ()
    prepare: Callable[[HandSample], HandSample] = as_they_are
    absent: tuple[str, ...] = ()
    mirrored: bool = False
    gaps: bool = False


CASES = [
    Case("ge_realworld", "crop"),
    Case("msra15", "msra15"),
    Case("rhd", "rhd"),
    Case("stb", "stb_sk", (("depth", "raw"),)),
    Case("stb", "stb_bb", (("part", "BB"),)),
]
"""At least one for every format, in the order of their names."""
