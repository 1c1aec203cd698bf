"""Tables and sentences of the reduction experiment, in the layout of MM-Hand's table 2: a column per share.

A frame of cells has the columns ``estimator``, ``generator``, ``alpha``, ``contiguous``, ``seed``, ``epe_mean_mm`` and
``trivial``, one row per cell.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from handsynth.reports.tables import INTERVAL, half_width

MEASURE = "epe_mean_mm"


def arm_words(generator: str, contiguous: bool) -> str:
    """What an arm was trained on, for tables and legends."""
    words = "reduced set alone" if generator == "none" else f"+ {generator}"
    return f"{words}, whole sequences" if contiguous else words


def alpha_table(cells: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Mean EPE by arm and share, with its 95 % t interval where there are several seeds; for ``tables.to_html``."""
    shares = {alpha: f"{100 * alpha:g} % (mm)" for alpha in sorted(set(cells["alpha"]))}
    rows = []
    for (trivial, estimator, contiguous, generator), arm in _arms(cells):
        row: dict[str, object] = {
            "system": estimator,
            "training data": "" if trivial else arm_words(generator, contiguous),
        }
        if trivial and contiguous:
            row["training data"] = "whole sequences"
        counts = arm.groupby("alpha").size()
        row["seeds"] = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
        for alpha, label in shares.items():
            numbers = arm.loc[arm["alpha"] == alpha, MEASURE].to_numpy(dtype=np.float64)
            row |= {label: numbers.mean() if len(numbers) else np.nan, label + INTERVAL: half_width(numbers)}
        rows.append(row | {"trivial": trivial})
    columns = ["system", "training data", "seeds", *(end for at in shares.values() for end in (at, at + INTERVAL))]
    table = pd.DataFrame(rows, columns=[*columns, "trivial"])
    table = table.drop(columns=[name for name in columns if name.endswith(INTERVAL) and table[name].isna().all()])
    several = any(name.endswith(INTERVAL) for name in map(str, table))
    table.attrs = {
        "better": dict.fromkeys(shares.values(), "lower"),
        "protocols": [f"EPE mean by share of the training split: {protocol}"],
        "notes": ["± is the half-width of the 95 % t interval of the mean over seeds."] if several else [],
    }
    return table


def alpha_lines(cells: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], set[str]]:
    """For ``plots.alpha_plot``: per arm a frame of ``alpha``, ``mean`` and ``half``, and the labels of trivial ones."""
    lines, trivial_ones = {}, set()
    for (trivial, estimator, contiguous, generator), arm in _arms(cells):
        drawn = ", whole sequences" if contiguous else ""
        label = f"{estimator}{drawn}" if trivial else f"{estimator}, {arm_words(generator, contiguous)}"
        grouped = arm.groupby("alpha")[MEASURE]
        half = [half_width(numbers.to_numpy(dtype=np.float64)) for _, numbers in grouped]
        lines[label] = pd.DataFrame({"alpha": list(grouped.groups), "mean": grouped.mean().to_numpy(), "half": half})
        if trivial:
            trivial_ones.add(label)
    return lines, trivial_ones


def draws_table(cells: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Random draws beside draws of whole sequences, for every arm and share with seeds that have both."""
    keys = ["estimator", "generator", "alpha"]
    trained = cells[~cells["trivial"].astype(bool) & (cells["alpha"] < 1)]
    paired = trained.pivot_table(index=[*keys, "seed"], columns="contiguous", values=MEASURE, sort=False)
    wide = paired.reindex(columns=[False, True]).dropna().groupby(level=keys, sort=False).mean()
    rows = [
        {
            "system": estimator,
            "training data": f"{100 * alpha:g} %, {arm_words(generator, False)}",
            "random draw (mm)": values[False],
            "whole sequences (mm)": values[True],
            "difference (mm)": values[True] - values[False],
            "trivial": False,
        }
        for (estimator, generator, alpha), values in zip(wide.index, wide.to_dict("records"), strict=True)
    ]
    names = ["system", "training data", "random draw (mm)", "whole sequences (mm)", "difference (mm)", "trivial"]
    table = pd.DataFrame(rows, columns=names)
    words = f"EPE mean, mean over the seeds that have both draws: {protocol}"
    table.attrs = {"protocols": [words], "notes": _draw_notes(table)}
    return table


def _draw_notes(table: pd.DataFrame) -> list[str]:
    if table.empty:
        return []
    apart = table["difference (mm)"]
    spread = f"{apart.mean():+.2f} mm in the mean of {len(apart)} arms ({apart.min():+.2f} to {apart.max():+.2f})"
    if not abs(apart.mean()) > half_width(apart.to_numpy()):  # NaN of one arm alone
        verdict = ", which may be chance"
    elif apart.mean() > 0:
        verdict = ": random draws leave neighbouring frames of the held-out ones in the set, which makes them easier"
    else:
        verdict = ": here random draws are not easier, though they leave neighbouring frames in the set"
    return [f"Whole sequences instead of a random draw change the error by {spread}{verdict}."]


def _arms(cells: pd.DataFrame) -> list[tuple[tuple[bool, str, bool, str], pd.DataFrame]]:
    """Rows of one estimator, generator and kind of draw; trivial answers first, else in the order of the cells.

    The full set is drawn in no way, so it belongs to the arm of random draws, or to the only one there is.
    """
    cells = cells.copy()
    if cells.loc[cells["alpha"] < 1, "contiguous"].all() and (cells["alpha"] < 1).any():
        cells["contiguous"] = True
    groups = cells.groupby(["trivial", "estimator", "contiguous", "generator"], sort=False)
    found = [((bool(key[0]), str(key[1]), bool(key[2]), str(key[3])), group) for key, group in groups]
    return sorted(found, key=lambda item: not item[0][0])
