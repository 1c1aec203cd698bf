"""Examine a dataset before it is ingested, or a store: all checks, and what mistake explains what they find.

All numbers are read, in slices; of the images a few, spread evenly, so that a look takes seconds whatever the size.
The same table gives the same findings.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from handsynth.doctor.agreement import Looks, check_pixels
from handsynth.doctor.anatomy import check_order
from handsynth.doctor.diagnosis import diagnose
from handsynth.doctor.duplicates import duplicate_images
from handsynth.doctor.labels import Groups, read_groups, read_sampled
from handsynth.doctor.mistakes import Mistake, Move, mistakes, moves
from handsynth.doctor.numbers import Evidence, bone_spread, check_numbers
from handsynth.doctor.pixels import Look, look
from handsynth.doctor.scores import Scores, score
from handsynth.doctor.thresholds import REPROJECTION_PX, REPROJECTION_SHARE, checks_of, manifest_of
from handsynth.errors import DataError, MissingError
from handsynth.formats.format import FILE_COLUMNS
from handsynth.formats.manifest import Manifest
from handsynth.hand.rows import from_row
from handsynth.hand.sample import HandSample
from handsynth.runtime import files, progress, seeds
from handsynth.store import schema
from handsynth.store.findings import Finding, Status, not_checkable
from handsynth.store.read import Store
from handsynth.store.schema import ARRAYS

Load = Callable[[Mapping[str, Any]], HandSample]
"""The sample of a row of the table, with pixels."""

FRAMES = 120
"""Images looked at."""
_ROWS = 600
"""Rows that mistakes are tried on."""
_SMALL = 1 << 14
"""Stores of up to this many samples are examined in memory."""


@dataclass(frozen=True)
class Histogram:
    """Numbers that say more as a drawing.

    Attributes:
        title, unit: what they are.
        values: (N,), finite.
        low, high: the range that is expected; None where it is open.
    """

    title: str
    unit: str
    values: np.ndarray
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Examination:
    """What the doctor found.

    Attributes:
        findings: one per check, in reading order.
        histograms: of what is known.
    """

    findings: tuple[Finding, ...]
    histograms: tuple[Histogram, ...]


def examine_source(
    table: pa.Table,
    load: Load,
    *,
    name: str,
    independent_2d: bool,
    cropped: bool,
    frames: int = FRAMES,
) -> Examination:
    """Examine a dataset by its catalogue and some of its images.

    Args:
        table: the catalogue, or part of it.
        load: the format's ``load`` of one row.
        name: of the format; its manifest says what is expected.
        independent_2d, cropped: as the format declares them.
        frames: images to look at.
    """
    manifest = manifest_of(name)
    there = {
        column.removesuffix("_file"): np.asarray(pc.is_valid(table.column(column)).to_numpy())
        for column in FILE_COLUMNS
    }
    evidence = _evidence(table, manifest, independent_2d=independent_2d, sides=manifest.sides if manifest else ())
    tried, moved = mistakes(manifest, cropped=cropped), moves(manifest, cropped=cropped)
    findings, histograms = _examine(evidence, there, load, tried, moved, frames, name)
    why = "every image must be read for that: handsynth verify does it in the store"
    return Examination((*findings, not_checkable("duplicate images", why)), histograms)


def examine_store(store: Store, *, frames: int = FRAMES) -> Examination:
    """Examine a store: its numbers, some of its images, and all images for duplicates."""
    plan = store.info.plan
    manifest = manifest_of(plan.source.name) if plan.source.kind == "dataset" else None
    with _table(store) as table:
        slots = np.asarray(table.column("slot").to_numpy())
        held = _held(table)
        evidence = _evidence(
            table,
            manifest,
            independent_2d=plan.independent_2d,
            palm_root=plan.settings.get("root_joint") == "palm",
            size=plan.size,
        )

        # A publisher's own crops were not cut around the labels, so a wrong label came with its camera.
        own_crops = not plan.settings.get("cropped", False)
        tried, moved = mistakes(manifest, cropped=True, own_crops=own_crops), moves(manifest, cropped=True)
        findings, histograms = _examine(evidence, held, partial(_stored, store), tried, moved, frames, plan.source.name)
        findings.append(duplicate_images(evidence, store, slots, evidence.groups))
    return Examination(tuple(findings), histograms)


def samples_of(store: Store, keys: Collection[str]) -> dict[str, HandSample]:
    """Some samples of a store by key, with pixels; reads its rows part by part."""
    wanted = pa.array(sorted(keys), type=pa.string())
    found = {}
    for part in _parts(store):
        for row in part.filter(pc.is_in(part.column("key"), value_set=wanted)).to_pylist():
            found[row["key"]] = _stored(store, row)
    return found


def _stored(store: Store, row: Mapping[str, Any]) -> HandSample:
    read = {"rgb": store.rgb, "depth": store.depth_mm, "mask": store.mask}
    pixels = {ARRAYS[field].sample_field: read[field]([row["slot"]])[0] for field in row["pixels"]}
    return replace(from_row(row), **pixels)


def _evidence(
    table: pa.Table,
    manifest: Manifest | None,
    *,
    independent_2d: bool,
    palm_root: bool = False,
    sides: tuple[str, ...] = (),
    size: int | None = None,
) -> Evidence:
    checks = checks_of(manifest)
    if size is not None:  # a manifest speaks of the source's own pixels
        checks = msgspec.structs.replace(checks, reprojection_px=None)
    return Evidence(
        table=table,
        scores=score(table, size),
        groups=read_groups(table),
        checks=checks,
        independent_2d=independent_2d,
        palm_root=palm_root,
        sides=sides,
        limit_px=REPROJECTION_PX if size is None else REPROJECTION_SHARE * size,
    )


def _examine(
    evidence: Evidence,
    there: Mapping[str, np.ndarray],
    load: Load,
    tried: Sequence[Mistake],
    moved: Sequence[Move],
    frames: int,
    name: str,
) -> tuple[list[Finding], tuple[Histogram, ...]]:
    table = evidence.table
    rows = spread(np.arange(len(table)), _ROWS)
    labels = read_sampled(table, evidence.groups, rows)
    looks, unread = _look(evidence, there, load, tried, moved, frames)
    joint_order, order = check_order(evidence, rows, labels.joints_mm, name)
    findings = [
        *check_numbers(evidence),
        joint_order,
        *check_pixels(evidence, looks),
        _partners(evidence, there),
        _readable(evidence, len(looks.rows), unread),
    ]
    return diagnose(evidence, labels, looks, findings, order).told(findings), _histograms(
        evidence.scores, evidence.groups, evidence
    )


def spread(rows: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the rows, ascending: one drawn from each of as many equal stretches, always the same.

    Drawn, not at even steps: steps could hit the same view or hand every time.
    """
    if len(rows) <= count:
        return rows
    edges = np.linspace(0, len(rows), count + 1)
    draw = seeds.rng(0, "doctor", len(rows)).random(count)
    return rows[(edges[:-1] + draw * np.diff(edges)).astype(int)]


