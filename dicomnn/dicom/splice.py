"""Pixel Data out, a private block in; and the way back. Bytes are moved, never re-encoded.

The block stands in group 7FE1, or, where the file itself uses 7FE1, in the next odd group beyond all of
its own, before the first element that belongs behind it (PS3.5 7.8: creator in gggg,0010, its elements in
gggg,10nn)::

    gggg,0010  LO  "DICOMNN "
    gggg,1001  OB  payload
    gggg,1002  UT  manifest (JSON, ASCII)
    gggg,1003  OB  bytes of Pixel Data beyond the frames, if any but the usual padding

`docs/object.md` tells the rest.

On a trip through other archives the block number, the group, the VRs (UN) and the transfer syntax may
change, and values may be padded: ``find_block`` goes by the creator's value and the elements' low bytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dicomnn.dicom.scan import CREATOR, PIXEL_DATA, Buffer, Layout, tag_text, value_of
from dicomnn.dicom.walk import UNDEFINED, Element
from dicomnn.errors import DataSetMalformed, NotCoded, PrivateBlockDamaged

PAYLOAD, MANIFEST, TRAILING = 0x01, 0x02, 0x03
PARTS = {PAYLOAD: "payload", MANIFEST: "manifest", TRAILING: "bytes beyond the frames"}
FIRST_GROUP, LAST_GROUP = 0x7FE1, 0xFFFB
FETCH_AGAIN = "Fetch the object again from an archive that keeps private elements unchanged."
LARGEST_PAYLOAD = UNDEFINED - 2
_MANIFEST_BEGINS = re.compile(rb'\{"v":\d+,"c":"[\w-]{8}","d":"[\w-]{43}"')


@dataclass(frozen=True)
class Cut:
    """A file in four pieces: joined, they are the file. The views keep `buffer` in use until released."""

    head: memoryview
    element_header: bytes
    value: memoryview
    tail: memoryview


@dataclass(frozen=True)
class Block:
    """The private block where it was found. Views refer to the scanned buffer.

    `payload` and `trailing` may carry one padding byte; `positions` are the (start, end) of all bytes that
    belong to the block, creator included, in file order.
    """

    group: int
    payload: memoryview
    manifest: bytes
    trailing: memoryview
    positions: list[tuple[int, int]]


# ------------------------------------------------------------------ cutting and inserting
def cut(buffer: Buffer, layout: Layout) -> Cut:
    """The pieces around the top-level Pixel Data. Raises DataSetMalformed when there is none."""
    element = layout.pixel_data
    if element is None or layout.inflated is not None:
        raise DataSetMalformed("there is no top-level Pixel Data element to cut out")
    view = memoryview(buffer)
    return Cut(view[:element.start], bytes(view[element.start:element.value_start]),
               view[element.value_start:element.end], view[element.end:])


def choose_group(layout: Layout) -> tuple[int, int]:
    """(group of the private block, offset in the original where it goes).

    An offset at the end of Pixel Data is Pixel Data's own place; one further on lies in the tail.
    Raises DataSetMalformed when there is no Pixel Data or no odd group is left.
    """
    pixel_data = layout.pixel_data
    if pixel_data is None or layout.inflated is not None:
        raise DataSetMalformed("there is no top-level Pixel Data element to replace")
    own = [element.group for element in layout.elements if element.group >= FIRST_GROUP and element.group % 2]
    group = FIRST_GROUP if FIRST_GROUP not in own else max(own) + 2
    if group > LAST_GROUP:
        raise DataSetMalformed("no private group beyond the file's own is left for the coded pixels")
    behind = [element for element in layout.elements if element.start >= pixel_data.end]
    for element in behind:
        if group == FIRST_GROUP or element.group > group:
            break
        if element.group >= FIRST_GROUP:
            continue
    else:
        return group, layout.trailing_start if behind and group != FIRST_GROUP else pixel_data.end
    return group, pixel_data.end if group == FIRST_GROUP else element.start


def insert(pieces: Cut, before_payload: bytes, payload: Sequence[bytes | memoryview], after_payload: bytes,
           *, offset: int) -> list[bytes | memoryview]:
    """The stored file as pieces to write one after the other; `offset` as ``choose_group`` gave it."""
    split = offset - (len(pieces.head) + len(pieces.element_header) + len(pieces.value))
    if not 0 <= split <= len(pieces.tail):
        raise DataSetMalformed(f"offset {offset} does not lie behind Pixel Data")
    return [pieces.head, pieces.tail[:split], before_payload, *payload, after_payload, pieces.tail[split:]]


def private_block(group: int, *, payload_length: int, manifest: bytes, trailing: bytes = b"",
                  explicit: bool, little_endian: bool) -> tuple[bytes, bytes]:
    """The bytes before and after the payload, padding included. `payload_length` in bytes."""
    if not 0 < payload_length <= LARGEST_PAYLOAD:
        raise DataSetMalformed(f"a payload of {payload_length} bytes does not fit into a DICOM element")

    def header(number: int, vr: str, length: int) -> bytes:
        return element_header_bytes(group << 16 | number, vr, length, explicit=explicit,
                                    little_endian=little_endian)

    def element(number: int, vr: str, value: bytes, pad: bytes) -> bytes:
        value += pad * (len(value) % 2)
        return header(number, vr, len(value)) + value

    before = element(0x0010, "LO", CREATOR.encode("ascii"), b" ")
    before += header(0x1000 | PAYLOAD, "OB", payload_length + payload_length % 2)
    after = b"\0" * (payload_length % 2)
    after += element(0x1000 | MANIFEST, "UT", manifest, b" ")
    if trailing:
        after += element(0x1000 | TRAILING, "OB", trailing, b"\0")
    return before, after


def element_header_bytes(tag: int, vr: str, length: int, *, explicit: bool, little_endian: bool) -> bytes:
    """Tag, VR (of Explicit VR) and length of one element (PS3.5 7.1). `length` may be FFFFFFFFH."""
    order = "<" if little_endian else ">"
    start = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    if not explicit:
        return start + struct.pack(order + "L", length)
    if vr in ("OB", "OW", "UT", "UN", "SQ", "UC", "UR", "OF", "OD", "OL", "OV", "SV", "UV"):
        return start + vr.encode("ascii") + b"\0\0" + struct.pack(order + "L", length)
    return start + vr.encode("ascii") + struct.pack(order + "H", length)


def with_transfer_syntax(buffer: Buffer, layout: Layout, uid: str) -> bytes:
    """Preamble and File Meta with another Transfer Syntax UID; empty for a bare data set.

    Raises DataSetMalformed when File Meta names no transfer syntax.
    """
    if not layout.has_file_meta:
        return bytes(memoryview(buffer)[:layout.dataset_start])
    return with_meta_uid(buffer, layout, 0x00020010, uid)


def with_meta_uid(buffer: Buffer, layout: Layout, tag: int, uid: str) -> bytes:
    """Preamble and File Meta with another value of one UID, the group length corrected.

    Raises DataSetMalformed when File Meta does not hold the element.
    """
    view = memoryview(buffer)
    old = next((element for element in layout.meta_elements if element.tag == tag), None)
    if old is None:
        raise DataSetMalformed(f"File Meta does not hold {tag_text(tag)}")
    value = uid.encode("ascii") + b"\0" * (len(uid) % 2)
    new = element_header_bytes(tag, "UI", len(value), explicit=old.vr is not None, little_endian=True)
    new += value
    result = bytearray(view[:old.start]) + new + bytes(view[old.end:layout.dataset_start])
    first = layout.meta_elements[0]
    if first.tag == 0x00020000 and first.length == 4:
        said = struct.unpack_from("<L", view, first.value_start)[0]
        changed = said + len(new) - (old.end - old.start)
        struct.pack_into("<L", result, first.value_start, max(changed, 0) & UNDEFINED)
    return bytes(result)


# ------------------------------------------------------------------ finding the block again
def find_block(buffer: Buffer, layout: Layout) -> Block:
    """The private block, by the value of its creator, in whatever group, block number, VR or syntax.

    Raises NotCoded (no trace of a block) and PrivateBlockDamaged (an element is missing, doubled, cut off
    or empty: the message names it).
    """
    view = layout.data(buffer)
    creators = layout.block_creators
    if not creators:
        _look_for_orphans(view, layout)
        raise NotCoded("there is no private block of creator DICOMNN")
    if len(creators) > 1:
        named = ", ".join(tag_text(element.tag) for element in creators)
        complete = [element for element in creators if _parts(layout, element)]
        if len(complete) != 1:
            raise PrivateBlockDamaged(f"creator DICOMNN stands at {named}: which block counts cannot be told",
                                      cure=FETCH_AGAIN)
        creators = complete
    creator = creators[0]
    parts = _parts(layout, creator)
    values = {low: _part(view, layout, creator, parts, low) for low in (PAYLOAD, MANIFEST)}
    trailing = view[0:0]
    if parts.get(TRAILING):
        trailing = _part(view, layout, creator, parts, TRAILING)
    spans = sorted((element.start, element.end) for element in _of_block(layout, creator))
    manifest = bytes(values[MANIFEST]).rstrip(b" \0")
    return Block(creator.group, values[PAYLOAD], manifest, trailing, spans)


def _parts(layout: Layout, creator: Element) -> dict[int, list[Element]]:
    """The elements of the creator's block by their low byte, one that is cut off at the end included."""
    block = (creator.tag & 0xFF) << 8
    last = [layout.broken.element] if layout.broken is not None and layout.broken.element is not None else []
    parts: dict[int, list[Element]] = {}
    for element in layout.elements + last:
        if element.group == creator.group and element.tag & 0xFF00 == block:
            parts.setdefault(element.tag & 0xFF, []).append(element)
    return parts


