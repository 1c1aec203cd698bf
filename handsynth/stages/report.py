"""Gather runs and augmented stores into one HTML page: tables, curves, histograms, contact sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from handsynth.errors import MissingError, UsageError, sentence
from handsynth.generators import generator_names
from handsynth.imaging.warp import resize_stack
from handsynth.poseindex.curriculum import draw_pairs
from handsynth.poseindex.distance import pose_distance
from handsynth.reports.arms import by_place
from handsynth.reports.contact_sheet import pair_sheet, prediction_sheet, sample_sheet
from handsynth.reports.page import Figure, Section, render
from handsynth.reports.plots import curves, distance_histogram, loss_curves, pck_plot
from handsynth.reports.tables import results_table
from handsynth.runtime import files, progress
from handsynth.runtime.seeds import rng
from handsynth.stages.simulated_arm import SIMULATOR, rendered_section
from handsynth.stages.summary import kept_summary
from handsynth.stages.systems import system_kind
from handsynth.stages.train import pose_features
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training.run import Evaluation, RunInfo, read_evaluations, read_log, read_run
from handsynth.training.splits import split_store

_SHOWN = 8
_SEED = 0


def report(
    runs: Sequence[str] | None = None,
    out: str | Path | None = None,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write the page and return its path.

    Args:
        runs: runs and augmented stores, by name or path; by default all of the workspace.
        out: HTML file; ``runs/report.html`` by default.

    Raises:
        MissingError: nothing to report, or no run or store of a name.
        UsageError: a name is that of a store which is not augmented.
    """
    space = Workspace.of(workspace)
    path = Path(out) if out is not None else space.root / "runs" / "report.html"
    return write_page(space, *_gather(space, runs), path)


def write_page(
    space: Workspace,
    folders: Sequence[Path],
    stores: Sequence[Store],
    path: Path,
    title: str = "handsynth report",
    first: Sequence[Section] = (),
) -> Path:
    """The page of these runs and augmented stores, sections of the caller ``first``; returns its path."""
    infos = {folder: read_run(folder) for folder in folders}
    evaluated = [(infos[folder], evaluation) for folder in folders for evaluation in read_evaluations(folder)]
    sections = [*first, *(_source_section(store) for store in _sources(space, infos.values(), stores))]
    sections += [_augmented_section(space, store) for store in stores]
    for group in by_place(evaluated):
        sections.append(_result_section(group))
    sections += _prediction_sections(space, infos)
    logs = {info.name: read_log(folder) for folder, info in infos.items()}
    if any(logs.values()):
        curve = Figure(loss_curves({name: log for name, log in logs.items() if log}), "Losses over optimisation steps.")
        sections.append(Section("Training", figures=[curve]))
    silent = [info.name for folder, info in infos.items() if not read_evaluations(folder)]
    if silent:
        progress.say(f"not evaluated, so without scores: {', '.join(silent)}")
    settings = [(f"{info.name} ({info.system}, {info.preset})", info.settings) for info in infos.values()]
    page = render(title, _subtitle(infos.values(), stores), sections, settings, list(infos.values()))
    files.write(path, page.encode())
    return path


def _gather(space: Workspace, names: Sequence[str] | None) -> tuple[list[Path], list[Store]]:
    """Run folders and augmented stores of these names, or of the whole workspace."""
    if not names:
        folders = [space.run(name) for name in space.run_names()]
        plain = set(space.store_names())
        stores = [space.store(name) for name in space.store_names(augmented=True) if name not in plain]
        if not folders and not stores:
            raise MissingError(sentence("runs or augmented stores", "none", space.root, "train first: handsynth train"))
        return folders, stores
    folders, stores = [], []
    for name in names:
        if (space.new_run(name) / "run.json").is_file():
            folders.append(space.run(name))
        else:
            store = space.store(name)
            if not store.info.augmented:
                raise UsageError(sentence("runs or augmented stores", f"{name}, a store that is not augmented", "RUNS"))
            stores.append(store)
    return folders, stores


def _sources(space: Workspace, infos: Any, stores: Sequence[Store]) -> list[Store]:
    """The stores that the runs were trained on, as far as they are still here."""
    names = list(
        dict.fromkeys([info.store.name for info in infos] + [store.info.plan.settings["store"] for store in stores])
    )
    return [space.store(name) for name in names if name in space.store_names()]


def _subtitle(infos: Any, stores: Sequence[Store]) -> str:
    systems = ", ".join(sorted({info.system for info in infos})) or "no system"
    data = ", ".join(dict.fromkeys(info.store.name for info in infos)) or "no store"
    images = sum(len(store) for store in stores)
    return f"{systems} on {data}" + (f", {images:,} generated images" if images else "")


def _source_section(store: Store) -> Section:
    slots = np.sort(rng(_SEED, "report", "samples").permutation(store.slots)[:_SHOWN])
    sheet = sample_sheet(list(store.samples(slots)), columns=4 if store.info.plan.pixels == ("rgb",) else 2)
    split = split_store(store)
    intro = (
        f"{len(store):,} samples of {store.info.plan.size} px from {store.info.plan.source.name}: "
        f"{len(split.reduced):,} to train on, {len(split.test):,} to test on"
    )
    rejected = f"; {store.info.rejected:,} rejected." if store.info.rejected else "."
    caption = "Samples drawn at random, with their labelled skeletons."
    return Section(f"Data: {store_name(store.address)}", intro + rejected, figures=[Figure(sheet, caption)])


