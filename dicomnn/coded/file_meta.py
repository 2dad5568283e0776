"""File Meta with a few UIDs exchanged and everything else as it was (PS3.10 section 7.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

from dicomnn.dicom.scan import Element, Layout
from dicomnn.errors import DataSetMalformed

GROUP_LENGTH = 0x00020000
SOP_INSTANCE = 0x00020003
TRANSFER_SYNTAX = 0x00020010


def with_uids(before_dataset: memoryview, layout: Layout, uids: Mapping[int, str]) -> bytes:
    """Preamble and File Meta with the values of the UI elements `uids` replaced, group length corrected.

    Elements that are not there are not added.
    """
    parts, position, grown, length_at = [], 0, 0, None
    for element in layout.meta_elements:
        if element.tag == GROUP_LENGTH and element.end - element.value_start == 4:
            length_at = element.value_start
        if element.tag in uids:
            new = _element(before_dataset, element, uids[element.tag])
            parts += [bytes(before_dataset[position:element.start]), new]
            grown += len(new) - (element.end - element.start)
            position = element.end
    result = bytearray(b"".join([*parts, bytes(before_dataset[position:])]))
    if length_at is not None:  # it comes first in its group, so its place has not moved
        length = struct.unpack_from("<L", result, length_at)[0] + grown
        if not 0 <= length <= 0xFFFFFFFF:
            raise DataSetMalformed("the group length of the File Meta is impossible")
        struct.pack_into("<L", result, length_at, length)
    return bytes(result)


def _element(raw: memoryview, element: Element, uid: str) -> bytes:
    value = uid.encode("ascii")
    value += b"\0" * (len(value) % 2)
    tag = bytes(raw[element.start:element.start + 4])
    if element.vr is None:
        return tag + struct.pack("<L", len(value)) + value
    return tag + b"UI" + struct.pack("<H", len(value)) + value
