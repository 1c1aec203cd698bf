"""Where depth maps come from: the providers, runs that use another run, and how runs that make depth are scored."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from handsynth.conditioning.depth import capsule_depth
from handsynth.errors import MissingError, UsageError
from handsynth.runtime import progress
from handsynth.runtime.settings import parse
from handsynth.stages import depth_provider
from handsynth.stages.augment import augment
from handsynth.stages.depth_provider import SimulatorDepth
from handsynth.stages.evaluate import evaluate
from handsynth.stages.systems import load_run, used_depth
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.training.batches import Hands
from handsynth.training.run import Evaluation, read_run
from handsynth.training.splits import split_store
from tests.hands import make_samples
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace, tree
from tests.stages.test_leaks import Reads
from tests.stores import make_store

ALPHA = 0.5
DEPTH = (
    "size=32",
    "width=4",
    "batch=4",
    "guide.trunk=[[1, 4, true], [1, 4, true]]",
    "guide.features=4",
    "guide.head_width=4",
    "guide.stages=2",
    "guide.stage_width=4",
    "guide_hidden=8",
)
POSE_LOSS = (*GENERATOR, "pose_maps_weight=1", "pose_depth_weight=1")


def trained(space: Workspace, system: str, settings: tuple[str, ...], **options: Any) -> Path:
    return train(system, options.pop("store", "hands"), steps=STEPS, settings=settings, workspace=space, **options)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two stores, and a network of the other one that makes depth."""
    space = make_workspace(tmp_path_factory.mktemp("depth"))
    make_store(space.root / "stores" / "other", samples=make_samples(16, seed=5), size=48)
    trained(space, "pose_to_depth", DEPTH, store="other", name="deep")
    return space


def hands(count: int) -> tuple[Tensor, Tensor]:
    joints = torch.stack([torch.from_numpy(sample.joints_mm) for sample in make_samples(count)])
    return joints, torch.tensor([[42.5, 42.5, 15.5, 15.5]]).repeat(count, 1)


def same(first: Tensor, second: Tensor) -> bool:
    return torch.equal(first.nan_to_num(-1), second.nan_to_num(-1))


# --- the simulator ------------------------------------------------------------------------------------------------


def test_the_simulator_s_hand_lies_where_the_joints_are() -> None:
    joints, camera = hands(4)
    provider = SimulatorDepth()
    made, drawn = provider(joints, camera, 32), capsule_depth(joints, camera, 32)
    assert (provider.fitted, provider.drawn) == (4, 0)
    assert made.shape == (4, 1, 32, 32)
    both, either = made.isfinite() & drawn.isfinite(), made.isfinite() | drawn.isfinite()
    assert both.sum() > 0.8 * either.sum()
    assert (made - drawn)[both].abs().mean() < 6
    assert not same(made, drawn)


def test_left_hands_are_right_ones_in_a_mirror() -> None:
    joints, camera = hands(2)
    mirrored = joints * torch.tensor([-1.0, 1, 1])
    right, left = SimulatorDepth()(joints, camera, 32), SimulatorDepth()(mirrored, camera, 32)
    assert same(right, left.flip(-1))


def test_joints_that_no_hand_fits_are_drawn_counted_and_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    joints, camera = hands(5)
    joints[0, 7] = torch.nan
    joints[1] = joints[1] * 9 - torch.tensor([0.0, 0, 3000])  # bones of no human length
    joints[2] = joints[2] + 60 * torch.randn(21, 3, generator=torch.Generator().manual_seed(0))
    joints[3] = joints[3] - torch.tensor([0.0, 0, 400])  # around the camera
    said: list[str] = []
    monkeypatch.setattr(progress, "say", said.append)
    provider = SimulatorDepth()
    made = provider(joints, camera, 32)
    assert (provider.fitted, provider.drawn) == (1, 4)
    assert same(made[:4], torch.cat([capsule_depth(joints[i : i + 1], camera[i : i + 1], 32) for i in range(4)]))
    (sentence,) = said
    assert "drawn with capsules" in sentence


