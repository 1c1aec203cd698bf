"""Any layout and back through ``convert``: what both layouts hold comes back within their declared tolerances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from handsynth.formats import get_format
from handsynth.formats.catalogue import open_catalogue
from handsynth.hand.joints import JOINTS
from handsynth.hand.sample import HandSample
from handsynth.stages.convert import convert
from tests.formats.cases import CASES, Case
from tests.formats.test_family import PER_JOINT, assert_close, middle_tip, prepared

HOLDER = "webdataset"
"""It holds every field, so what goes missing on the way went missing in the other layout."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.format}-{case.camera}")
def test_there_and_back(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDSYNTH_CACHE", str(tmp_path / "cache"))
    samples = prepared(case)
    holder, other = get_format(HOLDER), get_format(case.format)
    holder.write(tmp_path / "a", samples, holder.options_type())
    options = [f"{name}={json.dumps(value)}" for name, value in case.options]
    there = convert(HOLDER, tmp_path / "a", case.format, tmp_path / "b", as_settings=options)
    back = convert(case.format, tmp_path / "b", HOLDER, tmp_path / "c", settings=options)
    assert there.samples == back.samples == len(samples)
    lost = "; ".join(there.not_held)
    for name in ("rgb", "depth_mm", "mask", "visible"):
        known = any(getattr(sample, name) is not None for sample in samples)
        assert (f"no {name}" in lost) == (known and name not in other.fields), lost
    known = ~np.isin(JOINTS, case.absent)
    for want, got in zip(ordered(samples), ordered(read(tmp_path / "c")), strict=True):
        for name in set(other.fields) & set(holder.fields):
            wanted, value = getattr(want, name), getattr(got, name)
            if wanted is not None and name in PER_JOINT:
                wanted, value = wanted[known], value[known]
            if wanted is not None:
                tolerance = other.fields[name].tolerance + 2 * holder.fields[name].tolerance
                assert_close(wanted, value, tolerance, f"{name} of {got.key}")


def read(root: Path) -> list[HandSample]:
    holder = get_format(HOLDER)
    return [holder.load(root, row) for row in open_catalogue(holder, root, holder.options_type()).table.to_pylist()]


def ordered(samples: list[HandSample]) -> list[HandSample]:
    """Most layouts number samples anew: they are told apart by where a fingertip is."""
    return sorted(samples, key=lambda sample: middle_tip(sample.joints_mm))  # type: ignore[arg-type]
