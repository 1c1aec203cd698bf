"""MM-Hand: hand images in a given pose from three streams, image, pose map and depth map.

Wu et al., "MM-Hand: 3D-aware multi-modal guided hand generative network for 3D hand pose synthesis", ACM MM 2020. An
attention generator (section 3.2) trained with two discriminators, one for the pose and one for the appearance (eq.
10), an L1 and a perceptual loss (eq. 8, 11) and, where a frozen estimator is given, a pose loss (eq. 9, 12, 13); pairs
are fed from small to large pose distance where ``curriculum`` is set (section 3.3.1).

Two settings take parts away, as the ablation of section 4.2.3 does: ``attention`` and ``depth_stream``.

All depth maps, of sources and targets, in training and in augmentation, come from the depth provider given at
construction.

Presets: ``paper`` follows the text (contour maps, streams that keep their places, scalar critics, curriculum,
perceptual loss on VGG-16 conv3_3); ``published`` the authors' code (heatmaps, three equal depth channels, streams that
swap, critics without an output layer, no curriculum, VGG-19 relu1_2, no learning in the last of 100 epochs). Neither
has a pose loss: the code has none, and the text weighs it with numbers it does not give. ``small`` and ``tiny`` are
scaled down for one GPU and for a CPU, without the perceptual loss, without dropout and with the adversarial weight of
pix2pix (1 to 100 of L1): with the published 1 to 2, narrow generators learn little but noise in so few steps. Loss
weights, the optimiser and the batch of ``paper`` are the code's: the text gives none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta
from torch import Tensor, nn

from handsynth.conditioning import contour, depth
from handsynth.conditioning.heatmaps import heatmaps
from handsynth.errors import UsageError, sentence
from handsynth.generators.adversarial import Weight
from handsynth.generators.pictures import joined
from handsynth.generators.transfer import PoseTransfer, TransferSettings
from handsynth.networks.attention import AttentionGenerator
from handsynth.networks.losses import joint_depth_loss, joint_map_loss
from handsynth.networks.perceptual import Perceptual
from handsynth.networks.resnet import ResnetGenerator
from handsynth.runtime.settings import Settings
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import DepthProvider, HandBatch, PoseJudge

_POSE_CHANNELS = {"heatmap": 21, "contour": 3}
_DEPTH_CHANNELS = {"hand_relative": 1, "signed_700": 3}


class MMHandSettings(TransferSettings, frozen=True, kw_only=True):
    """Settings of :class:`MMHand`; the defaults are those of ``paper`` where presets do not differ."""

    pose_input: Literal["heatmap", "contour"] = "heatmap"
    """21 Gaussians, or a colour drawing of phalanges and palm (3 channels)."""
    heatmap_sigma: Annotated[float, Meta(gt=0)] = 6.0
    """Pixels at size 256; scaled with the size."""
    depth_input: Literal["hand_relative", "signed_700"] = "hand_relative"
    """Depth about the hand's own, one channel; or millimetres over 700 in three equal channels."""
    attention: bool = True
    """Whether pose and depth streams mask the image stream; else one ResNet generator sees all maps on the image."""
    depth_stream: bool = True
    """Whether depth maps go in; without them no depth provider is asked."""
    swap_streams: bool = False
    """Whether pose and depth streams change places after every block."""
    pose_maps_weight: Weight = 0.0
    """gamma 1 of eq. 9, on the joint maps that a frozen estimator sees in the made image; needs a judge above 0."""
    pose_depth_weight: Weight = 0.0
    """gamma 2 of eq. 9, on the joint depths it sees there."""


