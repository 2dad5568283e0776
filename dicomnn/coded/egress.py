"""An ordinary DICOM object as the data set bytes of a peer's transfer syntax.

Whoever takes the received syntax gets the bytes as they are. Only for a peer that lacks it the data set is
read and written anew by pydicom, which keeps every value but not every byte (undefined lengths, retired
group lengths and the order of doubtful elements may change). Bytes that DICOM does not type (UN) keep
their order.
"""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomIO
from pydicom.filewriter import write_dataset

from dicomnn.coded.mapping import CHUNK, Mapping
from dicomnn.dicom.scan import Layout, scan
from dicomnn.dicom.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, syntax
from dicomnn.errors import DataSetMalformed, FrameUndecodable, UsageError

WRITABLE = (EXPLICIT_LITTLE, IMPLICIT_LITTLE)
INFLATED_LIMIT = 2 << 30
INFLATED_RATIO = 200
_WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
_ENCAPSULATION = (0x7FE00001, 0x7FE00002, 0x7FE00003)


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
        target.write(_converted(mapping.buffer, layout, transfer_syntax, str(source)))


def _converted(buffer: memoryview, layout: Layout, wanted: str, subject: str) -> bytes:
    kind = syntax(layout.transfer_syntax)
    raw = bytes(buffer[layout.dataset_start :])
    if kind.deflated:
        raw = inflate(raw)
        if wanted == EXPLICIT_LITTLE:
            return raw
    try:
        dataset = pydicom.filereader.read_dataset(
            io.BytesIO(raw), is_implicit_VR=not kind.explicit, is_little_endian=kind.little_endian
        )
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(kind.uid)
        dataset.set_original_encoding(not kind.explicit, kind.little_endian, dataset._character_set)
    except Exception as error:  # pydicom raises many types on bad input
        raise DataSetMalformed(f"pydicom cannot read the data set ({error})", subject=subject) from error
    if kind.encapsulated and "PixelData" in dataset:
        _decompress(dataset, subject)
    try:
        if not kind.little_endian:
            _little_endian(dataset)
        return _written(dataset, wanted)
    except Exception as error:
        raise DataSetMalformed(
            f"pydicom cannot write the data set in {syntax(wanted).name} ({error})", subject=subject
        ) from error


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


def _decompress(dataset: pydicom.Dataset, subject: str) -> None:
    try:
        dataset.decompress(as_rgb=False, generate_instance_uid=False)
    except Exception as error:  # plugins raise what they like
        raise FrameUndecodable(
            f"the pixel data cannot be decompressed ({error})",
            subject=subject,
            cure="Ask for it in the syntax in which it was received.",
        ) from error
    for tag in _ENCAPSULATION:
        if tag in dataset:
            del dataset[tag]


def _little_endian(dataset: pydicom.Dataset) -> None:
    """Swap what pydicom keeps as bytes; everything that it decodes it will write in the right order."""
    for element in dataset.iterall():
        size = _WORDS.get(element.VR)
        if size is not None and isinstance(element.value, bytes):
            _swap(element, size)


def _swap(element: DataElement, size: int) -> None:
    whole = len(element.value) // size * size
    words = np.frombuffer(element.value, dtype=f"<u{size}", count=whole // size)
    element.value = words.byteswap().tobytes() + element.value[whole:]


def _written(dataset: pydicom.Dataset, wanted: str) -> bytes:
    buffer = io.BytesIO()
    writer = DicomIO(buffer)
    writer.is_little_endian, writer.is_implicit_VR = True, wanted == IMPLICIT_LITTLE
    write_dataset(writer, dataset)
    return buffer.getvalue()
