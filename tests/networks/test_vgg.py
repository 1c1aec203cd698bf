"""VGG features: torchvision's names and counts, normalisation, and the perceptual loss on them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from handsynth.errors import UsageError
from handsynth.networks.perceptual import Perceptual, PerceptualLoss
from handsynth.networks.pretrained import WeightsFile
from handsynth.networks.vgg import VggFeatures, VggName, vgg_layers
from handsynth.runtime import files
from handsynth.runtime.settings import convert
from tests.fixed_weights import fill, parameters


@pytest.mark.parametrize(
    ("network", "layer", "count"),
    [("vgg19", "relu1_2", 38_720), ("vgg16", "conv3_3", 1_735_488), ("vgg16", "pool5", 14_714_688)],
)
def test_parameter_counts(network: VggName, layer: str, count: int) -> None:
    with torch.device("meta"):
        assert parameters(VggFeatures(network, layer)) == count


@pytest.mark.parametrize(
    ("network", "convolutions"),
    [
        ("vgg16", [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
        ("vgg19", [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]),
    ],
)
def test_names_are_torchvision_s(network: VggName, convolutions: list[int]) -> None:
    with torch.device("meta"):
        names = set(VggFeatures(network, "pool5").state_dict())
    assert names == {f"features.{index}.{part}" for index in convolutions for part in ("weight", "bias")}


def test_layers_stop_where_they_are_told_to() -> None:
    image = torch.linspace(-1, 1, 3 * 16 * 12).reshape(1, 3, 16, 12)
    convolution, rectified, pooled = (
        fill(VggFeatures("vgg16", layer), gain=24)(image.double()) for layer in ("conv2_2", "relu2_2", "pool2")
    )
    assert convolution.min() < 0
    assert torch.equal(convolution.relu(), rectified)
    assert torch.equal(F.max_pool2d(rectified, 2), pooled)
    assert pooled.shape == (1, 128, 4, 3)


def test_images_are_normalised_as_imagenet_was() -> None:
    network = fill(VggFeatures("vgg19", "conv1_1"), gain=24)
    image = torch.rand((2, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    plain = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    expected = F.conv2d(plain, network.features[0].weight, network.features[0].bias, padding=1)
    torch.testing.assert_close(network(image * 2 - 1), expected, atol=1e-6, rtol=0)


def test_an_unknown_layer_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a layer of vgg16: conv1_1, relu1_1.*found 'conv3_4'"):
        VggFeatures("vgg16", "conv3_4")
    assert "conv3_4" in vgg_layers("vgg19")
    with pytest.raises(UsageError, match="vgg16 has no layer conv3_4"):
        convert({"network": "vgg16", "layer": "conv3_4"}, Perceptual, "test")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> WeightsFile:
    """A made-up file of a whole VGG's beginning, as torchvision's holds it and more."""
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    state = fill(VggFeatures("vgg19", "relu1_2"), gain=24).float().state_dict()
    torch.save(state | {"classifier.0.bias": torch.zeros(3)}, path)
    return WeightsFile(path=str(path), sha256=files.sha256(path)[:8])


@pytest.mark.parametrize("norm", ["l1", "squared"])
def test_perceptual_loss_is_the_mean_difference_of_features(weights: WeightsFile, norm: str) -> None:
    rng = torch.Generator().manual_seed(1)
    made, real = (torch.rand((2, 3, 8, 8), generator=rng) * 2 - 1 for _ in range(2))
    made.requires_grad_(True)
    loss = PerceptualLoss(Perceptual(norm=norm, weights=weights))  # type: ignore[arg-type]
    value = loss(made, real)
    network = fill(VggFeatures("vgg19", "relu1_2"), gain=24).float()
    difference = network(made) - network(real)
    expected = difference.abs().mean() if norm == "l1" else difference.square().sum() / (2 * 64 * 8 * 8)
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    value.backward()
    assert made.grad is not None
    assert made.grad.any()
    assert loss(real, real).item() == 0


def test_the_compared_network_is_frozen(weights: WeightsFile) -> None:
    loss = PerceptualLoss(Perceptual(weights=weights))
    network = loss._features()
    assert loss._features() is network
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_without_weights_the_error_says_what_to_do(tmp_path: Path) -> None:
    image = torch.zeros(1, 3, 8, 8)
    loss = PerceptualLoss(
        Perceptual(network="vgg16", layer="conv3_3")
    )  # made without weights: only using it needs them
    with pytest.raises(UsageError, match=r"weights of vgg16 .*perceptual\.weights=.*perceptual=null"):
        loss(image, image)
