"""The others on the same 8-bit images at the same number of bytes, found by search, each decoded again.

Files are whole, headers included. JPEG is baseline with optimised Huffman tables (libjpeg-turbo), JPEG 2000
the 9/7 wavelet as a bare codestream (OpenJPEG). PNG has no loss of its own: its grey levels are reduced
evenly until it fits. Ours is `bounded:N` with the smallest N of BOUNDS that fits, and
`lossless` (0) where that fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np

from dicomnn.codec.decode import decode
from dicomnn.codec.encode import encode
from dicomnn.codec.model import Model
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat
from dicomnn.errors import CodecError

WORDS = SampleFormat(8, 8, 7, False)
BOUNDS = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1, 0)
LABELS = {"jpeg": "JPEG", "png": "PNG, fewer grey levels", "jpeg2000": "JPEG 2000", "ours": "ours, `bounded`"}
LOSSLESS_LABELS = {"png": "PNG", "jpeg2000": "JPEG 2000 (5/3)", "ours": "ours, `lossless`"}

Coded = tuple[bytes, np.ndarray]
"""A file and the image that it gives."""


@dataclass
class Ladder:
    """A codec whose rungs 0, 1, 2 ... need more and more bytes; what was tried is kept.

    With the rung that fits, the best that this codec can do at so many bytes, if bytes grow with the rung;
    where they do not quite (JPEG 2000, PNG), a rung beside it.
    """

    rungs: int
    at: Callable[[int], Coded]
    known: dict[int, Coded] = field(default_factory=dict)

    def get(self, rung: int) -> Coded:
        if rung not in self.known:
            self.known[rung] = self.at(rung)
        return self.known[rung]

    def fits(self, size: int) -> Coded | None:
        """The highest rung of at most ``size`` bytes, None where even the lowest needs more."""
        if len(self.get(0)[0]) > size:
            return None
        low, high = 0, self.rungs
        while high - low > 1:
            middle = (low + high) // 2
            if len(self.get(middle)[0]) <= size:
                low = middle
            else:
                high = middle
        return self.get(low)


def ladders(image: np.ndarray, model: Model | None) -> dict[str, Ladder]:
    """Of an image (rows, columns) uint8. ``model``: of our codec."""
    return {
        "jpeg": Ladder(100, lambda rung: _jpeg(image, rung + 1)),
        "png": Ladder(255, lambda rung: _png(image, rung + 2)),
        "jpeg2000": Ladder(240, lambda rung: _jpeg2000(image, 10 + rung / 4)),
        "ours": Ladder(len(BOUNDS), lambda rung: _ours(image, model, BOUNDS[rung])),
    }


def lossless(image: np.ndarray, model: Model | None) -> dict[str, int]:
    """Bytes of the whole files that give every pixel back; decoded and compared. Raises CodecError."""
    wavelet = imagecodecs.jpeg2k_encode(image, level=0, reversible=True, codecformat="j2k", numthreads=1)
    made = {
        "png": _png(image, 256),
        "jpeg2000": (bytes(wavelet), np.asarray(imagecodecs.jpeg2k_decode(wavelet, numthreads=1))),
        "ours": _ours(image, model, 0),
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


def _ours(image: np.ndarray, model: Model | None, bound: int) -> Coded:
    profile = Profile("bounded", bound) if bound else Profile("lossless")
    coded = bytes(encode(image[np.newaxis], WORDS, profile=profile, model=model))
    return coded, decode(coded, lambda _: _known(model))[0]


def _known(model: Model | None) -> Model:
    assert model is not None
    return model
