"""Convolutional pose machines: VGG-style trunk, stages that refine joint maps, a head for joint depths.

The six-stage network of OpenPose's hand detector (Wei et al., CVPR 2016; Simon et al., CVPR 2017), as used by the
2-D and 3-D HPM of MM-Hand (ACM MM 2020, section 3.2.1), by Cai et al. (ECCV 2018) and by DGGAN (WACV 2021).
B batch, K maps, S image side, M = S / stride map side; convolutions have biases and zero padding.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from handsynth.runtime.settings import Settings

VGG_TRUNK = ((2, 64, True), (2, 128, True), (4, 256, True), (6, 512, False))
"""(repeat, width, pool) of the OpenPose hand trunk; 3 x 3 convolutions, pooling by 2 after the block."""


class CpmLayout(Settings, frozen=True, kw_only=True):
    """Sizes of a pose machine; the defaults are the published six-stage network, stride 8."""

    trunk: tuple[tuple[int, int, bool], ...] = VGG_TRUNK
    """(repeat, width, pool) blocks of 3 x 3 convolutions."""
    features: int = 128
    """Channels of the image features that every stage sees."""
    head_width: int = 512
    """Hidden channels of the first stage, which sees the features alone."""
    stages: int = 6
    stage_width: int = 128
    stage_convs: int = 5
    kernel: int = 7
    """Of the stages' convolutions."""
    batch_norm: bool = False
    """After hidden convolutions and in the depth head; published networks have none, and start from trained weights."""

    @property
    def stride(self) -> int:
        """Image pixels per map pixel."""
        return 2 ** sum(pool for _, _, pool in self.trunk)


def convolution(into: int, out: int, kernel: int, batch_norm: bool = False, slope: float = 0.0) -> list[nn.Module]:
    """Same-size convolution, batch norm where asked for, then ReLU or (``slope`` > 0) leaky ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(into, out, kernel, padding=kernel // 2)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(out))
    layers.append(nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True))
    return layers


def trunk(
    into: int,
    blocks: tuple[tuple[int, int, bool], ...] = VGG_TRUNK,
    features: int = 128,
    batch_norm: bool = False,
    slope: float = 0.0,
) -> nn.Sequential:
    """(B, into, S, S) to (B, features, M, M): blocks of 3 x 3 convolutions, then one down to ``features``."""
    layers: list[nn.Module] = []
    for repeat, width, pool in blocks:
        for _ in range(repeat):
            layers += convolution(into, width, 3, batch_norm, slope)
            into = width
        if pool:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *convolution(into, features, 3, batch_norm, slope))


def cpm_stage(
    into: int,
    maps: int,
    width: int = 128,
    convs: int = 5,
    kernel: int = 7,
    batch_norm: bool = False,
    slope: float = 0.0,
) -> nn.Sequential:
    """One refining stage: ``convs`` wide convolutions, one 1 x 1, and a linear 1 x 1 to the maps."""
    layers: list[nn.Module] = []
    for position in range(convs):
        layers += convolution(width if position else into, width, kernel, batch_norm, slope)
    return nn.Sequential(*layers, *convolution(width, width, 1, batch_norm, slope), nn.Conv2d(width, maps, 1))


class PoseMachine(nn.Module):
    """The 2-D HPM: every stage after the first sees the previous maps and the image features.

    36,799,806 parameters for K = 21 at the published layout, 36,832,324 for 22.
    """

    def __init__(self, into: int = 3, maps: int = 21, layout: CpmLayout | None = None) -> None:
        super().__init__()
        layout = layout or CpmLayout()
        self.trunk = trunk(into, layout.trunk, layout.features, layout.batch_norm)
        self.first = nn.Sequential(
            *convolution(layout.features, layout.head_width, 1, layout.batch_norm),
            nn.Conv2d(layout.head_width, maps, 1),
        )
        self.refine = nn.ModuleList(_stage(layout, maps) for _ in range(layout.stages - 1))

    def forward(self, images: Float[Tensor, "B C S S"]) -> list[Float[Tensor, "B K M M"]]:
        """Joint maps of every stage, in order; see :func:`upsample` for image size."""
        features = self.trunk(images)
        stages = [self.first(features)]
        for stage in self.refine:
            stages.append(stage(torch.cat([stages[-1], features], dim=1)))
        return stages


class DepthHead(nn.Module):
    """Joint depths from joint maps: flatten, then three linear layers.

    The public codes put nothing between the linear layers; the papers' wording and ``relu`` put a ReLU there.
    """

    def __init__(
        self, maps: int, side: int, joints: int = 21, hidden: int = 512, relu: bool = True, batch_norm: bool = False
    ) -> None:
        super().__init__()

        def between() -> list[nn.Module]:
            # Without the norm all hidden units may die early in a training from scratch; depths then never move.
            norm: list[nn.Module] = [nn.BatchNorm1d(hidden)] if batch_norm else []
            return [*norm, nn.ReLU(inplace=True)] if relu else norm

        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(maps * side * side, hidden),
            *between(),
            nn.Linear(hidden, hidden),
            *between(),
            nn.Linear(hidden, joints),
        )

    def forward(self, maps: Float[Tensor, "B K M M"]) -> Float[Tensor, "B J"]:
        """One number per joint; what it measures is the caller's choice."""
        return self.layers(maps.contiguous())


