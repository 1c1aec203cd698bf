"""What is known about a dataset, read from ``manifests/NAME.toml`` into a frozen record.

Joint names, units, axes, cameras, splits and known bad frames are said there once; the formats read them from here.
"""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np

from handsynth.errors import DataError, UsageError, sentence
from handsynth.hand.camera import Camera, RigidTransform
from handsynth.hand.joints import permutation
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, load_toml

_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0}
_SIGNS = {"right": 1.0, "left": -1.0, "down": 1.0, "up": -1.0, "forward": 1.0, "backward": -1.0}


class Archive(Settings, frozen=True, kw_only=True):
    """One file to download."""

    file: str
    holds: str
    unpack: str


class Rigid(Settings, frozen=True, kw_only=True):
    """X_to = R(rotation_vector) X_from + translation_mm."""

    rotation_vector: tuple[float, float, float] = (0.0, 0.0, 0.0)
    translation_mm: tuple[float, float, float]


class Segment(Settings, frozen=True, kw_only=True):
    """A run of a part's rows, in a source whose files do not name subjects or sequences."""

    part: str
    first: int
    """Its first row, from 0; it ends where the next one of its part begins."""
    sequence: str
    subject: str


class Checks(Settings, frozen=True, kw_only=True):
    """What a sound copy shows; ``None`` where a check does not apply."""

    reprojection_px: float | None = None
    """Largest distance between projected 3-D joints and labelled 2-D joints."""
    side_share: float | None = None
    """Least share of poses whose chirality agrees with the labelled side."""
    inside_share: float | None = None
    """Least share of joints that project inside the image."""
    palm_mm: tuple[float, float] = (50.0, 130.0)
    """Wrist to middle MCP; shows a wrong unit."""
    bone_variation: float = 0.1
    """Largest robust relative standard deviation of a bone's length in one subject."""
    surface_mm: tuple[float, float] = (-5.0, 35.0)
    """How far joints lie behind the surface that the depth map shows at their pixels, in the median."""
    mask_share: float = 0.7
    """Least share of joints that lie on the hand's mask."""


class Manifest(Settings, frozen=True, kw_only=True):
    """One dataset."""

    name: str
    title: str
    page: str
    licence: str
    paper: str
    layout: str
    """The tree that a download unpacks to."""
    expected: dict[str, int] = msgspec.field(default_factory=dict)
    """Patterns of files below the dataset's folder -> how many a whole download has; 0 where nobody says. A pattern
    has ``*`` within names only; alternatives are joined by `` or ``, and their files are counted together."""
    counts: dict[str, int]
    """Images or samples by the part that the publisher counts."""
    joints: tuple[str, ...]
    """The source's joints in the source's order, in the words of ``hand/joints.py``; others keep their own name."""
    source_words: tuple[str, ...] = ()
    """The source's own words for ``joints``, in the same order, where its files name their joints."""
    evaluation: tuple[str, ...] = ()
    """Those of ``joints`` that published numbers are means over, in that order; none named is all."""
    derived: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Joint that the source lacks -> those of ``joints`` whose mean stands in for it."""
    unit: str
    axes: tuple[str, str, str]
    """Directions of the stored x, y, z."""
    root: str
    sides: tuple[str, ...]
    splits: str
    moments: str
    test: tuple[str, ...] = ()
    """Folders, sequences or subjects of the test split."""
    groups: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Further lists of names by what they are: subjects in their official order, the test part of another protocol."""
    test_from: int | None = None
    """First file number of the test split, where it goes by number."""
    segments: tuple[Segment, ...] = ()
    """Subjects and sequences by row, true of parts that are as long as ``counts`` says."""
    image_size: tuple[int, int]
    """Width and height in px."""
    cameras: dict[str, Camera] = msgspec.field(default_factory=dict)
    transforms: dict[str, Rigid] = msgspec.field(default_factory=dict)
    archives: tuple[Archive, ...] = ()
    defects: tuple[str, ...] = ()
    known_bad: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Folder -> frames and ranges (``"172-174"``) that the field knows to be mislabelled."""
    checks: Checks = Checks()

    @property
    def order(self) -> np.ndarray:
        """(21,) gather list from the source's joint order to ours."""
        return permutation(self.joints)

    @property
    def scored(self) -> np.ndarray:
        """(K,) places among ``joints`` of the points that published numbers are means over."""
        return np.array([self.joints.index(name) for name in self.evaluation or self.joints], dtype=np.int64)

    @property
    def to_mm(self) -> np.ndarray:
        """(3,) factors that bring stored coordinates to millimetres in the OpenCV frame; dividing goes back."""
        return np.array([_SIGNS[axis] for axis in self.axes]) * _MILLIMETRES[self.unit]

    def camera(self, name: str) -> Camera:
        """A published camera by name."""
        return self.cameras[name]

    def transform(self, name: str) -> RigidTransform:
        """A published rigid transform by name."""
        rigid = self.transforms[name]
        return RigidTransform.of(np.array(rigid.rotation_vector), np.array(rigid.translation_mm))

    def bad_frames(self, folder: str) -> frozenset[int]:
        """Known bad frames of one folder."""
        frames: set[int] = set()
        for item in self.known_bad.get(folder, ()):
            first, _, last = item.partition("-")
            frames.update(range(int(first), int(last or first) + 1))
        return frozenset(frames)


def manifest_names() -> list[str]:
    """Names of all datasets that have a manifest."""
    return [name.removesuffix(".toml") for name in files.names(files.shipped("manifests")) if name.endswith(".toml")]


@cache
def load_manifest(name: str) -> Manifest:
    """The manifest of a dataset.

    Raises:
        UsageError: there is none of that name; the message lists those there are.
        DataError: the file does not hold what a manifest must.
    """
    path = files.shipped("manifests") / f"{name}.toml"
    if name not in manifest_names():
        raise UsageError(sentence(f"one of the datasets {', '.join(manifest_names())}", repr(name), "the dataset name"))
    try:
        return msgspec.convert(load_toml(path), Manifest)
    except msgspec.ValidationError as error:
        raise DataError(sentence("a dataset manifest", str(error), path, "mend that entry")) from None
