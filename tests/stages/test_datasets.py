"""The page about a dataset: every format has one, and it tells what of a download is here."""

from __future__ import annotations

from pathlib import Path

import pytest

from handsynth.errors import UsageError
from handsynth.formats import FORMATS
from handsynth.stages.datasets import count_files, datasets
from handsynth.stages.summary import as_text
from tests.formats.samples import simulated


def test_the_list_names_every_format(tmp_path: Path) -> None:
    (tmp_path / "data" / "stb").mkdir(parents=True)
    page = datasets(workspace=tmp_path)
    assert list(page) == sorted(FORMATS)
    assert page["stb"].endswith("(here: data/stb)")
    assert page["rhd"].endswith("(not here)")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_page_says_what_a_newcomer_needs(name: str, tmp_path: Path) -> None:
    page = datasets(name, workspace=tmp_path)
    for key in ("name", "title", "summary", "paper", "licence", "1. download", "4. read it", "splits", "kept together"):
        assert page[key], key
    assert page["4. read it"] == f"handsynth ingest {name}"
    assert "nothing: there is no folder" in page["3. what is there now"]
    assert Path(page["all numbers"]).is_file()
    assert all(len(line) < 200 for line in as_text(page).splitlines() if not line.startswith("licence"))


def test_what_lacks_is_counted(tmp_path: Path) -> None:
    from handsynth.formats import get_format

    stb = get_format("stb")
    stb.write(tmp_path / "data/stb", simulated("stb_sk"), stb.options_type())
    (tmp_path / "data/stb/images/B1Counting/SK_color_0.png").unlink()
    found = datasets("stb", workspace=tmp_path)["3. what is there now"]
    assert found["images/B*/SK_color_*.png or B*/SK_color_*.png"] == "3 of 18,000 <- incomplete"
    assert found["labels/*_BB.mat"] == "0 of 12 <- missing"
    assert found["it can be read"].startswith("yes")
    (tmp_path / "empty").mkdir()
    assert datasets("stb", tmp_path / "empty")["3. what is there now"]["it can be read"].startswith("no: expected")


def test_another_folder_is_named_in_the_command(tmp_path: Path) -> None:
    assert datasets("stb", tmp_path / "here")["4. read it"] == f"handsynth ingest stb {tmp_path / 'here'}"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="nosuch"):
        datasets("nosuch")


def test_patterns_stay_within_names(tmp_path: Path) -> None:
    for place in ("a/1.png", "a/2.png", "a/deep/3.png", "b/4.png", "b/5.txt"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text("")
    assert count_files(tmp_path, ["*/*.png"]) == 3
    assert count_files(tmp_path, ["a/*.png", "b/*.txt"]) == 3
    assert count_files(tmp_path, ["a/deep/3.png"]) == 1
    assert count_files(tmp_path, ["a/deep", "none/*.png", "a/1.png/x"]) == 0
