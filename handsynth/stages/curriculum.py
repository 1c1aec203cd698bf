"""How a generator's errors grow with the pose distance of source and target: the curve behind its curriculum.

MM-Hand's figure 3 pairs test images with training poses at random and shows the end-point error of the generated images
over the pose distance. Here sources come from the reduced set and targets from the poses held out of it, so that the
test split stays unseen unless it is asked for, and the error is that of an independent estimator, run on the generated
image, to the target pose. Real images of the targets are looked at for comparison only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from handsynth.errors import UsageError, sentence
from handsynth.metrics.image import l1
from handsynth.metrics.protocol import Protocol
from handsynth.poseindex.distance import pose_distance
from handsynth.reports.plots import DistancePanel, distance_plot
from handsynth.runtime import files, progress
from handsynth.runtime.seeds import rng
from handsynth.stages.evaluate import chosen_slots, store_of
from handsynth.stages.generation import make, ready
from handsynth.stages.judge import FidelityJudge, load_judge
from handsynth.stages.systems import system_kind
from handsynth.stages.train import pose_features
from handsynth.stages.workspace import Workspace, store_name
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.loop import Device
from handsynth.training.run import RunInfo, read_run
from handsynth.training.splits import Split, split_store
from handsynth.training.system import Generator

_FEWEST = 3  # pairs for a rank correlation


def curriculum(
    run: str | None = None,
    store: str | None = None,
    judge: str | None = None,
    split: str = "held-out",
    count: int = 1000,
    seed: int = 0,
    device: str = "auto",
    workspace: str | Path | Workspace | None = None,
) -> Path:
    """Plot a generator's errors over the pose distance of random pairs; returns the PNG.

    It is ``RUN/curriculum/STORE-SPLIT.png``, and beside it ``STORE-SPLIT.csv`` holds the points.

    Args:
        run: trained generator of images; the only run by default.
        store: by default the one it was trained on.
        judge: run of an estimator that saw no generated image: the end-point error of what it sees in the generated
            image to the target pose. Without one there is the difference to the real image alone.
        split: of the targets: ``held-out`` or ``test``. Sources are of the reduced set.
        count: pairs, or as many as there are targets.
        seed: of the pairs.

    Raises:
        MissingError: no such run or store.
        UsageError: the run makes no images, the judge is none, or there are too few targets.
    """
    space = Workspace.of(workspace)
    if split not in ("test", "held-out"):
        raise UsageError(sentence("test or held-out", repr(split), "--split"))
    if count < _FEWEST:
        raise UsageError(sentence(f"at least {_FEWEST} pairs", str(count), "--count"))
    folder = space.run(run)
    info = read_run(folder)
    if info.family != "generator" or system_kind(info.system).makes != "rgb":
        raise UsageError(sentence("the run of a generator of images", f"one of {info.system}", folder))
    data = store_of(space, info, store)
    parts = split_store(data, info.alpha, info.seed, info.contiguous)
    sources, targets = random_pairs(parts, chosen_slots(parts, split), count, seed)
    where = Device.choose(device)
    generator, _ = ready(folder, where)
    judging = load_judge(space, judge, data, targets, where.torch_device) if judge is not None else None
    frame = scored_pairs(generator, data, sources, targets, judging, where.torch_device)
    path = folder / "curriculum" / f"{store_name(data.address)}-{split}.png"
    files.write(path.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g").encode())
    panels = _panels(frame)
    files.write(path, distance_plot(frame["pose_distance"].to_numpy(), panels, _protocol(info, data, split, judging)))
    for panel in panels:
        progress.say(f"{info.name}: {panel.label}: {panel.title}")
    return path


def random_pairs(parts: Split, targets: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Slots of sources and of targets, paired at random.

    No target comes twice, and no source where the reduced set is large enough.

    Args:
        targets: to draw from.

    Raises:
        UsageError: there are fewer than three targets.
    """
    if len(targets) < _FEWEST:
        raise UsageError(sentence(f"at least {_FEWEST} poses to generate", str(len(targets)), "the store"))
    draw = rng(seed, "curriculum plot")
    chosen = draw.permutation(targets)[:count]
    return draw.choice(parts.reduced, len(chosen), replace=len(chosen) > len(parts.reduced)), chosen


