"""The fidelity filter and the ways to match: what is kept, what is refused, and what a judge must not see."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from handsynth.errors import UsageError
from handsynth.metrics.fidelity import fidelity_mm
from handsynth.poseindex.distance import pose_distance
from handsynth.stages.augment import augment
from handsynth.stages.generation import ahead
from handsynth.stages.judge import load_judge
from handsynth.stages.report import report
from handsynth.stages.train import pose_features, train
from handsynth.stages.view import view
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.run import read_run
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace
from tests.stages.test_leaks import Reads

ALPHA = 0.4
JUDGE = [*ESTIMATOR, "size=40"]
GUIDED = [*GENERATOR, "pose_depth_weight=1"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A store, a generator of its reduced set, and estimators that may and may not judge its images."""
    space = make_workspace(tmp_path_factory.mktemp("filter"))
    shared: dict[str, Any] = {"steps": STEPS, "workspace": space}
    train("mmhand", "hands", alpha=ALPHA, settings=GENERATOR, **shared)
    train("hpm3d", "hands", alpha=ALPHA, settings=JUDGE, name="judge", **shared)
    train("hpm3d", "hands", alpha=ALPHA, settings=JUDGE, start="judge", name="after", **shared)
    train("hpm3d", "hands", alpha=ALPHA, settings=JUDGE, weights_seed=5, name="apart", **shared)
    train("hpm3d", "hands", settings=JUDGE, name="knowing", **shared)
    return space


def made(space: Workspace, **options: Any) -> Store:
    settings: dict[str, Any] = {} if "run" in options else {"settings": GENERATOR, "steps": STEPS}
    return space.store(augment("hands", ALPHA, workers=1, workspace=space, **settings | options))


@pytest.fixture(scope="module")
def errors_mm(space: Workspace) -> np.ndarray:
    """Pose error of every image that the generator makes, by the judge that ``evaluate`` would ask."""
    plain = made(space)
    assert np.isnan(plain.column("score")).all()
    assert len(plain.kept) == len(plain)
    targets = plain.column("target_slot")
    judge = load_judge(space, "judge", space.store("hands"), targets, torch.device("cpu"))
    return fidelity_mm(judge.look(plain.rgb(plain.slots).astype(np.float32) / 255).errors_mm)


@pytest.fixture(scope="module")
def judged(space: Workspace, errors_mm: np.ndarray) -> Store:
    return made(space, judge="judge", most_mm=float(np.median(errors_mm)))


