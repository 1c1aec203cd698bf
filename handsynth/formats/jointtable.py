"""``joints.csv`` of rgbd_folder: one row per hand, columns by name. The manifest lists the columns."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from handsynth.errors import DataError, sentence
from handsynth.formats.records import CameraRecord, SampleRecord
from handsynth.hand.joints import JOINTS
from handsynth.hand.sample import ABSENT, DERIVED, LABELLED, HandSample, Side

_WORDS = ("subject", "view", "moment", "split")
_CAMERA = ("fx", "fy", "cx", "cy", "width", "height")
_DISTORTION = ("k1", "k2", "p1", "p2", "k3")
_LISTS = ("visible", "derived_joints", "derived_keypoints")
_SPACE, _PIXELS = ("x", "y", "z"), ("u", "v")
HEADER = (
    "image",
    "side",
    *_WORDS,
    "mirrored",
    *_CAMERA,
    *_DISTORTION,
    *_LISTS,
    *(f"{joint}_{axis}" for joint in JOINTS for axis in _SPACE),
    *(f"{joint}_{axis}" for joint in JOINTS for axis in _PIXELS),
)
"""All columns, as they are written; of those read, all but ``image`` may lack or be empty."""

_ADVICE = "mend that row"


def sample_cells(sample: HandSample) -> list[str]:
    """Cells of a sample, in the order of ``HEADER`` behind ``image``; float32 in the digits that bring it back."""
    camera = sample.camera
    cells = [sample.side, *(getattr(sample, word) or "" for word in _WORDS), str(int(sample.mirrored))]
    if camera is None:
        cells += [""] * (len(_CAMERA) + len(_DISTORTION))
    else:
        cells += [repr(float(getattr(camera, name))) for name in _CAMERA[:4]] + [str(camera.width), str(camera.height)]
        distortion = [*camera.distortion, *[0.0] * len(_DISTORTION)][: len(_DISTORTION)]
        cells += [repr(float(value)) if camera.distortion else "" for value in distortion]
    cells.append("" if sample.visible is None else _listed(sample.visible))
    cells += [_listed(state == DERIVED) for state in (sample.joint_state, sample.keypoint_state)]
    for points, axes in ((sample.joints_mm, _SPACE), (sample.keypoints_px, _PIXELS)):
        values = [math.nan] * (len(JOINTS) * len(axes)) if points is None else points.ravel().tolist()
        cells += [f"{value:.9g}" if math.isfinite(value) else "" for value in values]
    return cells


def read_joints(path: Path, side: Side) -> Iterator[tuple[str, SampleRecord, str]]:
    """Image, record and place of each row, one at a time; ``side`` where a row says none.

    Raises:
        DataError: no text, unknown columns, rows of another length, or words where numbers belong.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = [name.strip() for name in next(rows, [])]
            unknown = sorted(set(header) - set(HEADER))
            if unknown or "image" not in header or len(set(header)) != len(header):
                found = f"unknown {', '.join(unknown[:5])}" if unknown else ", ".join(header[:5]) or "none"
                expected = "columns image, side, fx ... wrist_x ... pinky_tip_v, each once"
                raise DataError(sentence(expected, found, path, "`handsynth datasets rgbd_folder` lists them"))
            for cells in rows:
                if not any(map(str.strip, cells)):
                    continue
                where = f"line {rows.line_num} of {path}"
                if len(cells) != len(header):
                    raise DataError(sentence(f"{len(header)} cells", str(len(cells)), where, _ADVICE))
                row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
                yield row["image"], _record(row, side, where), where
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(sentence("a table of comma-separated text", str(error), path, "save it as CSV")) from None


def _record(row: Mapping[str, str], side: Side, where: str) -> SampleRecord:
    given = row.get("side") or side
    if given not in ("left", "right", "unknown"):
        raise DataError(sentence("side left, right or unknown", repr(given), where, _ADVICE))
    if row.get("mirrored", "") not in ("", "0", "1"):
        raise DataError(sentence("mirrored 0 or 1", repr(row["mirrored"]), where, _ADVICE))
    record = SampleRecord(
        side=given,  # type: ignore[arg-type]  # one of the three, as was just seen
        mirrored=row.get("mirrored") == "1",
        camera=_camera(row, where),
        joints_mm=_points(row, _SPACE, where),
        keypoints_px=_points(row, _PIXELS, where),
        subject=row.get("subject") or None,
        view=row.get("view") or None,
        moment=row.get("moment") or None,
        split=row.get("split") or None,
    )
    if row.get("visible"):
        record.visible = _named(row["visible"], where)
    record.joint_state = _states(record.joints_mm, row.get("derived_joints", ""), where)
    record.keypoint_state = _states(record.keypoints_px, row.get("derived_keypoints", ""), where)
    return record


def _camera(row: Mapping[str, str], where: str) -> CameraRecord | None:
    given = [name for name in _CAMERA if row.get(name)]
    if not given:
        return None
    if len(given) < len(_CAMERA):
        lacking = ", ".join(name for name in _CAMERA if name not in given)
        raise DataError(sentence(", ".join(_CAMERA), f"no {lacking}", where, _ADVICE))
    fx, fy, cx, cy, width, height = (_number(row[name], name, where) for name in _CAMERA)
    if not (width.is_integer() and height.is_integer()):
        raise DataError(sentence("a whole width and height, px", f"{width:g} x {height:g}", where, _ADVICE))
    distortion = [_number(row.get(name) or "0", name, where) for name in _DISTORTION]
    return CameraRecord(
        fx=fx,
        fy=fy,
        cx=cx,
        cy=cy,
        width=int(width),
        height=int(height),
        distortion=distortion if any(distortion) else [],
    )


def _points(row: Mapping[str, str], axes: tuple[str, ...], where: str) -> list[list[float] | None] | None:
    """Points of all joints; one of which a coordinate lacks is not known."""
    points: list[list[float] | None] = []
    for joint in JOINTS:
        names = [f"{joint}_{axis}" for axis in axes]
        known = all(row.get(name) for name in names)
        points.append([_number(row[name], name, where) for name in names] if known else None)
    return points if any(point is not None for point in points) else None


def _states(points: Any, derived: str, where: str) -> list[int]:
    if points is None:
        return [ABSENT] * len(JOINTS)
    return np.where(_named(derived, where), DERIVED, LABELLED).tolist() if derived else [LABELLED] * len(JOINTS)


def _listed(flags: np.ndarray) -> str:
    """Names of joints, in words: all, none, or one after the other."""
    if flags.all() or not flags.any():
        return "all" if flags.all() else "none"
    return " ".join(name for name, flag in zip(JOINTS, flags.tolist(), strict=True) if flag)


def _named(cell: str, where: str) -> list[bool]:
    if cell in ("all", "none"):
        return [cell == "all"] * len(JOINTS)
    names = set(cell.split())
    if not names <= set(JOINTS):
        found = ", ".join(sorted(names - set(JOINTS))[:5])
        raise DataError(sentence("names of joints, all or none", found, where, _ADVICE))
    return [name in names for name in JOINTS]


def _number(cell: str, name: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise DataError(sentence(f"a number in {name}", repr(cell[:40]), where, _ADVICE)) from None
    if not math.isfinite(value):
        raise DataError(sentence(f"a finite number in {name}", repr(cell), where, _ADVICE))
    return value
