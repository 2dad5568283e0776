"""A file's frames as every codec gets them, and the native file that ours gets.

Peers get planes: the stored value minus the frame's minimum, unsigned, in an 8-bit container where the
largest is below 256 (codec papers do the same; handing over wrapped signed words costs JPEG XL up to 7 %).
Ours gets a file, because that is what it stores. Where the original is encapsulated, or only some of its
frames are measured, that file is written first: the original's bytes with native Pixel Data in their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dicomnn.benchmark.folder import Unit
from dicomnn.codec.sample import SampleFormat, stored_values
from dicomnn.coded.bridge import plain_bytes, swapped
from dicomnn.coded.mapping import Mapping
from dicomnn.coded.original import Original, opened
from dicomnn.coded.pixel_header import PixelHeader
from dicomnn.dicom.attributes import read_image_pixel
from dicomnn.dicom.scan import Layout, scan
from dicomnn.errors import DataSetMalformed

NUMBER_OF_FRAMES = 0x00280008


@dataclass(frozen=True)
class Opened:
    """A unit in memory: `original` has the frames as raw words (frames, rows, columns)."""

    unit: Unit
    original: Original
    layout: Layout
    mapping: Mapping

    @property
    def sample_format(self) -> SampleFormat:
        return self.original.sample_format

    @property
    def native(self) -> bool:
        """The file itself can be sealed: it is not encapsulated, and all of its frames are measured."""
        return self.unit.whole and self.original.exact == "data-set"

    def words(self) -> Iterator[np.ndarray]:
        """The unit's frames, (rows, columns) of uint8 or uint16 each."""
        for number in self.unit.frames:
            yield np.ascontiguousarray(self.original.frames[number])

    def planes(self) -> Iterator[np.ndarray]:
        """The unit's frames as peers get them."""
        for words in self.words():
            yield unsigned(words, self.sample_format)


@contextmanager
def opened_unit(unit: Unit, folder: Path) -> Iterator[Opened]:
    """`unit` with its frames decoded; `folder` takes nameless files. Raises DicomError types and OSError."""
    with Mapping(unit.path) as mapping:
        layout = scan(mapping.buffer)
        image = read_image_pixel(mapping.buffer, layout)
        if image is None:
            raise DataSetMalformed("there is no Image Pixel module")
        with opened(mapping, layout, image, folder=folder) as original:
            yield Opened(unit, original, layout, mapping)


def unsigned(words: np.ndarray, sample_format: SampleFormat) -> np.ndarray:
    """Stored values minus their minimum: uint8 where all are below 256, else uint16."""
    values = stored_values(words, sample_format)
    values -= values.min()
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)


def write_native(opened: Opened, target: Path) -> None:
    """The unit as a native file at `target`: every other byte is the original's.

    Of an encapsulated object it is what restoring gives (Explicit VR Little Endian). With some of the frames
    only, NumberOfFrames says so, in as many bytes as it had.
    """
    original, count = opened.original, len(opened.unit.frames)
    length = count * original.shape.frame_bytes
    trailing = original.trailing if opened.unit.whole else b"\0" * (length % 2)
    wanted = PixelHeader.parse(
        original.pixel_header, explicit=original.explicit, little_endian=original.little_endian
    )
    header = PixelHeader(wanted.vr, length + len(trailing)).to_bytes(
        explicit=original.explicit, little_endian=original.little_endian
    )
    head: bytes | memoryview = original.head
    if not opened.unit.whole:
        head = _with_frames(opened, count)
    with open(target, "wb") as file:
        for part in (original.meta, head, header):
            file.write(part)
        value = (plain_bytes(frame) for frame in opened.words())
        for piece in swapped([*value, trailing]) if original.swap else value:
            file.write(piece)
        if not original.swap:
            file.write(trailing)
        file.write(original.between)
        file.write(original.after)


def _with_frames(opened: Opened, count: int) -> bytes:
    """The bytes before Pixel Data with another NumberOfFrames (IS, padded with spaces: PS3.5 6.2)."""
    head = bytes(opened.original.head)
    element = opened.layout.find(NUMBER_OF_FRAMES)
    if element is None:
        return head
    value = bytes(opened.mapping.buffer[element.value_start : element.end])
    number = str(count).encode("ascii")
    start = element.value_start - opened.layout.dataset_start
    if head[start : start + len(value)] != value or len(number) > len(value):
        raise DataSetMalformed("NumberOfFrames cannot be changed in its place")
    return head[:start] + number.ljust(len(value)) + head[start + len(value) :]
