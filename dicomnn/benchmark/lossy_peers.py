"""The lossy standards: a plane and a setting in, a codestream out, and back; one thread each.

JPEG 2000 is OpenJPEG with the irreversible 9/7 wavelet, asked for one PSNR after another, with the true
precision; its comment is taken out. JPEG XL is libjxl at effort 7 with a distance; it takes samples as
full-scale sRGB, so the plane is stretched to the whole of 16 bits and shrunk again after decoding: left in
the low end it would be nearly black. It is tuned to eyes that look at light; of the two ways of stretching
`_uniform` gives it the better PSNR. JPEG-LS is CharLS, near-lossless, with the true precision. JPEG is
libjpeg-turbo, baseline, with its own Huffman tables, 8 bits through the window of the windowed figures:
what lies outside of it is lost, so only windowed figures can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dicomnn.benchmark.lossy_points import Point, point, shown, shown_point, window_of
from dicomnn.benchmark.peers import peer as standard
from dicomnn.codec import jpeg2000
from dicomnn.errors import DicomnnError, UsageError


@dataclass(frozen=True)
class LossyPeer:
    """`encode` (plane (rows, columns) uint16, setting) gives a codestream; `decode` (codestream, the plane
    that it was) the plane again, uint16, or with `windowed` the window's 8 bits, uint8: of the original it
    may use shape and largest value. `settings` run from the coarsest to the finest; those between them work
    as well unless `whole`.
    """

    key: str
    label: str
    settings: tuple[float, ...]
    encode: Callable[[np.ndarray, float], bytes]
    decode: Callable[[bytes, np.ndarray], np.ndarray]
    windowed: bool = False
    whole: bool = False

    def point(
        self, plane: np.ndarray, decoded: np.ndarray, size: int, setting: float, seconds: tuple[float, float]
    ) -> Point:
        """The figures of what a codestream of `size` bytes decodes to. Raises DicomnnError where that is no
        picture of the plane.
        """
        if decoded.shape != plane.shape or decoded.dtype != (np.uint8 if self.windowed else np.uint16):
            raise DicomnnError(f"{self.label} at {setting:g} decodes to {decoded.dtype} {decoded.shape}")
        found = (shown_point if self.windowed else point)(plane, decoded, size, setting, seconds)
        if self.key == "jpegls" and found.max_error > setting:
            raise DicomnnError(f"{self.label} at {setting:g} does not keep its bound")
        return found


FULL = 65535
DISTANCES = (25.0, 18.0, 13.0, 9.5, 7.0, 5.0, 3.5, 2.5, 1.8, 1.3, 0.9, 0.6, 0.4, 0.25, 0.15, 0.08, 0.04)
NEARS = (255, 200, 160, 128, 96, 80, 64, 48, 40, 32, 24, 20, 16, 12, 10, 8, 6, 5, 4, 3, 2, 1)
LABELS = {
    "jpeg2000": "JPEG 2000 9/7",
    "jxl": "JPEG XL e7, uniform",
    "jxl-srgb": "JPEG XL e7, sRGB",
    "jpegls": "JPEG-LS NEAR",
    "jpeg": "JPEG, 8 bits, windowed",
}
LOSSY_PEERS = tuple(LABELS)


def lossy_peer(key: str) -> LossyPeer:
    """One of LOSSY_PEERS. Raises UsageError."""
    if key not in LABELS:
        raise UsageError(f"'{key}' is no lossy peer; they are {', '.join(LOSSY_PEERS)}")
    label = LABELS[key]
    if key == "jpeg2000":
        asked = tuple(float(psnr) for psnr in range(2, 124, 2))
        return LossyPeer(key, label, asked, jpeg2000.encode, lambda stream, _: jpeg2000.decode(stream))
    if key == "jpegls":
        return LossyPeer(key, label, tuple(map(float, NEARS)), _jpegls, _jpegls_back, whole=True)
    if key == "jpeg":
        qualities = (*range(2, 30, 3), *range(30, 90, 5), *range(90, 101, 2))
        settings = tuple(map(float, qualities))
        return LossyPeer(key, label, settings, _jpeg, _jpeg_back, windowed=True, whole=True)
    scale = _uniform if key == "jxl" else _stretched
    return LossyPeer(
        key,
        label,
        DISTANCES,
        lambda plane, setting: _jpeg_xl(plane, setting, scale(int(plane.max()))),
        lambda stream, plane: _jpeg_xl_back(stream, scale(int(plane.max()))),
    )


def at_size(
    peer: LossyPeer, plane: np.ndarray, size: int, *, coarsest: float | None = None, tries: int = 12
) -> tuple[bytes, float]:
    """The codestream of a peer (not of one that is `whole`) nearest to `size` bytes, and its setting: halving
    between `coarsest` (by default that of the peer) and the finest. A peer may not reach so few bytes.
    """
    coarse, fine = peer.settings[0] if coarsest is None else coarsest, peer.settings[-1]
    best: tuple[bytes, float] | None = None
    for _ in range(tries):
        setting = (coarse + fine) / 2
        stream = peer.encode(plane, setting)
        if best is None or abs(len(stream) - size) < abs(len(best[0]) - size):
            best = stream, setting
        if len(stream) == size:
            break
        coarse, fine = (setting, fine) if len(stream) < size else (coarse, setting)
    if best is None:
        raise UsageError("a codestream of a given size needs at least one try")
    return best


def _room(plane: np.ndarray) -> int:
    return 2 * plane.nbytes + 4096


# ------------------------------------------------------------------ JPEG XL
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


# ------------------------------------------------------------------ JPEG-LS, JPEG
def _jpegls(plane: np.ndarray, setting: float) -> bytes:
    container = plane.astype(np.uint8) if plane.max() < 256 else plane
    return bytes(standard(f"jpegls-near:{int(setting)}").encode(container)[0])


def _jpegls_back(stream: bytes, plane: np.ndarray) -> np.ndarray:
    """CharLS may leave the range of the values by NEAR; a reader who knows it does not."""
    decoded = standard("jpegls").decode([stream], (plane.shape[0], plane.shape[1]))
    return np.minimum(decoded, plane.max()).astype(np.uint16)


def _jpeg(plane: np.ndarray, setting: float) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpeg8_encode(shown(plane, window_of(plane)), level=int(setting), optimize=True))


def _jpeg_back(stream: bytes, plane: np.ndarray) -> np.ndarray:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg8_decode(stream))
