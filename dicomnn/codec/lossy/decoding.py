"""The decoder: from the words of a stream to a plane."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..rans import LOWEST_STATE
from .bands import (
    EIGHT,
    begin_row,
    end_row,
    find_live,
    find_rows,
    learn,
    rooms,
    scaled_eight,
    state_of,
    still_context,
)
from .base import code_lowest, code_mask
from .events import DECODE, HALF, LEAST, LOW, adapted, binary_left_behind, left_behind, word_at
from .kernels import kernel
from .magnitudes import lowest_of, mark_of
from .wavelet import synthesise

@kernel
def decode_places(
    state, at, words, z, coded, places, odd, ends, slopes_of, corrections, slopes, maps, signs, y, rows, whole,
    sign_chances, points, step, restored,
):  # fmt: skip
    """The places of the parts `coded` of a half row; `restored`: the band's row. Gives (state, next word).

    One loop without calls, and unsigned indices, which numba need not test for counting from the end: this
    is where decoding spends its time.
    """
    own, new = rows[4 + odd], 2 * (y & 1)
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
            if state < LEAST:
                state = state << HALF | word_at(words, at)
                at += 1
            continue
        k, slot = np.uint64(1), state & LOW
        while slot >= ends[c, k + np.uint64(1)]:
            k += np.uint64(1)
        slopes[found] += slopes_of[c, k]
        state = left_behind(state, ends[c, k], ends[c, k + np.uint64(1)] - ends[c, k])
        if state < LEAST:
            state = state << HALF | word_at(words, at)
            at += 1
        m, left = lowest_of(np.int64(k))
        more = 0
        while left > 0:
            some = min(left, 8)
            left -= some
            part = np.int64((state & LOW) >> np.uint64(16 - some))
            more = more << some | part
            state = left_behind(state, part << (16 - some), 1 << (16 - some))
            if state < LEAST:
                state = state << HALF | word_at(words, at)
                at += 1
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
        if state < LEAST:
            state = state << HALF | word_at(words, at)
            at += 1
        signs[new + odd, next_] = 2 if negative else 1
        mark = mark_of(m)
        maps[np.uint64(own + j)] = mark
        maps[np.uint64(whole + 2 * j + odd)] = mark
        size = (np.float32(m) - points[c, np.uint64(min(m, 3) - 1)]) * step
        restored[np.uint64(2 * j + odd)] = -size if negative else size
    return state, at


@kernel
def decode_bands(
    words, cursor, bands, strides, maps, signs, z, activity, live, hints, used, coded, rows, corrections, slopes, bias,
    weights, last, ends, slopes_of, points, sign_chances, still, step, restored,
):  # fmt: skip
    """All bands but the lowest. cursor: int64 [next word, state]; restored (rows, columns) float32, zero
    before. `maps` to `slopes`: `bands.rooms`. The tables as `LossyModel` has them; sign_chances and still adapt.
    """
    by_four = activity.view(np.uint64)
    state, at = np.uint64(cursor[1]), cursor[0]
    for number in range(bands.shape[0] - 3):
        level, o, height, width = bands[number, 0], bands[number, 1], bands[number, 2], bands[number, 3]
        parts, half = (width + 15) // 16, strides[level, 0]
        at_odd = EIGHT * (parts + 1)
        activity[: 2 * at_odd] = 0
        signs[:] = 0
        used[:] = 0
        chances = still[o, level]
        for y in range(height):
            find_rows(rows, bands, strides, number, y)
            find_live(o, maps, rows, parts, live, hints)
            begin_row(signs, y, used)
            count = 0
            for s in range(parts):
                if live[1 + s] == 0:
                    c = still_context(live, hints, by_four, parts, s)
                    one = np.int64(chances[c])
                    some = (state & LOW) < np.uint64(one)
                    state = binary_left_behind(state, some, one)
                    if state < LEAST:
                        state = state << HALF | word_at(words, at)
                        at += 1
                    chances[c] = adapted(one, some, 32, 5)
                    if not some:
                        continue
                coded[count] = s
                count += 1
            used[y & 1] = 1 if count else 0
            whole = bands[number, 8] + y * strides[level, 1]
            row = restored[bands[number, 4] + y, bands[number, 5] : bands[number, 5] + width]
            for odd in range(2 if count else 0):
                places, p = (width + 1 - odd) >> 1, 2 * o + odd
                for n in range(count):
                    first = EIGHT * coded[n]
                    scaled_eight(
                        o, odd, maps, rows, activity, at_odd * odd, bias[p, level], weights[p], last[p], first, z
                    )
                state, at = decode_places(
                    state, at, words, z, coded[:count], places, odd, ends, slopes_of, corrections[o], slopes,
                    maps, signs, y, rows, whole, sign_chances[p], points[o], step, row,
                )  # fmt: skip
                learn(slopes, corrections[o])
            end_row(maps, rows, activity, 0, at_odd, parts)
    cursor[0], cursor[1] = at, np.int64(state)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_plane(
    words, cursor, masked, base, low, high, step, levels, bands, strides, maps, coefficients, room, bias, weights, last, ends,
    slopes_of, points, signs, still, lowest, mask_chances, blocks, out,
):  # fmt: skip
    """All of a stream: out (rows, columns) uint16 is filled. Tables as `LossyModel` has them, chances as the
    model gives them; cursor: int64 [next word, state]. Room: maps (`Plan.room`,) uint8, coefficients (rows *
    columns,) float32, `room` (`wavelet.room_of`,) float32.
    """
    rows, columns = out.shape
    events, counter = np.zeros(0, np.uint32), np.zeros(1, np.int64)
    mask = np.zeros((rows + 2 if masked else 0, columns + 4), np.uint8)
    if masked:
        code_mask(DECODE, mask, mask_chances.copy(), blocks.copy(), events, counter, words, cursor)
    coefficients[:] = 0
    maps[:] = 0
    restored = coefficients.reshape(rows, columns)
    h, w = rows, columns
    for _ in range(levels):
        h, w = (h + 1) // 2, (w + 1) // 2
    q = np.zeros((h, w), np.int32)
    code_lowest(DECODE, restored[:h, :w], q, lowest.copy(), events, counter, words, cursor)
    for y in range(h):
        for x in range(w):
            restored[y, x] = np.float32(q[y, x]) * step
    decode_bands(
        words, cursor, bands, strides, maps, *rooms(columns), bias, weights, last, ends, slopes_of, points,
        signs.copy(), still.copy(), step, restored,
    )  # fmt: skip
    if cursor[0] == words.size and cursor[1] == LOWEST_STATE:
        synthesise(coefficients, room, levels, base, low, high, mask, out)
