"""Score a generator's images beside a copy of the source: pixels, structure, and where they are given a judge's word.

What is not computed is no number: it is absent from the rows, and the protocol says why.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from handsynth.conditioning.depth import capsule_depth
from handsynth.metrics.image import l1, psnr
from handsynth.metrics.inception import CHUNK, Seen, fid, inception_score, load_inception, look
from handsynth.metrics.ssim import ssim
from handsynth.networks.inception import InceptionV3
from handsynth.networks.pretrained import WeightsFile
from handsynth.runtime import progress
from handsynth.stages.judge import FidelityJudge, Opinion
from handsynth.stages.matching import match, pair_batch
from handsynth.stages.workspace import store_name
from handsynth.store.read import Store
from handsynth.training.batches import Hands
from handsynth.training.run import Evaluation, RunInfo, Scores, StoreRef
from handsynth.training.splits import Split

_BATCH = 32
_BETTER = {
    "l1": "lower",
    "hand_l1": "lower",
    "psnr_db": "higher",
    "ssim_zero": "higher",
    "ssim_valid": "higher",
    "mask_ssim": "higher",
    "is": "higher",
    "mask_is": "higher",
    "fid": "lower",
    "mask_fid": "lower",
    "fidelity_epe_mm": "lower",
    "auc_0_30px": "higher",
    "pckb": "higher",
}
"""Of every score but the Frechet distances that are named after a judge; those are better lower."""
_PROTOCOL = (
    "pixels in [0, 1] at the generator's size; source = nearest pose of the reduced set; mask = the target pose's "
    "silhouette as drawn from capsules; l1 over the whole image, hand_l1 over the mask; SSIM with a Gaussian window of "
    "11 px, border zero or valid; mask_ssim of both images times the mask, border zero"
)
_JUDGED = (
    "pose fidelity (mean EPE, true root and scale given), AUC of 0 to 30 px of a 256 px crop, PCKb (within 2/3 of the "
    "frame's mean 2-D bone) and Frechet distance of image features by "
)
_NO_PSNR = "PSNR left out where an image is the real one"
_NO_JUDGE = "pose fidelity, PCKb and Frechet distance not computed (no estimator was given: --judge RUN)"


def score_images(
    system: Any,
    info: RunInfo,
    data: Store,
    parts: Split,
    split: str,
    targets: np.ndarray,
    device: torch.device,
    judge: FidelityJudge | None,
    inception: WeightsFile | None,
) -> Evaluation:
    """Make an image for each target slot, from its nearest source in the reduced set, and compare it with the real one.

    Args:
        system: the trained generator, on ``device``.
        split: its name, for the record.
        judge: of the same target slots, in the same order.
        inception: weights for IS and FID.

    Returns:
        Rows of the generator and of the copied source; with a judge or Inception weights also what they say of the real
        images, the most that can be had.
    """
    network, said_of_inception = load_inception(inception)
    said_of_judge = _NO_JUDGE if judge is None else _JUDGED + judge.about
    made, copied, where = _images(system, data, parts, targets, device)
    truth = Hands(data, targets, system.settings.size).images(np.arange(len(targets))).astype(np.float32) / 255
    scorer = _Scorer(truth, where, judge, network.to(device) if network is not None else None)
    rows = [
        Scores(name=info.system, values=scorer(made)),
        Scores(name="copy of the source", trivial=True, values=scorer(copied)),
    ]
    if scorer.real_values:
        rows.append(Scores(name="real image (oracle)", trivial=True, values=scorer.real_values))
    said_of_psnr = [] if all("psnr_db" in row.values for row in rows[:2]) else [_NO_PSNR]
    directions = _BETTER if judge is None else _BETTER | {judge.frechet: "lower"}
    return Evaluation(
        run=info.name,
        store=StoreRef(name=store_name(data.address), hash=data.hash),
        split=split,
        samples=len(targets),
        protocol="; ".join([_PROTOCOL, *said_of_psnr, said_of_inception, said_of_judge]),
        better={name: direction for name, direction in directions.items() if name in rows[0].values},
        rows=rows,
    )


def _images(
    system: Any, data: Store, parts: Split, targets: np.ndarray, device: torch.device
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generated images and sources (N, S, S, 3) in [0, 1], and the target poses' silhouettes (N, S, S)."""
    sources, _ = match(data, parts, targets)
    size = system.settings.size
    from_hands, to_hands = Hands(data, sources, size), Hands(data, targets, size)
    made, copied, hand = [], [], []
    with progress.task("making images", len(targets)) as advance:
        for start in range(0, len(targets), _BATCH):
            rows = np.arange(start, min(start + _BATCH, len(targets)))
            batch = pair_batch(from_hands, to_hands, rows).to(device)
            made.append(_pixels(system.generate(batch)))
            copied.append(_pixels(batch.source.rgb))
            depth = capsule_depth(batch.target.joints_mm, batch.target.camera, size)
            hand.append(torch.isfinite(depth[:, 0]).cpu().numpy())
            advance(len(rows))
    return np.concatenate(made), np.concatenate(copied), np.concatenate(hand)


def _pixels(images: torch.Tensor | None) -> np.ndarray:
    assert images is not None
    return images.permute(0, 2, 3, 1).float().cpu().numpy()


class _Scorer:
    """Compares sets of images with the real ones, which are looked at once."""

    def __init__(
        self, truth: np.ndarray, where: np.ndarray, judge: FidelityJudge | None, network: InceptionV3 | None
    ) -> None:
        self._truth, self._where, self._judge, self._network = truth, where, judge, network
        self._shown = where.any((1, 2))
        self._looks = self._looked(truth)
        self._opinion = self._judged(truth)
        self.real_values = self._inception(self._looks, {}) | self._fidelity(self._opinion, None)
        """What judge and network say of the real images; empty without them."""

    def __call__(self, images: np.ndarray) -> dict[str, float]:
        truth, where = self._truth, self._where
        each = {
            "l1": l1(images, truth),
            "hand_l1": l1(images, truth, where),
            "psnr_db": psnr(images, truth),
            "ssim_zero": ssim(images, truth, "zero"),
            "ssim_valid": ssim(images, truth, "valid"),
            "mask_ssim": ssim(images, truth, "zero", where),
        }
        means = {name: float(np.nanmean(scores)) for name, scores in each.items() if not np.isnan(scores).all()}
        values = {name: mean for name, mean in means.items() if np.isfinite(mean)}
        values |= self._inception(self._looked(images), self._looks)
        return values | self._fidelity(self._judged(images), self._opinion)

    def _looked(self, images: np.ndarray) -> dict[str, Seen]:
        """What Inception says, by the prefix of its scores: of the images as they are, and times their mask."""
        if self._network is None:
            return {}
        looks = {"": look(self._network, images)}
        if self._shown.any():  # an empty mask would leave black images, equal whatever was generated
            looks["mask_"] = look(self._network, images[self._shown], self._where[self._shown])
        return looks

    def _inception(self, looks: dict[str, Seen], real: dict[str, Seen]) -> dict[str, float]:
        values = {f"{prefix}is": inception_score(seen.probabilities, chunk=CHUNK) for prefix, seen in looks.items()}
        for prefix, seen in looks.items():
            if prefix in real and len(seen.features) > 1:
                values[f"{prefix}fid"] = fid(seen, real[prefix])
        return values

    def _judged(self, images: np.ndarray) -> Opinion | None:
        return None if self._judge is None else self._judge.look(images)

    def _fidelity(self, opinion: Opinion | None, real: Opinion | None) -> dict[str, float]:
        if self._judge is None or opinion is None:
            return {}
        return self._judge.scores(opinion, real)
