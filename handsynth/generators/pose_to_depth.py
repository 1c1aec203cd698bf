"""pose_to_depth: a hand's depth map translated from its joints, for generators that read depth where a source has none.

Wu et al., "MM-Hand", ACM MM 2020, section 3.2.1 and figure 2: a pix2pix network (Isola et al., CVPR 2017) from a map of
the pose to a depth map, judged by a critic that sees both, and guided by keypoint estimators of depth images: a 6-stage
2-D one and a 1-stage 3-D one, here the two branches of one pose machine. They are trained on the real depth maps of the
same store first, then frozen; a made map must let them find the joints it was made for (eq. 12, 13).

One training does both: in the first ``guide_share`` of its steps the guide alone learns, after them the rest alone.

The pose map is that of the authors' MSRA loader, the larger of 21 small Gaussians and 20 thin bones, each as bright as
it is near. Joints are projected by the camera, so a trained system is a ``training.system.DepthProvider``.

Presets: ``paper`` in our range of depth, about the hand's own; ``published`` in the code's (700 - d) / 700, which holds
hands nearer than 700 mm. The authors released no training script of this network and the text gives no weights and no
schedule: both presets take those of pix2pix, but 8 hands a step, of which the guide's batch norms need some. The
published pose machine starts from trained weights; ours learns from scratch and so has these norms. ``small`` and
``tiny`` are narrower, without dropout and with larger steps, for one GPU and for a CPU. ``tiny`` has
a tenth of the critic's weight and twice the rate of its first draft: 17.6 mm beside 20.1 on the test hands of
bench-v1-mini after 600 steps, of one seed; drawn capsules have 3.8 there, so it does not replace them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from msgspec import Meta
from torch import Tensor
from torch.nn import functional as F

from handsynth.conditioning import depth
from handsynth.conditioning.contour import depth_bone_map
from handsynth.conditioning.heatmaps import REFERENCE_SIZE, heatmaps
from handsynth.generators.adversarial import AdversarialGenerator, AdversarialSettings, Count, Weight
from handsynth.generators.pictures import joined
from handsynth.hand.joints import J
from handsynth.networks.cpm import CpmLayout, DepthPoseMachine
from handsynth.networks.initialise import initialise_normal
from handsynth.networks.losses import adversarial_loss, joint_depth_loss, joint_map_loss
from handsynth.networks.modes import evaluating, frozen
from handsynth.networks.patchgan import PatchDiscriminator
from handsynth.networks.resnet import Norm
from handsynth.networks.unet import Unet, halvings
from handsynth.runtime.settings import Settings
from handsynth.training.schedules import LinearDecay
from handsynth.training.system import HandBatch, PairBatch

DepthRange = Literal["hand_relative", "inverted_700"]

_CUT = 0.0099  # of the Gaussians, as in the authors' loaders
_FLESH_MM = 20.0
"""What may lie before the nearest joint: the margin of ``hand_relative``."""
_GAP_MM = 10.0
"""A made map ends this far behind the farthest joint, half way between the hand and where its background begins."""


class PoseToDepthSettings(AdversarialSettings, frozen=True, kw_only=True):
    """Settings of :class:`PoseToDepth`; the defaults are those of ``paper`` where presets do not differ."""

    size: Annotated[int, Meta(ge=32, multiple_of=32)] = 256
    width: Count = 64
    """Channels of the outermost level of the U-Net, and of the critic's first convolution."""
    levels: Annotated[int, Meta(ge=2)] = 8
    """Halvings in the U-Net; fewer where the size cannot be halved so often."""
    critic_layers: Annotated[int, Meta(ge=1, le=3)] = 3
    """Strided convolutions of the critic: patches of 16, 34 or 70 px."""
    norm: Norm = "batch"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.5
    depth_range: DepthRange = "hand_relative"
    """What a map's values mean, and the brightness of the pose map with them; see ``conditioning/depth.py``."""
    pose_sigma: Annotated[float, Meta(gt=0)] = 2.5
    """Of the pose map's Gaussians, in px of a 256 px image."""
    guide: CpmLayout = CpmLayout(batch_norm=True)
    guide_hidden: Count = 512
    """Units of the guide's depth head."""
    guide_sigma: Annotated[float, Meta(gt=0)] = 10.0
    """Of the joint maps the guide is taught, in px of a 256 px image: a little more than one of its map pixels."""
    guide_share: Annotated[float, Meta(ge=0, lt=1)] = 0.25
    """Share of the steps in which the guide learns."""
    adversarial_weight: Weight = 1.0
    l1_weight: Weight = 100.0
    """Of depth in a range of length 2, as pix2pix weighs its images."""
    maps_weight: Weight = 1.0
    """On eq. 12, a sum of squares of 3 to 6 for a joint that is not found: then as much as an L1 distance of 0.05."""
    joint_depth_weight: Weight = 100.0
    """On eq. 13, half the squared error of depths in a range of length 1: a tenth of the range weighs 0.5."""
    decay: LinearDecay | None = LinearDecay(constant=100, decay=100, offset=1)
    batch: Count = 8
    steps: Count = 400_000

    def __post_init__(self) -> None:
        if self.guide.stages < 2:
            raise ValueError(f"guide.stages must be 2 or more, not {self.guide.stages}")
        if self.batch < 2 and self.guide.batch_norm and self.guide_share > 0:
            raise ValueError("batch must be 2 or more where guide.batch_norm is true and guide_share above 0")


