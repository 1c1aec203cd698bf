"""A trained estimator as the judge of generated images: it says how well each shows the pose that it was made for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from handsynth.conditioning.heatmaps import REFERENCE_SIZE
from handsynth.errors import UsageError, sentence
from handsynth.metrics.fidelity import fidelity_mm
from handsynth.metrics.frechet import frechet_distance
from handsynth.metrics.pose import auc_0_30px, errors_mm, pckb
from handsynth.metrics.protocol import Protocol, counted_joints, lift
from handsynth.reports.arms import training_data
from handsynth.runtime import progress
from handsynth.stages.systems import load_run
from handsynth.stages.workspace import Workspace
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.run import RunInfo, read_run
from handsynth.training.splits import split_store

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

    def __init__(self, system: Any, data: Store, slots: np.ndarray, device: torch.device, about: str) -> None:
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
        said_mm, said_px, features = [], [], []
        hands, size = self._hands, self.system.settings.size
        with progress.task("judging images", len(hands)) as advance:
            for start in range(0, len(hands), _BATCH):
                rows = np.arange(start, min(start + _BATCH, len(hands)))
                pixels = torch.from_numpy(images[rows]).permute(0, 3, 1, 2).float()
                batch = replace(hands.batch(rows, pixels=False), rgb=_resized(pixels, size)).to(self._device)
                said = self.system.predict(batch)
                keypoints, depth = said.keypoints_px.float().cpu().numpy(), said.relative_depth.float().cpu().numpy()
                said_mm.append(lift(keypoints, depth, hands.camera[rows], self._truth[rows], self._protocol))
                said_px.append(keypoints)
                features.append(self.system.features(batch).double().cpu().numpy())
                advance(len(rows))
        truth = hands.keypoints_px
        shown = hands.labelled & np.isfinite(truth).all(-1)
        scale = REFERENCE_SIZE / size
        return Opinion(
            errors_mm=errors_mm(np.concatenate(said_mm), self._truth, self._counted),
            errors_px=scale * errors_mm(np.concatenate(said_px), truth, shown),
            truth_px=(truth + 0.5) * scale - 0.5,
            features=np.concatenate(features),
        )

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
        MissingError: there is no such run.
        UsageError: it is no estimator's, it or a run that it began with learned from generated images, or it has no
            checkpoint.
    """
    folder = space.run(name)
    info = read_run(folder)
    if info.family != "estimator":
        raise UsageError(sentence("an estimator's run", f"that of the {info.family} {info.system}", f"--judge {name}"))
    seen: RunInfo | None = info
    while seen is not None:
        if seen.added is not None:
            found = f"{seen.name}, trained with {seen.added.name}"
            raise UsageError(sentence("a judge that saw no generated image in training", found, f"--judge {name}"))
        seen = read_run(space.run(seen.start.name)) if seen.start is not None else None
    system, weights = load_run(folder, info)
    return FidelityJudge(system, data, slots, device, _about(info, weights, data, slots))


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


def _resized(images: torch.Tensor, size: int) -> torch.Tensor:
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
