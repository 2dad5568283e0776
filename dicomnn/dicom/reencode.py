"""A data set in another uncompressed encoding: headers are written anew, values are not touched.

Explicit or Implicit VR, little or big endian -> Explicit or Implicit VR Little Endian. No value is decoded:
only its bytes are swapped where the byte order says so, and an odd one gets its pad byte. Group lengths
(gggg,0000) are left out: they count headers that are no longer there (PS3.5 7.2). What the source's encoding
does not tell (the VR of an implicit element) comes from the dictionary; what that does not have, and what is
too long for a short VR, becomes UN (PS3.5 6.2.2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from pydicom.datadict import dictionary_VR

from dicomnn.dicom.scan import PIXEL_DATA, Buffer, Layout, scan
from dicomnn.dicom.walk import (
    ITEM,
    ITEM_END,
    LONG_VRS,
    MAX_DEPTH,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    Budget,
    Encoding,
    encoding_inside,
    end_of_value,
    read_header,
    tag_text,
    walk,
)
from dicomnn.errors import DataSetMalformed

LONGEST_SHORT = 0xFFFE
PIXEL_REPRESENTATION, BITS_ALLOCATED = 0x00280103, 0x00280100
_PIXEL_TAG = b"\xe0\x7f\x10\x00"
_WORDS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4, "FD": 8, "OD": 8,
          "OV": 8, "SV": 8, "UV": 8}
_SPACE = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UR UT".split())

Overrides = Mapping[int, "tuple[str, bytes] | None"]
"""Elements that are written otherwise than they stand: (VR, value in little endian), or None for none at all.
Those that the source lacks are added."""

Decode = Callable[[Buffer, Layout], Overrides]
"""What takes the place of encapsulated Pixel Data, in a data set or in the icon inside of one."""


@dataclass
class _Level:
    """What VRs depend on that only the data set (or item) around them tells."""

    signed: bool = False
    bits: int | None = None
    overrides: dict[int, tuple[str, bytes] | None] = field(default_factory=dict)


def reencoded(buffer: Buffer, layout: Layout, *, explicit: bool, decode: Decode | None = None) -> bytes:
    """The data set of `buffer`, which is not deflated, in little endian.

    Bytes behind the last readable element are left out if they are zeros, or stand behind Pixel Data. Pixel
    Data that are cut off come with the bytes that are there.

    Raises DataSetMalformed where more would be lost, and where the structure does not hold; what `decode`
    raises, which is asked for the overrides of every encapsulated image.
    """
    _require_readable(buffer, layout)
    view, encoding = memoryview(buffer), Encoding(layout.explicit, layout.little_endian)
    level = _Level(_number(view, layout, PIXEL_REPRESENTATION) == 1, _number(view, layout, BITS_ALLOCATED))
    converter = _Converter(view, explicit, decode, layout.transfer_syntax)
    pixels = layout.pixel_data
    if decode is not None and pixels is not None and pixels.undefined_length:
        level.overrides = dict(decode(buffer, layout))
    start = layout.elements[0].start if layout.elements else layout.dataset_start
    pieces, _ = converter.elements(start, _readable_end(layout), encoding, level, 0)
    cut = layout.broken.element if layout.broken is not None else None
    if cut is not None and cut.tag == PIXEL_DATA and not cut.undefined_length:
        pieces += converter.pixels_cut_off(cut.vr, cut.value_start, cut.end, encoding, level)
    return b"".join(pieces)


def _readable_end(layout: Layout) -> int:
    if layout.broken is not None and layout.broken.element is not None:
        return layout.broken.element.start
    return layout.trailing_start


def _number(view: memoryview, layout: Layout, tag: int) -> int | None:
    element = layout.find(tag)
    if element is None or element.end - element.value_start != 2:
        return None
    return int(struct.unpack_from("<H" if layout.little_endian else ">H", view, element.value_start)[0])


def _require_readable(buffer: Buffer, layout: Layout) -> None:
    broken = layout.broken
    if broken is None:
        return
    cut = broken.element
    if cut is not None and cut.tag == PIXEL_DATA and not cut.undefined_length:
        return
    behind = any(element.tag == PIXEL_DATA for element in layout.elements)
    rest = memoryview(buffer)[_readable_end(layout):]
    if not behind and bytes(rest).strip(b"\0"):
        raise DataSetMalformed(f"the data set cannot be read to its end ({broken.why})")


class _Converter:
    """Elements of one data set. The overrides of a level lose what was written."""

    def __init__(self, view: memoryview, explicit: bool, decode: Decode | None, transfer_syntax: str) -> None:
        self._view, self._explicit = view, explicit
        self._decode, self._transfer_syntax = decode, transfer_syntax
        self._budget = Budget()

    # ---------------------------------------------------------------- structure
    def elements(self, position: int, end: int, encoding: Encoding, level: _Level,
                 depth: int) -> tuple[list[bytes], int]:
        """The elements up to `end`, or to the delimiter of their item, and where that ended."""
        pieces: list[bytes] = []
        while position < end:
            found = read_header(self._view, position, end, encoding.explicit, encoding.little_endian)
            if found is None:
                raise DataSetMalformed(f"no element fits at offset {position}")
            tag, vr, length, start = found
            self._budget.spend()
            if tag == ITEM_END and depth:
                return self._with_additions(pieces, level), start
            stop = end_of_value(self._view, start, length, vr, tag, encoding, self._budget)
            if stop > end:
                raise DataSetMalformed(f"{tag_text(tag)} is longer than the item around it")
            if tag == ITEM and stop > start:
                raise DataSetMalformed(f"an item stands outside of a sequence at offset {position}")
            # Delimiters that some writers leave over are passed by, and group lengths, which would lie.
            if tag >> 16 != 0xFFFE and tag & 0xFFFF:
                if tag in (PIXEL_REPRESENTATION, BITS_ALLOCATED) and stop - start == 2:
                    self._note(level, tag, start, encoding)
                pieces += self._element(tag, vr, length, start, stop, encoding, level, depth)
            position = stop
        return self._with_additions(pieces, level), position

    def _note(self, level: _Level, tag: int, start: int, encoding: Encoding) -> None:
        number = struct.unpack_from("<H" if encoding.little_endian else ">H", self._view, start)[0]
        if tag == PIXEL_REPRESENTATION:
            level.signed = number == 1
        else:
            level.bits = int(number)

    def _element(self, tag: int, vr: str | None, length: int, start: int, stop: int, encoding: Encoding,
                 level: _Level, depth: int) -> list[bytes]:
        if tag in level.overrides:
            override = level.overrides.pop(tag)
            return [] if override is None else [self._written(tag, *override)]
        known = vr_of(tag, vr, level.signed, level.bits)
        undefined = length == UNDEFINED
        if known == "SQ" and vr is None and not (undefined or self._items_begin(start, stop, encoding)):
            known = "UN"                   # the dictionary's word against what is there
        if undefined and known in ("OB", "OW"):
            raise DataSetMalformed(f"{tag_text(tag)} is encapsulated")
        inside = encoding_inside(self._view, start, vr, tag, encoding) if undefined else encoding
        if undefined and known == "UN" and (self._explicit or not inside.explicit):
            # Implicit VR inside, whatever is outside: it stays as it is (PS3.5 6.2.2)
            return [self._header(tag, "UN", UNDEFINED), bytes(self._view[start:stop])]
        if known != "SQ" and not undefined:
            return [self._written(tag, known, self._swapped(start, stop, known, encoding))]
        body = self._items(start, stop, inside, level, depth + 1)
        if undefined:
            return [self._header(tag, "SQ", UNDEFINED), body, _delimiter(SEQUENCE_END)]
        return [self._header(tag, "SQ", len(body)), body]

    def _items_begin(self, start: int, stop: int, encoding: Encoding) -> bool:
        found = read_header(self._view, start, stop, False, encoding.little_endian)
        return start == stop or (found is not None and found[0] == ITEM)

    def _items(self, position: int, end: int, encoding: Encoding, around: _Level, depth: int) -> bytes:
        if depth > MAX_DEPTH:
            raise DataSetMalformed(f"sequences are nested more than {MAX_DEPTH} deep")
        pieces: list[bytes] = []
        while position + 8 <= end:
            found = read_header(self._view, position, end, False, encoding.little_endian)
            assert found is not None
            tag, _, length, start = found
            self._budget.spend()
            if tag == SEQUENCE_END:
                break
            if tag != ITEM:
                raise DataSetMalformed(f"an item was expected at offset {position}, {tag_text(tag)} is there")
            stop = end if length == UNDEFINED else start + length
            if stop > end:
                raise DataSetMalformed(f"the item at offset {position} is longer than its sequence")
            level = _Level(around.signed)
            if self._decode is not None and _PIXEL_TAG in bytes(self._view[start:stop]):
                level.overrides = self._of_icon(start, stop, encoding)
            inner, position = self.elements(start, stop, encoding, level, depth)
            body = b"".join(inner)
            if length == UNDEFINED:
                pieces += [_delimiter(ITEM, UNDEFINED), body, _delimiter(ITEM_END)]
            else:
                position = stop
                pieces += [_delimiter(ITEM, len(body)), body]
        return b"".join(pieces)

    def _of_icon(self, start: int, stop: int, encoding: Encoding) -> dict[int, tuple[str, bytes] | None]:
        """An icon, in whatever sequence, has Pixel Data of its own, compressed as the image or not."""
        elements, _, _ = walk(self._view[:stop], start, encoding, self._budget)
        ends = next((element.start for element in elements if element.tag == ITEM_END), stop)
        item = bytes(self._view[start:ends])
        layout = scan(item, transfer_syntax=self._transfer_syntax) if item else None
        if layout is None or layout.pixel_data is None or not layout.pixel_data.undefined_length:
            return {}
        assert self._decode is not None
        return dict(self._decode(item, layout))

    # ---------------------------------------------------------------- elements
    def pixels_cut_off(self, vr: str | None, start: int, end: int, encoding: Encoding,
                       level: _Level) -> list[bytes]:
        """What is there of Pixel Data of defined length."""
        known = vr_of(PIXEL_DATA, vr, level.signed, level.bits)
        return [self._written(PIXEL_DATA, known, self._swapped(start, end, known, encoding))]

    def _with_additions(self, pieces: list[bytes], level: _Level) -> list[bytes]:
        """The pieces, and behind those of lower tags the overrides that the source has no element for."""
        for tag, given in sorted(level.overrides.items()):
            if given is not None:
                places = (number for number, piece in enumerate(pieces) if _begins_with_later(piece, tag))
                pieces.insert(next(places, len(pieces)), self._written(tag, *given))
        level.overrides.clear()
        return pieces

    def _written(self, tag: int, vr: str, raw: bytes) -> bytes:
        if len(raw) % 2:
            raw += b" " if vr in _SPACE else b"\0"
        if vr not in LONG_VRS and len(raw) > LONGEST_SHORT:
            vr = "UN"
        return self._header(tag, vr, len(raw)) + raw

    def _header(self, tag: int, vr: str, length: int) -> bytes:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not self._explicit:
            return head + struct.pack("<L", length)
        if vr in LONG_VRS:
            return head + vr.encode("ascii") + struct.pack("<HL", 0, length)
        return head + vr.encode("ascii") + struct.pack("<H", length)

    def _swapped(self, start: int, end: int, vr: str, encoding: Encoding) -> bytes:
        size, value = _WORDS.get(vr, 1), self._view[start:end]
        if encoding.little_endian or size == 1:
            return bytes(value)
        whole = len(value) // size * size
        return np.frombuffer(value[:whole], f"<u{size}").byteswap().tobytes() + bytes(value[whole:])


def vr_of(tag: int, vr: str | None, signed: bool, bits: int | None) -> str:
    """The VR that stands there, else the dictionary's; what it leaves open depends on the data set around:
    ``signed`` is its Pixel Representation, ``bits`` its Bits Allocated (PS3.5 annex A, PS3.3 C.7.6.3)."""
    if vr is not None:
        return vr if vr in SHORT_VRS or vr in LONG_VRS else "UN"
    if tag >> 16 & 1:
        return "LO" if 0x10 <= tag & 0xFFFF <= 0xFF else "UN"
    try:
        known = dictionary_VR(tag)
    except KeyError:
        return "UN"
    if " " not in known:
        return known
    if "OW" in known:
        return "OB" if tag == PIXEL_DATA and bits is not None and bits <= 8 else "OW"
    return "SS" if signed else "US"


def _begins_with_later(piece: bytes, tag: int) -> bool:
    """Pieces are whole elements, or headers with their items behind them; only the former are asked."""
    group, number = struct.unpack_from("<HH", piece) if len(piece) >= 8 else (0, 0)
    return group != 0xFFFE and (group << 16 | number) > tag


def _delimiter(tag: int, length: int = 0) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, length)
