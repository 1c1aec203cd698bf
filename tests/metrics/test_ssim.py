"""SSIM: the oracle numbers, another implementation, and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from handsynth.errors import UsageError
from handsynth.metrics.ssim import ssim

RAMP = np.broadcast_to((np.arange(32.0) / 31)[None, None, :, None], (1, 32, 32, 3))
"""a = x / 31 of the facts, one image."""


def noise(seed: int, count: int = 2, side: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (RAMP, RAMP, 1.0),
        (RAMP, RAMP.transpose(0, 2, 1, 3), 0.21937139),
        (RAMP, 1 - RAMP, -0.19674645),
        (RAMP, 2 * RAMP - 1, 0.20230407),
        (RAMP, np.full_like(RAMP, 0.5), 0.37153116),
    ],
)
def test_published_numbers_with_zeros_around(first: np.ndarray, second: np.ndarray, expected: float) -> None:
    # The reference computes in float32, window and all; ours in that precision too agrees to 2e-6.
    assert ssim(first, second, "zero")[0] == pytest.approx(expected, abs=1.1e-5)


def test_published_number_of_black_against_white() -> None:
    assert ssim(np.zeros_like(RAMP), np.ones_like(RAMP), "zero")[0] == pytest.approx(5.2788e-05, abs=1e-9)


@given(seed=st.integers(0, 10_000), mix=st.floats(0, 1))
@settings(max_examples=10, deadline=None)
def test_valid_is_scikit_images(seed: int, mix: float) -> None:
    first = noise(seed)
    second = mix * first + (1 - mix) * noise(seed + 1)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
    expected = [structural_similarity(*pair, channel_axis=-1, **options) for pair in zip(first, second, strict=True)]
    np.testing.assert_allclose(ssim(first, second, "valid"), expected, atol=1e-12)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_it_is_symmetric_and_one_for_equal_images(seed: int) -> None:
    first, second = noise(seed), noise(seed + 1)
    for padding in ("zero", "valid"):
        score = ssim(first, second, padding)
        np.testing.assert_allclose(score, ssim(second, first, padding), atol=1e-12)
        assert (score < 1).all()
        np.testing.assert_allclose(ssim(first, first, padding), 1.0)


def test_many_images_are_scored_as_each_alone() -> None:
    first, second = noise(0, 19), noise(1, 19)
    alone = [ssim(first[i : i + 1], second[i : i + 1], "zero")[0] for i in range(19)]
    np.testing.assert_array_equal(ssim(first, second, "zero"), alone)


def test_single_precision_images_give_the_same() -> None:
    first, second = noise(0).astype(np.float32), noise(1).astype(np.float32)
    expected = ssim(first.astype(np.float64), second.astype(np.float64), "zero")
    np.testing.assert_array_equal(ssim(first, second, "zero"), expected)


def test_the_mask_hides_the_rest() -> None:
    first, second = noise(0), noise(1)
    where = np.zeros((2, 24, 24), dtype=bool)
    where[0, 6:18, 6:18] = True
    spoilt = np.where(where[..., None], first, 0.7)
    score = ssim(first, second, "zero", where)
    assert ssim(spoilt, second, "zero", where)[0] == score[0]
    assert score[0] > ssim(first, second, "zero")[0]
    assert np.isnan(score[1])
    assert ssim(first, spoilt, "zero", where)[0] == pytest.approx(1)


def test_images_under_the_window_are_refused() -> None:
    with pytest.raises(UsageError, match="11 px or more, found 10 px"):
        ssim(noise(0, side=10), noise(1, side=10), "valid")
    assert ssim(noise(0, side=10), noise(1, side=10), "zero").shape == (2,)
