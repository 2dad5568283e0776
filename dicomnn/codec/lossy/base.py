"""The parts of a frame beside its bands: the lowest band, and the mask of its padding."""

from __future__ import annotations

import numpy as np
from numba import njit

from ..rans import raw, take
from .magnitudes import KINDS, class_of, lowest_of

BLOCK = 8


@njit(cache=True, nogil=True, error_model="numpy")
def binary(mode, bit, one, events, counter, words, cursor):
    """An event of two outcomes, `one` / 65536 the chance of a 1. A 1 has the low slots. mode 0 encodes."""
    if mode == 0:
        if bit:
            events[counter[0]] = np.uint32(one)
        else:
            events[counter[0]] = np.uint32(one << 16 | (65536 - one))
        counter[0] += 1
        return bit
    if (cursor[1] & 0xFFFF) < one:
        take(words, cursor, 0, one)
        return 1
    take(words, cursor, one, 65536 - one)
    return 0


@njit(cache=True, nogil=True, error_model="numpy")
def digits(value):
    """Binary digits of a value, 15 at most."""
    found = 0
    while value > 0 and found < 15:
        value >>= 1
        found += 1
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def code_lowest(mode, values, q, chances, events, counter, words, cursor):
    """The lowest band: each value by the median edge predictor, classes with adaptive chances (16, 40)."""
    rows, columns = q.shape
    errors = np.full((rows + 1, columns + 1), 64, np.int64)
    for y in range(rows):
        for u in range(columns):
            w = int(q[y, u - 1]) if u > 0 else (int(q[y - 1, u]) if y > 0 else 0)
            n = int(q[y - 1, u]) if y > 0 else w
            nw = int(q[y - 1, u - 1]) if y > 0 and u > 0 else n
            guess = min(w, n) if nw >= max(w, n) else (max(w, n) if nw <= min(w, n) else w + n - nw)
            at = digits(min(errors[y + 1, u] + errors[y, u + 1], 65535))
            error = 0
            if mode == 0:
                error = int(np.floor(values[y, u] + np.float32(0.5))) - guess
            k, raw_bits, low = class_of(abs(error))
            j = 0
            while j < KINDS - 1:
                one = int(chances[at, j])
                bit = binary(mode, 1 if k > j else 0, one, events, counter, words, cursor)
                chances[at, j] = one + (((65536 - 32 if bit else 32) - one) >> 5)
                if bit == 0:
                    break
                j += 1
            if mode == 1:
                low, raw_bits = lowest_of(j)
            m = low + raw(mode, abs(error) - low, raw_bits, events, counter, words, cursor)
            if m > 0 and raw(mode, 1 if error < 0 else 0, 1, events, counter, words, cursor) == 1:
                m = -m
            q[y, u] = min(max(guess + m, -(1 << 21)), 1 << 21)
            errors[y + 1, u + 1] = min(abs(m), 32767)


@njit(cache=True, nogil=True, error_model="numpy")
def _chance(mode, bit, chances, at, events, counter, words, cursor):
    one = int(chances[at])
    bit = binary(mode, bit, one, events, counter, words, cursor)
    chances[at] = one + (((65536 - 32 if bit else 32) - one) >> 5)
    return bit


@njit(cache=True, nogil=True, error_model="numpy")
def code_mask(mode, mask, pixels, blocks, events, counter, words, cursor):
    """A bit image (rows + 2, columns + 4) uint8, two places above and at the sides. Blocks of 8 x 8 are mixed
    or of one value (chances `blocks` (12,)); the pixels of mixed ones know ten neighbours (`pixels` (1024,)).
    """
    rows, columns = mask.shape[0] - 2, mask.shape[1] - 4
    mixed = np.zeros(columns // BLOCK + 3, np.int64)
    for top in range(0, rows, BLOCK):
        left_mixed = 0
        for left in range(0, columns, BLOCK):
            bottom, right = min(top + BLOCK, rows), min(left + BLOCK, columns)
            first = int(mask[top + 2, left + 2])
            some = 0
            if mode == 0:
                for y in range(top, bottom):
                    for u in range(left, right):
                        if mask[y + 2, u + 2] != first:
                            some = 1
            w, n = int(mask[top + 2, left + 1]), int(mask[top + 1, left + 2])
            at = 4 * (w ^ n) + 2 * left_mixed + mixed[left // BLOCK]
            some = _chance(mode, some, blocks, at, events, counter, words, cursor)
            mixed[left // BLOCK], left_mixed = some, some
            if some == 0:
                first = _chance(mode, first, blocks, 8 + 2 * w + n, events, counter, words, cursor)
                if mode == 1:
                    mask[top + 2 : bottom + 2, left + 2 : right + 2] = first
                continue
            for y in range(top + 2, bottom + 2):
                for u in range(left + 2, right + 2):
                    # Right of the block only rows above it are known; else its last column stands in.
                    u1, u2, v1 = u + 1, u + 2, u + 1
                    if y > top + 2:
                        u1, u2 = min(u1, right + 1), min(u2, right + 1)
                    if y > top + 3:
                        v1 = min(v1, right + 1)
                    at = mask[y, u - 1] | mask[y, u - 2] << 1
                    at |= mask[y - 1, u - 2] << 2 | mask[y - 1, u - 1] << 3
                    at |= mask[y - 1, u] << 4 | mask[y - 1, u1] << 5 | mask[y - 1, u2] << 6
                    at |= mask[y - 2, u - 1] << 7 | mask[y - 2, u] << 8 | mask[y - 2, v1] << 9
                    mask[y, u] = _chance(mode, int(mask[y, u]), pixels, at, events, counter, words, cursor)
