"""Which pairs a generator learns from, by its settings: drawn once or anew for every epoch, in order or shuffled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handsynth.poseindex.distance import pose_distance
from handsynth.runtime.settings import override
from handsynth.stages.systems import build_system, system_kind
from handsynth.stages.train import pose_features, training_batches
from handsynth.training.splits import split_store
from handsynth.training.system import PairBatch
from tests.stages.small import GENERATOR
from tests.stores import make_store


@pytest.mark.parametrize("curriculum", [True, False])
@pytest.mark.parametrize("redraw", [True, False])
@pytest.mark.parametrize("pairs", ["any", "sequence"])
def test_the_settings_reach_the_batches(tmp_path: Path, pairs: str, redraw: bool, curriculum: bool) -> None:
    store = make_store(tmp_path / "hands", count=32, size=32)
    split = split_store(store)
    switches = (f"redraw_pairs={str(redraw).lower()}", f"curriculum={str(curriculum).lower()}", f"pairs={pairs}")
    whole = f"batch={len(split.reduced)}"  # an epoch is one batch
    settings = override(system_kind("mmhand").presets["tiny"], (*GENERATOR, whole, *switches))
    batches = training_batches(build_system("mmhand", settings, 0), store, split, None, 0)

    def epoch(number: int) -> tuple[list[int], list[int]]:
        batch = batches(number)
        assert isinstance(batch, PairBatch)
        return batch.source.slots.tolist(), batch.target.slots.tolist()

    first, second = epoch(0), epoch(1)
    sequence = dict(zip(store.slots.tolist(), store.column("sequence"), strict=True))
    alike = [sequence[source] == sequence[target] for source, target in zip(*first, strict=True)]
    assert len(set(sequence.values())) > 1
    assert (np.mean(alike) > 0.8) == (pairs == "sequence")  # some stand alone in their sequence
    assert (set(zip(*first, strict=True)) == set(zip(*second, strict=True))) is not redraw
    for source, target in (first, second):
        distances = pose_distance(pose_features(store, np.array(source)), pose_features(store, np.array(target)))
        assert (np.diff(distances) >= 0).all() == curriculum
