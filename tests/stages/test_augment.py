"""Augmenting: the same bytes for any number of workers and after a kill; provenance; refusals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import StoreError, UsageError
from handsynth.poseindex.distance import pose_distance
from handsynth.stages import augment as stage
from handsynth.stages.augment import augment
from handsynth.stages.train import pose_features, train
from handsynth.stages.workspace import Workspace
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace, tree

ALPHA = 0.3
OPTIONS = {"alpha": ALPHA, "steps": STEPS, "settings": GENERATOR}
SCRIPT = """
import sys
from handsynth.stages import augment as stage
stage._SHARD = 2
stage.augment("hands", alpha=%r, steps=%r, settings=%r, judge="judge", workers=1, workspace=sys.argv[1])
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a store, a trained generator and a judge."""
    space = make_workspace(tmp_path_factory.mktemp("trained"), count=48)
    train("mmhand", "hands", workspace=space, **OPTIONS)  # type: ignore[arg-type]
    train("hpm3d", "hands", alpha=ALPHA, steps=STEPS, settings=ESTIMATOR, name="judge", workspace=space)
    return space


def copy(space: Workspace, place: Path) -> Workspace:
    shutil.copytree(space.root, place)
    return Workspace(place)


def test_worker_count_and_a_kill_change_nothing(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_SHARD", 2)
    one, two, killed = (copy(trained, tmp_path / name) for name in ("one", "two", "killed"))
    options: dict[str, Any] = {**OPTIONS, "judge": "judge"}
    expected = tree(Path(augment("hands", workers=1, workspace=one, **options)))
    assert tree(Path(augment("hands", workers=2, workspace=two, **options))) == expected

    command = [sys.executable, "-c", SCRIPT % (ALPHA, STEPS, GENERATOR), str(killed.root)]
    folder = killed.root / "stores" / f"hands-{ALPHA}-mmhand-judged-40mm-judge"
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not list(folder.glob("ledger/*.json")):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = len(list(folder.glob("ledger/*.json")))
    assert 0 < finished < len(list((Path(one.root) / "stores" / folder.name).glob("ledger/*.json")))
    with pytest.raises(StoreError, match="unfinished"):
        killed.store(folder.name)
    assert tree(Path(augment("hands", workers=1, workspace=killed, **options))) == expected


def test_sources_are_the_nearest_of_the_reduced_set(trained: Workspace) -> None:
    data = trained.store("hands")
    split = split_store(data, ALPHA)
    made = trained.store(augment("hands", workers=1, workspace=trained, **OPTIONS))  # type: ignore[arg-type]
    sources = pose_features(data, split.reduced)
    for slot in made.slots:
        target = pose_features(data, made.column("target_slot", [slot]))
        distances = pose_distance(np.repeat(target, len(sources), axis=0), sources)
        assert made.column("pose_distance", [slot])[0] == pytest.approx(distances.min(), abs=1e-12)
        assert made.column("source_slot", [slot])[0] == split.reduced[distances.argmin()]


def test_generated_samples_have_the_target_s_pose_and_a_camera_that_fits(trained: Workspace) -> None:
    data = trained.store("hands")
    made = trained.store(augment("hands", workers=1, workspace=trained, **OPTIONS))  # type: ignore[arg-type]
    assert made.info.augmented
    for slot in made.slots[:5]:
        sample = made.sample(int(slot))
        target = data.sample(int(made.column("target_slot", [slot])[0]))
        assert sample.rgb is not None
        assert sample.rgb.shape == (32, 32, 3)
        np.testing.assert_array_equal(sample.joints_mm, target.joints_mm)
        np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=1e-3)
        assert sample.moment == target.moment


def test_running_twice_does_nothing_and_other_settings_are_refused(trained: Workspace) -> None:
    address = augment("hands", workers=1, workspace=trained, **OPTIONS)  # type: ignore[arg-type]
    before = {path: path.stat().st_mtime_ns for path in Path(address).rglob("*")}
    assert augment("hands", workers=1, workspace=trained, **OPTIONS) == address  # type: ignore[arg-type]
    assert {path: path.stat().st_mtime_ns for path in Path(address).rglob("*")} == before
    with pytest.raises(StoreError, match="settings of this run"):
        augment("hands", count=3, workers=1, workspace=trained, **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="at most every held-out pose"):
        augment("hands", count=1000, workers=1, workspace=trained, **OPTIONS)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="handsynth train mmhand takes another --name, or --overwrite"):
        augment("hands", workers=1, workspace=trained, **OPTIONS | {"steps": STEPS + 1})  # type: ignore[arg-type]


def test_augmented_stores_are_no_default_and_no_source(trained: Workspace) -> None:
    address = augment("hands", workers=1, workspace=trained, **OPTIONS)  # type: ignore[arg-type]
    assert trained.store().address.endswith("hands")
    with pytest.raises(UsageError, match="an augmented one"):
        augment(address, workers=1, workspace=trained, **OPTIONS)  # type: ignore[arg-type]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    space = make_workspace(tmp_path)
    augment("hands", workers=1, dry_run=True, workspace=space, **OPTIONS)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}
    assert space.store_names(augmented=True) == ["hands"]


def test_no_worker_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    space = make_workspace(tmp_path)
    with pytest.raises(UsageError, match="at least 1 worker"):
        augment("hands", workers=0, workspace=space, **OPTIONS)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"stores"}


def test_where_a_file_of_weights_lay_is_no_part_of_a_store() -> None:
    weights = {"path": "/home/somebody/vgg19.pth", "sha256": "dcbb9e9d"}
    settings = {"size": 64, "perceptual": {"layer": "relu1_2", "weights": weights}, "decay": None}
    kept = {"size": 64, "perceptual": {"layer": "relu1_2", "weights": {"sha256": "dcbb9e9d"}}, "decay": None}
    assert stage.placeless(settings) == kept
