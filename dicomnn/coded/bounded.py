"""The profile bounded:N: how far the pixels moved."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dicomnn.codec.distortion import ssim
from dicomnn.codec.sample import SampleFormat, stored_values

SSIM_PIXELS = 1 << 22
"""SSIM of larger frames costs seconds and hundreds of MiB: left to the report."""


@dataclass
class Distortion:
    """Errors in stored values, frame after frame; figures are of all frames unless they say otherwise."""

    sample_format: SampleFormat
    max_error: int = 0
    squares: int = 0
    samples: int = 0
    worst_frame: int = -1
    worst_mse: float = -1.0
    ssims: list[float] = field(default_factory=list)

    def add(self, original: np.ndarray, decoded: np.ndarray) -> int:
        """Count a frame of raw words; its largest error in stored units, 2^16 when other bits changed."""
        kind = self.sample_format
        outside = ~np.uint16(kind.mask << kind.shift) if kind.bits_allocated == 16 else ~np.uint8(kind.mask << kind.shift)
        if np.any((original ^ decoded) & outside):
            return 1 << 16
        a, b = stored_values(original, kind), stored_values(decoded, kind)
        errors = np.abs(a - b).astype(np.int64)
        largest, squares = int(errors.max()), int(np.square(errors).sum())
        if squares / errors.size > self.worst_mse:
            self.worst_frame, self.worst_mse = len(self.ssims), squares / errors.size
        self.max_error = max(self.max_error, largest)
        self.squares += squares
        self.samples += errors.size
        small = errors.size <= SSIM_PIXELS
        self.ssims.append(ssim(a, b, float(max(1, int(a.max()) - int(a.min())))) if small else math.nan)
        return largest

    def facts(self) -> dict[str, Any]:
        """Plain JSON; PSNR with MAX = 2^BitsStored - 1, SSIM with each frame's own range."""
        mse = self.squares / max(1, self.samples)
        peak = self.sample_format.mask
        known = [value for value in self.ssims if not math.isnan(value)]
        return {
            "max_error": self.max_error, "mse": mse, "psnr_max": peak,
            "psnr": 10 * math.log10(peak ** 2 / mse) if mse else None,
            "ssim_mean": sum(known) / len(known) if known else None, "ssim_min": min(known, default=None),
            "worst_frame": self.worst_frame}


def derived(*a: Any, **k: Any) -> Any:
    raise NotImplementedError
