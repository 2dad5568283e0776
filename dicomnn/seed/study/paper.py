"""What the paper reports (Fatima et al., Image Compression and Decompression Using Neural Networks), and what
its own formulas make of it.
"""

from __future__ import annotations

from typing import NamedTuple

from dicomnn.seed.codec.metrics import psnr


class Row(NamedTuple):
    """A row of its only table; sizes in 'kb' as printed."""

    kernel: int
    original_kb: float
    compressed_kb: float
    decompressed_kb: float
    ratio: float
    mse: float
    psnr: float
    ssim: float

    def psnr_of_its_mse(self, maximum: float) -> float:
        """dB."""
        return psnr(self.mse, maximum)

    def mse_of_its_psnr(self, maximum: float) -> float:
        return maximum**2 / 10 ** (self.psnr / 10)


ROWS = (
    Row(2, 176, 48.9, 160, 3.6, 0.000858, 78.8, 0.929),
    Row(3, 176, 54.5, 170, 3.23, 0.15625, 66.2, 0.892),
)
