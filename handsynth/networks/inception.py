"""Inception v3 (Szegedy et al., CVPR 2016) under torchvision's parameter names, for looking at images only.

Without the auxiliary classifier, which torchvision runs in training alone: a file of torchvision's weights holds it and
it is left unread. 23,834,568 parameters, 94 convolutions. B batch; "same" means that height and width stay.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_SIZE = 299


class Conv(NamedTuple):
    """One convolution of a branch: name, output channels, kernel (height, width), stride.

    Stride 1 keeps height and width; stride 2 has no padding.
    """

    name: str
    out: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1


Branch = tuple[tuple[Conv, ...], ...]
"""Steps in a row; a step of two convolutions reads one input twice and lays the results behind each other."""


class InceptionV3(nn.Module):
    """Images to pooled features and class logits. Always in evaluation: its batch norms hold fixed statistics."""

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNorm(3, 32, (3, 3), stride=2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, (3, 3))
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, (3, 3), padding=(1, 1))
        self.Conv2d_3b_1x1 = ConvNorm(64, 80, (1, 1))
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, (3, 3))
        mixed = {
            "5b": _grid_35(32),
            "5c": _grid_35(64),
            "5d": _grid_35(64),
            "6a": _to_grid_17(),
            "6b": _grid_17(128),
            "6c": _grid_17(160),
            "6d": _grid_17(160),
            "6e": _grid_17(192),
            "7a": _to_grid_8(),
            "7b": _grid_8(),
            "7c": _grid_8(),
        }
        self._mixed = tuple(f"Mixed_{name}" for name in mixed)
        channels = 192
        for name, branches in zip(self._mixed, mixed.values(), strict=True):
            block = Mixed(channels, branches)
            channels = block.channels
            self.add_module(name, block)
        self.fc = nn.Linear(channels, classes)

    def forward(self, images: Float[Tensor, "B 3 S S"]) -> tuple[Float[Tensor, "B 2048"], Float[Tensor, "B K"]]:
        """Mean features of the last block, and logits.

        Args:
            images: in [-1, 1], S = 299 as it was trained.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(images)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2)))
        x = F.max_pool2d(x, 3, stride=2)
        for name in self._mixed:
            x = self.get_submodule(name)(x)
        features = x.mean((2, 3))
        return features, self.fc(features)


class Mixed(nn.Module):
    """Branches side by side, their outputs laid behind each other.

    The last branch is a pooling by 3: the mean with zeros around (stride 1, then a convolution), or the maximum where
    the others end in stride 2.
    """

    def __init__(self, channels: int, branches: tuple[Branch, ...]) -> None:
        super().__init__()
        self._branches, self.channels = branches, 0
        for branch in branches:
            into = channels
            for step in branch:
                for conv in step:
                    self.add_module(conv.name, ConvNorm(into, conv.out, conv.kernel, conv.stride, _same(conv)))
                into = sum(conv.out for conv in step)
            self.channels += into

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        *plain, pool = self._branches
        pooled = F.avg_pool2d(x, 3, stride=1, padding=1) if pool else F.max_pool2d(x, 3, stride=2)
        return torch.cat([*(self._run(branch, x) for branch in plain), self._run(pool, pooled)], dim=1)

    def _run(self, branch: Branch, x: Tensor) -> Tensor:
        for step in branch:
            x = torch.cat([self.get_submodule(conv.name)(x) for conv in step], dim=1)
        return x


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm, ReLU."""

    def __init__(
        self, into: int, out: int, kernel: tuple[int, int], stride: int = 1, padding: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(into, out, kernel, stride, padding, bias=False)
        self.bn = FixedNorm(out)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class FixedNorm(nn.Module):
    """Batch norm with the statistics of a file, epsilon 0.001.

    PyTorch's own would also ask the file for its count of batches, which files of old versions lack.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        mean, variance = self.get_buffer("running_mean"), self.get_buffer("running_var")
        return F.batch_norm(x, mean, variance, self.weight, self.bias, training=False, eps=1e-3)


def _row(*convs: Conv) -> Branch:
    return tuple((conv,) for conv in convs)


def _same(conv: Conv) -> tuple[int, int]:
    return (conv.kernel[0] // 2, conv.kernel[1] // 2) if conv.stride == 1 else (0, 0)


def _chain(name: str, *steps: tuple[int, tuple[int, int]], last_stride: int = 1) -> Branch:
    """Convolutions ``NAME_1``, ``NAME_2``, ... of (output channels, kernel)."""
    last = len(steps)
    return _row(
        *(
            Conv(f"{name}_{number}", out, kernel, last_stride if number == last else 1)
            for number, (out, kernel) in enumerate(steps, start=1)
        )
    )


def _grid_35(pooled: int) -> tuple[Branch, ...]:
    return (
        _row(Conv("branch1x1", 64)),
        _chain("branch5x5", (48, (1, 1)), (64, (5, 5))),
        _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
        _row(Conv("branch_pool", pooled)),
    )


def _to_grid_17() -> tuple[Branch, ...]:
    return (
        _row(Conv("branch3x3", 384, (3, 3), 2)),
        _chain("branch3x3dbl", (64, (1, 1)), (96, (3, 3)), (96, (3, 3)), last_stride=2),
        (),
    )


def _grid_17(width: int) -> tuple[Branch, ...]:
    """A 7 x 7 window as a row and a column, once and twice."""
    row, column = (1, 7), (7, 1)
    return (
        _row(Conv("branch1x1", 192)),
        _chain("branch7x7", (width, (1, 1)), (width, row), (192, column)),
        _chain("branch7x7dbl", (width, (1, 1)), (width, column), (width, row), (width, column), (192, row)),
        _row(Conv("branch_pool", 192)),
    )


def _to_grid_8() -> tuple[Branch, ...]:
    return (
        _chain("branch3x3", (192, (1, 1)), (320, (3, 3)), last_stride=2),
        _chain("branch7x7x3", (192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3)), last_stride=2),
        (),
    )


def _grid_8() -> tuple[Branch, ...]:
    """The last window of two branches is a row beside a column."""

    def fork(name: str) -> tuple[Conv, ...]:
        return Conv(f"{name}a", 384, (1, 3)), Conv(f"{name}b", 384, (3, 1))

    return (
        _row(Conv("branch1x1", 320)),
        (*_chain("branch3x3", (384, (1, 1))), fork("branch3x3_2")),
        (*_chain("branch3x3dbl", (448, (1, 1)), (384, (3, 3))), fork("branch3x3dbl_3")),
        _row(Conv("branch_pool", 192)),
    )
