"""HanCo (Zimmermann, Argus and Brox, GCPR 2021): short sequences of right hands, seen by eight calibrated cameras.

Reads and writes ``rgb/0000/cam0/00000000.jpg`` and its variants, ``mask_hand/...``, ``calib/0000/00000000.json`` (K and
the move M from world to camera, for every camera), ``xyz/0000/00000000.json`` (21 world points) and ``meta.json``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched, build_table, camera_rows, intrinsics, rigid_rows, stacked, states
from handsynth.formats.format import Field
from handsynth.formats.freihand import read_mask
from handsynth.formats.hanco_files import MAIN, Book, Calibration, FrameWords, Instant, Meta, Variant, fitting
from handsynth.formats.jsonfiles import read_json, write_json
from handsynth.formats.layout import (
    inside,
    listing,
    nothing_found,
    require_files,
    require_folder,
    require_size,
)
from handsynth.formats.manifest import load_manifest
from handsynth.hand.joints import gather
from handsynth.hand.rows import from_row, project_rows
from handsynth.hand.sample import DERIVED, HandSample
from handsynth.imaging.codecs import read_color
from handsynth.imaging.warp import Box
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings

_SEQUENCE = re.compile(r"\d{4,}")
_CAMERA = re.compile(r"cam(\d+)")
_FRAMES_PER_PART = 1024
_RIGID = 1e-3
"""How far the entries of M may be from those of a rotation and a translation."""


class HanCoOptions(Settings, frozen=True, kw_only=True):
    """Which images and frames."""

    variants: tuple[Variant, ...] = ("rgb",)
    """Folders of images; the variants of ``rgb`` exist for the green-screen part only."""
    frames: Literal["all", "fitted", "validated"] = "all"
    """All, those with a hand model fitted (``has_fit``), or those whose fit was validated (``is_valid``)."""
    gaps: Literal["refuse", "skip"] = "refuse"
    """Whether images may lack inside a sequence that is there."""


class HanCo:
    """See :class:`handsynth.formats.format.Format`.

    ``extra`` holds ``has_fit``, ``is_valid`` and, where an object is held, ``object_id``. A frame without an xyz file
    has absent joints. ``write`` resizes square images to 224 x 224, draws others as large as they fit, mirrors left
    hands and puts neighbouring samples of one moment into one frame as far as their views differ and their joints agree
    in the world; the others get frames of their own, with the world in their camera. Sequences keep numbers of four
    digits, and are parted where the views or the masks change; frames are numbered from 0 in each, cameras from 0 by
    the views' names. Images go to ``rgb``, or to the variant that the view's name ends in (``cam3_merged``). Masks lose
    their parts, ``has_fit`` and ``is_valid`` are false where they are not known, and hand models are not written.
    """

    name: ClassVar[str] = "hanco"
    summary: ClassVar[str] = "HanCo: real RGB sequences of right hands from 8 cameras, hand masks, 21 joints"
    fields: ClassVar[Mapping[str, Field]] = {
        "rgb": Field(tolerance=60, note="JPEG"),
        "mask": Field(note="the whole hand; JPEG"),
        "joints_mm": Field(tolerance=1e-3, note="metres in text, in the world"),
        "keypoints_px": Field(tolerance=1e-2, note="projected"),
        "camera": Field(tolerance=1e-6),
        "split": Field(),
        "side": Field(note="always right"),
    }
    cropped: ClassVar[bool] = True
    independent_2d: ClassVar[bool] = False
    options_type: ClassVar[type[Settings]] = HanCoOptions

    def annotations(self, root: Path, options: HanCoOptions) -> list[Path]:
        found = [root / "meta.json"]
        for sequence in _sequences(root, options):
            found += [root / "calib" / sequence / name for name in _json(root / "calib" / sequence)]
            found += [root / "xyz" / sequence / name for name in _json(root / "xyz" / sequence)]
        return found

    def catalogue(self, root: Path, options: HanCoOptions) -> Iterator[pa.Table]:
        sequences = _sequences(root, options)
        meta = read_json(root / "meta.json", Meta)
        frames = (frame for sequence in sequences for frame in _frames(root, sequence, meta, options))
        with progress.task("reading annotations of hanco", _count(meta, sequences)) as advance:
            for batch in batched(frames, _FRAMES_PER_PART):
                yield _table(root, batch, options)
                advance(len(batch))

    def load(self, root: Path, row: Mapping[str, Any], window: Box | None = None) -> HandSample:
        sample = from_row(row)
        assert sample.camera is not None
        path = inside(root, row["rgb_file"])
        rgb = require_size(read_color(path, window), sample.camera, path)
        mask = None
        if row["mask_file"] is not None:
            mask = read_mask(inside(root, row["mask_file"]), sample.camera, window)
        return replace(sample, rgb=rgb, mask=mask)

    def write(self, root: Path, samples: Iterable[HandSample], options: HanCoOptions) -> None:
        book = Book()
        for _, group in groupby(samples, lambda sample: sample.moment or sample.key):
            instants: list[Instant] = []
            for given in group:
                sample = fitting(given)
                for instant in instants:
                    if instant.takes(sample):
                        instant.views[sample.view or ""] = sample
                        break
                else:
                    instants.append(Instant({sample.view or "": sample}))
            for instant in instants:
                instant.write(root, book.place(instant))
        write_json(root / "meta.json", book.meta())


@dataclass(frozen=True)
class _Frame:
    """One instant: what ``meta.json`` says of it and the images that show it."""

    sequence: str
    name: str
    words: FrameWords
    has_xyz: bool
    shots: tuple[tuple[str, int, bool], ...]
    """Folder of the image, camera, whether there is a mask."""

    @property
    def place(self) -> str:
        return f"{self.sequence}/{self.name}"


def _sequences(root: Path, options: HanCoOptions) -> list[str]:
    """Sequences that have images; all must be labelled."""
    name = "hanco"
    require_folder(root, name)
    there = {variant: set(filter(_SEQUENCE.fullmatch, listing(root / variant))) for variant in options.variants}
    for variant, sequences in there.items():
        if not sequences:
            raise nothing_found(f"folders like {variant}/0000", root, name)
    require_files([root / "meta.json"], root, name)
    found = sorted(set().union(*there.values()))
    for kind in ("calib", "xyz"):
        labelled = listing(root / kind)
        for sequence in found:
            if sequence not in labelled:
                raise nothing_found(f"{kind}/{sequence}, as there are its images", root, name)
    return found


def _json(folder: Path) -> list[str]:
    return sorted(name for name in listing(folder) if name.endswith(".json"))


def _frames(root: Path, sequence: str, meta: Meta, options: HanCoOptions) -> Iterator[_Frame]:
    """Frames of one sequence, by its calibrations; listings only.

    Raises:
        DataError: images, calibrations, joints and ``meta.json`` do not belong together.
    """
    names = [name.removesuffix(".json") for name in _json(root / "calib" / sequence)]
    labelled = {name.removesuffix(".json") for name in _json(root / "xyz" / sequence)}
    images = {variant: _shots(root / variant / sequence) for variant in options.variants}
    masks = _shots(root / "mask_hand" / sequence)
    if options.gaps == "refuse":
        for variant, cameras in images.items():
            for camera, found in cameras.items():
                _require_all(names, found, root / variant / sequence / f"cam{camera}", f"calib/{sequence}")
        for camera, found in masks.items():
            _require_all(names, found, root / "mask_hand" / sequence / f"cam{camera}", f"calib/{sequence}")
    if stray := sorted(labelled.difference(names)):
        odd = f"xyz/{sequence}/{stray[0]}.json without one"
        raise DataError(sentence("a calibration for every xyz file", odd, root, "extract the archives again"))
    for name in names:
        words = _words(meta, sequence, name, root)
        if words.has_fit and name not in labelled:
            odd = f"no xyz/{sequence}/{name}.json"
            raise DataError(sentence("joints of every fitted frame", odd, root, "extract HanCo_xyz.zip again"))
        if not {"all": True, "fitted": words.has_fit, "validated": words.is_valid}[options.frames]:
            continue
        shots = tuple(
            (variant, camera, name in masks.get(camera, ()))
            for variant, cameras in images.items()
            for camera, found in cameras.items()
            if name in found
        )
        if shots:
            yield _Frame(sequence, name, words, name in labelled, shots)


def _shots(folder: Path) -> dict[int, frozenset[str]]:
    """Frame names by camera, in the cameras' order."""
    cameras = {int(match[1]): match[0] for match in map(_CAMERA.fullmatch, listing(folder)) if match}
    return {
        camera: frozenset(name[:-4] for name in listing(folder / cameras[camera]) if name.endswith(".jpg"))
        for camera in sorted(cameras)
    }


