"""The ablation: five variants that differ in what they should, two of one generator; resumed for nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest

from handsynth.errors import UsageError
from handsynth.runtime.settings import pretty_json
from handsynth.stages import ablate as stage
from handsynth.stages.ablate import SCORES, VARIANTS, ablate, ablation_frame
from handsynth.stages.workspace import Workspace
from handsynth.training import compilation
from handsynth.training.run import read_run
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, make_workspace

SETTINGS = (*(f"mmhand.{text}" for text in GENERATOR), *(f"hpm3d.{text}" for text in ESTIMATOR))
OPTIONS: dict[str, Any] = {
    "store": "hands",
    "alpha": 0.5,
    "steps": 2,
    "generator_steps": 1,
    "settings": SETTINGS,
    "device": "cpu",
    "workers": 1,
}
PREFIX = "hands-ablation-0.5"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace in which the ablation ran once."""
    space = make_workspace(tmp_path_factory.mktemp("ablation"), count=16)
    ablate(**OPTIONS, workspace=space)
    return space


def test_a_row_per_variant(space: Workspace) -> None:
    frame = ablation_frame(space, space.store("hands"), 0.5)
    assert frame["variant"].tolist() == ["a", "b", "c", "d", "e"] == list(VARIANTS)
    assert set(frame["seed"]) == {0}
    assert frame[list(SCORES)].notna().all(axis=None)
    assert (frame["preset"] == "tiny").all()
    assert (frame["steps"] == 2).all()
    assert (frame["generator_steps"] == 1).all()
    pd.testing.assert_frame_equal(pd.read_csv(space.root / "runs" / f"{PREFIX}-tiny.csv"), frame)


def test_variants_are_those_of_the_paper(space: Workspace) -> None:
    runs = {letter: read_run(space.run(f"{PREFIX}-{letter}-mmhand-tiny")) for letter in "abcd"}
    switches = ("pose_input", "attention", "depth_stream", "curriculum")
    assert {letter: tuple(info.settings[name] for name in switches) for letter, info in runs.items()} == {
        "a": ("contour", False, False, False),
        "b": ("contour", True, False, False),
        "c": ("contour", True, True, False),
        "d": ("contour", True, True, True),
    }
    rest = [{name: value for name, value in info.settings.items() if name not in switches} for info in runs.values()]
    assert all(settings == rest[0] for settings in rest)
    reduced = split_store(space.store("hands"), 0.5).hash
    assert {info.reduced_set for info in runs.values()} == {reduced}


def test_each_estimator_gets_its_own_images_in_the_same_poses(space: Workspace) -> None:
    runs = {letter: read_run(space.run(f"{PREFIX}-{letter}-hpm3d-tiny")) for letter in VARIANTS}
    assert len({info.added.hash for info in runs.values() if info.added}) == 5
    stores = {letter: space.store(info.added.name) for letter, info in runs.items() if info.added}
    plans = {letter: store.info.plan.settings for letter, store in stores.items()}
    assert [plans[letter]["match"] for letter in VARIANTS] == ["random"] * 4 + ["nearest"]
    assert plans["d"]["checkpoint"] == plans["e"]["checkpoint"]
    assert len({plan["checkpoint"] for plan in plans.values()}) == 4
    targets = [store.column("target_slot").tolist() for store in stores.values()]
    assert all(slots == targets[0] for slots in targets)
    assert stores["e"].column("pose_distance").mean() < stores["d"].column("pose_distance").mean()
    assert not (space.root / "runs" / f"{PREFIX}-e-mmhand-tiny").exists()


def test_the_same_command_again_trains_and_makes_nothing(space: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in space.root.rglob("*") if path.is_file()}
    path = ablate(**OPTIONS, workspace=space)
    after = {path: path.stat().st_mtime_ns for path in space.root.rglob("*") if path.is_file()}
    assert {place for place in after if after[place] != before.get(place)} == {path}


