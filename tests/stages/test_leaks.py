"""Leak-free by construction: which pixels and labels are read, and which stores may be added."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handsynth.errors import UsageError
from handsynth.stages.augment import augment
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.splits import split_store
from tests.stages.small import ESTIMATOR, GENERATOR, STEPS, make_workspace
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
        self._wrap(monkeypatch, "sample", lambda store, slot, *rest, **more: self.labels.add(int(slot)))

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
    """``column`` and ``sample`` read whole columns from Parquet and give rows: what they give is what counts."""
    return any(frame.function in ("column", "sample") for frame in inspect.stack())


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
    for leaky in (simulated("rerendered", {"poses": "hands"}), "hands"):
        with pytest.raises(UsageError, match="other simulated ones"):
            train("hpm3d", "hands", alpha=ALPHA, add=leaky, steps=1, settings=ESTIMATOR, workspace=space)


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
