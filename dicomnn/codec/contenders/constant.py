"""One value for the whole tile; with a bound, a value that is near enough to all."""

from __future__ import annotations

import numpy as np

from dicomnn.codec.tiles import TileContext
from dicomnn.errors import PayloadCorrupt

METHOD = 2
NAME = "constant"


def applies(tile: np.ndarray, context: TileContext) -> bool:
    return int(tile.max()) - int(tile.min()) <= 2 * context.bound


def encode(tile: np.ndarray, context: TileContext) -> bytes:
    """The value in as many bytes as the plane's peak needs (0, 1 or 2, little endian)."""
    value = (int(tile.max()) + int(tile.min())) // 2
    return value.to_bytes(_width(context.peak), "little")


def decode(data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray:
    if len(data) != _width(context.peak):
        raise PayloadCorrupt(f"A constant tile has {len(data)} bytes instead of {_width(context.peak)}.")
    return np.full(shape, int.from_bytes(data, "little"), np.uint16)


def _width(peak: int) -> int:
    return (peak.bit_length() + 7) // 8
