"""Checkpoints: ``STEP.pt`` holds tensors and plain numbers, ``STEP.json`` says what they are. Loading runs no code."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from handsynth.errors import DataError, MissingError, sentence
from handsynth.runtime import files
from handsynth.runtime.settings import Settings, parse, pretty_json


class CheckpointInfo(Settings, frozen=True, kw_only=True):
    """The sidecar of one checkpoint."""

    system: str
    step: int
    settings_hash: str
    sha256: str
    """Of the file's bytes."""
    weights: str
    """sha256 of the weights alone, averaged ones included: equal for a run made in one go and one that was resumed."""
    tensors: dict[str, list[int]]
    """Shape of every network tensor, by ``network.name``."""


def save_checkpoint(folder: Path, step: int, system: str, settings_hash: str, state: dict[str, Any]) -> Path:
    """Write a checkpoint whole, then drop older ones: the newest is all that resuming and inference need.

    Args:
        state: ``networks`` (name -> state dict), and whatever else the loop resumes from.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path = folder / f"{step:07d}.pt"
    checksum = files.write(path, buffer.getbuffer())
    shapes = {
        f"{name}.{key}": list(value.shape)
        for name, tensors in state["networks"].items()
        for key, value in tensors.items()
    }
    info = CheckpointInfo(
        system=system,
        step=step,
        settings_hash=settings_hash,
        sha256=checksum,
        weights=_hash_weights(state),
        tensors=shapes,
    )
    files.write(path.with_suffix(".json"), pretty_json(info))
    for older in folder.glob("*.pt"):
        if older.stem < path.stem:
            older.with_suffix(".json").unlink(missing_ok=True)
            older.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: its sidecar, written last, is there."""
    whole = [path for path in sorted(folder.glob("*.pt")) if path.with_suffix(".json").is_file()]
    return whole[-1] if whole else None


def newest_weights(folder: Path) -> str:
    """Hash of the weights in a folder's newest checkpoint; empty where there is none.

    Raises:
        DataError: its sidecar is damaged.
    """
    newest = latest_checkpoint(folder)
    if newest is None:
        return ""
    sidecar = newest.with_suffix(".json")
    return parse(sidecar.read_bytes(), CheckpointInfo, sidecar).weights


def load_checkpoint(path: Path, settings_hash: str | None = None) -> tuple[CheckpointInfo, dict[str, Any]]:
    """Read a checkpoint and check it.

    Raises:
        MissingError: there is no such file or sidecar.
        DataError: it is damaged, tries to run code, or was made with other settings than ``settings_hash``.
    """
    sidecar = path.with_suffix(".json")
    if not path.is_file() or not sidecar.is_file():
        raise MissingError(sentence("a checkpoint with its .json", "none", path, "train first: handsynth train SYSTEM"))
    info = parse(sidecar.read_bytes(), CheckpointInfo, sidecar)
    if files.sha256(path) != info.sha256:
        raise DataError(sentence(f"a checkpoint of sha256 {info.sha256[:12]}...", "other bytes", path, "train again"))
    if settings_hash is not None and info.settings_hash != settings_hash:
        found = f"one of others ({info.settings_hash[:8]})"
        raise DataError(sentence(f"a checkpoint of these settings ({settings_hash[:8]})", found, path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, from UnpicklingError to RuntimeError
        found = str(error).splitlines()[0]
        raise DataError(sentence("tensors and plain numbers", found, path, "train again")) from None
    return info, state


def _hash_weights(state: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for part in ("networks", "averaged"):
        for name, tensors in sorted(state.get(part, {}).items()):
            for key, value in sorted(tensors.items()):
                digest.update(f"{part}.{name}.{key} {tuple(value.shape)} {value.dtype}\n".encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
