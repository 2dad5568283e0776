"""An image of the lossy tier as bytes: what its words are, the least value of each frame, then the frames
(docs/format-lossy-image.md).

`lossy/` codes planes; here they become raw words again. Frames decode alone.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from dicomnn.codec import planes
from dicomnn.codec.checksum import crc32c
from dicomnn.codec.lossy import payload as frames_of
from dicomnn.codec.lossy.model import LossyModel
from dicomnn.codec.parallel import in_order
from dicomnn.codec.payload import Header
from dicomnn.codec.profile import Profile
from dicomnn.codec.sample import SampleFormat, little_endian_bytes
from dicomnn.errors import (
    ModelCorrupt,
    PayloadCorrupt,
    PayloadTruncated,
    SamplesInvalid,
    UnsupportedFormatVersion,
    UsageError,
)

MAGIC = b"DNNQ"
VERSION = 1
FIXED = struct.Struct("<4s4BII32s")
CHECKSUM = struct.Struct("<I")
FIGURES = ("ratio", "psnr", "ssim")
MILLION = 1_000_000
_SIGNED, _WIDE, _KNOWN = 1, 2, 15
_FIGURE_SHIFT = 2

Models = Callable[[str], object]
"""Gives the model of an id (here 16 hex digits, a LossyModel), or raises UnknownModel."""


@dataclass(frozen=True, eq=False)
class LossyLayout:
    """`minima` (frames,) uint16: what each plane is raised by. `start`, `stop`: of the frames' payload;
    `end`: of everything, made even."""

    header: Header
    minima: np.ndarray
    start: int
    stop: int
    end: int

    def check_end(self, payload: memoryview) -> None:
        """Raises PayloadTruncated, or PayloadCorrupt for bytes too many."""
        if len(payload) < self.end:
            raise PayloadTruncated(f"The payload has {len(payload)} bytes of {self.end}.")
        if len(payload) > self.end:
            raise PayloadCorrupt(f"The payload has {len(payload)} bytes, {len(payload) - self.end} too many.")


def is_lossy(payload: bytes | memoryview) -> bool:
    """Whether the bytes are of the lossy tier."""
    return bytes(payload[:4]) == MAGIC


def build(
    sample_format: SampleFormat, profile: Profile, pixel_digest: bytes, minima: np.ndarray, frames: bytes
) -> list[bytes]:
    """The payload in pieces. `minima` (frames,) uint16; `frames`: what `lossy.payload.build` gave;
    `pixel_digest`: SHA-256 of the decoded raw words, little endian."""
    kind = (
        (_SIGNED if sample_format.signed else 0)
        | (_WIDE if sample_format.bits_allocated == 16 else 0)
        | FIGURES.index(profile.figure) << _FIGURE_SHIFT
    )
    head = FIXED.pack(
        MAGIC,
        VERSION,
        kind,
        sample_format.bits_stored - 1 | sample_format.high_bit << 4,
        0,
        round(profile.value * MILLION),
        len(minima),
        pixel_digest,
    )
    head += np.ascontiguousarray(minima, "<u2").tobytes()
    parts = [head + CHECKSUM.pack(crc32c(head)), frames]
    return [*parts, b"\0"] if sum(map(len, parts)) % 2 else parts


def head_size(count: int) -> int:
    """Bytes before the frames' payload, of so many frames."""
    return FIXED.size + 2 * count + CHECKSUM.size


