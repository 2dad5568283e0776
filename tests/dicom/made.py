"""Data sets made element by element, so that a test says exactly which bytes it is about."""

from __future__ import annotations

import struct
from dataclasses import dataclass

SHORT = frozenset("AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG = "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, EXPLICIT, BIG)
UNDEFINED = 0xFFFFFFFF
CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True)
class Writer:
    """Writes elements in one encoding."""

    explicit: bool = True
    little_endian: bool = True

    @classmethod
    def of(cls, transfer_syntax: str) -> Writer:
        return cls(transfer_syntax != IMPLICIT, transfer_syntax != BIG)

    @property
    def order(self) -> str:
        return "<" if self.little_endian else ">"

    def tag(self, tag: int) -> bytes:
        return struct.pack(self.order + "HH", tag >> 16, tag & 0xFFFF)

    def element(self, tag: int, vr: str, value: bytes | str | int, *, length: int | None = None) -> bytes:
        if isinstance(value, int):
            value = struct.pack(
                self.order + ("L" if vr == "UL" else "H"), value & (2**32 - 1 if vr == "UL" else 65535)
            )
        if isinstance(value, str):
            value = value.encode("latin-1")
            value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
        size = len(value) if length is None else length
        if not self.explicit:
            return self.tag(tag) + struct.pack(self.order + "L", size) + value
        if vr in SHORT:
            return self.tag(tag) + vr.encode() + struct.pack(self.order + "H", size) + value
        return self.tag(tag) + vr.encode() + b"\0\0" + struct.pack(self.order + "L", size) + value

    def item(self, content: bytes, *, undefined: bool = False) -> bytes:
        end = self.tag(0xFFFEE00D) + b"\0" * 4 if undefined else b""
        size = UNDEFINED if undefined else len(content)
        return self.tag(0xFFFEE000) + struct.pack(self.order + "L", size) + content + end

    def sequence(self, tag: int, items: list[bytes], *, undefined: bool = False, vr: str = "SQ") -> bytes:
        body = b"".join(items)
        if not undefined:
            return self.element(tag, vr, body)
        return self.element(tag, vr, body + self.tag(0xFFFEE0DD) + b"\0" * 4, length=UNDEFINED)


def part10(
    transfer_syntax: str, dataset: bytes, *, uid: str = "1.2.3.4", preamble: bytes = b"\0" * 128
) -> bytes:
    """A Part 10 file around a data set."""
    writer = Writer()
    meta = writer.element(0x00020001, "OB", b"\0\1") + writer.element(0x00020002, "UI", CT)
    meta += writer.element(0x00020003, "UI", uid) + writer.element(0x00020010, "UI", transfer_syntax)
    return preamble + b"DICM" + writer.element(0x00020000, "UL", len(meta)) + meta + dataset


def header_elements(writer: Writer, **changes: object) -> dict[int, bytes]:
    """The elements before Pixel Data of a small CT image, by tag; `changes` replace values by keyword."""
    values: dict[str, tuple[int, str, object]] = {
        "SOPClassUID": (0x00080016, "UI", CT),
        "SOPInstanceUID": (0x00080018, "UI", "1.2.3.4"),
        "Modality": (0x00080060, "CS", "CT"),
        "PatientName": (0x00100010, "PN", "Made^One"),
        "PatientID": (0x00100020, "LO", "M1"),
        "StudyInstanceUID": (0x0020000D, "UI", "1.2.3"),
        "SeriesInstanceUID": (0x0020000E, "UI", "1.2.3.1"),
        "InstanceNumber": (0x00200013, "IS", "7"),
        "SamplesPerPixel": (0x00280002, "US", 1),
        "PhotometricInterpretation": (0x00280004, "CS", "MONOCHROME2"),
        "PlanarConfiguration": (0x00280006, "US", None),
        "NumberOfFrames": (0x00280008, "IS", None),
        "Rows": (0x00280010, "US", 4),
        "Columns": (0x00280011, "US", 6),
        "BitsAllocated": (0x00280100, "US", 16),
        "BitsStored": (0x00280101, "US", 12),
        "HighBit": (0x00280102, "US", 11),
        "PixelRepresentation": (0x00280103, "US", 0),
        "LossyImageCompression": (0x00282110, "CS", None),
    }
    unknown = set(changes) - set(values)
    assert not unknown, unknown
    elements = {}
    for keyword, (tag, vr, usual) in values.items():
        value = changes.get(keyword, usual)
        if value is not None:
            elements[tag] = writer.element(tag, vr, value)  # type: ignore[arg-type]
    return elements


def image(
    transfer_syntax: str,
    *,
    pixels: bytes = bytes(range(48)),
    before: bytes = b"",
    after: bytes = b"",
    vr: str = "OW",
    bare: bool = False,
    **changes: object,
) -> bytes:
    """A small image; `before` and `after` stand next to Pixel Data."""
    writer = Writer.of(transfer_syntax)
    dataset = b"".join(header_elements(writer, **changes).values())
    dataset += before + writer.element(0x7FE00010, vr, pixels) + after
    return dataset if bare else part10(transfer_syntax, dataset)


def encapsulated(
    transfer_syntax: str,
    fragments: list[bytes],
    *,
    table: bytes = b"",
    before: bytes = b"",
    after: bytes = b"",
    **changes: object,
) -> bytes:
    """A Part 10 file whose Pixel Data are these fragments behind a Basic Offset Table."""
    writer = Writer()
    dataset = b"".join(header_elements(writer, **changes).values()) + before
    items = [writer.item(table)] + [writer.item(part + b"\0" * (len(part) % 2)) for part in fragments]
    return part10(
        transfer_syntax, dataset + writer.sequence(0x7FE00010, items, undefined=True, vr="OB") + after
    )