# --- in training and in augmentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["simulator", "deep"])
def test_a_generator_reads_the_same_depth_in_training_and_in_augmentation(
    space: Workspace, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[tuple[bytes, bytes], bytes] = {}
    kind = depth_provider.SimulatorDepth if name == "simulator" else depth_provider.TrainedDepth
    plain = kind.__call__

    def recorded(self: Any, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        made = plain(self, joints_mm, camera, size)
        for joints, lens, depth in zip(joints_mm, camera, made, strict=True):
            key = (joints.numpy().tobytes(), lens.numpy().tobytes())
            value = depth.numpy().tobytes()
            assert asked.setdefault(key, value) == value
        return made

    monkeypatch.setattr(kind, "__call__", recorded)
    run = trained(space, "mmhand", GENERATOR, alpha=ALPHA, depth=name)
    assert run.name == f"hands-mmhand-{ALPHA}-depth-{name}"
    ref = read_run(run).depth
    assert ref is not None
    assert ref.name == name
    seen = len(asked)
    store = space.store("hands")
    # Every map of the reduced set was made in training, or is made here for the first time.
    made = space.store(augment("hands", ALPHA, run=run.name, workers=1, workspace=space))
    assert len(made) == len(split_store(store, ALPHA).held_out)
    assert seen < len(asked) <= len(split_store(store, ALPHA).reduced) + len(made)
    # The record itself checks that every later map is the first one again: by another provider, in another batch.
    batch = Hands(store, made.column("target_slot"), 32).batch(np.arange(len(made)), pixels=False)
    known = len(asked)
    used_depth(run, ref)(batch.joints_mm, batch.camera, 32)
    assert len(asked) == known


def test_another_provider_trains_other_weights(space: Workspace) -> None:
    runs = [
        trained(space, "mmhand", GENERATOR, alpha=ALPHA, depth=name, name=f"by-{name}")
        for name in ("capsules", "simulator", "deep")
    ]
    assert len({load_run(run, read_run(run))[1] for run in runs}) == 3
    assert read_run(runs[0]).depth is None


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(space: Workspace) -> None:
    run = trained(space, "mmhand", GENERATOR, alpha=ALPHA, depth="deep")
    trees = []
    for workers in (1, 2):
        made = Path(augment("hands", ALPHA, run=run.name, workers=workers, overwrite=True, workspace=space))
        trees.append(tree(made))
    assert trees[0] == trees[1]


def test_a_depth_run_sees_the_depth_of_its_reduced_set_alone(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = space.store("hands")
    reads = Reads(store.address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        trained(space, "pose_to_depth", DEPTH, alpha=ALPHA, name="watched", overwrite=True)
    assert reads.pixels == reads.labels == set(split_store(store, ALPHA).reduced.tolist())


# --- runs that use runs -------------------------------------------------------------------------------------------


def test_a_run_that_is_gone_or_changed_is_one_sentence(space: Workspace, tmp_path: Path) -> None:
    run = trained(space, "mmhand", GENERATOR, alpha=ALPHA, depth="deep")
    shutil.copytree(space.root / "runs", tmp_path / "runs")
    moved = tmp_path / "runs" / run.name
    load_run(moved, read_run(moved))  # a folder of runs may move as a whole
    trained(space, "pose_to_depth", DEPTH, store="other", seed=1, name=str(tmp_path / "runs" / "deep"), overwrite=True)
    with pytest.raises(UsageError, match=f"expected the weights .* that {run.name} was trained with, found others"):
        load_run(moved, read_run(moved))
    shutil.rmtree(tmp_path / "runs" / "deep")
    with pytest.raises(MissingError, match=f"expected the run deep beside {run.name}, which uses it, found none"):
        load_run(moved, read_run(moved))
    with pytest.raises(MissingError, match="expected the run deep beside"):
        trained(space, "mmhand", GENERATOR, depth=str(space.run("deep")), name=str(tmp_path / "runs" / "far"))


def test_the_provider_is_part_of_what_fixes_a_training(space: Workspace) -> None:
    run = trained(space, "mmhand", GENERATOR, name="fixed")
    with pytest.raises(Exception, match="another depth"):
        trained(space, "mmhand", GENERATOR, name="fixed", depth="simulator")
    record = json.loads((run / "run.json").read_text())
    older = {key: value for key, value in record.items() if key not in ("depth", "guide")}
    (run / "run.json").write_bytes(msgspec.json.encode(older))
    assert trained(space, "mmhand", GENERATOR, name="fixed") == run
    load_run(run, read_run(run))


def test_what_cannot_make_depth_or_saw_more_is_refused(space: Workspace) -> None:
    with pytest.raises(UsageError, match="a generator that reads depth, found hpm3d"):
        trained(space, "hpm3d", ESTIMATOR, depth="simulator")
    with pytest.raises(UsageError, match="a generator that reads depth, found pose_to_depth"):
        trained(space, "pose_to_depth", DEPTH, depth="simulator")
    judge = trained(space, "hpm3d", ESTIMATOR, alpha=ALPHA).name
    with pytest.raises(UsageError, match="capsules, simulator or the run of a system that makes depth, found a run of"):
        trained(space, "mmhand", GENERATOR, depth=judge)
    with pytest.raises(MissingError, match="a run named nowhere"):
        trained(space, "mmhand", GENERATOR, depth="nowhere")
    whole = trained(space, "pose_to_depth", DEPTH).name
    with pytest.raises(UsageError, match=f"found {whole}, which saw more"):
        trained(space, "mmhand", GENERATOR, alpha=ALPHA, depth=whole)
    trained(space, "mmhand", GENERATOR, depth=whole)


def test_a_store_without_depth_teaches_none(space: Workspace) -> None:
    flat = [replace(sample, depth_mm=None) for sample in make_samples(8)]
    make_store(space.root / "stores" / "flat", samples=flat, size=48, pixels=("rgb",))
    with pytest.raises(UsageError, match="a store with depth for pose_to_depth, found one without"):
        trained(space, "pose_to_depth", DEPTH, store="flat")


def test_a_run_that_is_named_as_a_provider_is_a_run(space: Workspace) -> None:
    for name in ("capsules", "simulator"):
        trained(space, "pose_to_depth", DEPTH, store="other", name=name)
        run = trained(space, "mmhand", GENERATOR, depth=str(space.run(name)), name=f"named-{name}")
        system: Any = load_run(space.run(name), read_run(space.run(name)))[0]
        assert same(used_depth(run, read_run(run).depth)(*hands(1), 32), system.depth_mm(*hands(1), 32))


def test_a_guide_is_recorded_and_saw_the_reduced_set_alone(space: Workspace) -> None:
    guide = trained(space, "hpm3d", ESTIMATOR, alpha=ALPHA, name="guide").name
    run = trained(space, "mmhand", POSE_LOSS, alpha=ALPHA, guide=guide)
    assert run.name == f"hands-mmhand-{ALPHA}-guide-guide"
    info = read_run(run)
    assert info.guide is not None
    assert (info.guide.name, info.guide.weights) == ("guide", load_run(space.run(guide), read_run(space.run(guide)))[1])
    plain = trained(space, "mmhand", GENERATOR, alpha=ALPHA)
    assert load_run(run, info)[1] != load_run(plain, read_run(plain))[1]
    whole = trained(space, "hpm3d", ESTIMATOR, name="seen-all").name
    with pytest.raises(UsageError, match="which saw more"):
        trained(space, "mmhand", POSE_LOSS, alpha=ALPHA, guide=whole)
    # What guided the start guides the rest.
    elsewhere = trained(space, "mmhand", POSE_LOSS, store="other", guide=whole).name
    with pytest.raises(UsageError, match="found seen-all, which saw more"):
        trained(space, "mmhand", GENERATOR, alpha=ALPHA, start=elsewhere)
    with pytest.raises(UsageError, match="a system with a pose loss to guide, found none"):
        trained(space, "mmhand", GENERATOR, alpha=ALPHA, guide=guide)
    with pytest.raises(UsageError, match="a trained estimator for the pose loss"):
        trained(space, "mmhand", POSE_LOSS, alpha=ALPHA, name="unguided")


# --- scores -------------------------------------------------------------------------------------------------------


def test_depth_is_scored_on_the_test_split_beside_capsules(space: Workspace) -> None:
    path = evaluate("deep", workspace=space)
    evaluation = parse(path.read_bytes(), Evaluation, path)
    assert (evaluation.split, evaluation.samples) == ("test", len(split_store(space.store("other")).test))
    assert [(row.name, row.trivial) for row in evaluation.rows] == [("pose_to_depth", False), ("drawn capsules", True)]
    for row in evaluation.rows:
        assert set(row.values) == {"depth_mae_mm", "silhouette_iou"}
        assert 0 <= row.values["silhouette_iou"] <= 1
    with pytest.raises(UsageError, match="a generator's run beside --judge"):
        evaluate("deep", judge="deep", workspace=space)
