"""What a trainable system is, and the batches it is fed.

B batch, J = 21 joints, S image side in px. A system is networks + losses + how to take one training step; one loop
(``training/loop.py``) trains them all. Where one system needs another it takes a callable whose protocol stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from handsynth.runtime.settings import Settings


@dataclass(frozen=True)
class HandBatch:
    """B hands at a system's working size.

    Attributes:
        slots: (B,) int64, the store's slots.
        keypoints_px: (B, 21, 2) float32 in pixels of the S x S image, pixel centres at integers; NaN where unknown.
        joints_mm: (B, 21, 3) float32 in the camera frame; NaN where unknown.
        joint_labelled: (B, 21) bool: labelled by the source, so counted in losses and scores; derived ones are not.
        camera: (B, 4) float32 fx, fy, cx, cy of the S x S image.
        rgb: (B, 3, S, S) float32 in [0, 1], or None where only the pose is known (targets of a generator).
        depth_mm: (B, 1, S, S) float32, NaN = none, or None.
    """

    slots: Tensor
    keypoints_px: Tensor
    joints_mm: Tensor
    joint_labelled: Tensor
    camera: Tensor
    rgb: Tensor | None = None
    depth_mm: Tensor | None = None

    def to(self, device: torch.device | str) -> HandBatch:
        """The same batch on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if value is not None})

    def __len__(self) -> int:
        return len(self.slots)


@dataclass(frozen=True)
class PairBatch:
    """Source and target hands of a generator: the target's pose, the source's look."""

    source: HandBatch
    target: HandBatch

    def to(self, device: torch.device | str) -> PairBatch:
        """The same batch on another device."""
        return PairBatch(self.source.to(device), self.target.to(device))

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class Prediction:
    """What an estimator says of B hands, before root and scale are known.

    Attributes:
        keypoints_px: (B, 21, 2) in pixels of the S x S image.
        relative_depth: (B, 21), (z - z of the root joint) / length of the scale bone; see ``metrics/protocol.py``.
    """

    keypoints_px: Tensor
    relative_depth: Tensor


class DepthProvider(Protocol):
    """Makes a depth map from joints: drawn capsules, the simulator, or a trained pose-to-depth network."""

    def __call__(self, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        """(B, 21, 3) joints and (B, 4) cameras to (B, 1, S, S) depth in mm, NaN = background."""
        ...


@dataclass(frozen=True)
class PoseJudgement:
    """What a frozen estimator says of B images, beside what it was taught to say of their true poses.

    Attributes:
        maps: (T, B, 21, M, M) joint maps of its T stages, with peaks of about 1.
        true_maps: (B, 21, M, M) drawn from the true keypoints; 0 for an unknown joint.
        depth: (B, 21) in the estimator's own unit; relative to the root in MM-Hand's text.
        true_depth: (B, 21); NaN where unknown.
    """

    maps: Tensor
    true_maps: Tensor
    depth: Tensor
    true_depth: Tensor


class PoseJudge(Protocol):
    """A trained estimator that guides a generator: gradients pass through it, its own weights get none."""

    def __call__(self, images: Tensor, hands: HandBatch) -> PoseJudgement:
        """(B, 3, S, S) images in [0, 1] of these hands; of ``hands`` it reads joints and camera, no pixels."""
        ...


class System(Protocol):
    """Common to generators and estimators."""

    name: ClassVar[str]
    family: ClassVar[Literal["generator", "estimator"]]
    presets: ClassVar[Mapping[str, Settings]]
    """``paper``, ``published``, ``small``, ``tiny``."""
    settings: Any
    """Frozen; has ``size`` (working image side), ``batch`` (hands a step), ``steps`` (default training length) and
    ``ema`` (decay of the averaged weights that inference uses; 0 = none)."""

    def networks(self) -> dict[str, nn.Module]:
        """The live mapping of all networks by name, in the order they are saved.

        The loop puts wrapped networks (precision, DDP) in its place, so a system always calls ``networks()[name]``.
        """
        ...

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """All optimisers by name, made anew; the loop makes them once, after the networks are on their device."""
        ...

    def schedule(self, step: int, steps: int) -> float:
        """Factor on every learning rate at a step of a run of ``steps``.

        Called before each step, so one whose steps come in phases learns here which the coming step belongs to.
        """
        ...

    def step(self, batch: Any, optimizers: Mapping[str, Any], backward: Any) -> dict[str, Tensor]:
        """One optimisation step of all optimisers on one batch; returns scalar losses by name.

        ``backward(loss)`` takes the place of ``loss.backward()`` so that the loop's precision applies.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Training state beside networks and optimisers, tensors and plain numbers: history pools, say."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Put back what :meth:`state` gave."""
        ...


class Generator(System, Protocol):
    """Makes images or depth maps of hands: trained on :class:`PairBatch`, made by ``kind(settings, seed)``.

    Where it reads depth, by ``kind(settings, depth_provider, seed)``; one with a pose loss takes a :class:`PoseJudge`
    as ``judge`` besides. One that makes depth is trained on batches without colour whose target has ``depth_mm``, and
    has a method ``depth_mm`` that is a :class:`DepthProvider`.
    """

    makes: ClassVar[Literal["rgb", "depth"]]
    reads_source: ClassVar[bool]
    """Whether the source's look goes into the image; else it is made from the target's pose alone."""
    reads_depth: ClassVar[bool]
    """Whether depth maps go in, which a :class:`DepthProvider` makes from the joints."""

    def generate(self, batch: PairBatch) -> Tensor:
        """(B, 3, S, S) in [0, 1]: the source's look in the target's pose; reads no target pixels.

        One that makes depth: (B, 1, S, S) camera z in mm, NaN = background.
        """
        ...


class Estimator(System, Protocol):
    """Predicts pose from images: trained on :class:`HandBatch`."""

    def predict(self, batch: HandBatch) -> Prediction:
        """Reads ``rgb`` alone."""
        ...

    def features(self, batch: HandBatch) -> Tensor:
        """(B, F) numbers that sum up each image, for the Frechet distance in its name; reads ``rgb`` alone."""
        ...
