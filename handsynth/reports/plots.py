"""Figures of a report as SVG text, to stand inside the page: PCK curves, pose distances, losses, scores.

Text and axes take the page's own colour and fonts (``currentColor``), so a figure reads on paper, on light and on dark
screens alike. Lines use the Okabe-Ito palette, which people with any colour vision tell apart; trivial baselines are
grey and dashed. The same input gives the same bytes. What stands outside reports is a PNG instead.
"""

from __future__ import annotations

import io
import itertools
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from handsynth.reports.arms import Arm
from handsynth.reports.tables import INTERVAL, half_width

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's colours without black and yellow, which vanish on one of the grounds."""

_INK = "#123456"  # a colour nothing else has, so that it can be replaced by the page's own
_GREY = "#8C8C8C"
_FEWEST = 5  # pairs in a running mean
_DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "handsynth",
    "text.parse_math": False,  # names of runs may hold dollar signs
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": _GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.9,
    "lines.solid_capstyle": "round",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
}


def curves(rows: Sequence[Arm]) -> tuple[dict[str, np.ndarray], set[str]]:
    """PCK curves of the arms that have one, by label, and the labels of the trivial baselines among them."""
    found = [arm for arm in rows if arm.curve]
    return {arm.label: np.array(arm.curve) for arm in found}, {arm.label for arm in found if arm.trivial}


def pck_plot(
    curves: Mapping[str, np.ndarray],
    thresholds: Sequence[float] | np.ndarray,
    unit: str,
    protocol: str,
    trivial: Collection[str] = (),
) -> str:
    """Share of joints within a distance of the truth, over that distance.

    Args:
        curves: (T,) PCK in [0, 1] by name.
        thresholds: (T,) distances in ``unit``.
        protocol: one line, written above the plot.
        trivial: names among ``curves`` that learn nothing.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(3.3 + 0.2 * len(curves))
        for (name, values), style in zip(curves.items(), _styles(curves, trivial), strict=True):
            axes.plot(np.asarray(thresholds), values, label=name, **style)
        axes.set(xlim=(np.min(thresholds), np.max(thresholds)), ylim=(0, 1.005))
        axes.set(xlabel=f"error threshold ({unit})", ylabel="share of joints within (PCK)")
        axes.set_title(textwrap.fill(protocol, 96), fontsize=8, alpha=0.75)
        _legend(figure, axes)
        return _svg(figure)


def distance_histogram(matched: np.ndarray, random: np.ndarray, bins: int = 40, match: str = "nearest") -> str:
    """Pose distances of the matched pairs beside those of random pairs.

    Args:
        matched: (N,) distance of each target to its source (MM-Hand eq. 5), in [0, 1].
        random: (M,) distances of targets to sources drawn at random.
        bins: number of bins from 0 to the largest distance.
        match: how the sources were chosen, in a word.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(3.4)
        top = max(float(np.max(values, initial=0.0)) for values in (matched, random)) or 1.0
        edges = np.linspace(0, top, bins + 1)
        parts = (("random pairs", random, _GREY), (f"{match} source", matched, PALETTE[0]))
        for name, values, color in parts:
            if len(values):
                middle = float(np.median(values))
                share = np.histogram(values, edges)[0] / len(values)
                label = f"{name}: median {middle:.3f} (n = {len(values)})"
                axes.stairs(share, edges, fill=True, color=color, alpha=0.35)
                axes.stairs(share, edges, color=color, linewidth=1.4, label=label)
                axes.axvline(middle, color=color, linestyle=_DASHES[0], linewidth=1.2)
        axes.set(xlabel="pose distance (angle / π)", ylabel="share of pairs", xlim=(0, top))
        axes.set_ylim(bottom=0)
        _legend(figure, axes)
        return _svg(figure)


