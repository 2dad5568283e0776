"""Answers to a query as data set bytes (PS3.4 C.4.1.1.3.2): the keys that were asked for, in little endian.

Texts leave in the character sets of the object that they come from, or in UTF-8 where those do not have
them all. Values are written as they were stored, correct or not.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dicomnn.dicom.character_sets import UTF8, encoded_text, known_terms, python_encodings, writable
from dicomnn.dicom.matching import (
    AVAILABILITY,
    CHARACTER_SET,
    LEVEL,
    RETRIEVE_AE_TITLE,
    TIMEZONE,
    Asked,
    Query,
)
from dicomnn.dicom.walk import ITEM, LONG_VRS

_LONGEST = 65534        # of a value with a short length field (PS3.5 7.1.2)
_NUMBERS = {"US": "<H", "SS": "<h", "UL": "<L", "SL": "<l"}


def answer(query: Query, row: Mapping[str, Any], *, explicit: bool, retrieve_ae_title: str,
           availability: str) -> bytes:
    """One answer: `row` has attributes by name, as the archive keeps them; `explicit` is the VR."""
    asked = [each for each in query.asked if each.tag not in (RETRIEVE_AE_TITLE, AVAILABILITY, TIMEZONE)]
    texts = [text for each in asked for text in _texts(each, row)]
    terms, encodings = _character_set(str(row.get("specific_character_set") or ""), texts)
    writer = _Writer(explicit, encodings)
    elements = {
        LEVEL: writer.element(LEVEL, "CS", query.level.name),
        RETRIEVE_AE_TITLE: writer.element(RETRIEVE_AE_TITLE, "AE", retrieve_ae_title),
        AVAILABILITY: writer.element(AVAILABILITY, "CS", availability),
    }
    if terms:
        elements[CHARACTER_SET] = writer.element(CHARACTER_SET, "CS", terms)
    if row.get("timezone_offset_from_utc") and any(each.tag == TIMEZONE for each in query.asked):
        elements[TIMEZONE] = writer.element(TIMEZONE, "SH", row["timezone_offset_from_utc"])
    for each in asked:
        elements[each.tag] = writer.asked(each, row)
    return b"".join(elements[tag] for tag in sorted(elements))


def _value(each: Asked, row: Mapping[str, Any]) -> Any:
    value = row.get(each.key.attribute) if each.key is not None else None
    if isinstance(value, str):
        return value.replace("\ufffd", "?")     # bytes that nobody could read
    return value


def _texts(each: Asked, row: Mapping[str, Any]) -> Iterator[str]:
    value = _value(each, row)
    if isinstance(value, str):
        yield value
    elif each.vr == "SQ":
        for item in value or ():
            yield from (text.replace("\ufffd", "?") for text in item.values())


def _character_set(terms: str, texts: Sequence[str]) -> tuple[str, list[str]]:
    """(Specific Character Set, Python's names): the stored one if it is known and holds all texts."""
    values = [term.strip() for term in terms.split("\\")]
    if any(values) and known_terms(values):
        encodings = python_encodings(values)
        if writable(texts, encodings):
            return terms, encodings
    elif all(text.isascii() for text in texts):
        return "", ["ascii"]
    return UTF8, python_encodings([UTF8])


class _Writer:
    """Elements in Explicit or Implicit VR Little Endian."""

    def __init__(self, explicit: bool, encodings: Sequence[str]) -> None:
        self._explicit, self._encodings = explicit, encodings

    def element(self, tag: int, vr: str, value: Any) -> bytes:
        return self._framed(tag, vr, self._bytes(vr, value))

    def asked(self, each: Asked, row: Mapping[str, Any]) -> bytes:
        value = _value(each, row)
        if each.vr != "SQ":
            return self.element(each.tag, each.vr, value)
        items = [self._item(each, item) for item in value or ()]
        return self._framed(each.tag, "SQ", b"".join(items))

    def _item(self, each: Asked, item: Mapping[str, Any]) -> bytes:
        """The attributes that the request's item named, or all that are known when it named none."""
        known = each.key.items if each.key is not None else ()
        inner = each.items or tuple(Asked(key.tag, key.vr, key) for key in known if key.attribute in item)
        body = b"".join(self.asked(part, item) for part in sorted(inner, key=lambda part: part.tag))
        return struct.pack("<HHL", ITEM >> 16, ITEM & 0xFFFF, len(body)) + body

    def _bytes(self, vr: str, value: Any) -> bytes:
        if value is None or vr == "SQ":
            return b""
        values = value if isinstance(value, (list, tuple)) else [value]
        if vr in _NUMBERS:
            return b"".join(struct.pack(_NUMBERS[vr], number) for number in values if isinstance(number, int))
        raw = encoded_text("\\".join(map(str, values)), self._encodings)
        return raw + (b"\0" if vr == "UI" else b" ") * (len(raw) % 2)

    def _framed(self, tag: int, vr: str, value: bytes) -> bytes:
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
        if not self._explicit:
            return head + struct.pack("<L", len(value)) + value
        if vr in LONG_VRS:
            return head + vr.encode("ascii") + struct.pack("<HL", 0, len(value)) + value
        return head + vr.encode("ascii") + struct.pack("<H", len(value[:_LONGEST])) + value[:_LONGEST]
