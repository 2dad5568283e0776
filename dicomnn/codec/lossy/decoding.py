"""The decoder: from the words of a stream to a plane."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..rans import LOWEST_STATE
from .bands import (
    EIGHT,
    begin_band,
    begin_row,
    end_row,
    find_scales,
    learn,
    room_for,
    state_of,
    still_context,
)
from .base import code_lowest, code_mask
from .events import DECODE, LOW, adapted, binary_left_behind, left_behind, refilled
from .kernels import kernel
from .magnitudes import lowest_of, mark_of
from .wavelet import synthesise


@kernel
def decode_places(state, at, words, coded, odd, o, y, whole, step, room, tables, sign_chances, restored):
    """The even or odd places of the parts `coded` of a row y; `restored`: the band's row; `whole`: where
    the row begins among the marks that children read. Gives (state, next word).

    One loop without calls, and unsigned indices, which numba need not test for counting from the end: this
    is where decoding spends its time.
    """
    z, corrections, slopes, signs, marks = room.z, room.corrections[o], room.slopes, room.signs, room.marks
    ends, slopes_of, points = tables.ends, tables.slopes, tables.points[o]
    own, new, places = room.rows[4 + odd], 2 * (y & 1), (restored.size + 1 - odd) >> 1
    end = np.uint64(places)
    for n in range(EIGHT * coded.size):
        i = np.uint64(EIGHT * coded[n >> 3] + (n & 7))
        if i >= end:
            break
        c = state_of(z[i], corrections)
        found = np.uint64(z[i]) >> np.uint64(8)
        zero = np.uint64(ends[c, np.uint64(1)])
        if (state & LOW) < zero:
            slopes[found] += slopes_of[c, np.uint64(0)]
            state = left_behind(state, 0, zero)
            state, at = refilled(state, at, words)
            continue
        k, slot = np.uint64(1), state & LOW
        while slot >= ends[c, k + np.uint64(1)]:
            k += np.uint64(1)
        slopes[found] += slopes_of[c, k]
        state = left_behind(state, ends[c, k], ends[c, k + np.uint64(1)] - ends[c, k])
        state, at = refilled(state, at, words)
        m, left = lowest_of(np.int64(k))
        more = 0
        while left > 0:
            some = min(left, 8)
            left -= some
            part = np.int64((state & LOW) >> np.uint64(16 - some))
            more = more << some | part
            state = left_behind(state, part << (16 - some), 1 << (16 - some))
            state, at = refilled(state, at, words)
        m += more
        j, next_ = np.int64(i), i + np.uint64(1)
        if odd:
            s = 9 * signs[new, next_] + 3 * signs[3 - new, next_] + signs[new, next_ + np.uint64(1)]
        else:
            s = 9 * signs[2 - new, next_] + 3 * signs[3 - new, i] + signs[3 - new, next_]
        one = sign_chances[np.uint64(s)]
        negative = (state & LOW) < np.uint64(one)
        state = binary_left_behind(state, negative, one)
        sign_chances[np.uint64(s)] = adapted(one, negative, 64, 6)
        state, at = refilled(state, at, words)
        signs[new + odd, next_] = 2 if negative else 1
        mark = mark_of(m)
        marks[np.uint64(own + j)] = mark
        marks[np.uint64(whole + 2 * j + odd)] = mark
        size = (np.float32(m) - points[c, np.uint64(min(m, 3) - 1)]) * step
        restored[np.uint64(2 * j + odd)] = -size if negative else size
    return state, at


@kernel
def decode_bands(words, cursor, bands, strides, step, room, tables, signs, still, restored):
    """All bands but the lowest. cursor: int64 [next word, state]; bands, strides: of the `Plan`; signs,
    still: chances, which adapt; restored (rows, columns) float32: the coefficients, zero before.
    """
    by_four, live, coded = room.activity.view(np.uint64), room.live, room.coded
    state, at = np.uint64(cursor[1]), cursor[0]
    for number in range(bands.shape[0] - 3):
        level, o, height, width = bands[number, 0], bands[number, 1], bands[number, 2], bands[number, 3]
        parts, chances = (width + 15) // 16, still[o, level]
        begin_band(room)
        for y in range(height):
            begin_row(bands, strides, number, y, room)
            count = 0
            for s in range(parts):
                if live[1 + s] == 0:
                    c = still_context(room, by_four, s)
                    one = np.int64(chances[c])
                    some = (state & LOW) < np.uint64(one)
                    state = binary_left_behind(state, some, one)
                    state, at = refilled(state, at, words)
                    chances[c] = adapted(one, some, 32, 5)
                    if not some:
                        continue
                coded[count] = s
                count += 1
            room.used[y & 1] = 1 if count else 0
            whole = bands[number, 8] + y * strides[level, 1]
            row = restored[bands[number, 4] + y, bands[number, 5] : bands[number, 5] + width]
            for odd in range(2 if count else 0):
                for n in range(count):
                    find_scales(o, level, odd, EIGHT * coded[n], room, tables, room.z)
                state, at = decode_places(
                    state,
                    at,
                    words,
                    coded[:count],
                    odd,
                    o,
                    y,
                    whole,
                    step,
                    room,
                    tables,
                    signs[2 * o + odd],
                    row,
                )
                learn(room, o)
            end_row(room, parts)
    cursor[0], cursor[1] = at, np.int64(state)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_plane(
    words, cursor, masked, base, low, high, step, levels, bands, strides, rooms, tables, chances, out
):
    """All of a stream: out (rows, columns) uint16 is filled if the stream ends as it should.

    cursor: int64 [next word, state]. base, low, high: float32, of `wavelet.synthesise`. bands, strides: of
    the `Plan`. rooms: marks (`Plan.room`,) uint8, coefficients (rows * columns,) float32, and
    `wavelet.room_of` float32. tables: `bands.Tables`; chances: `model.Chances`.
    """
    rows, columns = out.shape
    marks, coefficients, spare = rooms
    events, counter = np.zeros(0, np.uint32), np.zeros(1, np.int64)
    mask = np.zeros((rows + 2 if masked else 0, columns + 4), np.uint8)
    if masked:
        code_mask(DECODE, mask, chances.mask.copy(), chances.blocks.copy(), events, counter, words, cursor)
    coefficients[:] = 0
    restored = coefficients.reshape(rows, columns)
    h, w = rows, columns
    for _ in range(levels):
        h, w = (h + 1) // 2, (w + 1) // 2
    q = np.zeros((h, w), np.int32)
    code_lowest(DECODE, restored[:h, :w], q, chances.lowest.copy(), events, counter, words, cursor)
    for y in range(h):
        for x in range(w):
            restored[y, x] = np.float32(q[y, x]) * step
    room = room_for(marks, columns)
    signs, still = chances.signs.copy(), chances.still.copy()
    decode_bands(words, cursor, bands, strides, step, room, tables, signs, still, restored)
    if cursor[0] == words.size and cursor[1] == LOWEST_STATE:
        synthesise(coefficients, spare, levels, base, low, high, mask, out)