def _look(
    evidence: Evidence,
    there: Mapping[str, np.ndarray],
    load: Load,
    tried: Sequence[Mistake],
    moved: Sequence[Move],
    frames: int,
) -> tuple[Looks, dict[int, str]]:
    """Look at a spread of frames; those that cannot be read, with their reason."""
    telling = (there["depth"] | there["mask"]) if "depth" in there or "mask" in there else np.zeros(0, dtype=bool)
    useful = np.flatnonzero(telling & ~evidence.scores.marked)
    rows = spread(useful if len(useful) else np.flatnonzero(there["rgb"]), frames)
    if not len(useful):
        rows = spread(rows, max(frames // 8, 1))  # colour alone only shows whether it can be read
    labels = read_sampled(evidence.table, evidence.groups, rows)
    variants = [mistake.mend(labels) for mistake in tried]
    values = evidence.table.take(rows).to_pylist()
    looks: list[Look] = []
    seen, unread = [], {}
    with progress.task("looking at images", len(rows)) as advance:
        for position, row in enumerate(rows.tolist()):
            try:
                sample = load(values[position])
            except (DataError, MissingError) as error:
                unread[row] = str(error)
            else:
                looks.append(look(sample, variants, position, moved))
                seen.append(row)
            advance(1)
    return Looks(np.array(seen, dtype=np.int64), looks, tried, moved), unread


def _partners(evidence: Evidence, there: Mapping[str, np.ndarray]) -> Finding:
    """Rows without a kind of file that most others have."""
    name = "partner files"
    lacking = np.zeros(len(evidence.table), dtype=np.int64)
    said = []
    for kind, held in there.items():
        if held.mean() >= 0.5 and not held.all():
            lacking += ~held
            said.append(f"{int((~held).sum())} samples lack {kind}, which the others have")
    kinds = ", ".join(kind for kind, held in there.items() if held.any())
    if not kinds:
        return not_checkable(name, "the source has no images")
    status: Status = "warning" if said else "ok"
    return evidence.finding(name, status, "; ".join(said) or f"every sample has its {kinds}", lacking > 0, lacking)


def _readable(evidence: Evidence, read: int, unread: Mapping[int, str]) -> Finding:
    """Whether the images that were looked at could be decoded."""
    name = "readable images"
    if not read and not unread:
        return not_checkable(name, "the source has no images")
    bad = np.zeros(len(evidence.table), dtype=bool)
    bad[list(unread)] = True
    status: Status = "warning" if unread else "ok"
    text = f"all {read} images that were tried can be read"
    if unread:
        reason = next(iter(unread.values()))
        text = f"{len(unread)} of {read + len(unread)} images that were tried cannot be read; the first: {reason}"
    return evidence.finding(name, status, text, bad, bad.astype(float))


def _histograms(scores: Scores, groups: Groups, evidence: Evidence) -> tuple[Histogram, ...]:
    low, high = evidence.checks.palm_mm
    allowed = 100 * evidence.checks.bone_variation
    spreads, _, _ = bone_spread(scores, groups)
    drawn = [
        Histogram("Palm length", "mm", scores.palm_mm * (2.0 if evidence.palm_root else 1.0), low, high),
        Histogram("Variation of bone lengths, per bone and subject", "%", 100 * spreads.ravel(), None, allowed),
    ]
    if evidence.independent_2d:
        most = evidence.checks.reprojection_px or evidence.limit_px
        drawn.insert(0, Histogram("Median reprojection error of each sample", "px", scores.error_px, None, most))
    finite = (replace(each, values=each.values[np.isfinite(each.values)]) for each in drawn)
    return tuple(each for each in finite if len(each.values))


@contextlib.contextmanager
def _table(store: Store) -> Iterator[pa.Table]:
    """All rows of a store; those of a large one mapped from a temporary file, so that memory stays bounded."""
    if len(store) <= _SMALL:
        yield store.table()
        return
    with tempfile.TemporaryDirectory(prefix="handsynth-") as folder:
        path = Path(folder) / "samples.arrow"
        writer = None
        for part in _parts(store):
            writer = writer or pa.ipc.new_file(str(path), part.schema)
            writer.write_table(part)
        assert writer is not None
        writer.close()
        with pa.memory_map(str(path)) as mapped:
            yield pa.ipc.open_file(mapped).read_all()


def _parts(store: Store) -> Iterator[pa.Table]:
    for shard in range(store.info.plan.shards):
        yield pq.read_table(pa.BufferReader(files.read(files.join(store.address, schema.samples_path(shard)))))


def _held(table: pa.Table) -> dict[str, np.ndarray]:
    """(N,) bool by array: whether a row has a value in it."""
    lists = table.column("pixels").combine_chunks()
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks) if lists.num_chunks else pa.array([], type=lists.type)
    owner = np.asarray(pc.list_parent_indices(lists).to_numpy())
    names = pc.list_flatten(lists)
    out = {}
    for field in ARRAYS:
        held = np.zeros(len(table), dtype=bool)
        held[owner[np.asarray(pc.equal(names, field).to_numpy(zero_copy_only=False))]] = True
        out[field] = held
    return out
