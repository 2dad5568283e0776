"""What encoder and decoder have in common on their walk over the bands of a frame: which rows a row reads,
which of its parts are still, how the frame corrects the network's scales.

All integers, but for the values that are handed to the synthesis, products of float32 numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from .inputs import ROWS
from .kernels import inlined, kernel
from .scales import FINENESS, SCALES, make_scales, make_seen, remember

EIGHT = 8
BINS = SCALES // 8
"""Ranges of scales, each with a correction of its own."""
MOST = 10 * FINENESS << 8
"""Corrections are in 1/256 of a scale's unit; none is more than ten states."""
STILL_CONTEXTS = 18


class Tables(NamedTuple):
    """A model as the kernels read it; p = 2 * orientation + odd. bias (6, 6, 8) int32, by p and level;
    weights (6, 10, 8) int32, by p, each of two inputs; last (6, 5) int32: weights of hidden values two by
    two, then the sum's first value. By state: ends (96, 41) uint32, where the classes begin and end among
    65536 slots; slopes (96, 40) int64; points (3, 96, 3) float32, by orientation: how far below a magnitude
    its value lies, in steps.
    """

    bias: np.ndarray
    weights: np.ndarray
    last: np.ndarray
    ends: np.ndarray
    slopes: np.ndarray
    points: np.ndarray


class Room(NamedTuple):
    """What a walk works in. marks (`Plan.room`,) uint8: the planes of marks. signs (4, places) uint8: none,
    positive, negative, of the even and odd places of even rows, then of odd rows. z, z_odd (places,) int16:
    scales of a half row. activity int16: of even columns, then of odd ones. live, hints uint8: of parts.
    used (2,) uint8: whether the last even and odd row had coded parts. coded int64: numbers of coded parts.
    rows (23,) int64: where rows begin (`inputs.ROWS`). corrections (3, 12), slopes (12,) int64.
    """

    marks: np.ndarray
    signs: np.ndarray
    z: np.ndarray
    z_odd: np.ndarray
    activity: np.ndarray
    live: np.ndarray
    hints: np.ndarray
    used: np.ndarray
    coded: np.ndarray
    rows: np.ndarray
    corrections: np.ndarray
    slopes: np.ndarray


