"""The walk over the bands of a frame, the same for encoder and decoder: which rows a row reads, which of its
parts are still, how the frame corrects the network's scales. What differs is `put` and `take`.

All integers, but for the values that are handed to the synthesis, products of float32 numbers.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .inputs import ROWS
from .kernels import kernel
from .scales import PARTS, SCALES, make_scales, make_seen, remember

EIGHT = 8
BINS = SCALES // 8
"""Ranges of scales, each with a correction of its own."""
MOST = 10 * PARTS << 8
"""Corrections are in 1/256 of a scale's unit; none is more than ten states."""
STILL_CONTEXTS = 18

scales_0e, scales_0o = make_scales(0, 0), make_scales(0, 1)
scales_1e, scales_1o = make_scales(1, 0), make_scales(1, 1)
scales_2e, scales_2o = make_scales(2, 0), make_scales(2, 1)
seen_0, seen_1, seen_2 = (make_seen(orientation) for orientation in range(3))


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def scaled_eight(orientation, odd, maps, rows, activity, at, bias, weights, last, i, z):
    """Scales of eight places from index i of a half row."""
    if orientation == 0:
        if odd:
            scales_0o(maps, rows, activity, at, bias, weights, last, i, z)
        else:
            scales_0e(maps, rows, activity, at, bias, weights, last, i, z)
    elif orientation == 1:
        if odd:
            scales_1o(maps, rows, activity, at, bias, weights, last, i, z)
        else:
            scales_1e(maps, rows, activity, at, bias, weights, last, i, z)
    elif odd:
        scales_2o(maps, rows, activity, at, bias, weights, last, i, z)
    else:
        scales_2e(maps, rows, activity, at, bias, weights, last, i, z)


@njit(cache=True, nogil=True, error_model="numpy")
def rooms(columns):
    """Arrays that the walk over the bands of a frame works in beside the marks: signs (none, positive, negative)
    of this row's and the last one's even and odd places, uint8; scales of a half row, int16; activity of a row's columns, int16; live parts,
    hints, whether the last two rows had coded parts, uint8; numbers of coded parts, int64; where rows begin (23,) int64; corrections (3, 12) and slopes
    (12,), int64.
    """
    parts = ((columns + 1) // 2 + 15) // 16
    return (
        np.zeros((4, EIGHT * parts + 2), np.uint8),
        np.zeros(EIGHT * parts, np.int16),
        np.zeros(2 * EIGHT * (parts + 1), np.int16),
        np.zeros(parts + 5, np.uint8),
        np.zeros(parts + 4, np.uint8),
        np.zeros(2, np.uint8),
        np.zeros(parts, np.int64),
        np.zeros(ROWS, np.int64),
        np.zeros((3, BINS), np.int64),
        np.zeros(BINS, np.int64),
    )


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


@kernel
def find_live(orientation, maps, rows, parts, live, hints):
    """live[1 + s] = 1 where part s of the row, 16 places, sees a mark right above or in its parent; hints[s] = 1
    where in its sisters or aunts. Both have room for four parts more.
    """
    for s in range(0, parts, 4):
        if orientation == 0:
            seen_0(maps, rows, s, live, hints)
        elif orientation == 1:
            seen_1(maps, rows, s, live, hints)
        else:
            seen_2(maps, rows, s, live, hints)
    live[1 + parts] = 0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def still_context(live, hints, by_four, parts, s):
    """Context of a still part: live parts beside it, activity of its columns (`by_four`, four a word), hint."""
    even, odd = 2 * s, 2 * (parts + 1 + s)
    some = by_four[even] | by_four[even + 1] | by_four[odd] | by_four[odd + 1]
    some |= some >> np.uint64(32)
    some = (some | some >> np.uint64(16)) & np.uint64(0xFFFF)
    lively = 0 if some == np.uint64(0) else (1 if some < np.uint64(16) else 2)
    return 9 * hints[s] + 3 * (live[s] + live[s + 2]) + lively


@kernel
def begin_row(signs, y, coded):
    """Forget the signs of two rows ago; coded (2,): whether the last even and odd rows had any coded part."""
    if coded[y & 1]:
        new = 2 * (y & 1)
        for i in range(signs.shape[1]):
            signs[new, i] = 0
            signs[new + 1, i] = 0


@kernel
def learn(slopes, corrections):
    """Move the corrections of an orientation by the slopes of a pass, and clear these."""
    for k in range(BINS):
        if slopes[k] != 0:
            corrections[k] = min(max(corrections[k] + slopes[k], -MOST), MOST)
            slopes[k] = 0


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def state_of(z, corrections):
    """The state of the distribution for a scale."""
    found = (int(z) + (corrections[np.uint64(z) >> np.uint64(8)] >> 8)) >> 5
    return np.uint64(min(max(found, 0), SCALES - 1))


@kernel
def end_row(maps, rows, activity, at, at_odd, parts):
    for s in range(parts):
        remember(maps, rows[4], rows[5], activity, at, at_odd, EIGHT * s)


