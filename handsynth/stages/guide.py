"""A trained estimator as the guide of a generator: the pose loss of MM-Hand (ACM MM 2020, eq. 9, 12 and 13) asks it.

Frozen, and differentiable in the images: see ``training.system.PoseJudge``.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor
from torch.nn import functional as F

from handsynth.errors import UsageError, sentence
from handsynth.estimators.hpm3d import Hpm3d
from handsynth.training.system import HandBatch, PoseJudge, PoseJudgement, System


def pose_judge(system: System) -> PoseJudge:
    """A guide from a trained 3-D HPM of either form; its networks are frozen, and stay in eval mode.

    Maps are compared at the estimator's own stride, so eq. 12, a sum over places, weighs ``stride`` squared times less
    than at image size. Those of an estimator that was trained with ``cross_entropy`` are made what they mean first: see
    ``Hpm3d.judge``.

    Raises:
        UsageError: it is another system.
    """
    if not isinstance(system, Hpm3d):
        raise UsageError(sentence("the estimator hpm3d", system.name, "the guide of a pose loss"))
    return _Guide(system)


class _Guide:
    def __init__(self, system: Hpm3d) -> None:
        self._system = system
        for network in system.networks().values():
            network.eval().requires_grad_(False)

    def __call__(self, images: Tensor, hands: HandBatch) -> PoseJudgement:
        for network in self._system.networks().values():
            network.to(images.device)  # made before it is known where the generator trains; then nothing moves
        size = self._system.settings.size
        scale = size / images.shape[-1]
        # A resized image's pixel centres lie at (u + 1/2) s - 1/2; depths in the estimator's units need no camera.
        keypoints = (hands.keypoints_px + 0.5) * scale - 0.5
        return self._system.judge(resized(images, size), replace(hands, keypoints_px=keypoints, rgb=None))


def resized(images: Tensor, size: int) -> Tensor:
    """(B, 3, S, S) images at an estimator's size: bilinear, with a wider filter where they shrink."""
    if images.shape[-1] == size:
        return images
    return F.interpolate(images, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
