"""3-D HPM: joint maps by a convolutional pose machine, joint depths by a branch beside its last stage.

Two forms. ``shared`` is MM-Hand's text (ACM MM 2020, section 3.2.1; the same network as Cai et al., ECCV 2018, and
DGGAN): one trunk, depths relative to the root in lengths of the scale bone. ``separate`` is MM-Hand's code: a second
network reads the joint maps themselves, true ones in training and predicted ones in use, and says z / 700 mm.

B batch, J = 21, S image side, M map side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from math import cos, pi
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from handsynth.conditioning.heatmaps import REFERENCE_SIZE, heatmaps
from handsynth.hand.joints import INDEX
from handsynth.imaging.jitter import JitterSettings, jitter
from handsynth.metrics.protocol import ROOT, SCALE_BONE
from handsynth.networks.cpm import CpmLayout, DepthPoseMachine, PoseMachine, initialise_he, peaks, upsample
from handsynth.runtime.seeds import entropy
from handsynth.runtime.settings import Settings
from handsynth.training.system import HandBatch, PoseJudgement, Prediction

_J = 21
_DEPTH_UNIT_MM = 700.0
_CUT = 0.0099
_ROOT = INDEX[ROOT]
_BASE, _END = (INDEX[name] for name in SCALE_BONE)


class Hpm3dSettings(Settings, frozen=True, kw_only=True):
    """Of the system and its training; lengths in px are those of a 256 px image and scale with ``size``."""

    form: Literal["shared", "separate"] = "shared"
    """One network for maps and depths, or MM-Hand's two."""
    size: int = 256
    layout: CpmLayout = CpmLayout()
    head_hidden: int = 512
    head_relu: bool = True
    """ReLU between the linear layers of the depth head."""
    depth: Literal["relative", "absolute"] = "relative"
    """Target: (z - z_root) / scale bone, or z / 700 mm."""
    pixels: Literal["centred", "min_max"] = "centred"
    """Input: rgb - 1/2, or each image stretched to [0, 1]."""
    sigma: float = 5.0
    """Width of the target maps."""
    supervise: Literal["image", "maps"] = "image"
    """Compare maps after upsampling to the image, or at their own stride."""
    maps_loss: Literal["squared", "cross_entropy"] = "squared"
    """Mean squared error, as in the papers, or the cross-entropy between a map's softmax and the normalised target.

    The second learns from scratch in hundreds of steps: squares are nearly zero for an empty map.
    """
    subpixel: bool = True
    """Refine the maximum of a map below a pixel; the published code takes the pixel."""
    maps_weight: float = 1000.0
    """On the sum over stages of the map loss."""
    depth_weight: float = 1.0
    """On the smooth L1 distance (knee 1) of depths."""
    jitter: JitterSettings | None = JitterSettings()
    """Random camera moves and colours in training; null for none."""
    learning_rate: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    schedule: Literal["constant", "cosine"] = "constant"
    batch: int = 20
    steps: int = 37_500
    """50 epochs of STB's 15,000 training images, as in the published script."""
    ema: float = 0.0


_PAPER = Hpm3dSettings()

_PUBLISHED = Hpm3dSettings(
    form="separate", head_relu=False, depth="absolute", pixels="min_max", subpixel=False, jitter=None
)

_SMALL = Hpm3dSettings(
    size=128,
    layout=CpmLayout(
        trunk=((2, 32, True), (2, 64, True), (3, 128, True)),
        features=64,
        head_width=128,
        stages=4,
        stage_width=64,
        batch_norm=True,
    ),
    head_hidden=256,
    sigma=12.0,
    supervise="maps",
    maps_loss="cross_entropy",
    maps_weight=1.0,
    learning_rate=1e-3,
    betas=(0.9, 0.999),
    schedule="cosine",
    batch=32,
    steps=6000,
    jitter=JitterSettings(degrees=60.0, zoom=0.2, shift=0.1, brightness=0.4, contrast=0.4, color=0.25),
)

