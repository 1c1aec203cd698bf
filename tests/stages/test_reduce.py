"""The reduction experiment: which cells, in which order, made once, and what is said of those that failed or wait."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from handsynth import cli
from handsynth.errors import HandsynthError, MissingError, UsageError
from handsynth.stages import cells as making
from handsynth.stages.augment import augment
from handsynth.stages.budget import Costs, choose, seconds_of
from handsynth.stages.cell_work import Work
from handsynth.stages.cells import Cell, Draw, Images, Judge, Part, Recipe, groups_of, weights_seed_of
from handsynth.stages.present import Present
from handsynth.stages.reduce import reduce
from handsynth.stages.reduction import reduction_frame
from handsynth.stages.workspace import Workspace
from handsynth.training import compilation
from handsynth.training.run import read_run
from handsynth.training.splits import split_store
from tests.hands import make_samples
from tests.stages.small import ESTIMATOR, GENERATOR, make_workspace, tree
from tests.stages.test_leaks import Reads
from tests.stores import make_store

SETTINGS = [f"hpm3d.{text}" for text in ESTIMATOR] + [f"mmhand.{text}" for text in GENERATOR]
SMALL: dict[str, Any] = {"steps": 1, "generator_steps": 1, "settings": SETTINGS, "workers": 1}
FULL, HALF = Draw(1.0, False, 0), Draw(0.5, False, 0)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which two arms are measured at one share."""
    space = make_workspace(tmp_path_factory.mktemp("reduce"), count=16)
    path = reduce("hands", alphas=[0.5], compare_draws=True, workspace=space, **SMALL)
    assert path.name == "hands-reduction.html"
    return space


def recipe(space: Workspace, **changes: Any) -> Recipe:
    settings = tuple(
        (name, tuple(text.removeprefix(f"{name}.") for text in SETTINGS if text.startswith(name)))
        for name in ("hpm3d", "mmhand")
    )
    values: dict[str, Any] = {
        "estimators": ("hpm3d",),
        "steps": 1,
        "generator_steps": 1,
        "settings": settings,
        "workers": 1,
    }
    return Recipe(space, space.store("hands").address, **values | changes)


def test_every_cell_is_measured_beside_the_trivial_answers(space: Workspace) -> None:
    frame = reduction_frame(space, space.store("hands"))
    named = [
        "estimator",
        "generator",
        "alpha",
        "contiguous",
        "seed",
        "epe_mean_mm",
        "auc_20_50_tail",
        "samples",
        "added",
    ]
    assert list(frame.columns)[:9] == named
    trained = frame[~frame["trivial"]]
    arms = set(zip(trained["generator"], trained["alpha"], trained["contiguous"], strict=True))
    assert arms == {
        ("none", 1.0, False),
        *((generator, 0.5, drawn) for generator in ("none", "mmhand") for drawn in (False, True)),
    }
    assert (trained.loc[trained["generator"] == "mmhand", "added"] > 0).all()
    assert (frame.loc[frame["generator"] == "none", "added"] == 0).all()
    trivial = frame[frame["trivial"]]
    assert set(trivial["estimator"]) == {"mean pose", "nearest training pose (oracle)"}
    assert len(trivial) == 2 * 3, "one of each per reduced set"
    assert np.isfinite(frame["epe_mean_mm"]).all()
    page = (space.root / "runs" / "hands-reduction.html").read_text()
    for words in ("Error by share", "50 % (mm)", "100 % (mm)", "Whole sequences instead of a random draw", "+ mmhand"):
        assert words in page


