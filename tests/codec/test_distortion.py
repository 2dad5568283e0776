"""Distortion in stored values: exact sums, no wrap-round, stated maxima."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dicomnn.codec.distortion import max_error, mse, psnr, ssim
from dicomnn.errors import SamplesInvalid


def test_unsigned_differences_do_not_wrap_round() -> None:
    low, high = np.zeros((2, 2), np.uint16), np.full((2, 2), 65535, np.uint16)
    assert max_error(low, high) == max_error(high, low) == 65535
    assert mse(low, high) == 65535.0**2
    assert psnr(low, high, 65535) == 0
    assert max_error(np.array([-32768], np.int16), np.array([32767], np.int16)) == 65535


def test_psnr_follows_its_definition() -> None:
    original = np.arange(16, dtype=np.int32).reshape(4, 4)
    decoded = original.copy()
    decoded[0, 0] += 4
    assert mse(original, decoded) == 1.0
    assert psnr(original, decoded, 255) == pytest.approx(20 * math.log10(255))
    assert psnr(original, original, 255) == math.inf


def test_ssim_is_one_for_identical_images_and_falls_with_noise() -> None:
    rng = np.random.default_rng(0)
    original = rng.integers(0, 4096, (32, 40))
    values = [
        ssim(original, original + rng.integers(-n, n + 1, original.shape), 4095) for n in (1, 100, 1000)
    ]
    assert ssim(original, original.copy(), 4095) == 1.0
    assert 1 > values[0] > values[1] > values[2] > 0
    assert 0 < ssim(original[:4, :5], original[:4, :5] + 100, 4095) < 1
    assert math.isnan(ssim(original[:2], original[:2] + 1, 4095))


def test_arrays_that_cannot_be_compared_are_refused() -> None:
    image = np.zeros((4, 4), np.uint8)
    for other in (np.zeros((4, 5), np.uint8), np.zeros((4, 4))):
        with pytest.raises(SamplesInvalid):
            max_error(image, other)
    with pytest.raises(SamplesInvalid):
        psnr(image, image, 0)
    with pytest.raises(SamplesInvalid):
        ssim(image[0], image[0], 255)
