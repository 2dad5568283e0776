"""What is to be sealed: the frames of an object, and the bytes that will surround their payload.

Native objects are taken as they lie in the mapped file. The frames of encapsulated ones, and of those whose
pairs of bytes are swapped, are written to a nameless file first, so memory holds one frame at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnn.codec.sample import SampleFormat
from dicomnn.coded.bridge import (
    Geometry,
    PairSwap,
    geometry,
    pairs_swapped,
    plain_bytes,
    sample_format,
    unswapped_spool,
    words,
)
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.pixel_header import PixelHeader, usual_trailing, usual_vr
from dicomnn.coded.spool import spool_file
from dicomnn.dicom.attributes import ImagePixel
from dicomnn.dicom.scan import PIXEL_DATA, Element, Layout
from dicomnn.dicom.splice import choose_group, with_transfer_syntax
from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE
from dicomnn.errors import DataSetMalformed

ENCAPSULATION = frozenset({0x7FE00000, 0x7FE00001, 0x7FE00002, 0x7FE00003})
"""Elements of group 7FE0 that speak of the encapsulated form: its length, and the extended offset table."""


@dataclass(frozen=True)
class Original:
    """The file to be written is meta + head + block + rest with the block after `between`.

    The data set that it stands for is head + pixel_header + value + between + after.
    """

    meta: memoryview | bytes
    head: memoryview | bytes
    between: memoryview | bytes
    after: memoryview | bytes
    group: int
    in_order: bool
    """Whether the order of tags tells where Pixel Data stood."""
    pixel_header: bytes
    """Header of Pixel Data in the restored data set."""
    trailing: bytes
    """Bytes of the value beyond the frames."""
    swap: bool
    explicit: bool
    little_endian: bool
    transfer_syntax: str
    original_transfer_syntax: str
    exact: str
    dropped: tuple[str, ...]
    shape: Geometry
    sample_format: SampleFormat
    frames: np.ndarray
    frames_mapping: Mapping

    @property
    def encapsulated(self) -> bool:
        """Whether its pixels were received in another form than that of a native element."""
        return self.original_transfer_syntax != self.transfer_syntax

    @property
    def value_length(self) -> int:
        return self.shape.total_bytes + len(self.trailing)

    @property
    def dataset_length(self) -> int:
        return (
            len(self.head) + len(self.pixel_header) + self.value_length + len(self.between) + len(self.after)
        )

    def each_frame(self) -> Iterator[np.ndarray]:
        """The original's frames in order; their pages are given back behind the reader."""
        for frame in self.frames:
            yield frame
            self.frames_mapping.consumed(frame.nbytes)


class DatasetDigest:
    """SHA-256 of the data set that `original` stands for, fed with frames in order."""

    def __init__(self, original: Original) -> None:
        self._original = original
        self._swap = PairSwap() if original.swap else None
        self._digest = hashlib.sha256(original.head)
        self._digest.update(original.pixel_header)

    def feed(self, frame: np.ndarray) -> None:
        self._value(plain_bytes(frame))

    def finish(self) -> str:
        self._value(self._original.trailing)
        if self._swap is not None:
            self._digest.update(self._swap.finish())
        self._digest.update(self._original.between)
        self._digest.update(self._original.after)
        return self._digest.hexdigest()

    def _value(self, plain: bytes | memoryview) -> None:
        self._digest.update(plain if self._swap is None else self._swap.feed(plain))


def dataset_digest(original: Original, frames: Iterable[np.ndarray]) -> str:
    """Digest of the data set with these frames."""
    digest = DatasetDigest(original)
    for frame in frames:
        digest.feed(frame)
    return digest.finish()


@contextmanager
def opened(mapping: Mapping, layout: Layout, image: ImagePixel, *, folder: Path | None) -> Iterator[Original]:
    """The Original of an eligible object; `folder` takes nameless files where frames must be unpacked.

    Raises FrameUndecodable and DataSetMalformed.
    """
    element = layout.pixel_data
    if element is None:
        raise DataSetMalformed("there is no Pixel Data element")
    with ExitStack() as stack:
        if element.undefined_length:
            yield _encapsulated(mapping, layout, image, element, folder, stack)
        else:
            yield _native(mapping, layout, image, element, folder, stack)


