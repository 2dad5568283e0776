"""An ordinary DICOM object as the data set bytes of a peer's transfer syntax.

Whoever takes the received syntax gets the bytes as they are. Only for a peer that lacks it the data set is
written anew: element headers in the other encoding, values as they are, compressed pixels decoded
(`dicom/reencode.py`, `dicom/decompress.py`) or, where that was asked for, compressed (`transcode.py`).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

from dicomnn.coded.mapping import CHUNK, Mapping
from dicomnn.dicom.attributes import read_image_pixel
from dicomnn.dicom.reencode import Overrides, reencoded
from dicomnn.dicom.scan import PIXEL_DATA, Buffer, Layout, scan
from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from dicomnn.errors import DataSetMalformed, DicomError, FrameUndecodable, UsageError

WRITABLE = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
INFLATED_LIMIT = 2 << 30
INFLATED_RATIO = 200
PHOTOMETRIC, PLANAR = 0x00280004, 0x00280006
_ENCAPSULATION = (0x7FE00000, 0x7FE00001, 0x7FE00002, 0x7FE00003)


def offered(transfer_syntax: str) -> tuple[str, ...]:
    """The syntaxes in which an object that is stored in `transfer_syntax` can leave, best first."""
    kind = syntax(transfer_syntax)
    if not kind.known:
        return (transfer_syntax,)
    return (transfer_syntax, *(uid for uid in WRITABLE if uid != transfer_syntax))


def write_as(source: Path, target: BinaryIO, transfer_syntax: str) -> None:
    """Write the data set of the ordinary DICOM file `source`, without File Meta, in `transfer_syntax`.

    Re-encoding holds the object in memory. UIDs and lossy flags stay; photometric interpretation follows
    what is in the bytes after decompression. Raises UsageError (a syntax that is neither the file's own nor
    native little endian), FrameUndecodable, DataSetMalformed and NotDicom, before anything is written.
    """
    with Mapping(source) as mapping:
        layout = scan(mapping.buffer)
        if layout.transfer_syntax == transfer_syntax:
            for piece in mapping.chunks(layout.dataset_start, len(mapping)):
                target.write(piece)
            return
        if transfer_syntax not in WRITABLE or transfer_syntax not in offered(layout.transfer_syntax):
            raise UsageError(
                f"an object in {syntax(layout.transfer_syntax).name} cannot leave as "
                f"{syntax(transfer_syntax).name}",
                subject=str(source),
            )
        target.write(uncompressed(mapping.buffer, layout, transfer_syntax, str(source)))


def uncompressed(buffer: Buffer, layout: Layout, wanted: str, subject: str) -> bytes:
    """The data set in one of the two native little endian syntaxes.

    Raises FrameUndecodable and DataSetMalformed.
    """
    try:
        if syntax(layout.transfer_syntax).deflated:
            buffer = inflate(bytes(memoryview(buffer)[layout.dataset_start :]))
            if wanted == EXPLICIT_LITTLE:
                return buffer
            layout = scan(buffer, transfer_syntax=EXPLICIT_LITTLE)
        return reencoded(buffer, layout, explicit=wanted == EXPLICIT_LITTLE, decode=_decoded)
    except FrameUndecodable as error:
        error.cure = "Ask for it in the syntax in which it was received."
        raise error.about(subject) from error.__cause__
    except DicomError as error:
        raise error.about(subject) from error.__cause__


def _decoded(buffer: Buffer, layout: Layout) -> Overrides:
    from dicomnn.dicom.decompress import native  # its decoders are heavy, native objects need none

    image = read_image_pixel(buffer, layout)
    if image is None:
        raise FrameUndecodable("there is no Image Pixel module")
    pixels = native(buffer, layout, image)
    changed: dict[int, tuple[str, bytes] | None] = {tag: None for tag in _ENCAPSULATION}
    changed[PIXEL_DATA] = (pixels.vr, pixels.value)
    if pixels.photometric_interpretation != image.photometric_interpretation:
        changed[PHOTOMETRIC] = ("CS", pixels.photometric_interpretation.encode("ascii"))
    if pixels.samples > 1 and image.planar_configuration != 0:
        changed[PLANAR] = ("US", struct.pack("<H", 0))
    return changed


def inflate(raw: bytes) -> bytes:
    """A deflated data set (PS3.5 annex A.5), inflated in steps with limits on size and ratio.

    Raises DataSetMalformed for damaged streams and for bombs.
    """
    stream, parts, size = zlib.decompressobj(-zlib.MAX_WBITS), [], 0
    limit = min(INFLATED_LIMIT, max(CHUNK, INFLATED_RATIO * len(raw)))
    pending = raw
    try:
        while pending and not stream.eof:
            parts.append(stream.decompress(pending, CHUNK))
            size += len(parts[-1])
            if size > limit:
                raise DataSetMalformed(f"the deflated data set inflates to more than {limit} bytes")
            pending = stream.unconsumed_tail
        parts.append(stream.flush())
    except zlib.error as error:
        raise DataSetMalformed(f"the deflated data set is damaged ({error})") from error
    if not stream.eof:
        raise DataSetMalformed("the deflated data set ends early")
    return b"".join(parts)
