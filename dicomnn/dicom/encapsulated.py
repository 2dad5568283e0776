"""Encapsulated Pixel Data -> frames -> raw words (PS3.5 A.4).

Fragments are mapped to frames by the Extended Offset Table, else the Basic Offset Table, else one to one,
else by the markers that a compressed image begins with. A table that does not fit is not believed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.codestreams import start_markers
from dicomnn.dicom.frame_decoders import decode_frame
from dicomnn.dicom.scan import Buffer, Layout, value_of
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import FrameUndecodable

EXTENDED_OFFSETS, EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
DESCRIBES_ENCAPSULATION = (EXTENDED_OFFSETS, EXTENDED_LENGTHS)  # void once the pixels are native
Spans = list[tuple[int, int]]


def fragments(buffer: Buffer, layout: Layout) -> tuple[bytes, Spans]:
    """The Basic Offset Table and the (start, end) of each fragment's bytes behind it.

    Raises FrameUndecodable when Pixel Data is not encapsulated or breaks off.
    """
    element = layout.pixel_data
    if element is None or not element.undefined_length:
        raise FrameUndecodable("Pixel Data is not encapsulated")
    if layout.broken is not None and layout.broken.element is element:
        raise FrameUndecodable(f"Pixel Data breaks off: {layout.broken.why}")
    view = memoryview(buffer)
    spans: Spans = []
    position = element.value_start
    while position + 8 <= element.end:
        group, number, length = struct.unpack_from("<HHL", view, position)
        if (group, number) != (0xFFFE, 0xE000):
            break
        spans.append((position + 8, position + 8 + length))
        position += 8 + length
    if not spans:
        raise FrameUndecodable("Pixel Data holds neither an offset table nor a fragment")
    return bytes(view[spans[0][0]:spans[0][1]]), spans[1:]


def frame_spans(buffer: Buffer, layout: Layout, frames: int) -> list[Spans]:
    """For each of `frames` frames the pieces of the buffer that hold it.

    Raises FrameUndecodable when the fragments cannot be mapped to that many frames.
    """
    table, spans = fragments(buffer, layout)
    if not spans:
        raise FrameUndecodable("Pixel Data holds no fragment")
    view = memoryview(buffer)
    for offsets in (_extended(view, layout, frames), _basic(table, frames)):
        mapped = _by_offsets(offsets, spans) if offsets else None
        if mapped is not None:
            return mapped
    filled = [(start, end) for start, end in spans if end > start]
    if frames == 1:
        return [filled]
    if len(filled) == frames:
        return [[span] for span in filled]
    starts = start_markers(layout.transfer_syntax)
    grouped: list[Spans] = []
    for start, end in filled:
        if bytes(view[start:start + 12]).startswith(starts) if starts else False:
            grouped.append([])
        if not grouped:
            break
        grouped[-1].append((start, end))
    if len(grouped) != frames:
        raise FrameUndecodable(f"{len(filled)} fragments cannot be mapped to {frames} frames")
    return grouped


def _extended(view: memoryview, layout: Layout, frames: int) -> list[int]:
    """Offsets of the Extended Offset Table (PS3.3 C.7.6.3.1.8), empty when absent or of another length."""
    element = layout.find(EXTENDED_OFFSETS)
    if element is None or element.end - element.value_start != 8 * frames:
        return []
    return list(struct.unpack(f"<{frames}Q", value_of(view, element, 8 * frames)))


def _basic(table: bytes, frames: int) -> list[int]:
    return list(struct.unpack(f"<{frames}L", table)) if table and len(table) == 4 * frames else []


def _by_offsets(offsets: list[int], spans: Spans) -> list[Spans] | None:
    """Fragments grouped by where frames begin; None when an offset is not the begin of a fragment."""
    origin = spans[0][0] - 8
    index = {start - 8 - origin: number for number, (start, _) in enumerate(spans)}
    firsts = [index.get(offset, -1) for offset in offsets]
    if firsts[0] != 0 or any(later <= first for first, later in zip(firsts, firsts[1:], strict=False)):
        return None
    return [spans[first:later] for first, later in zip(firsts, [*firsts[1:], len(spans)], strict=True)]


def decode_frames(buffer: Buffer, layout: Layout, image: ImagePixel) -> Iterator[np.ndarray]:
    """Each frame as (rows, columns) of uint8 or uint16 raw words, as native Pixel Data would hold them.

    Words are sign extended where PixelRepresentation is 1 and the stream has no more bits than BitsStored.
    Raises FrameUndecodable, naming the frame, for anything that is damaged, not lossless or doubtful.
    """
    frames = 1 if image.number_of_frames is None else image.number_of_frames
    if frames < 1:
        raise FrameUndecodable("Number Of Frames is not a positive number")
    kind = syntax(layout.transfer_syntax)
    if kind.decoder is None:
        raise FrameUndecodable(f"there is no decoder for {kind.name}")
    view = memoryview(buffer)
    for number, spans in enumerate(frame_spans(buffer, layout, frames)):
        data = b"".join(view[start:end] for start, end in spans)
        try:
            yield decode_frame(data, kind.decoder, image)
        except FrameUndecodable as error:
            raise FrameUndecodable(f"frame {number}: {error.message}") from error
