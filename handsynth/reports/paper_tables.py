"""Our measurements in the layout of MM-Hand's tables 1 to 3, with the paper's own numbers beside them.

Columns stand in groups: this run first, then the paper's datasets. What was not computed says so; what nobody measured
is a dash.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import pandas as pd

from handsynth.reports.paper import (
    ALPHAS,
    ESTIMATORS,
    GENERATORS,
    TABLE_1,
    TABLE_1_SCORES,
    TABLE_2,
    TABLE_3,
    VARIANTS,
)
from handsynth.reports.paper_layout import Column, PaperTable
from handsynth.reports.tables import half_width
from handsynth.reports.wording import DASH, score_label

_NOT_COMPUTED = "not computed"
_OURS_OF_TABLE_1 = (*TABLE_1_SCORES, "fidelity_epe_mm", "fid")
_LOWER = ("fidelity_epe_mm", "fid")
_ARROWS = {"higher": " ↑", "lower": " ↓"}
_DIFFERENT = (
    "The paper's columns were measured on other data, with other splits, image sizes and training lengths, and with "
    "its authors' own scripts: compare the order of rows, not the numbers."
)
_OTHER_SCORES = (
    "In its authors' code SSIM compares generated images in [-1, 1] with real ones in [0, 1], and PCKb is the area "
    "under the PCK curve of 0 to 30 px; ours are what the paper's text says."
)
_INTERVALS = (
    "± is the half-width of the 95 % t interval of the mean over up to {} seeds; a number without it is one seed's."
)


def table_1(measured: pd.DataFrame, place: str, notes: Sequence[str] = ()) -> PaperTable:
    """Quality of the generated images.

    Args:
        measured: one row per generator and seed, and per trivial answer: columns ``generator``, ``seed``, ``trivial``
            (bool) and the scores that were computed, NaN where one is missing.
        place: what it was measured on, the heading of our columns.
        notes: further sentences below the table.
    """
    trivial = list(dict.fromkeys(measured.loc[measured["trivial"].astype(bool), "generator"]))
    others = [name for name in dict.fromkeys(measured["generator"]) if name not in trivial and name not in GENERATORS]
    rows = [*GENERATORS, *others, *trivial]
    seen = set(measured["generator"])
    ours = []
    for score in _OURS_OF_TABLE_1:
        numbers = _numbers(measured, ["generator"], score, [(row,) for row in rows])
        missing = [_NOT_COMPUTED if row in seen and row not in trivial else DASH for row in rows]
        better = "lower" if score in _LOWER else "higher"
        name = score_label(score).removesuffix(" zero")
        decimals = 2 if score in _LOWER else 3
        ours.append(_column(place, name, numbers, better, decimals, missing, range(len(rows) - len(trivial))))
    paper = [
        _column(
            f"paper, {dataset}",
            score_label(score).removesuffix(" zero"),
            [scores.get(row, ())[at : at + 1] for row in rows],
            "higher",
        )
        for dataset, scores in TABLE_1.items()
        for at, score in enumerate(TABLE_1_SCORES)
    ]
    return PaperTable(
        title="Quality of generated hand images (layout of MM-Hand's table 1)",
        heads=("generator",),
        rows=tuple((GENERATORS.get(row, row),) for row in rows),
        columns=(*ours, *paper),
        notes=(*_seed_notes(measured[~measured["trivial"].astype(bool)]), *notes, _DIFFERENT, _OTHER_SCORES),
    )


def table_2(
    measured: pd.DataFrame, place: str, notes: Sequence[str] = (), unranked: Collection[str] = ()
) -> PaperTable:
    """Mean EPE of estimators on reduced and augmented training sets.

    Args:
        measured: one row per cell and trivial answer: columns ``estimator``, ``generator`` (``none``: the reduced set
            alone), ``alpha``, ``seed``, ``epe_mean_mm`` and ``trivial`` (bool).
        place, notes: see :func:`table_1`.
        unranked: generators that are no rivals of the others.
    """
    known = {name: ({"none": "None"} | GENERATORS)[name] for name in TABLE_2["hpm3d"]["STB"]}
    trivial = list(dict.fromkeys(measured.loc[measured["trivial"].astype(bool), "estimator"]))
    rows = []
    for estimator in dict.fromkeys([*measured["estimator"], *ESTIMATORS]):
        ran = list(dict.fromkeys(measured.loc[measured["estimator"] == estimator, "generator"]))
        if estimator not in trivial:
            listed = [*known] if estimator in TABLE_2 else [name for name in known if name in ran]
            rows += [(estimator, name) for name in [*listed, *(name for name in ran if name not in known)]]
    rows += [(name, "none") for name in trivial]
    shares = sorted(set(measured["alpha"]))
    ours = []
    for alpha in shares:
        part = measured[measured["alpha"] == alpha]
        numbers = _numbers(part, ["estimator", "generator"], "epe_mean_mm", rows)
        ours.append(_column_of_estimators(place, alpha, numbers, rows, unranked))
    paper = []
    for dataset in TABLE_1:
        for at, alpha in enumerate(ALPHAS):
            values = [TABLE_2.get(estimator, {}).get(dataset, {}).get(name, ()) for estimator, name in rows]
            theirs = [value[at : at + 1] for value in values]
            paper.append(_column_of_estimators(f"paper, {dataset}", alpha, theirs, rows, unranked))
    return PaperTable(
        title="Mean EPE by share of the training set (layout of MM-Hand's table 2)",
        heads=("estimator", "generator"),
        rows=tuple(
            (ESTIMATORS.get(estimator, estimator), DASH if estimator in trivial else known.get(name, name))
            for estimator, name in rows
        ),
        columns=(*ours, *paper),
        notes=(
            "Ours in mm with the true root and scale given; columns are the share alpha of the training set. At alpha "
            "1 nothing is generated, so the paper repeats the number of None.",
            *_seed_notes(measured),
            *notes,
            _DIFFERENT,
        ),
    )


def table_3(measured: pd.DataFrame, place: str, notes: Sequence[str] = ()) -> PaperTable:
    """Ablation of MM-Hand.

    Args:
        measured: one row per variant and seed: columns ``variant`` (``a`` to ``e``), ``seed``, ``auc_20_50_tail`` and
            ``epe_mean_mm``.
        place, notes: see :func:`table_1`.
    """
    rows = list(VARIANTS)
    keys = [(row,) for row in rows]
    auc = _numbers(measured, ["variant"], "auc_20_50_tail", keys)
    epe = _numbers(measured, ["variant"], "epe_mean_mm", keys)
    paper = [
        _column(f"paper, {dataset}", "AUC 20-50", [(values[row],) for row in rows], "higher")
        for dataset, values in TABLE_3.items()
    ]
    return PaperTable(
        title="Ablation of MM-Hand (layout of its table 3)",
        heads=("variant",),
        rows=tuple((label,) for label in VARIANTS.values()),
        columns=(
            _column(place, "AUC 20-50", auc, "higher"),
            _column(place, "EPE mean (mm)", epe, "lower", 2),
            *paper,
        ),
        notes=(
            "AUC is the area under the PCK curve between 20 and 50 mm; each row adds to the one above.",
            *_seed_notes(measured),
            *notes,
            _DIFFERENT,
        ),
    )


def _column(
    group: str,
    name: str,
    numbers: Sequence[Sequence[float]],
    better: str,
    decimals: int = 3,
    missing: Sequence[str] = (),
    ranked: Iterable[int] | None = None,
) -> Column:
    """Mean and interval of each row's numbers; of ``ranked`` rows, all by default, the best is marked."""
    gaps = missing or [DASH] * len(numbers)
    means = np.array([np.mean(row) if len(row) else np.nan for row in numbers])
    halves = [half_width(np.array(row)) for row in numbers]
    cells = [
        gap if np.isnan(mean) else f"{mean:.{decimals}f}" + ("" if np.isnan(half) else f" ± {half:.{decimals}f}")
        for mean, half, gap in zip(means, halves, gaps, strict=True)
    ]
    return Column(group, name + _ARROWS[better], tuple(cells), frozenset(_best(means, better, ranked)))


