"""The parts of a frame beside its bands: the lowest band, and the mask of its padding."""

from __future__ import annotations

import numpy as np
from numba import njit

from .events import (
    ENCODE,
    LOW,
    adapted,
    binary_event_of,
    binary_left_behind,
    event_of,
    left_behind,
    refilled,
)
from .magnitudes import KINDS, LARGEST, class_of, lowest_of

BLOCK = 8
LARGEST_VALUE = 1 << 21


@njit(cache=True, nogil=True, error_model="numpy")
def _digits(value):
    """Binary digits of a value, 15 at most."""
    found = 0
    while value > 0 and found < 15:
        value >>= 1
        found += 1
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def code_lowest(mode, values, q, chances, events, counter, words, cursor):
    """The lowest band: each value by the median edge predictor, classes with adaptive chances (16, 40).

    `values` (rows, columns) float32: by the step (encoding); q int32 is filled. events, counter: uint32 and
    int64 (1,), the encoder's; words, cursor: uint16 and int64 [next word, state, failed], the decoder's.
    """
    rows, columns = q.shape
    errors = np.full((rows + 1, columns + 1), 64, np.int64)
    n, state, at = counter[0], np.uint64(cursor[1]), cursor[0]
    for y in range(rows):
        for u in range(columns):
            w = int(q[y, u - 1]) if u > 0 else (int(q[y - 1, u]) if y > 0 else 0)
            above = int(q[y - 1, u]) if y > 0 else w
            nw = int(q[y - 1, u - 1]) if y > 0 and u > 0 else above
            if nw >= max(w, above):
                guess = min(w, above)
            elif nw <= min(w, above):
                guess = max(w, above)
            else:
                guess = w + above - nw
            c = _digits(min(errors[y + 1, u] + errors[y, u + 1], 65535))
            error = 0
            if mode == ENCODE:
                error = int(np.floor(values[y, u] + np.float32(0.5))) - guess
                error = min(max(error, -LARGEST), LARGEST)
            k, left, low = class_of(abs(error))
            j = 0
            while j < KINDS - 1:
                one = np.int64(chances[c, j])
                bit = k > j
                if mode == ENCODE:
                    events[n] = binary_event_of(bit, one)
                    n += 1
                else:
                    bit = (state & LOW) < np.uint64(one)
                    state = binary_left_behind(state, bit, one)
                    state, at = refilled(state, at, words)
                chances[c, j] = adapted(one, bit, 32, 5)
                if not bit:
                    break
                j += 1
            if mode != ENCODE:
                low, left = lowest_of(j)
            # Raw bits, eight at a time from the top, then the sign.
            rest, more = abs(error) - low, 0
            signed = 1 if (k > 0 if mode == ENCODE else j > 0) else 0
            while left + signed > 0:
                if left > 0:
                    some = min(left, 8)
                    left -= some
                    part = (rest >> left) & ((1 << some) - 1)
                else:
                    some, signed = 1, 0
                    part = 1 if error < 0 else 0
                if mode == ENCODE:
                    events[n] = event_of(part << (16 - some), 1 << (16 - some))
                    n += 1
                else:
                    part = np.int64((state & LOW) >> np.uint64(16 - some))
                    state = left_behind(state, part << (16 - some), 1 << (16 - some))
                    state, at = refilled(state, at, words)
                more = more << some | part
            if mode != ENCODE:
                error = low + (more >> 1) if j > 0 else 0
                if more & 1:
                    error = -error
            q[y, u] = min(max(guess + error, -LARGEST_VALUE), LARGEST_VALUE)
            errors[y + 1, u + 1] = min(abs(error), 32767)
    counter[0], cursor[1], cursor[0] = n, np.int64(state), at


@njit(cache=True, nogil=True, error_model="numpy")
def code_mask(mode, mask, chances, blocks, events, counter, words, cursor):
    """A bit image (rows + 2, columns + 4) uint8, two places above and at the sides. Blocks of 8 x 8 are
    mixed or of one value (chances `blocks` (12,)); the places of mixed ones know ten neighbours (`chances`
    (1024,)). The rest as in `code_lowest`.
    """
    rows, columns = mask.shape[0] - 2, mask.shape[1] - 4
    wide, flat = columns + 4, mask.ravel()
    mixed = np.zeros(columns // BLOCK + 3, np.int64)
    n, state, next_ = counter[0], np.uint64(cursor[1]), cursor[0]
    for top in range(0, rows, BLOCK):
        left_mixed = 0
        for left in range(0, columns, BLOCK):
            bottom, right = min(top + BLOCK, rows), min(left + BLOCK, columns)
            start = (top + 2) * wide + left + 2
            w, above, value = int(flat[start - 1]), int(flat[start - wide]), int(flat[start])
            some = False
            if mode == ENCODE:
                for y in range(bottom - top):
                    for u in range(right - left):
                        some |= flat[start + y * wide + u] != value
            for event in range(2):
                c = 8 + 2 * w + above if event else 4 * (w ^ above) + 2 * left_mixed + mixed[left // BLOCK]
                one, bit = np.int64(blocks[c]), (value != 0) if event else some
                if mode == ENCODE:
                    events[n] = binary_event_of(bit, one)
                    n += 1
                else:
                    bit = (state & LOW) < np.uint64(one)
                    state = binary_left_behind(state, bit, one)
                    state, next_ = refilled(state, next_, words)
                blocks[c] = adapted(one, bit, 32, 5)
                if event:
                    value = 1 if bit else 0
                else:
                    some = bit
                    if some:
                        break
            left_mixed = 1 if some else 0
            mixed[left // BLOCK] = left_mixed
            if not some:
                if mode != ENCODE and value:
                    for y in range(bottom - top):
                        flat[start + y * wide : start + y * wide + right - left] = 1
                continue
            for y in range(bottom - top):
                for u in range(right - left):
                    # Right of the block only rows above it are known; else its last column stands in.
                    a = np.uint64(start + y * wide + u)
                    most = right - left - 1 - u
                    n1 = np.uint64(a - np.uint64(wide))
                    n2 = np.uint64(n1 - np.uint64(wide))
                    u1, u2 = (min(1, most), min(2, most)) if y > 0 else (1, 2)
                    v1 = min(1, most) if y > 1 else 1
                    one_, two = np.uint64(1), np.uint64(2)
                    c = flat[a - one_] | flat[a - two] << 1 | flat[n1 - two] << 2 | flat[n1 - one_] << 3
                    c |= flat[n1] << 4 | flat[n1 + np.uint64(u1)] << 5 | flat[n1 + np.uint64(u2)] << 6
                    c |= flat[n2 - one_] << 7 | flat[n2] << 8 | flat[n2 + np.uint64(v1)] << 9
                    place = np.uint64(c)
                    one, bit = np.int64(chances[place]), flat[a] != 0
                    if mode == ENCODE:
                        events[n] = binary_event_of(bit, one)
                        n += 1
                    else:
                        bit = (state & LOW) < np.uint64(one)
                        state = binary_left_behind(state, bit, one)
                        state, next_ = refilled(state, next_, words)
                    chances[place] = adapted(one, bit, 32, 5)
                    flat[a] = 1 if bit else 0
    counter[0], cursor[1], cursor[0] = n, np.int64(state), next_
