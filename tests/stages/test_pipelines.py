"""The pipelines of MM-Hand's tables, and what a pipeline file may say of its parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from handsynth import cli
from handsynth.errors import MissingError, StoreError, UsageError
from handsynth.runtime import files
from handsynth.runtime.settings import digest
from handsynth.simulator import SIMULATOR_VERSION, recipes
from handsynth.simulator.recipes import Recipe
from handsynth.simulator.scene import SimulatorSettings
from handsynth.stages import prepare as stage
from handsynth.stages.pipeline import read_pipeline, run
from handsynth.stages.workspace import Workspace
from tests.stages.small import make_workspace, tree

TABLES = ("mmhand_table1", "mmhand_table2", "mmhand_table3")
STORES = {"sim": "bench-v1-mini", "ge_realworld": "ge_realworld", "stb": "stb", "rhd": "rhd"}


@pytest.fixture
def small_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """``bench-v1-mini`` with 24 images of 48 px."""
    settings = SimulatorSettings(
        seed=1, size=48, poses="sequences", clip=4, subjects=4, test_subjects=1, train_moments=16
    )
    small = Recipe(settings, 24, SIMULATOR_VERSION, digest([settings, 24]))
    monkeypatch.setitem(recipes.RECIPES, "bench-v1-mini", small)


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("data", STORES)
def test_the_pipelines_of_the_tables_are_sound_for_all_data(table: str, data: str, tmp_path: Path) -> None:
    path = files.shipped("pipelines") / f"{table}.toml"
    first, *rest = read_pipeline(path, [f"data={data}", "root=somewhere"])
    assert first[0] == "prepare"
    assert first[2]["store"] == STORES[data]
    assert first[2]["root"] == "somewhere"
    assert {arguments["store"] for _, _, arguments in rest} == {STORES[data]}
    assert rest[-1][0] == "paper_table"
    assert f"table{rest[-1][2]['table']}" == table.removeprefix("mmhand_")
    # What is empty is the stage's own default.
    assert not any("preset" in name or "steps" in name for _, _, arguments in rest for name in arguments)
    assert run(table, dry_run=True, workspace=tmp_path).endswith(f"{table}.toml")
    assert not list(tmp_path.iterdir())


def test_the_pipelines_take_what_they_are_told() -> None:
    path = files.shipped("pipelines") / "mmhand_table1.toml"
    settings = ["recipe=bench-v1", "alpha=0.2", "seeds=[0,1]", "single=[patn]", "generator_steps=5", "inception=x.pth"]
    calls = {name: arguments for name, _, arguments in read_pipeline(path, settings)}
    assert calls["prepare"]["store"] == "bench-v1"
    chosen = calls["image_quality"]
    assert (chosen["alpha"], chosen["seeds"], chosen["single"]) == (0.2, [0, 1], ["patn"])
    assert chosen["generator_steps"] == 5
    assert (chosen["store"], chosen["inception"]) == ("bench-v1", "x.pth")
    with pytest.raises(UsageError, match="data = one of sim, ge_realworld, stb, rhd, found 'freihand'"):
        read_pipeline(path, ["data=freihand"])
    with pytest.raises(UsageError, match="--set"):
        read_pipeline(path, ["store=other"])


def test_a_value_that_is_set_has_the_type_of_the_file_s_own() -> None:
    path = files.shipped("pipelines") / "mmhand_table2.toml"

    def reduce(*settings: str) -> dict[str, Any]:
        return next(arguments for name, _, arguments in read_pipeline(path, settings) if name == "reduce")

    for text, seeds in (("1", [1]), ("0, 1,2", [0, 1, 2]), ("[3]", [3])):
        assert reduce(f"seeds={text}")["seeds"] == seeds
    assert reduce("alphas=.4")["alphas"] == [0.4]
    assert reduce("generators=none,mmhand")["generators"] == ["none", "mmhand"]
    assert reduce("generators=[none, mmhand]")["generators"] == ["none", "mmhand"]
    assert reduce('generators=["none"]', "contiguous=true")["contiguous"] is True
    assert "seeds" not in reduce("seeds=")
    assert "steps" not in reduce("steps=")
    (first, *_) = read_pipeline(path, ["data=stb", "root=2024"])
    assert first[2]["root"] == "2024"
    calls = {name: arguments for name, _, arguments in read_pipeline(path.with_name("demo.toml"), ["alpha=.30"])}
    assert (calls["augment"]["alpha"], calls["evaluate"]["run"]) == (0.3, "rhd-hpm3d")
    for text, words in (
        ("seeds=first", r"seeds = a value like 0, found 'first' in --set"),
        ('seeds=["a"]', r"seeds = a value like \[0,1,2\], found"),
        ("seeds=1.5", r"seeds = a list, found \[1.5\] in stage 2"),
        ("contiguous=yes", "contiguous = a value like false, found 'yes' in --set"),
        ("steps=abc", "steps = a whole number, found 'abc' in stage 2"),
        ("steps=1.5", "steps = a whole number, found 1.5 in stage 2"),
    ):
        with pytest.raises(UsageError, match=words):
            reduce(text)


def test_parameters_may_follow_from_another_ones_value(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(
        'n = 2\nkind = "a"\n[when.kind.a]\nout = "few{n}"\n[when.kind.b]\nout = ""\n'
        '[[stage]]\nstage = "simulate"\ncount = "{n}"\nout = "{out}"\n'
    )
    assert read_pipeline(path)[0][2] == {"count": 2, "out": "few2"}
    assert read_pipeline(path, ["n=3"])[0][2] == {"count": 3, "out": "few3"}
    assert read_pipeline(path, ["kind=b"])[0][2] == {"count": 2}
    path.write_text('kind = "a"\n[when.kind.a]\nout = "{m}"\n[[stage]]\nstage = "simulate"\nout = "{out}"\n')
    with pytest.raises(UsageError, match=r"\[when\.kind\.a\]"):
        read_pipeline(path)


@pytest.mark.usefixtures("small_recipe")
def test_prepare_renders_once_and_takes_what_is_there(tmp_path: Path) -> None:
    address = stage.prepare(workers=1, workspace=tmp_path)
    assert address == str(tmp_path / "stores" / "bench-v1-mini")
    before = tree(Path(address))
    assert len(Workspace(tmp_path).store("bench-v1-mini")) == 24
    assert stage.prepare(device="cuda", workers=1, workspace=tmp_path) == address  # there is no GPU; none is needed
    assert tree(Path(address)) == before
    with pytest.raises(UsageError, match="no raw files beside data=sim, which is rendered, found root=raw"):
        stage.prepare(root="raw", workspace=tmp_path)
    with pytest.raises(StoreError, match="the recipe bench-v1, found other data"):
        stage.prepare(recipe="bench-v1", store="bench-v1-mini", workspace=tmp_path)


def test_prepare_takes_a_dataset_s_store_or_its_raw_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingError, match="raw files of stb"):
        stage.prepare("stb", workspace=tmp_path)
    calls = []
    monkeypatch.setattr(stage, "ingest", lambda *arguments, **options: calls.append(arguments))
    stage.prepare("stb", tmp_path / "raw", workspace=tmp_path)
    assert calls == [("stb", tmp_path / "raw", "stb")]
    space = make_workspace(tmp_path)
    assert stage.prepare("made-up", store="hands", workspace=space) == str(tmp_path / "stores" / "hands")
    assert len(calls) == 1
    with pytest.raises(StoreError, match="a store of stb, found other data of made-up"):
        stage.prepare("stb", store="hands", workspace=space)


@pytest.mark.slow
@pytest.mark.usefixtures("small_recipe")
def test_table_1_in_miniature(tmp_path: Path) -> None:
    """Every stage meets the next, and a second run changes nothing."""
    words = ["steps=2", "generator_steps=2"]
    arguments = ["run", "mmhand_table1", "--workspace", str(tmp_path), *(w for text in words for w in ("--set", text))]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    page = tmp_path / "runs" / "bench-v1-mini-table1-0.4.html"
    assert result.stdout.strip().splitlines()[-1] == str(page)
    assert "data:image/png" in page.read_text()
    before = tree(tmp_path / "runs")
    again = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert again.stderr.count("is scored already") == 5 + 3
    assert tree(tmp_path / "runs") == before
