"""Wires systems: finds them by name, chooses presets by device, gives generators their depth provider and their judge.

A run that used others (a trained network for its depth maps, an estimator as its guide) holds their names and the
hashes of their weights; they are found beside it, so that a folder of runs may move as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from handsynth.errors import MissingError, UsageError, sentence
from handsynth.estimators import estimator_names, get_estimator
from handsynth.generators import generator_names, get_generator
from handsynth.runtime import progress
from handsynth.runtime.settings import Settings, convert, override
from handsynth.stages.depth_provider import CAPSULES, depth_provider, trained_depth
from handsynth.stages.guide import pose_judge
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint, newest_weights
from handsynth.training.loop import Device, load_trained
from handsynth.training.run import DepthRef, RunInfo, RunRef, read_run
from handsynth.training.system import DepthProvider, PoseJudge, System


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


def image_generators() -> list[str]:
    """Names of the generators that make images; the others make depth maps."""
    return [name for name in generator_names() if getattr(system_kind(name), "makes", "rgb") == "rgb"]


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


def check_steps(option: str, steps: int | None) -> None:
    """Refuse fewer than one optimisation step; None is a preset's number.

    Raises:
        UsageError: there would be none.
    """
    if steps is not None and steps < 1:
        raise UsageError(sentence("at least 1 step", str(steps), option))


def by_system(texts: Sequence[str], systems: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``SYSTEM.key=value`` texts as ``key=value`` texts by system; those of systems that take no part are left alone.

    Raises:
        UsageError: a text names none of ``systems``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for text in texts:
        system, _, rest = text.partition(".")
        if system not in systems or not rest:
            raise UsageError(sentence(f"SYSTEM.key=value with one of {', '.join(systems)}", repr(text), "--set"))
        found[system] = (*found.get(system, ()), rest)
    return found


def build_system(
    name: str,
    settings: Settings | dict[str, Any],
    seed: int,
    provider: DepthProvider | None = None,
    judge: PoseJudge | None = None,
) -> System:
    """A system with fresh weights; plain values (from ``run.json``) become its settings type first.

    Args:
        provider: of the depth maps that a generator reads; drawn capsules by default.
        judge: of a generator's pose loss.
    """
    kind = system_kind(name)
    if isinstance(settings, dict):
        settings = convert(settings, type(next(iter(kind.presets.values()))), f"run.json of {name}")
    more = {} if judge is None else {"judge": judge}
    if kind.family == "generator" and kind.reads_depth:
        return kind(settings, provider or depth_provider(CAPSULES), seed, **more)
    return kind(settings, seed, **more)


def used_depth(folder: Path, ref: DepthRef | None) -> DepthProvider:
    """The depth provider that the run in ``folder`` used, or is going to use.

    Raises:
        MissingError, UsageError: see :func:`used_run`.
    """
    if ref is None or ref.run is None:
        return depth_provider(CAPSULES if ref is None else ref.kind)
    return trained_depth(used_run(folder, ref.run))


def used_judge(folder: Path, ref: RunRef | None) -> PoseJudge | None:
    """The judge of the pose loss of the run in ``folder``; None where it has none.

    Raises:
        MissingError, UsageError: see :func:`used_run`; or it is no estimator that can judge.
    """
    return None if ref is None else pose_judge(used_run(folder, ref))


def used_run(folder: Path, ref: RunRef) -> System:
    """The trained system of a run that the one in ``folder`` used.

    Raises:
        MissingError, UsageError: see :func:`used_folder`.
    """
    other = used_folder(folder, ref)
    return load_run(other, read_run(other))[0]


def used_folder(folder: Path, ref: RunRef) -> Path:
    """The folder of a run that the one in ``folder`` used: it lies beside it.

    Raises:
        MissingError: there is none of that name.
        UsageError: it has other weights now.
    """
    other = folder.parent / ref.name
    if not (other / "run.json").is_file():
        expected = f"the run {ref.name} beside {folder.name}, which uses it"
        raise MissingError(sentence(expected, "none", folder.parent, "put it there, or train without it"))
    weights = newest_weights(other / "checkpoints")
    if weights != ref.weights:
        expected = f"the weights {ref.weights[:12]} that {folder.name} was trained with"
        found = f"others ({weights[:12]})" if weights else "none"
        raise UsageError(sentence(expected, found, other, f"train {folder.name} again: --overwrite"))
    return other


def with_used(folder: Path) -> Iterator[tuple[Path, RunInfo]]:
    """A run and all whose weights went into it, with their folders: starts, guides, depth runs, and theirs.

    Raises:
        MissingError, UsageError: see :func:`used_folder`.
    """
    info = read_run(folder)
    yield folder, info
    for used in (info.start, info.guide, info.depth.run if info.depth else None):
        if used is not None:
            yield from with_used(used_folder(folder, used))


def lineage(folder: Path) -> frozenset[str]:
    """Hashes of a run's weights, of those that it began with, and so on.

    Raises:
        MissingError, UsageError: see :func:`used_folder`.
    """
    start = read_run(folder).start
    earlier = lineage(used_folder(folder, start)) if start is not None else frozenset()
    return earlier | {newest_weights(folder / "checkpoints")}


def load_run(folder: Path, info: RunInfo) -> tuple[System, str]:
    """A run's system with its newest weights, and their hash.

    Raises:
        UsageError: it has no checkpoint yet, or a run that it reads depth from has other weights now.
        MissingError: that run is gone.
        DataError: the checkpoint is damaged.
    """
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is None:
        raise UsageError(sentence("a trained run", "one without checkpoints", folder, "train it: handsynth train"))
    step = load_checkpoint(checkpoint)[0].step
    if step < info.steps:
        progress.say(f"{info.name} is trained to step {step} of {info.steps} only")
    # Nothing but training asks the judge.
    system = build_system(info.system, info.settings, info.own_seed, used_depth(folder, info.depth))
    return system, load_trained(system, checkpoint, info.own_seed)