class DepthPoseMachine(nn.Module):
    """A pose machine with a depth branch: one more stage beside the last one, then a :class:`DepthHead`.

    On the picture (``into`` 3) it is the 3-D HPM as MM-Hand's text and DGGAN's author have it: 52,249,448 parameters
    for K = 21, 52,812,655 for 22. On 21 joint maps it is the second network of MM-Hand's code (52,259,816), which
    builds the last stage but never runs it; ``depth_only`` does the same and keeps that stage out of training.
    """

    def __init__(
        self,
        into: int,
        maps: int,
        size: int,
        layout: CpmLayout | None = None,
        hidden: int = 512,
        relu: bool = True,
        depth_only: bool = False,
    ) -> None:
        super().__init__()
        layout = layout or CpmLayout()
        if layout.stages < 2:
            raise ValueError(
                f"the depth branch reads the last stage but one, so two stages at least, not {layout.stages}"
            )
        self.machine = PoseMachine(into, maps, layout)
        self.depth_stage = _stage(layout, maps)
        side = size // layout.stride
        self.depth_head = DepthHead(maps, side, hidden=hidden, relu=relu, batch_norm=layout.batch_norm)
        self.depth_only = depth_only
        if depth_only:
            self.machine.refine[-1].requires_grad_(False)

    def forward(self, images: Float[Tensor, "B C S S"]) -> tuple[list[Float[Tensor, "B K M M"]], Float[Tensor, "B J"]]:
        """Joint maps of every stage (all but the last where ``depth_only``) and one depth per joint."""
        features = self.machine.trunk(images)
        stages = [self.machine.first(features)]
        for stage in self.machine.refine[:-1]:
            stages.append(stage(torch.cat([stages[-1], features], dim=1)))
        before_last = torch.cat([stages[-1], features], dim=1)
        if not self.depth_only:
            stages.append(self.machine.refine[-1](before_last))
        return stages, self.depth_head(self.depth_stage(before_last))


def upsample(maps: Float[Tensor, "B K M M"], size: int) -> Float[Tensor, "B K S S"]:
    """Maps at image size: bilinear with aligned corners, as the published networks do."""
    return F.interpolate(maps, size=(size, size), mode="bilinear", align_corners=True)


def peaks(maps: Float[Tensor, "B K M M"], subpixel: bool = True) -> Float[Tensor, "B K 2"]:
    """(u, v) of each map's maximum in map pixels, the first in reading order where several are equal.

    ``subpixel`` fits a parabola to the logarithm of three values in a row and in a column, which is exact for a
    Gaussian, up to the border included.
    """
    side = maps.shape[-1]
    flat = maps.flatten(2).argmax(-1)
    u, v = flat % side, flat // side
    if not subpixel or side < 3:
        return torch.stack([u, v], dim=-1).to(maps.dtype)
    rows = maps.gather(2, v[..., None, None].expand(-1, -1, 1, side)).squeeze(2)
    columns = maps.gather(3, u[..., None, None].expand(-1, -1, side, 1)).squeeze(3)
    return torch.stack([_vertex(rows, u), _vertex(columns, v)], dim=-1)


def _vertex(values: Tensor, top: Tensor) -> Tensor:
    """Sub-pixel place of the maximum along the last axis, near the whole-pixel one."""
    middle = top.clamp(1, values.shape[-1] - 2)
    near = values.gather(-1, torch.stack([middle - 1, middle, middle + 1], dim=-1))
    # A learnt map may be negative or flat around its peak; the floor bounds what one weak value can do.
    low, center, high = near.clamp_min(1e-3).log().unbind(-1)
    bend = low - 2 * center + high
    offset = torch.where(bend < -1e-6, 0.5 * (low - high) / bend.clamp_max(-1e-6), top - middle)
    return top + (middle + offset - top).clamp(-0.5, 0.5)


def initialise_he(network: nn.Module, generator: torch.Generator) -> nn.Module:
    """Weights N(0, 2 / fan-in), biases 0, batch norms the identity; in place, in the order of ``network.modules()``.

    Keeps the size of activations through ReLU layers (He et al., ICCV 2015).
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


def _stage(layout: CpmLayout, maps: int) -> nn.Sequential:
    return cpm_stage(
        maps + layout.features, maps, layout.stage_width, layout.stage_convs, layout.kernel, layout.batch_norm
    )
