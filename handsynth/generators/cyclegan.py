"""CycleGAN: hand images translated from pictures of poses, trained without knowing which pose goes with which image.

Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial networks", ICCV 2017: two ResNet
generators, one each way, and two PatchGANs, with least-squares adversarial, cycle and identity losses. As in
MM-Hand's comparison (section 4.1) a pose is a grey picture of 20 bones, nearer ones before farther ones. Of each pair
of hands the target gives its pose and the source its image, so no pose is ever seen with its own image; the look of a
source plays no part in generation.

Presets: ``published`` is the authors' code in that comparison: its bone maps with their defects, and training images
that are cropped and mirrored at random. ``paper`` draws bones without the defects and mirrors nothing: a mirrored hand
is one of the other side, which a hand dataset may not have. The rest of both is the code's, 200 epochs of STB.
``small`` and ``tiny`` are narrower, with larger steps, for one GPU and for a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from handsynth.generators.adversarial import AdversarialGenerator, Count, PairSettings, Weight
from handsynth.generators.pictures import PoseMap, picture, pose_picture
from handsynth.imaging.crop import RandomCrop, random_crop
from handsynth.networks.initialise import initialise_normal
from handsynth.networks.losses import adversarial_loss
from handsynth.networks.modes import evaluating, frozen
from handsynth.networks.patchgan import PatchDiscriminator
from handsynth.networks.resnet import Norm, ResnetGenerator
from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import Settings
from handsynth.training.pool import HistoryPool
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import PairBatch

_GENERATORS, _CRITICS = ("generator", "inverse"), ("critic_picture", "critic_pose")
"""From pose to image and from image to pose; of images and of poses."""


class CycleGANSettings(PairSettings, frozen=True, kw_only=True):
    """Settings of :class:`CycleGAN`; the defaults are those of ``paper`` where presets do not differ."""

    size: Annotated[int, Meta(ge=32, multiple_of=4)] = 256
    width: Count = 64
    """Channels after the first convolution of the generators and of the critics."""
    blocks: Count = 9
    """Residual blocks of each generator."""
    critic_layers: Annotated[int, Meta(ge=1, le=3)] = 3
    """Strided convolutions of the critics: patches of 16, 34 or 70 px."""
    norm: Norm = "instance"
    pose_map: PoseMap = "bones"
    crop: RandomCrop | None = RandomCrop()
    """Random crops of training pictures, of poses and of images apart; null for none."""
    cycle_weight: Weight = 10.0
    """On the L1 distance after a way there and back, for each domain."""
    identity_weight: Weight = 5.0
    """On the L1 distance that a generator moves a picture of its own output domain; 0 leaves that pass out."""
    pool_size: Annotated[int, Meta(ge=0)] = 50
    """Pictures in each critic's history pool."""
    decay: LinearDecay | None = LinearDecay(constant=100, decay=100, offset=1)
    steps: Count = 3_000_000


_PRESETS: dict[str, CycleGANSettings] = {
    "paper": CycleGANSettings(),
    "published": CycleGANSettings(pose_map="published_bones", crop=RandomCrop(flip=True)),
    "small": CycleGANSettings(
        size=128, width=32, blocks=6, learning_rate=5e-4, decay=None, ema=0.999, batch=8, steps=6000
    ),
    "tiny": CycleGANSettings(
        size=64,
        width=12,
        blocks=3,
        critic_layers=2,
        crop=None,
        learning_rate=1e-3,
        decay=None,
        ema=0.99,
        batch=4,
        steps=600,
    ),
}


class CycleGAN(AdversarialGenerator):
    """The system; see ``training.system.Generator`` for what its methods promise.

    One Adam per network is to Adam the same as the authors' one for every two.

    Args:
        settings: one of ``presets``, or others.
        seed: fixes the initial weights, the crops of training pictures and the draws of the history pools.
    """

    name: ClassVar[str] = "cyclegan"
    reads_source: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: CycleGANSettings

    def __init__(self, settings: CycleGANSettings, seed: int) -> None:
        super().__init__(settings, seed)
        self._step = 0
        s = settings
        for name in _GENERATORS:
            self._add(name, ResnetGenerator(3, 3, s.width, s.blocks, s.norm), initialise_normal)
        for name in _CRITICS:
            self._add(name, PatchDiscriminator(3, s.width, s.critic_layers, s.norm), initialise_normal)
            self._pools[name] = HistoryPool(s.pool_size, seed, name)

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """Both generators together, then each critic; reads the target's pose and the source's image.

        Returns:
            Of each domain, ``picture`` and ``pose``: ``cycle_``, ``identity_`` (absent at weight 0), ``adversarial_``
            and ``critic_`` (mean of real and fake), without their weights.
        """
        for network in self._networks.values():
            network.train()
        s, (generator, inverse) = self.settings, (self._networks[name] for name in _GENERATORS)
        pose = self._training_picture(pose_picture(batch.target, s.size, s.pose_map), "pose")
        image = self._training_picture(picture(batch.source), "picture")
        self._step += 1

        for name in _GENERATORS:
            optimizers[name].zero_grad()
        critics = {name: self._networks[name] for name in _CRITICS}
        with frozen(*critics.values()):
            fakes = {"critic_picture": generator(pose), "critic_pose": inverse(image)}
            losses = {
                "cycle_picture": F.l1_loss(generator(fakes["critic_pose"]), image),
                "cycle_pose": F.l1_loss(inverse(fakes["critic_picture"]), pose),
            }
            total = s.cycle_weight * (losses["cycle_picture"] + losses["cycle_pose"])
            if s.identity_weight:
                losses["identity_picture"] = F.l1_loss(generator(image), image)
                losses["identity_pose"] = F.l1_loss(inverse(pose), pose)
                total = total + s.identity_weight * (losses["identity_picture"] + losses["identity_pose"])
            for name, critic in critics.items():
                loss = adversarial_loss(critic(fakes[name]), real=True, kind="lsgan")
                losses[name.replace("critic", "adversarial")] = loss
                total = total + loss
            backward(total)
        for name in _GENERATORS:
            optimizers[name].step()

        for name, real in (("critic_picture", image), ("critic_pose", pose)):
            (old,) = self._pools[name].draw(fakes[name].detach())
            optimizers[name].zero_grad()
            judged = adversarial_loss(critics[name](real), real=True, kind="lsgan")
            judged = (judged + adversarial_loss(critics[name](old), real=False, kind="lsgan")) / 2
            backward(judged)
            optimizers[name].step()
            losses[name] = judged
        return {name: loss.detach() for name, loss in losses.items()}

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]; reads the target's keypoints and camera z alone."""
        generator = self._networks["generator"]
        with evaluating(generator):
            return (generator(pose_picture(batch.target, self.settings.size, self.settings.pose_map)) + 1) / 2

    def state(self) -> dict[str, Any]:
        """Steps taken, which number the draws of crops, and what the history pools hold."""
        return {"step": self._step, **super().state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave, on the networks' device."""
        self._step = int(state["step"])
        super().load_state(state)

    def _training_picture(self, pictures: Tensor, domain: str) -> Tensor:
        if self.settings.crop is not None:
            draws = torch.Generator().manual_seed(entropy(self._seed, self.name, "crop", domain, self._step) >> 1)
            pictures = random_crop(pictures, draws, self.settings.crop)
        return pictures.contiguous(memory_format=torch.channels_last)
