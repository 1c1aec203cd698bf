"""Wires systems: finds them by name, chooses presets by device, gives generators their depth provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handsynth.conditioning.depth import capsule_depth
from handsynth.conditioning.remembered import RememberedDepth
from handsynth.errors import UsageError, sentence
from handsynth.estimators import estimator_names, get_estimator
from handsynth.generators import generator_names, get_generator
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings, convert, override
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.loop import Device, load_trained
from handsynth.training.run import RunInfo
from handsynth.training.system import System


def system_kind(name: str) -> Any:
    """The class of a generator or an estimator.

    Raises:
        UsageError: there is none of that name; the message lists those there are.
    """
    if name in generator_names():
        return get_generator(name)
    if name in estimator_names():
        return get_estimator(name)
    known = f"the estimators {', '.join(estimator_names())} or the generators {', '.join(generator_names())}"
    raise UsageError(sentence(f"one of {known}", repr(name), "the system name"))


def choose_settings(
    name: str, preset: str | None, device: Device, assignments: Sequence[str] = ()
) -> tuple[str, Settings]:
    """A preset's name and settings, ``key=value`` assignments applied; the default goes by the device.

    Raises:
        UsageError: no such preset, key or value.
    """
    presets = system_kind(name).presets
    preset = preset or ("tiny" if device.accelerator == "cpu" else "small")
    if preset not in presets:
        raise UsageError(sentence(f"one of the presets {', '.join(presets)}", repr(preset), f"--preset of {name}"))
    return preset, override(presets[preset], assignments)


def build_system(name: str, settings: Settings | dict[str, Any], seed: int) -> System:
    """A system with fresh weights; plain values (from ``run.json``) become its settings type first."""
    kind = system_kind(name)
    if isinstance(settings, dict):
        settings = convert(settings, type(next(iter(kind.presets.values()))), f"run.json of {name}")
    if kind.family == "generator" and kind.reads_depth:
        return kind(settings, RememberedDepth(capsule_depth), seed)
    return kind(settings, seed)


def load_run(folder: Path, info: RunInfo) -> tuple[System, str]:
    """A run's system with its newest weights, and their hash.

    Raises:
        UsageError: it has no checkpoint yet.
        DataError: the checkpoint is damaged.
    """
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise UsageError(sentence("a trained run", "one without checkpoints", folder, "train it: handsynth train"))
    step = load_checkpoint(checkpoint)[0].step
    if step < info.steps:
        progress.say(f"{info.name} is trained to step {step} of {info.steps} only")
    system = build_system(info.system, info.settings, info.seed)
    return system, load_trained(system, checkpoint, info.seed)
