"""The dataset-reduction experiment: shares x generators x estimators x seeds, each cell resumable by itself.

One generator serves all cells of a reduced set. What is made already is not made again, so the same command goes on
where it stopped, and a larger experiment takes over the cells of a smaller one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from handsynth.errors import HandsynthError, UsageError, sentence
from handsynth.estimators import estimator_names
from handsynth.reports.page import Figure, Section
from handsynth.reports.plots import alpha_plot
from handsynth.reports.reduction import alpha_lines, alpha_table, draws_table
from handsynth.runtime import files, progress
from handsynth.runtime.cluster import check_workers
from handsynth.runtime.settings import override, pretty_json
from handsynth.simulator import SimulatorSettings
from handsynth.stages.budget import Costs, choose, seconds_of
from handsynth.stages.cell_work import Work, measure
from handsynth.stages.cells import NONE, Cell, Draw, Part, Recipe, groups_of
from handsynth.stages.present import Present
from handsynth.stages.reduction import Reduction, frame_of, record_path
from handsynth.stages.report import write_page
from handsynth.stages.simulated_arm import SIMULATOR
from handsynth.stages.systems import by_system, check_steps, image_generators
from handsynth.stages.train import main_store
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training import compilation
from handsynth.training.loop import Device
from handsynth.training.splits import split_store

_MORE_TIME = "give more time; --dry-run says what each cell would cost"
_SHARE_OFF = 0.02  # a share that is further from the one asked for is worth a word


def reduce(
    store: str | None = None,
    alphas: Sequence[float] = (0.2, 0.4),
    generators: Sequence[str] = (NONE, "mmhand"),
    estimators: Sequence[str] = ("hpm3d",),
    seeds: Sequence[int] = (0,),
    single: Sequence[str] = (),
    preset: str | None = None,
    steps: int | None = None,
    generator_preset: str | None = None,
    generator_steps: int | None = None,
    settings: Sequence[str] = (),
    most_mm: float | None = None,
    contiguous: bool = False,
    compare_draws: bool = False,
    budget: str | None = None,
    device: str = "auto",
    compile: str = "auto",
    workers: int | None = None,
    scheduler: str | None = None,
    yes: bool = True,
    dry_run: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Train and score every cell, and the full set once per estimator and seed; returns the report.

    Args:
        alphas: shares of the training split, each between 0 and 1.
        generators: ``none`` is the reduced set alone; ``simulator`` renders the held-out poses.
        single: generators that get the first seed only; those that take no part change nothing.
        preset: of all systems; of the estimators alone where ``generator_preset`` is given.
        steps: of the estimators, equal in all cells; their preset's by default.
        generator_steps: of the generators; their preset's by default.
        settings: ``SYSTEM.key=value`` texts over the presets.
        most_mm: have a judge, an estimator with other weights trained on the same reduced set alone, reject generated
            images whose pose errs by more; by default all are kept.
        contiguous: draw whole sequences, so that neighbouring video frames stay together.
        compare_draws: run everything with either draw, and say how they differ.
        budget: time like ``2h`` or ``90m``, one cell after the other. Cells that do not fit into it are left out and
            named.
        compile: all networks, in training and in generation: ``on``, or ``off``. ``auto`` is off here, for arms could
            differ by the times that were measured; without a working compiler, on is off too.
        workers: cells at the same time, each training on one thread, as with a scheduler. By default one after the
            other, each on all cores. One thread and many may add up to other last digits, so a comparison should stay
            with one of the two.
        scheduler: address of a running Dask scheduler that the cells are given to; its workers must see the workspace.

    Raises:
        UsageError: an unknown name, a number or a share out of range, or a part that is there with other settings,
            before anything is trained; or no cell fits into the budget.
        MissingError: no scheduler answers at the address.
        HandsynthError: some cells failed; the others are done and reported.
    """
    space = Workspace.of(workspace)
    data = main_store(space, store)
    known = [NONE, *image_generators(), SIMULATOR]
    _check("--generator", generators, known)
    _check("--estimator", estimators, estimator_names())
    _check("--single", single, known)
    if not seeds:
        raise UsageError(sentence("at least one seed", "none", "--seed"))
    if most_mm is not None and most_mm <= 0:
        raise UsageError(sentence("an error above 0 mm", f"{most_mm:g}", "--most-mm"))
    check_steps("--steps", steps)
    check_steps("--generator-steps", generator_steps)
    compilation.check_mode(compile)
    check_workers(workers)
    for alpha in alphas:
        if not 0 < alpha < 1:
            raise UsageError(sentence("a share between 0 and 1", f"{alpha:g}", "--alpha"))
    seconds = None if budget is None else seconds_of(budget)
    apart = workers is not None or scheduler is not None
    if apart and budget is not None:
        found, advice = "--workers" if scheduler is None else "--scheduler", "leave one of the two out"
        raise UsageError(sentence("a budget for one cell after the other", found, f"--budget {budget}", advice))
    recipe = Recipe(
        workspace=replace(space, root=space.root.absolute()) if apart else space,
        store=data.address if not apart or "://" in data.address else str(Path(data.address).absolute()),
        estimators=tuple(dict.fromkeys(estimators)),
        preset=preset,
        steps=steps,
        generator_preset=generator_preset or preset,
        generator_steps=generator_steps,
        settings=tuple(by_system(settings, [*estimator_names(), *image_generators(), SIMULATOR]).items()),
        most_mm=most_mm,
        device=device,
        compile=compilation.for_all_arms(compile, Device.choose(device).torch_device),
        workers=1 if apart else None,
        yes=yes,
    )
    draws = (False, True) if compare_draws else (contiguous,)
    shares, arms, numbers = list(dict.fromkeys(alphas)), list(dict.fromkeys(generators)), list(dict.fromkeys(seeds))
    groups = groups_of(shares, arms, recipe.estimators, numbers, single, draws)
    cells = [cell for group in groups for cell in group]
    _check_settings(recipe, data, cells)
    notes = _check_draws(data, cells)
    costs = Costs(recipe, data, next((cell.draw for cell in cells if cell.draw.alpha < 1), cells[0].draw))
    left: list[Cell] = []
    if seconds is not None:
        cells, left = choose(groups, recipe.chain, costs, seconds)
    path = record_path(space, data).with_suffix(".html")
    if dry_run or seconds is not None:
        _say_plan(recipe, costs, cells, left)
    if not cells:
        raise UsageError(sentence("a budget that a cell fits into", str(budget), "--budget", _MORE_TIME))
    if dry_run:
        return path
    work = Work(recipe)
    if apart:
        work.spread(cells, workers, scheduler)
    else:
        end = None if seconds is None else time.monotonic() + seconds
        left += work.one_by_one(cells, costs, end)
    done, failed = work.finished(cells), work.failures(cells)
    if done:  # else a record of an earlier experiment is worth more
        record = measure(data, done, left, failed)
        files.write(path.with_suffix(".json"), pretty_json(record))
        _report(space, work, cells, record, notes, path)
    if failed:
        found = f"{len(failed)} that failed, the first: {failed[0]}"
        advice = "run the same command again, which goes on with them"
        where = path if done else space.root / "runs"
        raise HandsynthError(sentence(f"{len(cells)} finished cells", found, where, advice))
    if not done:
        found = f"{budget}: things took longer than estimated"
        raise UsageError(sentence("a budget that a cell fits into", found, "--budget", _MORE_TIME))
    return path


