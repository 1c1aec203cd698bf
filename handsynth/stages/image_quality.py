"""Train generators on one reduced set and score their images alike: what MM-Hand's table 1 compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from handsynth.errors import UsageError, sentence
from handsynth.metrics.inception import load_inception
from handsynth.reports.paper import GENERATORS
from handsynth.runtime import progress
from handsynth.stages.evaluate import evaluate, inception_file
from handsynth.stages.judge import load_judge
from handsynth.stages.systems import check_steps, choose_settings, image_generators
from handsynth.stages.train import train
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training import compilation
from handsynth.training.checkpoints import latest_checkpoint, load_checkpoint
from handsynth.training.loop import Device
from handsynth.training.run import read_evaluations
from handsynth.training.splits import split_store

_JUDGE = "hpm3d"


def image_quality(
    store: str | None = None,
    alpha: float = 0.4,
    generators: Sequence[str] = tuple(GENERATORS),
    seeds: Sequence[int] = (0,),
    single: Sequence[str] = (),
    preset: str | None = None,
    steps: int | None = None,
    generator_preset: str | None = None,
    generator_steps: int | None = None,
    contiguous: bool = False,
    device: str = "auto",
    compile: str = "auto",
    inception: str | None = None,
    inception_sha256: str | None = None,
    workspace: str | Path | Workspace | None = None,
) -> list[Path]:
    """Train every generator at a share of the training split, score its images, and return their runs' folders.

    The judge of the images is an estimator trained on all of the training split: it gives reported scores, guides
    nothing, and the scores' protocol says what it saw. Runs that are trained or scored already are left as they are.

    Args:
        alpha: share of the training split that is the reduced set, between 0 and 1.
        seeds: of reduced sets and trainings; the judge has seed 0.
        single: generators that get the first seed only; those that take no part change nothing.
        preset, steps: of the judge; ``steps`` is its preset's by default.
        generator_preset, generator_steps: of the generators.
        contiguous: draw whole sequences, so that no source is a neighbouring video frame of its target.
        compile: all networks in training: ``on`` or ``off``; ``auto`` is off, as in ``reduce``.
        inception, inception_sha256: see ``evaluate``; without them IS and FID are not computed.

    Raises:
        UsageError: wrong values or names, or a draw too small to train on or to hold poses out, before anything is
            trained.
        MissingError, DataError: there is no such file of Inception weights, or it is another; before that, too.
        StoreError: a run of one of these names was made with other settings.
    """
    space = Workspace.of(workspace)
    data = space.store(store)
    known = image_generators()
    for place, names in {"generators": generators, "single": single}.items():
        unknown = [name for name in names if name not in known]
        if unknown or not generators:
            found = ", ".join(unknown) or "none"
            raise UsageError(sentence(f"generators of images among {', '.join(known)}", found, place))
    if not seeds:
        raise UsageError(sentence("at least one seed", "none", "seeds"))
    if not 0 < alpha < 1:
        raise UsageError(sentence("a share between 0 and 1", f"{alpha:g}", "alpha"))
    check_steps("steps", steps)
    check_steps("generator_steps", generator_steps)
    compilation.check_mode(compile)
    where = Device.choose(device)
    choose_settings(_JUDGE, preset, where)
    for generator in generators:
        choose_settings(generator, generator_preset, where)
    draws = {seed: split_store(data, alpha, seed, contiguous) for seed in seeds}
    for seed, draw in draws.items():
        if len(draw.reduced) < 2 or not len(draw.held_out):
            found = f"{len(draw.reduced)} and {len(draw.held_out)} by seed {seed}"
            expected, advice = "at least 2 samples drawn and 1 held out", "choose another alpha"
            raise UsageError(sentence(expected, found, data.address, advice))
    load_inception(inception_file(inception, inception_sha256))
    compile = compilation.for_all_arms(compile, where.torch_device)
    judge = str(
        train(_JUDGE, data.address, preset=preset, steps=steps, device=device, compile=compile, workspace=space)
    )
    folders = []
    for number, (seed, draw) in enumerate(draws.items()):
        about = load_judge(space, judge, data, draw.held_out, where.torch_device).about
        for generator in generators:
            if number > 0 and generator in single:
                continue
            folder = train(
                generator,
                data.address,
                alpha=alpha,
                preset=generator_preset,
                steps=generator_steps,
                seed=seed,
                contiguous=contiguous,
                device=device,
                compile=compile,
                workspace=space,
            )
            if _is_scored(folder, data, about, inception is not None):
                progress.say(f"{folder.name} is scored already")
            else:
                evaluate(
                    str(folder),
                    data.address,
                    "held-out",
                    device,
                    judge,
                    inception,
                    inception_sha256,
                    workspace=space,
                )
            folders.append(folder)
    return folders


def _is_scored(folder: Path, data: Store, judge: str, inception: bool) -> bool:
    """Whether a run's newest weights were scored on these data, by this judge, with Inception where that is wanted."""
    checkpoint = latest_checkpoint(folder / "checkpoints")
    assert checkpoint is not None  # train() returned, so there is one
    weights = load_checkpoint(checkpoint)[0].weights
    return any(
        [evaluation.store.hash, evaluation.split, evaluation.checkpoint] == [data.hash, "held-out", weights]
        and judge in evaluation.protocol
        and (not inception or "is" in evaluation.rows[0].values)
        for evaluation in read_evaluations(folder)
    )
