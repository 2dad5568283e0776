"""Element after element by position: where each begins and ends, nothing decoded (PS3.5 section 7).

Values are skipped by their length. Sequences are walked with a stack of our own: those of undefined length
because their end is not known otherwise, those of defined length only to see how deep they go. What is
wrong inside a defined length is skipped with it; what is wrong outside of one ends the walk.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dicomnn.errors import DataSetMalformed

UNDEFINED = 0xFFFFFFFF
MAX_DEPTH = 32
MAX_ELEMENTS = 1_000_000

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SHORT_VRS = frozenset("AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # 2 reserved bytes, 32 bit length
_TAG = {True: struct.Struct("<HH"), False: struct.Struct(">HH")}
_LONG = {True: struct.Struct("<L"), False: struct.Struct(">L")}
_SHORT = {True: struct.Struct("<H"), False: struct.Struct(">H")}
_SEQUENCE, _ITEM, _FRAGMENTS = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Element:
    """One element at its place: offsets are absolute, `vr` is None in Implicit VR.

    `end` is where the next element begins, delimiters included; of an element that is cut off, where the
    bytes end. `length` is the length field as it stands (FFFFFFFFH when undefined).
    """

    tag: int
    vr: str | None
    start: int
    value_start: int
    end: int
    undefined_length: bool
    length: int

    @property
    def group(self) -> int:
        return self.tag >> 16

    @property
    def truncated(self) -> bool:
        """Fewer bytes are there than the length field says (elements of defined length)."""
        return not self.undefined_length and self.end - self.value_start < self.length


@dataclass(frozen=True)
class Broken:
    """Why the walk ended before the bytes did; `element` is the one that is cut off, if it is that."""

    offset: int
    why: str
    element: Element | None = None


@dataclass(frozen=True)
class Encoding:
    explicit: bool
    little_endian: bool


class Budget:
    """Counts elements and items over a whole walk. Raises DataSetMalformed beyond the limit."""

    def __init__(self) -> None:
        self.left = MAX_ELEMENTS

    def spend(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise DataSetMalformed(f"the data set has more than {MAX_ELEMENTS} elements and items")


class NestedTooDeep(DataSetMalformed):
    """Sequences inside sequences beyond ``MAX_DEPTH``."""

    code = "nested-too-deep"
    cure = "The file is kept as it is; no reader should follow such nesting."


class _Fault(Exception):
    """The nested structure does not hold; `offset` is where."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset = offset


