"""Leak-free by construction: which pixels and labels are read, and which stores may be added."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.stages.augment import augment
from handsynth.stages.origins import poses_of
from handsynth.stages.simulate import simulate
from handsynth.stages.train import run_name, train
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training import loop
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace, tree
from tests.stores import make_store

ALPHA = 0.4
LABELS = {"joints_mm", "keypoints_px", "camera", "joint_state", "keypoint_state", "visible", "extra"}


class Reads:
    """Slots of one store whose pixels and whose labels were read."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pixels: set[int] = set()
        self.labels: set[int] = set()

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._wrap(monkeypatch, "_gather", lambda store, field, slots, *rest: self.pixels.update(map(int, slots)))

        def column(store: Store, name: str, slots: Any = None) -> None:
            if name in LABELS:
                self.labels.update(map(int, store.slots if slots is None else slots))

        self._wrap(monkeypatch, "column", column)

        def samples(store: Store, slots: Any = None, pixels: bool = True) -> None:  # ``sample`` is one of them
            self.labels.update(map(int, store.slots if slots is None else slots))

        self._wrap(monkeypatch, "samples", samples)

        def table(store: Store, columns: Any = None) -> None:
            if (columns is None or LABELS & set(columns)) and not _within_reader():
                self.labels.update(map(int, store.slots))

        self._wrap(monkeypatch, "table", table)

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str, note: Callable[..., Any]) -> None:
        original = getattr(Store, name)

        def watched(store: Store, *arguments: Any, **more: Any) -> Any:
            if store.address == self.address:
                note(store, *arguments, **more)
            return original(store, *arguments, **more)

        monkeypatch.setattr(Store, name, watched)


def _within_reader() -> bool:
    """``column`` and ``samples`` read whole columns from Parquet and give rows: what they give is what counts."""
    return any(frame.function in ("column", "samples") for frame in inspect.stack())


@pytest.fixture
def space(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path)


