"""One lossy codestream in figures: rate, and how far what it decodes to is from the plane.

PSNR refers to the frame's own range, its largest value less its smallest. Windowed figures are of 8 bits
through a window from the 1st to the 99th percentile of the values above the frame's least one (padding and
empty background), as the planes alone tell no clinical one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dicomnn.codec.distortion import max_error, noise_power, psnr, ssim

Window = tuple[float, float]
WHITE = 255.0


@dataclass(frozen=True)
class Point:
    """One codestream. `rate`: bits a pixel of the whole file. `max_error` in stored units. `noise`: power
    above a 3x3 mean, decoded by original, outside of the least value. NaN is what a codec that gives 8 bits
    through a window has no figure for.
    """

    rate: float
    setting: float
    psnr: float
    windowed_psnr: float
    windowed_ssim: float
    max_error: float
    noise: float
    encode_seconds: float
    decode_seconds: float


def window_of(plane: np.ndarray) -> Window:
    """1st and 99th percentile of the values above the least one."""
    values = plane[plane > plane.min()]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, [1, 99])
    return float(low), float(max(high, low + 1))


def shown(plane: np.ndarray, window: Window) -> np.ndarray:
    """A plane as a screen has it, uint8: the window from black to white, what lies outside of it clipped."""
    low, high = window
    grey = (plane.astype(np.float64) - low) * (WHITE / (high - low))
    return np.floor(np.clip(grey, 0.0, WHITE) + 0.5).astype(np.uint8)


def range_of(plane: np.ndarray) -> int:
    """MAX of PSNR: the largest value less the smallest, at least 1."""
    return max(1, int(plane.max()) - int(plane.min()))


def point(
    plane: np.ndarray, decoded: np.ndarray, size: int, setting: float, seconds: tuple[float, float]
) -> Point:
    """The figures of a decoded plane (rows, columns) whose file has `size` bytes."""
    window, where = window_of(plane), plane > plane.min()
    before = noise_power(plane, where)
    return Point(
        8 * size / plane.size,
        setting,
        psnr(plane, decoded, float(range_of(plane))),
        *_windowed(shown(plane, window), shown(decoded, window)),
        max_error(plane, decoded),
        noise_power(decoded, where) / before if before else 1.0,
        *seconds,
    )


def shown_point(
    plane: np.ndarray, decoded: np.ndarray, size: int, setting: float, seconds: tuple[float, float]
) -> Point:
    """The same of `decoded` uint8, which is the window's 8 bits: only windowed figures can be had."""
    nothing = math.nan
    figures = _windowed(shown(plane, window_of(plane)), decoded)
    return Point(8 * size / plane.size, setting, nothing, *figures, nothing, nothing, *seconds)


def _windowed(original: np.ndarray, decoded: np.ndarray) -> tuple[float, float]:
    return psnr(original, decoded, WHITE), ssim(original, decoded, WHITE)