def _augmented_section(space: Workspace, store: Store) -> Section:
    if store.info.plan.source.name == SIMULATOR:
        return rendered_section(space, store)
    settings = store.info.plan.settings
    distances = store.column("pose_distance")
    figures = []
    notes = []
    if settings["store"] in space.store_names():
        source = space.store(settings["store"])
        split = split_store(source, settings["alpha"], settings["seed"], settings["contiguous"])
        features = pose_features(source, np.concatenate([split.reduced, split.held_out]))
        first, second = draw_pairs(rng(_SEED, "report", "pairs"), len(features))
        figures.append(
            Figure(
                distance_histogram(
                    distances,
                    pose_distance(features[first], features[second]),
                    match=settings.get("match", "nearest"),
                ),
                "Pose distance (MM-Hand eq. 5) of every target to its source, beside random training pairs.",
            )
        )
        figures.append(
            Figure(
                pair_sheet(_pairs(store, source), count=_SHOWN),
                f"Generated hands, from the nearest to the farthest source pose. {_seen(store.info.plan.source.name)}"
                "The real image at the right was held out and is shown for comparison only.",
            )
        )
    else:
        notes.append(f"The store {settings['store']} is not in this workspace, so sources and targets are not shown.")
    intro = (
        f"{len(store):,} images by {store.info.plan.source.name} ({settings['preset']}, {settings['steps']:,} steps), "
        f"in poses held out from the reduced set of {100 * settings['alpha']:g} %. Median pose distance to the source: "
        f"{np.median(distances):.4f}."
    )
    if judged := kept_summary(store):
        intro += f" {judged}."
    return Section(f"Generated: {store_name(store.address)}", intro, figures=figures, notes=notes)


def _seen(generator: str) -> str:
    """A sentence on what went into each image; nothing of a generator that is not installed here."""
    if generator not in generator_names():
        return ""
    if system_kind(generator).reads_source:
        return "The generator saw the source image and the target's pose. "
    return "The generator saw the target's pose alone, and nothing of the source. "


def _pairs(store: Store, source: Store) -> list[dict[str, Any]]:
    """One mapping per shown pair; only those at even steps of the distance are read."""
    order = np.argsort(store.column("pose_distance"), kind="stable")
    chosen = store.slots[order[np.unique(np.linspace(0, len(order) - 1, _SHOWN).round().astype(int))]]
    size = store.info.plan.size
    rows = []
    for slot in chosen:
        at = [int(slot)]
        source_slot, target_slot = (store.column(f"{name}_slot", at) for name in ("source", "target"))
        rows.append(
            {
                "source_rgb": resize_stack(source.rgb(source_slot), size)[0],
                "target_rgb": resize_stack(source.rgb(target_slot), size)[0],
                "generated_rgb": store.rgb(at)[0],
                "target_keypoints": store.column("keypoints_px", at)[0],
                "distance": float(store.column("pose_distance", at)[0]),
                "source_key": str(store.column("source_key", at)[0]),
                "target_key": str(store.column("target_key", at)[0]),
            }
        )
    return rows


def _result_section(group: Sequence[tuple[RunInfo, Evaluation]]) -> Section:
    from handsynth.reports.arms import arms

    _, first = group[0]
    frame = results_table(group)
    figures = []
    if first.thresholds:
        lines, trivial = curves(arms(group))
        plot = pck_plot(lines, first.thresholds, first.threshold_unit, first.protocol, trivial)
        figures.append(Figure(plot, "Share of joints within a distance of the truth; trivial answers are dashed."))
    makes_depth = "silhouette_iou" in first.better
    what = "Pose estimation" if first.thresholds else "Depth generation" if makes_depth else "Image generation"
    title = f"{what}: {first.store.name}, {first.samples:,} {first.split} samples"
    return Section.of_results(title, frame, figures=figures)


def _prediction_sections(space: Workspace, infos: dict[Path, RunInfo]) -> list[Section]:
    """Best, median and worst predictions of the estimator that was trained on most."""
    estimators = [(folder, info) for folder, info in infos.items() if info.family == "estimator"]
    known = set(space.store_names())
    for folder, info in sorted(estimators, key=lambda item: (-item[1].samples, item[1].added_samples)):
        path = folder / "evaluation" / f"{info.store.name}.parquet"
        if not path.is_file() or info.store.name not in known:
            continue
        store = space.store(info.store.name)
        table = pq.read_table(path).to_pydict()
        slots = np.array(table["slot"])
        errors = np.array(table["error_mm"], dtype=np.float64)
        counted = np.isfinite(errors)
        mean = np.divide(np.nansum(errors, 1), counted.sum(1), out=np.full(len(errors), np.nan), where=counted.any(1))
        joints = np.array(table["joints_mm"], dtype=np.float64).reshape(-1, 21, 3)
        predicted = np.stack([_project(store, slot, pose) for slot, pose in zip(slots, joints, strict=True)])
        sheet = prediction_sheet(
            store.rgb(slots), predicted, store.column("keypoints_px", slots), mean, keys=table["key"]
        )
        caption = f"Predictions of {info.name} on test images: joints projected back into the image, and the labels."
        return [Section("Predictions", figures=[Figure(sheet, caption)])]
    return []


def _project(store: Store, slot: int, joints_mm: np.ndarray) -> np.ndarray:
    camera = store.sample(int(slot), pixels=False).camera
    assert camera is not None
    return camera.project(joints_mm)
