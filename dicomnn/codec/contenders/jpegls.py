"""JPEG-LS (ITU-T T.87) through CharLS: the classical contender, lossless and near-lossless.

The library is pyjpegls: it takes the true precision of the samples, where imagecodecs (45 MB, the other
choice) tells JPEG-LS 8 or 16 bits whatever the data are, which costs up to 2 % and shifts the near-lossless
range; it depends on NumPy alone, is MIT licensed, and pydicom uses it for encapsulated input already. It
holds the interpreter's lock, which does not matter beside the neural contender's time.

A tile's data is one byte of precision and the entropy coded segment. The markers around it (25 to 40 bytes)
are the same for every tile of that shape and are put back before decoding; so no size is ever read out of
foreign headers.
"""

from __future__ import annotations

import struct

import numpy as np
from jpeg_ls import CharLS

from dicomnn.codec.tiles import TileContext
from dicomnn.errors import PayloadCorrupt

METHOD = 1
NAME = "jpegls"

_END_OF_IMAGE = b"\xff\xd9"


def applies(tile: np.ndarray, context: TileContext) -> bool:
    return True


def encode(tile: np.ndarray, context: TileContext) -> bytes | None:
    """Precision byte and scan of ``tile`` (uint16); None when CharLS gives up (its buffer for a few pixels of
    noise).
    """
    rows, columns = tile.shape
    precision = max(2, int(tile.max()).bit_length())
    words = tile.astype("u1" if precision <= 8 else "<u2").tobytes()
    near = near_of(precision, context.bound)
    try:
        stream = bytes(CharLS.encode_buffer(words, rows, columns, 1, precision, near))
    except RuntimeError:
        return None
    return bytes([precision]) + _scan_of(stream)


def decode(data: bytes, shape: tuple[int, int], context: TileContext) -> np.ndarray:
    """The tile, values above the plane's peak (near-lossless reconstruction can exceed it) clipped to it."""
    if not data or not 2 <= data[0] <= 16:
        raise PayloadCorrupt("A JPEG-LS tile has an impossible precision.")
    precision = data[0]
    head = _head(precision, shape, near_of(precision, context.bound))
    try:
        words, _ = CharLS.decode_buffer(head + data[1:] + _END_OF_IMAGE)
    except RuntimeError as error:
        raise PayloadCorrupt(f"A JPEG-LS tile cannot be decoded ({error}).") from error
    tile = np.frombuffer(words, "u1" if precision <= 8 else "<u2").reshape(shape).astype(np.uint16)
    return np.minimum(tile, np.uint16(context.peak))


def near_of(precision: int, bound: int) -> int:
    """T.87's NEAR for a bound: never above 255 nor half of the largest sample value (T.87 C.2.3)."""
    return min(bound, 255, ((1 << precision) - 1) // 2)


def _head(precision: int, shape: tuple[int, int], near: int) -> bytes:
    """SOI, SOF55 and SOS of a one-component image (T.87 C.2.2 and C.2.3); default coding parameters."""
    frame = struct.pack(">HHBHHBBBB", 0xFFF7, 11, precision, shape[0], shape[1], 1, 1, 0x11, 0)
    scan = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, near, 0, 0)
    return b"\xff\xd8" + frame + scan


def _scan_of(stream: bytes) -> bytes:
    """What lies between the marker segments at the front and the end-of-image marker."""
    position = 2
    while True:
        marker, length = struct.unpack_from(">HH", stream, position)
        position += 2 + length
        if marker == 0xFFDA:
            return stream[position : -len(_END_OF_IMAGE)]