def _of_block(layout: Layout, creator: Element) -> list[Element]:
    """Every element that goes when the block goes: also a group length that counts nothing else."""
    block = (creator.tag & 0xFF) << 8
    of_group = [element for element in layout.elements if element.group == creator.group]
    ours = [element for element in of_group
            if element is creator or (element.tag & 0xFF00 == block and element.tag & 0xFFFF > 0xFF)]
    others = [element for element in of_group if element not in ours]
    return of_group if all(element.tag & 0xFFFF == 0 for element in others) else ours


def _part(view: memoryview, layout: Layout, creator: Element, parts: dict[int, list[Element]],
          low: int) -> memoryview:
    tag = creator.tag & 0xFFFF0000 | (creator.tag & 0xFF) << 8 | low
    what = f"{PARTS[low]} {tag_text(tag)}"
    found = parts.get(low, [])
    if not found:
        why = f"; the file ends early: {layout.broken.why}" if layout.broken is not None else ""
        raise PrivateBlockDamaged(f"the private block of {tag_text(creator.tag)} lacks its {what}{why}",
                                  cure=FETCH_AGAIN)
    if len(found) > 1:
        raise PrivateBlockDamaged(f"the {what} stands {len(found)} times in the data set", cure=FETCH_AGAIN)
    element = found[0]
    if element.undefined_length:
        raise PrivateBlockDamaged(f"the {what} came back with undefined length", cure=FETCH_AGAIN)
    if element.truncated:
        there = element.end - element.value_start
        raise PrivateBlockDamaged(f"the {what} is cut off: {there} of its {element.length} bytes are there",
                                  cure=FETCH_AGAIN)
    if element.end == element.value_start:
        raise PrivateBlockDamaged(f"the {what} is empty", cure=FETCH_AGAIN)
    return view[element.value_start:element.end]