def _column_of_estimators(
    group: str,
    alpha: float,
    numbers: Sequence[Sequence[float]],
    rows: Sequence[tuple[str, str]],
    unranked: Collection[str],
) -> Column:
    """A column of table 2, in which every estimator has a best row of its own."""
    by_estimator = [
        _column(
            group,
            f"{alpha:g}",
            numbers,
            "lower",
            2,
            ranked=[at for at, row in enumerate(rows) if row[0] == name and row[1] not in unranked],
        )
        for name in dict.fromkeys(estimator for estimator, _ in rows)
    ]
    best = frozenset[int]().union(*(column.best for column in by_estimator))
    return Column(group, by_estimator[0].name, by_estimator[0].cells, best)


def _best(means: np.ndarray, better: str, ranked: Iterable[int] | None) -> Iterator[int]:
    """Rows with the best mean; none where only one is known or all are equal."""
    rows = [at for at in (range(len(means)) if ranked is None else ranked) if not np.isnan(means[at])]
    if len(rows) < 2 or np.ptp(means[rows]) == 0:
        return
    winner = means[rows].min() if better == "lower" else means[rows].max()
    yield from (at for at in rows if means[at] == winner)


def _numbers(
    measured: pd.DataFrame, by: Sequence[str], score: str, keys: Sequence[tuple[str, ...]]
) -> list[list[float]]:
    """For each key the known numbers of a score, in the order of the seeds."""
    if score not in measured:
        return [[] for _ in keys]
    known = measured.dropna(subset=[score]).sort_values("seed", kind="stable")
    groups = {key: group[score].tolist() for key, group in known.groupby(list(by), sort=False)}
    return [groups.get(key, []) for key in keys]


def _seed_notes(measured: pd.DataFrame) -> list[str]:
    """How many seeds stand behind the means."""
    seeds = measured["seed"].nunique()
    return [_INTERVALS.format(seeds)] if seeds > 1 else ["One seed per row: small differences may be chance."]
