"""The File Meta that the node writes in front of a data set that came over the network (PS3.10 7.1).

DIMSE carries the data set alone, so preamble and File Meta are the node's own: the transfer syntax of
the accepted presentation context and the UIDs of the command. They hold nothing that differs between
two arrivals of the same object.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from dicomnn.dicom.scan import scan
from dicomnn.errors import IdentifierInvalid, NotDicom

IMPLEMENTATION_CLASS_UID = "2.25.223781632984172389412671908345612873415"
IMPLEMENTATION_VERSION_NAME = "DICOMNN_1"
UID_TEXT = re.compile(r"[!-~]{1,64}")
_PREFIX = b"\0" * 128 + b"DICM"


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH2s", 2, element, vr)
    length = struct.pack("<HI", 0, len(value)) if vr == b"OB" else struct.pack("<H", len(value))
    return head + length + value


def file_prefix(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str) -> bytes:
    """Preamble, DICM and File Meta for a data set in ``transfer_syntax_uid``."""
    body = b"".join((
        _element(0x0001, b"OB", b"\0\1"),
        _element(0x0002, b"UI", sop_class_uid.encode("ascii")),
        _element(0x0003, b"UI", sop_instance_uid.encode("ascii")),
        _element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii").ljust(10)),
    ))
    return _PREFIX + _element(0x0000, b"UL", struct.pack("<I", len(body))) + body


def data_set_offset(file: BinaryIO) -> int:
    """Where the data set begins in a Part 10 file whose File Meta states its group length.

    Works on objects whose data set cannot be parsed; ``file`` is left at that offset.

    Raises
    ------
    NotDicom
        No preamble, or no group length in the File Meta.
    """
    file.seek(0)
    head = file.read(144)
    if head[128:132] != b"DICM" or head[132:140] != b"\2\0\0\0UL\4\0":
        raise NotDicom("the stored object has no File Meta with a group length")
    offset = 144 + int.from_bytes(head[140:144], "little")
    file.seek(offset)
    return offset


@dataclass(frozen=True)
class FileHead:
    """What the first bytes of a file say. `prefix`: preamble and File Meta as they stand, empty where they
    cannot be kept (absent, or without a right group length); the data set begins at `dataset_start`."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_start: int
    prefix: bytes


def read_head(head: bytes) -> FileHead:
    """Of a Part 10 file or a bare data set of which ``head`` is the beginning.

    UIDs are those of the data set; those of the File Meta where it has none.

    Raises
    ------
    NotDicom, DataSetMalformed
        It is no DICOM file.
    IdentifierInvalid
        It does not say which instance of which class it is.
    """
    layout = scan(head)
    class_uid = layout.sop_class_uid or layout.file_meta_sop_class_uid or ""
    instance_uid = layout.sop_instance_uid or layout.file_meta_sop_instance_uid or ""
    for name, value in (("Class", class_uid), ("Instance", instance_uid)):
        if not UID_TEXT.fullmatch(value):
            raise IdentifierInvalid(f"the data set has no SOP {name} UID, or one that is no UID")
    start = layout.dataset_start
    whole = (layout.has_preamble and not layout.guessed and head[132:140] == b"\2\0\0\0UL\4\0"
             and 144 + int.from_bytes(head[140:144], "little") == start)
    return FileHead(class_uid, instance_uid, layout.transfer_syntax, start, head[:start] if whole else b"")
