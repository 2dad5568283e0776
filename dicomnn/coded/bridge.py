"""Image Pixel module <-> SampleFormat, and Pixel Data bytes <-> raw words. Here and nowhere else.

The codec works on raw words in the machine's byte order; Pixel Data are bytes whose order depends on
the transfer syntax. In Explicit VR Big Endian, OW swaps the bytes of every 16 bit word, 8 bit pixels
included, and such a pair may reach across two frames (PS3.5 7.3, 8.1.1 and Annex D). The swap is its
own inverse and is applied to the whole value, so any value comes back whatever was meant by it.

*Plain bytes* below are the value after that swap: each pixel little endian, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dicomnn.codec.sample import SampleFormat
from dicomnn.coded.mapping import CHUNK, Mapping
from dicomnn.coded.spool import spool_file
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.errors import DataSetMalformed


@dataclass(frozen=True)
class Geometry:
    """frames x rows x columns of words of `word_bytes` (1 or 2) each."""

    frames: int
    rows: int
    columns: int
    word_bytes: int

    @property
    def frame_bytes(self) -> int:
        return self.rows * self.columns * self.word_bytes

    @property
    def total_bytes(self) -> int:
        return self.frames * self.frame_bytes


def sample_format(image: ImagePixel) -> SampleFormat:
    """The SampleFormat of an eligible image (PS3.3 C.7.6.3).

    BitsStored, HighBit or PixelRepresentation that are absent or absurd are read as "all bits,
    unsigned": the codec keeps raw words, so the choice costs size at most, never a bit.
    """
    allocated = image.bits_allocated
    if allocated not in (8, 16):
        raise DataSetMalformed(f"BitsAllocated is {allocated}, not 8 or 16")
    stored = image.bits_stored if image.bits_stored is not None else allocated
    high = image.high_bit if image.high_bit is not None else stored - 1
    if not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        stored, high = allocated, allocated - 1
    return SampleFormat(
        bits_allocated=allocated, bits_stored=stored, high_bit=high, signed=image.pixel_representation == 1
    )


def geometry(image: ImagePixel) -> Geometry:
    """Rows, Columns and NumberOfFrames (absent: 1) of an eligible image.

    Raises DataSetMalformed when one of them is missing or not positive.
    """
    frames = 1 if image.number_of_frames is None else image.number_of_frames
    values = (frames, image.rows, image.columns, image.bits_allocated)
    if any(value is None or value < 1 for value in values):
        raise DataSetMalformed("Rows, Columns, NumberOfFrames or BitsAllocated is missing or not positive")
    return Geometry(
        frames, int(image.rows or 0), int(image.columns or 0), int(image.bits_allocated or 0) // 8
    )


def pairs_swapped(*, little_endian: bool, vr: str | None, word_bytes: int) -> bool:
    """Whether the value stores each pair of bytes in the other order."""
    return not little_endian and (word_bytes == 2 or vr != "OB")


class PairSwap:
    """Swaps the bytes of each pair in a stream; a last single byte passes unchanged."""

    def __init__(self) -> None:
        self._odd = b""

    def feed(self, piece: bytes | memoryview) -> bytes:
        raw = self._odd + bytes(piece) if self._odd else piece
        even = len(raw) & ~1
        self._odd = bytes(raw[even:])
        return np.frombuffer(raw, dtype="<u2", count=even // 2).byteswap().tobytes() if even else b""

    def finish(self) -> bytes:
        last, self._odd = self._odd, b""
        return last


def swapped(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """`pieces` with the bytes of each pair exchanged, pairs counted over the whole stream."""
    swap = PairSwap()
    for piece in pieces:
        for part in range(0, len(piece), CHUNK):
            yield swap.feed(piece[part : part + CHUNK])
    yield swap.finish()


def words(plain: memoryview | bytes, shape: Geometry) -> np.ndarray:
    """Plain bytes as (frames, rows, columns) of uint8 or uint16, without a copy where it can be."""
    kind = np.dtype("u1") if shape.word_bytes == 1 else np.dtype("<u2")
    flat = np.frombuffer(plain, dtype=kind, count=shape.total_bytes // shape.word_bytes)
    array = flat.reshape(shape.frames, shape.rows, shape.columns)
    if not array.flags.aligned:  # an odd offset in the file; compiled code wants aligned words
        array = array.copy()
    return array.astype(kind.newbyteorder("="), copy=False)


def plain_bytes(frame: np.ndarray) -> memoryview:
    """One frame of raw words as plain bytes."""
    little = np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<"))
    return little.view(np.uint8).reshape(-1).data


def unswapped_spool(source: Mapping, start: int, end: int, folder: Path | None) -> BinaryIO:
    """A value of swapped pairs written out as plain bytes to a nameless file in `folder`."""
    spool = spool_file(folder)
    for piece in swapped(source.chunks(start, end)):
        spool.write(piece)
    spool.flush()
    return spool
