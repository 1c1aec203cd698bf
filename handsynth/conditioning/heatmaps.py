"""Keypoints to Gaussian heatmaps, the pose input of generators and the target of 2-D estimators.

One function covers every published convention; ``STYLES`` names them. Tensors in and out, on any device.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from handsynth.runtime.settings import Settings

REFERENCE_SIZE = 256
"""Image side in px for which the published widths are stated."""


def heatmaps(
    keypoints_px: Float[Tensor, "B 21 2"],
    size: int,
    sigma: float,
    cut: float = 0.0099,
    factor: float = 2.0,
    *,
    stride: int = 1,
    integer_centre: bool = False,
    patch: float | None = None,
    inside_only: bool = False,
    out: Float[Tensor, "B 21 M M"] | None = None,
) -> Float[Tensor, "B 21 M M"]:
    """One map per joint: exp(-d^2 / (factor sigma^2)) at distance d px from the joint.

    A map with ``stride`` has M = size / stride pixels a side; its pixel m sits at image pixel
    (m + 1/2) stride - 1/2, as average pooling of the image would place it.

    Args:
        keypoints_px: (B, 21, 2) u, v in px of the image, pixel centres at integers; a NaN joint gives a zero map.
        size: image side S in px, a multiple of ``stride``.
        sigma: width in px of the image.
        cut: values below it become 0; 0 keeps all. The default leaves a disc of radius 3.04 sigma where factor is 2.
        factor: 2 for a Gaussian of standard deviation sigma; Hand3D uses 1.
        stride: image px per map px.
        integer_centre: truncate keypoints to whole pixels first, as several published loaders do.
        patch: half side, in sigmas, of a square outside which the map is 0 (DGGAN: 3); None for no patch.
        inside_only: zero maps for joints on or outside the one-pixel border of the image (Hand3D).
        out: (B, 21, M, M) tensor to write into: fresh memory costs more than the work. No gradient then.

    Returns:
        (B, 21, M, M) in [0, 1], of the keypoints' dtype and device.
    """
    if size % stride:
        raise ValueError(f"size {size} is no multiple of stride {stride}")
    grid = (torch.arange(size // stride, device=keypoints_px.device, dtype=keypoints_px.dtype) + 0.5) * stride - 0.5
    centre = keypoints_px.trunc() if integer_centre else keypoints_px
    offset = grid - centre[..., None]  # (B, 21, 2, M)
    # The Gaussian is a product of one per axis, so 2 M exponentials make M^2 values.
    axis = torch.exp(offset.square() * (-1.0 / (factor * sigma * sigma)))
    keep = ~torch.isnan(axis)
    if patch is not None:
        keep &= offset.abs() <= patch * sigma
    if inside_only:
        inside = ((centre > 0) & (centre < size - 1)).all(-1)
        keep &= inside[..., None, None]
    axis = torch.where(keep, axis, 0.0)
    maps = torch.mul(axis[..., 1, :, None], axis[..., 0, None, :], out=out)
    return torch.threshold_(maps, cut, 0.0) if cut > 0 else maps


class HeatmapStyle(Settings, frozen=True, kw_only=True):
    """A published convention; ``sigma`` is in px of a 256 px image and scales with the image."""

    sigma: float
    factor: float = 2.0
    cut: float = 0.0
    integer_centre: bool = False
    patch: float | None = None
    inside_only: bool = False

    def draw(
        self,
        keypoints_px: Float[Tensor, "B 21 2"],
        size: int,
        stride: int = 1,
        out: Float[Tensor, "B 21 M M"] | None = None,
    ) -> Float[Tensor, "B 21 M M"]:
        """:func:`heatmaps` in this style for an image of ``size`` px."""
        return heatmaps(
            keypoints_px,
            size,
            self.sigma * size / REFERENCE_SIZE,
            self.cut,
            self.factor,
            stride=stride,
            integer_centre=self.integer_centre,
            patch=self.patch,
            inside_only=self.inside_only,
            out=out,
        )


STYLES: Mapping[str, HeatmapStyle] = {
    "mmhand": HeatmapStyle(sigma=6.0, cut=0.0099),
    "patn": HeatmapStyle(sigma=6.0, integer_centre=True),
    "hpm3d": HeatmapStyle(sigma=5.0, cut=0.0099),
    "msra_guide": HeatmapStyle(sigma=2.5, cut=0.0099),
    "dggan": HeatmapStyle(sigma=8.0, integer_centre=True, patch=3.0),
    # The paper's sigma of 1 on 32 x 32 maps: draw with stride 8.
    "cai": HeatmapStyle(sigma=8.0),
    "hand3d": HeatmapStyle(sigma=25.0, factor=1.0, integer_centre=True, inside_only=True),
}
"""Published conventions by name; sources: the code or paper of each system."""
