"""Where a generator's depth maps come from, by name: drawn capsules, the simulator's hand, or a trained network.

Whatever it is, the same joints, camera and size give the same map: in training and in augmentation, in whatever batch
and in whatever process it is asked. One exception: on a GPU a trained network is asked for whole batches, and in
batches of other sizes its maps may differ in their last digits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from handsynth.conditioning.depth import capsule_depth
from handsynth.conditioning.remembered import RememberedDepth
from handsynth.errors import UsageError
from handsynth.hand.camera import Camera
from handsynth.hand.joints import OTHER_BODY
from handsynth.hand.pose import chirality
from handsynth.runtime import progress
from handsynth.simulator.fit import fit_person, fit_poses
from handsynth.simulator.fitted import FittedSide, fitted_joints_mm
from handsynth.simulator.rerender import fitted_hand
from handsynth.simulator.surface import Surface
from handsynth.simulator.trace import trace
from handsynth.training.system import DepthProvider

CAPSULES, SIMULATOR = "capsules", "simulator"
"""Names of the providers that learn nothing."""

FIT_SECONDS = 0.1
"""What a map by the simulator takes on one core, about."""
_FARTHEST_MM = 15.0  # mean distance to the given joints of a fit that counts as one
_NEAREST_MM = 50.0  # a joint nearer to the camera, or behind it, cannot be traced
_KEPT_BYTES = 1 << 30  # a fit takes twenty times as long as drawing capsules
_STRAIGHT = np.zeros(2)  # wrist against forearm, which no map shows


class SimulatorDepth:
    """Depth of the simulator's hand, fitted to the joints of each map by itself and traced without its forearm.

    Capsules are drawn where a hand has unknown joints, where the fit stays more than 15 mm away from them in the mean,
    and where it comes nearer than 50 mm to the camera. The side is that by which the fingers bend.

    Attributes:
        fitted, drawn: maps made so far by the one and by the other way.
    """

    def __init__(self) -> None:
        self.fitted = self.drawn = 0
        self._remembered = RememberedDepth(self._made, _KEPT_BYTES)

    def __call__(self, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        """See ``training.system.DepthProvider``; works on the CPU whatever the tensors' device."""
        return self._remembered(joints_mm.cpu(), camera.cpu(), size).to(joints_mm.device)

    def _made(self, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        """The map of one hand."""
        traced = _traced(joints_mm[0].numpy().astype(np.float64), camera[0].tolist(), size)
        if traced is not None:
            self.fitted += 1
            return torch.from_numpy(traced)[None, None]
        self.drawn += 1
        if self.drawn == 1:
            progress.say(
                "the simulator's hand does not fit all joints; where it does not, depth is drawn with capsules"
            )
        return capsule_depth(joints_mm, camera, size)


class TrainedDepth:
    """Depth by the network of a trained system that makes depth."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def __call__(self, joints_mm: Tensor, camera: Tensor, size: int) -> Tensor:
        """See ``training.system.DepthProvider``; works on the tensors' device."""
        for network in self._system.networks().values():
            network.to(joints_mm.device)
        return self._system.depth_mm(joints_mm, camera, size)


def depth_provider(name: str) -> DepthProvider:
    """The provider of one of the names that learn nothing."""
    return SimulatorDepth() if name == SIMULATOR else RememberedDepth(capsule_depth)


def trained_depth(system: Any) -> DepthProvider:
    """The provider that a trained system is."""
    return RememberedDepth(TrainedDepth(system))


def _traced(joints_mm: np.ndarray, lens: list[float], size: int) -> np.ndarray | None:
    """(S, S) float32 depth of the hand that fits joints (21, 3), NaN = background; None where none does."""
    if not np.isfinite(joints_mm).all():
        return None
    side: FittedSide = "right" if chirality(joints_mm) > 0 else "left"
    try:
        person = fit_person(joints_mm[None], side)
    except UsageError:  # bones of no human length
        return None
    poses = fit_poses(person, joints_mm[None])
    fitted = fitted_joints_mm(person, poses)[0]
    if not (poses.residual_mm.mean() <= _FARTHEST_MM and fitted[:, 2].min() >= _NEAREST_MM):
        return None
    fx, fy, cx, cy = lens
    hand = fitted_hand(person, poses, 0, fitted, _STRAIGHT)
    view = trace(Surface.of(hand.cones), Camera(fx, fy, cx, cy, size, size))
    depth = view.depth_mm(size, size)
    return np.where(view.mask(size, size) < OTHER_BODY, depth, np.float32(np.nan))