def _in_order(layout: Layout, pixel_data: Element, insert: int) -> bool:
    """Whether the first element beyond Pixel Data by its tag, the block at `insert` being one, is next to it
    by its place: ``StoredObject`` then finds the place without being told.
    """
    beyond = min((element.start for element in layout.elements if element.tag > PIXEL_DATA), default=insert)
    return min(beyond, insert) == pixel_data.end


def _native(
    mapping: Mapping,
    layout: Layout,
    image: ImagePixel,
    element: Element,
    folder: Path | None,
    stack: ExitStack,
) -> Original:
    buffer, shape = mapping.buffer, geometry(image)
    swap = pairs_swapped(little_endian=layout.little_endian, vr=element.vr, word_bytes=shape.word_bytes)
    frames_mapping, start, end = mapping, element.value_start, element.end
    if swap:
        spool = stack.enter_context(unswapped_spool(mapping, start, end, folder))
        frames_mapping = stack.enter_context(Mapping(spool))
        start, end = 0, len(frames_mapping)
    split = start + shape.total_bytes
    group, insert = choose_group(layout)
    return Original(
        meta=buffer[: layout.dataset_start],
        head=buffer[layout.dataset_start : element.start],
        between=buffer[element.end : insert],
        after=buffer[insert:],
        group=group,
        in_order=_in_order(layout, element, insert),
        pixel_header=bytes(buffer[element.start : element.value_start]),
        trailing=bytes(frames_mapping.buffer[split:end]),
        swap=swap,
        explicit=layout.explicit,
        little_endian=layout.little_endian,
        transfer_syntax=layout.transfer_syntax,
        original_transfer_syntax=layout.transfer_syntax,
        exact="data-set",
        dropped=(),
        shape=shape,
        sample_format=sample_format(image),
        frames=words(frames_mapping.buffer[start:split], shape),
        frames_mapping=frames_mapping,
    )


def _encapsulated(
    mapping: Mapping,
    layout: Layout,
    image: ImagePixel,
    element: Element,
    folder: Path | None,
    stack: ExitStack,
) -> Original:
    from dicomnn.dicom.encapsulated import decode_frames  # its decoders are heavy, native objects need none

    buffer, shape = mapping.buffer, geometry(image)
    spool = stack.enter_context(spool_file(folder))
    for number, frame in enumerate(decode_frames(buffer, layout, image)):
        spool.write(plain_bytes(frame))
        if number + 1 > shape.frames:
            raise DataSetMalformed("more frames were decoded than NumberOfFrames says")
    frames_mapping = stack.enter_context(Mapping(spool))
    if len(frames_mapping) != shape.total_bytes:
        raise DataSetMalformed("the decoded frames are not as large as the image")
    trailing = usual_trailing(shape.total_bytes)
    header = PixelHeader(usual_vr(shape.word_bytes), shape.total_bytes + len(trailing))
    group, insert = choose_group(layout)
    meta, head, dropped = native_surroundings(buffer, layout, element.start)
    return Original(
        meta=meta,
        head=head,
        between=buffer[element.end : insert],
        after=buffer[insert:],
        group=group,
        in_order=_in_order(layout, element, insert),
        pixel_header=header.to_bytes(explicit=True, little_endian=True),
        trailing=trailing,
        swap=False,
        explicit=True,
        little_endian=True,
        transfer_syntax=EXPLICIT_LITTLE,
        original_transfer_syntax=layout.transfer_syntax,
        exact="pixels",
        dropped=dropped,
        shape=shape,
        sample_format=sample_format(image),
        frames=words(frames_mapping.buffer, shape),
        frames_mapping=frames_mapping,
    )


def native_surroundings(
    raw: bytes | memoryview, layout: Layout, end: int
) -> tuple[bytes, bytes, tuple[str, ...]]:
    """(preamble and File Meta, data set up to `end`, what was dropped) of an object that gets native pixels.

    The transfer syntax becomes Explicit VR Little Endian; elements that speak of the encapsulated form go.
    """
    parts, position, dropped = [], layout.dataset_start, []
    for element in layout.elements:
        if element.tag in ENCAPSULATION and element.end <= end:
            parts.append(bytes(raw[position : element.start]))
            position = element.end
            dropped.append(f"{element.tag:08x}")
    parts.append(bytes(raw[position:end]))
    return with_transfer_syntax(raw, layout, EXPLICIT_LITTLE), b"".join(parts), tuple(dropped)
