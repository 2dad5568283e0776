"""The lossy standards: a plane and a setting in, a codestream out, and back; one thread each.

JPEG 2000 is OpenJPEG with the irreversible 9/7 wavelet, asked for one PSNR after another. JPEG XL is
libjxl at effort 7 with a distance; it takes samples as full-scale sRGB, so the plane is stretched to the
whole of 16 bits and shrunk again after decoding: left in the low end it would be nearly black. It is tuned to
eyes that look at light; of the two ways of stretching `_uniform` gives it the better PSNR.
JPEG-LS is CharLS, near-lossless. JPEG is 8 bits through a window: what lies outside of it is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dicomnn.codec import jpeg2000
from dicomnn.errors import UsageError


@dataclass(frozen=True)
class LossyPeer:
    """`encode` (plane (rows, columns) uint16, setting) gives a codestream, `decode` (codestream, highest
    value of the plane) the plane, uint16. `settings` run from the coarsest to the finest.
    """

    key: str
    label: str
    settings: tuple[float, ...]
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes, int], np.ndarray]


FULL = 65535
DISTANCES = (25.0, 18.0, 13.0, 9.5, 7.0, 5.0, 3.5, 2.5, 1.8, 1.3, 0.9, 0.6, 0.4, 0.25, 0.15, 0.08, 0.04)


def lossy_peer(key: str) -> LossyPeer:
    """One of 'jpeg2000', 'jxl', 'jxl-srgb', 'jpegls'. Raises UsageError."""
    if key == "jpeg2000":
        levels = tuple(float(psnr) for psnr in range(22, 124, 2))
        return LossyPeer(key, "JPEG 2000 9/7", levels, jpeg2000.encode, _jpeg2000_back)
    if key == "jxl":
        return _jpeg_xl_peer(key, "JPEG XL e7, uniform", _uniform)
    if key == "jxl-srgb":
        return _jpeg_xl_peer(key, "JPEG XL e7, sRGB", _stretched)
    if key == "jpegls":
        nears = (255.0, 160.0, 96.0, 64.0, 40.0, 24.0, 16.0, 10.0, 6.0, 4.0, 2.0, 1.0)
        return LossyPeer(key, "JPEG-LS NEAR", nears, _jpegls, _jpegls_back)
    raise UsageError(f"'{key}' is no lossy peer; they are jpeg2000, jxl, jxl-srgb and jpegls")


def _jpeg_xl_peer(key: str, label: str, scale: Callable[[int], np.ndarray]) -> LossyPeer:
    return LossyPeer(
        key,
        label,
        DISTANCES,
        lambda plane, setting: _jpeg_xl(plane, setting, scale(int(plane.max()))),
        lambda stream, peak: _jpeg_xl_back(stream, scale(peak)),
    )


def _room(plane: np.ndarray) -> int:
    return 2 * plane.nbytes + 4096


def _jpeg2000_back(stream: bytes, peak: int) -> np.ndarray:
    return jpeg2000.decode(stream)


def _jpeg_xl(plane: np.ndarray, setting: float, lookup: np.ndarray) -> bytes:
    import imagecodecs

    return bytes(
        imagecodecs.jpegxl_encode(
            lookup[plane],
            distance=setting,
            effort=7,
            lossless=False,
            usecontainer=False,
            numthreads=1,
            out=_room(plane),
        )
    )


def _jpeg_xl_back(stream: bytes, lookup: np.ndarray) -> np.ndarray:
    """Each sample to the value whose stretched sample lies nearest."""
    import imagecodecs

    decoded = np.asarray(imagecodecs.jpegxl_decode(stream, numthreads=1))
    middles = (lookup[1:].astype(np.float64) + lookup[:-1]) / 2
    return np.searchsorted(middles, decoded).astype(np.uint16)


def _stretched(peak: int) -> np.ndarray:
    """(peak + 1,) uint16: values as sRGB samples, in equal steps over all of 16 bits."""
    top = max(1, peak)
    return ((np.arange(top + 1) * FULL + top // 2) // top).astype(np.uint16)


def _uniform(peak: int) -> np.ndarray:
    """(peak + 1,) uint16: sRGB samples that libjxl's own scale (XYB: a biased cube root of light) spaces
    evenly, so that its errors are as large in bright places as in dark ones: a squared error wants that.
    """
    bias = 0.0037930732552754493  # opsin_absorbance_bias of ISO/IEC 18181-1
    root = np.cbrt(bias)
    even = np.arange(max(1, peak) + 1) / max(1, peak)
    light = np.maximum((even * (np.cbrt(1 + bias) - root) + root) ** 3 - bias, 0)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.floor(coded * FULL + 0.5).astype(np.uint16)


def _jpegls(plane: np.ndarray, setting: float) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpegls_encode(plane, int(setting), out=_room(plane)))


def _jpegls_back(stream: bytes, peak: int) -> np.ndarray:
    import imagecodecs

    return np.minimum(np.asarray(imagecodecs.jpegls_decode(stream)), peak).astype(np.uint16)
