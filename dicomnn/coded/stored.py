"""A coded object, opened: its parts found and checked, and the data set that it stands for as a stream.

Nothing here trusts the object: it may have come back from a foreign archive that renumbered the private
block, changed the transfer syntax, or cut a piece off. Sizes are compared before anything is allocated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from dicomnn.codec.decode import Header, decode_frames, read_header
from dicomnn.codec.model import Model
from dicomnn.coded.bridge import pairs_swapped, plain_bytes, swapped
from dicomnn.coded.manifest import Manifest
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.pixel_header import PixelHeader
from dicomnn.dicom.scan import scan
from dicomnn.dicom.splice import find_block
from dicomnn.errors import DicomnnError, PayloadTruncated, PrivateBlockDamaged

Models = Callable[[str], Model]
Form = Literal["file", "data-set"]
PIXEL_DATA = 0x7FE00010


class StoredObject:
    """One coded object. Use it as a context manager; it keeps the file mapped.

    Raises NotCoded, NotDicom, DataSetMalformed, PrivateBlockDamaged, UnsupportedFormatVersion and the
    codec's PayloadError family when it is opened.
    """

    def __init__(self, source: Path | bytes | memoryview) -> None:
        self.mapping = Mapping(source)
        try:
            self._open()
        except DicomnnError as error:
            self.mapping.close()
            if isinstance(source, Path):
                error.about(str(source))
            raise
        except BaseException:
            self.mapping.close()
            raise

    def _open(self) -> None:
        buffer = self.mapping.buffer
        self.layout = scan(buffer)
        self.block = find_block(buffer, self.layout)
        if self.layout.inflated is not None:
            raise PrivateBlockDamaged(
                "the coded object came back as a deflated data set",
                cure="Convert it to Explicit VR Little Endian and restore it then.",
            )
        self.manifest = Manifest.from_bytes(self.block.manifest)
        if len(self.block.payload) < self.manifest.payload_length:
            raise PayloadTruncated(
                f"the payload has {len(self.block.payload)} of its {self.manifest.payload_length} bytes"
            )
        self.payload = self.block.payload[: self.manifest.payload_length]
        self.header: Header = read_header(self.payload)
        self.word_bytes = self.header.sample_format.bits_allocated // 8
        self.trailing = self._trailing()
        self.pixel_header = self._pixel_header()
        self.segments = self._segments()

    # ------------------------------------------------------------------ what is where
    @property
    def value_length(self) -> int:
        """Length of the restored Pixel Data value in bytes."""
        return self.frames_length + len(self.trailing)

    @property
    def frames_length(self) -> int:
        """Length of all decoded frames in bytes, as the payload claims it."""
        return self.header.frames * self.header.rows * self.header.columns * self.word_bytes

    @property
    def dataset_length(self) -> int:
        """Length of the restored data set in bytes."""
        around = sum(end - start for start, end in self.segments)
        return around + len(self.pixel_header) + self.value_length

    @property
    def travelled(self) -> bool:
        """Whether the object came back in another transfer syntax than it was written in."""
        layout, manifest = self.layout, self.manifest
        return (layout.transfer_syntax, layout.explicit, layout.little_endian) != (
            manifest.transfer_syntax,
            manifest.explicit,
            manifest.little_endian,
        )

    def _trailing(self) -> bytes:
        """The bytes of Pixel Data beyond the frames, without the padding of the element that carries them."""
        wanted = self.manifest.pixel_data_length - self.frames_length
        if wanted < 0:
            raise PrivateBlockDamaged(
                f"the payload holds {self.frames_length} bytes of pixel data, more than the "
                f"{self.manifest.pixel_data_length} that the manifest speaks of"
            )
        there = bytes(self.block.trailing)
        if len(there) != wanted + wanted % 2:
            raise PrivateBlockDamaged(
                f"{wanted} bytes of pixel data beyond the frames were coded, the block has {len(there)}"
            )
        return there[:wanted]

    def _pixel_header(self) -> bytes:
        """The header of the restored Pixel Data element in the transfer syntax that the object has now."""
        layout, manifest = self.layout, self.manifest
        original = PixelHeader.parse(
            self.block.element_header, explicit=manifest.explicit, little_endian=manifest.little_endian
        )
        if original.length is not None and original.length != self.value_length:
            raise PrivateBlockDamaged(
                f"the manifest speaks of {self.value_length} bytes of pixel data, the original element had "
                f"{original.length}"
            )
        if original.length is not None and not self.travelled:
            return bytes(self.block.element_header)
        vr = original.vr if original.length is not None else None
        vr = vr or ("OB" if self.word_bytes == 1 and layout.explicit else "OW")
        return PixelHeader(vr, self.value_length).to_bytes(
            explicit=layout.explicit, little_endian=layout.little_endian
        )

    def _segments(self) -> list[tuple[int, int]]:
        """What is left of the data set without the private block, as (start, end), in order."""
        segments, position = [], self.layout.dataset_start
        for start, end in sorted(self.block.positions):
            if start > position:
                segments.append((position, start))
            position = max(position, end)
        if position < len(self.mapping):
            segments.append((position, len(self.mapping)))
        return segments

    def surroundings(self) -> tuple[memoryview, memoryview, memoryview] | None:
        """The data set around Pixel Data and the private block: before Pixel Data, between its place and the
        block, behind the block. None where the block no longer lies in one piece behind that place.
        """
        place = self._pixel_data_position()
        begin, end = self.block.positions[0][0], max(stop for _, stop in self.block.positions)
        inside = sum(stop - start for start, stop in self.block.positions)
        if inside != end - begin or not self.layout.dataset_start <= place <= begin:
            return None
        buffer = self.mapping.buffer
        return buffer[self.layout.dataset_start : place], buffer[place:begin], buffer[end:]

    def _pixel_data_position(self) -> int:
        """Offset in the stored file before which the restored Pixel Data element belongs.

        Where it was, as long as nothing around has moved (the original's tags need not have been in order);
        otherwise by the order of tags.
        """
        boundaries = {element.start for element in self.layout.elements} | {self.layout.trailing_start}
        if self.dataset_length == self.manifest.dataset_length:
            left = self.manifest.pixel_data_offset
            for start, end in self.segments:
                if left <= end - start:
                    if start + left in boundaries:
                        return start + left
                    break
                left -= end - start
        for element in self.layout.elements:
            inside = any(start <= element.start < end for start, end in self.block.positions)
            if element.tag > PIXEL_DATA and not inside:
                return element.start
        return self.layout.trailing_start

    # ------------------------------------------------------------------ the stream
    def frames(self, models: Models, *, threads: int = 1) -> Iterator[np.ndarray]:
        """The frames, (rows, columns) raw words each; the payload's own digest is checked at the end."""
        for frame in decode_frames(self.payload, models, threads=threads):
            yield frame
            self.mapping.consumed(frame.nbytes)

    def dataset(self, frames: Iterable[np.ndarray]) -> Iterator[bytes | memoryview]:
        """The restored data set in pieces, given its frames in order."""
        cut = self._pixel_data_position()
        placed = False
        for start, end in self.segments:
            if not placed and start <= cut <= end:
                yield from self.mapping.chunks(start, cut)
                yield self.pixel_header
                yield from self._value(frames)
                yield from self.mapping.chunks(cut, end)
                placed = True
            else:
                yield from self.mapping.chunks(start, end)
        if not placed:
            yield self.pixel_header
            yield from self._value(frames)

    def _value(self, frames: Iterable[np.ndarray]) -> Iterator[bytes | memoryview]:
        vr = PixelHeader.parse(
            self.pixel_header, explicit=self.layout.explicit, little_endian=self.layout.little_endian
        ).vr
        plain = _plain(frames, self.trailing)
        if pairs_swapped(little_endian=self.layout.little_endian, vr=vr, word_bytes=self.word_bytes):
            return swapped(plain)
        return plain

    def before_dataset(self) -> memoryview:
        """Preamble and File Meta, empty for a bare data set."""
        return self.mapping.buffer[: self.layout.dataset_start]

    def file_meta_intact(self) -> bool:
        """Whether preamble and File Meta are the bytes that were there when the object was coded."""
        return hashlib.sha256(self.before_dataset()).hexdigest() == self.manifest.file_meta_digest

    # ------------------------------------------------------------------ life
    def close(self) -> None:
        self.mapping.close()

    def __enter__(self) -> StoredObject:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self.payload, self.block
        self.close()


def _plain(frames: Iterable[np.ndarray], trailing: bytes) -> Iterator[bytes | memoryview]:
    for frame in frames:
        yield plain_bytes(frame)
    if trailing:
        yield trailing
