"""Random crops: what they show, that they repeat, and how far they reach."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from handsynth.errors import UsageError
from handsynth.imaging.crop import RandomCrop, random_crop
from handsynth.runtime.settings import override


def ramps(count: int, size: int) -> torch.Tensor:
    """(B, 2, S, S): x in the first channel, y in the second, from -0.5 to 0.5."""
    line = torch.linspace(-0.5, 0.5, size)
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size)]).repeat(count, 1, 1, 1)


def crop(images: torch.Tensor, settings: RandomCrop, seed: int = 0) -> torch.Tensor:
    return random_crop(images, torch.Generator().manual_seed(seed), settings)


def test_a_crop_is_a_part_of_the_enlarged_image() -> None:
    images = ramps(64, 64)
    larger = F.interpolate(images[:1], size=(72, 72), mode="bicubic", antialias=True)[0]
    cropped = crop(images, RandomCrop(load=288))
    assert cropped.shape == images.shape
    places = set()
    for image in cropped:
        # Ramps say where a crop was taken; the enlarged image is flat to within rounding at no two places.
        left = int((larger[0, 36] - image[0, 36, 0]).abs().argmin())
        top = int((larger[1, :, 36] - image[1, 0, 36]).abs().argmin())
        assert torch.equal(image, larger[:, top : top + 64, left : left + 64])
        places |= {("top", top), ("left", left)}
    assert places == {(side, place) for side in ("top", "left") for place in range(9)}


def test_without_enlargement_and_flip_nothing_changes() -> None:
    images = torch.rand(3, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(crop(images, RandomCrop(load=256)), images)


def test_flips_mirror_one_half() -> None:
    images = ramps(200, 16)
    mirrored = crop(images, RandomCrop(load=256, flip=True))
    flipped = (mirrored[:, 0, 0, 0] > 0).sum()
    assert 75 < flipped < 125
    for image in mirrored:
        same = image if image[0, 0, 0] < 0 else image.flip(-1)
        torch.testing.assert_close(same, images[0])


def test_flips_leave_the_places_of_crops_alone() -> None:
    images = ramps(20, 64)
    plain, mirrored = crop(images, RandomCrop()), crop(images, RandomCrop(flip=True))
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(-1)) for a, b in zip(plain, mirrored, strict=True))


def test_the_seed_fixes_crops_and_values_stay_in_range() -> None:
    images = (torch.rand(4, 3, 32, 32) > 0.5).float() * 2 - 1  # bicubic sampling overshoots at edges
    settings = RandomCrop(load=300)
    assert torch.equal(crop(images, settings), crop(images, settings))
    assert not torch.equal(crop(images, settings), crop(images, settings, seed=1))
    assert crop(images, settings).abs().max() <= 1


def test_a_smaller_load_is_refused() -> None:
    with pytest.raises(UsageError, match="load"):
        override(RandomCrop(), ("load=200",))
