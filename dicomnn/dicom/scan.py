"""What lies where in a DICOM file or a bare data set. Works on bytes, memoryview and mmap without copying.

Nothing is decoded except the few UIDs that say what the object is. Bytes that cannot be parsed after the
readable part (garbage, zeros, a cut element) are no error: the layout says where the readable part ends
and why, and whoever copies the object copies them too.
"""

from __future__ import annotations

import mmap
import zlib
from dataclasses import dataclass, field

from dicomnn.dicom.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from dicomnn.dicom.walk import (
    LONG_VRS,
    SHORT_VRS,
    Broken,
    Budget,
    Element,
    Encoding,
    read_header,
    tag_text,
    walk,
)
from dicomnn.errors import DataSetMalformed, NotDicom

__all__ = ["Buffer", "Broken", "Element", "Layout", "CREATOR", "PIXEL_DATA", "scan", "tag_text", "value_of"]

Buffer = bytes | bytearray | memoryview | mmap.mmap

PIXEL_DATA = 0x7FE00010
CREATOR = "DICOMNN"  # of the private block that holds coded pixels
INFLATE_LIMIT = 64 << 20  # bytes of a deflated data set that are looked at (PS3.5 A.5; never all of a bomb)
_UID_LIMIT = 1024


@dataclass(frozen=True)
class Layout:
    """Where things are; all offsets are absolute in the scanned buffer.

    `transfer_syntax`: as File Meta or the caller say, else guessed (`guessed`). `explicit` and
    `little_endian` are what the bytes show, which may differ from the transfer syntax.
    `elements`: the top level in file order, up to `trailing_start`. `broken` says why the readable part
    ended early. `block_creators`: private creators of value DICOMNN among the elements. `pixel_data` is the
    first top-level (7FE0,0010), also when it is itself cut off, and None in a deflated data set, where it
    has no place of its own.
    `inflated`: for a deflated data set its first 64 MiB; `elements` then refer to these bytes, see `data`.
    """

    size: int
    dataset_start: int
    has_preamble: bool
    has_file_meta: bool
    transfer_syntax: str
    guessed: bool
    explicit: bool
    little_endian: bool
    meta_elements: list[Element]
    elements: list[Element]
    pixel_data: Element | None
    trailing_start: int
    broken: Broken | None
    block_creators: list[Element]
    sop_class_uid: str | None
    sop_instance_uid: str | None
    file_meta_sop_class_uid: str | None
    file_meta_sop_instance_uid: str | None
    inflated: bytes | None = field(default=None, repr=False)

    def data(self, buffer: Buffer) -> memoryview:
        """The bytes that `elements` refer to: the buffer, or the inflated data set."""
        return memoryview(self.inflated if self.inflated is not None else buffer)

    def find(self, tag: int) -> Element | None:
        """The first top-level element with this tag."""
        return next((element for element in self.elements if element.tag == tag), None)


def value_of(view: memoryview, element: Element, limit: int) -> bytes:
    """At most `limit` bytes of an element's value, as a copy."""
    return bytes(view[element.value_start:min(element.end, element.value_start + limit)])


def scan(buffer: Buffer, *, transfer_syntax: str | None = None) -> Layout:
    """Where the parts of `buffer` are.

    `transfer_syntax`: `buffer` is a bare data set in this syntax, as C-STORE delivers it (a Part 10 file is
    recognised all the same). Without it and without File Meta the syntax is guessed from the first element.

    Raises NotDicom (no Part 10 header and no plausible data set) and DataSetMalformed (nothing readable in
    it, sequences nested deeper than 32, more than 10**6 elements).
    """
    view = memoryview(buffer)
    try:
        return _scan(view, transfer_syntax)
    finally:
        view.release()


def _scan(view: memoryview, told: str | None) -> Layout:
    budget = Budget()
    preamble, start = _preamble(view, told)
    meta: list[Element] = []
    if preamble or told is None:
        meta, start = _file_meta(view, start, budget)
    declared = _uid(view, meta, 0x00020010) or told or None
    seen = _observed(view, start)
    if not preamble and not meta and told is None:
        _require_plausible(view, start, seen)
    uid = declared or _guess(seen)
    kind = syntax(uid)
    inflated = _inflate(view[start:]) if kind.deflated else None
    body, body_start = (memoryview(inflated), 0) if inflated is not None else (view, start)
    encoding = _encoding(_observed(body, body_start), Encoding(kind.explicit, kind.little_endian))
    elements, end, broken = walk(body, body_start, encoding, budget)
    if not elements and (broken is None or broken.element is None):
        if preamble or meta or told is not None:
            raise DataSetMalformed("there is no readable element in the data set")
        raise NotDicom("neither a Part 10 header nor a data set")
    pixel_data = _pixel_data(elements, broken) if inflated is None else None
    return Layout(
        size=len(view), dataset_start=start, has_preamble=preamble, has_file_meta=bool(meta),
        transfer_syntax=uid, guessed=declared is None, explicit=encoding.explicit,
        little_endian=encoding.little_endian, meta_elements=meta, elements=elements, pixel_data=pixel_data,
        trailing_start=end if inflated is None else len(view), broken=broken,
        block_creators=_creators(body, elements),
        sop_class_uid=_uid(body, elements, 0x00080016), sop_instance_uid=_uid(body, elements, 0x00080018),
        file_meta_sop_class_uid=_uid(view, meta, 0x00020002),
        file_meta_sop_instance_uid=_uid(view, meta, 0x00020003), inflated=inflated)


