"""Plain binary with as many bits a pixel as the plane's peak needs: the floor under the competition."""

from __future__ import annotations

import numpy as np

from dicomnn.codec.tiles import TileContext
from dicomnn.errors import PayloadCorrupt

METHOD = 3
NAME = "raw"


def applies(tile: np.ndarray, context: TileContext) -> bool:
    return True


def bits_per_pixel(peak: int) -> int:
    """1..16."""
    return max(1, peak.bit_length())


def coded_length(pixels: int, peak: int) -> int:
    """Bytes of a raw tile; no tile of any method is longer."""
    return (pixels * bits_per_pixel(peak) + 7) // 8


def encode(tile: np.ndarray, context: TileContext) -> bytes:
    """Values in raster order, each least significant bit first, bytes filled from their least significant
    bit.
    """
    bits = bits_per_pixel(context.peak)
    spread = np.unpackbits(tile.astype("<u2").view(np.uint8).reshape(-1, 2), axis=1, bitorder="little")
    return np.packbits(spread[:, :bits], bitorder="little").tobytes()


def decode(data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray:
    pixels = shape[0] * shape[1]
    bits = bits_per_pixel(context.peak)
    if len(data) != coded_length(pixels, context.peak):
        raise PayloadCorrupt(
            f"A raw tile has {len(data)} bytes instead of {coded_length(pixels, context.peak)}."
        )
    spread = np.zeros((pixels, 16), np.uint8)
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=pixels * bits, bitorder="little")
    spread[:, :bits] = flat.reshape(pixels, bits)
    return np.packbits(spread, axis=1, bitorder="little").view("<u2").astype(np.uint16).reshape(shape)
