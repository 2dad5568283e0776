"""The others on the same 8-bit images at the same number of bytes, found by search, each decoded again.

Files are whole, headers included. JPEG is baseline with optimised Huffman tables (libjpeg-turbo), JPEG 2000
the 9/7 wavelet as a bare codestream (OpenJPEG). PNG has no loss of its own: its grey levels are reduced
evenly until it fits. Ours is `bounded:N` with the smallest N of `ladder.BOUNDS` that fits, and `lossless` (0)
where that fits.
"""

from __future__ import annotations

from typing import Any

import imagecodecs
import numpy as np

from dicomnn.codec.model import Model
from dicomnn.errors import CodecError
from dicomnn.seed.codec.ladder import Coded, Ladder, coded_by_ours, ours

LABELS = {"jpeg": "JPEG", "png": "PNG, fewer grey levels", "jpeg2000": "JPEG 2000", "ours": "ours, `bounded`"}
LOSSLESS_LABELS = {"png": "PNG", "jpeg2000": "JPEG 2000 (5/3)", "ours": "ours, `lossless`"}


def ladders(image: np.ndarray, model: Model | None) -> dict[str, Ladder]:
    """Of an image (rows, columns) uint8. ``model``: of our codec."""
    return {
        "jpeg": Ladder(100, lambda rung: _jpeg(image, rung + 1)),
        "png": Ladder(255, lambda rung: _png(image, rung + 2)),
        "jpeg2000": Ladder(240, lambda rung: _jpeg2000(image, 10 + rung / 4)),
        "ours": ours(image, model),
    }


def lossless(image: np.ndarray, model: Model | None) -> dict[str, int]:
    """Bytes of the whole files that give every pixel back; decoded and compared. Raises CodecError."""
    wavelet = imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat="j2k", numthreads=1)
    made = {
        "png": _png(image, 256),
        "jpeg2000": (bytes(wavelet), np.asarray(imagecodecs.jpeg2k_decode(wavelet, numthreads=1))),
        "ours": coded_by_ours(image, model, 0),
    }
    for name, (_, decoded) in made.items():
        if not np.array_equal(decoded, image):
            raise CodecError(f"{LOSSLESS_LABELS[name]} did not give the image back.")
    return {name: len(coded) for name, (coded, _) in made.items()}


def _jpeg(image: np.ndarray, quality: int) -> Coded:
    coded = bytes(imagecodecs.jpeg8_encode(image, level=quality, optimize=True))
    return coded, np.asarray(imagecodecs.jpeg8_decode(coded))


def _png(image: np.ndarray, levels: int) -> Coded:
    step = 255 / (levels - 1)
    fewer = np.rint(np.rint(image / step) * step).astype(np.uint8)
    coded = bytes(imagecodecs.png_encode(fewer, level=9))
    return coded, np.asarray(imagecodecs.png_decode(coded))


def _jpeg2000(image: np.ndarray, level: float) -> Coded:
    decibels: Any = level  # its annotation says int
    coded = bytes(
        imagecodecs.jpeg2k_encode(image, level=decibels, reversible=False, codecformat="j2k", numthreads=1)
    )
    return coded, np.asarray(imagecodecs.jpeg2k_decode(coded, numthreads=1))
