"""Weights of others: the right bytes load frozen; anything else is one sentence, and nothing in a file is run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.networks.pretrained import WeightsFile, load_pretrained
from handsynth.runtime import files


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def saved(folder: Path, value: Any) -> WeightsFile:
    path = folder / "weights.pth"
    torch.save(value, path)
    return WeightsFile(path=str(path), sha256=files.sha256(path))


def load(file: WeightsFile, prefix: str = "") -> nn.Sequential:
    return load_pretrained(network(), file, "a small network", prefix)


@pytest.mark.parametrize("prefix", ["", "features."])
@pytest.mark.parametrize("digits", [8, 64])
def test_the_right_file_loads_frozen(tmp_path: Path, prefix: str, digits: int) -> None:
    source = network()
    held = {prefix + name: value for name, value in source.state_dict().items()} | {"classifier.bias": torch.zeros(2)}
    file = saved(tmp_path, held)
    loaded = load(WeightsFile(path=file.path, sha256=file.sha256[:digits].upper()), prefix)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"weights of a small network, found no file .*download the file"):
        load(WeightsFile(path=str(tmp_path / "none.pth"), sha256="0" * 8))


def test_another_checksum(tmp_path: Path) -> None:
    file = saved(tmp_path, network().state_dict())
    other = "0" * 64 if file.sha256[0] != "0" else "1" * 64
    with pytest.raises(DataError, match=f"of sha256 {other[:12]}, found {file.sha256[:12]}"):
        load(WeightsFile(path=file.path, sha256=other))


@pytest.mark.parametrize("checksum", ["", "abcdef0"])
def test_a_checksum_too_short_to_tell_files_apart(tmp_path: Path, checksum: str) -> None:
    file = saved(tmp_path, network().state_dict())
    with pytest.raises(UsageError, match="8 hex digits of sha256 or more"):
        load(WeightsFile(path=file.path, sha256=checksum))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"1.weight": torch.zeros(4)}, r"with 0\.weight \(4, 3, 3, 3\), found none"),
        (network().state_dict() | {"0.weight": torch.zeros(4, 3, 1, 1)}, r"found shape \(4, 3, 1, 1\)"),
        (network().state_dict() | {"0.bias": 3}, r"with 0\.bias \(4,\), found none"),
        ([torch.zeros(3)], r"with 0\.weight \(4, 3, 3, 3\), found none"),
    ],
    ids=["names", "shape", "no tensor", "no dict"],
)
def test_weights_of_another_network(tmp_path: Path, value: Any, found: str) -> None:
    with pytest.raises(DataError, match=found):
        load(saved(tmp_path, value))


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("executed",))


def test_a_pickle_that_executes_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = saved(tmp_path, network().state_dict() | {"more": Evil()})
    with pytest.raises(DataError, match="a state dict of tensors"):
        load(file)
    assert not (tmp_path / "executed").exists()


def test_a_file_that_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="a state dict of tensors"):
        load(WeightsFile(path=str(path), sha256=files.sha256(path)))
