"""A data set in the DICOM JSON Model (PS3.18 annex F), read by position like everything else.

Nothing of the object is trusted: a value that cannot be read is left out, an unknown character becomes
U+FFFD, never an error. Large values are left where they are and named by a URI.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR

from dicomnn.dicom.character_sets import decoded_text, python_encodings
from dicomnn.dicom.json_values import Json, element, text_element
from dicomnn.dicom.walk import (
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Budget,
    Element,
    Encoding,
    end_of_value,
    read_header,
)
from dicomnn.errors import DicomError

INLINE_LIMIT = 1024         # bytes of a binary value that are given inline
NUMBERS_LIMIT = 64 << 10    # bytes of numbers or text
CHARACTER_SET, PIXEL_REPRESENTATION, TRAILING_PADDING = 0x00080005, 0x00280103, 0xFFFCFFFC
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_LOCAL = frozenset("LO LT PN SH ST UC UT".split())
_TEXT = frozenset("AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
_BINARY = frozenset("OB OD OF OL OV OW UN".split())
_SIZES = {"OW": 2, "OL": 4, "OF": 4, "OD": 8, "OV": 8}
_NUMBERS = {"FL": "f", "FD": "d", "SL": "l", "SS": "h", "UL": "L", "US": "H", "SV": "q", "UV": "Q"}

Path = tuple[int, ...]
Uri = Callable[[str], str]
"""From a path ('7FE00010', '00081140/0/...') to the URI of its bytes."""


@dataclass
class _Scope:
    """One data set or item, and what is inherited from around it."""

    view: memoryview
    encoding: Encoding
    encodings: Sequence[str]
    signed: bool
    path: str


def to_json(view: memoryview, elements: Sequence[Element], encoding: Encoding, uri: Uri) -> Json:
    """The data set of these top-level ``elements`` of ``view``.

    Group lengths and trailing padding are left out; Specific Character Set says UTF-8, as JSON is. Pixel
    Data, and binary values beyond a KiB, become a BulkDataURI.
    """
    return _dataset(_Scope(view, encoding, ["iso8859"], False, ""), elements, uri)


def _dataset(scope: _Scope, elements: Sequence[Element], uri: Uri) -> Json:
    by_tag: dict[int, Element] = {}
    for each in elements:
        by_tag.setdefault(each.tag, each)
    charset = by_tag.get(CHARACTER_SET)
    if charset is not None:
        terms = _raw(scope, charset).decode("ascii", "replace").strip(" \0").split("\\")
        if any(terms):
            scope.encodings = python_encodings(terms)
    sign = by_tag.get(PIXEL_REPRESENTATION)
    if sign is not None and len(_raw(scope, sign)) == 2:
        scope.signed = any(_raw(scope, sign))
    result: Json = {}
    for tag in sorted(by_tag):
        if tag & 0xFFFF == 0 or tag >> 16 in (0x0000, 0x0002, 0xFFFE) or tag == TRAILING_PADDING:
            continue
        if tag == CHARACTER_SET:
            result["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}
            continue
        result[f"{tag:08X}"] = _element(scope, by_tag[tag], uri)
    return result


def _raw(scope: _Scope, each: Element) -> bytes:
    return bytes(scope.view[each.value_start:each.end])


def vr_of(each: Element, signed: bool) -> str:
    """The VR as it stands, else the dictionary's (PS3.5 annex A.1 where that leaves a choice)."""
    if each.vr is not None and each.vr.isalpha() and each.vr.isupper():
        return each.vr
    try:
        named = dictionary_VR(each.tag)
    except KeyError:
        if each.tag >> 16 & 1 and 0x10 <= each.tag & 0xFFFF <= 0xFF:
            return "LO"         # a private creator
        return "SQ" if each.undefined_length else "UN"
    if named.startswith("US or SS"):
        return "SS" if signed else "US"
    return "OW" if " or " in named else named