def parse(payload: memoryview) -> LossyLayout:
    """The header, and where the rest lies.

    Raises PayloadTruncated, PayloadCorrupt, PayloadImplausible, UnsupportedFormatVersion.
    """
    if len(payload) < FIXED.size + CHECKSUM.size:
        raise PayloadTruncated(f"The payload has {len(payload)} bytes, fewer than its header.")
    magic, version, kind, depth, reserved, value, count, digest = FIXED.unpack_from(payload)
    if magic != MAGIC:
        raise PayloadCorrupt("The payload does not begin with its magic number.")
    if version != VERSION:
        raise UnsupportedFormatVersion(
            f"The payload is a lossy image of version {version}; this dicomnn reads version {VERSION}."
        )
    start = head_size(count)
    if len(payload) < start:
        raise PayloadTruncated(f"The payload has {len(payload)} bytes, but its header needs {start}.")
    covered = payload[: start - CHECKSUM.size]
    if CHECKSUM.unpack_from(payload, len(covered))[0] != crc32c(covered):
        raise PayloadCorrupt("The checksum of the header is wrong.")
    if kind & ~_KNOWN or reserved:
        raise UnsupportedFormatVersion("The payload uses a reserved field of a later format.")
    inner = _inner(payload[start:])
    if inner.frames != count:
        raise PayloadCorrupt(f"The header speaks of {count} frames, but {inner.frames} are there.")
    try:
        profile = Profile("lossy", figure=FIGURES[kind >> _FIGURE_SHIFT], value=value / MILLION)
        sample_format = SampleFormat(
            16 if kind & _WIDE else 8, (depth & 15) + 1, depth >> 4, bool(kind & _SIGNED)
        )
    except (UsageError, SamplesInvalid, IndexError) as error:
        raise PayloadCorrupt(f"The payload's header contradicts itself. {error}") from error
    nothing = np.empty(0, np.int64)
    header = Header(
        version=VERSION,
        profile=profile,
        effort="",
        model_id=inner.model_id,
        sample_format=sample_format,
        frames=count,
        rows=inner.rows,
        columns=inner.columns,
        group=0,
        pixel_digest=digest,
        tile_methods=nothing,
        tile_lengths=nothing,
        side_frames=nothing,
    )
    minima = np.frombuffer(payload, "<u2", count, FIXED.size).astype(np.uint16)
    stop = start + inner.size + int(inner.lengths.sum())
    return LossyLayout(header, minima, start, stop, stop + stop % 2)


def frame_lengths(payload: memoryview) -> np.ndarray:
    """(frames,) int64: bytes of each frame's stream."""
    return _inner(payload[parse(payload).start :]).lengths


def _inner(frames: memoryview) -> frames_of.Header:
    try:
        return frames_of.parse(frames)
    except PayloadCorrupt:
        # The container wants its exact length, and may be followed by the byte that makes ours even.
        if len(frames) and frames[-1] == 0:
            return frames_of.parse(frames[:-1])
        raise


# ------------------------------------------------------------------ decoding
def decode_frames(payload: memoryview, models: Models, *, threads: int = 1) -> Iterator[np.ndarray]:
    """Raw words (rows, columns) of one frame after the other; the digest of all is checked after the last.

    Raises the PayloadError family, UnknownModel, ModelCorrupt.
    """
    layout = parse(payload)
    frames, known = payload[layout.start : layout.stop], _checked(models)
    digest = hashlib.sha256()

    def work(number: int, _: int) -> np.ndarray:
        return _words(layout, frames_of.decode_one(frames, known, number), number)

    for words in in_order(layout.header.frames, work, tiles_each=1, threads=threads):
        digest.update(little_endian_bytes(words))
        yield words
    if digest.digest() != layout.header.pixel_digest:
        raise PayloadCorrupt("The decoded pixels do not have the digest that the header names.")


def decode_frame(payload: memoryview, models: Models, number: int) -> np.ndarray:
    """Raw words (rows, columns) of frame `number`, from 0; damage elsewhere does not matter.

    Raises what `decode_frames` raises, and UsageError.
    """
    layout = parse(payload)
    if not 0 <= number < layout.header.frames:
        raise UsageError(f"There is no frame {number}: the frames are 0..{layout.header.frames - 1}.")
    frames = payload[layout.start : layout.stop]
    return _words(layout, frames_of.decode_one(frames, _checked(models), number), number)


def _words(layout: LossyLayout, plane: np.ndarray, number: int) -> np.ndarray:
    header, minimum = layout.header, int(layout.minima[number])
    if int(plane.max()) + minimum > header.sample_format.mask:
        raise PayloadCorrupt(
            f"Frame {number} holds values of more than {header.sample_format.bits_stored} bits.",
            where=f"frame {number}",
        )
    return planes.join(plane + np.uint16(minimum), None, header.sample_format)


def _checked(models: Models) -> Callable[[str], LossyModel]:
    def get(model_id: str) -> LossyModel:
        model = models(model_id)
        if not isinstance(model, LossyModel):
            raise ModelCorrupt(f"The model {model_id} is none of the lossy tier.")
        return model

    return get