def _look_for_orphans(view: memoryview, layout: Layout) -> None:
    """A manifest without its creator is a damaged block, not an ordinary file."""
    for element in layout.elements:
        if element.group % 2 and element.tag & 0xFF == MANIFEST and element.tag & 0xFFFF > 0xFF:
            if _MANIFEST_BEGINS.match(value_of(view, element, 128)):
                creator = element.tag & 0xFFFF0000 | (element.tag >> 8 & 0xFF)
                raise PrivateBlockDamaged(
                    f"a manifest stands at {tag_text(element.tag)}, but the creator element "
                    f"{tag_text(creator)} 'DICOMNN' is missing or changed", cure=FETCH_AGAIN)


# ------------------------------------------------------------------ the way back
def around(buffer: Buffer, layout: Layout, block: Block) -> tuple[list[memoryview], list[memoryview]]:
    """What stands before and behind the place of Pixel Data, the block left out; views of `buffer`.

    The place is before the first element of (7FE0,0010) or later, else where the block begins. It is the
    original one wherever the original's elements before Pixel Data had lower tags.
    """
    view = memoryview(buffer)
    place = next((element.start for element in layout.elements if element.tag >= PIXEL_DATA),
                 block.positions[0][0])
    before: list[memoryview] = []
    behind: list[memoryview] = []
    position = 0
    for start, end in [*block.positions, (len(view), len(view))]:
        if position < place:
            before.append(view[position:min(start, place)])
            if place < start:
                behind.append(view[place:start])
        elif position < start:
            behind.append(view[position:start])
        position = end
    return before, behind
