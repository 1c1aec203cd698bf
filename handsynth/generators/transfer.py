"""What MM-Hand and PATN share: a source image is moved into a target pose and judged by two discriminators.

One looks at the image on the target's pose map (``critic_pose``, D_PB in the codes), one at the image beside the source
image (``critic_appearance``, D_PP). A generator adds its own inputs and losses: see :class:`PoseTransfer`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from handsynth.generators.adversarial import AdversarialGenerator, Count, PairSettings, Weight
from handsynth.generators.pictures import joined, picture
from handsynth.networks.initialise import initialise_normal
from handsynth.networks.losses import AdversarialLoss, adversarial_loss
from handsynth.networks.modes import evaluating, frozen
from handsynth.networks.perceptual import Perceptual, PerceptualLoss
from handsynth.networks.resnet import Norm, ResnetDiscriminator
from handsynth.training.pool import HistoryPool
from handsynth.training.system import HandBatch, PairBatch


class TransferSettings(PairSettings, frozen=True, kw_only=True):
    """Settings that MM-Hand and PATN have in common."""

    size: Annotated[int, Meta(ge=16, multiple_of=4)] = 256
    width: Count = 64
    """Channels after the first convolution of the generator and of the discriminators."""
    blocks: Count = 9
    """Attention blocks."""
    discriminator_blocks: Annotated[int, Meta(ge=0)] = 3
    norm: Norm = "batch"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    feature_map_logits: bool = False
    """Whether the discriminators end in feature maps that serve as logits, not in one logit per patch."""
    adversarial: AdversarialLoss = "bce"
    """Cross-entropy on logits, or least squares."""
    adversarial_weight: Weight = 5.0
    l1_weight: Weight = 10.0
    perceptual: Perceptual | None = None
    """Features in which images are compared as well; null for no perceptual loss."""
    perceptual_weight: Weight = 10.0
    pool_size: Annotated[int, Meta(ge=0)] = 50
    """Entries in each discriminator's history pool."""
    curriculum: bool = True
    redraw_pairs: bool = False
    batch: Count = 3
    steps: Count = 500_000


class PoseTransfer(AdversarialGenerator):
    """The training of both; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: of the system.
        generator: the network that moves the image.
        pose_channels: of one hand's pose map, for its critic.
        seed: fixes the initial weights and the draws of the history pools.
    """

    reads_source: ClassVar[bool] = True
    settings: TransferSettings

    def __init__(self, settings: TransferSettings, generator: nn.Module, pose_channels: int, seed: int) -> None:
        super().__init__(settings, seed)
        self._add("generator", generator, initialise_normal)
        for name, channels in (("critic_pose", 3 + pose_channels), ("critic_appearance", 3 + 3)):
            self._add(name, self._critic(channels), initialise_normal)
            self._pools[name] = HistoryPool(settings.pool_size, seed, name)
        self._perceptual = None if settings.perceptual is None else PerceptualLoss(settings.perceptual)

    def _critic(self, channels: int) -> nn.Module:
        s = self.settings
        return ResnetDiscriminator(
            channels, s.width, s.discriminator_blocks, s.norm, s.dropout, head=not s.feature_map_logits
        )

    @abc.abstractmethod
    def _pose_maps(self, keypoints_px: Tensor) -> Tensor:
        """(B, 21, 2) keypoints to the (B, C, S, S) pose map that the generator and one critic see."""

    @abc.abstractmethod
    def _forward(self, look: Tensor, target_pose: Tensor, source: HandBatch, target: HandBatch) -> Tensor:
        """The generator's image in [-1, 1], from the source image, the target's pose map and both hands' joints."""

    def _image_losses(self, made: Tensor, real: Tensor, target: HandBatch) -> dict[str, tuple[float, Tensor]]:
        """Weights and values, by name, of the generator's losses beside the adversarial one; images in [-1, 1]."""
        losses = {"l1": (self.settings.l1_weight, F.l1_loss(made, real))}
        if self._perceptual is not None:
            losses["perceptual"] = (self.settings.perceptual_weight, self._perceptual(made, real))
        return losses

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """Generator, appearance critic, pose critic, once each.

        Returns:
            ``l1`` (images in [-1, 1]) and the generator's other image losses, ``adversarial`` (mean of both critics),
            ``critic_appearance`` and ``critic_pose`` (mean of real and fake), without their weights.

        Raises:
            UsageError: a loss of the settings lacks what it compares with: weights, or a judge.
        """
        source, target = batch.source, batch.target
        networks = self._networks
        for network in networks.values():
            network.train()
        look, real = picture(source), picture(target)
        pose = self._pose_maps(target.keypoints_px)
        critics = networks["critic_appearance"], networks["critic_pose"]

        optimizers["generator"].zero_grad()
        fake = self._forward(look, pose, source, target)
        with frozen(*critics):
            logits = [critic(joined(fake, condition)) for critic, condition in zip(critics, (look, pose), strict=True)]
            adversarial = torch.stack([self._adversarial_loss(each, real=True) for each in logits]).mean()
            losses = self._image_losses(fake, real, target)
            total = self.settings.adversarial_weight * adversarial
            for weight, value in losses.values():
                total = total + weight * value
            backward(total)
        optimizers["generator"].step()

        fake = fake.detach()
        old, old_look = self._pools["critic_appearance"].draw(fake, look)
        appearance = self._critic_step("critic_appearance", (real, look), (old, old_look), optimizers, backward)
        # The pool keeps joints, not the 21 maps drawn from them.
        old, old_keypoints = self._pools["critic_pose"].draw(fake, target.keypoints_px)
        old_pose = self._pose_maps(old_keypoints)
        posed = self._critic_step("critic_pose", (real, pose), (old, old_pose), optimizers, backward)
        return {
            **{name: value.detach() for name, (_, value) in losses.items()},
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
            self._adversarial_loss(critic(joined(*real)), real=True)
            + self._adversarial_loss(critic(joined(*fake)), real=False)
        ) / 2
        backward(self.settings.adversarial_weight * loss)
        optimizers[name].step()
        return loss.detach()

    def _adversarial_loss(self, logits: Tensor, real: bool) -> Tensor:
        return adversarial_loss(logits, real, self.settings.adversarial)

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]; reads the source's image and both hands' joints and cameras alone."""
        pose = self._pose_maps(batch.target.keypoints_px)
        with evaluating(self._networks["generator"]):
            output = self._forward(picture(batch.source), pose, batch.source, batch.target)
        return (output + 1) / 2