def loss_curves(logs: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Losses over optimisation steps, one panel per loss, one line per run.

    Args:
        logs: per run the entries of ``log.jsonl``: ``{"step": int, "losses": {name: float}, ...}``. Faint: as logged;
            strong: the mean of the last twentieth of the run up to that step.
    """
    names = list(dict.fromkeys(name for log in logs.values() for entry in log for name in entry["losses"]))
    with mpl.rc_context(_STYLE):
        columns = {0: 1, 1: 1, 2: 2, 4: 2}.get(len(names), 3)
        rows = -(-len(names) // columns) or 1
        figure = Figure(figsize=(7.6, 0.5 + 2.2 * rows + 0.2 * len(logs)), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for panel in panels[len(names) :]:
            panel.set_axis_off()
        for panel, name in zip(panels, names, strict=False):
            panel.set_title(name)
            for (run, log), color in zip(logs.items(), itertools.cycle(PALETTE), strict=False):
                points = [(entry["step"], entry["losses"][name]) for entry in log if name in entry["losses"]]
                if points:
                    step, loss = np.array(points, dtype=np.float64).T
                    strong = pd.Series(loss).rolling(max(len(loss) // 20, 1), min_periods=1).mean()
                    panel.plot(step, loss, color=color, alpha=0.25, linewidth=0.8)
                    panel.plot(step, strong, color=color, linewidth=1.5, label=run)
        for panel in panels[max(len(names) - columns, 0) : len(names)]:
            panel.set_xlabel("step")
            panel.tick_params(labelbottom=True)
        _legend(figure, *panels)
        return _svg(figure)


def score_plot(frame: pd.DataFrame, column: str) -> str:
    """One score of a result table as dots with their 95 % intervals; trivial baselines as dashed lines.

    Args:
        frame: from :func:`handsynth.reports.tables.results_table`, of one place.
        column: a score's column.
    """
    trained = frame[~frame["trivial"] & frame[column].notna()]
    baselines = frame[frame["trivial"] & frame[column].notna()]
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(1.1 + 0.55 * len(trained) + 0.2 * len(baselines))
        height = np.arange(len(trained))[::-1]
        half = trained[column + INTERVAL].fillna(0) if column + INTERVAL in frame else np.zeros(len(trained))
        axes.errorbar(trained[column], height, xerr=half, fmt="o", color=PALETTE[0], capsize=3, markersize=6)
        for row, style in zip(baselines.to_dict("records"), itertools.cycle(_DASHES), strict=False):
            axes.axvline(row[column], color=_GREY, linestyle=style, label=row["system"], linewidth=1.5)
        names = [f"{row['system']}\n{textwrap.fill(row['training data'], 44)}" for row in trained.to_dict("records")]
        axes.set_yticks(height, names, fontsize=9)
        axes.set_ylim(-0.6, len(trained) - 0.4)
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.08)
        direction = {"lower": ", lower is better", "higher": ", higher is better"}
        axes.set_xlabel(column + direction.get(frame.attrs.get("better", {}).get(column, ""), ""))
        _legend(figure, axes)
        return _svg(figure)


def alpha_plot(lines: Mapping[str, pd.DataFrame], label: str, trivial: Collection[str] = ()) -> str:
    """A score over the share of the training set, with 95 % intervals over seeds.

    Args:
        lines: per arm a frame of ``alpha`` in (0, 1], ``mean`` and ``half``, the half-width of its interval or NaN.
        label: the score, its unit and which way is better.
        trivial: arms that learn nothing.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(3.3 + 0.2 * len(lines))
        for (name, points), style in zip(lines.items(), _styles(lines, trivial), strict=True):
            ordered = points.sort_values("alpha")
            half = ordered["half"].fillna(0)
            axes.errorbar(
                100 * ordered["alpha"],
                ordered["mean"],
                yerr=half,
                label=name,
                marker="o",
                markersize=4,
                capsize=3,
                **style,
            )
        axes.set(xlabel="share of the training set (%)", ylabel=label)
        _legend(figure, axes)
        return _svg(figure)


@dataclass(frozen=True)
class DistancePanel:
    """A score of N pairs, to be drawn over their pose distance.

    Attributes:
        label: the score and its unit.
        title: a line above the panel.
        scores: (N,), NaN where not known.
        baseline: name and (N,) scores of what is compared with them pair by pair.
    """

    label: str
    title: str
    scores: np.ndarray
    baseline: tuple[str, np.ndarray] | None = None


def distance_plot(distances: np.ndarray, panels: Sequence[DistancePanel], protocol: str) -> bytes:
    """Scores over the pose distance of source and target: every pair, and a running mean; a PNG on white ground.

    The mean is that of a tenth of the pairs, neighbours by distance, in a band of its 95 % t interval.

    Args:
        distances: (N,) pose distances (MM-Hand eq. 5).
        panels: one plot each, below each other.
        protocol: written above all.
    """
    style = {key: "black" if value == _INK else value for key, value in _STYLE.items()}
    with mpl.rc_context(style | {"figure.facecolor": "white"}):
        figure = Figure(figsize=(7.6, 0.6 + 3.4 * len(panels)), dpi=150, layout="constrained")
        figure.suptitle(textwrap.fill(protocol, 110), fontsize=8)
        for axes, panel in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels, strict=True):
            axes.scatter(distances, panel.scores, s=9, color=PALETTE[0], alpha=0.35, linewidths=0)
            _running_mean(axes, distances, panel.scores, "running mean", color=PALETTE[1])
            if panel.baseline is not None:
                name, scores = panel.baseline
                _running_mean(axes, distances, scores, name, color=_GREY, linestyle=_DASHES[0])
            axes.set(xlabel="pose distance (angle / π)", ylabel=panel.label)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            axes.set_title(panel.title)
            if axes.lines:
                axes.legend(loc="upper left")
        buffer = io.BytesIO()
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
        return buffer.getvalue()


def _running_mean(axes: Axes, distances: np.ndarray, scores: np.ndarray, label: str, **style: Any) -> None:
    """A line with its band; nothing where there are too few pairs."""
    frame = pd.DataFrame({"distance": distances, "score": scores}).dropna().sort_values("distance", kind="stable")
    window = frame.rolling(max(len(frame) // 10, _FEWEST))
    at, mean = (window[name].mean().dropna() for name in ("distance", "score"))
    half = window["score"].apply(half_width, raw=True).dropna()
    if len(at):
        axes.plot(at, mean, label=label, **style)
        axes.fill_between(at, mean - half, mean + half, color=style["color"], alpha=0.2, linewidth=0)


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.6, height), layout="constrained")
    return figure, figure.add_subplot()


def _styles(names: Mapping[str, Any], trivial: Collection[str]) -> list[dict[str, Any]]:
    colors, dashes = itertools.cycle(PALETTE), itertools.cycle(_DASHES)
    return [
        {"color": _GREY, "linestyle": next(dashes), "linewidth": 1.5} if name in trivial else {"color": next(colors)}
        for name in names
    ]


def _legend(figure: Figure, *axes: Axes) -> None:
    """Below the plot, one entry per line: names of runs are long."""
    entries = {label: handle for each in axes for handle, label in zip(*each.get_legend_handles_labels(), strict=True)}
    if entries:
        figure.legend(list(entries.values()), list(entries), loc="outside lower left")


def _svg(figure: Figure) -> str:
    """The drawing alone: no prolog, no date, no writer; ink in the colour of the surrounding text."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Groups are never referred to, and their numbered names would clash with those of the page's other figures.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    return text.replace(_INK, "currentColor")
