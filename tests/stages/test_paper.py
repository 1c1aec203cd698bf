"""Image quality, figure 5 and the tables in MM-Hand's layout, on a small store."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pandas as pd
import pytest

from handsynth.errors import MissingError, UsageError
from handsynth.generators import get_generator
from handsynth.reports import paper
from handsynth.stages import image_quality as stage
from handsynth.stages import paper_table as tables
from handsynth.stages.image_quality import image_quality
from handsynth.stages.paper_figure import paper_figure
from handsynth.stages.paper_table import paper_table, quality_frame
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.run import read_evaluations, read_run, write_evaluation, write_run
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, make_workspace, tree
from tests.stores import make_store

GENERATORS = ("patn", "mmhand")
OPTIONS: dict[str, Any] = {"alpha": 0.5, "generators": GENERATORS}


def small_train(system: str, *arguments: Any, **options: Any) -> Path:
    """``train`` with networks that take moments."""
    return train(system, *arguments, settings=ESTIMATOR if system == "hpm3d" else GENERATOR, **options)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two generators, trained and scored for a moment."""
    space = make_workspace(tmp_path_factory.mktemp("paper"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "train", small_train)
        folders = image_quality("hands", steps=2, generator_steps=2, workspace=space, **OPTIONS)
    assert [folder.name for folder in folders] == ["hands-patn-0.5", "hands-mmhand-0.5"]
    return space


def test_every_generator_is_scored_by_one_judge_of_all_training_images(space: Workspace) -> None:
    for name in GENERATORS:
        (evaluation,) = read_evaluations(space.run(f"hands-{name}-0.5"))
        assert evaluation.split == "held-out"
        assert "hpm3d (tiny, 2 steps" in evaluation.protocol
        assert "on all of hands (24 samples)" in evaluation.protocol
        assert "pckb" in evaluation.rows[0].values


def test_a_second_run_costs_nothing_and_other_weights_are_scored_anew(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(space.root, tmp_path / "copy")
    copy, calls = Workspace(tmp_path / "copy"), []
    before = tree(copy.root)
    monkeypatch.setattr(stage, "train", small_train)
    monkeypatch.setattr(stage, "evaluate", lambda run, *rest, **options: calls.append(Path(run).name))
    again = partial(image_quality, "hands", steps=2, generator_steps=2, workspace=copy, **OPTIONS)
    again()
    assert not calls
    assert tree(copy.root) == before
    small_train("patn", "hands", alpha=0.5, steps=3, overwrite=True, workspace=copy)
    image_quality("hands", steps=2, generator_steps=3, workspace=copy, alpha=0.5, generators=["patn"])
    assert calls == ["hands-patn-0.5"]
    shutil.rmtree(copy.root / "runs" / "hands-hpm3d")
    calls.clear()
    image_quality("hands", steps=1, generator_steps=2, workspace=copy, alpha=0.5, generators=["mmhand"])
    assert calls == ["hands-mmhand-0.5"]  # another judge


def test_scores_with_inception_satisfy_a_run_without(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(space.root, tmp_path / "copy")
    copy = Workspace(tmp_path / "copy")
    folder = copy.run("hands-patn-0.5")
    (scored,) = read_evaluations(folder)
    scored.rows[0].values["is"] = 2.0
    write_evaluation(folder, scored)
    calls = []
    monkeypatch.setattr(stage, "train", small_train)
    monkeypatch.setattr(stage, "evaluate", lambda run, *rest, **options: calls.append(Path(run).name))
    monkeypatch.setattr(stage, "load_inception", lambda file: None)
    again = partial(image_quality, "hands", steps=2, generator_steps=2, workspace=copy, **OPTIONS)
    again()
    assert not calls
    again(inception="any", inception_sha256="0" * 8)
    assert calls == ["hands-mmhand-0.5"]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"generators": ["nosuch"]}, UsageError, "generators of images among"),
        ({"generators": ["pose_to_depth"]}, UsageError, "generators of images among .*, found pose_to_depth"),
        ({"generators": []}, UsageError, "generators of images among .*, found none"),
        ({"single": ["nosuch"]}, UsageError, "generators of images among .*, found nosuch in single"),
        ({"seeds": []}, UsageError, "at least one seed"),
        ({"alpha": 1.0}, UsageError, "a share between 0 and 1"),
        ({"alpha": 0.99}, UsageError, "at least 2 samples drawn and 1 held out, found 24 and 0 by seed 0"),
        ({"preset": "huge"}, UsageError, "one of the presets"),
        ({"generator_preset": "huge"}, UsageError, "one of the presets"),
        ({"generator_steps": 0}, UsageError, "at least 1 step, found 0"),
        ({"inception": "nosuch.pth"}, UsageError, "--inception-sha256 beside --inception"),
        ({"inception": "nosuch.pth", "inception_sha256": "0" * 8}, MissingError, "no file"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_training(
    space: Workspace, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], kind: type[Exception], words: str
) -> None:
    monkeypatch.setattr(stage, "train", None)
    with pytest.raises(kind, match=words):
        image_quality("hands", workspace=space, **options)


def test_the_figure_shows_each_generator_on_the_same_poses(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    look = Store.rgb

    def watched(self: Store, slots: np.ndarray) -> np.ndarray:
        read.extend(map(int, slots))
        return look(self, slots)

    monkeypatch.setattr(Store, "rgb", watched)
    path = paper_figure("hands", count=3, out=tmp_path / "figure.png", workspace=space, **OPTIONS)
    sheet = cv2.imread(str(path))
    assert sheet is not None
    assert sheet.shape[1] == 5 * 160 + 4 * 8  # pose, source, two generators, ground truth
    split = split_store(space.store("hands"), 0.5)
    # Only what is drawn as the ground truth is read of the held-out part, and nothing of the test split.
    assert len(set(read) & set(split.held_out)) == 3
    assert not set(read) & set(split.test)
    first = path.read_bytes()
    assert paper_figure("hands", count=3, out=path, workspace=space, **OPTIONS).read_bytes() == first


def test_further_seeds_of_some_generators(space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(space.root, tmp_path / "copy")
    copy = Workspace(tmp_path / "copy")
    monkeypatch.setattr(stage, "train", small_train)
    folders = image_quality(
        "hands", steps=2, generator_steps=2, seeds=[0, 1], single=["patn", "pg2"], workspace=copy, **OPTIONS
    )
    assert [folder.name for folder in folders] == ["hands-patn-0.5", "hands-mmhand-0.5", "hands-mmhand-0.5-seed1"]
    rows = paper_table(1, "hands", seeds=[0, 1], workspace=copy, **OPTIONS).with_suffix(".md").read_text().splitlines()
    spread = {row.split("|")[1].strip(): "±" in row for row in rows if row.count("|") > 2}
    assert not spread["PATN"]
    assert spread["MM-Hand"]
    assert spread["copy of the source"]  # as measured beside either of MM-Hand's


def test_the_figure_refuses_what_is_not_there_or_saw_more(space: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"hands-pg2-0\.5"):
        paper_figure("hands", alpha=0.5, generators=["pg2"], workspace=space)
    with pytest.raises(UsageError, match="at least one seed, found none"):
        paper_figure("hands", seeds=[], workspace=space)
    with pytest.raises(UsageError, match="at least 1 pose to show"):
        paper_figure("hands", alpha=1.0, workspace=space)
    shutil.copytree(space.root, tmp_path / "copy")
    copy = Workspace(tmp_path / "copy")
    folder = copy.run("hands-patn-0.5")
    write_run(folder, msgspec.structs.replace(read_run(folder), reduced_set="another"))
    with pytest.raises(UsageError, match="a run on this reduced set"):
        paper_figure("hands", workspace=copy, **OPTIONS)


def test_table_1_is_a_page_and_markdown(space: Workspace) -> None:
    paper_figure("hands", count=2, workspace=space, **OPTIONS)
    page = paper_table(1, "hands", workspace=space, **OPTIONS)
    assert page == space.root / "runs" / "hands-table1-0.5.html"
    text, markdown = page.read_text(), page.with_suffix(".md").read_text()
    for part in ("MM-Hand", "not computed", "copy of the source", "real image (oracle)", "paper, RHP", "0.844"):
        assert part in text
        assert part in markdown
    assert "data:image/png" in text
    assert "Trivial answers as measured beside MM-Hand." in markdown
    assert "Training of the generators: PATN (tiny) 2 steps, MM-Hand (tiny) 2 steps." in markdown
    assert "all but CycleGAN and Pix2pix the source image" in text
    assert {name for name in paper.GENERATORS if not get_generator(name).reads_source} == {"cyclegan", "pix2pix"}
    (evaluation,) = read_evaluations(space.run("hands-mmhand-0.5"))
    assert f"Ours on {evaluation.samples} held-out poses" in markdown
    assert f"{evaluation.rows[0].values['mask_ssim']:.3f}" in markdown


def test_trivial_answers_stand_once(space: Workspace) -> None:
    folders = [space.run(f"hands-{name}-0.5") for name in GENERATORS]
    frame = quality_frame([(read_run(folder), read_evaluations(folder)[0]) for folder in folders])
    assert frame["generator"].tolist() == [*GENERATORS, "copy of the source", "real image (oracle)"]
    assert frame["trivial"].tolist() == [False, False, True, True]


def test_a_table_of_nothing_is_refused(space: Workspace) -> None:
    with pytest.raises(MissingError, match=r"scored runs among hands-cyclegan-0\.2"):
        paper_table(1, "hands", alpha=0.2, workspace=space)
    with pytest.raises(MissingError, match="reduc"):
        paper_table(2, "hands", workspace=space)
    with pytest.raises(UsageError, match="table 1, 2 or 3"):
        paper_table(4, "hands", workspace=space)


def test_tables_2_and_3_show_what_their_stages_measured(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The frames are those that ``reduce`` and ``ablate`` give; whole sequences stay out beside random draws."""
    cell = {"estimator": "hpm3d", "alpha": 0.5, "seed": 0, "trivial": False, "run": "hands-hpm3d"}
    cells = [
        cell | {"generator": "none", "contiguous": False, "epe_mean_mm": 31.0},
        cell | {"generator": "none", "contiguous": True, "epe_mean_mm": 77.0},
        cell | {"generator": "mmhand", "contiguous": False, "epe_mean_mm": 29.0},
    ]
    monkeypatch.setattr(tables, "reduction_frame", lambda space, data: pd.DataFrame(cells))
    markdown = paper_table(2, "hands", workspace=space).with_suffix(".md").read_text()
    assert "| 3D-HPM | None | 31.00 | 64.16 |" in markdown
    assert "| 3D-HPM | MM-Hand | **29.00** | **41.79** |" in markdown
    assert "77.00" not in markdown
    assert "hpm3d (tiny) 2 steps" in markdown

    scores = {"variant": "e", "seed": 0, "auc_20_50_tail": 0.5, "epe_mean_mm": 30.0, "run": "hands-hpm3d"}
    row = scores | {"preset": "tiny", "generator_steps": 7}
    asked = []

    def measured(space: Workspace, data: Store, alpha: float, preset: str, contiguous: bool) -> pd.DataFrame:
        asked.append(preset)
        return pd.DataFrame([row])

    monkeypatch.setattr(tables, "ablation_frame", measured)
    page = paper_table(3, "hands", alpha=0.5, device="cpu", workspace=space)
    assert asked == ["tiny"]  # as ablate chooses it
    assert page.name == "hands-table3-0.5.html"
    assert (
        "| e) + nearest match (INNM) | 0.500 | 30.00 | **0.929** | **0.999** |" in page.with_suffix(".md").read_text()
    )
    assert "Training of the generators: MM-Hand (tiny) 7 steps." in page.with_suffix(".md").read_text()
    monkeypatch.setattr(
        tables, "ablation_frame", lambda space, data, alpha, preset, contiguous: pd.DataFrame(columns=list(row))
    )
    with pytest.raises(MissingError, match="what table 3 shows"):
        paper_table(3, "hands", alpha=0.5, workspace=space)


@pytest.mark.parametrize(("kind", "ranked"), [("dataset", True), ("simulator", False)])
def test_the_simulator_has_no_rival_where_it_made_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, ranked: bool
) -> None:
    make_store(tmp_path / "stores" / "hands", count=4, size=48, kind=kind)
    cell = {"estimator": "hpm3d", "alpha": 0.5, "seed": 0, "trivial": False, "contiguous": False, "run": ""}
    errors = {"none": 31.0, "mmhand": 29.0, "simulator": 20.0}
    cells = [cell | {"generator": name, "epe_mean_mm": error} for name, error in errors.items()]
    monkeypatch.setattr(tables, "reduction_frame", lambda space, data: pd.DataFrame(cells))
    markdown = paper_table(2, "hands", workspace=tmp_path).with_suffix(".md").read_text()
    assert ("**20.00**" in markdown) == ranked
    assert ("**29.00**" in markdown) != ranked
    assert ("The simulator is not ranked" in markdown) != ranked
