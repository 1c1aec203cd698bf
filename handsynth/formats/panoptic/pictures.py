"""HandDB: pictures with 2-D joints, one JSON per hand (manual, synth) or one for all (hand143).

Reads and writes ``hand_labels/manual_train/NAME_l.{jpg,json}`` and its kin, ``hand_labels_synth/synth2/...``, and
``hand143_panopticdb/hands_v143_14817.json`` with ``imgs/00000000.jpg``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from handsynth.errors import DataError, sentence
from handsynth.formats.columns import batched, build_table
from handsynth.formats.jsonfiles import read_json, stream_items, typed, write_json
from handsynth.formats.layout import inside, listing, require_fields, require_names
from handsynth.formats.manifest import load_manifest
from handsynth.hand.joints import gather, scatter
from handsynth.hand.sample import HandSample
from handsynth.imaging.codecs import write_jpeg
from handsynth.runtime import progress

_FOLDERS = {
    "manual": ("hand_labels", ("manual_train", "manual_test")),
    "synth": ("hand_labels_synth", ("synth1", "synth2", "synth3", "synth4")),
}
_WRITTEN = {"manual": ("manual_train", "manual_test"), "synth": ("synth2", "synth4")}
"""For samples of other splits, and of test."""
_HAND143 = "hand143_panopticdb"
_HAND143_LABELS = f"{_HAND143}/hands_v143_14817.json"
_STEM = re.compile(r"(?P<picture>[\w.-]+)_(?P<side>[lr])")
_PERSON = re.compile(r"(\d{9})_\d{2}")
"""Pictures of MPII carry the number of the person."""
_VALID = 1
_MOST_POINTS = 100
_BATCH = 1024

Points = list[tuple[float, float, float]]


class _Label(msgspec.Struct):
    hand_pts: Points
    is_left: bool | float


class _Entry(msgspec.Struct):
    img_paths: str
    joint_self: Points


def label_files(root: Path, part: str) -> list[Path]:
    """The part's label files; none where it is not there."""
    if part == "hand143":
        path = root / _HAND143_LABELS
        return [path] if path.is_file() else []
    top, folders = _FOLDERS[part]
    return [path for folder in folders for path in _labels(root / top / folder)]


def catalogue(root: Path, part: str) -> Iterator[pa.Table]:
    """All samples of a part.

    Raises:
        DataError: labels are damaged, or pictures lack, or labels lack for pictures.
    """
    if part == "hand143":
        yield from _hand143_tables(root)
        return
    top, folders = _FOLDERS[part]
    with progress.task(f"reading annotations of panoptic {part}", len(label_files(root, part))) as advance:
        for folder in folders:
            place = root / top / folder
            paths = _labels(place)
            names = listing(place)
            require_names((f"{path.stem}.jpg" for path in paths), names, place, "the .json files")
            stray = {name[:-4] for name in names if name.endswith(".jpg")} - {path.stem for path in paths}
            if stray:
                found = f"none for {len(stray)} pictures ({min(stray)}.jpg is the first)"
                raise DataError(sentence("a .json beside every picture", found, place, "extract the archive again"))
            for batch in batched(paths, _BATCH):
                yield _labels_table(top, folder, batch)
                advance(len(batch))


def write(root: Path, samples: Iterable[HandSample], part: str) -> None:
    """Lay samples out as the publishers do; see :class:`handsynth.formats.panoptic.Panoptic`.

    Raises:
        DataError: a sample lacks colour, or 2-D joints and a camera to project with, or says no side.
    """
    if part == "hand143":
        _write_hand143(root, samples)
        return
    written: set[str] = set()
    numbers: dict[str, int] = {}
    labels: list[tuple[Path, dict[str, Any]]] = []
    for sample in samples:
        points = _points_of(sample)
        if sample.side not in ("left", "right"):
            raise DataError(sentence("a left or right hand", f"side {sample.side}", f"sample {sample.key}"))
        folder = _written_folder(sample, part)
        number = numbers.setdefault(f"{folder}/{sample.moment or sample.key}", len(numbers))
        stem = _written_stem(sample, folder, number, written)
        written.add(f"{folder}/{stem}")
        place = root / _FOLDERS[part][0] / folder
        assert sample.rgb is not None
        write_jpeg(place / f"{stem}.jpg", sample.rgb)
        label = {"hand_pts": points.tolist(), "is_left": int(sample.side == "left"), "hand_box_center": _center(points)}
        labels.append((place / f"{stem}.json", label))
    for path, label in labels:
        write_json(path, label)


def _labels(folder: Path) -> list[Path]:
    return [folder / name for name in sorted(listing(folder)) if name.endswith(".json")]


def _labels_table(top: str, folder: str, paths: list[Path]) -> pa.Table:
    labels = [read_json(path, _Label) for path in paths]
    stems = [path.stem for path in paths]
    return _table(
        [label.hand_pts for label in labels],
        paths,
        key=[f"{folder}/{stem}" for stem in stems],
        sequence=folder,
        frame=stems,
        moment=[f"{folder}/{_picture(stem)}" for stem in stems],
        split="test" if folder in load_manifest("panoptic").test else "train",
        side=["left" if label.is_left else "right" for label in labels],
        rgb_file=[f"{top}/{folder}/{stem}.jpg" for stem in stems],
    )


