"""Weights that others trained: a file the user gives, known by its checksum, read without running anything in it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from handsynth.errors import DataError, MissingError, UsageError, sentence
from handsynth.runtime import files
from handsynth.runtime.settings import Settings

Network = TypeVar("Network", bound=nn.Module)


class WeightsFile(Settings, frozen=True, kw_only=True):
    """A file of weights as ``torch.save`` writes a state dict, and what its bytes must be."""

    path: str
    sha256: str
    """Of the whole file, or its first 8 hex digits or more, as they stand in torchvision's file names."""


def load_pretrained(network: Network, file: WeightsFile, what: str, prefix: str = "") -> Network:
    """Put a file's weights into a network, which it returns frozen and in eval mode.

    Args:
        network: whose parameter and buffer names the file must hold; it may hold more.
        file: where, and which bytes.
        what: the network's name in errors: "VGG-19 of torchvision".
        prefix: of the network's names in the file.

    Raises:
        MissingError: there is no such file.
        UsageError: the checksum is too short to tell anything.
        DataError: other bytes, something else than tensors, or weights of another network.
    """
    path = Path(file.path).expanduser()
    if len(file.sha256) < 8:
        raise UsageError(sentence("8 hex digits of sha256 or more", repr(file.sha256), f"the checksum of {what}"))
    if not path.is_file():
        advice = "handsynth fetches no weights: download the file, then name its path and sha256"
        raise MissingError(sentence(f"weights of {what}", "no file", path, advice))
    found = files.sha256(path)
    if not found.startswith(file.sha256.lower()):
        raise DataError(sentence(f"{what} of sha256 {file.sha256[:12]}", found[:12], path))
    held = read_tensors(path)
    wanted = network.state_dict()
    for name, value in wanted.items():
        other = held.get(prefix + name)
        if other is None or other.shape != value.shape:
            shown = "none" if other is None else f"shape {tuple(other.shape)}"
            raise DataError(sentence(f"{what} with {prefix}{name} {tuple(value.shape)}", shown, path))
    network.load_state_dict({name: held[prefix + name] for name in wanted})
    return network.eval().requires_grad_(False)


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a state dict by name, whatever else is in it left out; none where the file holds another thing.

    Raises:
        DataError: torch cannot read the file, or reading it would run code.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds, from UnpicklingError to RuntimeError
        why = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise DataError(sentence("a state dict of tensors", f"what torch cannot read ({why})", path)) from None
    held = state if isinstance(state, dict) else {}
    return {str(name): value for name, value in held.items() if isinstance(value, torch.Tensor)}