@njit(cache=True, nogil=True, error_model="numpy")
def room_for(marks, columns):
    """A `Room` for frames of so many columns; `marks` are cleared."""
    parts = ((columns + 1) // 2 + 15) // 16
    places = EIGHT * parts
    marks[:] = 0
    return Room(
        marks,
        np.zeros((4, places + 2), np.uint8),
        np.zeros(places, np.int16),
        np.zeros(places, np.int16),
        np.zeros(2 * (places + EIGHT), np.int16),
        np.zeros(parts + 5, np.uint8),
        np.zeros(parts + 4, np.uint8),
        np.zeros(2, np.uint8),
        np.zeros(parts, np.int64),
        np.zeros(ROWS, np.int64),
        np.zeros((3, BINS), np.int64),
        np.zeros(BINS, np.int64),
    )


scales_0e, scales_0o = make_scales(0, 0), make_scales(0, 1)
scales_1e, scales_1o = make_scales(1, 0), make_scales(1, 1)
scales_2e, scales_2o = make_scales(2, 0), make_scales(2, 1)
seen_0, seen_1, seen_2 = (make_seen(orientation) for orientation in range(3))


@inlined
def find_scales(orientation, level, odd, first, room, tables, z):
    """Scales of eight places from index `first` of the row's even or odd places, to `z` (places,) int16."""
    p, at = 2 * orientation + odd, odd * (room.activity.size >> 1)
    marks, rows, activity = room.marks, room.rows, room.activity
    bias, weights, last = tables.bias[p, level], tables.weights[p], tables.last[p]
    if orientation == 0:
        if odd:
            scales_0o(marks, rows, activity, at, bias, weights, last, first, z)
        else:
            scales_0e(marks, rows, activity, at, bias, weights, last, first, z)
    elif orientation == 1:
        if odd:
            scales_1o(marks, rows, activity, at, bias, weights, last, first, z)
        else:
            scales_1e(marks, rows, activity, at, bias, weights, last, first, z)
    elif odd:
        scales_2o(marks, rows, activity, at, bias, weights, last, first, z)
    else:
        scales_2e(marks, rows, activity, at, bias, weights, last, first, z)


@kernel
def begin_band(room):
    room.activity[:] = 0
    room.signs[:] = 0
    room.used[:] = 0


@inlined
def begin_row(bands, strides, number, y, room):
    """Find what row y of a band reads and which of its parts are live; forget the signs of two rows ago."""
    find_rows(room.rows, bands, strides, number, y)
    find_live(bands[number, 1], (bands[number, 3] + 15) // 16, room)
    if room.used[y & 1]:
        signs, new = room.signs, 2 * (y & 1)
        for i in range(signs.shape[1]):
            signs[new, i] = 0
            signs[new + 1, i] = 0


@kernel
def find_rows(rows, bands, strides, number, y):
    """Fill rows (23,): where the rows begin that row y of band `number` reads (`inputs.ROWS`)."""
    level, o = bands[number, 0], bands[number, 1]
    half, whole = strides[level, 0], strides[level + 1, 1]
    even, odd = bands[number, 6] + y * half, bands[number, 7] + y * half
    for k in range(3):
        rows[2 * k] = even + (k - 2) * half
        rows[2 * k + 1] = odd + (k - 2) * half
    # Parents come three bands earlier; those of the highest level are the absent ones at the end.
    above = number - o - 3
    if above < 0:
        above = bands.shape[0] - 3
    near = 1 if y & 1 else -1
    parent = bands[above + o, 8] + (y >> 1) * whole
    rows[6], rows[7], rows[8] = parent, parent + near * whole, parent - near * whole
    rows[9] = bands[above + (1 if o == 0 else 0), 8] + (y >> 1) * whole
    rows[10] = bands[above + (1 if o == 2 else 2), 8] + (y >> 1) * whole
    for s in range(o):
        for k in range(3):
            rows[11 + 6 * s + 2 * k] = bands[number - o + s, 6] + (y + k - 1) * half
            rows[12 + 6 * s + 2 * k] = bands[number - o + s, 7] + (y + k - 1) * half


@inlined
def find_live(orientation, parts, room):
    """live[1 + s] = 1 where part s of the row, 16 places, sees a mark right above or in its parent;
    hints[s] = 1 where in its sisters or aunts.
    """
    for s in range(0, parts, 4):
        if orientation == 0:
            seen_0(room.marks, room.rows, s, room.live, room.hints)
        elif orientation == 1:
            seen_1(room.marks, room.rows, s, room.live, room.hints)
        else:
            seen_2(room.marks, room.rows, s, room.live, room.hints)
    room.live[1 + parts] = 0


@inlined
def still_context(room, by_four, s):
    """Context of a still part: live parts beside it, activity of its columns (`by_four`, four a word),
    hint.
    """
    even, odd = 2 * s, (by_four.size >> 1) + 2 * s
    some = by_four[even] | by_four[even + 1] | by_four[odd] | by_four[odd + 1]
    some |= some >> np.uint64(32)
    some = (some | some >> np.uint64(16)) & np.uint64(0xFFFF)
    lively = 0 if some == np.uint64(0) else (1 if some < np.uint64(16) else 2)
    return 9 * room.hints[s] + 3 * (room.live[s] + room.live[s + 2]) + lively


@inlined
def state_of(z, corrections):
    """The state of the distribution for a scale."""
    found = (int(z) + (corrections[np.uint64(z) >> np.uint64(8)] >> 8)) >> 5
    return np.uint64(min(max(found, 0), SCALES - 1))


@inlined
def learn(room, orientation):
    """Move the corrections of an orientation by the slopes of a pass, and clear these."""
    slopes, corrections = room.slopes, room.corrections
    for k in range(BINS):
        if slopes[k] != 0:
            corrections[orientation, k] = min(max(corrections[orientation, k] + slopes[k], -MOST), MOST)
            slopes[k] = 0


@inlined
def end_row(room, parts):
    """Take the row's marks into the activity of its columns."""
    even, odd, half = room.rows[4], room.rows[5], room.activity.size >> 1
    for s in range(parts):
        remember(room.marks, even, odd, room.activity, 0, half, EIGHT * s)
