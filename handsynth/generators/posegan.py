"""Pose-GAN: a hand in a given pose from a U-Net whose skips carry each part of the source to its place in the target.

Siarohin et al., "Deformable GANs for pose-based human image generation", CVPR 2018. For hands no published version is
known: here the parts are the palm, in the place of the trunk, and 15 phalanges, in that of the limbs
(``conditioning/parts.py``).

Presets: ``published`` is the authors' code for 256 px, whose norm spans all channels; ``paper`` differs from it in the
norm alone, one per channel as the text has it. Both take the nearest-neighbour loss on VGG features,
which needs VGG's weights from a file; ``content=l1`` goes without, which is the authors' baseline. ``small`` and
``tiny`` do so, and are scaled down for one GPU and for a CPU, without dropout and with a higher learning rate. ``tiny``
has 8 channels, as 16 take 0.45 s a step of one core and 8 take 0.21 s, and a tenth of the adversarial weight: after 80
steps on held-out simulated hands its images then vary from pixel to pixel 1.06 times as much as real ones, not 1.28
times (one seed; the L1 distance did not change).

The weight 0.01 of the nearest-neighbour loss is the authors', for Keras' VGG-19, which reads images of 0 to 255 less
their mean. Torchvision's reads them divided by a deviation of 57 levels besides, so its features are smaller, about
as much: raise ``nearest_weight`` to keep the balance of the authors' training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from handsynth.conditioning.heatmaps import STYLES
from handsynth.conditioning.parts import part_masks, part_transforms
from handsynth.errors import UsageError, sentence
from handsynth.generators.adversarial import AdversarialGenerator, Count, PairSettings, Weight
from handsynth.generators.pictures import joined, picture
from handsynth.hand.joints import J
from handsynth.networks.deformable import DeformableDiscriminator, DeformableGenerator, PartNorm
from handsynth.networks.initialise import initialise_glorot
from handsynth.networks.losses import adversarial_loss
from handsynth.networks.modes import evaluating, frozen
from handsynth.networks.nearest import nearest_neighbour_loss
from handsynth.networks.pretrained import WeightsFile, load_pretrained
from handsynth.networks.vgg import VggFeatures
from handsynth.runtime.settings import Settings
from handsynth.training.system import HandBatch, PairBatch


class PoseGANSettings(PairSettings, frozen=True, kw_only=True):
    """Settings of :class:`PoseGAN`; the defaults are those of ``paper`` where presets do not differ."""

    size: Literal[32, 64, 128, 256] = 256
    width: Count = 64
    """Channels of the finest level of the generator, and after the first convolution of the critic."""
    norm: PartNorm = "channel"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    content: Literal["full", "l1"] = "full"
    """What ties images to their targets: the nearest-neighbour loss on VGG-19's relu1_2, or L1."""
    vgg: WeightsFile | None = None
    """Torchvision's VGG-19; training with ``full`` cannot do without."""
    window: Annotated[int, Meta(ge=1)] = 5
    """Side, odd, of the neighbourhood that the nearest-neighbour loss searches."""
    nearest_weight: Weight = 0.01
    l1_weight: Weight = 100.0
    adversarial_weight: Weight = 1.0
    batch: Count = 2
    steps: Count = 90_000

    def __post_init__(self) -> None:
        if self.window % 2 == 0:
            raise ValueError(f"window must be odd, not {self.window}")


_PRESETS: dict[str, PoseGANSettings] = {
    "paper": PoseGANSettings(),
    "published": PoseGANSettings(norm="scalar"),
    "small": PoseGANSettings(
        pairs="sequence",
        size=128,
        width=32,
        dropout=0.0,
        content="l1",
        learning_rate=5e-4,
        ema=0.999,
        batch=16,
        steps=8000,
    ),
    "tiny": PoseGANSettings(
        pairs="sequence",
        size=64,
        width=8,
        dropout=0.0,
        content="l1",
        adversarial_weight=0.1,
        learning_rate=1e-3,
        ema=0.99,
        batch=8,
        steps=400,
    ),
}


