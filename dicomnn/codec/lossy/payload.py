"""The container of coded frames: header, a record for each frame, CRC, streams (docs/format-lossy.md).

Sizes that are claimed are held against the bytes that are there before anything is allocated for them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dicomnn.errors import (
    PayloadCorrupt,
    PayloadImplausible,
    PayloadTruncated,
    SamplesInvalid,
    UnsupportedFormatVersion,
)

from ..checksum import crc32c
from ..parallel import in_threads
from .frame import HEAD, decode_into
from .model import LossyModel

MAGIC = b"DNNL"
VERSION = 2
FIXED = struct.Struct("<4sBBHHI8s")
CHECKSUM = struct.Struct("<I")
FRAME_RECORD = np.dtype([("length", "<u4"), ("checksum", "<u4")])
MAX_DECODED = 1 << 32

Buffer = bytes | memoryview
Models = Callable[[str], LossyModel]
"""Gives the model of an id (16 hex digits), or raises UnknownModel."""


@dataclass(frozen=True, eq=False)
class Header:
    """`lengths` (frames,) int64: bytes of each stream; `checksums` (frames,) uint32 of the decoded planes."""

    rows: int
    columns: int
    frames: int
    model_id: str
    lengths: np.ndarray
    checksums: np.ndarray
    size: int


def checksum_of(stream: Buffer, plane: np.ndarray) -> int:
    """CRC-32C of a stream's first bytes, some of which may not show in the values, and then of the values of
    its plane, uint16 little endian, row by row.
    """
    values = np.ascontiguousarray(plane, dtype="<u2").reshape(-1).view(np.uint8)
    return crc32c(values.data, crc32c(stream[: HEAD.size]))


def build(streams: Sequence[bytes], planes: Sequence[np.ndarray], model: LossyModel) -> bytes:
    """A payload of `streams`; `planes`: what each decodes to, (rows, columns) uint16, all of one shape."""
    if not streams or len(streams) != len(planes) or len({plane.shape for plane in planes}) != 1:
        raise SamplesInvalid("a lossy payload needs one plane a stream, at least one, all of one shape")
    rows, columns = planes[0].shape
    records = np.empty(len(streams), FRAME_RECORD)
    records["length"] = [len(stream) for stream in streams]
    records["checksum"] = [checksum_of(*pair) for pair in zip(streams, planes, strict=True)]
    head = FIXED.pack(MAGIC, VERSION, 0, rows, columns, len(streams), bytes.fromhex(model.id))
    head += records.tobytes()
    return head + CHECKSUM.pack(crc32c(head)) + b"".join(streams)


def parse(payload: Buffer) -> Header:
    """The header. Raises PayloadError types and UnsupportedFormatVersion."""
    if len(payload) < FIXED.size + FRAME_RECORD.itemsize + CHECKSUM.size:
        raise PayloadTruncated("the lossy payload ends in its header")
    magic, version, reserved, rows, columns, frames, model = FIXED.unpack_from(payload)
    if magic != MAGIC:
        raise PayloadCorrupt("these bytes are no lossy payload: they do not begin with DNNL")
    if version != VERSION or reserved:
        raise UnsupportedFormatVersion(f"a lossy payload of version {version}; this library reads {VERSION}")
    if not rows or not columns or not frames or 2 * rows * columns * frames >= MAX_DECODED:
        raise PayloadImplausible(f"{frames} frames of {rows} x {columns} cannot be")
    start = FIXED.size + frames * FRAME_RECORD.itemsize
    if start + CHECKSUM.size > len(payload):
        raise PayloadTruncated("the lossy payload ends in its table of frames")
    if CHECKSUM.unpack_from(payload, start)[0] != crc32c(payload[:start]):
        raise PayloadCorrupt("the header of the lossy payload is damaged: its checksum differs")
    records = np.frombuffer(payload, FRAME_RECORD, frames, FIXED.size)
    lengths = records["length"].astype(np.int64)
    if int(lengths.sum()) > len(payload) - start - CHECKSUM.size:
        raise PayloadTruncated("the lossy payload is shorter than its frames say")
    if int(lengths.sum()) < len(payload) - start - CHECKSUM.size:
        raise PayloadCorrupt("bytes follow the last frame of the lossy payload")
    return Header(
        rows,
        columns,
        frames,
        model.hex(),
        lengths,
        records["checksum"].copy(),
        start + CHECKSUM.size,
    )


def decode(payload: Buffer, models: Models, *, threads: int = 1) -> np.ndarray:
    """(frames, rows, columns) uint16; frames side by side in so many threads."""
    header = parse(payload)
    model = models(header.model_id)
    out = np.empty((header.frames, header.rows, header.columns), np.uint16)

    def one(number: int) -> None:
        _frame(payload, header, model, number, out[number])

    in_threads(one, range(header.frames), threads)
    return out


def decode_one(payload: Buffer, models: Models, number: int) -> np.ndarray:
    """Frame `number` (from 0) alone, (rows, columns) uint16."""
    header = parse(payload)
    if not 0 <= number < header.frames:
        raise SamplesInvalid(f"there is no frame {number} among {header.frames}")
    out = np.empty((header.rows, header.columns), np.uint16)
    _frame(payload, header, models(header.model_id), number, out)
    return out


def _frame(payload: Buffer, header: Header, model: LossyModel, number: int, out: np.ndarray) -> None:
    """Frame `number` into `out`."""
    where = f"frame {number}"
    start = header.size + int(header.lengths[:number].sum())
    stream = payload[start : start + int(header.lengths[number])]
    try:
        decode_into(stream, model, out)
    except (PayloadCorrupt, PayloadTruncated) as error:
        raise type(error)(str(error), where=where) from error
    if checksum_of(stream, out) != int(header.checksums[number]):
        raise PayloadCorrupt("the decoded values of a lossy frame have another checksum", where=where)