def _pixel_data(elements: list[Element], broken: Broken | None) -> Element | None:
    found = next((element for element in elements if element.tag == PIXEL_DATA), None)
    if found is None and broken is not None and broken.element is not None:
        return broken.element if broken.element.tag == PIXEL_DATA else None
    return found


def _creators(view: memoryview, elements: list[Element]) -> list[Element]:
    """Private creators of ours, by value; padding and VR do not matter (PS3.5 7.8)."""
    return [element for element in elements
            if element.group % 2 and 0x10 <= element.tag & 0xFFFF <= 0xFF
            and value_of(view, element, 64).strip(b" \0") == CREATOR.encode("ascii")]


# ------------------------------------------------------------------ preamble and File Meta (PS3.10 section 7)
def _preamble(view: memoryview, told: str | None) -> tuple[bool, int]:
    """(whether there is a preamble, where File Meta or the data set begins)."""
    if bytes(view[128:132]) == b"DICM":
        if bytes(view[132:134]) == b"\x02\x00" or not _plausible(view, 0, _observed(view, 0)):
            return True, 132
        return False, 0  # a bare data set that happens to hold these four letters there
    if told is None and bytes(view[:4]) == b"DICM":
        return False, 4
    return False, 0


def _file_meta(view: memoryview, start: int, budget: Budget) -> tuple[list[Element], int]:
    """Group 0002 at `start`, up to the first element of another group; its group length is not trusted."""
    if bytes(view[start:start + 2]) != b"\x02\x00":
        return [], start
    first = _observed(view, start)
    explicit = first is None or first.explicit
    elements, end, _ = walk(view, start, Encoding(explicit, True), budget, only_group=2)
    return (elements, end) if elements else ([], start)


def _uid(view: memoryview, elements: list[Element], tag: int) -> str | None:
    """A UID without padding, None when absent or empty; odd bytes become U+FFFD (PS3.5 9.1)."""
    for element in elements:
        if element.tag == tag:
            raw = value_of(view, element, _UID_LIMIT)
            return raw.decode("ascii", "replace").strip("\0 ") or None
    return None


# ------------------------------------------------------------------ what the bytes show
def _observed(view: memoryview, start: int) -> Encoding | None:
    """Encoding of the element at `start` by its VR and by which byte order gives the smaller group."""
    if start + 8 > len(view):
        return None
    little = view[start] | view[start + 1] << 8
    big = view[start] << 8 | view[start + 1]
    vr = bytes(view[start + 4:start + 6]).decode("latin-1")
    return Encoding(vr in SHORT_VRS or vr in LONG_VRS, little <= big)


def _encoding(seen: Encoding | None, expected: Encoding) -> Encoding:
    """What to walk with: what the bytes show, as Implicit VR Big Endian does not exist in DICOM."""
    if seen is None or (not seen.explicit and not seen.little_endian):
        return expected
    return seen


def _guess(seen: Encoding | None) -> str:
    if seen is None or not seen.explicit:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if seen.little_endian else EXPLICIT_BIG


def _plausible(view: memoryview, start: int, seen: Encoding | None) -> bool:
    """Whether a data set may begin at `start`: a low group, a length that fits, then a later element."""
    if seen is None or (not seen.explicit and not seen.little_endian):
        return False
    total = len(view)
    first = read_header(view, start, total, seen.explicit, seen.little_endian)
    if first is None or not 0 < first[0] >> 16 <= 0x0040 or first[0] >> 16 == 0x0003:
        return False
    if first[2] == 0xFFFFFFFF:
        return True
    after = first[3] + first[2]
    if after >= total:
        return after == total
    second = read_header(view, after, total, seen.explicit, seen.little_endian)
    return second is None or second[0] > first[0]


def _require_plausible(view: memoryview, start: int, seen: Encoding | None) -> None:
    if not _plausible(view, start, seen):
        raise NotDicom("neither a Part 10 header nor a plausible data set was found")


def _inflate(packed: memoryview) -> bytes:
    """The first 64 MiB of a deflated data set; what cannot be inflated ends it early."""
    for window in (-zlib.MAX_WBITS, zlib.MAX_WBITS):  # as the standard says, then with a zlib header
        stream = zlib.decompressobj(window)
        inflated = bytearray()
        try:
            for position in range(0, len(packed), 1 << 16):
                inflated += stream.decompress(packed[position:position + (1 << 16)],
                                              INFLATE_LIMIT - len(inflated))
                if len(inflated) >= INFLATE_LIMIT or stream.eof:
                    break
        except zlib.error:
            pass
        if inflated:
            return bytes(inflated)
    raise DataSetMalformed("the deflated data set cannot be inflated")