def scored_pairs(
    generator: Generator,
    data: Store,
    sources: np.ndarray,
    targets: np.ndarray,
    judge: FidelityJudge | None,
    device: torch.device,
) -> pd.DataFrame:
    """Generate the images of N pairs and score each.

    Args:
        sources, targets: (N,) slots.
        judge: of the targets, in their order.

    Returns:
        A row per pair: ``source``, ``target`` (keys), ``pose_distance`` (eq. 5), ``l1`` to the real image (values in
        [0, 1], whole image), and where there is a judge ``epe_mm`` of the generated and ``real_epe_mm`` of the real
        image, NaN where no joint counts.
    """
    size = generator.settings.size
    from_hands, to_hands = Hands(data, sources, size), Hands(data, targets, size)
    columns: dict[str, np.ndarray] = {
        "source": data.column("key", sources),
        "target": data.column("key", targets),
        "pose_distance": pose_distance(pose_features(data, sources), pose_features(data, targets)),
        "l1": np.full(len(targets), np.nan),
    }
    if judge is not None:
        columns |= {name: np.full(len(targets), np.nan) for name in ("epe_mm", "real_epe_mm")}
    start = 0
    with progress.task("making images", len(targets)) as advance:
        for pixels in make(generator, from_hands, to_hands, device):
            rows = np.arange(start, start + len(pixels))
            made, real = (values.astype(np.float32) / 255 for values in (pixels, to_hands.images(rows)))
            columns["l1"][rows] = l1(made, real)
            if judge is not None:
                columns["epe_mm"][rows] = judge.fidelity_mm(made, rows)
                columns["real_epe_mm"][rows] = judge.fidelity_mm(real, rows)
            start += len(pixels)
            advance(len(pixels))
    return pd.DataFrame(columns)


def rank_correlation(distances: np.ndarray, scores: np.ndarray) -> str:
    """Spearman's rank correlation of (N,) scores with distances and its two-sided p value, in words; NaN left out."""
    known = np.isfinite(scores)
    if known.sum() < _FEWEST or np.ptp(scores[known]) == 0 or np.ptp(distances[known]) == 0:
        return f"no rank correlation (n = {known.sum()})"
    found = stats.spearmanr(distances[known], scores[known])
    chance = f"p = {found.pvalue:.2g}" if found.pvalue > 1e-16 else "p < 1e-16"
    return f"Spearman {found.statistic:.2f}, {chance} (n = {known.sum()})"


def _panels(frame: pd.DataFrame) -> list[DistancePanel]:
    distances = frame["pose_distance"].to_numpy()
    numbers = {name: frame[name].to_numpy() for name in ("epe_mm", "real_epe_mm", "l1") if name in frame}
    words = {name: rank_correlation(distances, scores) for name, scores in numbers.items()}
    panels = []
    if "epe_mm" in numbers:
        # Where poses far from the others are hard for the judge itself, the real images of the same targets tell.
        title = f"{words['epe_mm']}; real images: {words['real_epe_mm']}"
        baseline = ("real images of the targets", numbers["real_epe_mm"])
        panels.append(DistancePanel("EPE mean (mm)", title, numbers["epe_mm"], baseline))
    return [*panels, DistancePanel("L1 to the real image", words["l1"], numbers["l1"])]


def _protocol(info: RunInfo, data: Store, split: str, judge: FidelityJudge | None) -> str:
    pairs = f"random pairs of {store_name(data.address)}, sources from the reduced set, targets {split}"
    by = (
        "no EPE: no judge was given"
        if judge is None
        else f"EPE of the pose seen in an image to the target pose ({Protocol().describe()}) by {judge.about}"
    )
    return f"{info.name}: {pairs}; {by}; L1 over the whole image, values in [0, 1]"
