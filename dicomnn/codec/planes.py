"""Raw words <-> a plane of values and a plane of the bits outside of them.

A raw word holds the stored value and, where Bits Stored < Bits Allocated, further bits: old overlays,
garbage, or (nearly always) what a reader expects, copies of the sign bit above a signed value and zeros
elsewhere. The *side plane* holds the difference (exclusive or) from that expectation, so it is zero for
ordinary files and is then left out.
"""

from __future__ import annotations

import numpy as np

from dicomnn.codec.sample import SampleFormat


def split(words: np.ndarray, sample_format: SampleFormat) -> tuple[np.ndarray, np.ndarray | None]:
    """Values and side plane of raw ``words`` (rows, columns), uint8 or uint16.

    The values are uint16 in offset binary: a signed value v stands as v + 2^(bits_stored - 1), so that order
    is kept. The side plane is uint16, the bits above the value placed directly above those below it, or None
    when it is zero everywhere.
    """
    wide = words.astype(np.uint16)
    values = (wide >> np.uint16(sample_format.shift)) & np.uint16(sample_format.mask)
    side = None
    if sample_format.side_bits:
        outside = wide & np.uint16(_outside_mask(sample_format))
        outside ^= _expected_outside(values, sample_format)
        if outside.any():
            side = _close_gap(outside, sample_format)
    if sample_format.signed:
        values ^= np.uint16(_sign(sample_format))
    return values, side


def join(values: np.ndarray, side: np.ndarray | None, sample_format: SampleFormat) -> np.ndarray:
    """The inverse of split: raw words of ``sample_format.dtype``; arguments as split returns them."""
    if sample_format.signed:
        values = values ^ np.uint16(_sign(sample_format))
    words = values << np.uint16(sample_format.shift)
    if sample_format.side_bits:
        words |= _expected_outside(values, sample_format)
        if side is not None:
            words ^= _open_gap(side, sample_format)
    return words.astype(sample_format.dtype)


def _sign(sample_format: SampleFormat) -> int:
    return 1 << (sample_format.bits_stored - 1)


def _outside_mask(sample_format: SampleFormat) -> int:
    word = (1 << sample_format.bits_allocated) - 1
    return word & ~(sample_format.mask << sample_format.shift)


def _expected_outside(values: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    """The bits outside as a well-behaved writer sets them: the sign repeated above the value, zeros
    elsewhere.

    ``values`` are plain two's complement here, not offset binary.
    """
    if not sample_format.signed:
        return np.zeros_like(values)
    above = _outside_mask(sample_format) >> (sample_format.high_bit + 1) << (sample_format.high_bit + 1)
    negative = (values & np.uint16(_sign(sample_format))) != 0
    return np.where(negative, np.uint16(above), np.uint16(0))


def _close_gap(outside: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    below = outside & np.uint16((1 << sample_format.shift) - 1)
    above = outside.astype(np.uint32) >> np.uint32(sample_format.high_bit + 1)
    return ((above << np.uint32(sample_format.shift)) | below).astype(np.uint16)


def _open_gap(side: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    below = side & np.uint16((1 << sample_format.shift) - 1)
    above = side.astype(np.uint32) >> np.uint32(sample_format.shift)
    return ((above << np.uint32(sample_format.high_bit + 1)) | below).astype(np.uint16)
