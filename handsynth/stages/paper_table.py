"""Write what was measured in the layout of MM-Hand's tables 1 to 3, the paper's own numbers beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from handsynth.errors import MissingError, UsageError, sentence
from handsynth.reports.page import Figure, Section, render
from handsynth.reports.paper import GENERATORS
from handsynth.reports.paper_tables import table_1, table_2, table_3
from handsynth.runtime import files
from handsynth.stages.ablate import ESTIMATOR, GENERATOR, ablation_frame
from handsynth.stages.paper_figure import figure_path, share_words
from handsynth.stages.reduction import reduction_frame
from handsynth.stages.simulated_arm import SIMULATOR
from handsynth.stages.systems import choose_settings
from handsynth.stages.train import run_name
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training.loop import Device
from handsynth.training.run import Evaluation, RunInfo, read_evaluations, read_run

_FIGURE = (
    "Held-out poses, from the nearest to the farthest from their source. Every generator was given the target pose, "
    "and all but CycleGAN and Pix2pix the source image with its pose; the ground truth is shown for comparison only."
)
_RENDERER = "The simulator is not ranked: these data are simulated, so it is the renderer itself."


def paper_table(
    table: int,
    store: str | None = None,
    alpha: float = 0.4,
    generators: Sequence[str] = tuple(GENERATORS),
    seeds: Sequence[int] = (0,),
    generator_preset: str | None = None,
    contiguous: bool = False,
    device: str = "auto",
    out: str | Path | None = None,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write a table as an HTML page, and beside it as Markdown of the same name; returns the page.

    Args:
        table: 1 (image quality: reads what ``image_quality`` scored, and shows the figure of ``paper_figure`` where it
            was drawn), 2 (reduction: what ``reduce`` scored) or 3 (ablation: what ``ablate`` scored).
        alpha, generator_preset: share of the training split and preset of the generators, of tables 1 and 3.
        generators, seeds: whose runs stand in table 1.
        contiguous: show what was measured on reduced sets of whole sequences; else on random draws, as in the paper.
        device: which it was measured on: without a preset, table 3 shows runs of the one that ``ablate`` takes there.
        out: HTML file; ``runs/STORE-tableN.html`` by default, with the share where it is one share's table.

    Raises:
        UsageError: there is no such table, preset or device.
        MissingError: nothing of it was measured on this store.
    """
    space = Workspace.of(workspace)
    data = space.store(store)
    if table not in (1, 2, 3):
        raise UsageError(sentence("table 1, 2 or 3", repr(table), "paper_table"))
    name = store_name(data.address)
    place = ", ".join(
        [name, *([] if table == 2 else [f"alpha {alpha:g}"]), *(["whole sequences"] if contiguous else [])]
    )
    figures = []
    if table == 1:
        scored = _scored(space, data, alpha, generators, seeds, generator_preset, contiguous)
        infos = [info for info, _ in scored]
        content = table_1(quality_frame(scored), place, _notes(scored))
        picture = figure_path(space, data, alpha, generator_preset, contiguous)
        if picture.is_file():
            figures.append(Figure(picture.read_bytes(), _FIGURE))
    else:
        if table == 2:
            measured = _of_draw(reduction_frame(space, data), contiguous)
        else:
            preset, _ = choose_settings(ESTIMATOR, generator_preset, Device.choose(device))
            measured = ablation_frame(space, data, alpha, preset, contiguous)
        if measured.empty:
            raise MissingError(sentence(f"what table {table} shows", "nothing", space.root / "runs", _advice(table)))
        infos = [read_run(space.run(run)) for run in measured["run"] if run]
        notes = [_training_note("estimators", [(info.system, info.preset, info.steps) for info in infos])]
        if table == 3:
            kinds = measured[["preset", "generator_steps"]].itertuples(index=False)
            content = table_3(measured, place, [*notes, _training_note("generators", [(GENERATOR, *k) for k in kinds])])
        elif data.info.plan.source.kind == "simulator" and SIMULATOR in set(measured["generator"]):
            content = table_2(measured, place, [*notes, _RENDERER], unranked=[SIMULATOR])
        else:
            content = table_2(measured, place, notes)
    share = share_words(alpha, contiguous, generator_preset)
    words = [name, f"table{table}", *(share if table != 2 else ["contiguous"] if contiguous else [])]
    path = Path(out) if out is not None else space.root / "runs" / f"{'-'.join(words)}.html"
    section = Section(content.title, table=content.to_html(), notes=content.notes, figures=figures)
    settings = [(f"{info.name} ({info.system}, {info.preset})", info.settings) for info in infos]
    files.write(path, render(f"MM-Hand, table {table}", name, [section], settings, infos).encode())
    files.write(path.with_suffix(".md"), content.to_markdown().encode())
    return path


def quality_frame(scored: Sequence[tuple[RunInfo, Evaluation]]) -> pd.DataFrame:
    """Scores of generators' images: columns ``generator``, ``seed``, ``trivial`` and one per score, NaN where missing.

    Trivial answers are those measured beside the runs of the last generator.
    """
    records: list[dict[str, Any]] = []
    for info, evaluation in scored:
        last = info.system == scored[-1][0].system
        for row in evaluation.rows:
            if last or not row.trivial:
                records.append({"generator": row.name, "seed": info.seed, "trivial": row.trivial, **row.values})
    return pd.DataFrame(records)


def _scored(
    space: Workspace,
    data: Store,
    alpha: float,
    generators: Sequence[str],
    seeds: Sequence[int],
    preset: str | None,
    contiguous: bool,
) -> list[tuple[RunInfo, Evaluation]]:
    """The runs of table 1 that are there with their scores on held-out poses."""
    names = [run_name(data, name, alpha, seed, contiguous, None, preset) for name in generators for seed in seeds]
    folders = [space.run(name) for name in names if name in space.run_names()]
    found = [
        (read_run(folder), evaluation)
        for folder in folders
        for evaluation in read_evaluations(folder)
        if [evaluation.store.hash, evaluation.split] == [data.hash, "held-out"]
    ]
    if not found:
        wanted = f"scored runs among {', '.join(names)}"
        raise MissingError(sentence(wanted, "none", space.root / "runs", _advice(1)))
    return found


def _notes(scored: Sequence[tuple[RunInfo, Evaluation]]) -> list[str]:
    """What a reader of table 1 must know of our side."""
    notes = [f"Ours on {each.samples} held-out poses: {each.protocol}." for _, each in scored]
    notes.append(_training_note("generators", [(info.system, info.preset, info.steps) for info, _ in scored]))
    sizes = {info.system: info.settings["size"] for info, _ in scored}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{GENERATORS.get(name, name)} {size}" for name, size in sizes.items())
        notes.append(f"Generators differ in image size in px: {listed}.")
    last = scored[-1][0].system
    notes.append(f"Trivial answers as measured beside {GENERATORS.get(last, last)}.")
    return list(dict.fromkeys(notes))


def _training_note(whose: str, trained: Iterable[tuple[str, str, int]]) -> str:
    """How systems were trained, given their names, presets and steps."""
    words = dict.fromkeys(f"{GENERATORS.get(name, name)} ({preset}) {steps:,} steps" for name, preset, steps in trained)
    return f"Training of the {whose}: {', '.join(words)}."


def _of_draw(measured: pd.DataFrame, contiguous: bool) -> pd.DataFrame:
    """The rows of one way to draw reduced sets; the full set, which nobody draws, belongs to both."""
    return measured[(measured["contiguous"].astype(bool) == contiguous) | (measured["alpha"] == 1)]


def _advice(table: int) -> str:
    return f"measure it first: handsynth run mmhand_table{table}"
