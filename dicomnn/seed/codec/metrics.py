"""The paper's four figures. PSNR twice: as it is, and as it comes out when MAX and MSE are of two scales."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from dicomnn.codec import distortion
from dicomnn.errors import SamplesInvalid

PIXEL_BITS = 8
"""Of an original, for the ratio: what the resized images have, and what the paper's files can have had."""


class Metrics(NamedTuple):
    """``ratio``: pixels at 8 bits over coded bytes. ``mse``: of values in [0, 1]. ``psnr``: dB, MAX = 1; it
    is the same number for values in 0..255 with MAX = 255. ``psnr_255``: MAX = 255 put over an MSE of values
    in [0, 1], 48.13 dB too much, for comparison with papers that did so. ``ssim``: 7x7 windows.
    """

    coded_bytes: int
    ratio: float
    mse: float
    psnr: float
    psnr_255: float
    ssim: float


def psnr(mse: float, maximum: float) -> float:
    """10 log10(maximum^2 / mse) in dB, infinite for no error."""
    return math.inf if mse == 0 else 10 * math.log10(maximum**2 / mse)


def eight_bit(image: np.ndarray) -> np.ndarray:
    """uint8 of values in [0, 1]."""
    return np.rint(np.asarray(image, np.float64) * 255).astype(np.uint8)


def measure(original: np.ndarray, decoded: np.ndarray, coded_bytes: int) -> Metrics:
    """Of two uint8 images (rows, columns). Raises SamplesInvalid."""
    if original.dtype != np.uint8 or decoded.dtype != np.uint8 or coded_bytes < 1:
        raise SamplesInvalid("The figures are of two 8-bit images and at least one coded byte.")
    mse = distortion.mse(original, decoded) / 255**2
    return Metrics(
        coded_bytes,
        original.size * PIXEL_BITS / 8 / coded_bytes,
        mse,
        psnr(mse, 1),
        psnr(mse, 255),
        distortion.ssim(original, decoded, 255),
    )
