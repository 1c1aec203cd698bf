from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from handsynth.reports.plots import alpha_plot
from handsynth.reports.reduction import alpha_lines, alpha_table, draws_table
from handsynth.reports.tables import to_markdown

PROTOCOL = "mm, camera space"


def cells(contiguous_too: bool = False) -> pd.DataFrame:
    """Two arms at two shares with three seeds, the full set, and one trivial answer."""
    rows = [("hpm3d", "none", 1.0, False, seed, 10.0 + seed, False) for seed in range(3)]
    draws = (False, True) if contiguous_too else (False,)
    for alpha, drawn, seed in itertools.product((0.2, 0.4), draws, range(3)):
        worse = 5.0 if drawn else 0.0
        rows.append(("mean pose", "none", alpha, drawn, seed, 40.0, True))
        rows.append(("hpm3d", "none", alpha, drawn, seed, 40 - 50 * alpha + seed + worse, False))
        rows.append(("hpm3d", "mmhand", alpha, drawn, seed, 35 - 50 * alpha + seed + worse, False))
    names = ["estimator", "generator", "alpha", "contiguous", "seed", "epe_mean_mm", "trivial"]
    return pd.DataFrame(rows, columns=names)


def test_a_column_per_share_a_row_per_arm() -> None:
    table = alpha_table(cells(), PROTOCOL)
    assert table["training data"].tolist() == ["", "reduced set alone", "+ mmhand"]
    assert table["20 % (mm)"].tolist() == pytest.approx([40, 31, 26])
    assert table["100 % (mm)"].isna().tolist() == [True, False, True]
    # 4.303 / sqrt(3): the t interval of three numbers one apart
    assert table["20 % (mm) ±"].tolist()[1] == pytest.approx(2.4841, abs=1e-4)
    text = to_markdown(table)
    assert "**26.00 ± 2.48**" in text
    assert PROTOCOL in text


def test_one_seed_has_no_interval() -> None:
    one = cells().query("seed == 0")
    assert not [name for name in alpha_table(one, PROTOCOL) if str(name).endswith("±")]


def test_curves_join_the_full_set_and_dash_what_is_trivial() -> None:
    lines, trivial = alpha_lines(cells())
    assert trivial == {"mean pose"}
    assert lines["hpm3d, reduced set alone"]["mean"].tolist() == pytest.approx([31, 21, 11])
    svg = alpha_plot(lines, "EPE mean (mm)", trivial)
    assert svg == alpha_plot(lines, "EPE mean (mm)", trivial)
    words = " | ".join("".join(text.itertext()) for text in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"))
    for text in ("share of the training set (%)", "hpm3d, + mmhand", "mean pose"):
        assert text in words


def test_the_draws_are_compared_arm_by_arm() -> None:
    table = draws_table(cells(contiguous_too=True), PROTOCOL)
    assert len(table) == 4
    assert table["difference (mm)"].tolist() == pytest.approx([5] * 4)
    (note,) = table.attrs["notes"]
    assert "+5.00 mm in the mean of 4 arms" in note
    assert "makes them easier" in note
    both = alpha_table(cells(contiguous_too=True), PROTOCOL)
    assert "+ mmhand, whole sequences" in both["training data"].tolist()


def test_draws_that_are_no_easier_are_called_so() -> None:
    frame = cells(contiguous_too=True)
    frame.loc[frame["contiguous"], "epe_mean_mm"] -= 10
    assert "not easier" in draws_table(frame, PROTOCOL).attrs["notes"][0]


def test_the_draws_are_compared_on_the_seeds_that_both_have() -> None:
    frame = cells(contiguous_too=True)
    frame = frame[~frame["contiguous"] | (frame["seed"] == 2)]
    table = draws_table(frame, PROTOCOL)
    assert table["difference (mm)"].tolist() == pytest.approx([5] * 4)
    assert table["random draw (mm)"].tolist() == pytest.approx([32, 22, 27, 17])


@pytest.mark.parametrize("apart", [[5.0], [-3.0, 1.0, 4.0], [3.0, -1.0, -4.0], [0.0, 0.0]])
def test_what_may_be_chance_has_no_cause(apart: list[float]) -> None:
    arm = {"estimator": "hpm3d", "alpha": 0.2, "seed": 0, "trivial": False}
    rows = [
        arm | {"generator": f"g{at}", "contiguous": drawn, "epe_mean_mm": 30 + (apart[at] if drawn else 0)}
        for at in range(len(apart))
        for drawn in (False, True)
    ]
    (note,) = draws_table(pd.DataFrame(rows), PROTOCOL).attrs["notes"]
    assert note.endswith(", which may be chance.")


def test_one_kind_of_draw_is_not_compared() -> None:
    assert draws_table(cells(), PROTOCOL).empty


def test_the_full_set_stands_in_the_row_of_whole_sequences_where_there_is_no_other() -> None:
    frame = cells(contiguous_too=True)
    frame = frame[frame["contiguous"] | (frame["alpha"] == 1)]
    table = alpha_table(frame, PROTOCOL)
    assert table.loc[table["training data"] == "reduced set alone, whole sequences", "100 % (mm)"].tolist() == [11]
