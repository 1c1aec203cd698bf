"""A trained estimator as the judge of generated images: it says how well each shows the pose that it was made for.

For reported scores any estimator that saw no generated image may judge (:func:`load_judge`); where images are filtered
for a training it must know the reduced set alone and be independent of the generator (:func:`choose_filter`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from handsynth.conditioning.heatmaps import REFERENCE_SIZE
from handsynth.errors import UsageError, sentence
from handsynth.metrics.fidelity import fidelity_mm
from handsynth.metrics.frechet import frechet_distance
from handsynth.metrics.pose import auc_0_30px, errors_mm, pckb
from handsynth.metrics.protocol import Protocol, counted_joints, lift
from handsynth.reports.arms import training_data
from handsynth.runtime import progress
from handsynth.stages.guide import resized
from handsynth.stages.systems import lineage, load_run, with_used
from handsynth.stages.used import trained_run
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.checkpoints import load_checkpoint
from handsynth.training.run import RunInfo, read_run
from handsynth.training.splits import Split, split_store
from handsynth.training.system import HandBatch

_BATCH = 32


@dataclass(frozen=True)
class Opinion:
    """What a judge says of N images that should show N known poses.

    Attributes:
        errors_mm: (N, 21) in camera space, lifted with the true root and scale; NaN where not counted.
        errors_px: (N, 21) in pixels of a 256 px crop; NaN where not counted.
        truth_px: (N, 21, 2) in the same pixels.
        features: (N, F).
    """

    errors_mm: np.ndarray
    errors_px: np.ndarray
    truth_px: np.ndarray
    features: np.ndarray


class FidelityJudge:
    """An estimator and the hands whose poses the images should show, at the estimator's own size."""

    def __init__(self, system: Any, data: Store, slots: np.ndarray, device: torch.device, about: str = "") -> None:
        self.system, self.about = system, about
        self._device, self._protocol = device, Protocol()
        self._hands = Hands(data, slots, system.settings.size)
        self._truth = data.column("joints_mm", slots)
        self._counted = counted_joints(self._truth, data.column("joint_state", slots), self._protocol)
        for network in system.networks().values():
            network.to(device)

    @property
    def frechet(self) -> str:
        """The name of the Frechet distance in this estimator's features: it is no FID."""
        return f"frechet_{self.system.name}"

    def look(self, images: np.ndarray) -> Opinion:
        """Judge (N, S, S, 3) images in [0, 1], one for each of the hands in their order."""
        found_mm, said_px, features = [], [], []
        hands, size = self._hands, self.system.settings.size
        with progress.task("judging images", len(hands)) as advance:
            for start in range(0, len(hands), _BATCH):
                rows = np.arange(start, min(start + _BATCH, len(hands)))
                batch = self._batch(images[rows], rows)
                keypoints, errors = self._said(batch, rows)
                found_mm.append(errors)
                said_px.append(keypoints)
                features.append(self.system.features(batch).double().cpu().numpy())
                advance(len(rows))
        truth = hands.keypoints_px
        shown = hands.labelled & np.isfinite(truth).all(-1)
        scale = REFERENCE_SIZE / size
        return Opinion(
            errors_mm=np.concatenate(found_mm),
            errors_px=scale * errors_mm(np.concatenate(said_px), truth, shown),
            truth_px=(truth + 0.5) * scale - 0.5,
            features=np.concatenate(features),
        )

    def fidelity_mm(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(n,) pose fidelity of (n, S, S, 3) images in [0, 1] of the hands at these rows; NaN where no joint counts."""
        return fidelity_mm(self._said(self._batch(images, rows), rows)[1])

    def _batch(self, images: np.ndarray, rows: np.ndarray) -> HandBatch:
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float().to(self._device)
        hands = self._hands.batch(rows, pixels=False).to(self._device)
        return replace(hands, rgb=resized(pixels, self.system.settings.size))

    def _said(self, batch: HandBatch, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 21, 2) keypoints in px of its own size, and (n, 21) errors in mm of what they are lifted to."""
        said, truth = self.system.predict(batch), self._truth[rows]
        keypoints, depth = said.keypoints_px.float().cpu().numpy(), said.relative_depth.float().cpu().numpy()
        lifted = lift(keypoints, depth, self._hands.camera[rows], truth, self._protocol)
        return keypoints, errors_mm(lifted, truth, self._counted[rows])

    def scores(self, images: Opinion, real: Opinion | None) -> dict[str, float]:
        """Mean pose fidelity, AUC and PCKb, and where real images are given the Frechet distance to them."""
        values = {}
        if np.isfinite(images.errors_mm).any():
            values["fidelity_epe_mm"] = float(np.nanmean(fidelity_mm(images.errors_mm)))
        if np.isfinite(images.errors_px).any():
            values["auc_0_30px"] = auc_0_30px(images.errors_px)
            values["pckb"] = pckb(images.errors_px, images.truth_px)
        if real is not None and len(real.features) > 1:
            values[self.frechet] = frechet_distance(images.features, real.features)
        return values


def load_judge(space: Workspace, name: str, data: Store, slots: np.ndarray, device: torch.device) -> FidelityJudge:
    """The judge that a run trained, for images in the poses of these slots of a store.

    Raises:
        MissingError: there is no such run, or one that it began with is gone.
        UsageError: it is no estimator's, it or a run that it began with learned from generated images, that run has
            other weights now, or it has no checkpoint.
    """
    folder = space.run(name)
    info = read_run(folder)
    _check_independent(folder, name)
    system, weights = load_run(folder, info)
    return FidelityJudge(system, data, slots, device, _about(info, weights, data, slots))


@dataclass(frozen=True)
class Filter:
    """Which estimator decides what generated images a training is given.

    Attributes:
        folder: of its run.
        weights: their hash.
        settings_hash: of its system, settings and seed: the same network must not be trained on what it let pass.
        starts: hashes of the weights that it began with, sorted: nor must a network that began with them.
    """

    folder: Path
    weights: str
    settings_hash: str
    starts: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def filter_system(chosen: Filter) -> Any:
    """The estimator of a filter, loaded once per worker.

    Raises:
        UsageError: its run was trained anew since it was chosen.
    """
    system, weights = load_run(chosen.folder, read_run(chosen.folder))
    if weights != chosen.weights:
        found = f"others ({weights[:12]})"
        raise UsageError(
            sentence(f"the weights {chosen.weights[:12]} of the judge", found, chosen.folder, "--overwrite")
        )
    return system


def choose_filter(space: Workspace, name: str, data: Store, split: Split, guides: frozenset[str]) -> Filter:
    """The run of an estimator as the filter of images that were generated at this split.

    Args:
        guides: lineages of the runs that the generator's pose loss asked: it learned to please them.

    Raises:
        MissingError: there is no such run, or one that it began with is gone.
        UsageError: it is no estimator's, it or a run that it began with read more of the store than the reduced set,
            learned from generated images or has other weights now, or it has weights in common with a guide.
    """
    folder = space.run(name)
    _check_independent(folder, name)
    run = trained_run(space, data, name, read_run(folder).system, split)
    own = lineage(folder)
    if own & guides:
        found, advice = f"{run.name}, which guided it or began as its guide did", "train another: --weights-seed"
        raise UsageError(sentence("a judge that the generator did not learn from", found, f"--judge {name}", advice))
    checkpoint = load_checkpoint(run.checkpoint)[0]
    return Filter(folder, run.weights, checkpoint.settings_hash, tuple(sorted(own - {run.weights})))


def _check_independent(folder: Path, name: str) -> None:
    """An estimator that saw no generated image, nor did what it began with."""
    info = read_run(folder)
    if info.family != "estimator":
        raise UsageError(sentence("an estimator's run", f"that of the {info.family} {info.system}", f"--judge {name}"))
    for _, seen in with_used(folder):
        if seen.added is not None:
            found = f"{seen.name}, trained with {seen.added.name}"
            raise UsageError(sentence("a judge that saw no generated image in training", found, f"--judge {name}"))


def _about(info: RunInfo, weights: str, data: Store, slots: np.ndarray) -> str:
    """Which estimator it is, what it was trained on, and whether that holds the real images of the judged poses."""
    begun = f", begun with the weights of {info.start.name}" if info.start is not None else ""
    trained = (
        f"{info.system} ({info.preset}, {info.steps} steps, weights {weights[:8]}) on {training_data([info])}{begun}"
    )
    if info.store.hash != data.hash:
        return f"{trained}, another store"
    seen = np.isin(slots, split_store(data, info.alpha, info.seed, info.contiguous).reduced)
    held = "all" if seen.all() else "some" if seen.any() else "none"
    return f"{trained}, {held} of the real images of these poses among them"