def _hand143_tables(root: Path) -> Iterator[pa.Table]:
    path = root / _HAND143_LABELS
    contents: dict[Path, frozenset[str]] = {}
    count = 0
    for batch in batched(stream_items(path, "root.item"), _BATCH):
        entries = typed(batch, list[_Entry], f"root of {path}")
        for entry in entries:
            picture = inside(root / _HAND143, entry.img_paths)
            names = contents.setdefault(picture.parent, listing(picture.parent))
            require_names([picture.name], names, picture.parent, path.name)
        frames = [entry.img_paths.rpartition("/")[2].rpartition(".")[0] for entry in entries]
        yield _table(
            [entry.joint_self for entry in entries],
            [f"{path}, root {count + i}" for i in range(len(entries))],
            key=[f"hand143/{count + i:08d}" for i in range(len(entries))],
            sequence="hand143",
            frame=frames,
            moment=[f"hand143/{frame}" for frame in frames],
            split="train",
            side="unknown",
            rgb_file=[f"{_HAND143}/{entry.img_paths}" for entry in entries],
        )
        count += len(entries)
    if not count:
        raise DataError(sentence("a list of hands at root", "none", path, "fetch or extract the file again"))


def _table(points: list[Points], where: list[Any], **words: Any) -> pa.Table:
    """Rows of stored points, each (M, 3) x, y, valid; hands of other than 21 points have no joints but keep them."""
    count = len(points)
    most = max(map(len, points))
    if most > _MOST_POINTS:
        first = next(place for place, stored in zip(where, points, strict=True) if len(stored) == most)
        raise DataError(sentence("21 points", str(most), first, "fetch or extract the file again"))
    whole = np.array([len(stored) == 21 for stored in points])
    known = np.full((count, 21, 3), np.nan)
    others = np.full((count, max(most, 1), 2), np.nan)
    for i, stored in enumerate(points):
        if whole[i]:
            known[i] = stored
        elif stored:
            others[i, : len(stored)] = np.array(stored)[:, :2]
    valid = (known[..., 2] == _VALID)[..., None]
    order = load_manifest("panoptic").order
    invalid = ~valid & (known[..., :2] != 0).any(-1, keepdims=True)
    return build_table(
        count,
        keypoints_px=gather(np.where(valid, known[..., :2], np.nan), order),
        visible=gather(valid, order, fill=False)[..., 0],
        extra={"invalid_px": gather(np.where(invalid, known[..., :2], np.nan), order), "points_px": others},
        **words,
    )


def _picture(stem: str) -> str:
    """What the copies of one picture have in common in their names."""
    match = _STEM.fullmatch(stem)
    picture = match["picture"] if match else stem
    person = _PERSON.fullmatch(picture)
    return person[1] if person else picture


def _points_of(sample: HandSample) -> np.ndarray:
    """(21, 3) x, y, valid in the source's order; zeros where a joint is not known."""
    require_fields(sample, "panoptic", "rgb")
    projected = sample.projected()
    if sample.keypoints_px is None and projected is None:
        require_fields(sample, "panoptic", "keypoints_px")
    keypoints: np.ndarray = np.full((21, 2), np.nan, np.float32)
    for found in (projected, sample.keypoints_px):
        if found is not None:
            keypoints = np.where(np.isfinite(found), found, keypoints)
    valid = np.isfinite(keypoints).all(-1, keepdims=True)
    points = np.concatenate([np.where(valid, keypoints, 0), valid], axis=1).astype(np.float64)
    return scatter(points, load_manifest("panoptic").order, 21)


def _center(points: np.ndarray) -> list[float]:
    """Middle of the box of the valid points, px."""
    valid = points[points[:, 2] == _VALID, :2]
    center = (valid.min(0) + valid.max(0)) / 2 if len(valid) else np.zeros(2)
    return [float(number) for number in center]


def _written_folder(sample: HandSample, part: str) -> str:
    own = sample.sequence or ""
    train, test = _WRITTEN[part]
    return own if own in _FOLDERS[part][1] else test if sample.split == "test" else train


def _written_stem(sample: HandSample, folder: str, number: int, written: set[str]) -> str:
    """The sample's own name where it came from such a folder; otherwise picture, copy and side, like MPII's."""
    side = sample.side[0]
    own = _STEM.fullmatch(sample.frame or "")
    if sample.sequence == folder and own and f"{folder}/{own[0]}" not in written:
        return own[0]
    copy = 1
    while f"{folder}/{number:09d}_{copy:02d}_{side}" in written:
        copy += 1
    return f"{number:09d}_{copy:02d}_{side}"


def _write_hand143(root: Path, samples: Iterable[HandSample]) -> None:
    entries = []
    for number, sample in enumerate(samples):
        points = _points_of(sample)
        assert sample.rgb is not None
        name = f"imgs/{number:08d}.jpg"
        write_jpeg(root / _HAND143 / name, sample.rgb)
        entries.append(
            {
                "img_paths": name,
                "img_height": sample.rgb.shape[0],
                "img_width": sample.rgb.shape[1],
                "objpos": _center(points),
                "joint_self": points.tolist(),
            }
        )
    write_json(root / _HAND143_LABELS, {"root": entries})
