"""One frame, coded whole: a plane in, a stream out, and back.

The stream's first bytes say how the plane lies in its range and how fine it is quantised; then one entropy
coded stream holds the mask of the padding, the lowest band and the other bands, coarsest first.
"""

from __future__ import annotations

import math
import struct
from threading import local
from typing import NamedTuple

import numpy as np

from dicomnn.errors import PayloadCorrupt, PayloadTruncated

from ..rans import LOWEST_STATE, encode_events, pack
from .bands import room_for
from .base import code_lowest, code_mask
from .decoding import decode_plane
from .encoding import encode_bands
from .events import ENCODE
from .layout import lowest, plan_of
from .model import LossyModel
from .wavelet import analyse, levels_of, room_of

HEAD = struct.Struct("<BHHHH")
FLAG_MASK = 1
STEPS_PER_OCTAVE = 64
FINEST, COARSEST = 0, 64 * 19 - 1
PRICE = 0.11
LARGEST_KEPT = 1 << 24
"""Pixels of a frame whose arrays a thread keeps: 110 MB."""


def step_of(index: int) -> np.float32:
    """Step of quantisation number `index`: 64 an octave, the first 1/4."""
    return np.float32((64 + index % 64) * 2.0 ** (index // 64 - 8))


def index_of(step: float) -> int:
    """The number of the step nearest to `step`."""
    octave = math.floor(math.log2(max(step, 0.25)))
    index = 64 * (octave + 2) + round((step / 2.0**octave - 1) * 64)
    return min(max(index, FINEST), COARSEST)


class Head(NamedTuple):
    """First bytes of a stream: `low` and `high` bound the values outside of the mask."""

    flags: int
    quality: int
    base: int
    low: int
    high: int


class Quantised(NamedTuple):
    """Coefficients by the step before and after quantisation, (rows, columns) float32."""

    scaled: np.ndarray
    restored: np.ndarray


def encode_frame(plane: np.ndarray, quality: int, model: LossyModel, *, price: float = PRICE) -> bytes:
    """The stream of a plane (rows, columns) uint16 at step number `quality`; `price`: of a bit, in squared
    steps.
    """
    return encode_quantised(plane, quality, model, price)[0]


def encode_quantised(
    plane: np.ndarray, quality: int, model: LossyModel, price: float = PRICE
) -> tuple[bytes, Quantised]:
    """`encode_frame`, and what the stream holds."""
    step = step_of(quality)
    mask = padding(plane, float(step))
    values: np.ndarray = plane.astype(np.float32)
    flags = 0
    low = int(plane.min())
    if mask is not None:
        flags |= FLAG_MASK
        low = int(plane[~mask].min())
        values = filled(plane, mask)
    base, high = (low + int(plane.max())) // 2, int(plane.max())
    rows, columns = plane.shape
    levels = levels_of(rows, columns)
    place = lowest(rows, columns, levels)
    restored = np.zeros(plane.shape, np.float32)
    events = np.empty(_most_events(plane.size, restored[place].size), np.uint32)
    counter = np.zeros(1, np.int64)
    stream = (events, counter, np.zeros(0, np.uint16), np.zeros(2, np.int64))
    chances = model.chances
    if mask is not None:
        framed = np.zeros((plane.shape[0] + 2, plane.shape[1] + 4), np.uint8)
        framed[2:, 2:-2] = mask
        code_mask(ENCODE, framed, chances.mask.copy(), chances.blocks.copy(), *stream)
    scaled = analyse(values - np.float32(base), levels) / step
    q = np.zeros(restored[place].shape, np.int32)
    code_lowest(ENCODE, np.ascontiguousarray(scaled[place]), q, chances.lowest.copy(), *stream)
    restored[place] = q.astype(np.float32)
    plan = plan_of(rows, columns, levels)
    encode_bands(
        events,
        counter,
        scaled,
        plan.bands,
        plan.strides,
        room_for(np.empty(plan.room, np.uint8), columns),
        model.tables,
        chances.signs.copy(),
        chances.still.copy(),
        restored,
        model.costs,
        np.float32(price),
    )
    count = int(counter[0])
    words = np.empty(count + 8, np.uint16)
    at, state = encode_events(events, count, words)
    return HEAD.pack(flags, quality, base, low, high) + pack(words, at, state), Quantised(scaled, restored)


def _most_events(size: int, lowest_size: int) -> int:
    """No plane makes more: a place has its class, three events of raw bits, its sign, and two in the mask
    with its block's; one of the lowest band all events of the largest class.
    """
    return 8 * size + 48 * lowest_size + 4096


def decode_frame(stream: bytes | memoryview, shape: tuple[int, int], model: LossyModel) -> np.ndarray:
    """The plane (rows, columns) uint16 of a stream. Raises PayloadTruncated, PayloadCorrupt."""
    out = np.empty(shape, np.uint16)
    decode_into(stream, model, out)
    return out


def decode_into(stream: bytes | memoryview, model: LossyModel, out: np.ndarray) -> None:
    """`decode_frame` into a plane (rows, columns) uint16, C order."""
    if len(stream) < HEAD.size + 4:
        raise PayloadTruncated("the stream of a lossy frame ends in its first bytes")
    head = Head(*HEAD.unpack_from(stream))
    if head.flags & ~FLAG_MASK or head.quality > COARSEST or not head.low <= head.base <= head.high:
        raise PayloadCorrupt("the first bytes of a lossy frame contradict each other")
    body = stream[HEAD.size :]
    if len(body) % 2:
        raise PayloadCorrupt("the stream of a lossy frame has an odd length")
    levels = levels_of(*out.shape)
    plan, step = plan_of(*out.shape, levels), step_of(head.quality)
    words, cursor = np.frombuffer(body, "<u2", offset=4), np.zeros(2, np.int64)
    cursor[1] = int.from_bytes(body[:4], "little")
    decode_plane(
        words,
        cursor,
        bool(head.flags & FLAG_MASK),
        np.float32(head.base) + np.float32(0.5),
        np.float32(head.low),
        np.float32(head.high),
        step,
        levels,
        plan.bands,
        plan.strides,
        _rooms(plan.room, *out.shape),
        model.tables,
        model.chances,
        out,
    )
    if cursor[0] != words.size or cursor[1] != LOWEST_STATE:
        raise PayloadCorrupt("the stream of a lossy frame does not end where it should")


class _Rooms(local):
    """A thread's arrays for decoding: fresh ones of a large frame cost as much time as its values."""

    bytes = np.empty(0, np.uint8)
    floats = np.empty(0, np.float32)


_ROOMS = _Rooms()


def _rooms(marks: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `decode_plane` works in: kept by the thread unless very large."""
    size, spare = rows * columns, room_of(rows, columns)
    kept, floats = _ROOMS.bytes, _ROOMS.floats
    if kept.size < marks or floats.size < size + spare:
        kept, floats = np.empty(marks, np.uint8), np.empty(size + spare, np.float32)
        if size <= LARGEST_KEPT:
            _ROOMS.bytes, _ROOMS.floats = kept, floats
    return kept[:marks], floats[:size], floats[size : size + spare]


# ------------------------------------------------------------------ padding
def padding(plane: np.ndarray, step: float) -> np.ndarray | None:
    """Where the plane is padded: 0 in a share of it, and far below the next value in use; else None."""
    mask = plane == 0
    count = int(np.count_nonzero(mask))
    if not plane.size // 100 < count < plane.size:
        return None
    gap = int(plane[~mask].min())
    return mask if gap > 4 * step and gap >= 16 else None


def filled(plane: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The plane with its padding replaced by a smooth continuation: means of ever larger blocks."""
    value, weight = np.where(mask, 0, plane).astype(np.float64), (~mask).astype(np.float64)
    pyramid = [(value, weight)]
    while max(pyramid[-1][0].shape) > 1:
        value, weight = (np.pad(a, [(0, n % 2) for n in a.shape]) for a in pyramid[-1])
        value, weight = (
            a[::2, ::2] + a[1::2, ::2] + a[::2, 1::2] + a[1::2, 1::2] for a in (value * weight, weight)
        )
        value = np.divide(value, weight, out=np.zeros_like(value), where=weight > 0)
        pyramid.append((value, np.minimum(weight, 1)))
    above = pyramid[-1][0]
    for value, weight in reversed(pyramid[:-1]):
        rows, columns = value.shape
        near = np.pad(np.repeat(np.repeat(above, 2, 0), 2, 1)[:rows, :columns], 1, mode="edge")
        cross = near[:-2, 1:-1] + near[2:, 1:-1] + near[1:-1, :-2] + near[1:-1, 2:]
        near = (cross + 4 * near[1:-1, 1:-1]) / 8
        above = weight * value + (1 - weight) * near
    return above.astype(np.float32)
