"""One frame, coded whole: a plane in, a stream out, and back.

The stream's first bytes say how the plane lies in its range and how fine it is quantised; then one entropy
coded stream holds the mask of the padding, the lowest band and the other bands, coarsest first.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np

from dicomnn.errors import PayloadCorrupt, PayloadTruncated

from ..rans import LOWEST_STATE, encode_events, pack
from .bands import DECODE, ENCODE, KINDS, code_band, cost_table
from .base import code_lowest, code_mask
from .layout import Known, bands, lowest, nothing, room_of
from .model import LossyModel
from .wavelet import analyse, levels_of, synthesise

HEAD = struct.Struct("<BHHHH")
FLAG_MASK = 1
STEPS_PER_OCTAVE = 64
FINEST, COARSEST = 0, 64 * 19 - 1
RATES = np.array([2, 5], np.int64)
PRICE = 0.11
COST = cost_table()


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


class _Coder:
    """State of the entropy coder's two directions, and the chances that a frame teaches."""

    def __init__(self, mode: int, model: LossyModel, room: int, stream: bytes = b"") -> None:
        self.mode, self.model = mode, model
        self.events = np.empty(room, np.uint32)
        self.counter = np.zeros(1, np.int64)
        self.words = np.frombuffer(stream, "<u2", offset=4) if stream else np.zeros(0, np.uint16)
        self.cursor = np.zeros(3, np.int64)
        self.quantised: list[np.ndarray] = []
        self.scaled: np.ndarray = np.zeros(0, np.float32)
        if stream:
            self.cursor[1] = int.from_bytes(stream[:4], "little")
        self.by_band, self.by_bin = np.zeros((KINDS, 16), np.int64), np.zeros((3, KINDS, 23), np.int64)
        self.signs = model.arrays["signs"].astype(np.uint16)
        self.runs = model.arrays["runs"].astype(np.uint16)
        self.lowest = model.arrays["lowest"].astype(np.uint16)
        self.pixels, self.blocks = (
            model.arrays["mask"].astype(np.uint16),
            model.arrays["blocks"].astype(np.uint16),
        )

    @property
    def stream(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.events, self.counter, self.words, self.cursor

    def mask(self, mask: np.ndarray) -> None:
        code_mask(self.mode, mask, self.pixels, self.blocks, *self.stream)

    def coefficients(
        self, shape: tuple[int, int], levels: int, values: np.ndarray, price: float
    ) -> np.ndarray:
        """Code all bands; gives the restored coefficients by the step. `values` likewise (encoding)."""
        arrays, model = self.model.arrays, self.model
        restored = np.zeros(shape, np.float32)
        place = lowest(*shape, levels)
        q = np.zeros(restored[place].shape, np.int32)
        code_lowest(self.mode, np.ascontiguousarray(values[place]), q, self.lowest, *self.stream)
        restored[place] = q.astype(np.float32)
        self.quantised.append(q)
        wide, high, level = 0, room_of(*shape, levels, levels)[1], 0
        parents: list[Known] = []
        done: list[Known] = []
        for number, band in enumerate(bands(*shape, levels)):
            o = band.orientation
            view = restored[band.rows, band.columns]
            if band.level != level:
                level = band.level
                deep, wide = room_of(*shape, levels, level)
                empty = nothing(deep * wide)
                parents, done = (done if done else [empty] * 3), []
            own, activity = nothing(deep * wide)
            q = np.empty(view.shape, np.int32)
            aunts = tuple(parents[i].classes for i in range(3) if i != o)
            code_band(
                self.mode,
                np.ascontiguousarray(values[band.rows, band.columns]),
                q,
                view,
                wide,
                own,
                activity,
                np.zeros(own.size, np.uint8),
                high,
                parents[o].classes,
                parents[o].activity,
                aunts,
                done[0].classes if o > 0 else empty.classes,
                done[1].classes if o == 2 else empty.classes,
                done[o - 1].activity if o > 0 else empty.activity,
                arrays["levels"][o, band.level],
                arrays["classes"][o],
                arrays["heads"][o],
                arrays["heads_bias"][o],
                arrays["offsets"][o],
                model.points[o],
                self.signs[o],
                self.runs[o, band.level],
                number,
                self.by_band,
                self.by_bin[o],
                RATES,
                model.sigmoid,
                COST,
                np.float32(price),
                *self.stream,
            )
            self.quantised.append(q)
            done.append(Known(own, activity))
            if o == 2:
                high = wide
        return restored

    def bytes(self) -> bytes:
        count = int(self.counter[0])
        words = np.empty(count + 8, np.uint16)
        at, state = encode_events(self.events, count, words)
        return pack(words, at, state)


def encode_frame(plane: np.ndarray, quality: int, model: LossyModel, *, price: float = PRICE) -> bytes:
    """The stream of a plane (rows, columns) uint16 at step number `quality`; `price`: of a bit, in squared
    steps.
    """
    return _encoded(plane, quality, model, price)[0]


def _encoded(plane: np.ndarray, quality: int, model: LossyModel, price: float) -> tuple[bytes, _Coder]:
    """The stream, and the coder with what it quantised."""
    step = step_of(quality)
    mask = padding(plane, float(step))
    values: np.ndarray
    flags = 0
    values = plane.astype(np.float32)
    low = int(plane.min())
    if mask is not None:
        flags |= FLAG_MASK
        low = int(plane[~mask].min())
        values = filled(plane, mask)
    base, high = (low + int(plane.max())) // 2, int(plane.max())
    rows, columns = plane.shape
    levels = levels_of(rows, columns)
    coder = _Coder(ENCODE, model, _most_events(plane.size, high - low, float(step)))
    if mask is not None:
        framed = np.zeros((rows + 2, columns + 4), np.uint8)
        framed[2:, 2:-2] = mask
        coder.mask(framed)
    scaled = analyse(values - np.float32(base), levels) / step
    coder.coefficients(plane.shape, levels, scaled, price)
    coder.scaled = scaled
    return HEAD.pack(flags, quality, base, low, high) + coder.bytes(), coder


def _most_events(size: int, span: int, step: float) -> int:
    """No plane of `size` values within `span` makes more events: a value has two for each octave of its
    magnitude, which the transform makes at most 64 times as large, its raw bits and its sign.
    """
    octaves = math.ceil(math.log2(64 * span / step + 2))
    return (3 * octaves + 4) * size + 4096


def decode_frame(stream: bytes, shape: tuple[int, int], model: LossyModel) -> np.ndarray:
    """The plane (rows, columns) uint16 of a stream. Raises PayloadTruncated, PayloadCorrupt."""
    if len(stream) < HEAD.size + 4:
        raise PayloadTruncated("the stream of a lossy frame ends in its first bytes")
    head = Head(*HEAD.unpack_from(stream))
    if head.flags & ~FLAG_MASK or head.quality > COARSEST or not head.low <= head.base <= head.high:
        raise PayloadCorrupt("the first bytes of a lossy frame contradict each other")
    body = stream[HEAD.size :]
    if len(body) % 2:
        raise PayloadCorrupt("the stream of a lossy frame has an odd length")
    rows, columns = shape
    levels = levels_of(rows, columns)
    coder = _Coder(DECODE, model, 0, body)
    mask = None
    if head.flags & FLAG_MASK:
        mask = np.zeros((rows + 2, columns + 4), np.uint8)
        coder.mask(mask)
    restored = coder.coefficients(shape, levels, np.zeros(shape, np.float32), 0.0)
    if coder.cursor[2] or coder.cursor[0] != coder.words.size or coder.cursor[1] != LOWEST_STATE:
        raise PayloadCorrupt("the stream of a lossy frame does not end where it should")
    restored *= step_of(head.quality)
    plane = synthesise(restored, levels)
    plane += np.float32(head.base) + np.float32(0.5)
    out = np.clip(np.floor(plane), head.low, head.high).astype(np.uint16)
    if mask is not None:
        out[mask[2:, 2:-2] != 0] = 0
    return out


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
