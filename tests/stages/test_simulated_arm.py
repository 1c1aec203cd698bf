"""The simulator as an arm: held-out poses rendered, labels exact, no picture read, and a store that may be added."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.hand.sample import HandSample
from handsynth.simulator import SimulatorSettings
from handsynth.simulator import simulate as simulate_hands
from handsynth.stages import simulated_arm
from handsynth.stages.augment import augment
from handsynth.stages.evaluate import evaluate
from handsynth.stages.report import report
from handsynth.stages.train import train
from handsynth.stages.verify import verify
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.run import read_run
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, tree
from tests.stages.test_leaks import Reads
from tests.stores import make_store

ALPHA, SIZE = 0.5, 40
SEED = 1
"""Holds out the sample without a side."""


def hands() -> list[HandSample]:
    """Twelve drawn hands, nine to train on; one of those names no side, so nothing can be fitted to it."""
    drawn = simulate_hands(SimulatorSettings(size=SIZE, seed=5), 0, 12)
    return [
        replace(sample, split="train" if number < 9 else "test", side="unknown" if number == 6 else sample.side)
        for number, sample in enumerate(drawn)
    ]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("arm")
    make_store(root / "stores" / "hands", hands(), size=SIZE, kind="simulator")
    return Workspace(root)


@pytest.fixture(scope="module")
def made(space: Workspace) -> Store:
    return space.store(augment("hands", ALPHA, "simulator", seed=SEED, workers=1, workspace=space))


def test_held_out_poses_alone_are_rendered_with_exact_labels(space: Workspace, made: Store) -> None:
    data = space.store("hands")
    held_out = split_store(data, ALPHA, SEED).held_out
    assert 6 in held_out, "choose another SEED"
    assert made.address.endswith("hands-0.5-simulator-seed1")
    assert made.info.augmented
    assert made.info.rejected == 1
    assert "side unknown" in made.rejects()["reason"].to_pylist()[0]
    assert set(made.column("target_slot")) == set(held_out) - {6}
    for slot in made.slots:
        sample = made.sample(int(slot))
        target = data.sample(int(made.column("target_slot", [slot])[0]))
        assert sample.key == f"{target.key}@simulator"
        assert sample.camera == target.camera
        assert sample.split == "train"
        assert np.linalg.norm(sample.joints_mm - target.joints_mm, axis=-1).mean() < 3  # type: ignore[operator]
        np.testing.assert_allclose(sample.projected(), sample.keypoints_px, atol=0.01)  # type: ignore[arg-type]
        assert not np.array_equal(sample.rgb, target.rgb)  # type: ignore[arg-type]
    assert set(made.column("source_slot")) == {None}
    assert verify(made.address, page=False, workspace=space).ok


def test_no_picture_is_read_and_no_pose_of_the_reduced_set(
    space: Workspace, made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = space.store("hands")
    reads = Reads(data.address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        again = Workspace(tmp_path)
        address = augment(data.address, ALPHA, "simulator", seed=SEED, workers=1, workspace=again)
    assert reads.pixels == set()
    assert reads.labels <= set(split_store(data, ALPHA, SEED).held_out.tolist())
    assert tree(Path(address)) == tree(Path(made.address))


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(
    space: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulated_arm, "_SHARD", 2)
    data = space.store("hands")
    one, two = (
        augment(data.address, ALPHA, "simulator", seed=SEED, workers=workers, workspace=tmp_path / str(workers))
        for workers in (1, 2)
    )
    assert len(list(Path(one).glob("ledger/*.json"))) == 3
    assert tree(Path(one)) == tree(Path(two))


def test_it_joins_a_training_on_its_reduced_set_and_is_reported(space: Workspace, made: Store) -> None:
    folder = train(
        "hpm3d", "hands", alpha=ALPHA, seed=SEED, add=made.address, steps=1, settings=ESTIMATOR, workspace=space
    )
    assert folder.name == "hands-hpm3d-0.5-add-simulator-seed1"
    assert read_run(folder).added_samples == len(made)
    with pytest.raises(UsageError, match="made from this reduced set"):
        train("hpm3d", "hands", alpha=ALPHA, seed=2, add=made.address, steps=1, settings=ESTIMATOR, workspace=space)
    evaluate(folder.name, workspace=space)
    page = report(workspace=space).read_text()
    for words in ("an upper bound", "1 of", "rendered by the simulator"):
        assert words in page


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"steps": 3}, "beside --steps"),
        ({"preset": "tiny"}, "beside --preset"),
        ({"settings": ["size=64"]}, "the cameras of hands"),
        ({"settings": ["camera=rhd"]}, "the cameras of hands"),
        ({"settings": ["nosuch=1"]}, "one of the settings"),
    ],
)
def test_wrong_wishes_are_refused(space: Workspace, more: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        augment("hands", ALPHA, "simulator", workspace=space, **more)  # type: ignore[arg-type]


def test_a_dry_run_renders_nothing(space: Workspace) -> None:
    address = augment("hands", ALPHA, "simulator", seed=7, dry_run=True, workspace=space)
    assert not Path(address).exists()