def _report(
    space: Workspace, work: Work, cells: Sequence[Cell], record: Reduction, notes: Sequence[str], path: Path
) -> None:
    frame = frame_of(record)
    if frame.empty:
        return
    lines, trivial = alpha_lines(frame)
    figure = Figure(
        alpha_plot(lines, "EPE mean (mm), lower is better", trivial),
        "Error over the share of the training set; bars are 95 % intervals over seeds, trivial answers are dashed.",
    )
    left = [f"Left out for lack of time: {'; '.join(record.left_out)}."] if record.left_out else []
    notes = [*notes, *left, *(f"Failed: {failure}." for failure in record.failed)]
    sections = [
        Section.of_results(
            "Error by share of the training set", alpha_table(frame, record.protocol), "", [figure], notes
        )
    ]
    draws = draws_table(frame, record.protocol)
    if len(draws):
        sections.append(Section.of_results("Random draws against whole sequences", draws))
    runs = [Path(run) for run in work.finished(cells).values()]
    stores = [space.store(address) for address in work.stores()]
    write_page(space, runs, stores, path, "Dataset reduction", sections)


def _say_plan(recipe: Recipe, costs: Costs, cells: Sequence[Cell], left: Sequence[Cell]) -> None:
    """The cells that would be made and those left out, with what each costs beside the ones before it."""
    counted: set[Part] = set()
    total = 0.0
    for title, some in (("cells to be made", cells), ("left out", left)):
        lines = []
        for cell in some:
            parts = [part for part in recipe.chain(cell) if part not in counted]
            counted |= set(parts)
            price = sum(map(costs, parts))
            total += price if some is cells else 0.0
            shown = "there already" if not price else progress.duration(price)
            shared = [str(part) for part in parts[:-1] if costs(part)]
            lines.append(f"  {shown:>13}  {cell}" + (f" (with {', '.join(shared)})" if shared else ""))
        if lines:
            about = f", about {progress.duration(total)} in all, one after the other" if some is cells else ""
            progress.say("\n".join([f"{len(lines)} {title}{about}:", *lines]))


def _check_settings(recipe: Recipe, data: Store, cells: Sequence[Cell]) -> None:
    """Presets and settings are sound, and those of what is there already. Raises UsageError."""
    for name in dict.fromkeys(name for cell in cells for name in (cell.estimator, cell.generator)):
        if name == SIMULATOR:
            override(SimulatorSettings(size=data.info.plan.size), recipe.of(name))
        elif name != NONE:
            recipe.chosen(name)
    Present(recipe, data).refuse_others(list(dict.fromkeys(part for cell in cells for part in recipe.chain(cell))))


def _check_draws(data: Store, cells: Sequence[Cell]) -> list[str]:
    """Every draw leaves samples to test on and to hold out. Raises UsageError.

    Returns:
        A sentence for each that is no share as asked for; they are said, too.
    """
    notes: list[str] = []
    seen: dict[str, Draw] = {}
    for draw in dict.fromkeys(cell.draw for cell in cells):
        split = split_store(data, draw.alpha, draw.seed, draw.contiguous)
        if not len(split.test):
            raise UsageError(sentence("a test split", "none", data.address, "choose a store with test samples"))
        if draw.alpha == 1:
            continue
        split.check_held_out(draw.alpha)
        share = f"{100 * split.share:.0f} % of the training samples"
        same = seen.setdefault(split.hash, draw)
        if same != draw:
            notes.append(f"The draws of {same} and of {draw} are one: {share}.")
        elif abs(split.share - draw.alpha) > _SHARE_OFF:
            notes.append(f"The draw of {draw} holds {share}.")
    if notes:
        progress.say("\n".join(notes))
    return notes


def _check(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(sentence(f"names among {', '.join(known)}", ", ".join(unknown), option))
