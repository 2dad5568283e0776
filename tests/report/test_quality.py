"""Windows, error figures and how they are pooled."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dicomnn.codec.distortion import ssim
from dicomnn.report.quality import (
    Quality,
    Window,
    identical,
    measure_frame,
    pooled,
    psnr,
    summarise,
    within,
)


def test_a_window_in_hounsfield_units_is_turned_into_stored_units() -> None:
    # PS3.3 C.11.2.1.2.1: center 40, width 400 shows -160 (black, c - 0.5 - (w-1)/2) to 239 (white).
    assert Window.from_dicom(40, 400, 1, -1024) == Window(864, 1263)
    assert Window.from_dicom(40, 400, 0.5, -1024) == Window(1728, 2526)


def test_a_negative_slope_does_not_turn_the_window_over() -> None:
    window = Window.from_dicom(100, 51, -1, 0)
    assert (window.low, window.high) == (-124.5, -74.5)


@pytest.mark.parametrize(("width", "slope"), [(1, 1), (0, 1), (-5, 1), (100, 0)])
def test_absurd_windows_still_have_a_width(width: float, slope: float) -> None:
    assert Window.from_dicom(10, width, slope).width >= 1


def test_percentiles_leave_padding_out() -> None:
    values = np.full((100, 100), -2000)
    values[:10, :10] = np.arange(100).reshape(10, 10)
    window = Window.from_values(values, padding=-2000)
    assert 0 <= window.low < 2 and 97 < window.high <= 99
    assert Window.from_values(np.full((4, 4), -2000), padding=-2000).width == 1


def test_psnr_states_what_its_maximum_means() -> None:
    assert psnr(1.0, 255) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(0.0, 255) == math.inf


def frames() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    original = random.integers(0, 4096, (2, 32, 40)).astype(np.uint16)
    decoded = original.copy()
    decoded[1, 3, 4] = original[1, 3, 4] ^ 2
    decoded[1, 9, 9] = original[1, 9, 9] ^ 1
    return original, decoded


def test_measured_figures_are_those_of_the_two_arrays() -> None:
    original, decoded = frames()
    window = Window(0, 4095)
    measured = [measure_frame(original[i], decoded[i], window, ssim, i + 1) for i in range(2)]
    quality = summarise(measured, 12, window, slope=-0.5, unit="HU")
    assert quality.mse == pytest.approx(5 / original.size)
    assert quality.psnr_db == pytest.approx(10 * math.log10(4095**2 * original.size / 5))
    assert quality.psnr_window_db == quality.psnr_db
    assert (quality.max_error, quality.max_error_rescaled, quality.unit) == (2, 1.0, "HU")
    assert quality.worst_frame == 2 and 0.99 < (quality.ssim or 0) < 1
    assert quality.basis == "measured" and not quality.identical


def test_errors_of_unsigned_values_do_not_wrap() -> None:
    zero, one = np.zeros((8, 8), np.uint16), np.ones((8, 8), np.uint16)
    assert measure_frame(one, zero, Window(0, 4), ssim).max_error == 1


def test_an_error_outside_of_the_window_is_not_an_error_of_the_window() -> None:
    original = np.full((16, 16), 3000)
    decoded = original.copy()
    decoded[0, 0] = 3003
    quality = summarise([measure_frame(original, decoded, Window(0, 2000), ssim)], 12, Window(0, 2000))
    assert quality.psnr_window_db == math.inf and math.isfinite(quality.psnr_db or math.inf)


def test_a_frame_too_small_for_ssim_has_none() -> None:
    original = np.array([[1, 2]])
    quality = summarise([measure_frame(original, original + 1, Window(0, 10), ssim)], 8, Window(0, 10))
    assert quality.ssim is None and quality.max_error == 1


@pytest.mark.parametrize(
    "quality",
    [
        identical(12, "HU"),
        identical(None),
        within(3, 12, 2.0, "HU"),
        Quality("measured", 4095, 0.5, 75.2, 60.1, 400.0, 0.99, 2, 2.0, "HU", 3),
    ],
)
def test_json_round_trips_and_holds_no_infinity(quality: Quality) -> None:
    text = json.dumps(quality.to_json(), allow_nan=False)
    again = Quality.from_json(json.loads(text))
    assert again == quality


def test_pooling_takes_the_worst_and_admits_what_is_not_known() -> None:
    good = Quality("measured", 4095, 1.0, 72.0, 50.0, 400.0, 0.99, 2, 2.0, "HU", 1)
    assert pooled([(good, 100), (identical(12, "HU"), 300)])["mse"] == 0.25
    worst = pooled([(good, 100), (identical(12, "HU"), 300)])
    assert (worst["psnr_db"], worst["ssim"], worst["max_error"], worst["max_error_rescaled"]) == (
        72.0,
        0.99,
        2,
        2.0,
    )
    assert (worst["identical"], worst["digest"], worst["measured"]) == (False, 1, 1)
    bounded = pooled([(good, 100), (within(5, 12), 100)])
    assert bounded["mse"] is None and bounded["ssim"] is None and bounded["max_error"] == 5
    assert bounded["max_error_rescaled"] is None, "one of the two has no HU"
    assert pooled([])["identical"] is False
