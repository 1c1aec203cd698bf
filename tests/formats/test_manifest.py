"""Manifests: every shipped one reads; what they say of units and axes is what the formats do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handsynth.errors import DataError, UsageError
from handsynth.formats import format_names, manifest
from handsynth.formats.manifest import load_manifest, manifest_names
from handsynth.hand.joints import JOINTS
from handsynth.runtime import files

POINTS = {"icvl": 16, "nyu": 36}
"""How many points a source labels, where it is not 21."""
LACKING = {"icvl": 6}
"""How many of our joints a source lacks, where it is not the wrist of those that label the palm."""


@pytest.mark.parametrize("name", manifest_names())
def test_shipped_manifests_are_whole(name: str) -> None:
    read = load_manifest(name)
    assert read.name == name
    assert name in format_names()
    assert len(read.joints) == len(set(read.joints)) == POINTS.get(name, 21)
    assert (read.order < 0).sum() == LACKING.get(name, 1 if read.root == "palm" else 0)
    assert len(read.source_words) in (0, len(read.joints))
    assert len(read.scored) == len(read.evaluation or read.joints)
    assert set(read.derived) <= set(JOINTS) - set(read.joints)
    assert set().union(*read.derived.values()) <= set(read.joints)
    assert np.isin(np.abs(read.to_mm), [1, 10, 1000]).all()
    assert set(read.sides) <= {"left", "right"}
    for each in read.cameras:
        camera = read.camera(each)
        assert 0 < camera.cx < camera.width
        assert 0 < camera.cy < camera.height
    for each in read.transforms:
        rotation = np.array(read.transform(each).rotation)
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    for text in (read.title, read.page, read.licence, read.paper, read.layout, read.splits, read.moments):
        assert text
        assert "://" not in text, "pages are named, not guessed"


def test_msra_is_turned_to_the_camera_frame() -> None:
    assert load_manifest("msra15").to_mm.tolist() == [1, -1, -1]
    assert load_manifest("rhd").to_mm.tolist() == [1000, 1000, 1000]


def test_unknown_dataset_lists_the_known() -> None:
    with pytest.raises(UsageError, match=r"ge_realworld, .*msra15"):
        load_manifest("mnist")


def test_a_crooked_manifest_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "odd.toml").write_text('name = "odd"\nunit = 3\n')
    monkeypatch.setattr(files, "shipped", lambda kind: tmp_path)
    assert manifest.manifest_names() == ["odd"]
    with pytest.raises(DataError, match=r"odd\.toml"):
        load_manifest("odd")
