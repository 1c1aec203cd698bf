"""PATN: hand images in a given pose from two streams, image and pose map, block by block under attention.

Zhu et al., "Progressive pose attention transfer for person image generation", CVPR 2019: MM-Hand's generator and
training without its depth stream. Made for people of 18 joints; a hand's 21 are all that differs.

Presets: ``published`` is the network that MM-Hand's comparison loads (batch norm, 42 pose channels, critics without an
output layer, 21 Gaussians from whole pixels), trained as the authors' first command does (Market-1501: cross-entropy,
weights 5, 10, 10, batch 32), for MM-Hand released no training of it; ``paper`` is the authors' recipe for images of
256 px (DeepFashion: instance norm, least squares, weights 5, 1, 1, no pools, batch 7) with scalar critics and joints
that keep their fractions. Pairs are random in both, 4,000 to an epoch, 500 epochs at a constant rate and 200 of
decay. ``small`` and ``tiny`` are those of ``mmhand``, so that the two compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from torch import Tensor

from handsynth.conditioning.heatmaps import STYLES
from handsynth.generators.pictures import joined
from handsynth.generators.transfer import PoseTransfer, TransferSettings
from handsynth.hand.joints import J
from handsynth.networks.attention import AttentionGenerator
from handsynth.networks.perceptual import Perceptual
from handsynth.runtime.settings import Settings
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import HandBatch

_PAIRS = 700 * 4000
"""Fed in a published training."""


class PatnSettings(TransferSettings, frozen=True, kw_only=True):
    """Settings of :class:`Patn`."""

    heatmap_style: Literal["patn", "mmhand"] = "mmhand"
    """A convention of ``conditioning.heatmaps.STYLES``: joints cut to whole pixels, or as they are."""
    perceptual: Perceptual | None = Perceptual(network="vgg19", layer="relu1_2", norm="l1")
    decay: LinearDecay | None = LinearDecay(constant=500, decay=200)
    curriculum: bool = False


_PRESETS: dict[str, PatnSettings] = {
    "paper": PatnSettings(
        norm="instance",
        adversarial="lsgan",
        l1_weight=1.0,
        perceptual_weight=1.0,
        pool_size=0,
        redraw_pairs=True,
        batch=7,
        steps=_PAIRS // 7,
    ),
    "published": PatnSettings(
        feature_map_logits=True, heatmap_style="patn", redraw_pairs=True, batch=32, steps=_PAIRS // 32
    ),
    "small": PatnSettings(
        pairs="sequence",
        size=128,
        width=32,
        blocks=6,
        discriminator_blocks=2,
        dropout=0.0,
        adversarial_weight=0.1,
        perceptual=None,
        learning_rate=5e-4,
        decay=None,
        ema=0.999,
        redraw_pairs=True,
        batch=16,
        steps=8000,
    ),
    "tiny": PatnSettings(
        pairs="sequence",
        size=64,
        width=16,
        blocks=4,
        discriminator_blocks=1,
        dropout=0.0,
        adversarial_weight=0.1,
        perceptual=None,
        learning_rate=1e-3,
        decay=None,
        ema=0.99,
        redraw_pairs=True,
        batch=8,
        steps=500,
    ),
}


class Patn(PoseTransfer):
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        seed: fixes the initial weights and the draws of the history pools.
    """

    name: ClassVar[str] = "patn"
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: PatnSettings

    def __init__(self, settings: PatnSettings, seed: int) -> None:
        generator = AttentionGenerator(
            image_channels=3,
            pose_channels=(2 * J,),
            width=settings.width,
            blocks=settings.blocks,
            norm=settings.norm,
            dropout=settings.dropout,
        )
        super().__init__(settings, generator, J, seed)

    def _forward(self, look: Tensor, target_pose: Tensor, source: HandBatch, target: HandBatch) -> Tensor:
        return self._networks["generator"](look, joined(self._pose_maps(source.keypoints_px), target_pose))

    def _pose_maps(self, keypoints_px: Tensor) -> Tensor:
        return STYLES[self.settings.heatmap_style].draw(keypoints_px, self.settings.size)
