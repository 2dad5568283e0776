"""The header of a Pixel Data element: tag, VR, length, in any transfer syntax (PS3.5 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dicomnn.errors import PrivateBlockDamaged

UNDEFINED = 0xFFFFFFFF
GROUP, ELEMENT = 0x7FE0, 0x0010


def usual_vr(word_bytes: int) -> str:
    """The VR that native Pixel Data of words of 1 or 2 bytes has where nothing else is known."""
    return "OB" if word_bytes == 1 else "OW"


def usual_trailing(frames_length: int) -> bytes:
    """What follows `frames_length` bytes of frames: the value of an element is even (PS3.5 8.1.1)."""
    return b"\0" * (frames_length % 2)


@dataclass(frozen=True)
class PixelHeader:
    """`vr` is None in Implicit VR; `length` is None when it is undefined (encapsulated)."""

    vr: str | None
    length: int | None

    @classmethod
    def parse(cls, raw: bytes | memoryview, *, explicit: bool, little_endian: bool) -> PixelHeader:
        """Raises PrivateBlockDamaged when `raw`, of a manifest, is no Pixel Data header of that encoding."""
        raw = bytes(raw)
        order = "<" if little_endian else ">"
        size = cls._size(raw, explicit=explicit)
        if size == 0 or size != len(raw):
            raise PrivateBlockDamaged(
                "the original Pixel Data header in the manifest has an impossible length"
            )
        if struct.unpack_from(order + "HH", raw) != (GROUP, ELEMENT):
            raise PrivateBlockDamaged(
                "the original Pixel Data header in the manifest names another element"
            )
        if not explicit:
            vr, length = None, struct.unpack_from(order + "L", raw, 4)[0]
        elif size == 12:
            vr, length = raw[4:6].decode("latin-1"), struct.unpack_from(order + "L", raw, 8)[0]
        else:
            vr, length = raw[4:6].decode("latin-1"), struct.unpack_from(order + "H", raw, 6)[0]
        return cls(vr, None if length == UNDEFINED else length)

    @staticmethod
    def _size(raw: bytes, *, explicit: bool) -> int:
        if len(raw) < 8:
            return 0
        if not explicit:
            return 8
        return 12 if raw[4:6] in (b"OB", b"OW", b"UN", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UT") else 8

    def to_bytes(self, *, explicit: bool, little_endian: bool) -> bytes:
        """The header in that encoding; a missing VR becomes OW."""
        order = "<" if little_endian else ">"
        length = UNDEFINED if self.length is None else self.length
        tag = struct.pack(order + "HH", GROUP, ELEMENT)
        if not explicit:
            return tag + struct.pack(order + "L", length)
        return tag + (self.vr or "OW").encode("latin-1") + b"\0\0" + struct.pack(order + "L", length)