_TINY = Hpm3dSettings(
    size=64,
    layout=CpmLayout(
        trunk=((1, 24, True), (2, 48, True), (2, 64, False)),
        features=32,
        head_width=64,
        stages=2,
        stage_width=32,
        stage_convs=3,
        batch_norm=True,
    ),
    head_hidden=128,
    sigma=16.0,
    supervise="maps",
    maps_loss="cross_entropy",
    maps_weight=1.0,
    learning_rate=2e-3,
    betas=(0.9, 0.999),
    schedule="cosine",
    batch=16,
    steps=400,
    jitter=JitterSettings(degrees=60.0, zoom=0.2, shift=0.1, brightness=0.4, contrast=0.4, color=0.25),
)


class Hpm3d:
    """Estimator of keypoints and relative depths from one colour image."""

    name: ClassVar[str] = "hpm3d"
    family: ClassVar[Literal["generator", "estimator"]] = "estimator"
    presets: ClassVar[Mapping[str, Settings]] = {
        "paper": _PAPER,
        "published": _PUBLISHED,
        "small": _SMALL,
        "tiny": _TINY,
    }

    def __init__(self, settings: Hpm3dSettings, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self._step = 0
        layout, size = settings.layout, settings.size
        shared = settings.form == "shared"
        depth = DepthPoseMachine(
            3 if shared else _J, _J, size, layout, settings.head_hidden, settings.head_relu, depth_only=not shared
        )
        if settings.depth == "absolute":
            # (sum, count) of the training hands' scale bones, saved with the weights; starts from one adult hand.
            depth.register_buffer("scale_mm", torch.tensor([50.0, 1.0]))
        self._networks: dict[str, nn.Module] = {"pose": depth}
        if not shared:
            self._networks = {"pose": PoseMachine(3, _J, layout), "depth": depth}
        generator = torch.Generator().manual_seed(entropy(seed, self.name, "weights"))
        for network in self._networks.values():
            initialise_he(network, generator).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def networks(self) -> dict[str, nn.Module]:
        """``pose``; in the separate form also ``depth``."""
        return self._networks

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """One Adam per network."""
        settings = self.settings
        return {
            name: torch.optim.Adam(
                (weight for weight in network.parameters() if weight.requires_grad),
                lr=settings.learning_rate,
                betas=settings.betas,
            )
            for name, network in self.networks().items()
        }

    def schedule(self, step: int, steps: int) -> float:
        """Constant, or a cosine from 1 down to 0 at the end."""
        return 1.0 if self.settings.schedule == "constant" else 0.5 * (1 + cos(pi * step / steps))

    def state(self) -> dict[str, Any]:
        """Steps taken: they number the draws of jitter."""
        return {"step": self._step}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        self._step = int(state["step"])

    def step(self, batch: HandBatch, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """Map losses summed over stages, and smooth L1 of depths; labelled joints alone count."""
        settings = self.settings
        batch = self._jittered(batch)
        known = self._known(batch)
        keypoints = torch.where(known[..., None], batch.keypoints_px, torch.nan)
        wanted = self._draw(keypoints, 1 if settings.supervise == "image" else settings.layout.stride)
        if settings.form == "shared":
            maps, depth = self.networks()["pose"](self._input(batch))
        else:
            maps = self.networks()["pose"](self._input(batch))
            _, depth = self.networks()["depth"](wanted if settings.supervise == "image" else self._draw(keypoints, 1))
        losses = {"maps": self._maps_loss(maps, wanted, known), "depth": self._depth_loss(depth, batch)}
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        backward(settings.maps_weight * losses["maps"] + settings.depth_weight * losses["depth"])
        for optimizer in optimizers.values():
            optimizer.step()
        return {name: loss.detach() for name, loss in losses.items()}

    def predict(self, batch: HandBatch) -> Prediction:
        """Reads ``rgb`` alone; an absolute depth is divided by the mean scale bone of the training hands."""
        with self._frozen():
            return self._predict(self._input(batch))

    def features(self, batch: HandBatch) -> Tensor:
        """The image features that every stage sees, averaged over the image: ``layout.features`` numbers a hand."""
        pose: Any = self.networks()["pose"]
        machine = pose.machine if self.settings.form == "shared" else pose
        with self._frozen():
            return machine.trunk(self._input(batch)).float().mean((2, 3))

    def judge(self, images: Tensor, hands: HandBatch) -> PoseJudgement:
        """What it says of images beside what it was taught to say of these hands; gradients reach the images.

        The networks are used in the mode that they are in. Joints that are not labelled were not taught: their maps are
        0 on both sides, their true depths NaN.

        Args:
            images: (B, 3, S, S) in [0, 1] at its own size.
            hands: at the same size; joints and camera alone are read.

        Returns:
            Maps at the networks' stride, depths in the unit of the settings. Under ``cross_entropy`` a network says
            the logarithm of where a joint may be, up to a constant: softmax over places makes it a distribution, the
            thing that was taught, and the target's sum scales that so that a perfect map is the target, with a peak of
            about 1.
        """
        settings, known = self.settings, self._known(hands)
        batch = replace(hands, rgb=images)
        true_maps = self._true_maps(torch.where(known[..., None], hands.keypoints_px, torch.nan))
        if settings.form == "shared":
            said, depth = self.networks()["pose"](self._input(batch))
        else:
            said = self.networks()["pose"](self._input(batch))
            _, depth = self.networks()["depth"](upsample(self._readable(said[-1]), settings.size))
        maps = torch.stack(said).float()
        if settings.maps_loss == "cross_entropy":
            maps = maps.flatten(3).softmax(-1).view_as(maps) * true_maps.sum((2, 3), keepdim=True)
        maps = torch.where(known[..., None, None], maps, 0.0)
        true_depth = torch.where(hands.joint_labelled, self._true_depth(hands), torch.nan)
        return PoseJudgement(maps=maps, true_maps=true_maps, depth=depth.float(), true_depth=true_depth)

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """All networks in evaluation and without gradients; afterwards as they were."""
        networks = self.networks().values()
        modes = [network.training for network in networks]
        for network in networks:
            network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for network, mode in zip(networks, modes, strict=True):
                network.train(mode)

    def _predict(self, images: Tensor) -> Prediction:
        if self.settings.form == "shared":
            stages, depth = self.networks()["pose"](images)
            maps = self._readable(stages[-1])
        else:
            maps = self._readable(self.networks()["pose"](images)[-1])
            _, depth = self.networks()["depth"](upsample(maps, self.settings.size))
        depth = depth.float()
        if self.settings.depth == "absolute":
            total, count = self._scale_mm()
            depth = (depth - depth[:, _ROOT, None]) * _DEPTH_UNIT_MM * count / total
        return Prediction(self._keypoints(maps), depth)

    def _readable(self, maps: Tensor) -> Tensor:
        """Maps like their targets, with peaks of about 1; under cross-entropy a network says their logarithms."""
        maps = maps.float()
        return maps if self.settings.maps_loss == "squared" else (maps - maps.amax((2, 3), keepdim=True)).exp()

    def _keypoints(self, maps: Tensor) -> Tensor:
        settings = self.settings
        if settings.supervise == "maps":
            return (peaks(maps, settings.subpixel) + 0.5) * settings.layout.stride - 0.5
        if settings.subpixel:
            # Found before upsampling: the maximum of a linear interpolation always lies at one of its samples.
            return peaks(maps) * ((settings.size - 1) / (maps.shape[-1] - 1))
        return peaks(upsample(maps, settings.size), subpixel=False)

    def _jittered(self, batch: HandBatch) -> HandBatch:
        draws = torch.Generator().manual_seed(entropy(self._seed, self.name, "jitter", self._step))
        self._step += 1
        if self.settings.jitter is None or batch.rgb is None:
            return batch
        moved = jitter(batch.rgb, batch.keypoints_px, batch.joints_mm, batch.camera, draws, self.settings.jitter)
        return replace(
            batch, rgb=moved.rgb, keypoints_px=moved.keypoints_px, joints_mm=moved.joints_mm, camera=moved.camera
        )

    def _input(self, batch: HandBatch) -> Tensor:
        if batch.rgb is None:
            raise ValueError("an estimator needs rgb, and this batch has none")
        rgb = batch.rgb.contiguous(memory_format=torch.channels_last)
        if self.settings.pixels == "centred":
            return rgb - 0.5
        low, high = rgb.amin((1, 2, 3), keepdim=True), rgb.amax((1, 2, 3), keepdim=True)
        return (rgb - low) / (high - low).clamp_min(1e-6)

    def _draw(self, keypoints: Tensor, stride: int) -> Tensor:
        size = self.settings.size
        return heatmaps(keypoints, size, self.settings.sigma * size / REFERENCE_SIZE, _CUT, stride=stride)

    def _true_maps(self, keypoints: Tensor) -> Tensor:
        """Targets at the maps' own places: at their stride, or where :func:`upsample` puts them in the image."""
        settings = self.settings
        if settings.supervise == "maps":
            return self._draw(keypoints, settings.layout.stride)
        side = settings.size // settings.layout.stride
        scale = (side - 1) / (settings.size - 1)
        return heatmaps(keypoints * scale, side, settings.sigma * settings.size / REFERENCE_SIZE * scale, _CUT)

    @staticmethod
    def _known(hands: HandBatch) -> Tensor:
        return hands.joint_labelled & hands.keypoints_px.isfinite().all(-1)

    def _scale_mm(self) -> Tensor:
        network: Any = self.networks()["pose" if self.settings.form == "shared" else "depth"]
        return network.scale_mm

    def _maps_loss(self, maps: list[Tensor], wanted: Tensor, known: Tensor) -> Tensor:
        """Sum over stages of the mean over known joints; a joint whose target is empty has no cross-entropy."""
        if self.settings.supervise == "image":
            maps = [upsample(stage, self.settings.size) for stage in maps]
        said, target = torch.stack(maps).flatten(3), wanted.flatten(2)
        if self.settings.maps_loss == "squared":
            return _mean_of((said - target).square().mean(-1).sum(0), known)
        mass = target.sum(-1)
        share = target / mass.clamp_min(1e-6)[..., None]
        # The target's own entropy is taken off, so that 0 is perfect.
        entropy_of_target = torch.special.entr(share).sum(-1)
        cross = -(share * said.log_softmax(-1)).sum(-1) - entropy_of_target
        return _mean_of(cross.sum(0), known & (mass > 0))

    def _true_depth(self, hands: HandBatch) -> Tensor:
        """(B, 21) in the unit of the settings; NaN where unknown."""
        z = hands.joints_mm[..., 2]
        if self.settings.depth == "absolute":
            return z / _DEPTH_UNIT_MM
        return (z - z[:, _ROOT, None]) / _scale_bone(hands)[:, None]

    def _depth_loss(self, depth: Tensor, batch: HandBatch) -> Tensor:
        wanted = self._true_depth(batch)
        if self.settings.depth == "absolute":
            scale = _scale_bone(batch)
            measured = scale[scale.isfinite()]
            seen = self._scale_mm()
            seen += torch.stack([measured.sum(), torch.full_like(seen[1], len(measured))])
        known = batch.joint_labelled & wanted.isfinite()
        wanted = torch.where(known, wanted, depth.detach())
        return _mean_of(F.smooth_l1_loss(depth, wanted, reduction="none"), known)


def _scale_bone(hands: HandBatch) -> Tensor:
    """(B,) lengths in mm; NaN where an end is unknown."""
    return (hands.joints_mm[:, _END] - hands.joints_mm[:, _BASE]).norm(dim=-1)


def _mean_of(errors: Tensor, known: Tensor) -> Tensor:
    """Mean over the known ones of (B, 21); 0 where there are none."""
    return torch.where(known, errors, 0.0).sum() / known.sum().clamp_min(1)