class PoseGAN(AdversarialGenerator):
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        seed: fixes the initial weights.
    """

    name: ClassVar[str] = "posegan"
    reads_source: ClassVar[bool] = True
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: PoseGANSettings

    def __init__(self, settings: PoseGANSettings, seed: int) -> None:
        super().__init__(settings, seed)
        s = settings
        self._vgg: VggFeatures | None = None
        self._add("generator", DeformableGenerator(J, s.size, s.width, s.norm, s.dropout), initialise_glorot)
        self._add("critic", DeformableDiscriminator(2 * (3 + J), s.size, s.width, s.norm), initialise_glorot)

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """Generator and critic, once each.

        Returns:
            ``content`` (images in [-1, 1]), ``adversarial`` and ``critic`` (sum of real and fake), without weights.

        Raises:
            UsageError: ``content`` is ``full`` and no file of VGG's weights is named.
            MissingError, DataError: there is no such file, or it holds something else.
        """
        s, critic = self.settings, self._networks["critic"]
        for network in self._networks.values():
            network.train()
        look, real = picture(batch.source), picture(batch.target)
        poses = self._pose_maps(batch.source), self._pose_maps(batch.target)

        optimizers["generator"].zero_grad()
        fake = self._forward(look, poses, batch)
        with frozen(critic):
            adversarial = adversarial_loss(critic(joined(look, poses[0], fake, poses[1])), real=True)
            content, weight = self._content(fake, real)
            backward(s.adversarial_weight * adversarial + weight * content)
        optimizers["generator"].step()

        optimizers["critic"].zero_grad()
        judged = [critic(joined(look, poses[0], image, poses[1])) for image in (real, fake.detach())]
        loss = adversarial_loss(judged[0], real=True) + adversarial_loss(judged[1], real=False)
        backward(loss)
        optimizers["critic"].step()
        return {"content": content.detach(), "adversarial": adversarial.detach(), "critic": loss.detach()}

    def _content(self, fake: Tensor, real: Tensor) -> tuple[Tensor, float]:
        """The loss and its weight."""
        s = self.settings
        if s.content == "l1":
            return F.l1_loss(fake, real), s.l1_weight
        features = self._features().to(fake.device, fake.dtype)
        return nearest_neighbour_loss(features(fake), features(real), s.window), s.nearest_weight

    def _features(self) -> VggFeatures:
        """VGG-19 up to relu1_2, frozen; read at its first use, which is in training."""
        if self._vgg is None:
            if self.settings.vgg is None:
                advice = (
                    """give them: --set 'vgg={"path": "FILE.pth", "sha256": "HEX"}', """
                    "or train without that loss: --set content=l1"
                )
                expected = "torchvision's weights of vgg19 for the nearest-neighbour loss"
                raise UsageError(sentence(expected, "no file", "the settings", advice))
            self._vgg = load_pretrained(VggFeatures("vgg19", "relu1_2"), self.settings.vgg, "torchvision's vgg19")
        return self._vgg

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]; reads the source's image and both hands' keypoints alone."""
        poses = self._pose_maps(batch.source), self._pose_maps(batch.target)
        with evaluating(self._networks["generator"]):
            return (self._forward(picture(batch.source), poses, batch) + 1) / 2

    def _forward(self, look: Tensor, poses: tuple[Tensor, Tensor], batch: PairBatch) -> Tensor:
        size, source, target = self.settings.size, batch.source.keypoints_px, batch.target.keypoints_px
        maps, masks = part_transforms(target, source, size), part_masks(target, size)
        return self._networks["generator"](look, *poses, maps, masks)

    def _pose_maps(self, hands: HandBatch) -> Tensor:
        maps = STYLES["patn"].draw(hands.keypoints_px, self.settings.size)
        return maps.contiguous(memory_format=torch.channels_last)