def _element(scope: _Scope, each: Element, uri: Uri) -> Json:
    vr = vr_of(each, scope.signed)
    path = f"{scope.path}{each.tag:08X}"
    if each.tag in PIXELS and not scope.path:
        return {"vr": vr, "BulkDataURI": uri(path)}
    if vr == "SQ" or (vr == "UN" and each.undefined_length):
        encoding = scope.encoding
        if vr == "UN":          # its items are in Implicit VR Little Endian (PS3.5 6.2.2)
            encoding = Encoding(explicit=False, little_endian=True)
        return _sequence(scope, each, encoding, path, uri)
    size = each.end - each.value_start
    if size == 0:
        return {"vr": vr}
    if vr in _BINARY or vr not in _TEXT and vr not in _NUMBERS and vr != "AT":
        if size > INLINE_LIMIT or each.undefined_length:
            return {"vr": vr, "BulkDataURI": uri(path)}
        raw = little_endian(_raw(scope, each), vr, scope.encoding.little_endian)
        return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode("ascii")}
    if size > NUMBERS_LIMIT and vr in _NUMBERS:
        return {"vr": vr, "BulkDataURI": uri(path)}
    raw = _raw(scope, each)
    if vr in _TEXT:
        text = decoded_text(raw, scope.encodings) if vr in _LOCAL else raw.decode("ascii", "replace")
        return text_element(vr, text)
    order = "<" if scope.encoding.little_endian else ">"
    if vr == "AT":
        halves = struct.unpack(f"{order}{len(raw) // 4 * 2}H", raw[:len(raw) // 4 * 4])
        return element(vr, [f"{group:04X}{number:04X}" for group, number in
                            zip(halves[::2], halves[1::2], strict=True)])
    kind = order + _NUMBERS[vr]
    step = struct.calcsize(kind)
    return element(vr, [struct.unpack_from(kind, raw, place)[0]
                        for place in range(0, len(raw) - step + 1, step)])


def little_endian(raw: bytes, vr: str, already: bool) -> bytes:
    """Binary values as DICOMweb gives them, whatever the transfer syntax (PS3.18 F.2.7)."""
    size = _SIZES.get(vr, 1)
    if already or size == 1:
        return raw
    whole = len(raw) // size * size
    return b"".join(raw[place:place + size][::-1] for place in range(0, whole, size)) + raw[whole:]


def _sequence(scope: _Scope, each: Element, encoding: Encoding, path: str, uri: Uri) -> Json:
    found = []
    for number, (view, elements) in enumerate(items(scope.view, each, encoding)):
        inner = _Scope(view, encoding, scope.encodings, scope.signed, f"{path}/{number}/")
        found.append(_dataset(inner, elements, uri))
    return {"vr": "SQ", "Value": found} if found else {"vr": "SQ"}


def items(view: memoryview, sequence: Element,
          encoding: Encoding) -> Iterator[tuple[memoryview, list[Element]]]:
    """Each item of a sequence: its bytes, and its elements by position in these; up to one that cannot be
    read."""
    raw, position, budget = view[sequence.value_start:sequence.end], 0, Budget()
    while position + 8 <= len(raw):
        header = read_header(raw, position, len(raw), False, encoding.little_endian)
        if header is None or header[0] != ITEM:
            return
        length, start = header[2], header[3]
        limit = len(raw) if length == UNDEFINED else min(len(raw), start + length)
        try:
            elements, end = _elements(raw, start, limit, encoding, budget)
        except DicomError:
            return
        yield raw, elements
        position = end if length == UNDEFINED else limit


def _elements(raw: memoryview, position: int, limit: int, encoding: Encoding,
              budget: Budget) -> tuple[list[Element], int]:
    """The elements of an item up to `limit` or its delimiter, and where the next item begins."""
    elements: list[Element] = []
    while position < limit:
        header = read_header(raw, position, limit, encoding.explicit, encoding.little_endian)
        if header is None:
            break
        tag, vr, length, start = header
        if tag == ITEM_END:
            return elements, start
        if tag == SEQUENCE_END:
            break
        budget.spend()
        undefined = length == UNDEFINED
        end = start + length
        if undefined:
            end = end_of_value(raw, start, length, vr, tag, encoding, budget)
        if end > limit:
            break
        elements.append(Element(tag, vr, position, start, end, undefined, length))
        position = end
    return elements, position


def find(view: memoryview, elements: Sequence[Element], encoding: Encoding,
         path: str) -> tuple[str, bytes | None, Any]:
    """What a path names: its VR, its value in little endian, and the element.

    None as the value where the element is encapsulated Pixel Data. Raises KeyError when nothing is there.
    """
    parts = path.split("/")
    signed = False
    for place in range(0, len(parts) - 1, 2):
        sequence = next((each for each in elements if each.tag == _tag(parts[place])), None)
        if sequence is None or not parts[place + 1].isdecimal():
            raise KeyError(path)
        if vr_of(sequence, signed) == "UN":
            encoding = Encoding(explicit=False, little_endian=True)
        for number, inner in enumerate(items(view, sequence, encoding)):
            if number == int(parts[place + 1]):
                view, elements = inner
                break
        else:
            raise KeyError(path)
    each = next((each for each in elements if each.tag == _tag(parts[-1])), None)
    if each is None or len(parts) % 2 == 0:
        raise KeyError(path)
    vr = vr_of(each, signed)
    if each.undefined_length:
        return vr, None, each
    return vr, little_endian(bytes(view[each.value_start:each.end]), vr, encoding.little_endian), each


def _tag(text: str) -> int:
    if len(text) != 8:
        raise KeyError(text)
    try:
        return int(text, 16)
    except ValueError as error:
        raise KeyError(text) from error