def test_runs_of_other_lengths_are_not_put_in_one_table(space: Workspace) -> None:
    run = space.run(f"{PREFIX}-a-hpm3d-tiny")
    record = (run / "run.json").read_bytes()
    (run / "run.json").write_bytes(pretty_json(msgspec.structs.replace(read_run(run), steps=3)))
    try:
        with pytest.raises(UsageError, match="equal steps, found tiny, 3 and 1 steps; tiny, 2 and 1 steps"):
            ablation_frame(space, space.store("hands"), 0.5)
    finally:
        (run / "run.json").write_bytes(record)


def test_generated_stores_may_be_deleted(space: Workspace, tmp_path: Path) -> None:
    shutil.copytree(space.root, tmp_path / "copy")
    copy = Workspace(tmp_path / "copy")
    for store in set(copy.store_names()) - {"hands"}:
        shutil.rmtree(copy.root / "stores" / store)
    data = copy.store("hands")
    pd.testing.assert_frame_equal(ablation_frame(copy, data, 0.5), ablation_frame(space, data, 0.5))
    shutil.rmtree(copy.run(f"{PREFIX}-d-mmhand-tiny"))
    assert ablation_frame(copy, data, 0.5)["variant"].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("options", [{"steps": 3}, {"generator_steps": 3}])
def test_other_lengths_are_refused_before_anything_is_trained(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(stage, "train", None)
    with pytest.raises(UsageError, match="expected 2 and 1 steps of estimator and generator"):
        ablate(**OPTIONS | options, seeds=(1,), workspace=space)


def test_compiled_and_eager_trainings_are_not_put_in_one_table(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "train", None)
    monkeypatch.setattr(compilation, "can_compile", lambda where: True)
    with pytest.raises(
        UsageError, match=f"compiled trainings in one table, found eager {PREFIX}-a-.*--compile off, or"
    ):
        ablate(**OPTIONS, compile="on", workspace=space)


@pytest.mark.parametrize(("asked", "compiled"), [("auto", "off"), ("off", "off"), ("on", "on")])
def test_everything_is_compiled_alike(
    tmp_path: Path, asked: str, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def noted(*_: object, compile: str, **__: object) -> Path:
        seen.append(compile)
        return tmp_path / "made"

    monkeypatch.setattr(compilation, "can_compile", lambda where: True)
    monkeypatch.setattr(stage, "train", noted)
    monkeypatch.setattr(stage, "augment", noted)
    monkeypatch.setattr(stage, "scores_of", lambda run: "some")
    ablate(**OPTIONS, compile=asked, workspace=make_workspace(tmp_path, count=8))
    assert seen == [compiled] * 15


def test_of_what_was_not_run_there_are_no_rows(space: Workspace) -> None:
    data = space.store("hands")
    assert ablation_frame(space, data, 0.4).empty
    assert ablation_frame(space, data, 0.5, "small").empty
    assert set(ablation_frame(space, data, 0.4)) >= {"variant", "seed", *SCORES}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 1.0}, "a share between 0 and 1, found 1"),
        ({"seeds": ()}, "at least one seed"),
        ({"settings": ("batch=2",)}, "SYSTEM.key=value with one of mmhand, hpm3d, found 'batch=2'"),
        ({"settings": ("mmhand.batches=2",)}, "batches"),
        ({"preset": "huge"}, "one of the presets"),
        ({"steps": 0}, "at least 1 step, found 0 in --steps"),
        ({"generator_steps": 0}, "at least 1 step, found 0 in --generator-steps"),
        ({"workers": 0}, "at least 1 worker, found 0 in --workers"),
        ({"compile": "yes"}, "one of auto, on, off, found 'yes' in --compile"),
    ],
)
def test_wrong_use_is_told_before_anything_is_trained(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    space = make_workspace(tmp_path, count=8)
    with pytest.raises(UsageError, match=words):
        ablate(**OPTIONS | options, workspace=space)
    assert not space.run_names()


def test_a_dry_run_makes_nothing(tmp_path: Path) -> None:
    space = make_workspace(tmp_path, count=8)
    assert not ablate(**OPTIONS, dry_run=True, workspace=space).exists()
    assert not (tmp_path / "runs").exists()