def tag_text(tag: int) -> str:
    """(gggg,eeee) in hexadecimal."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_header(view: memoryview, position: int, limit: int, explicit: bool,
                little_endian: bool) -> tuple[int, str | None, int, int] | None:
    """(tag, VR, length, start of value) at `position`, or None when no header fits there.

    In Explicit VR an element whose VR is no pair of letters is read as Implicit VR, as some writers mix
    them, or, where that cannot be, as one with a short VR ("  " and "??" occur); a VR of unknown letters has
    the long form (PS3.5 6.2.2 and 7.1.2).
    """
    if position + 8 > limit:
        return None
    group, number = _TAG[little_endian].unpack_from(view, position)
    tag = group << 16 | number
    if not explicit or group == 0xFFFE:
        return tag, None, _LONG[little_endian].unpack_from(view, position + 4)[0], position + 8
    first, second = view[position + 4], view[position + 5]
    if not (65 <= first <= 90 and 65 <= second <= 90):
        length = _LONG[little_endian].unpack_from(view, position + 4)[0]
        if length == UNDEFINED or position + 8 + length <= limit:
            return tag, None, length, position + 8
        short = _SHORT[little_endian].unpack_from(view, position + 6)[0]
        if position + 8 + short <= limit:
            return tag, "UN", short, position + 8
        return tag, None, length, position + 8
    vr = chr(first) + chr(second)
    if vr in SHORT_VRS:
        return tag, vr, _SHORT[little_endian].unpack_from(view, position + 6)[0], position + 8
    if position + 12 > limit:
        return None
    return tag, vr, _LONG[little_endian].unpack_from(view, position + 8)[0], position + 12


def walk(view: memoryview, start: int, encoding: Encoding, budget: Budget, *,
         only_group: int | None = None) -> tuple[list[Element], int, Broken | None]:
    """The top-level elements from `start`, the offset where the walk ended, and why if that is early.

    With `only_group` the walk ends without complaint at the first element of another group.
    Raises DataSetMalformed (nesting deeper than 32, more than 10**6 elements).
    """
    elements: list[Element] = []
    position, total = start, len(view)
    explicit, little = encoding.explicit, encoding.little_endian
    while position < total:
        found = read_header(view, position, total, explicit, little)
        if found is None:
            return elements, position, Broken(position, f"{total - position} bytes are no element")
        tag, vr, length, value_start = found
        if only_group is not None and tag >> 16 != only_group:
            break
        if (tag == 0 and vr is None) or (tag >> 16 == 0xFFFE and length == UNDEFINED):
            return elements, position, Broken(position, f"no element begins at offset {position}")
        budget.spend()
        undefined = length == UNDEFINED
        try:
            if tag >> 16 == 0xFFFE:  # a delimiter that some writers leave over: passed by
                end = value_start + length
            elif undefined or vr == "SQ" or (vr is None and length >= 8):
                end = _end_of_value(view, value_start, length, vr, tag, encoding, budget)
            else:
                end = value_start + length
        except _Fault as fault:
            cut = Element(tag, vr, position, value_start, total, undefined, length)
            return elements, position, Broken(fault.offset, f"{tag_text(tag)}: {fault}", cut)
        if end > total:
            cut = Element(tag, vr, position, value_start, total, undefined, length)
            why = f"{tag_text(tag)} says {length} bytes, {total - value_start} are there"
            return elements, position, Broken(position, why, cut)
        elements.append(Element(tag, vr, position, value_start, end, undefined, length))
        position = end
    return elements, position, None


def end_of_value(view: memoryview, value_start: int, length: int, vr: str | None, tag: int,
                 encoding: Encoding, budget: Budget) -> int:
    """Where a value of any kind ends, delimiters included. Raises DataSetMalformed where it does not."""
    try:
        end = _end_of_value(view, value_start, length, vr, tag, encoding, budget)
    except _Fault as fault:
        raise DataSetMalformed(f"{tag_text(tag)}: {fault}") from fault
    if end > len(view):
        raise DataSetMalformed(f"{tag_text(tag)} says {length} bytes, {len(view) - value_start} are there")
    return end


def encoding_inside(view: memoryview, value_start: int, vr: str | None, tag: int,
                    encoding: Encoding) -> Encoding:
    """Of the items of a sequence that begins there: those of UN have one of their own (PS3.5 6.2.2)."""
    return _undefined(view, value_start, len(view), vr, tag, encoding)[1]


def _end_of_value(view: memoryview, value_start: int, length: int, vr: str | None, tag: int,
                  encoding: Encoding, budget: Budget) -> int:
    """Where a value ends that is, or may be, a sequence or fragments. Raises _Fault and DataSetMalformed."""
    total = len(view)
    if length != UNDEFINED:
        end = value_start + length
        if end > total or (vr is None and not _item_at(view, value_start, end, encoding.little_endian)):
            return end
        _descend(view, value_start, end, _SEQUENCE, encoding, end, budget)
        return end
    kind, inner = _undefined(view, value_start, total, vr, tag, encoding)
    return _descend(view, value_start, None, kind, inner, total, budget)


def _item_at(view: memoryview, position: int, limit: int, little_endian: bool) -> bool:
    return position + 8 <= limit and _TAG[little_endian].unpack_from(view, position) == (0xFFFE, 0xE000)


def _undefined(view: memoryview, position: int, limit: int, vr: str | None, tag: int,
               encoding: Encoding) -> tuple[int, Encoding]:
    """What an undefined length holds: fragments (PS3.5 A.4), or items and in which encoding."""
    if vr == "UN":  # PS3.5 6.2.2: Implicit VR Little Endian inside, whatever is outside
        return _SEQUENCE, Encoding(_explicit_inside(view, position, limit), True)
    if vr in ("OB", "OW") or (vr is None and tag == 0x7FE00010):
        return _FRAGMENTS, encoding
    return _SEQUENCE, encoding


def _explicit_inside(view: memoryview, position: int, limit: int) -> bool:
    """Whether a writer put Explicit VR into a UN sequence: a known VR that is absurd as a length."""
    if not _item_at(view, position, limit, True) or position + 16 > limit:
        return False
    pair = bytes(view[position + 12:position + 14]).decode("latin-1")
    length = _LONG[True].unpack_from(view, position + 12)[0]
    return (pair in SHORT_VRS or pair in LONG_VRS) and position + 16 + length > limit


# A level of the stack: kind, own end (None: delimited), the nearest end around it, its encoding.
_Level = tuple[int, "int | None", int, Encoding]


def _descend(view: memoryview, position: int, end: int | None, kind: int, encoding: Encoding, limit: int,
             budget: Budget) -> int:
    """The offset behind a sequence or fragments that begin at `position`, delimiter included."""
    stack: list[_Level] = [(kind, end, limit, encoding)]
    depth = 1
    while stack:
        kind, end, limit, encoding = stack[-1]
        if end is not None and position >= end:
            stack.pop()
            depth -= kind != _ITEM
            continue
        budget.spend()
        try:
            position, level, closed = _step(view, position, kind, end, limit, encoding)
        except _Fault:
            while stack and stack[-1][1] is None:
                depth -= stack.pop()[0] != _ITEM
            if not stack:
                raise
            position = stack[-1][2]  # skipped as its length says; the level is closed above
            continue
        if closed:
            stack.pop()
            depth -= kind != _ITEM
        if level is not None:
            stack.append(level)
            depth += level[0] != _ITEM
            if depth > MAX_DEPTH:
                raise NestedTooDeep(f"sequences are nested more than {MAX_DEPTH} deep at offset {position}")
    return position


def _step(view: memoryview, position: int, kind: int, end: int | None, limit: int,
          encoding: Encoding) -> tuple[int, _Level | None, bool]:
    """One header: (next offset, the level it opens, whether it closes the present one)."""
    little = encoding.little_endian
    found = read_header(view, position, limit, kind == _ITEM and encoding.explicit, little)
    if found is None:
        raise _Fault(position, "cut off before its delimiter")
    tag, vr, length, value_start = found
    if kind != _ITEM:
        if tag == SEQUENCE_END:
            return value_start, None, end is None
        if tag != ITEM:
            raise _Fault(position, f"an item was expected at offset {position}, {tag_text(tag)} is there")
        if length == UNDEFINED:
            if kind == _FRAGMENTS:
                raise _Fault(position, f"a fragment of undefined length at offset {position}")
            return value_start, (_ITEM, None, limit, encoding), False
        stop = value_start + length
        if stop > limit:
            raise _Fault(position, f"the item at offset {position} says {length} bytes, "
                                   f"{limit - value_start} are there")
        if kind == _FRAGMENTS:
            return stop, None, False
        return value_start, (_ITEM, stop, stop, encoding), False
    if tag == ITEM_END:
        return value_start, None, end is None
    if tag == SEQUENCE_END and end is None:
        return position, None, True  # the item's own delimiter is missing
    if tag >> 16 == 0xFFFE:
        raise _Fault(position, f"a stray {tag_text(tag)} at offset {position}")
    if length == UNDEFINED:
        inner_kind, inner = _undefined(view, value_start, limit, vr, tag, encoding)
        return value_start, (inner_kind, None, limit, inner), False
    stop = value_start + length
    if stop > limit:
        raise _Fault(position, f"{tag_text(tag)} at offset {position} says {length} bytes, "
                               f"{limit - value_start} are there")
    if vr == "SQ" or (vr is None and length >= 8 and _item_at(view, value_start, stop, little)):
        return value_start, (_SEQUENCE, stop, stop, encoding), False
    return stop, None, False
