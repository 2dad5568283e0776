"""Any image as the paper's kind of image: grey, square, values in [0, 1].

Each image by itself: values from its 0.5th to its 99.5th percentile become 0..1, what lies outside is
clipped; then it is resized to a square (bilinear, widened for antialiasing where it shrinks; sides are
stretched to fit) and rounded to 8 bits.
"""

from __future__ import annotations

import numpy as np
import torch

PERCENTILES = (0.5, 99.5)


def windowed(plane: np.ndarray) -> np.ndarray:
    """float32 in [0, 1] of any plane of numbers (rows, columns)."""
    low, high = np.percentile(plane, PERCENTILES)
    if high <= low:
        low, high = float(plane.min()), float(max(plane.max(), plane.min() + 1))
    return np.clip((plane.astype(np.float32) - low) / (high - low), 0, 1).astype(np.float32)


def resized(unit: np.ndarray, side: int) -> np.ndarray:
    """(side, side) uint8 of an image in [0, 1]."""
    tensor = torch.from_numpy(unit)[None, None]
    fitted = torch.nn.functional.interpolate(
        tensor, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )
    return np.rint(fitted[0, 0].clamp(0, 1).numpy() * 255).astype(np.uint8)
