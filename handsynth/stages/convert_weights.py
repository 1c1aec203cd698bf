"""Take over weights that a generator's authors trained: their state dicts in, one run folder of ours out.

The names are those of the PATN family (tengteng95/Pose-Transfer; VITA-Group/mm-hand: models/Generator.py,
models/Discriminator.py), whose networks lie layer by layer where ours do; files are named as their
models/base_model.py names them. That the weights on offer were saved by this very code is UNVERIFIED: none was at hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import torch
from torch import nn

from handsynth import __version__
from handsynth.errors import DataError, MissingError, StoreError, UsageError, sentence
from handsynth.networks.pretrained import read_tensors
from handsynth.runtime import files, progress
from handsynth.runtime.settings import canonical_json
from handsynth.stages.systems import build_system, system_kind
from handsynth.stages.workspace import Workspace
from handsynth.training.checkpoints import save_checkpoint
from handsynth.training.loop import settings_hash
from handsynth.training.run import RunInfo, StoreRef, read_run, write_run

_SYSTEMS = ("mmhand", "patn")
_PRESET = "published"
_UNKNOWN = StoreRef(name="unknown", hash="")
_GENERATOR_FILE = "netG"
_CRITIC_FILES = {"critic_pose": "netD_PB", "critic_appearance": "netD_PP"}


def convert_weights(
    system: str,
    file: str | Path,
    *,
    name: str | None = None,
    overwrite: bool = False,
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Write a run of preset ``published`` from an authors' checkpoint and return its folder.

    Args:
        system: ``mmhand`` or ``patn``.
        file: state dict of the generator, ``EPOCH_net_netG.pth``. Where ``EPOCH_net_netD_PB.pth`` and
            ``EPOCH_net_netD_PP.pth`` lie beside it the critics come from there; else they are fresh, which matters
            to further training alone.
        name: run folder; ``SYSTEM-published`` by default.
        overwrite: take the place of another run of that name.

    Raises:
        UsageError: no such system, or one whose authors' names are not known.
        MissingError, DataError: no such file, one that holds other networks, or one that would run code.
        StoreError: another run of that name is there.
    """
    if system not in _SYSTEMS:
        raise UsageError(sentence(f"one of {', '.join(_SYSTEMS)}", repr(system), "the system whose weights to convert"))
    path = Path(file)
    if not path.is_file():
        raise MissingError(sentence(f"weights of {system}'s generator", "no file", path))
    settings = system_kind(system).presets[_PRESET]
    made = build_system(system, settings, seed=0)
    networks = made.networks()
    _take(networks["generator"], path, f"{system}'s generator", _generator_name)
    for critic, label in _CRITIC_FILES.items():
        beside = path.with_name(path.name.replace(_GENERATOR_FILE, label))
        if beside != path and beside.is_file():
            _take(networks[critic], beside, f"{system}'s {label}", _critic_name)
        else:
            progress.say(f"no {label} beside {path.name}: {critic} begins untrained")
    info = RunInfo(
        name=name or f"{system}-{_PRESET}",
        system=system,
        family=made.family,
        preset=_PRESET,
        settings=msgspec.json.decode(canonical_json(settings)),
        store=_UNKNOWN,
        steps=0,
        samples=0,
        parameters=sum(parameter.numel() for network in networks.values() for parameter in network.parameters()),
        converted=files.sha256(path),
        handsynth=__version__,
    )
    folder = Workspace.of(workspace).new_run(info.name)
    if (folder / "run.json").is_file() and read_run(folder).converted != info.converted:
        if not overwrite:
            raise StoreError(
                sentence("a run of these weights, or none", "another", folder, "use --name or --overwrite")
            )
        shutil.rmtree(folder)
    write_run(folder, info)
    state = {
        "networks": {part: network.state_dict() for part, network in networks.items()},
        "optimizers": {},
        "system": made.state(),
        "averaged": {},
    }
    save_checkpoint(folder / "checkpoints", 0, system, settings_hash(made, info.seed), state)
    progress.say(f"{info.name} holds {info.parameters / 1e6:.1f} M parameters of {path.name}: what it saw is unknown")
    return folder


def _take(network: nn.Module, path: Path, what: str, their_name: Callable[[str], str]) -> None:
    """Put a file's weights into a network; every name and shape must agree, and nothing may be left over."""
    held = read_tensors(path)
    wanted = {their_name(name): (name, value) for name, value in network.state_dict().items()}
    _refuse_others({theirs: value for theirs, (_, value) in wanted.items()}, held, path, what)
    network.load_state_dict({name: held.get(theirs, value) for theirs, (name, value) in wanted.items()})


def _refuse_others(wanted: Mapping[str, torch.Tensor], held: Mapping[str, torch.Tensor], path: Path, what: str) -> None:
    expected = f"{what} of {len(wanted)} tensors under the authors' names"
    # Counters came with torch 0.4.1 only; nothing reads them in networks of this family.
    missing = [name for name in wanted if name not in held and not name.endswith("num_batches_tracked")]
    if missing:
        found = f"{len(held)} tensors without {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
        raise DataError(sentence(expected, found, path))
    extra = sorted(held.keys() - wanted.keys())
    if extra:
        raise DataError(sentence(expected, f"{extra[0]} and {len(extra)} in all that it has not", path))
    for name, value in wanted.items():
        if name in held and held[name].shape != value.shape:
            found = f"shape {tuple(held[name].shape)}"
            raise DataError(sentence(f"{what} with {name} of shape {tuple(value.shape)}", found, path))


def _generator_name(ours: str) -> str:
    """``networks.attention.AttentionGenerator``'s name of a tensor to the authors'; their streams count from 1."""
    match ours.split("."):
        case ["image_encoder", *rest]:
            theirs = ["stream1_down", *rest]
        case ["pose_encoders", stream, *rest]:
            theirs = [f"stream{int(stream) + 2}_down", *rest]
        case ["blocks", block, "image_branch", *rest]:
            theirs = ["att", block, "conv_block_stream1", *rest]
        case ["blocks", block, "pose_branches", stream, *rest]:
            theirs = ["att", block, f"conv_block_stream{int(stream) + 2}", *rest]
        case ["decoder", *rest]:
            theirs = ["stream1_up", *rest]
        case _:
            raise ValueError(f"no tensor of an attention generator: {ours}")
    return ".".join(["model", *theirs])


def _critic_name(ours: str) -> str:
    """``networks.resnet.ResnetDiscriminator``'s name to the authors', who count its 10 encoder layers and blocks on."""
    match ours.split("."):
        case ["encoder", *rest]:
            theirs = rest
        case ["blocks", block, "branch", *rest]:
            theirs = [str(10 + int(block)), "conv_block", *rest]
        case _:
            raise ValueError(f"no tensor of a discriminator without a head: {ours}")
    return ".".join(["model", *theirs])
