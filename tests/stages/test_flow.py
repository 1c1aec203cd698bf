"""Train, evaluate, report, export and pipelines on a small store: what is written, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from handsynth.errors import DataError, MissingError, StoreError, UsageError
from handsynth.runtime.settings import parse
from handsynth.stages.augment import augment
from handsynth.stages.evaluate import evaluate
from handsynth.stages.export import export
from handsynth.stages.index import index
from handsynth.stages.pipeline import read_pipeline, run
from handsynth.stages.report import _seen, report
from handsynth.stages.summary import as_text, summarize
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.training.run import Evaluation, read_log, read_run
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("flow"))


def scores(path: Path) -> Evaluation:
    return parse(path.read_bytes(), Evaluation, path)


def test_the_whole_flow(space: Workspace) -> None:
    index(workspace=space)
    made = augment(alpha=0.5, steps=STEPS, settings=GENERATOR, workers=1, workspace=space)
    runs = [
        train("hpm3d", "hands", alpha=0.5, steps=STEPS, settings=ESTIMATOR, workspace=space),
        train("hpm3d", "hands", alpha=0.5, add=made, steps=STEPS, settings=ESTIMATOR, workspace=space),
    ]
    assert [folder.name for folder in runs] == ["hands-hpm3d-0.5", "hands-hpm3d-0.5-add-mmhand"]
    assert read_run(runs[1]).added_samples == len(space.store(made).kept)
    for folder in runs:
        evaluation = scores(evaluate(folder.name, workspace=space))
        names = [row.name for row in evaluation.rows]
        assert names == ["hpm3d", "mean pose", "nearest training pose (oracle)"]
        assert "mm, camera space" in evaluation.protocol
        table = pq.read_table(folder / "evaluation" / "hands.parquet")
        errors = np.array(table["error_mm"].to_pylist(), dtype=np.float64)
        assert np.nanmean(errors) == pytest.approx(evaluation.rows[0].values["epe_mean_mm"], rel=1e-6)
        assert [entry["step"] for entry in read_log(folder)] == [0, STEPS - 1]
    plain, averaged = (scores(evaluate(runs[0].name, tta=tta, workspace=space)) for tta in (False, True))
    assert "test-time augmentation" in averaged.protocol
    assert "test-time augmentation" not in plain.protocol
    assert averaged.rows[0].values != plain.rows[0].values
    assert averaged.rows[1:] == plain.rows[1:]
    with pytest.raises(UsageError, match="an estimator's run beside --tta, found the generator mmhand"):
        evaluate("hands-mmhand-0.5", tta=True, workspace=space)
    generator = scores(evaluate("hands-mmhand-0.5", workspace=space))
    assert [row.name for row in generator.rows] == ["mmhand", "copy of the source"]
    page = report(workspace=space).read_text()
    for word in ("hpm3d", "mean pose", "copy of the source", "held out", "mm, camera space", "<svg"):
        assert word in page
    assert str(space.root) not in page
    assert "nearest source" in page
    with pytest.raises(UsageError, match="found hands, a store that is not augmented"):
        report(["hands"], workspace=space)
    assert "scores" in as_text(summarize(space.root / "runs" / "hands-hpm3d-0.5" / "evaluation" / "hands.json"))


def test_a_report_says_how_sources_were_chosen(space: Workspace) -> None:
    made = augment("hands", 0.5, match="random", steps=STEPS, settings=GENERATOR, workers=1, workspace=space)
    page = report([made], space.root / "random.html", workspace=space).read_text()
    assert "random source: median" in page
    assert "nearest source" not in page


def test_a_report_says_what_a_generator_saw() -> None:
    assert "saw the source image" in _seen("mmhand")
    assert "nothing of the source" in _seen("pix2pix")
    assert _seen("not-installed") == ""


def test_paths_are_shown_as_such() -> None:
    assert summarize([Path("a"), Path("b")]) == {"result": ["a", "b"]}


def test_training_twice_does_nothing_and_other_settings_are_refused(space: Workspace) -> None:
    first = train("hpm3d", "hands", steps=1, settings=ESTIMATOR, name="twice", workspace=space)
    before = {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()}
    train("hpm3d", "hands", steps=1, settings=ESTIMATOR, name="twice", workspace=space)
    assert {path: path.stat().st_mtime_ns for path in first.rglob("*") if path.is_file()} == before
    with pytest.raises(StoreError, match="another steps"):
        train("hpm3d", "hands", steps=2, settings=ESTIMATOR, name="twice", workspace=space)
    train("hpm3d", "hands", steps=2, settings=ESTIMATOR, name="twice", overwrite=True, workspace=space)
    assert read_run(first).steps == 2


def test_the_same_seed_gives_the_same_weights(space: Workspace) -> None:
    checkpoints = []
    for name in ("a", "b"):
        folder = train("hpm3d", "hands", steps=4, seed=3, settings=ESTIMATOR, name=name, workspace=space)
        (path,) = (folder / "checkpoints").glob("*.json")
        checkpoints.append(json.loads(path.read_text())["weights"])
    assert checkpoints[0] == checkpoints[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"system": "nosuch"}, "the estimators hpm3d"),
        ({"system": "hpm3d", "preset": "huge"}, "one of the presets"),
        ({"system": "hpm3d", "settings": ["nosuch=1"]}, "one of the settings"),
        ({"system": "hpm3d", "settings": ["batch=many"]}, "settings"),
        ({"system": "hpm3d", "steps": 0}, "at least 1 step"),
        ({"system": "hpm3d", "precision": "half"}, "one of auto, float32, bf16"),
        ({"system": "hpm3d", "alpha": 1.5}, "share above 0"),
    ],
)
def test_wrong_trainings_are_refused(tmp_path: Path, arguments: dict[str, object], words: str) -> None:
    space = make_workspace(tmp_path, count=8)
    with pytest.raises(UsageError, match=words):
        train(store="hands", workspace=space, **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "runs").exists()


def test_predictions_from_elsewhere_are_scored(space: Workspace, tmp_path: Path) -> None:
    store = space.store("hands")
    test = store.slots[store.column("split") == "test"]
    joints = store.column("joints_mm", test) + np.array([3, 0, 4], dtype=np.float32)
    table = {"key": store.column("key", test).tolist(), "joints_mm": joints.reshape(len(test), -1).tolist()}
    pq.write_table(pa.table(table), tmp_path / "mine.parquet")
    evaluation = scores(evaluate(str(tmp_path / "mine.parquet"), "hands", workspace=space))
    assert evaluation.rows[0].values["epe_mean_mm"] == pytest.approx(5, abs=1e-4)
    short = pa.table({name: values[1:] for name, values in table.items()})
    pq.write_table(short, tmp_path / "short.parquet")
    with pytest.raises(DataError, match="found none for 1"):
        evaluate(str(tmp_path / "short.parquet"), "hands", workspace=space)
    (tmp_path / "junk.parquet").write_text("junk")
    with pytest.raises(DataError, match="a Parquet file"):
        evaluate(str(tmp_path / "junk.parquet"), "hands", workspace=space)


def test_a_run_of_a_store_that_changed_is_not_scored_silently(tmp_path: Path) -> None:
    import shutil

    space = make_workspace(tmp_path, count=16)
    folder = train("hpm3d", "hands", steps=1, settings=ESTIMATOR, workspace=space)
    shutil.rmtree(tmp_path / "stores")
    make_workspace(tmp_path, count=24)
    with pytest.raises(UsageError, match="a changed one"):
        evaluate(folder.name, workspace=space)


def test_export_writes_what_ingest_reads(space: Workspace, tmp_path: Path) -> None:
    from handsynth.stages.ingest import ingest

    folder = Path(export("hands", "msra15", tmp_path / "raw", workspace=space).path)
    store = space.store(ingest("msra15", folder, str(tmp_path / "again"), workers=1, workspace=space))
    assert len(store) == len(space.store("hands"))
    with pytest.raises(StoreError, match="an empty folder"):
        export("hands", "msra15", tmp_path / "raw", workspace=space)


def test_pipelines_are_checked_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('size = 16\n[[stage]]\nstage = "simulate"\ncount = 1\n[[stage]]\nstage = "ingest"\nnme = "x"\n')
    with pytest.raises(UsageError, match=r"found nme in stage 2"):
        run(path, workspace=tmp_path)
    path.write_text('[[stage]]\nstage = "rm"\n')
    with pytest.raises(UsageError, match="stage = one of"):
        run(path, workspace=tmp_path)
    path.write_text('n = 2\n[[stage]]\nstage = "simulate"\ncount = "{n}"\nout = "s{n}{m}"\n')
    with pytest.raises(UsageError, match="parameters among n"):
        run(path, workspace=tmp_path)
    path.write_text("[[stage]\n")
    with pytest.raises(DataError, match="TOML"):
        run(path, workspace=tmp_path)
    with pytest.raises(MissingError, match="demo"):
        run("nosuch", workspace=tmp_path)
    assert {item.name for item in tmp_path.iterdir()} == {"p.toml"}


def test_parameters_keep_their_type(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text('n = 2\n[[stage]]\nstage = "simulate"\ncount = "{n}"\nout = "s{n}"\n')
    ((name, _, arguments),) = read_pipeline(path, ["n=5"])
    assert (name, arguments) == ("simulate", {"count": 5, "out": "s5"})


@pytest.mark.parametrize("name", ["demo", "ge_realworld"])
def test_the_pipelines_that_come_with_handsynth_are_sound(name: str, tmp_path: Path) -> None:
    assert run(name, dry_run=True, workspace=tmp_path).endswith(f"{name}.toml")
    assert not list(tmp_path.iterdir())
