"""Rendering a store's poses anew: words and cameras stay, joints nearly; what cannot be fitted says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import DataError, UsageError
from handsynth.hand.sample import ABSENT, DERIVED, HandSample
from handsynth.runtime.settings import convert
from handsynth.simulator import SimulatorSettings
from handsynth.simulator import simulate as simulate_hands
from handsynth.stages.ingest import ingest
from handsynth.stages.rerender import Residuals
from handsynth.stages.simulate import simulate
from handsynth.stages.verify import verify
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.store.schema import Source, StorePlan
from handsynth.store.write import finish, write_shard, writing
from tests.stages.small import tree

SIZE = 40


def drawn(count: int = 6, **changes: object) -> list[HandSample]:
    settings = convert({"size": SIZE, "seed": 5, "subjects": 2} | changes, SimulatorSettings, "the test")
    return list(simulate_hands(settings, 0, count))


def keep(root: Path, samples: list[HandSample]) -> Workspace:
    """A workspace with the samples as the store ``real``."""
    address = str(root / "stores" / "real")
    plan = StorePlan(source=Source(kind="dataset", name="test"), slots=max(len(samples), 1), size=SIZE, shard_size=64)
    with writing(address, plan):
        write_shard(address, plan, 0, ((slot, sample, None) for slot, sample in enumerate(samples)))
        finish(address, plan)
    return Workspace.of(root)


def pair(space: Workspace, **changes: object) -> tuple[Store, Store]:
    """The store and what is rendered of it."""
    address = simulate(poses="real", workers=1, workspace=space, **changes)  # type: ignore[arg-type]
    return space.store("real"), space.store(address)


@pytest.mark.parametrize("person", ["subject", "frame"])
def test_words_cameras_and_poses_stay(tmp_path: Path, person: str) -> None:
    old, new = pair(keep(tmp_path, drawn()), person=person)
    assert len(new) == len(old)
    assert verify(new.address, workspace=tmp_path).ok
    for slot in old.slots:
        one, other = old.sample(int(slot)), new.sample(int(slot))
        for word in ("key", "side", "subject", "sequence", "frame", "view", "moment", "split", "camera"):
            assert getattr(one, word) == getattr(other, word), word
        assert one.joints_mm is not None
        assert other.joints_mm is not None
        assert np.linalg.norm(one.joints_mm - other.joints_mm, axis=-1).mean() < 3
        assert np.array_equal(other.extra["target_mm"], one.joints_mm)
        projected = other.projected()
        assert projected is not None
        assert other.keypoints_px is not None
        assert np.abs(projected - other.keypoints_px).max() < 0.01
        assert other.rgb is not None
        assert other.mask is not None
        assert other.depth_mm is not None
        assert not np.array_equal(one.rgb, other.rgb)  # type: ignore[arg-type]
    residuals = Residuals()
    residuals.add_store(new)
    assert "0 of 6 samples could not be fitted" in residuals.summary()


def test_the_hand_covers_the_hand_it_was_fitted_to(tmp_path: Path) -> None:
    samples = drawn(4, side="left")
    _, new = pair(keep(tmp_path, samples))
    for slot, sample in enumerate(samples):
        hand = [(image > 1) & (image < 18) for image in (sample.mask, new.mask([slot])[0]) if image is not None]
        assert (hand[0] & hand[1]).sum() / (hand[0] | hand[1]).sum() > 0.75


def test_only_labelled_joints_count_and_what_cannot_be_fitted_says_why(tmp_path: Path) -> None:
    samples = drawn(5)
    wrong = samples[0].joints_mm + np.float32(200)  # type: ignore[operator]
    state = samples[0].joint_state.copy()
    state[[0, 5, 9]] = DERIVED
    moved = np.where((state == DERIVED)[:, None], wrong, samples[0].joints_mm)  # type: ignore[arg-type]
    few = np.full(21, ABSENT, dtype=np.uint8)
    few[:3] = 1
    given = [
        replace(samples[0], joints_mm=moved.astype(np.float32), joint_state=state),
        replace(samples[1], joint_state=few),
        replace(samples[2], camera=None),
        replace(samples[3], side="unknown"),
        replace(samples[4], joints_mm=samples[4].joints_mm - np.float32([0, 0, 5000])),  # type: ignore[operator]
    ]
    old, new = pair(keep(tmp_path, given))
    assert list(new.slots) == [0]
    sample = new.sample(0)
    assert sample.joints_mm is not None
    assert np.linalg.norm(sample.joints_mm - samples[0].joints_mm, axis=-1)[state != DERIVED].max() < 6  # type: ignore[operator]
    assert np.isnan(sample.extra["target_mm"][state == DERIVED]).all()
    reasons = dict(zip(new.rejects()["key"].to_pylist(), new.rejects()["reason"].to_pylist(), strict=True))
    assert set(reasons) == {sample.key for sample in given[1:]}
    for sample, words in zip(given[1:], ("4 labelled joints", "a camera", "side unknown", "before"), strict=True):
        assert words in reasons[sample.key]
    assert len(old) == 5


def test_a_hand_of_nobody_is_fitted_by_itself_and_workers_change_nothing(tmp_path: Path) -> None:
    samples = [replace(sample, subject=None) for sample in drawn(20)]
    trees = []
    for workers in (1, 2):
        space = keep(tmp_path / str(workers), samples)
        address = simulate(poses="real", count=18, workers=workers, workspace=space)
        trees.append(tree(Path(address)))
        assert len(space.store(address)) == 18
        # Nothing is done twice.
        assert simulate(poses="real", count=18, workers=1, workspace=space) == address
    assert trees[0] == trees[1]


def test_poses_are_written_as_raw_files_too(tmp_path: Path) -> None:
    space = keep(tmp_path, [sample for sample in drawn(8) if sample.side == "left"])
    folder = simulate(poses="real", as_="rhd", workers=1, workspace=space)
    address = ingest("rhd", folder, size=SIZE, workers=1, workspace=space)
    assert len(space.store(address)) == len(space.store("real"))


def test_wrong_wishes_are_refused(tmp_path: Path) -> None:
    space = keep(tmp_path, drawn(2))
    for changes in ({"person": "family"}, {"size": 64}, {"settings": ["camera=rhd"]}):
        with pytest.raises(UsageError):
            simulate(poses="real", workers=1, workspace=space, **changes)  # type: ignore[arg-type]
    empty = keep(tmp_path / "empty", [])
    with pytest.raises(DataError, match="none"):
        simulate(poses="real", workers=1, workspace=empty)