_PRESETS: dict[str, PoseToDepthSettings] = {
    "paper": PoseToDepthSettings(),
    "published": PoseToDepthSettings(depth_range="inverted_700"),
    "small": PoseToDepthSettings(
        size=128,
        width=32,
        dropout=0.0,
        guide=CpmLayout(
            trunk=((2, 32, True), (2, 64, True), (3, 128, True)),
            features=64,
            head_width=128,
            stages=6,
            stage_width=64,
            batch_norm=True,
        ),
        guide_hidden=256,
        guide_sigma=16.0,
        learning_rate=5e-4,
        decay=None,
        ema=0.999,
        batch=16,
        steps=8000,
    ),
    "tiny": PoseToDepthSettings(
        size=64,
        width=16,
        critic_layers=2,
        dropout=0.0,
        guide=CpmLayout(
            trunk=((1, 16, True), (2, 32, True), (1, 32, False)),
            features=24,
            head_width=48,
            stages=6,
            stage_width=16,
            stage_convs=2,
            batch_norm=True,
        ),
        guide_hidden=96,
        guide_sigma=16.0,
        adversarial_weight=0.1,
        learning_rate=2e-3,
        decay=None,
        ema=0.99,
        batch=8,
        steps=1000,
    ),
}


class PoseToDepth(AdversarialGenerator):
    """The system; see ``training.system.Generator`` for what its methods promise.

    Args:
        settings: one of ``presets``, or others.
        seed: fixes the initial weights.
    """

    name: ClassVar[str] = "pose_to_depth"
    makes: ClassVar[Literal["rgb", "depth"]] = "depth"
    reads_source: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Settings]] = _PRESETS
    settings: PoseToDepthSettings

    def __init__(self, settings: PoseToDepthSettings, seed: int) -> None:
        super().__init__(settings, seed)
        s = settings
        self._guiding = s.guide_share > 0
        self._add("guide", DepthPoseMachine(1, J, s.size, s.guide, s.guide_hidden), initialise_normal)
        self._add("generator", Unet(1, 1, s.width, halvings(s.size, s.levels), s.norm, s.dropout), initialise_normal)
        self._add("critic", PatchDiscriminator(1 + 1, s.width, s.critic_layers, s.norm), initialise_normal)

    def schedule(self, step: int, steps: int) -> float:
        """As in all generators; it also says which phase the coming step belongs to, the last one to the second."""
        self._guiding = step < min(round(self.settings.guide_share * steps), steps - 1)
        return super().schedule(step, steps)

    def step(self, batch: PairBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """The guide once, or critic and then generator once each, as the phase has it; reads the target alone.

        Returns:
            ``guide_maps`` and ``guide_depth`` (eq. 12 and 13 on real depth); in the second phase ``l1`` (of depth in
            a range of length 2), ``maps`` and ``joint_depth`` (eq. 12 and 13 on made depth), ``adversarial`` and
            ``critic`` (mean of real and fake). All without their weights.

        Raises:
            ValueError: the batch has no depth.
        """
        hands = batch.target
        if hands.depth_mm is None:
            raise ValueError("a batch of hands without depth where a generator learns to make it")
        pose, real = self._pose(hands.joints_mm, hands.camera), _signed(self._levels(hands.depth_mm, hands.joints_mm))
        if self._guiding:
            return self._guide_step(real, hands, optimizers["guide"], backward)
        generator, critic = self._networks["generator"].train(), self._networks["critic"].train()
        fake = generator(pose)

        optimizers["critic"].zero_grad()
        judged = adversarial_loss(critic(joined(pose, fake.detach())), real=False)
        judged = (judged + adversarial_loss(critic(joined(pose, real)), real=True)) / 2
        backward(judged)
        optimizers["critic"].step()

        s = self.settings
        optimizers["generator"].zero_grad()
        with frozen(critic, self._networks["guide"]), evaluating(self._networks["guide"]):
            losses = dict(zip(("maps", "joint_depth"), self._guide_losses(fake, hands), strict=True))
            losses["l1"] = F.l1_loss(fake, real)
            losses["adversarial"] = adversarial_loss(critic(joined(pose, fake)), real=True)
            backward(
                s.l1_weight * losses["l1"]
                + s.maps_weight * losses["maps"]
                + s.joint_depth_weight * losses["joint_depth"]
                + s.adversarial_weight * losses["adversarial"]
            )
        optimizers["generator"].step()
        return {name: loss.detach() for name, loss in losses.items()} | {"critic": judged.detach()}

    def _guide_step(self, real: Tensor, hands: HandBatch, optimizer: Any, backward: Any) -> dict[str, Tensor]:
        self._networks["guide"].train()
        optimizer.zero_grad()
        maps, depths = self._guide_losses(real, hands)
        backward(self.settings.maps_weight * maps + self.settings.joint_depth_weight * depths)
        optimizer.step()
        return {"guide_maps": maps.detach(), "guide_depth": depths.detach()}

    def _guide_losses(self, signed: Tensor, hands: HandBatch) -> tuple[Tensor, Tensor]:
        """Eq. 12 and 13 of what the guide sees in depth maps (B, 1, S, S) in [-1, 1], beside these hands' joints."""
        s = self.settings
        maps, depths = self._networks["guide"](signed)
        keypoints = _projected(hands.joints_mm, hands.camera)
        wanted = heatmaps(keypoints, s.size, s.guide_sigma * s.size / REFERENCE_SIZE, _CUT, stride=s.guide.stride)
        known = keypoints.isfinite().all(-1)
        levels = torch.where(known, self._joint_levels(hands.joints_mm), torch.nan)
        return joint_map_loss(torch.stack(maps), wanted, known), joint_depth_loss(depths, levels)

    @torch.no_grad()
    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 1, S, S) depth in mm, NaN = background; reads the target's joints and camera alone."""
        return self.depth_mm(batch.target.joints_mm, batch.target.camera, self.settings.size)

    @torch.no_grad()
    def depth_mm(
        self, joints_mm: Float[Tensor, "B 21 3"], camera: Float[Tensor, "B 4"], size: int
    ) -> Float[Tensor, "B 1 {size} {size}"]:
        """A ``training.system.DepthProvider``: made at the system's own size, then sampled at the asked one.

        Returns:
            (B, 1, size, size) camera z in mm, NaN = background; all NaN for a hand without a known joint.
        """
        own = self.settings.size
        scale = own / size
        moved = torch.cat([camera[:, :2] * scale, (camera[:, 2:] + 0.5) * scale - 0.5], dim=1)
        generator = self._networks["generator"]
        with evaluating(generator):
            levels = (generator(self._pose(joints_mm, moved)).float() + 1) / 2
        if self.settings.depth_range == "inverted_700":
            made = depth.mm_from_inverted_700(levels)
        else:
            made = depth.mm_from_hand_relative(1 - 2 * levels, joints_mm, _FLESH_MM)
        made = depth.hand_alone(made, joints_mm, before_mm=torch.inf, behind_mm=_GAP_MM)
        return made if size == own else F.interpolate(made, size=(size, size), mode="nearest-exact")

    def _pose(self, joints_mm: Tensor, camera: Tensor) -> Tensor:
        """(B, 1, S, S) pose map in [-1, 1]."""
        size = self.settings.size
        keypoints, levels = _projected(joints_mm, camera), self._joint_levels(joints_mm)
        discs = heatmaps(keypoints, size, self.settings.pose_sigma * size / REFERENCE_SIZE, _CUT)
        discs = (discs * levels[..., None, None]).amax(1, keepdim=True)
        return _signed(torch.maximum(discs, depth_bone_map(keypoints, levels, size)))

    def _joint_levels(self, joints_mm: Tensor) -> Tensor:
        """(B, 21) the joints' own depth on the scale of :meth:`_levels`; 0 for an unknown one."""
        return self._levels(joints_mm[:, None, :, 2:], joints_mm)[:, 0, :, 0]

    def _levels(self, depth_mm: Tensor, joints_mm: Tensor) -> Tensor:
        """Depth (B, 1, H, W) in mm to [0, 1]: near is high, background (NaN) 0."""
        if self.settings.depth_range == "inverted_700":
            return depth.inverted_700(depth_mm)
        return (1 - depth.hand_relative(depth_mm, joints_mm, _FLESH_MM)) / 2


def _projected(joints_mm: Tensor, camera: Tensor) -> Tensor:
    """(B, 21, 2) px of joints before the camera; NaN of others."""
    z = torch.where(joints_mm[..., 2:] > 0, joints_mm[..., 2:], torch.nan)
    return joints_mm[..., :2] / z * camera[:, None, :2] + camera[:, None, 2:]


def _signed(levels: Tensor) -> Tensor:
    return (levels * 2 - 1).contiguous(memory_format=torch.channels_last)
