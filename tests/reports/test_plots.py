from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from handsynth.reports import plots
from handsynth.reports.arms import arms
from handsynth.reports.tables import results_table
from tests.reports.records import PROTOCOL, experiment

SVG = "{http://www.w3.org/2000/svg}"


def logs():
    return {
        name: [{"step": 10 * i, "losses": {"heatmaps": 1 / (i + k), "<depth> $x_1$": 0.5}} for i in range(30)]
        for k, name in enumerate(["one", "two & three"], start=1)
    }


def draw(kind: str) -> str:
    if kind == "pck":
        curves, trivial = plots.curves(arms(experiment()))
        return plots.pck_plot(curves, [0.0, 25.0, 50.0], "mm", PROTOCOL, trivial)
    if kind == "distances":
        return plots.distance_histogram(np.linspace(0.01, 0.05, 50), np.linspace(0.02, 0.2, 500))
    if kind == "losses":
        return plots.loss_curves(logs())
    return plots.score_plot(results_table(experiment()), "EPE mean (mm)")


KINDS = ["pck", "distances", "losses", "scores"]


def words(svg: str) -> str:
    return " | ".join("".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_figure_is_whole_the_same_twice_and_in_the_colour_of_the_page(kind):
    svg = draw(kind)
    assert svg == draw(kind)
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox")
    assert "currentColor" in svg
    assert "metadata" not in svg
    assert "#ffffff" not in svg


def test_pck_plot_names_curves_protocol_and_unit_and_dashes_baselines():
    svg = draw("pck")
    for text in ("mean pose", "all of ge_realworld (200 samples)", PROTOCOL, "error threshold (mm)"):
        assert text in words(svg)
    dashed = [path for path in ET.fromstring(svg).iter(f"{SVG}path") if "stroke-dasharray" in path.get("style", "")]
    assert dashed
    assert all("#8c8c8c" in path.get("style", "") for path in dashed)


def test_the_settings_of_matplotlib_are_left_as_they_were():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    draw("pck")
    assert dict(mpl.rcParams) == before


def test_histogram_states_medians_and_counts():
    text = words(draw("distances"))
    assert "nearest source: median 0.030 (n = 50)" in text
    assert "random pairs: median 0.110 (n = 500)" in text
    assert words(plots.distance_histogram(np.zeros(3), np.zeros(0)))


def test_names_are_taken_literally():
    text = words(draw("losses"))
    assert "<depth> $x_1$" in text
    assert "two & three" in text


def test_losses_of_an_empty_log_draw():
    ET.fromstring(plots.loss_curves({"killed at once": []}))


def test_score_plot_says_which_way_is_better():
    assert "EPE mean (mm), lower is better" in words(draw("scores"))
