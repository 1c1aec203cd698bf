"""DexYCB's rules: its official splits, the names of its files, the codes in its labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from handsynth.formats.manifest import load_manifest

Setup = Literal["s0", "s1", "s2", "s3"]
SEQUENCE = re.compile(r"\d{8}[-_][\d_]+")
SEQUENCES = 100
"""Sequences of each subject."""
HAND_CODE = 255
"""Of ``seg``; 1 to 21 are objects."""
NOT_LABELLED = -1
"""Every number of a frame without a labelled hand."""


def official_split(setup: Setup, subject: int, camera: int, place: int | None) -> str | None:
    """Split by the toolkit's rules; None where a rule needs a sequence's place that is not known.

    Args:
        subject: 0 to 9.
        camera: 0 to 7.
        place: of the sequence among its subject's 100, sorted by name.
    """
    if setup == "s1":
        return {6: "val", 7: "test", 8: "test"}.get(subject, "train")
    if setup == "s2":
        return {6: "val", 7: "test"}.get(camera, "train")
    if place is None:
        return None
    if setup == "s0":
        return "train" if place % 5 != 4 else "val" if subject < 2 else "test"
    return {3: "val", 19: "val", 7: "test", 11: "test", 15: "test"}.get(place // 5, "train")


def index_of(group: str, name: str) -> int:
    """Place of a subject or a serial in the official order."""
    return load_manifest("dexycb").groups[group].index(name)


def intrinsics_file(root: Path, serial: str) -> Path:
    """Where a camera's intrinsics lie."""
    width, height = load_manifest("dexycb").image_size
    return root / "calibration" / "intrinsics" / f"{serial}_{width}x{height}.yml"