def test_what_is_there_is_not_made_again(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    before = tree(space.root)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(making, "evaluate", refuse)
    monkeypatch.setattr("handsynth.training.loop.train", refuse)
    monkeypatch.setattr("handsynth.training.loop.estimate_seconds", refuse)
    reduce("hands", alphas=[0.5], compare_draws=True, budget="1s", workspace=space, **SMALL | {"workers": None})
    assert tree(space.root) == before


def test_the_command_gives_the_numbers_as_json(space: Workspace) -> None:
    command = ["reduce", "hands", "--alpha", "0.5", "--compare-draws", "--steps", "1", "--generator-steps", "1"]
    command += [
        "--workers",
        "1",
        "--workspace",
        str(space.root),
        *(word for text in SETTINGS for word in ("--set", text)),
    ]
    found = CliRunner().invoke(cli.app, [*command, "--json"], catch_exceptions=False)
    assert found.exit_code == 0
    cells = json.loads(found.stdout)["cells"]
    frame = reduction_frame(space, space.store("hands"))
    assert [cell["epe_mean_mm"] for cell in cells] == frame["epe_mean_mm"].tolist()
    text = CliRunner().invoke(cli.app, command, catch_exceptions=False).stdout
    (line,) = [line for line in text.splitlines() if line.split()[:4] == ["hpm3d", "mmhand", "0.5", "True"]]
    assert line.split()[5] == f"{cells[-1]['epe_mean_mm']:.4g}"


def test_what_is_there_costs_nothing_and_the_rest_something(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(recipe(space), space.store("hands"), HALF)
    there = [FULL, HALF, Draw(0.5, True, 0)]
    assert [costs(Cell(draw, "none", "hpm3d")) for draw in there] == [0, 0, 0]
    assert costs(Images(HALF, "mmhand")) == costs(Cell(HALF, "mmhand", "hpm3d")) == 0
    missing = Draw(0.5, False, 1)
    reads = Reads(space.store("hands").address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        one = costs(Cell(missing, "none", "hpm3d"))
        parts: list[Part] = [
            Images(missing, "mmhand"),
            Cell(missing, "mmhand", "hpm3d"),
            Images(HALF, "simulator"),
            Judge(HALF),
        ]
        assert all(costs(part) > 0 for part in (Cell(missing, "none", "hpm3d"), *parts))
    assert reads.pixels <= set(split_store(space.store("hands"), 0.5).reduced.tolist())
    ten = Costs(recipe(space, steps=1000), space.store("hands"), HALF)
    assert ten(Cell(HALF, "none", "hpm3d")) > 5 * one, "other steps are another experiment"


def test_a_failed_cell_stops_no_other_and_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_workspace(tmp_path, count=16)
    arms: dict[str, Any] = {"alphas": [0.5], "generators": ["mmhand", "none"], "workspace": space, **SMALL}

    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(making, "augment", broken)
        with pytest.raises(HandsynthError, match=r"1 that failed, the first: hpm3d, alpha 0\.5, seed 0, mmhand: no"):
            reduce("hands", **arms)
    frame = reduction_frame(space, space.store("hands"))
    assert frame.loc[~frame["trivial"], "generator"].tolist() == ["none", "none"]
    assert "out of memory" in (space.root / "runs" / "hands-reduction.html").read_text()
    reduce("hands", **arms)
    frame = reduction_frame(space, space.store("hands"))
    assert frame.loc[~frame["trivial"], "generator"].tolist() == ["none", "none", "mmhand"]


def test_a_judge_shares_the_reduced_set_and_nothing_else(tmp_path: Path) -> None:
    space = make_workspace(tmp_path, count=16)
    reduce("hands", alphas=[0.5], generators=["mmhand"], most_mm=40.0, workspace=space, **SMALL)
    images = "mmhand-judged-40mm-judge-hpm3d-0.5"
    judge, scored = (read_run(space.run(name)) for name in ("hands-judge-hpm3d-0.5", f"hands-hpm3d-0.5-add-{images}"))
    assert judge.reduced_set == scored.reduced_set
    assert judge.weights_seed == weights_seed_of(HALF)
    made = space.store(f"hands-0.5-{images}")
    assert made.info.plan.settings["judge"]["most_mm"] == 40.0
    assert scored.added_samples == len(made.kept)
    costs = Costs(recipe(space, most_mm=40.0), space.store("hands"), HALF)
    assert [costs(part) for part in (Judge(HALF), Images(HALF, "mmhand"), Cell(HALF, "mmhand", "hpm3d"))] == [0, 0, 0]
    assert Costs(recipe(space, most_mm=20.0), space.store("hands"), HALF)(Images(HALF, "mmhand")) > 0
    names = {recipe(space, preset=preset).judge_name(HALF) for preset in (None, "tiny", "small")}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": 2}, "another steps in .*hands-hpm3d; give another --workspace"),
        ({"generator_steps": 2}, "another steps in .*hands-mmhand-0.5; give"),
        ({"settings": [*SETTINGS, "hpm3d.batch=2"]}, "another settings in .*hands-hpm3d; give"),
        ({"compile": "on"}, "another compiled in .*hands-hpm3d; give"),
    ],
)
def test_other_settings_under_the_same_names_are_refused_first(
    space: Workspace, changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(space.root)
    monkeypatch.setattr(compilation, "can_compile", lambda where: True)
    monkeypatch.setattr(Work, "spread", None)
    with pytest.raises(UsageError, match=words):
        reduce("hands", alphas=[0.3, 0.5], workspace=space, **SMALL | changes)
    assert tree(space.root) == before


def test_images_of_other_settings_are_refused_first(space: Workspace, tmp_path: Path) -> None:
    shutil.copytree(space.root / "stores", tmp_path / "stores")
    there = Present(recipe(replace(space, root=tmp_path), generator_steps=2), space.store("hands"))
    with pytest.raises(UsageError, match=r"images of the same .* another steps in .*hands-0\.5-mmhand; give"):
        there.refuse_others([Images(HALF, "mmhand")])
    there = Present(recipe(replace(space, root=tmp_path), compile="on"), space.store("hands"))
    with pytest.raises(UsageError, match=r"images of the same .* another compiled in .*hands-0\.5-mmhand; give"):
        there.refuse_others([Images(HALF, "mmhand")])


def test_runs_of_other_names_are_not_read(space: Workspace, tmp_path: Path) -> None:
    shutil.copytree(space.root, tmp_path / "copy")
    copy = Workspace(tmp_path / "copy")
    (copy.root / "runs" / "a").mkdir()
    (copy.root / "runs" / "a" / "run.json").write_text("{")
    (copy.root / "runs" / "hands-hpm3d").rename(copy.root / "runs" / "renamed")
    costs = Costs(recipe(copy), copy.store("hands"), HALF)
    assert costs(Cell(HALF, "none", "hpm3d")) == 0
    assert costs(Cell(FULL, "none", "hpm3d")) > 0


@pytest.mark.parametrize(("workers", "asked", "compiled"), [(None, "auto", "off"), (1, "auto", "off"), (1, "on", "on")])
def test_arms_are_trained_alike(
    tmp_path: Path, workers: int | None, asked: str, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = make_workspace(tmp_path, count=16)
    record = tmp_path / "runs" / "hands-reduction.json"
    record.parent.mkdir()
    record.write_text("of an earlier experiment")
    seen: list[tuple[str, str, int]] = []

    def broken(system: str, *_: object, compile: str, **__: object) -> Path:
        seen.append((system, compile, torch.get_num_threads()))
        raise RuntimeError("out of memory")

    monkeypatch.setattr(making, "train", broken)
    monkeypatch.setattr(compilation, "can_compile", lambda where: True)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(HandsynthError, match="expected 3 finished cells, found 3 that failed"):
            reduce("hands", alphas=[0.5], compile=asked, workspace=space, **SMALL | {"workers": workers})
    finally:
        torch.set_num_threads(before)
    threads = 1 if workers else 2
    assert set(seen) == {("hpm3d", compiled, threads), ("mmhand", compiled, threads)}
    assert record.read_text() == "of an earlier experiment", "what failed takes no record away"


def test_images_of_all_arms_are_made_as_their_networks_are_trained(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(making, "train", lambda *_, compile, **__: asked.append(compile))
    monkeypatch.setattr(making, "augment", lambda *_, compile, **__: asked.append(compile))
    for mode in ("off", "on"):
        recipe(space, compile=mode).make(Images(HALF, "mmhand"), None)
    assert asked == ["off", "off", "on", "on"]


def test_a_wrong_scheduler_is_no_cell_s_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_workspace(tmp_path, count=16)

    def unheard(*_: object, **__: object) -> None:
        raise MissingError("expected a Dask scheduler")

    monkeypatch.setattr("handsynth.stages.cell_work.run_tasks", unheard)
    with pytest.raises(MissingError, match="a Dask scheduler"):
        reduce("hands", alphas=[0.5], workspace=space, **SMALL | {"workers": None, "scheduler": "tcp://nowhere:1"})


def test_a_budget_that_nothing_fits_into_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = make_workspace(tmp_path, count=16)
    monkeypatch.setattr(Costs, "__call__", lambda *_: 60.0)
    arms: dict[str, Any] = {"alphas": [0.5], "workspace": space, **SMALL | {"workers": None}}
    with pytest.raises(UsageError, match="a budget that a cell fits into, found 1s in --budget"):
        reduce("hands", budget="1s", **arms)
    monkeypatch.setattr(Work, "one_by_one", lambda self, cells, *_: list(cells))
    with pytest.raises(UsageError, match="found 2h: things took longer than estimated"):
        reduce("hands", budget="2h", **arms)
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}


def test_draws_without_test_or_held_out_samples_are_refused(tmp_path: Path) -> None:
    hands = make_samples(16)
    make_store(tmp_path / "stores" / "untested", [replace(hand, split="train") for hand in hands], size=48)
    halves = [replace(hand, split="test" if i < 4 else "train", sequence=f"{i % 2}") for i, hand in enumerate(hands)]
    make_store(tmp_path / "stores" / "halves", halves, size=48)
    space = Workspace(tmp_path)
    with pytest.raises(UsageError, match=r"a test split, found none in .*untested"):
        reduce("untested", workspace=space, **SMALL)
    with pytest.raises(UsageError, match=r"held-out training samples, found none: .* in --alpha 0\.8"):
        reduce("halves", alphas=[0.8], contiguous=True, workspace=space, **SMALL)
    with pytest.raises(UsageError, match=r"held-out training samples, found none: .* in --alpha 0\.8"):
        augment("halves", 0.8, contiguous=True, workspace=space)
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}


def test_shares_other_than_asked_for_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hands = enumerate(make_samples(16))
    halves = [replace(hand, split="test" if i < 4 else "train", sequence=f"{i % 2}") for i, hand in hands]
    make_store(tmp_path / "stores" / "hands", halves, size=48)
    lines: list[str] = []
    monkeypatch.setattr("handsynth.runtime.progress.say", lines.append)
    shares: dict[str, Any] = {"alphas": [0.2, 0.4], "generators": ["none"], "contiguous": True}
    reduce("hands", dry_run=True, workspace=Workspace(tmp_path), **shares, **SMALL)
    said = "\n".join(lines)
    assert "The draw of alpha 0.2 in whole sequences, seed 0 holds 50 % of the training samples." in said
    assert "and of alpha 0.4 in whole sequences, seed 0 are one: 50 % of the training samples." in said


@pytest.mark.slow
def test_cells_on_workers_give_the_same(tmp_path: Path) -> None:
    frames = []
    for name, workers in (("one", 1), ("two", 2)):
        space = make_workspace(tmp_path / name, count=16)
        reduce("hands", alphas=[0.5], workspace=space, **SMALL | {"workers": workers})
        frames.append(reduction_frame(space, space.store("hands")))
    assert frames[0].equals(frames[1])


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(tmp_path: Path) -> None:
    space = make_workspace(tmp_path, count=16)
    command = ["reduce", "--alpha", "0.5", "--steps", "1", "--generator-steps", "1", "--dry-run", "--single", "patn"]
    command += ["--alpha", "0.5", "--seed", "0", "--seed", "0"]
    command += ["--workspace", str(tmp_path), *(word for text in SETTINGS for word in ("--set", text))]
    done = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert "3 cells to be made, about" in done.stderr
    assert "hpm3d, alpha 0.5, seed 0, mmhand (with images by mmhand, alpha 0.5, seed 0)" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}
    with pytest.raises(MissingError, match="a measured reduction"):
        reduction_frame(space, space.store("hands"))


def test_a_dry_run_shows_no_earlier_experiment(space: Workspace) -> None:
    command = ["reduce", "--alpha", "0.5", "--steps", "1", "--generator-steps", "1", "--dry-run"]
    command += ["--workspace", str(space.root), *(word for text in SETTINGS for word in ("--set", text))]
    done = CliRunner().invoke(cli.app, command, catch_exceptions=False)
    assert done.stdout.split() == [str(space.root / "runs" / "hands-reduction.html")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generators": ["nosuch"]}, "names among none, .*simulator"),
        ({"estimators": ["mmhand"]}, "names among hpm3d"),
        ({"single": ["nosuch"]}, "names among none, .*simulator"),
        ({"seeds": []}, "at least one seed"),
        ({"alphas": [1.0]}, "between 0 and 1"),
        ({"budget": "soon"}, "a time like 2h"),
        ({"budget": "2h", "workers": 1}, "one cell after the other, found --workers in --budget 2h"),
        ({"budget": "2h", "scheduler": "tcp://nowhere:1"}, "found --scheduler"),
        ({"workers": 0}, "at least 1 worker"),
        ({"steps": 0}, "at least 1 step, found 0 in --steps"),
        ({"generator_steps": 0}, "at least 1 step, found 0 in --generator-steps"),
        ({"most_mm": 0.0}, "above 0 mm"),
        ({"preset": "huge"}, "one of the presets"),
        ({"settings": ["batch=4"]}, "SYSTEM.key=value with one of hpm3d, "),
        ({"settings": ["nosuch.batch=4"]}, "SYSTEM.key=value"),
        ({"settings": ["mmhand.nosuch=4"]}, "one of the settings"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_trained(
    space: Workspace, changes: dict[str, Any], words: str
) -> None:
    before = {path.name for path in (space.root / "runs").iterdir()}
    with pytest.raises(UsageError, match=words):
        reduce("hands", workspace=space, **changes)
    assert {path.name for path in (space.root / "runs").iterdir()} == before


def test_a_store_of_another_content_has_no_reduction(space: Workspace, tmp_path: Path) -> None:
    other = make_workspace(tmp_path, count=8)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "hands-reduction.json").write_bytes(
        (space.root / "runs" / "hands-reduction.json").read_bytes()
    )
    with pytest.raises(UsageError, match="one of another content"):
        reduction_frame(other, other.store("hands"))


def test_one_seed_of_everything_comes_first() -> None:
    groups = groups_of([0.2, 0.4], ["patn", "none"], ["a", "b"], [0, 1], ["patn"], [False])
    shown = [(cells[0].draw.seed, cells[0].draw.alpha, cells[0].generator) for cells in groups]
    assert shown == [
        (0, 1.0, "none"), (0, 0.2, "none"), (0, 0.4, "none"), (0, 0.2, "patn"), (0, 0.4, "patn"),
        (1, 1.0, "none"), (1, 0.2, "none"), (1, 0.4, "none"),
    ]  # fmt: skip
    assert [cell.estimator for cell in groups[0]] == ["a", "b"]


def test_a_budget_takes_whole_groups_and_pays_shared_parts_once() -> None:
    groups = groups_of([0.2], ["none", "mmhand", "pix2pix"], ["a", "b"], [0], [], [False])
    made = Recipe(Workspace(Path()), "hands", ("a", "b"))

    def cost(part: object) -> float:
        return {"mmhand": 100.0, "pix2pix": 10.0}[part.generator] if isinstance(part, Images) else 1.0

    def fits(budget: float) -> list[str]:
        taken, left = choose(groups, made.chain, cost, budget)
        assert {*taken, *left} == {cell for group in groups for cell in group}
        return [cell.generator for cell in taken]

    assert fits(1.0) == []
    assert fits(4.0) == ["none"] * 4
    assert fits(15.9) == ["none"] * 4
    assert fits(16.0) == ["none"] * 4 + ["pix2pix"] * 2  # mmhand's two cells would cost 102
    assert fits(118.0) == ["none"] * 4 + ["mmhand"] * 2 + ["pix2pix"] * 2
    everything, nothing = choose(groups, made.chain, lambda part: 0.0, 1e-9)
    assert len(everything) == 8, "what is there already costs nothing"
    assert nothing == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("600", 600), ("0.5h", 1800)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "soon", "-2h", "0", "2h 30", "1h30"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="a time like"):
        seconds_of(text)
