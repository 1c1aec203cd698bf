"""What all layouts share: the dataset's folder, names in it, sizes of pictures, and what a writer must be given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from handsynth.errors import DataError, MissingError, UsageError, sentence
from handsynth.formats.manifest import Manifest
from handsynth.hand.camera import Camera
from handsynth.hand.joints import INDEX, WRIST, scatter
from handsynth.hand.pose import palm_from_wrist
from handsynth.hand.sample import HandSample
from handsynth.imaging.warp import mirror

ESCAPE = r"^[/\\]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)|\x00"
"""Pattern of file names that are absolute or lead out of their folder."""


def require_folder(root: Path, name: str) -> None:
    """Raise MissingError where the dataset's folder is not there."""
    if not root.is_dir():
        found = "a file" if root.exists() else "no such folder"
        raise MissingError(sentence(f"the unpacked {name} dataset", found, root, _advice(name)))


def require_files(paths: Iterable[Path], root: Path, name: str) -> list[Path]:
    """The paths; raises MissingError for the first that is not there."""
    require_folder(root, name)
    paths = list(paths)
    for path in paths:
        if not path.is_file():
            raise MissingError(sentence(f"{path.relative_to(root).as_posix()} of {name}", "none", root, _advice(name)))
    return paths


def nothing_found(expected: str, root: Path, name: str) -> MissingError:
    """The error for a folder that holds nothing of the dataset."""
    require_folder(root, name)
    return MissingError(sentence(expected, "none", root, _advice(name)))


def inside(root: Path, name: str) -> Path:
    """The path of a catalogue's file name below its root.

    Raises:
        DataError: the name is absolute or leads out of the root.
    """
    if re.search(ESCAPE, name):
        raise DataError(sentence("a file name below the dataset's folder", repr(name), root, "do not trust this copy"))
    return root / name


def matching(root: Path, pattern: str) -> list[Path]:
    """Files below the root that a glob pattern names, in the order of their names.

    Raises:
        UsageError: the pattern is absolute or leads out of the root.
    """
    if re.search(ESCAPE, pattern) or not pattern:
        raise UsageError(sentence("a pattern of files below the dataset's folder", repr(pattern), "the options"))
    return sorted(path for path in root.glob(pattern) if path.is_file())


def listing(folder: Path) -> frozenset[str]:
    """Names in a folder; empty where there is none."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()


def require_names(names: Iterable[str], found: frozenset[str], folder: Path, labels: object) -> None:
    """Raise DataError, naming both counts, where images that ``labels`` lists are not in their folder."""
    names = list(names)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            sentence(
                f"the {len(names)} images that {labels} labels",
                f"{len(names) - len(missing)} ({missing[0]} is the first that lacks)",
                folder,
                "fetch or extract the rest",
            )
        )


def require_size(pixels: np.ndarray, camera: Camera, path: Path) -> np.ndarray:
    """The picture; raises DataError where its size is not that of its camera."""
    height, width = pixels.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise DataError(
            sentence(
                f"{camera.width} x {camera.height} px", f"{width} x {height}", path, "use the publisher's own file"
            )
        )
    return pixels


def require_fields(sample: HandSample, layout: str, *fields: str) -> None:
    """Raise DataError where a sample lacks a field that the layout must have, or has joints that are not finite."""
    for name in fields:
        value = getattr(sample, name)
        if value is None:
            raise DataError(sentence(f"{name} to write {layout}", "none", f"sample {sample.key}"))
        if name == "joints_mm" and not np.isfinite(value).all():
            count = int((~np.isfinite(value).all(-1)).sum())
            raise DataError(sentence(f"21 joints to write {layout}", f"{count} unknown", f"sample {sample.key}"))


def of_side(sample: HandSample, side: str) -> HandSample:
    """The sample, mirrored where it shows the other hand: a layout that knows one side only holds that side."""
    return mirror(sample) if sample.side not in (side, "unknown") else sample


class FrameNumbers:
    """Numbers for the frames that a writer lays out: one for each moment of a group, the same in all its views.

    A second sample of the same moment and view, the other hand of an image for instance, gets a number of its own.
    """

    def __init__(self) -> None:
        self._number: dict[tuple[str, str], int] = {}
        self._taken: dict[str, set[int]] = {}
        self._written: set[tuple[str, str, int]] = set()

    def number(self, group: str, view: str, sample: HandSample, wanted: int | None = None) -> int:
        """The sample's number in its group: ``wanted`` where no other moment has it, else the next one."""
        number = self._give(group, sample.moment or sample.key, wanted)
        if (group, view, number) in self._written:
            number = self._give(group, f"{len(self._number)} {sample.key}", None)
        self._written.add((group, view, number))
        return number

    def count(self, group: str) -> int:
        """Frames of a group, numbers that were left out included."""
        return max(self._taken.get(group, ()), default=-1) + 1

    def _give(self, group: str, name: str, wanted: int | None) -> int:
        if (group, name) not in self._number:
            taken = self._taken.setdefault(group, set())
            number = len(taken) if wanted is None else wanted
            if number in taken:
                number = self.count(group)
            taken.add(number)
            self._number[group, name] = number
        return self._number[group, name]


def points_with_palm(sample: HandSample, manifest: Manifest) -> np.ndarray:
    """(21, 3) float64 mm in the order of a source that has the palm centre in place of the wrist.

    The palm is the sample's own ``extra["palm_mm"]``, otherwise derived from the wrist.
    """
    assert sample.joints_mm is not None
    joints = sample.joints_mm.astype(np.float64)
    points = scatter(joints, manifest.order, len(manifest.joints))
    palm = sample.extra.get("palm_mm")
    if palm is None:
        palm = palm_from_wrist(joints[WRIST], joints[INDEX["ring_mcp"]])
    points[manifest.joints.index("palm")] = np.reshape(palm, 3)
    return points


def _advice(name: str) -> str:
    return f"`handsynth datasets {name}` says what to download and how it lies"
