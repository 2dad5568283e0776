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

from dicomnn.codec.decode import Header, decode_frames, read_layout
from dicomnn.codec.model import Model
from dicomnn.codec.profile import CHANGED
from dicomnn.coded.bridge import pairs_swapped, plain_bytes, swapped
from dicomnn.coded.manifest import Manifest
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.pixel_header import PixelHeader, usual_trailing, usual_vr
from dicomnn.coded.record import ENCODINGS, FILE_META_DIGEST, FORMAT_VERSION, Record
from dicomnn.dicom.scan import PIXEL_DATA, scan
from dicomnn.dicom.splice import find_block
from dicomnn.dicom.syntaxes import syntax
from dicomnn.errors import DicomnnError, PrivateBlockDamaged

Models = Callable[[str], Model]
Form = Literal["file", "data-set"]


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
        self.header, self.payload = self._payload()
        self.record = Record.from_bytes(self.block.manifest, self.header.pixel_digest)
        self.word_bytes = self.header.sample_format.bits_allocated // 8
        self.trailing = self._trailing()
        self.pixel_header = self._pixel_header()
        self.segments = self._segments()
        self.manifest = self._manifest()

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
        layout = self.layout
        now = (layout.explicit, layout.little_endian)
        return layout.transfer_syntax != self.record.transfer_syntax or now != self._written_as()

    def _written_as(self) -> tuple[bool, bool]:
        """(explicit, little endian) of the data set as it was written."""
        for flags, name in ENCODINGS.items():
            if name == self.record.encoding:
                return flags
        kind = syntax(self.record.transfer_syntax)
        return kind.explicit, kind.little_endian

    def _payload(self) -> tuple[Header, memoryview]:
        """The payload, checked as a whole, without the padding byte that its element may have."""
        payload = self.block.payload
        parts = read_layout(payload)
        if len(payload) == parts.end + parts.end % 2:
            payload = payload[: parts.end]
        parts.check_end(payload)
        return parts.header, payload

    def _trailing(self) -> bytes:
        """The bytes of Pixel Data beyond the frames, without the padding of the element that carries them."""
        if self.record.pixel_length < 0:
            return usual_trailing(self.frames_length)
        wanted = self.record.pixel_length - self.frames_length
        if wanted < 0:
            raise PrivateBlockDamaged(
                f"the payload holds {self.frames_length} bytes of pixel data, more than the "
                f"{self.record.pixel_length} that the manifest speaks of"
            )
        there = bytes(self.block.trailing)
        if len(there) != wanted + wanted % 2:
            raise PrivateBlockDamaged(
                f"{wanted} bytes of pixel data beyond the frames were coded, the block has {len(there)}"
            )
        return there[:wanted]

    def _pixel_header(self) -> bytes:
        """The header of the restored Pixel Data element in the transfer syntax that the object has now."""
        layout, vr = self.layout, self.record.pixel_vr
        if self.record.pixel_header:
            explicit, little_endian = self._written_as()
            original = PixelHeader.parse(
                self.record.pixel_header, explicit=explicit, little_endian=little_endian
            )
            if original.length != self.value_length:
                raise PrivateBlockDamaged(
                    f"the block speaks of {self.value_length} bytes of pixel data, the original element had "
                    f"{original.length}"
                )
            if not self.travelled:
                return self.record.pixel_header
            vr = original.vr or ""
        vr = vr or (usual_vr(self.word_bytes) if layout.explicit else "OW")
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

        By the order of tags; where that did not tell (the original's tags need not have been in order), where
        it was, as long as nothing around has moved.
        """
        elements = self.layout.elements
        if self.record.place and self.record.place[1] == self.dataset_length:
            boundaries = {element.start for element in elements} | {self.layout.trailing_start}
            left = self.record.place[0]
            for start, end in self.segments:
                if left <= end - start:
                    if start + left in boundaries:
                        return start + left
                    break
                left -= end - start
        beyond = (element.start for element in elements if element.tag > PIXEL_DATA)
        return next(beyond, self.layout.trailing_start)

    def _manifest(self) -> Manifest:
        """What the record says, and what payload, data set and file say beside it."""
        record, header, cut = self.record, self.header, self._pixel_data_position()
        explicit, little_endian = self._written_as()
        exact = "pixels" if record.received_as else "data-set"
        return Manifest(
            format_version=FORMAT_VERSION,
            library_version=record.library_version,
            time=record.time,
            profile=str(header.profile),
            effort=header.effort,
            model_id=header.model_id,
            exact=header.profile.kind if header.profile.kind in CHANGED else exact,
            bytes_before=record.bytes_before or len(self.before_dataset()) + self.dataset_length,
            bytes_after=len(self.mapping),
            pixel_bytes=self.frames_length,
            payload_length=len(self.payload),
            pixel_digest=header.pixel_digest.hex(),
            dataset_digest=record.restored_digest or record.received_digest,
            original_dataset_digest=record.received_digest,
            file_meta_digest=record.file_meta_digest,
            dataset_length=self.dataset_length,
            pixel_data_offset=sum(max(0, min(end, cut) - start) for start, end in self.segments),
            pixel_data_length=self.value_length,
            transfer_syntax=record.transfer_syntax,
            explicit=explicit,
            little_endian=little_endian,
            original_transfer_syntax=record.received_as or record.transfer_syntax,
            original_sop_instance_uid=record.received_uid or self.layout.sop_instance_uid or "",
            dropped=record.dropped,
            note=record.note,
            lossy=record.lossy,
        )

    def frame_bytes(self) -> np.ndarray:
        """(frames,) int64: bytes of each frame's pixels in the payload, headers left out."""
        header = self.header
        if header.profile.kind == "lossy":
            from dicomnn.codec.lossy_image import frame_lengths  # its kernels take a while to load

            return frame_lengths(self.payload)
        each = header.tile_lengths[: header.frames * header.grid.count]
        sums: np.ndarray = each.reshape(header.frames, -1).sum(1)
        return sums

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
            if not placed and cut <= end:
                yield from self.mapping.chunks(start, cut)
                yield self.pixel_header
                yield from self._value(frames)
                yield from self.mapping.chunks(max(start, cut), end)
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
        digest = hashlib.sha256(self.before_dataset()).digest()[:FILE_META_DIGEST]
        return digest.hex() == self.record.file_meta_digest

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
