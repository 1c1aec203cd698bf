"""IS and FID: oracle numbers, the network's names and sizes, and what happens without weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from handsynth.errors import DataError, MissingError, UsageError
from handsynth.metrics.inception import CHUNK, fid, inception_score, load_inception, look
from handsynth.networks.inception import ConvNorm, FixedNorm, InceptionV3
from handsynth.networks.pretrained import WeightsFile
from handsynth.runtime import files
from tests.fixed_weights import close, fill, parameters, summary, wave


class Small(nn.Module):
    """Stands in for the network: features are the mean colour and its square, three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        assert images.shape[2:] == (299, 299)
        colour = images.mean((2, 3))
        return torch.cat([colour, colour.square()], dim=1), self.scale * colour


def pictures(seed: int, count: int = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.broadcast_to(rng.random((count, 1, 1, 3)), (count, 8, 8, 3)).copy()


@pytest.mark.parametrize("classes", [2, 7])
def test_score_of_sure_and_even_answers(classes: int) -> None:
    assert inception_score(np.tile(np.eye(classes), (3, 1))) == pytest.approx(classes)


def test_score_of_answers_that_are_all_alike() -> None:
    assert inception_score(np.full((12, 5), 0.2)) == pytest.approx(1)


def test_score_of_cycling_answers() -> None:
    rows = np.array([np.roll([0.8, 0.1, 0.1], shift) for shift in range(3)] * 4)
    assert inception_score(rows) == pytest.approx(1.5834094929, abs=1e-10)


def test_score_in_parts() -> None:
    rows = np.eye(4)[[0, 1, 2, 3, 0, 0, 1]]
    assert inception_score(rows, chunk=4) == pytest.approx((4 + 3 / 2 ** (2 / 3)) / 2)
    assert inception_score(rows, splits=2) == pytest.approx((4 + 3 / 2 ** (2 / 3)) / 2)
    assert inception_score(rows, splits=7) == pytest.approx(1)
    assert inception_score(np.eye(2 * CHUNK), chunk=CHUNK) == pytest.approx(CHUNK)
    with pytest.raises(UsageError, match="10 images or more, found 7"):
        inception_score(rows, splits=10)
    with pytest.raises(UsageError, match="chunks or splits"):
        inception_score(rows, chunk=2, splits=2)


def test_the_network_sees_images_from_minus_one_to_one_and_masks_as_black() -> None:
    images = pictures(0)
    seen = look(Small(), images)
    np.testing.assert_allclose(seen.features[:, :3], 2 * images[:, 0, 0] - 1, atol=1e-5)
    np.testing.assert_allclose(seen.probabilities.sum(1), 1)
    where = np.zeros((20, 8, 8), dtype=bool)
    np.testing.assert_allclose(look(Small(), images, where).features, np.tile([-1, -1, -1, 1, 1, 1], (20, 1)))


def test_fid_is_small_for_alike_images_and_large_for_others() -> None:
    real, alike, other = (look(Small(), images) for images in (pictures(0), pictures(1), 0.2 * pictures(2)))
    assert fid(real, real) == pytest.approx(0, abs=1e-6)
    assert fid(alike, real) < 0.3 * fid(other, real)


def test_without_weights_there_is_no_number_but_a_reason() -> None:
    network, reason = load_inception(None)
    assert network is None
    assert "not computed" in reason
    assert "--inception FILE" in reason


@pytest.fixture(scope="module")
def network() -> InceptionV3:
    with torch.device("meta"):
        return InceptionV3()


def test_names_and_numbers_of_the_network(network: InceptionV3) -> None:
    assert parameters(network) == 23_834_568
    assert parameters(network.fc) == 2_049_000
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 94
    state = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert len(state) == 94 * 5 + 2
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Conv2d_4a_3x3.bn.running_var": (192,),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_5d.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6b.branch7x7_2.conv.weight": (128, 128, 1, 7),
        "Mixed_6e.branch7x7dbl_4.conv.weight": (192, 192, 7, 1),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "Mixed_7c.branch1x1.conv.weight": (320, 2048, 1, 1),
        "fc.weight": (1000, 2048),
    }.items():
        assert state[name] == shape, name


def test_grids_and_widths_of_the_blocks(network: InceptionV3) -> None:
    sizes = {}
    for name, module in network.named_children():
        module.register_forward_hook(lambda _, __, out, name=name: sizes.update({name: tuple(out.shape[1:])}))
    features, logits = network(torch.empty(1, 3, 299, 299, device="meta"))
    assert (features.shape, logits.shape) == ((1, 2048), (1, 1000))
    assert sizes["Conv2d_2b_3x3"] == (64, 147, 147)
    assert sizes["Conv2d_4a_3x3"] == (192, 71, 71)
    assert [sizes[f"Mixed_{block}"] for block in ("5b", "5c", "5d")] == [(256, 35, 35), (288, 35, 35), (288, 35, 35)]
    assert all(sizes[f"Mixed_6{letter}"] == (768, 17, 17) for letter in "abcde")
    assert [sizes[f"Mixed_7{letter}"] for letter in "abc"] == [(1280, 8, 8), (2048, 8, 8), (2048, 8, 8)]


@torch.no_grad()
def test_fixed_weights_give_torchvisions_numbers() -> None:
    """Computed on torchvision 0.29's own code, G = 24, input 3 at 299; norms as the rule has them, epsilon 1e-5."""
    network = InceptionV3()
    for block in network.modules():
        if isinstance(block, ConvNorm):
            block.bn = nn.BatchNorm2d(block.conv.out_channels)  # type: ignore[assignment]
    features, logits = fill(network, gain=24)(wave(3, 299))
    assert summary(features) == close((0.23657707, 0.29801517, 0.90192503, 0.11477116, 0.0))
    assert summary(logits) == close((-0.01151743, 0.54442507, 0.30522645, 0.41851842, -1.24108740))


def test_the_norm_is_batch_norm_of_fixed_statistics_and_a_larger_epsilon() -> None:
    numbers, norm = torch.Generator().manual_seed(0), FixedNorm(5)
    state = {name: torch.rand(5, generator=numbers) for name in norm.state_dict()}
    norm.load_state_dict(state)
    expected = nn.BatchNorm2d(5, eps=1e-3)
    expected.load_state_dict({**state, "num_batches_tracked": torch.tensor(0)})
    images = torch.rand(2, 5, 4, 4, generator=numbers)
    assert torch.allclose(norm(images), expected.eval()(images), atol=1e-6)


def test_a_files_weights_go_in_by_name(tmp_path: Path, network: InceptionV3) -> None:
    """One number a tensor, stretched: the file is small. It holds the auxiliary classifier too, as torchvision's."""
    state = {
        name: torch.full((1,), number / 1e3).expand(value.shape)
        for number, (name, value) in enumerate(network.state_dict().items())
    }
    path = tmp_path / "inception.pth"
    torch.save({**state, "AuxLogits.fc.bias": torch.zeros(1000)}, path)
    checksum = files.sha256(path)
    loaded, protocol = load_inception(WeightsFile(path=str(path), sha256=checksum))
    assert loaded is not None
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert all(torch.equal(value, state[name]) for name, value in loaded.state_dict().items())
    assert checksum[:8] in protocol
    with pytest.raises(DataError, match="Inception v3 of torchvision of sha256"):
        load_inception(WeightsFile(path=str(path), sha256="0" * 64))
    with pytest.raises(MissingError, match="fetches no weights"):
        load_inception(WeightsFile(path=str(tmp_path / "none.pth"), sha256=checksum))
