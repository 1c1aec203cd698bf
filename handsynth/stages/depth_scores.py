"""Score a generator of depth maps beside drawn capsules: distance over the hand, and its silhouette."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from handsynth.conditioning.depth import capsule_depth
from handsynth.metrics.depth import depth_error_mm, silhouette_iou
from handsynth.runtime import progress
from handsynth.stages.workspace import store_name
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.run import Evaluation, RunInfo, Scores, StoreRef
from handsynth.training.system import DepthProvider

_BATCH = 32
_BETTER = {"depth_mae_mm": "lower", "silhouette_iou": "higher"}
_PROTOCOL = (
    "depth of the hand alone, at the generator's size, from the true joints and camera; real depth of the nearest "
    "pixel, the hand by its mask, or where there is none by the joints' z range and 20 mm; depth_mae_mm over the "
    "pixels that show the hand in both maps, silhouette_iou over those that do in either; means over samples"
)


def score_depth(
    system: Any, info: RunInfo, data: Store, split: str, targets: np.ndarray, device: torch.device
) -> Evaluation:
    """Make a depth map for each target slot from its joints and camera, and compare it with the measured one.

    Args:
        system: the trained generator, on ``device``.
        split: its name, for the record.

    Raises:
        StoreError: the store has no depth.
    """
    hands = Hands(data, targets, system.settings.size)
    real = hands.depths_mm(np.arange(len(targets)))
    return Evaluation(
        run=info.name,
        store=StoreRef(name=store_name(data.address), hash=data.hash),
        split=split,
        samples=len(targets),
        protocol=_PROTOCOL,
        better=_BETTER,
        rows=[
            Scores(name=info.system, values=_values(_made(system.depth_mm, hands, device), real)),
            Scores(name="drawn capsules", trivial=True, values=_values(_made(capsule_depth, hands, device), real)),
        ],
    )


def _made(provider: DepthProvider, hands: Hands, device: torch.device) -> np.ndarray:
    """(N, S, S) depth in mm of all hands."""
    maps = []
    with progress.task("making depth maps", len(hands)) as advance:
        for start in range(0, len(hands), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(hands)))
            batch = hands.batch(rows, pixels=False).to(device)
            maps.append(provider(batch.joints_mm, batch.camera, hands.size)[:, 0].cpu().numpy())
            advance(len(rows))
    return np.concatenate(maps)


def _values(made_mm: np.ndarray, real_mm: np.ndarray) -> dict[str, float]:
    """Means over the samples that have a score; 0 for a silhouette nowhere met, NaN where no map shows a hand."""
    each = {"depth_mae_mm": depth_error_mm(made_mm, real_mm), "silhouette_iou": silhouette_iou(made_mm, real_mm)}
    return {name: float(np.nanmean(scores)) for name, scores in each.items() if not np.isnan(scores).all()}
