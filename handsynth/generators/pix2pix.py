"""pix2pix: a hand image translated from a picture of its pose, trained on pairs of both.

Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017: a U-Net and a PatchGAN
that sees pose and image, with a log loss and an L1 loss. As in MM-Hand's comparison (section 4.1) the pose is a grey
picture of 20 bones, nearer ones before farther ones. The source's look plays no part.

Presets: ``published`` is the authors' code in that comparison: its bone maps with their defects, and training images
that are cropped and mirrored at random. ``paper`` draws bones without the defects and mirrors nothing: a mirrored hand
is one of the other side, which a hand dataset may not have. The rest of both is the code's, 200 epochs of STB.
``small`` and ``tiny`` are narrower, without dropout and with larger steps, for one GPU and for a CPU.

Generation differs from the authors' code, which draws dropout and takes batch statistics of the images it is given:
here it repeats, and an image does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from handsynth.generators.adversarial import AdversarialGenerator, Count, PairSettings, Weight
from handsynth.generators.pictures import PoseMap, joined, picture, pose_picture
from handsynth.imaging.crop import RandomCrop, random_crop
from handsynth.networks.initialise import initialise_normal
from handsynth.networks.losses import adversarial_loss
from handsynth.networks.modes import evaluating, frozen
from handsynth.networks.patchgan import PatchDiscriminator
from handsynth.networks.resnet import Norm
from handsynth.networks.unet import Unet, halvings
from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import Settings
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import HandBatch, PairBatch


class Pix2PixSettings(PairSettings, frozen=True, kw_only=True):
    """Settings of :class:`Pix2Pix`; the defaults are those of ``paper`` where presets do not differ."""

    size: Annotated[int, Meta(ge=32, multiple_of=32)] = 256
    width: Count = 64
    """Channels of the outermost level of the U-Net, and of the critic's first convolution."""
    levels: Annotated[int, Meta(ge=2)] = 8
    """Halvings in the U-Net; fewer where the size cannot be halved so often."""
    critic_layers: Annotated[int, Meta(ge=1, le=3)] = 3
    """Strided convolutions of the critic: patches of 16, 34 or 70 px."""
    norm: Norm = "batch"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    pose_map: PoseMap = "bones"
    crop: RandomCrop | None = RandomCrop()
    """Random crop of training images, the same for pose and image; null for none."""
    adversarial_weight: Weight = 1.0
    l1_weight: Weight = 100.0
    decay: LinearDecay | None = LinearDecay(constant=100, decay=100, offset=1)
    redraw_pairs: bool = False
    """Of no consequence: targets are all that is learned from."""
    steps: Count = 3_000_000


_PRESETS: dict[str, Pix2PixSettings] = {
    "paper": Pix2PixSettings(),
    "published": Pix2PixSettings(pose_map="published_bones", crop=RandomCrop(flip=True)),
    "small": Pix2PixSettings(
        size=128, width=48, dropout=0.0, learning_rate=5e-4, decay=None, ema=0.999, batch=16, steps=8000
    ),
    "tiny": Pix2PixSettings(
        size=64,
        width=16,
        critic_layers=2,
        dropout=0.0,
        learning_rate=1e-3,
        decay=None,
        ema=0.99,
        batch=8,
        steps=2000,
    ),
}


class Pix2Pix(AdversarialGenerator):
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        seed: fixes the initial weights and the crops of training images.
    """

    name: ClassVar[str] = "pix2pix"
    reads_source: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: Pix2PixSettings

    def __init__(self, settings: Pix2PixSettings, seed: int) -> None:
        super().__init__(settings, seed)
        self._step = 0
        s = settings
        self._add("generator", Unet(3, 3, s.width, halvings(s.size, s.levels), s.norm, s.dropout), initialise_normal)
        self._add("critic", PatchDiscriminator(3 + 3, s.width, s.critic_layers, s.norm), initialise_normal)

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """Critic, then generator, once each; reads the target alone.

        Returns:
            ``l1`` (images in [-1, 1]), ``adversarial`` and ``critic`` (mean of real and fake), without their weights.
        """
        for network in self._networks.values():
            network.train()
        generator, critic = self._networks["generator"], self._networks["critic"]
        pose, real = self._training_pictures(batch.target)
        fake = generator(pose)

        optimizers["critic"].zero_grad()
        judged = adversarial_loss(critic(joined(pose, fake.detach())), real=False)
        judged = (judged + adversarial_loss(critic(joined(pose, real)), real=True)) / 2
        backward(judged)
        optimizers["critic"].step()

        optimizers["generator"].zero_grad()
        with frozen(critic):
            adversarial = adversarial_loss(critic(joined(pose, fake)), real=True)
            l1 = F.l1_loss(fake, real)
            backward(self.settings.adversarial_weight * adversarial + self.settings.l1_weight * l1)
        optimizers["generator"].step()
        return {"l1": l1.detach(), "adversarial": adversarial.detach(), "critic": judged.detach()}

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]; reads the target's keypoints and camera z alone."""
        generator = self._networks["generator"]
        with evaluating(generator):
            return (generator(pose_picture(batch.target, self.settings.size, self.settings.pose_map)) + 1) / 2

    def state(self) -> dict[str, Any]:
        """Steps taken: they number the draws of crops."""
        return {"step": self._step}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        self._step = int(state["step"])

    def _training_pictures(self, hands: HandBatch) -> tuple[Tensor, Tensor]:
        """Pose and image, cropped alike."""
        both = joined(pose_picture(hands, self.settings.size, self.settings.pose_map), picture(hands))
        if self.settings.crop is not None:
            draws = torch.Generator().manual_seed(entropy(self._seed, self.name, "crop", self._step) >> 1)
            both = random_crop(both, draws, self.settings.crop)
        self._step += 1
        pose, image = (part.contiguous(memory_format=torch.channels_last) for part in both.chunk(2, dim=1))
        return pose, image
