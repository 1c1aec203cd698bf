"""The perceptual loss: how far two images are apart in the features of a trained VGG.

Johnson et al., "Perceptual losses for real-time style transfer and super-resolution" (ECCV 2016); MM-Hand eq. 11.
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from handsynth.errors import UsageError, sentence
from handsynth.networks.pretrained import WeightsFile, load_pretrained
from handsynth.networks.vgg import VggFeatures, VggName, vgg_layers
from handsynth.runtime.settings import Settings


class Perceptual(Settings, frozen=True, kw_only=True):
    """Which features, and how they are compared."""

    network: VggName = "vgg19"
    layer: str = "relu1_2"
    """As ``networks.vgg.vgg_layers`` names it."""
    norm: Literal["l1", "squared"] = "l1"
    """Mean absolute difference, as in the codes of PATN and MM-Hand; or mean squared difference, which is eq. 11."""
    weights: WeightsFile | None = None
    """Torchvision's weights of the network; training cannot do without."""

    def __post_init__(self) -> None:
        if self.layer not in vgg_layers(self.network):
            raise ValueError(f"{self.network} has no layer {self.layer}: {', '.join(vgg_layers(self.network))}")


class PerceptualLoss:
    """A frozen network and the comparison of its features; made at the first use, which is in training.

    Not a module: what a system saves and trains are its own networks.
    """

    def __init__(self, settings: Perceptual) -> None:
        self.settings = settings
        self._network: VggFeatures | None = None

    def __call__(self, made: Float[Tensor, "B 3 S S"], real: Float[Tensor, "B 3 S S"]) -> Float[Tensor, ""]:
        """Mean over batch, channels and places, for images in [-1, 1]; the gradient goes to ``made``.

        Raises:
            UsageError: the settings name no file of weights.
            MissingError, DataError: there is no such file, or it holds something else.
        """
        network = self._features().to(made.device, made.dtype)
        compare = F.l1_loss if self.settings.norm == "l1" else F.mse_loss
        return compare(network(made), network(real).detach())

    def _features(self) -> VggFeatures:
        if self._network is None:
            chosen = self.settings
            if chosen.weights is None:
                advice = (
                    """give them: --set 'perceptual.weights={"path": "FILE.pth", "sha256": "HEX"}', """
                    "or train without that loss: --set perceptual=null"
                )
                expected = f"torchvision's weights of {chosen.network} for the perceptual loss"
                raise UsageError(sentence(expected, "no file", "the settings", advice))
            what = f"torchvision's {chosen.network}"
            self._network = load_pretrained(VggFeatures(chosen.network, chosen.layer), chosen.weights, what)
        return self._network
