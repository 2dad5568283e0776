"""An image compressed without loss for a peer that prefers that: JPEG-LS, JPEG 2000 or HTJ2K.

Every frame is decoded again by the same strict decoders that read such frames from peers, and compared:
what does not come back word for word is not compressed (bits outside of Bits Stored, for instance). Only
Pixel Data change; every other byte of the data set in Explicit VR Little Endian stays where it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dicomnn.coded.egress import uncompressed
from dicomnn.coded.mapping import Mapping
from dicomnn.dicom.attributes import ImagePixel, read_image_pixel
from dicomnn.dicom.scan import Layout, scan
from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE, HTJ2K, JPEG_2000, JPEG_LS, syntax
from dicomnn.errors import FrameUndecodable

LARGEST_OFFSET = (1 << 32) - 1
GROUP_LENGTH = 0x7FE00000


class NotCompressible(FrameUndecodable):
    """This object cannot leave in that form; it can leave uncompressed."""

    cure = "Nothing to do: it is sent uncompressed."


def compress_as(source: Path, target: BinaryIO, transfer_syntax: str) -> None:
    """Write the data set of the ordinary DICOM file `source`, without File Meta, in one of the syntaxes of
    `COMPRESSIONS`.

    Holds the object in memory. Raises NotCompressible (no single-sample image of 8 or 16 bits, or one that
    does not come back exactly), DataSetMalformed and NotDicom, before anything is written.
    """
    with Mapping(source) as mapping:
        layout = scan(mapping.buffer)
        if layout.transfer_syntax == EXPLICIT_LITTLE and layout.broken is None:
            raw = bytes(mapping.buffer[layout.dataset_start :])
        else:
            raw = uncompressed(mapping.buffer, layout, EXPLICIT_LITTLE, str(source))
    layout = scan(raw, transfer_syntax=EXPLICIT_LITTLE)
    frames, image = _frames(raw, layout, str(source))
    fragments = [compress_frame(frame, image, transfer_syntax, str(source)) for frame in frames]
    element = layout.pixel_data
    assert element is not None
    length = layout.find(GROUP_LENGTH)
    head = raw[: element.start] if length is None else raw[: length.start] + raw[length.end : element.start]
    target.write(head)
    for piece in _encapsulated(fragments):
        target.write(piece)
    target.write(raw[element.end :])


def _frames(raw: bytes, layout: Layout, subject: str) -> tuple[np.ndarray, ImagePixel]:
    """(frames, rows, columns) of raw words of a native single-sample image of 8 or 16 bits."""
    image, element = read_image_pixel(raw, layout), layout.pixel_data
    if image is None or element is None or element.undefined_length:
        raise NotCompressible("there is no native image", subject=subject)
    frames = 1 if image.number_of_frames is None else image.number_of_frames
    if image.samples_per_pixel != 1 or image.bits_allocated not in (8, 16) or frames < 1:
        raise NotCompressible("it is not a single-sample image of 8 or 16 bits", subject=subject)
    rows, columns, size = image.rows or 0, image.columns or 0, image.bits_allocated // 8
    total = rows * columns * frames * size
    if not total or element.end - element.value_start not in (total, total + total % 2):
        raise NotCompressible("Pixel Data are not as long as the image says", subject=subject)
    words = np.frombuffer(raw, f"<u{size}", rows * columns * frames, element.value_start)
    return words.reshape(frames, rows, columns), image


def compress_frame(frame: np.ndarray, image: ImagePixel, transfer_syntax: str, subject: str) -> bytes:
    """One frame of raw words (rows, columns) of a single-sample image of 8 or 16 bits, in one of the syntaxes
    of `COMPRESSIONS`; decoded again and compared. Raises NotCompressible.
    """
    from dicomnn.dicom.frame_decoders import decode_frame

    encode = _ENCODERS[transfer_syntax]

    decoder = syntax(transfer_syntax).decoder
    assert decoder is not None
    stored = image.bits_stored or image.bits_allocated or 16
    try:
        data = encode(frame, stored, image.pixel_representation == 1)
        back = decode_frame(data, decoder, image)
    except NotCompressible:
        raise
    except Exception as error:  # the encoders raise classes of their own, also for memory
        raise NotCompressible(f"{syntax(transfer_syntax).name}: {error}", subject=subject) from error
    if not np.array_equal(back, frame):
        name = syntax(transfer_syntax).name
        raise NotCompressible(f"the words do not come back from {name}", subject=subject)
    return data


def _values(frame: np.ndarray, stored: int, signed: bool) -> np.ndarray:
    """Stored values in the type in which encoders take them."""
    masked = frame & ((1 << stored) - 1)
    if not signed:
        return np.ascontiguousarray(masked)
    half = 1 << (stored - 1)
    return ((masked.astype(np.int32) ^ half) - half).astype(np.int8 if frame.itemsize == 1 else np.int16)


def _jpeg_ls(frame: np.ndarray, stored: int, signed: bool) -> bytes:
    from jpeg_ls import CharLS  # takes the true precision

    precision = max(2, stored)
    words = _values(frame, stored, False).astype("u1" if precision <= 8 else "<u2")
    return bytes(CharLS.encode_buffer(words.tobytes(), *frame.shape, 1, precision, 0))


def _jpeg_2000(frame: np.ndarray, stored: int, signed: bool) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpeg2k_encode(_values(frame, stored, signed), level=0, codecformat="j2k",
                                           reversible=True, bitspersample=stored, mct=False))


def _htj2k(frame: np.ndarray, stored: int, signed: bool) -> bytes:
    """OpenJPH through imagecodecs knows no precision but that of the word."""
    import imagecodecs

    return bytes(imagecodecs.htj2k_encode(_values(frame, stored, signed), reversible=True))


_ENCODERS: dict[str, Callable[[np.ndarray, int, bool], bytes]] = {
    JPEG_LS: _jpeg_ls, JPEG_2000: _jpeg_2000, HTJ2K: _htj2k}


def _encapsulated(frames: list[bytes]) -> list[bytes]:
    """Pixel Data with a fragment for each frame and, for several, a Basic Offset Table (PS3.5 A.4)."""
    padded = [frame + b"\0" * (len(frame) % 2) for frame in frames]
    offsets, position = [], 0
    for frame in padded:
        offsets.append(position)
        position += 8 + len(frame)
    table = b""
    if len(frames) > 1 and position <= LARGEST_OFFSET:
        table = struct.pack(f"<{len(offsets)}L", *offsets)
    pieces = [struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)]
    for item in (table, *padded):
        pieces += [struct.pack("<HHL", 0xFFFE, 0xE000, len(item)), item]
    return [*pieces, struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)]
