"""IS and FID, and their mask forms, from Inception v3 with weights that the user gives.

Inception score: Salimans et al. (NeurIPS 2016). FID: Heusel et al. (NeurIPS 2017). What is ours to say of both:

- The network is torchvision's, as in MM-Hand's comparison. PATN, PG2 and Pose-GAN, and most published FIDs, use the
  TensorFlow graph of 2015, whose numbers differ.
- Images are resized to 299 px, bilinear, and brought into [-1, 1]. MM-Hand's code normalises by ImageNet's mean and
  deviation, which torchvision's trained model undoes before its first layer (that the code leaves that switch on is
  UNVERIFIED).
- Mask forms: the images are multiplied by a mask in [0, 1], so the background is black.
- Without a file of weights nothing is computed, and the reason is said instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import nn
from torch.nn import functional as F

from handsynth.errors import UsageError, sentence
from handsynth.metrics.frechet import frechet_distance
from handsynth.networks.inception import INPUT_SIZE, InceptionV3
from handsynth.networks.pretrained import WeightsFile, load_pretrained

CHUNK = 64
"""Images per part of MM-Hand's Inception score, which therefore cannot exceed 64."""

_PROTOCOL = f"IS (mean over chunks of {CHUNK} images) and FID by torchvision's Inception v3 of sha256 "
_NOT_COMPUTED = "IS and FID not computed (no Inception weights were given: --inception FILE --inception-sha256 HEX)"
_BATCH = 16


@dataclass(frozen=True)
class Seen:
    """What the network says of N images: (N, D) features and (N, K) class probabilities."""

    features: np.ndarray
    probabilities: np.ndarray


def load_inception(file: WeightsFile | None) -> tuple[InceptionV3 | None, str]:
    """The network and the protocol of its scores; None and the reason where no weights were given.

    Args:
        file: torchvision's ``inception_v3_google-0cc3c7bd.pth``, whose name ends in its checksum.

    Raises:
        MissingError, UsageError, DataError: the file is not there, or is not that network's.
    """
    if file is None:
        return None, _NOT_COMPUTED
    return load_pretrained(InceptionV3(), file, "Inception v3 of torchvision"), _PROTOCOL + file.sha256[:8].lower()


@torch.no_grad()
def look(
    network: nn.Module, images: Float[np.ndarray, "N S S 3"], where: Bool[np.ndarray, "N S S"] | None = None
) -> Seen:
    """Show images in [0, 1] to the network, on its device; multiplied by a mask where one is given."""
    device = next(network.parameters()).device
    features, probabilities = [], []
    for start in range(0, len(images), _BATCH):
        part = images[start : start + _BATCH]
        if where is not None:
            part = part * where[start : start + _BATCH, :, :, None]
        pixels = torch.from_numpy(np.ascontiguousarray(part)).to(device).permute(0, 3, 1, 2).float()
        shown = F.interpolate(pixels, size=(INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        said, logits = network(2 * shown - 1)
        features.append(said.double().cpu().numpy())
        probabilities.append(logits.double().softmax(1).cpu().numpy())
    return Seen(np.concatenate(features), np.concatenate(probabilities))


def fid(generated: Seen, real: Seen) -> float:
    """Frechet distance of pool features; far too large below some thousands of images, so compare equal counts only."""
    return frechet_distance(generated.features, real.features)


def inception_score(
    probabilities: Float[np.ndarray, "N K"], chunk: int | None = None, splits: int | None = None
) -> float:
    """exp of the mean KL divergence between each image's classes and those of all; 1 to the number of classes.

    Args:
        probabilities: (N, K), rows sum to 1.
        chunk: MM-Hand: the mean of the scores of consecutive parts of this many images; the last may be smaller.
        splits: PATN, PG2, Pose-GAN (10): the mean of the scores of this many parts of about equal size.

    Raises:
        UsageError: both kinds of parts, or fewer images than parts.
    """
    count = len(probabilities)
    if chunk is not None and splits is not None:
        raise UsageError(sentence("chunks or splits", "both", "an Inception score"))
    if count < (splits or 1):
        raise UsageError(sentence(f"{splits or 1} images or more", str(count), "an Inception score"))
    if chunk is not None:
        parts = [probabilities[start : start + chunk] for start in range(0, count, chunk)]
    else:
        parts = np.array_split(probabilities, splits or 1)
    return float(np.mean([_score(part) for part in parts]))


def _score(probabilities: np.ndarray) -> float:
    mean = probabilities.mean(0)
    # A class that no image has adds nothing: 0 log 0 is 0.
    ratio = np.divide(probabilities, mean, out=np.ones_like(probabilities), where=probabilities > 0)
    return float(np.exp((probabilities * np.log(ratio)).sum(1).mean()))
