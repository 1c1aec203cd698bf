"""PG2: a hand in a given pose in two stages, first its coarse structure, then its details.

Ma et al., "Pose guided person image generation", NeurIPS 2017. For the first ``coarse_share`` of the steps the coarse
generator learns alone, by L1; then it stays as it is, and the network of the difference and a critic learn in turn.
Errors on the hand, by a mask made of the target's joints, count twice. Pose maps are discs, as MM-Hand's authors made
them for this baseline. The rate is constant: the decay that the authors' settings name is not applied by their code.

Presets: ``published`` is the authors' code, whose critic judges single images and learns to refuse source images too;
``paper`` the text, whose critic judges images laid on their source, otherwise the same;
``small`` and ``tiny`` are scaled down for one GPU and for a CPU, with a higher learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor

from handsynth.conditioning.parts import closed_mask, joint_discs
from handsynth.generators.adversarial import AdversarialGenerator, Count, PairSettings, Weight
from handsynth.generators.pictures import joined, picture
from handsynth.hand.joints import J
from handsynth.networks.initialise import initialise_glorot, initialise_normal
from handsynth.networks.losses import adversarial_loss
from handsynth.networks.modes import evaluating, frozen
from handsynth.networks.pg2 import PG2Discriminator, PG2Generator
from handsynth.runtime.settings import Settings
from handsynth.training.system import HandBatch, PairBatch


class PG2Settings(PairSettings, frozen=True, kw_only=True):
    """Settings of :class:`PG2`; the defaults are those of ``paper`` where presets do not differ."""

    size: Literal[32, 64, 128, 256] = 256
    width: Annotated[int, Meta(ge=2, multiple_of=2)] = 128
    """Channels of the generators' first level; the critic begins with half as many."""
    code: Count = 64
    """Numbers between encoder and decoder of the coarse generator."""
    disc_radius: Annotated[float, Meta(gt=0)] = 4.0
    """Of a joint in the pose maps: pixels at size 256, scaled with the size."""
    mask_radius: Annotated[float, Meta(gt=0)] = 8.0
    """Half thickness of a bone in the loss's mask: pixels at size 256, scaled with the size."""
    critic_input: Literal["pair", "single"] = "pair"
    """Whether the critic sees an image on its source, or alone; then sources are fakes to it, too."""
    adversarial_weight: Weight = 1.0
    l1_weight: Weight = 50.0
    """Of both L1 terms, over the image and over the mask, in the second phase."""
    learning_rate: Annotated[float, Meta(gt=0)] = 2e-5
    coarse_share: Annotated[float, Meta(ge=0, lt=1)] = 0.275
    """Share of the steps in which the coarse generator learns; nothing else does then, and it does not after. 22,000 of
    80,000 steps in the authors' training."""
    steps: Count = 80_000


_PRESETS: dict[str, PG2Settings] = {
    "paper": PG2Settings(),
    "published": PG2Settings(critic_input="single"),
    "small": PG2Settings(
        pairs="sequence", size=128, width=48, learning_rate=3e-4, ema=0.999, batch=16, coarse_share=0.5, steps=8000
    ),
    "tiny": PG2Settings(
        pairs="sequence", size=64, width=16, learning_rate=5e-4, ema=0.98, batch=8, coarse_share=0.6, steps=1000
    ),
}


class PG2(AdversarialGenerator):
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        seed: fixes the initial weights.
    """

    name: ClassVar[str] = "pg2"
    reads_source: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: PG2Settings

    def __init__(self, settings: PG2Settings, seed: int) -> None:
        super().__init__(settings, seed)
        s = settings
        self._refining = s.coarse_share == 0
        images = 2 if s.critic_input == "pair" else 1
        self._add("generator", PG2Generator(J, s.size, s.width, s.code), initialise_glorot)
        self._add("critic", PG2Discriminator(3 * images, s.size, s.width // 2), initialise_normal)

    def schedule(self, step: int, steps: int) -> float:
        """As in all generators; it also says which phase the coming step belongs to, the last one to the second."""
        self._refining = step >= min(round(self.settings.coarse_share * steps), steps - 1)
        return super().schedule(step, steps)

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """The coarse generator once, or the difference and then the critic once each, as the phase has it.

        Returns:
            ``l1`` and ``masked_l1`` (the same, 0 outside the target's mask) of images in about [-1, 1]; in the second
            phase also ``adversarial`` and ``critic`` (mean of real and fakes). All without their weights.
        """
        s, source, target = self.settings, batch.source, batch.target
        for network in self._networks.values():
            network.train()
        look, real = picture(source), picture(target)
        optimizers["generator"].zero_grad()
        fake = self._networks["generator"](look, self._pose_maps(target), self._refining)
        error = (fake - real).abs()
        l1 = error.mean()
        masked = (error * closed_mask(target.keypoints_px, s.size, s.mask_radius)).mean()
        losses = {"l1": l1.detach(), "masked_l1": masked.detach()}
        if self._refining:
            with frozen(self._networks["critic"]):
                _, fakes = self._judge(real, fake, look)
                adversarial = adversarial_loss(fakes[0], real=True)
                backward(s.adversarial_weight * adversarial + s.l1_weight * (l1 + masked))
            optimizers["generator"].step()
            losses["adversarial"] = adversarial.detach()
            losses["critic"] = self._critic_step(real, fake.detach(), look, optimizers, backward)
        else:
            backward(l1 + masked)
            optimizers["generator"].step()
        return losses

    def _critic_step(
        self, real: Tensor, fake: Tensor, look: Tensor, optimizers: Mapping[str, Any], backward: Any
    ) -> Tensor:
        optimizers["critic"].zero_grad()
        logits, fakes = self._judge(real, fake, look)
        loss = (adversarial_loss(logits, real=True) + adversarial_loss(torch.cat(fakes), real=False)) / 2
        backward(loss)
        optimizers["critic"].step()
        return loss.detach()

    def _judge(self, real: Tensor, fake: Tensor, look: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Logits of the real images and of each kind of fakes, generated ones first; judged, and normed, together."""
        if self.settings.critic_input == "pair":
            images = [joined(real, look), joined(fake, look)]
        else:
            images = [real, fake, look]
        stacked = torch.cat(images).contiguous(memory_format=torch.channels_last)
        logits, *fakes = self._networks["critic"](stacked).chunk(len(images))
        return logits, tuple(fakes)

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]; reads the source's image and the target's keypoints alone."""
        generator = self._networks["generator"]
        with evaluating(generator):
            output = generator(picture(batch.source), self._pose_maps(batch.target))
        return ((output + 1) / 2).clamp(0, 1)

    def _pose_maps(self, hands: HandBatch) -> Tensor:
        discs = joint_discs(hands.keypoints_px, self.settings.size, self.settings.disc_radius)
        return (discs * 2 - 1).contiguous(memory_format=torch.channels_last)