def test_a_generator_and_its_sources_see_the_reduced_set_alone(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = space.store("hands")
    split = split_store(store, ALPHA, seed=1)
    reduced, held_out = set(split.reduced.tolist()), set(split.held_out.tolist())
    reads = Reads(store.address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        train("mmhand", "hands", alpha=ALPHA, seed=1, steps=STEPS, settings=GENERATOR, workspace=space)
    assert reads.pixels == reduced
    assert reads.labels == reduced
    with monkeypatch.context() as patch:
        reads.watch(patch)
        made = augment("hands", ALPHA, seed=1, steps=STEPS, settings=GENERATOR, workers=1, workspace=space)
    assert reads.pixels <= reduced
    assert reads.labels == reduced | held_out
    augmented = space.store(made)
    assert set(augmented.column("source_slot")) <= reduced
    assert set(augmented.column("target_slot")) == held_out
    np.testing.assert_array_equal(augmented.column("split"), "train")


def test_an_estimator_sees_its_training_set_alone(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    store = space.store("hands")
    split = split_store(store, ALPHA)
    reads = Reads(store.address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        train("hpm3d", "hands", alpha=ALPHA, steps=9, settings=ESTIMATOR, workspace=space)
    assert reads.pixels == reads.labels == set(split.reduced.tolist())


def test_images_made_from_another_reduced_set_are_refused(space: Workspace) -> None:
    made = augment("hands", ALPHA, seed=1, steps=STEPS, settings=GENERATOR, workers=1, workspace=space)
    train("hpm3d", "hands", alpha=ALPHA, seed=1, add=made, steps=STEPS, settings=ESTIMATOR, workspace=space)
    for other in ({"alpha": ALPHA, "seed": 2}, {"alpha": 0.6, "seed": 1}):
        with pytest.raises(UsageError, match="made from this reduced set"):
            train("hpm3d", "hands", add=made, steps=STEPS, settings=ESTIMATOR, workspace=space, **other)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="a store of real or simulated images, found an augmented one"):
        train("hpm3d", made, steps=STEPS, settings=ESTIMATOR, workspace=space)


def test_simulated_hands_join_by_their_training_split(space: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def simulated(name: str, plan_settings: dict[str, Any]) -> str:
        store = make_store(space.root / "stores" / name, count=8, size=48, kind="simulator", settings=plan_settings)
        return store.address

    address = simulated("sim", {})
    reads = Reads(address)
    with monkeypatch.context() as patch:
        reads.watch(patch)
        folder = train("hpm3d", "hands", alpha=ALPHA, add=address, steps=9, settings=ESTIMATOR, workspace=space)
    assert reads.pixels == reads.labels == set(split_store(space.store(address)).reduced.tolist())
    assert folder.name == f"hands-hpm3d-{ALPHA}-add-sim"
    rerendered = simulated("rerendered", {"poses": {"store": space.store("hands").hash}})
    of_sim = simulated("of_sim", {"poses": {"store": space.store("sim").hash}})
    for store, leaky in (("hands", rerendered), ("hands", "hands"), (of_sim, address)):
        with pytest.raises(UsageError, match="other simulated ones"):
            train("hpm3d", store, alpha=ALPHA, add=leaky, steps=1, settings=ESTIMATOR, workspace=space)


def test_a_store_in_the_poses_of_another_has_seen_them(space: Workspace) -> None:
    settings = {"poses": {"store": space.store("hands").hash}}
    make_store(space.root / "stores" / "rerendered", count=8, size=48, kind="simulator", settings=settings)
    runs = {
        store: train("hpm3d", store, alpha=ALPHA, steps=1, settings=ESTIMATOR, workspace=space).name
        for store in ("hands", "rerendered")
    }
    for store, other in (("hands", "rerendered"), ("rerendered", "hands")):
        with pytest.raises(UsageError, match=f"found {runs[other]}, which saw more"):
            train("hpm3d", store, alpha=ALPHA, start=runs[other], steps=1, settings=ESTIMATOR, workspace=space)


def test_poses_are_followed_along_a_chain_of_renderings(tmp_path: Path) -> None:
    space = Workspace(tmp_path)
    simulate(10, size=48, out="one", settings=["subjects=2"], workers=1, workspace=space)
    for poses, out in (("one", "two"), ("two", "three")):
        simulate(poses=poses, out=out, workers=1, workspace=space)
    made = augment("two", 0.5, "simulator", workers=1, workspace=space)
    simulate(poses=made, out="of-made", workers=1, workspace=space)
    chain = ("one", "two", "three", "of-made")
    assert [poses_of(space.store(name)) for name in chain] == ["", *[space.store("one").hash] * 3]
    shared: dict[str, Any] = {"steps": 1, "settings": ESTIMATOR, "workspace": space}
    runs = {name: train("hpm3d", name, **shared).name for name in chain}
    for name, other in permutations(chain, 2):
        with pytest.raises(UsageError, match=f"found {runs[other]}, which saw more"):
            train("hpm3d", name, alpha=ALPHA, start=runs[other], **shared)
        with pytest.raises(UsageError, match="other simulated ones"):
            train("hpm3d", name, alpha=ALPHA, add=other, **shared)


def test_a_start_that_saw_more_of_the_store_is_refused(space: Workspace) -> None:
    def trained(alpha: float, **more: Any) -> str:
        return train("hpm3d", "hands", alpha=alpha, steps=1, settings=ESTIMATOR, workspace=space, **more).name

    few, all_of_it = trained(ALPHA), trained(1.0)
    again = trained(ALPHA, start=few)
    assert again == f"hands-hpm3d-{ALPHA}-from-{few}"
    with pytest.raises(UsageError, match=f"found {all_of_it}, which saw more"):
        trained(ALPHA, start=all_of_it)
    make_store(space.root / "stores" / "others", count=8, size=48)
    elsewhere = train("hpm3d", "others", start=all_of_it, steps=1, settings=ESTIMATOR, workspace=space).name
    with pytest.raises(UsageError, match="which saw more"):
        trained(ALPHA, start=elsewhere)
    trained(ALPHA, start=train("hpm3d", "others", steps=1, settings=ESTIMATOR, workspace=space).name)
    with pytest.raises(UsageError, match="a trained run of mmhand, found one of hpm3d"):
        train("mmhand", "hands", alpha=ALPHA, start=few, settings=GENERATOR, workspace=space)


def test_a_start_is_known_by_its_weights_and_lies_beside_what_began_with_it(space: Workspace, tmp_path: Path) -> None:
    make_store(space.root / "stores" / "others", count=8, size=48)
    shared: dict[str, Any] = {"steps": 1, "settings": ESTIMATOR, "workspace": space}
    train("hpm3d", "hands", name="first", **shared)
    train("hpm3d", "others", name="then", start="first", **shared)
    shutil.copytree(space.root / "runs", tmp_path / "elsewhere")
    train("hpm3d", "hands", alpha=ALPHA, name="first", overwrite=True, **shared)
    with pytest.raises(UsageError, match=r"expected the weights .* that then was trained with, found others"):
        train("hpm3d", "hands", alpha=ALPHA, start="then", **shared)
    with pytest.raises(UsageError, match="found first, which saw more"):
        train("hpm3d", "hands", alpha=ALPHA, start=str(tmp_path / "elsewhere" / "then"), **shared)
    shutil.rmtree(tmp_path / "elsewhere" / "first")
    with pytest.raises(MissingError, match="the run first beside then"):
        train("hpm3d", "hands", alpha=ALPHA, start=str(tmp_path / "elsewhere" / "then"), **shared)


def test_a_finished_run_gives_way_only_to_a_training_that_begins(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared: dict[str, Any] = {"alpha": ALPHA, "steps": 1, "workspace": space}
    folder = train("hpm3d", "hands", name="kept", settings=ESTIMATOR, **shared)
    train("hpm3d", "hands", name="wide", settings=[*ESTIMATOR, "head_hidden=20"], **shared)
    before = tree(folder)
    again: dict[str, Any] = {**shared, "name": "kept", "overwrite": True}
    with pytest.raises(UsageError, match="another name than those of runs it uses, found kept"):
        train("hpm3d", "hands", start="kept", settings=ESTIMATOR, **again)
    with pytest.raises(DataError, match=r"the network .* of this training"):
        train("hpm3d", "hands", start="wide", settings=ESTIMATOR, **again)
    with pytest.raises(UsageError, match="a trained estimator for the pose loss"):
        train("mmhand", "hands", settings=[*GENERATOR, "pose_maps_weight=1"], **again)
    monkeypatch.setattr(loop, "estimate_seconds", lambda *arguments: 1e6)
    with pytest.raises(UsageError, match="a training under an hour"):
        train("hpm3d", "hands", seed=3, settings=ESTIMATOR, yes=False, **again)
    assert tree(folder) == before


def test_a_name_says_what_sets_a_run_apart(space: Workspace) -> None:
    name = run_name(space.store("hands"), "hpm3d", ALPHA, 1, False, None, "tiny", weights_seed=5)
    assert name == f"hands-hpm3d-{ALPHA}-tiny-weights5-seed1"


def test_systems_of_a_cell_share_the_reduced_set(space: Workspace) -> None:
    from handsynth.training.run import read_run

    runs = [
        train(system, "hands", alpha=ALPHA, seed=4, steps=1, settings=settings, workspace=space)
        for system, settings in (("mmhand", GENERATOR), ("hpm3d", ESTIMATOR))
    ]
    assert len({read_run(run).reduced_set for run in runs}) == 1


@pytest.mark.parametrize("alpha", [0.0, 1.0, 1.5])
def test_a_share_that_holds_nothing_out_is_refused(space: Workspace, alpha: float) -> None:
    with pytest.raises(UsageError, match="share between 0 and 1"):
        augment("hands", alpha, workspace=space)
    assert not (space.root / "runs").exists()
