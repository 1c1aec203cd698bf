"""The one loop that trains every system: device and precision by lightning-fabric, averaging, log, exact resume.

Step ``k`` depends on the seed, on ``k`` and on the state after step ``k - 1`` alone, so a run that is stopped and
resumed ends with the same weights as one made in one go.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from lightning_fabric import Fabric

from handsynth.errors import DataError, UsageError, sentence
from handsynth.runtime import progress
from handsynth.runtime.interrupt import deferred
from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import digest
from handsynth.training.batches import BatchSource
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint, save_checkpoint
from handsynth.training.compilation import compile_networks
from handsynth.training.system import System

_LOG_EVERY = 10
_SAVE_EVERY_SECONDS = 60.0
_PROBES = 4
_PRECISIONS = {"auto": "", "float32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Device:
    """Where to train: ``accelerator`` as lightning-fabric names it, and the precision there."""

    accelerator: str
    precision: str

    @classmethod
    def choose(cls, name: str = "auto", precision: str = "auto") -> Device:
        """``auto`` takes a GPU where there is one, and trains there in bf16, on a CPU in float32.

        Both repeat exactly on one machine; on CPUs with AVX-512 BF16 or AMX a step in bf16 takes about half the time.

        Raises:
            UsageError: no such device or precision, or ``cuda`` where there is no GPU.
        """
        if precision not in _PRECISIONS:
            raise UsageError(sentence(f"one of {', '.join(_PRECISIONS)}", repr(precision), "--precision"))
        if name not in ("auto", "cpu", "cuda"):
            raise UsageError(sentence("auto, cpu or cuda", repr(name), "--device"))
        there = torch.cuda.is_available()
        if name == "cuda" and not there:
            raise UsageError(sentence("a CUDA GPU that torch can use", "none", "this machine", "use --device cpu"))
        accelerator = "cuda" if there and name != "cpu" else "cpu"
        if precision == "auto":
            precision = "bf16" if accelerator == "cuda" else "float32"
        return cls(accelerator, _PRECISIONS[precision])

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.accelerator)


def settings_hash(system: System, seed: int) -> str:
    """What a checkpoint must agree on to be resumed or used: system, settings, seed."""
    return digest([system.name, system.settings, seed])


def set_up(system: System, device: Device, compiled: bool = False) -> tuple[Fabric, dict[str, Any]]:
    """Put a system's networks on a device, in its precision there, and make its optimisers: ready for ``step``."""
    fabric = Fabric(accelerator=device.accelerator, devices=1, precision=device.precision)  # type: ignore[arg-type]
    networks = system.networks()
    for network in networks.values():
        network.to(fabric.device)
        network.train()
    optimizers = system.optimizers()
    for name, network in list(networks.items()):
        networks[name] = fabric.setup_module(network)
    if compiled:
        compile_networks(_bare(system).values())
    return fabric, {name: fabric.setup_optimizers(optimizer) for name, optimizer in optimizers.items()}


