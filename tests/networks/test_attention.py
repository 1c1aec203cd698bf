"""Attention blocks and the generators made of them: counts, outputs under fixed weights, and what masks do."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handsynth.networks.attention import AttentionBlock, AttentionGenerator
from handsynth.networks.resnet import Norm
from tests.fixed_weights import close, fill, parameters, summary, wave


@pytest.mark.parametrize(
    ("pose_channels", "norm", "count"),
    [
        ((42, 6), "batch", 71_272_835),
        ((42, 6), "instance", 71_262_595),
        ((6, 6), "batch", 71_159_939),
        ((42, 2), "batch", 71_260_291),
        ((42,), "batch", 41_384_579),
        ((36,), "batch", 41_365_763),
        ((36,), "instance", 41_358_019),
    ],
    ids=["mmhand", "mmhand instance", "mmhand contour", "mmhand grey depth", "patn", "patn 18", "patn 18 instance"],
)
def test_generator_has_the_published_number_of_parameters(
    pose_channels: tuple[int, ...], norm: Norm, count: int
) -> None:
    with torch.device("meta"):
        assert parameters(AttentionGenerator(3, pose_channels, norm=norm)) == count


def test_mmhand_generator_under_fixed_weights() -> None:
    filled = fill(AttentionGenerator(3, (42, 6), swap=True), gain=16)
    inputs = (wave(3), wave(42, phase=0.5), wave(6, phase=1.0))
    with torch.no_grad():
        alike = summary(filled(*inputs))
        # With equal weights in both pose streams the swap cannot be seen; another phase in the third can tell.
        fill(filled.pose_encoders[1], gain=16, phase=2.0)
        for block in filled.blocks:
            fill(block.pose_branches[1], gain=16, phase=2.0)
        swapped = summary(filled(*inputs))
        for block in filled.blocks:
            block.swap = False
        kept = summary(filled(*inputs))
    assert alike == close((-0.01126433, 0.24001503, -0.17633156, -0.33543559, 0.16194798))
    assert swapped == close((-0.01114933, 0.16477679, -0.05960043, -0.30672580, 0.09383526))
    assert kept == close((-0.00871241, 0.17784441, -0.10295987, -0.35803562, 0.13740341))


def test_patn_generator_under_fixed_weights() -> None:
    generator = fill(AttentionGenerator(3, (42,)), gain=16)
    with torch.no_grad():
        output = generator(wave(3), wave(42, phase=0.5))
    assert summary(output) == close((-0.02164405, 0.58509424, -0.84852338, -0.71953342, 0.62421326))


def block_and_codes(seed: int, streams: int, swap: bool = False) -> tuple[AttentionBlock, torch.Tensor, list]:
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        block = AttentionBlock(4, [8] * streams, "batch", swap=swap).eval()
    image = torch.randn(2, 4, 6, 5, generator=rng)
    return block, image, [torch.randn(2, 8, 6, 5, generator=rng) for _ in range(streams)]


@given(seed=st.integers(0, 2**31), streams=st.integers(1, 3))
def test_mask_lies_between_0_and_1(seed: int, streams: int) -> None:
    block, _, poses = block_and_codes(seed, streams)
    mask = block.mask([branch(pose) for branch, pose in zip(block.pose_branches, poses, strict=True)])
    assert mask.shape == (2, 4, 6, 5)
    assert mask.min() > 0
    assert mask.max() < 1


@pytest.mark.parametrize("streams", [1, 2])
def test_with_masks_at_0_the_image_stream_passes_through(streams: int, monkeypatch: pytest.MonkeyPatch) -> None:
    block, image, poses = block_and_codes(7, streams)
    monkeypatch.setattr(AttentionBlock, "mask", staticmethod(lambda branches: torch.zeros_like(branches[0])))
    output, _ = block(image, poses)
    assert torch.equal(output, image)


def test_swap_only_reverses_the_streams() -> None:
    kept, image, poses = block_and_codes(3, 2)
    swapped, _, _ = block_and_codes(3, 2, swap=True)
    image_kept, streams_kept = kept(image, poses)
    image_swapped, streams_swapped = swapped(image, poses)
    assert torch.equal(image_kept, image_swapped)
    assert all(torch.equal(a, b) for a, b in zip(streams_kept, reversed(streams_swapped), strict=True))
    # Each stream carries its own branch first, the new image code after it.
    assert all(torch.equal(stream[:, 4:], image_kept) for stream in streams_kept)
    assert torch.equal(streams_kept[0][:, :4], kept.pose_branches[0](poses[0]))
