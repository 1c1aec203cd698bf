"""Errors over the pose distance: pairs from the right sides of the split, points that repeat, words that are true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from handsynth.errors import UsageError
from handsynth.imaging.codecs import read_color
from handsynth.poseindex.distance import pose_distance
from handsynth.stages.curriculum import curriculum, random_pairs, rank_correlation
from handsynth.stages.train import pose_features, train
from handsynth.stages.workspace import Workspace
from handsynth.training.batches import Hands
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, make_workspace

RUN = "hands-mmhand-0.5"
OPTIONS: dict[str, Any] = {"run": RUN, "device": "cpu"}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A generator of half of 24 training hands, and a judge of another image size."""
    space = make_workspace(tmp_path_factory.mktemp("curriculum"), count=32)
    train("mmhand", "hands", alpha=0.5, steps=1, settings=GENERATOR, device="cpu", workspace=space)
    larger = [*ESTIMATOR, "size=48"]
    train("hpm3d", "hands", steps=1, settings=larger, name="judge", device="cpu", workspace=space)
    return space


def points(path: Path) -> pd.DataFrame:
    return pd.read_csv(path.with_suffix(".csv"))


def test_sources_are_of_the_reduced_set_and_targets_are_held_out(space: Workspace) -> None:
    path = curriculum(**OPTIONS, judge="judge", workspace=space)
    assert path == space.run(RUN) / "curriculum" / "hands-held-out.png"
    assert min(read_color(path).shape[:2]) > 500
    frame, data = points(path), space.store("hands")
    assert list(frame) == ["source", "target", "pose_distance", "l1", "epe_mm", "real_epe_mm"]
    split = split_store(data, 0.5)
    assert sorted(frame["target"]) == sorted(data.column("key", split.held_out))  # all: there are fewer than 1,000
    assert set(frame["source"]) <= set(data.column("key", split.reduced))
    assert frame["source"].is_unique
    slots = dict(zip(data.column("key"), data.slots, strict=True))
    sides = ([slots[key] for key in frame[side]] for side in ("source", "target"))
    expected = pose_distance(*(pose_features(data, np.array(side)) for side in sides))
    np.testing.assert_allclose(frame["pose_distance"], expected, rtol=1e-5)
    assert frame[["l1", "epe_mm", "real_epe_mm"]].notna().all(axis=None)
    assert (frame["epe_mm"] != frame["real_epe_mm"]).all()


def test_the_test_split_is_read_only_where_it_is_asked_for(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[int] = set()
    images = Hands.images

    def noting(hands: Hands, positions: np.ndarray) -> np.ndarray:
        read.update(hands.slots[positions].tolist())
        return images(hands, positions)

    monkeypatch.setattr(Hands, "images", noting)
    split = split_store(space.store("hands"), 0.5)
    curriculum(**OPTIONS, workspace=space)
    assert read & set(split.reduced.tolist())
    assert not read & set(split.test.tolist())
    read.clear()
    path = curriculum(**OPTIONS, split="test", workspace=space)
    assert path.name == "hands-test.png"
    assert read & set(split.test.tolist())
    assert not read & set(split.held_out.tolist())


def test_the_same_command_gives_the_same_bytes(space: Workspace) -> None:
    path = curriculum(**OPTIONS, count=5, workspace=space)
    files = path, path.with_suffix(".csv")
    before = [file.read_bytes() for file in files]
    curriculum(**OPTIONS, count=5, workspace=space)
    assert [file.read_bytes() for file in files] == before
    assert len(points(path)) == 5
    curriculum(**OPTIONS, count=5, seed=1, workspace=space)
    assert [file.read_bytes() for file in files] != before


def test_without_a_judge_the_real_image_alone_is_compared_with(space: Workspace) -> None:
    assert list(points(curriculum(**OPTIONS, workspace=space))) == ["source", "target", "pose_distance", "l1"]


def test_sources_repeat_only_where_there_are_too_few(space: Workspace) -> None:
    split = split_store(space.store("hands"), 0.2)
    sources, targets = random_pairs(split, split.held_out, 1000, 0)
    assert len(sources) == len(targets) == len(np.unique(targets)) == len(split.held_out) > len(split.reduced)
    assert set(sources) <= set(split.reduced)
    sources, targets = random_pairs(split, split.held_out, len(split.reduced), 0)
    assert len(np.unique(sources)) == len(sources) == len(split.reduced)


def test_rank_correlation() -> None:
    distances = np.linspace(0.01, 0.2, 12)
    assert rank_correlation(distances, distances**3) == "Spearman 1.00, p < 1e-16 (n = 12)"
    scores = np.array([3.0, 1, 4, 1.5, 9, 2.6, np.nan, 5, 3.5, 8, 9.7, 9.3])
    known = np.isfinite(scores)
    expected = stats.spearmanr(distances[known], scores[known])
    said = rank_correlation(distances, scores)
    assert said == f"Spearman {expected.statistic:.2f}, p = {expected.pvalue:.2g} (n = 11)"
    assert rank_correlation(distances, np.ones(12)) == "no rank correlation (n = 12)"
    assert rank_correlation(distances, np.full(12, np.nan)) == "no rank correlation (n = 0)"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"run": "judge"}, "a generator of images, found one of hpm3d"),
        ({"judge": RUN}, "an estimator's run, found that of the generator mmhand"),
        ({"split": "train"}, "test or held-out, found 'train'"),
        ({"count": 2}, "at least 3 pairs, found 2"),
    ],
)
def test_wrong_use_is_told(space: Workspace, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        curriculum(**OPTIONS | options, workspace=space)