def estimate_seconds(build: Callable[[], System], batches: BatchSource, device: Device, steps: int) -> float:
    """Seconds that ``steps`` will take, as steps of a throw-away system tell.

    Two steps, the quicker of which counts, in the middle of each quarter: a system may train in phases that differ.
    """
    system = build()
    fabric, optimizers = set_up(system, device)

    def seconds(step: int) -> float:
        system.schedule(step, steps)
        start = time.perf_counter()
        system.step(batches(step).to(fabric.device), optimizers, fabric.backward)
        _synchronize(fabric.device)
        return time.perf_counter() - start

    middles = [(2 * place + 1) * steps // (2 * _PROBES) for place in range(_PROBES)]
    return steps / _PROBES * sum(min(seconds(step), seconds(step + 1)) for step in middles)


def train(
    system: System,
    batches: BatchSource,
    folder: Path,
    *,
    steps: int,
    seed: int,
    device: Device,
    title: str = "",
    compiled: bool = False,
) -> Path:
    """Train to ``steps``, resuming from the folder's newest checkpoint; returns the final checkpoint.

    Ctrl-C finishes the step in hand, saves it and then stops.

    Args:
        compiled: whether to run the networks compiled; see ``training/compilation.py``.

    Raises:
        DataError: the folder's checkpoint was made with other settings, or a loss is not finite.
    """
    fabric, optimizers = set_up(system, device, compiled)
    tag, checkpoints = settings_hash(system, seed), folder / "checkpoints"
    averaged = _Averaged(system, system.settings.ema)
    first = 0
    newest = latest_checkpoint(checkpoints)
    if newest is not None:
        info, state = load_checkpoint(newest, tag)
        first = info.step
        if first >= steps:
            return newest
        _restore(system, optimizers, averaged, state, newest)
        progress.say(f"resuming {title or folder.name} at step {first} of {steps}")

    def save(step: int) -> Path:
        state = {
            "networks": {name: network.state_dict() for name, network in _bare(system).items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
            "system": system.state(),
            "averaged": averaged.tensors,
        }
        return save_checkpoint(checkpoints, step, system.name, tag, state)

    log, saved = _Log(folder, first), time.perf_counter()
    with (
        contextlib.closing(log),
        deferred() as stop,
        progress.task(title or f"training {system.name}", steps) as advance,
    ):
        advance(first)
        for step in range(first, steps):
            # Seeded by step: dropout and jitter then need no saved state to be resumed.
            torch.manual_seed(entropy(seed, system.name, "step", step) >> 1)
            factor = system.schedule(step, steps)
            _set_rates(optimizers, factor)
            losses = system.step(batches(step).to(fabric.device), optimizers, fabric.backward)
            averaged.update(step)
            if step % _LOG_EVERY == 0 or step == steps - 1:
                values = {name: float(value) for name, value in losses.items()}
                _check_finite(values, step, folder)
                log.write(step, values, factor)
                advance(0, note="  ".join(f"{name} {value:.3g}" for name, value in values.items()))
            advance()
            if stop.is_set() or time.perf_counter() - saved > _SAVE_EVERY_SECONDS:
                saved = time.perf_counter()
                save(step + 1)
            if stop.is_set():
                progress.say(f"stopped after step {step + 1} of {steps}, which is saved")
                raise KeyboardInterrupt
    return save(steps)


def load_trained(system: System, checkpoint: Path, seed: int) -> str:
    """Put a checkpoint's (averaged) weights into a system for inference; returns the hash of its weights.

    Raises:
        MissingError, DataError: see :func:`load_checkpoint`; or the networks are built in another way now.
    """
    info, state = load_checkpoint(checkpoint, settings_hash(system, seed))
    for name, network in system.networks().items():
        _put(network, _inference_weights(state, name), f"the network {name} as it is built now", checkpoint)
        network.eval()
    return info.weights


def _inference_weights(state: dict[str, Any], name: str) -> dict[str, torch.Tensor]:
    return state["networks"][name] | state["averaged"].get(name, {})


def take_weights(system: System, checkpoint: Path) -> None:
    """Put the (averaged) weights of another run's checkpoint in the place of random ones, to train on from there.

    Raises:
        MissingError, DataError: see :func:`load_checkpoint`; or it holds other networks.
    """
    _, state = load_checkpoint(checkpoint)
    advice = "start from a run of the same system, preset and size"
    for name, network in system.networks().items():
        held = _inference_weights(state, name) if name in state["networks"] else {}
        _put(network, held, f"the network {name} of this training", checkpoint, advice)


def _put(
    network: torch.nn.Module, held: dict[str, torch.Tensor], what: str, checkpoint: Path, advice: str = "train again"
) -> None:
    """Load weights; raises DataError where they are another network's, as those of an older handsynth may be."""
    wanted = {key: value.shape for key, value in network.state_dict().items()}
    found = {key: value.shape for key, value in held.items()}
    if wanted != found:
        differ = sorted(key for key in wanted.keys() | found.keys() if wanted.get(key) != found.get(key))
        raise DataError(sentence(what, f"another {differ[0]}", checkpoint, advice))
    network.load_state_dict(held)


class _Averaged:
    """Exponential moving average of every network's floating-point weights; off at decay 0."""

    def __init__(self, system: System, decay: float) -> None:
        self.decay, self._system = decay, system
        self.tensors: dict[str, dict[str, torch.Tensor]] = {}

    def update(self, step: int) -> None:
        if self.decay <= 0:
            return
        decay = min(self.decay, (1 + step) / (10 + step))  # the first steps would otherwise weigh for long
        for name, network in _bare(self._system).items():
            kept = self.tensors.setdefault(name, {})
            for key, value in network.state_dict().items():
                if key not in kept or not value.is_floating_point():
                    kept[key] = value.detach().clone()
                else:
                    kept[key].lerp_(value.detach(), 1 - decay)


class _Log:
    """``log.jsonl`` and the same curves for TensorBoard."""

    def __init__(self, folder: Path, first: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._start = time.perf_counter()
        path = folder / "log.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        # Lines behind the checkpoint that training resumes from are about to be made again.
        kept = [line for line in _whole_lines(path) if msgspec.json.decode(line)["step"] < first]
        path.write_bytes(b"".join(line + b"\n" for line in kept))
        self._file = path.open("ab")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=first)

    def write(self, step: int, losses: dict[str, float], factor: float) -> None:
        seconds = round(time.perf_counter() - self._start, 3)
        entry = {"step": step, "losses": losses, "rate_factor": factor, "seconds": seconds}
        self._file.write(msgspec.json.encode(entry) + b"\n")
        self._file.flush()
        for name, value in losses.items():
            self._board.add_scalar(f"loss/{name}", value, step)

    def close(self) -> None:
        self._file.close()
        self._board.close()


def _whole_lines(path: Path) -> list[bytes]:
    data = path.read_bytes() if path.is_file() else b""
    return data[: data.rfind(b"\n") + 1].splitlines()


def _bare(system: System) -> dict[str, torch.nn.Module]:
    return {name: getattr(network, "module", network) for name, network in system.networks().items()}


def _restore(
    system: System, optimizers: dict[str, Any], averaged: _Averaged, state: dict[str, Any], checkpoint: Path
) -> None:
    for name, network in _bare(system).items():
        _put(network, state["networks"][name], f"the network {name} as it is built now", checkpoint)
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    system.load_state(state["system"])
    device = next(iter(_bare(system).values())).parameters().__next__().device
    averaged.tensors = {
        name: {key: value.to(device) for key, value in tensors.items()} for name, tensors in state["averaged"].items()
    }


def _set_rates(optimizers: dict[str, Any], factor: float) -> None:
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
            group["lr"] = group["initial_lr"] * factor


def _check_finite(losses: dict[str, float], step: int, folder: Path) -> None:
    bad = [name for name, value in losses.items() if not torch.isfinite(torch.tensor(value))]
    if bad:
        advice = "lower the learning rate: --set learning_rate=..."
        raise DataError(sentence("finite losses", f"{', '.join(bad)} not finite at step {step}", folder, advice))


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
