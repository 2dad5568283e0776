"""How far a reconstruction is from its original, in stored values.

All functions take two integer arrays of one shape, of any integer types (unsigned ones do not wrap round),
and raise SamplesInvalid for anything else.
"""

from __future__ import annotations

import math

import numpy as np

from dicomnn.errors import SamplesInvalid


def max_error(original: np.ndarray, decoded: np.ndarray) -> int:
    """The largest absolute difference, in stored units."""
    return int(np.abs(_difference(original, decoded)).max())


def mse(original: np.ndarray, decoded: np.ndarray) -> float:
    """Mean squared error, in stored units squared; the sum is taken in integers, so it is exact before
    division.
    """
    difference = _difference(original, decoded)
    return int(np.square(difference).sum()) / difference.size


def psnr(original: np.ndarray, decoded: np.ndarray, max_value: float) -> float:
    """10 log10(max_value^2 / MSE) in dB, infinite for identical arrays.

    ``max_value`` belongs beside every figure: 2^BitsStored - 1, the frame's own range or a window's width
    differ by tens of dB.
    """
    if not max_value > 0:
        raise SamplesInvalid(f"PSNR needs a positive maximum, not {max_value}.")
    error = mse(original, decoded)
    return math.inf if error == 0 else 10 * math.log10(max_value**2 / error)


def ssim(original: np.ndarray, decoded: np.ndarray, data_range: float) -> float:
    """Structural similarity of two (rows, columns) images (Wang et al. 2004), windows of 7x7, mean over the
    image.

    ``data_range`` as ``max_value`` of psnr. Images smaller than 7 pixels take the largest odd window that
    fits; below 3 pixels it is not defined: 1.0 for identical images, NaN for others.
    """
    if not data_range > 0:
        raise SamplesInvalid(f"SSIM needs a positive range, not {data_range}.")
    difference = _difference(original, decoded)
    if original.ndim != 2:
        raise SamplesInvalid(f"SSIM takes images (rows, columns), not the shape {original.shape}.")
    if not difference.any():
        return 1.0
    side = min(7, *original.shape)
    side -= 1 - side % 2
    if side < 3:
        return math.nan
    from skimage.metrics import (
        structural_similarity,
    )  # a second to import, and most callers need the rest only

    return float(
        structural_similarity(
            original.astype(np.float64), decoded.astype(np.float64), win_size=side, data_range=data_range
        )
    )


def noise_power(plane: np.ndarray, where: np.ndarray) -> float:
    """Mean square of what a 3x3 mean leaves of `plane` (rows, columns), over `where` (bool, same shape)."""
    padded = np.pad(plane.astype(np.float64), 1, mode="edge")
    rows, columns = plane.shape
    mean = sum(padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)) / 9
    return float(np.mean(np.square(plane - mean)[where])) if where.any() else 0.0


def _difference(original: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    if original.shape != decoded.shape or original.size == 0:
        raise SamplesInvalid(f"Arrays of the shapes {original.shape} and {decoded.shape} cannot be compared.")
    if original.dtype.kind not in "ui" or decoded.dtype.kind not in "ui":
        raise SamplesInvalid(f"Stored values are integers, not {original.dtype} and {decoded.dtype}.")
    return original.astype(np.int64) - decoded.astype(np.int64)
