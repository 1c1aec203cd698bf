"""Raw files of simulated miniatures, and what the doctor says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from handsynth.doctor.examine import examine_source
from handsynth.errors import DataError
from handsynth.formats import get_format
from handsynth.formats.format import FILE_COLUMNS
from handsynth.hand.rows import to_table
from handsynth.hand.sample import HandSample
from handsynth.store.findings import Finding
from tests.formats.samples import listed

Found = dict[str, Finding]


def examined(name: str, root: Path, **options: Any) -> Found:
    """Findings on raw files by check; the catalogue is parsed anew, so that a patched reader shows."""
    reader = get_format(name)
    table = listed(reader, root, reader.options_type(**options))
    load = partial(reader.load, root)
    examination = examine_source(table, load, name=name, independent_2d=reader.independent_2d, cropped=reader.cropped)
    return {finding.check: finding for finding in examination.findings}


def examined_samples(
    samples: Sequence[HandSample], name: str = "", broken: Sequence[str] = (), **traits: bool
) -> Found:
    """Findings on samples as they are, as if a format had read them; images of the keys ``broken`` cannot be read."""
    table = to_table(samples)
    for column in FILE_COLUMNS:
        field = {"rgb": "rgb", "depth": "depth_mm", "mask": "mask"}[column.removesuffix("_file")]
        names = ["file" if getattr(sample, field) is not None else None for sample in samples]
        table = table.append_column(column, pa.array(names, pa.string()))
    by_key = {sample.key: sample for sample in samples}

    def load(row: Mapping[str, Any]) -> HandSample:
        if row["key"] in broken:
            raise DataError("a truncated picture")
        return by_key[row["key"]]

    examination = examine_source(table, load, name=name, **({"independent_2d": False, "cropped": False} | traits))
    return {finding.check: finding for finding in examination.findings}


def moved(samples: Sequence[HandSample], move: Callable[[np.ndarray], np.ndarray]) -> list[HandSample]:
    """The samples with other joints, their keypoints along, their pixels as they were."""
    out = []
    for sample in samples:
        assert sample.joints_mm is not None
        assert sample.camera is not None
        joints = np.asarray(move(sample.joints_mm), dtype=np.float32)
        out.append(replace(sample, joints_mm=joints, keypoints_px=sample.camera.project(joints).astype(np.float32)))
    return out


def faults(found: Found) -> set[str]:
    return {check for check, finding in found.items() if finding.status == "fault"}


def alarms(found: Found) -> dict[str, str]:
    """Warnings and faults with their text."""
    return {check: finding.text for check, finding in found.items() if finding.status in ("warning", "fault")}
