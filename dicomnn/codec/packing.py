"""Packing of sparse histograms: values that a plane never uses are squeezed out; the table says which are
used.

A table is the ascending list of the used values, the first always 0 (the plane's minimum is subtracted
before). It is written in one of four forms, whichever is shortest (docs/format.md, 'Packing table').
"""

from __future__ import annotations

import zlib

import numpy as np

from dicomnn.errors import PayloadCorrupt, PayloadImplausible

BITMAP, GAPS, BITMAP_DEFLATED, GAPS_DEFLATED = range(4)
FORMS = 4
MAX_VALUES = 65536


def used_values(plane: np.ndarray) -> np.ndarray:
    """The distinct values of a uint16 ``plane``, ascending, uint16."""
    return np.flatnonzero(np.bincount(plane.ravel())).astype(np.uint16)


def pack(plane: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Each value of a uint16 ``plane`` replaced by its position in ``used``."""
    positions = np.zeros(int(used[-1]) + 1, np.uint16)
    positions[used] = np.arange(used.size, dtype=np.uint16)
    return positions[plane]


def write_table(used: np.ndarray) -> tuple[int, bytes]:
    """Form and bytes of the table of ``used`` values (ascending, first 0), the shortest of the four forms."""
    flags = np.zeros(int(used[-1]) + 1, np.uint8)
    flags[used] = 1
    bitmap = np.packbits(flags, bitorder="little").tobytes()
    gaps = bytearray()
    for gap in (np.diff(used.astype(np.int64)) - 1).tolist():
        while gap >= 0x80:
            gaps.append(gap & 0x7F | 0x80)
            gap >>= 7
        gaps.append(gap)
    forms = {
        BITMAP: bitmap,
        GAPS: bytes(gaps),
        BITMAP_DEFLATED: _deflate(bitmap),
        GAPS_DEFLATED: _deflate(bytes(gaps)),
    }
    form = min(forms, key=lambda key: (len(forms[key]), key))
    return form, forms[form]


def read_table(form: int, data: bytes, count: int) -> np.ndarray:
    """The used values, uint16 (count,). Raises PayloadCorrupt or PayloadImplausible (where 'header')."""
    if not 1 <= count <= MAX_VALUES:
        raise PayloadImplausible(f"A packing table claims {count} values.")
    if form in (BITMAP, BITMAP_DEFLATED):
        if form == BITMAP_DEFLATED:
            data = _inflate(data, MAX_VALUES // 8)
        if len(data) > MAX_VALUES // 8:
            raise PayloadImplausible("A packing table is longer than its values can need.")
        used = np.flatnonzero(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little"))
    elif form in (GAPS, GAPS_DEFLATED):
        if form == GAPS_DEFLATED:
            data = _inflate(data, 3 * count)
        used = _read_gaps(data)
    else:
        raise PayloadCorrupt(f"A packing table has the unknown form {form}.")
    if used.size != count or used[0] != 0 or used[-1] >= MAX_VALUES:
        raise PayloadCorrupt("A packing table does not list the values of its plane.")
    return used.astype(np.uint16)


def _read_gaps(data: bytes) -> np.ndarray:
    raw = np.frombuffer(data, np.uint8).astype(np.int64)
    last = raw < 0x80
    ends = np.flatnonzero(last)
    if raw.size and not last[-1]:
        raise PayloadCorrupt("A packing table ends inside of a number.")
    starts = np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends
    if ends.size and (ends - starts).max() > 2:
        raise PayloadCorrupt("A packing table holds a number that is too long.")
    # Numbers are at most three bytes of seven bits, low ones first.
    gaps = np.zeros(ends.size, np.int64)
    for place in range(3):
        there = starts + place <= ends
        gaps[there] |= (raw[starts[there] + place] & 0x7F) << (7 * place)
    return np.concatenate(([0], np.cumsum(gaps + 1)))


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def _inflate(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(-15)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise PayloadCorrupt(f"A packing table cannot be inflated ({error}).") from error
    if len(plain) > limit:
        raise PayloadImplausible("A packing table inflates to more than its values can need.")
    if not unpacker.eof or unpacker.unused_data:
        raise PayloadCorrupt("A packing table is cut short or followed by other bytes.")
    return plain