def _require_all(names: list[str], found: frozenset[str], folder: Path, labels: str) -> None:
    lacking = [name for name in names if name not in found]
    surplus = sorted(found.difference(names))
    if lacking or surplus:
        odd = f"{lacking[0]}.jpg lacks" if lacking else f"{surplus[0]}.jpg has no label"
        advice = "fetch or extract the rest, or take what is there with the option gaps = skip"
        raise DataError(
            sentence(f"the {len(names)} images that {labels} labels", f"{len(found)} ({odd})", folder, advice)
        )


def _words(meta: Meta, sequence: str, name: str, root: Path) -> FrameWords:
    lists = (meta.is_train, meta.subject_id, meta.is_valid, meta.object_id, meta.has_fit)
    if not (name.isdecimal() and all(int(sequence) < len(rows) for rows in lists)):
        found = f"sequence {sequence}, frame {name} without one"
        raise DataError(sentence("an entry for every frame", found, root / "meta.json", "do not mix copies"))
    rows: list[list[Any]] = [each[int(sequence)] for each in lists]
    if any(int(name) >= len(row) for row in rows):
        found = f"{min(map(len, rows))} entries, but frame {name}"
        advice = "do not mix copies"
        raise DataError(sentence(f"every frame of sequence {sequence}", found, root / "meta.json", advice))
    return FrameWords(*(row[int(name)] for row in rows))


