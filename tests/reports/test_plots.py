from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.figure import Figure
from scipy import stats

from handsynth.imaging.codecs import decode_color
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
    assert "random source: median" in words(plots.distance_histogram(np.ones(3), np.ones(3), match="random"))


def test_names_are_taken_literally():
    text = words(draw("losses"))
    assert "<depth> $x_1$" in text
    assert "two & three" in text


def test_losses_of_an_empty_log_draw():
    ET.fromstring(plots.loss_curves({"killed at once": []}))


def test_score_plot_says_which_way_is_better():
    assert "EPE mean (mm), lower is better" in words(draw("scores"))


def distance_panels(noise: float):
    generator = np.random.default_rng(0)
    distances = generator.uniform(0.01, 0.2, 100)
    errors = 10 + 100 * distances + noise * generator.normal(size=100)
    errors[:5] = np.nan
    return distances, [
        plots.DistancePanel("EPE mean (mm)", "Spearman 0.9", errors, ("real images", np.full(100, 8.0))),
        plots.DistancePanel("L1", "Spearman $x_1$", np.full(100, 0.1)),
    ]


def test_distance_plot_is_a_picture_of_its_points_the_same_twice():
    distances, panels = distance_panels(noise=1.0)
    png = plots.distance_plot(distances, panels, PROTOCOL)
    picture = decode_color(png, "plot")
    assert png == plots.distance_plot(distances, panels, PROTOCOL)
    assert (picture[0, 0] == 255).all()
    assert picture.shape[0] > decode_color(plots.distance_plot(distances, panels[:1], PROTOCOL), "plot").shape[0]
    assert png != plots.distance_plot(distances, distance_panels(noise=2.0)[1], PROTOCOL)


def test_running_mean_is_that_of_a_tenth_of_the_pairs_and_leaves_gaps_out():
    distances, (panel, _) = distance_panels(noise=1.0)
    axes = Figure().add_subplot()
    plots._running_mean(axes, distances, panel.scores, "mean", color="black")
    at, mean = axes.lines[0].get_data()
    order = np.argsort(distances[5:])
    first = order[:9]
    assert len(at) == 95 - 9 + 1
    assert at[0] == pytest.approx(distances[5:][first].mean())
    assert mean[0] == pytest.approx(panel.scores[5:][first].mean())
    band = axes.collections[0].get_paths()[0].vertices
    half = stats.t.ppf(0.975, 8) * panel.scores[5:][first].std(ddof=1) / 3
    start = band[np.isclose(band[:, 0], at[0])][:, 1]
    assert (start.min(), start.max()) == pytest.approx((mean[0] - half, mean[0] + half))


def test_a_few_pairs_have_no_running_mean():
    axes = Figure().add_subplot()
    plots._running_mean(axes, np.linspace(0, 1, 4), np.ones(4), "mean", color="black")
    assert not axes.lines
    assert plots.distance_plot(np.linspace(0, 1, 3), [plots.DistancePanel("L1", "", np.ones(3))], "few")
