"""What the header of a compressed frame says of itself, read before any decoder allocates a pixel."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dicomnn.errors import FrameUndecodable

START_MARKERS: dict[str, tuple[bytes, ...]] = {
    "jpeg-lossless": (b"\xff\xd8\xff",), "jpeg-ls": (b"\xff\xd8\xff",),
    "jpeg-2000": (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"),
    "jpeg-xl": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
}

_FAMILIES = {"jpeg-lossless": ("50", "51", "53", "55", "57", "70"), "jpeg-ls": ("80", "81"),
             "jpeg-2000": ("90", "91", "92", "93", "201", "202", "203"), "jpeg-xl": ("110", "111", "112")}
_MARKERS_OF = {f"1.2.840.10008.1.2.4.{number}": START_MARKERS[family]
               for family, numbers in _FAMILIES.items() for number in numbers}

_FRAME_MARKERS = frozenset({0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # SOF of any process


def start_markers(transfer_syntax: str) -> tuple[bytes, ...]:
    """What a compressed frame of this transfer syntax may begin with; none are known for others."""
    return _MARKERS_OF.get(transfer_syntax, ())


@dataclass(frozen=True)
class Stream:
    """`precision` is None where the stream's decoder tells it; `signed` is None where it cannot say."""

    rows: int
    columns: int
    components: int
    precision: int | None
    signed: bool | None = None


def jpeg(data: bytes, *, jpeg_ls: bool) -> Stream:
    """SOF3 of JPEG lossless (ITU-T T.81 B.2) or SOF55 of JPEG-LS (T.87 C.2), and that nothing is lost.

    Raises FrameUndecodable for another process, a point transform or a near-lossless parameter.
    """
    stream, process, body = jpeg_header(data)
    if process != (0xF7 if jpeg_ls else 0xC3):
        raise FrameUndecodable(f"the frame is of JPEG process FF{process:02X}, not of that which its "
                               "transfer syntax names")
    _require_lossless_scan(body, jpeg_ls)
    return stream


def jpeg_header(data: bytes) -> tuple[Stream, int, bytes]:
    """What any JPEG stream says of itself before its first scan: the frame, the marker of its process (the
    second byte of SOFn), and the scan's header.

    Raises FrameUndecodable.
    """
    if data[:2] != b"\xff\xd8":
        raise FrameUndecodable("the frame does not begin with a JPEG marker")
    position, process = 2, 0
    found: Stream | None = None
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            raise FrameUndecodable(f"no marker where one is due, at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4:position + 2 + length]
        if marker in _FRAME_MARKERS:
            if len(body) < 6:
                raise FrameUndecodable("the frame's header is cut off")
            precision, rows, columns, components = struct.unpack_from(">BHHB", body)
            found, process = Stream(rows, columns, components, precision), marker
        if marker == 0xDA:
            if found is None:
                break
            return found, process, body
        position += 2 + length
    raise FrameUndecodable("the frame ends before its first scan")


def _require_lossless_scan(body: bytes, jpeg_ls: bool) -> None:
    """The scan header: NEAR (JPEG-LS) or the point transform (JPEG lossless) must be 0."""
    if not body or len(body) < 1 + 2 * body[0] + 3:
        raise FrameUndecodable("the frame's scan header is cut off")
    first, _, last = body[1 + 2 * body[0]:4 + 2 * body[0]]
    if jpeg_ls and first:
        raise FrameUndecodable(f"the frame is near-lossless (NEAR {first}) under a lossless transfer syntax")
    if not jpeg_ls and last & 15:
        raise FrameUndecodable(f"the frame was shifted by {last & 15} bits before coding (point transform)")


def jpeg_2000(data: bytes) -> Stream:
    """SIZ and COD of a JPEG 2000 or HTJ2K codestream (ITU-T T.800 A.5, A.6), with or without a JP2 wrapper.

    Raises FrameUndecodable for the irreversible wavelet.
    """
    stream, reversible = jpeg_2000_header(data)
    if not reversible:
        raise FrameUndecodable("the frame uses the irreversible wavelet, its syntax is lossless")
    return stream


def jpeg_2000_header(data: bytes) -> tuple[Stream, bool]:
    """The same of any codestream, and whether its wavelet is the reversible one. Raises FrameUndecodable."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or start + 46 > len(data):
        raise FrameUndecodable("the frame holds no JPEG 2000 codestream")
    right, bottom, left, top = struct.unpack_from(">4L", data, start + 8)
    components, depth = struct.unpack_from(">HB", data, start + 40)
    stream = Stream(bottom - top, right - left, components, (depth & 0x7F) + 1, bool(depth & 0x80))
    position = start + 2
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFF52:
            if position + 14 > len(data):
                break
            return stream, data[position + 13] == 1
        if marker < 0xFF00 or marker == 0xFF90:
            break
        position += 2 + length
    raise FrameUndecodable("the JPEG 2000 codestream lacks its coding style")


def jpeg_xl(data: bytes) -> Stream:
    """Size of a JPEG XL image (ISO/IEC 18181-1, SizeHeader), bare or in a container."""
    start = 0
    if data[:2] != b"\xff\x0a":
        box = data.find(b"jxlc")
        start = box + 4 if box >= 0 else data.find(b"jxlp") + 8
        if data[start:start + 2] != b"\xff\x0a":
            raise FrameUndecodable("the frame holds no JPEG XL codestream")
    bits = int.from_bytes(data[start + 2:start + 18], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & (1 << count) - 1
        bits >>= count
        return value

    small = take(1)

    def size() -> int:
        return (take(5) + 1) * 8 if small else take((9, 13, 18, 30)[take(2)]) + 1

    rows = size()
    ratio = take(3)
    num, den = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio]
    return Stream(rows, rows * num // den if ratio else size(), 1, None)