_PRESETS: dict[str, MMHandSettings] = {
    "paper": MMHandSettings(
        pose_input="contour", perceptual=Perceptual(network="vgg16", layer="conv3_3", norm="squared")
    ),
    "published": MMHandSettings(
        depth_input="signed_700",
        swap_streams=True,
        feature_map_logits=True,
        perceptual=Perceptual(network="vgg19", layer="relu1_2", norm="l1"),
        decay=LinearDecay(constant=100, decay=0),
        curriculum=False,
    ),
    "small": MMHandSettings(
        pairs="sequence",
        size=128,
        width=32,
        blocks=6,
        discriminator_blocks=2,
        dropout=0.0,
        adversarial_weight=0.1,
        learning_rate=5e-4,
        ema=0.999,
        redraw_pairs=True,
        batch=16,
        steps=8000,
    ),
    "tiny": MMHandSettings(
        pairs="sequence",
        size=64,
        width=16,
        blocks=4,
        discriminator_blocks=1,
        dropout=0.0,
        adversarial_weight=0.1,
        learning_rate=1e-3,
        ema=0.99,
        redraw_pairs=True,
        batch=8,
        steps=500,
    ),
}


class MMHand(PoseTransfer):
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        depth_provider: makes the depth maps of sources and targets from their joints; not asked without depth stream.
        seed: fixes the initial weights and the draws of the history pools.
        judge: frozen estimator of the pose loss; not asked where both its weights are 0, nor to generate.
    """

    name: ClassVar[str] = "mmhand"
    reads_depth: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: MMHandSettings

    def __init__(
        self, settings: MMHandSettings, depth_provider: DepthProvider, seed: int, judge: PoseJudge | None = None
    ) -> None:
        self._depth_provider = depth_provider
        self._judge = judge
        super().__init__(settings, _generator(settings), _POSE_CHANNELS[settings.pose_input], seed)

    def _image_losses(self, made: Tensor, real: Tensor, target: HandBatch) -> dict[str, tuple[float, Tensor]]:
        losses = super()._image_losses(made, real, target)
        maps_weight, depth_weight = self.settings.pose_maps_weight, self.settings.pose_depth_weight
        if maps_weight == depth_weight == 0:
            return losses
        if self._judge is None:
            advice = "give one, or set pose_maps_weight and pose_depth_weight to 0"
            raise UsageError(sentence("a trained estimator for the pose loss", "none", self.name, advice))
        judged = self._judge((made + 1) / 2, target)
        known = target.joint_labelled & target.keypoints_px.isfinite().all(-1)
        losses["pose_maps"] = (maps_weight, joint_map_loss(judged.maps, judged.true_maps, known))
        losses["pose_depth"] = (depth_weight, joint_depth_loss(judged.depth, judged.true_depth))
        return losses

    def _forward(self, look: Tensor, target_pose: Tensor, source: HandBatch, target: HandBatch) -> Tensor:
        maps = [joined(self._pose_maps(source.keypoints_px), target_pose)]
        if self.settings.depth_stream:
            maps.append(joined(self._depth_maps(source), self._depth_maps(target)))
        return self._networks["generator"](look, *maps)

    def _pose_maps(self, keypoints_px: Tensor) -> Tensor:
        size = self.settings.size
        if self.settings.pose_input == "contour":
            return contour.contour_maps(keypoints_px, size)
        return heatmaps(keypoints_px, size, self.settings.heatmap_sigma * size / 256)

    def _depth_maps(self, hands: HandBatch) -> Tensor:
        depth_mm = self._depth_provider(hands.joints_mm, hands.camera, self.settings.size)
        if self.settings.depth_input == "signed_700":
            return depth.signed_700(depth_mm).expand(-1, 3, -1, -1)
        return depth.hand_relative(depth_mm, hands.joints_mm)


def _generator(settings: MMHandSettings) -> nn.Module:
    """The network of these settings; it takes the source image, the pair of pose maps and that of depth maps if any."""
    s = settings
    pairs = [2 * _POSE_CHANNELS[s.pose_input], *([2 * _DEPTH_CHANNELS[s.depth_input]] if s.depth_stream else [])]
    if s.attention:
        return AttentionGenerator(3, pairs, s.width, s.blocks, s.norm, s.dropout, s.swap_streams)
    return ResnetGenerator(3 + sum(pairs), 3, s.width, s.blocks, s.norm, s.dropout)