def test_images_are_kept_by_their_pose_error(
    space: Workspace, errors_mm: np.ndarray, judged: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, most = judged.column("score"), float(np.median(errors_mm))
    np.testing.assert_allclose(scores, errors_mm, rtol=1e-5)
    np.testing.assert_array_equal(judged.column("kept"), scores <= most)
    assert 0 < len(judged.kept) < len(judged)
    for score, reason in zip(scores, judged.column("reason"), strict=True):
        assert reason == ("" if score <= most else f"pose error {score:.1f} mm, over {most:g} mm")
    # Rejected images stay as they were made; the store says who judged them.
    plain = space.store("hands-0.4-mmhand")
    np.testing.assert_array_equal(judged.rgb(judged.slots), plain.rgb(plain.slots))
    record = judged.info.plan.settings["judge"]
    assert (record["name"], record["most_mm"]) == ("judge", most)
    assert judged.address.endswith(f"hands-0.4-mmhand-judged-{most:g}mm-judge")


def test_what_was_rejected_joins_no_training_and_the_judge_is_not_trained_on_its_choice(
    space: Workspace, judged: Store
) -> None:
    shared: dict[str, Any] = {"alpha": ALPHA, "add": judged.address, "steps": 1, "workspace": space}
    folder = train("hpm3d", "hands", settings=ESTIMATOR, **shared)
    assert read_run(folder).added_samples == len(judged.kept)
    with pytest.raises(UsageError, match="an estimator other than the judge of the images"):
        train("hpm3d", "hands", settings=JUDGE, name="again", **shared)
    train("hpm3d", "hands", settings=JUDGE, weights_seed=5, name="another", **shared)
    with pytest.raises(UsageError, match="the judge of the images, found one that begins with its weights"):
        train("hpm3d", "hands", settings=JUDGE, weights_seed=5, start="judge", name="begun", **shared)


def test_page_and_sheet_say_how_many_were_kept(space: Workspace, judged: Store, tmp_path: Path) -> None:
    most, median = judged.info.plan.settings["judge"]["most_mm"], np.median(judged.column("score", judged.kept))
    words = f"{len(judged.kept)} of {len(judged)} images kept, with a pose error of at most {most:g} mm"
    words += f" (median {median:.1f} mm)"
    assert words in report([judged.address], out=tmp_path / "report.html", workspace=space).read_text()
    assert words in view(judged.address, out=tmp_path / "sheet.html", workspace=space).read_text()
    assert "kept" not in view("hands", out=tmp_path / "hands.html", workspace=space).read_text()


def test_a_judge_reads_no_pixel_of_a_held_out_sample(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = space.store("hands")
    split = split_store(store, ALPHA)
    reads = Reads(store.address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        made_by = made(space, judge="after", match="random", count=5)
    assert made_by.info.plan.settings["judge"]["starts"] == [read_run(space.run("after")).start.weights]  # type: ignore[union-attr]
    begun: dict[str, Any] = {"add": made_by.address, "start": "judge", "weights_seed": 5, "settings": JUDGE}
    with pytest.raises(UsageError, match="the judge of the images, found one that begins with its weights"):
        train("hpm3d", "hands", alpha=ALPHA, workspace=space, **begun)
    assert reads.pixels <= set(split.reduced.tolist())
    assert reads.labels <= set(split.reduced.tolist()) | set(split.held_out.tolist())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"judge": "knowing"}, "a run that saw this reduced set alone, found knowing, which saw more"),
        ({"judge": "hands-mmhand-0.4"}, "an estimator's run, found that of the generator mmhand"),
        ({"judge": "judge", "most_mm": 0.0}, "an error above 0 mm, found 0"),
        ({"most_mm": 20.0}, "a judge that says how far images err, found none"),
        ({"match": "farthest"}, "one of nearest, random, found 'farthest'"),
        ({"generator": "pose_to_depth"}, "simulator, found 'pose_to_depth'"),
        ({"generator": "simulator", "judge": "judge"}, "--judge"),
    ],
)
def test_what_is_refused(space: Workspace, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        made(space, **options)


def test_a_judge_that_learned_from_generated_images_is_refused(space: Workspace, judged: Store) -> None:
    train("hpm3d", "hands", alpha=ALPHA, add=judged.address, steps=1, settings=ESTIMATOR, name="fed", workspace=space)
    train("hpm3d", "hands", alpha=ALPHA, start="fed", steps=1, settings=ESTIMATOR, name="fed-before", workspace=space)
    for name in ("fed", "fed-before"):
        with pytest.raises(UsageError, match="a judge that saw no generated image in training, found fed"):
            made(space, judge=name)


def test_a_generator_is_not_judged_by_its_guide(space: Workspace) -> None:
    guided = {"settings": GUIDED, "guide": "judge"}
    with pytest.raises(UsageError, match="judge, which guided it"):
        made(space, judge="judge", **guided)
    assert not (space.root / "runs" / "hands-mmhand-0.4-guide-judge").exists()  # refused before it was trained
    with pytest.raises(UsageError, match="after, which guided it or began as its guide did"):
        made(space, judge="after", **guided)
    assert made(space, judge="apart", **guided).info.plan.settings["guide"]["name"] == "judge"
    with pytest.raises(UsageError, match="judge, which guided it or began as its guide did"):
        made(space, judge="judge", settings=GUIDED, guide="after")
    with pytest.raises(UsageError, match="judge, which guided it"):
        made(space, judge="judge", run="hands-mmhand-0.4-guide-judge")


def test_random_sources_are_seeded_ones_of_the_reduced_set(space: Workspace) -> None:
    data = space.store("hands")
    reduced = split_store(data, ALPHA).reduced
    near, random = made(space), made(space, match="random")
    assert random.address.endswith("hands-0.4-mmhand-random")
    sources, targets = random.column("source_slot"), random.column("target_slot")
    assert set(sources) <= set(reduced)
    assert len(set(sources)) > 1
    expected = pose_distance(pose_features(data, sources), pose_features(data, targets))
    np.testing.assert_allclose(random.column("pose_distance"), expected)
    assert (random.column("pose_distance") >= near.column("pose_distance") - 1e-12).all()
    assert random.column("pose_distance").mean() > near.column("pose_distance").mean()
    np.testing.assert_array_equal(sources, made(space, match="random", overwrite=True).column("source_slot"))


def test_precision_is_a_part_of_the_plan(space: Workspace) -> None:
    run = "hands-mmhand-0.4"
    full, half = made(space, run=run), made(space, run=run, precision="bf16", overwrite=True)
    assert full.info.plan.settings["precision"] == "32-true"
    assert half.info.plan.settings["precision"] == "bf16-mixed"
    assert full.hash != half.hash


def test_making_ahead_changes_nothing_but_the_thread() -> None:
    seen: list[int] = []

    def counting(stop: int) -> Iterator[int]:
        for number in range(stop):
            seen.append(threading.get_ident())
            assert torch.get_num_threads() == threads
            yield number
        raise ValueError("the end")

    threads = torch.get_num_threads()
    items = ahead(counting(3))
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the end"):
        next(items)
    assert len(set(seen)) == 1
    assert threading.get_ident() not in seen
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    before = threading.active_count()
    leaving = ahead(counting(3))
    next(leaving)
    leaving.close()
    assert threading.active_count() == before
