"""The decoder's half of the coding loop."""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from ..lanes import I64, i64
from .bands import BINS, EIGHT, end_row, find_live, find_rows, learn, scaled_eight, state_of, still_context
from .inputs import ROWS
from .magnitudes import lowest_of, mark_of

LOW, LEAST = np.uint64(0xFFFF), np.uint64(65536)
HALF, BYTE = np.uint64(16), np.uint64(8)


@intrinsic
def word_at(typing, words, at):  # type: ignore[no-untyped-def]
    """words[at], 0 beyond their end, as uint64. (A numba function would count references to `words`.)"""

    def generate(context, b, signature, arguments):  # type: ignore[no-untyped-def]
        array = context.make_array(signature.args[0])(context, b, arguments[0])
        inside = b.icmp_unsigned("<", arguments[1], array.nitems)
        found = b.load(b.gep(array.data, [b.select(inside, arguments[1], i64(0))]))
        return b.select(inside, b.zext(found, I64), i64(0))

    return types.uint64(words, types.int64), generate


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def left_behind(state, start, frequency):
    """The state after an event; below 65536 it wants a word."""
    return np.uint64(frequency) * (state >> HALF) + (state & LOW) - np.uint64(start)


@njit(cache=True, nogil=True, error_model="numpy")
def decode_places(
    state, at, words, z, coded, places, odd, ends, slopes_of, corrections, slopes, maps, signs, rows, whole,
    sign_chances, points, step, restored,
):  # fmt: skip
    """The places of the parts `coded` of a half row; `restored`: the band's row. Gives (state, next word).

    One loop without calls, and unsigned indices, which numba need not test for counting from the end: this
    is where decoding spends its time.
    """
    own, even, above, above_odd = rows[4 + odd], rows[4], rows[2], rows[3]
    end = np.uint64(places)
    for n in range(EIGHT * coded.size):
        i = np.uint64(EIGHT * coded[n >> 3] + (n & 7))
        if i >= end:
            break
        c = state_of(z[i], corrections)
        found = np.uint64(z[i]) >> BYTE
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
        j = np.int64(i)
        if odd:
            s = 9 * signs[np.uint64(even + j)] + 3 * signs[np.uint64(above_odd + j)]
            s += signs[np.uint64(even + j + 1)]
        else:
            s = 9 * signs[np.uint64(above + j)] + 3 * signs[np.uint64(above_odd + j - 1)]
            s += signs[np.uint64(above_odd + j)]
        one = sign_chances[np.uint64(s)]
        negative = (state & LOW) < np.uint64(one)
        if negative:
            state = left_behind(state, 0, one)
            sign_chances[np.uint64(s)] = one + ((65536 - 64 - one) >> 6)
        else:
            state = left_behind(state, one, 65536 - one)
            sign_chances[np.uint64(s)] = one + ((64 - one) >> 6)
        if state < LEAST:
            state = state << HALF | word_at(words, at)
            at += 1
        signs[np.uint64(own + j)] = 2 if negative else 1
        mark = mark_of(m)
        maps[np.uint64(own + j)] = mark
        maps[np.uint64(whole + 2 * j + odd)] = mark
        size = (np.float32(m) - points[c, np.uint64(min(m, 3) - 1)]) * step
        restored[np.uint64(2 * j + odd)] = -size if negative else size
    return state, at


@njit(cache=True, nogil=True, error_model="numpy")
def decode_bands(
    words, cursor, bands, strides, maps, bias, weights, last, ends, slopes_of, points, sign_chances, still,
    step, restored,
):  # fmt: skip
    """All bands but the lowest. cursor: int64 [next word, state, failed]; restored (rows, columns) float32,
    zero before. The rest as `frame.Tables` has it; sign_chances and still adapt.
    """
    signs = np.zeros(maps.size, np.uint8)
    rows = np.zeros(ROWS, np.int64)
    corrections, slopes = np.zeros((3, BINS), np.int64), np.zeros(BINS, np.int64)
    state, at = np.uint64(cursor[1]), cursor[0]
    for number in range(bands.shape[0] - 3):
        level, o, height, width = bands[number, 0], bands[number, 1], bands[number, 2], bands[number, 3]
        parts, half = (width + 15) // 16, strides[level, 0]
        z = np.zeros(EIGHT * parts, np.int16)
        activity = np.zeros(2 * EIGHT * (parts + 1), np.int16)
        at_odd = EIGHT * (parts + 1)
        by_four = activity.view(np.uint64)
        live, hints = np.zeros(parts + 5, np.uint8), np.zeros(parts + 4, np.uint8)
        coded = np.empty(parts, np.int64)
        chances = still[o, level]
        for y in range(height):
            find_rows(rows, bands, strides, number, y)
            find_live(o, maps, rows, parts, live, hints)
            count = 0
            for s in range(parts):
                if live[1 + s] == 0:
                    c = still_context(live, hints, by_four, parts, s)
                    one = np.int64(chances[c])
                    nothing = (state & LOW) >= np.uint64(one)
                    if nothing:
                        state = left_behind(state, one, 65536 - one)
                        chances[c] = one + ((32 - one) >> 5)
                    else:
                        state = left_behind(state, 0, one)
                        chances[c] = one + ((65536 - 32 - one) >> 5)
                    if state < LEAST:
                        state = state << HALF | word_at(words, at)
                        at += 1
                    if nothing:
                        continue
                coded[count] = s
                count += 1
            whole = bands[number, 8] + y * strides[level, 1]
            row = restored[bands[number, 4] + y, bands[number, 5] : bands[number, 5] + width]
            for odd in range(2):
                places, p = (width + 1 - odd) >> 1, 2 * o + odd
                for n in range(count):
                    first = EIGHT * coded[n]
                    scaled_eight(
                        o, odd, maps, rows, activity, at_odd * odd, bias[p, level], weights[p], last[p], first, z
                    )
                state, at = decode_places(
                    state, at, words, z, coded[:count], places, odd, ends, slopes_of, corrections[o], slopes,
                    maps, signs, rows, whole, sign_chances[p], points[o], step, row,
                )  # fmt: skip
                learn(slopes, corrections[o])
            end_row(maps, rows, activity, 0, at_odd, parts)
    cursor[0], cursor[1] = at, np.int64(state)
    if at > words.size:
        cursor[2] = 1
