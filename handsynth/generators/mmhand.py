"""MM-Hand: hand images in a given pose from three streams, image, pose map and depth map.

Wu et al., "MM-Hand: 3D-aware multi-modal guided hand generative network for 3D hand pose synthesis", ACM MM 2020. An
attention generator (section 3.2) trained with two discriminators, one for the pose and one for the appearance (eq.
10), and an L1 loss; pairs are fed from small to large pose distance where ``curriculum`` is set (section 3.3.1).

Not here: the perceptual loss (eq. 11), the pose loss (eq. 12, 13) and the learned pose-to-depth network. All depth
maps, of sources and targets, in training and in augmentation, come from the depth provider given at construction.

Presets: ``paper`` follows the text (contour maps, streams that keep their places, scalar critics, curriculum);
``published`` the authors' code (heatmaps, three equal depth channels, streams that swap, critics without an output
layer, no curriculum, no learning in the last of 100 epochs), its perceptual loss apart; ``small`` and ``tiny`` are
scaled down for one GPU and for a CPU, without dropout and with the adversarial weight of pix2pix (1 to 100 of L1):
with the published 1 to 2, narrow generators learn little but noise in so few steps. Loss weights, the optimiser and
the batch of ``paper`` are the code's: the text gives none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from handsynth.conditioning import contour, depth
from handsynth.conditioning.heatmaps import heatmaps
from handsynth.networks.attention import AttentionGenerator
from handsynth.networks.initialise import initialise_normal
from handsynth.networks.losses import adversarial_loss
from handsynth.networks.resnet import Norm, ResnetDiscriminator
from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import Settings
from handsynth.training.pool import HistoryPool
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import DepthProvider, HandBatch, PairBatch

Count = Annotated[int, Meta(ge=1)]
Weight = Annotated[float, Meta(ge=0)]

_POSE_CHANNELS = {"heatmap": 21, "contour": 3}
_DEPTH_CHANNELS = {"hand_relative": 1, "signed_700": 3}


class MMHandSettings(Settings, frozen=True, kw_only=True):
    """Settings of :class:`MMHand`; the defaults are those of ``paper`` where presets do not differ."""

    size: Annotated[int, Meta(ge=16, multiple_of=4)] = 256
    width: Count = 64
    """Channels after the first convolution of the generator and of the discriminators."""
    blocks: Count = 9
    """Attention blocks."""
    discriminator_blocks: Annotated[int, Meta(ge=0)] = 3
    norm: Norm = "batch"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    pose_input: Literal["heatmap", "contour"] = "heatmap"
    """21 Gaussians, or a colour drawing of phalanges and palm (3 channels)."""
    heatmap_sigma: Annotated[float, Meta(gt=0)] = 6.0
    """Pixels at size 256; scaled with the size."""
    depth_input: Literal["hand_relative", "signed_700"] = "hand_relative"
    """Depth about the hand's own, one channel; or millimetres over 700 in three equal channels."""
    swap_streams: bool = False
    """Whether pose and depth streams change places after every block."""
    feature_map_logits: bool = False
    """Whether the discriminators end in feature maps that serve as logits, not in one logit per patch."""
    adversarial_weight: Weight = 5.0
    l1_weight: Weight = 10.0
    pool_size: Annotated[int, Meta(ge=0)] = 50
    """Entries in each discriminator's history pool."""
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    decay: LinearDecay | None = None
    """Learning-rate schedule; constant without one."""
    ema: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Decay of the averaged weights that generation uses; 0 = none."""
    curriculum: bool = True
    """Whether pairs come in order of their pose distance."""
    redraw_pairs: bool = False
    """Whether pairs are drawn anew for every epoch."""
    batch: Count = 3
    steps: Count = 500_000


_PRESETS: dict[str, MMHandSettings] = {
    "paper": MMHandSettings(pose_input="contour"),
    "published": MMHandSettings(
        depth_input="signed_700",
        swap_streams=True,
        feature_map_logits=True,
        decay=LinearDecay(constant=100, decay=0),
        curriculum=False,
    ),
    "small": MMHandSettings(
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


class MMHand:
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        depth_provider: makes the depth maps of sources and targets from their joints.
        seed: fixes the initial weights and the draws of the history pools.
    """

    name: ClassVar[str] = "mmhand"
    family: ClassVar[Literal["generator", "estimator"]] = "generator"
    reads_source: ClassVar[bool] = True
    reads_depth: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS

    def __init__(self, settings: MMHandSettings, depth_provider: DepthProvider, seed: int) -> None:
        self.settings = settings
        self._depth_provider = depth_provider
        pose, depth_channels = _POSE_CHANNELS[settings.pose_input], _DEPTH_CHANNELS[settings.depth_input]
        self._networks: dict[str, nn.Module] = {
            "generator": AttentionGenerator(
                image_channels=3,
                pose_channels=(2 * pose, 2 * depth_channels),
                width=settings.width,
                blocks=settings.blocks,
                norm=settings.norm,
                dropout=settings.dropout,
                swap=settings.swap_streams,
            ),
            "critic_pose": self._critic(3 + pose),
            "critic_appearance": self._critic(3 + 3),
        }
        for name, network in self._networks.items():
            initialise_normal(network, torch.Generator().manual_seed(entropy(seed, self.name, name) >> 1))
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._pools = {
            name: HistoryPool(settings.pool_size, seed, name) for name in ("critic_pose", "critic_appearance")
        }

    def _critic(self, channels: int) -> nn.Module:
        s = self.settings
        return ResnetDiscriminator(
            channels, s.width, s.discriminator_blocks, s.norm, s.dropout, head=not s.feature_map_logits
        )

    def networks(self) -> dict[str, nn.Module]:
        """``generator``, ``critic_pose`` (D_PB), ``critic_appearance`` (D_PP)."""
        return self._networks

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam per network, by its name."""
        s = self.settings
        return {
            name: torch.optim.Adam(network.parameters(), lr=s.learning_rate, betas=s.betas)
            for name, network in self._networks.items()
        }

    def schedule(self, step: int, steps: int) -> float:
        """Constant, or the linear decay of the settings."""
        return 1.0 if self.settings.decay is None else self.settings.decay.factor(step, steps)

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """Generator, appearance critic, pose critic, once each.

        Returns:
            ``l1`` (images in [-1, 1]), ``adversarial`` (mean of both critics), ``critic_appearance`` and
            ``critic_pose`` (mean of real and fake), without their weights.
        """
        source, target = batch.source, batch.target
        networks, weights = self._networks, self.settings
        for network in networks.values():
            network.train()
        look, real = _signed_image(source), _signed_image(target)
        pose = self._pose_maps(target.keypoints_px)
        critics = networks["critic_appearance"], networks["critic_pose"]

        optimizers["generator"].zero_grad()
        fake = self._forward(look, pose, source, target)
        with _frozen(*critics):
            logits = [critic(_pair(fake, condition)) for critic, condition in zip(critics, (look, pose), strict=True)]
            adversarial = torch.stack([adversarial_loss(each, real=True) for each in logits]).mean()
            l1 = F.l1_loss(fake, real)
            backward(weights.adversarial_weight * adversarial + weights.l1_weight * l1)
        optimizers["generator"].step()

        fake = fake.detach()
        old, old_look = self._pools["critic_appearance"].draw(fake, look)
        appearance = self._critic_step("critic_appearance", (real, look), (old, old_look), optimizers, backward)
        # The pool keeps joints, not the 21 maps drawn from them.
        old, old_keypoints = self._pools["critic_pose"].draw(fake, target.keypoints_px)
        old_pose = self._pose_maps(old_keypoints)
        posed = self._critic_step("critic_pose", (real, pose), (old, old_pose), optimizers, backward)
        return {
            "l1": l1.detach(),
            "adversarial": adversarial.detach(),
            "critic_appearance": appearance,
            "critic_pose": posed,
        }

    def _critic_step(
        self,
        name: str,
        real: tuple[Tensor, Tensor],
        fake: tuple[Tensor, Tensor],
        optimizers: Mapping[str, Any],
        backward: Any,
    ) -> Tensor:
        critic = self._networks[name]
        optimizers[name].zero_grad()
        loss = (
            adversarial_loss(critic(_pair(*real)), real=True) + adversarial_loss(critic(_pair(*fake)), real=False)
        ) / 2
        backward(self.settings.adversarial_weight * loss)
        optimizers[name].step()
        return loss.detach()

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]; reads the source's image and both hands' joints and cameras alone."""
        generator = self._networks["generator"]
        training = generator.training
        generator.eval()
        try:
            pose = self._pose_maps(batch.target.keypoints_px)
            output = self._forward(_signed_image(batch.source), pose, batch.source, batch.target)
        finally:
            generator.train(training)
        return (output + 1) / 2

    def state(self) -> dict[str, Any]:
        """What the history pools hold."""
        return {name: pool.state() for name, pool in self._pools.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave, on the networks' device."""
        device = next(self._networks["generator"].parameters()).device
        for name, pool in self._pools.items():
            pool.load_state({key: value.to(device) for key, value in state[name].items()})

    def _forward(self, look: Tensor, target_pose: Tensor, source: HandBatch, target: HandBatch) -> Tensor:
        poses = _pair(self._pose_maps(source.keypoints_px), target_pose)
        depths = _pair(self._depth_maps(source), self._depth_maps(target))
        return self._networks["generator"](look, poses, depths)

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


def _signed_image(hands: HandBatch) -> Tensor:
    if hands.rgb is None:
        raise ValueError("a batch of hands without images where MM-Hand must see them")
    return (hands.rgb * 2 - 1).contiguous(memory_format=torch.channels_last)


def _pair(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second], dim=1).contiguous(memory_format=torch.channels_last)


@contextlib.contextmanager
def _frozen(*networks: nn.Module) -> Iterator[None]:
    """Let gradients through these networks, but not into them."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)
