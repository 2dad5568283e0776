"""The paper's own arithmetic, and the words of the page about it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dicomnn.seed.codec.metrics import measure, psnr
from dicomnn.seed.study.paper import ROWS

TWO, THREE = ROWS


def test_the_2x2_row_holds_only_with_an_mse_in_0_to_1_under_a_max_of_255() -> None:
    assert TWO.psnr_of_its_mse(255) == pytest.approx(TWO.psnr, abs=0.05)
    assert TWO.psnr_of_its_mse(1) == pytest.approx(30.67, abs=0.01)


def test_the_3x3_row_holds_with_no_max() -> None:
    assert THREE.psnr_of_its_mse(255) == pytest.approx(56.19, abs=0.01)
    assert THREE.psnr_of_its_mse(1) == pytest.approx(8.06, abs=0.01)
    assert THREE.mse_of_its_psnr(255) == pytest.approx(0.0156, abs=0.0001)


def test_the_two_scales_give_one_psnr_and_mixing_them_48_dB_more() -> None:
    image = np.random.default_rng(1).integers(0, 200, (64, 64)).astype(np.uint8)
    found = measure(image, image + np.uint8(3), 100)
    assert found.psnr == pytest.approx(psnr(9.0, 255))
    assert found.psnr_255 - found.psnr == pytest.approx(20 * math.log10(255))
    assert math.isinf(measure(image, image, 100).psnr)


def test_its_ratios_are_those_of_its_file_sizes() -> None:
    for row in ROWS:
        assert row.original_kb / row.compressed_kb == pytest.approx(row.ratio, abs=0.005)


def test_an_image_as_exact_as_its_2x2_psnr_has_no_ssim_of_0_929(sample_data: Path) -> None:
    random = np.random.default_rng(2)
    smooth = np.cumsum(np.cumsum(random.normal(0, 1, (128, 128)), 0), 1)
    image = (40 + 170 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    wrong = image.copy()
    wrong.reshape(-1)[random.choice(image.size, round(TWO.mse * image.size), replace=False)] += 1
    assert measure(image, wrong, 1).ssim > 0.999


def test_the_page_prints_these_figures(checkout: Path) -> None:
    page = (checkout / "docs" / "seed.md").read_text(encoding="utf-8")
    for row in ROWS:
        for maximum in (1, 255):
            assert f"{row.psnr_of_its_mse(maximum):.2f} dB" in page
        assert f"{row.psnr} dB" in page