def _table(root: Path, frames: list[_Frame], options: HanCoOptions) -> pa.Table:
    manifest = load_manifest("hanco")
    calibrations = [_calibration(root, frame, options.gaps == "refuse") for frame in frames]
    labelled = [i for i, frame in enumerate(frames) if frame.has_xyz]
    paths = [root / "xyz" / f"{frames[i].place}.json" for i in labelled]
    world = np.full((len(frames), 21, 3), np.nan)
    points = [read_json(path, list[list[float]]) for path in paths]
    world[labelled] = stacked(points, (21, 3), "xyz", lambda i: paths[i])

    shots = [(i, *shot) for i, frame in enumerate(frames) for shot in frame.shots]
    which = np.array([i for i, *_ in shots])

    def where(row: int) -> str:
        i, _, camera, _ = shots[row]
        return f"camera {camera} of {root / 'calib' / frames[i].place}.json"

    k = stacked([calibrations[i].K[camera] for i, _, camera, _ in shots], (3, 3), "K", where)
    m = stacked([calibrations[i].M[camera] for i, _, camera, _ in shots], (4, 4), "M", where)
    rotation, shift_mm = _rigid(m, where), m[:, :3, 3] * manifest.to_mm
    joints = np.einsum("nij,nkj->nki", rotation, world[which] * manifest.to_mm) + shift_mm[:, None]
    joints = gather(joints, manifest.order)
    cameras = camera_rows(intrinsics(k, where), *manifest.image_size)
    keypoints = project_rows(joints, cameras)
    back = rotation.transpose(0, 2, 1)

    def each(text: Callable[[_Frame, str, int], str]) -> list[str]:
        return [text(frames[i], variant, camera) for i, variant, camera, _ in shots]

    def flag(name: str) -> np.ndarray:
        values = [getattr(frame.words, name) for frame in frames]
        return np.array([np.nan if value is None else float(value) for value in values])[which]

    subjects = [frame.words.subject_id for frame in frames]
    return build_table(
        len(shots),
        key=each(lambda frame, variant, camera: f"{variant}/{frame.sequence}/cam{camera}/{frame.name}"),
        subject=[None if subjects[i] is None else str(subjects[i]) for i in which],
        sequence=each(lambda frame, *_: frame.sequence),
        frame=each(lambda frame, *_: frame.name),
        view=each(lambda _, variant, camera: f"cam{camera}{variant.removeprefix(MAIN)}"),
        moment=each(lambda frame, *_: frame.place),
        split=each(lambda frame, *_: "train" if frame.words.is_train else "test"),
        side=manifest.sides[0],
        joints_mm=joints,
        keypoints_px=keypoints,
        keypoint_state=states(keypoints, DERIVED),
        camera=cameras,
        world_from_camera=rigid_rows(back, -np.einsum("nij,nj->ni", back, shift_mm)),
        extra={name: flag(name) for name in ("is_valid", "object_id", "has_fit")},
        rgb_file=each(lambda frame, variant, camera: f"{variant}/{frame.sequence}/cam{camera}/{frame.name}.jpg"),
        mask_file=[
            f"mask_hand/{frames[i].sequence}/cam{camera}/{frames[i].name}.jpg" if masked else None
            for i, _, camera, masked in shots
        ],
    )


def _calibration(root: Path, frame: _Frame, whole: bool) -> Calibration:
    """Raises DataError where it does not hold all cameras that are seen, or (``whole``) one that is not seen."""
    path = root / "calib" / f"{frame.place}.json"
    found = read_json(path, Calibration)
    for variant in dict.fromkeys(variant for variant, *_ in frame.shots):
        seen = {camera for each, camera, _ in frame.shots if each == variant}
        for kind, matrices in (("K", found.K), ("M", found.M)):
            if max(seen) >= len(matrices) or (whole and len(seen) != len(matrices)):
                wanted = f"{kind} of the {len(seen)} cameras seen in {variant}/{frame.sequence}"
                advice = "fetch or extract the rest, or take what is there with the option gaps = skip"
                raise DataError(sentence(wanted, f"{len(matrices)}", path, advice))
    return found


def _rigid(m: np.ndarray, where: Callable[[int], object]) -> np.ndarray:
    """The rotations (N, 3, 3) of (N, 4, 4) moves."""
    r = m[:, :3, :3]
    off = np.abs(r @ r.transpose(0, 2, 1) - np.eye(3)).max((1, 2)) > _RIGID
    off |= (np.abs(m[:, 3] - [0, 0, 0, 1]).max(1) > _RIGID) | (np.linalg.det(r) < 0)
    if off.any():
        row = int(np.flatnonzero(off)[0])
        raise DataError(sentence("M as a rotation and a translation", "another matrix", where(row)))
    return np.asarray(r)


def _count(meta: Meta, sequences: list[str]) -> int:
    return sum(len(meta.is_train[int(sequence)]) for sequence in sequences if int(sequence) < len(meta.is_train))
