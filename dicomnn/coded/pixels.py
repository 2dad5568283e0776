"""The frames of one DICOM object, coded or not, each for itself: as it is stored, or native.

Only the frame that is asked for is read or decoded. What is rare and has no frames that lie by themselves
(big endian, deflated) is written out uncompressed first, as for a peer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from dicomnn.codec.decode import decode_frame, decode_region
from dicomnn.coded.bridge import plain_bytes
from dicomnn.coded.egress import uncompressed
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.stored import Models, StoredObject
from dicomnn.dicom.attributes import ImagePixel, read_image_pixel
from dicomnn.dicom.encapsulated import frame_spans
from dicomnn.dicom.scan import Buffer, Element, Layout, scan
from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE, syntax
from dicomnn.errors import FrameUndecodable, NotCoded, UsageError

FLOAT, DOUBLE, PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010


@dataclass(frozen=True)
class NativeFrame:
    """Uncompressed little endian bytes as native Pixel Data hold them, of this frame alone, and what they
    are."""

    value: bytes | memoryview
    photometric_interpretation: str
    planar_configuration: int


class Pixels:
    """One object's frames, counted from 0. Use it as a context manager; it keeps the file mapped.

    `transfer_syntax`: of the frames that `stored` gives, Explicit VR Little Endian where they are native.
    Raises NotDicom, DataSetMalformed and what StoredObject raises; FrameUndecodable where there is no image.
    """

    def __init__(self, source: Path | bytes, models: Models) -> None:
        self._models, self._subject = models, str(source) if isinstance(source, Path) else ""
        self._coded: StoredObject | None = None
        self._mapping: Mapping | None = None
        try:
            self._coded = StoredObject(source)
        except NotCoded:
            self._mapping = Mapping(source)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        if self._coded is not None:
            self._buffer: Buffer = self._coded.mapping.buffer
            layout = self._coded.layout
            self.transfer_syntax = EXPLICIT_LITTLE
        else:
            assert self._mapping is not None
            self._buffer = self._mapping.buffer
            layout = scan(self._buffer)
            kind = syntax(layout.transfer_syntax)
            self.transfer_syntax = EXPLICIT_LITTLE if kind.native or kind.deflated else layout.transfer_syntax
            if kind.deflated or (kind.native and not layout.little_endian):
                self._buffer = uncompressed(self._buffer, layout, EXPLICIT_LITTLE, self._subject)
                layout = scan(self._buffer, transfer_syntax=EXPLICIT_LITTLE)
        image = read_image_pixel(self._buffer, layout)
        if image is None or not image.rows or not image.columns:
            raise FrameUndecodable("there is no image in this object", subject=self._subject or None)
        self.layout: Layout = layout
        self.image: ImagePixel = image
        self.frames = max(1, image.number_of_frames or 1)

    @property
    def coded(self) -> bool:
        """Whether frames must be decoded by our codec."""
        return self._coded is not None

    @property
    def encapsulated(self) -> bool:
        return self.transfer_syntax != EXPLICIT_LITTLE

    # ------------------------------------------------------------------ frames
    def stored(self, number: int, *, threads: int = 1) -> bytes:
        """The frame in `transfer_syntax`: a compressed stream as it came, or native little endian."""
        self._check(number)
        if not self.encapsulated:
            return bytes(self.native(number, threads=threads).value)
        spans = frame_spans(self._buffer, self.layout, self.frames)[number]
        view = memoryview(self._buffer)
        return b"".join(view[start:end] for start, end in spans)

    def native(self, number: int, *, threads: int = 1) -> NativeFrame:
        """The frame uncompressed. Raises UsageError (no such frame), FrameUndecodable, the codec's errors."""
        self._check(number)
        image = self.image
        photometric, planar = image.photometric_interpretation or "", image.planar_configuration or 0
        if self._coded is not None:
            words = decode_frame(self._coded.payload, self._models, number, threads=threads)
            return NativeFrame(plain_bytes(words), photometric, planar)
        if self.encapsulated:
            from dicomnn.dicom.decompress import native_frame  # its decoders are heavy

            frame, photometric = native_frame(self._buffer, self.layout, image, number)
            if image.bits_allocated == 1:
                return NativeFrame(_packed(frame.reshape(-1)), photometric, 0)
            return NativeFrame(frame.astype(frame.dtype.newbyteorder("<"), copy=False).tobytes(),
                               photometric, 0)
        return NativeFrame(self._slice(number), photometric, planar)

    def words(self, number: int, *, threads: int = 1) -> np.ndarray:
        """The frame of a single-sample image of 8 or 16 bits as raw words (rows, columns)."""
        image = self.image
        if (image.samples_per_pixel or 1) != 1 or image.bits_allocated not in (8, 16):
            raise FrameUndecodable("it is not a single-sample image of 8 or 16 bits")
        value = self.native(number, threads=threads).value
        return np.frombuffer(value, f"<u{image.bits_allocated // 8}").reshape(image.rows or 0,
                                                                              image.columns or 0)

    def region(self, number: int, top: int, left: int, height: int, width: int) -> np.ndarray | None:
        """Raw words (height, width) of a coded frame, from the tiles there alone; None of other objects."""
        self._check(number)
        if self._coded is None:
            return None
        return decode_region(self._coded.payload, self._models, number, top, left, height, width).copy()

    def _check(self, number: int) -> None:
        if not 0 <= number < self.frames:
            raise UsageError(f"there is no frame {number + 1}: there are {self.frames}",
                             subject=self._subject or None)

    def _slice(self, number: int) -> bytes:
        """A native frame where it stands."""
        image, element = self.image, self._element()
        samples, allocated = image.samples_per_pixel or 1, image.bits_allocated or 16
        if image.photometric_interpretation == "YBR_FULL_422" and samples == 3:
            samples = 2                     # two pixels share their colour (PS3.3 C.7.6.3.1.2)
        bits = (image.rows or 0) * (image.columns or 0) * samples * allocated
        first, last = number * bits, (number + 1) * bits
        if (last + 7) // 8 > element.end - element.value_start:
            raise FrameUndecodable(f"Pixel Data ends before frame {number + 1} does",
                                   subject=self._subject or None)
        view = memoryview(self._buffer)[element.value_start:element.end]
        if first % 8 == 0:
            return bytes(view[first // 8:(last + 7) // 8])
        there = np.frombuffer(view[first // 8:(last + 7) // 8], np.uint8)
        return _packed(np.unpackbits(there, bitorder="little")[first % 8:first % 8 + bits])

    def _element(self) -> Element:
        for tag in (PIXELS, FLOAT, DOUBLE):
            found = self.layout.pixel_data if tag == PIXELS else self.layout.find(tag)
            if found is not None and not found.undefined_length:
                return found
        raise FrameUndecodable("there are no Pixel Data in this object", subject=self._subject or None)

    # ------------------------------------------------------------------ life
    def close(self) -> None:
        for opened in (self._coded, self._mapping):
            if opened is not None:
                opened.close()

    def __enter__(self) -> Pixels:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._coded is not None:
            self._coded.__exit__(kind, error, trace)
        self.close()


def _packed(bits: np.ndarray) -> bytes:
    """Bits of one frame, its first in the lowest bit of the first byte (PS3.5 8.1.1)."""
    return np.packbits(bits.astype(np.uint8) & 1, bitorder="little").tobytes()
