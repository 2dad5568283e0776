"""The coding loop of the lossy tier: the coefficients of a band, each with the distribution that its
surroundings give. One kernel encodes and decodes, so both sides see the same contexts.

All integers, but for the encoder's choice of a value and the values that are handed to the synthesis, which
are products of float32 numbers, one rounding each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..rans import raw, take
from .contexts import LIVELY, PAD, gather, outside, remember
from .surroundings import HIDDEN, head, hidden

ENCODE, DECODE = 0, 1
LIMIT = 2815
"""Largest logit, in 1/256."""
KINDS = 40
BINS = 23
LONGEST_RUN = 16
LARGEST = (1 << 20) - 1


def sigmoid_table() -> np.ndarray:
    """(2 * LIMIT + 1,) uint16: chance of a 1 in 1/65536 for logits -LIMIT .. LIMIT."""
    x = np.arange(-LIMIT, LIMIT + 1) / 256.0
    return np.clip(np.floor(65536.0 / (1.0 + np.exp(-x)) + 0.5), 1, 65535).astype(np.uint16)


def cost_table() -> np.ndarray:
    """(4097,) float32: bits of an event of chance i / 4096 (the encoder's business alone)."""
    return -np.log2(np.maximum(np.arange(4097), 0.5) / 4096.0).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy")
def class_of(m):
    """(class, raw bits, lowest of the class) of a magnitude: 0..4 alone, then two classes an octave."""
    if m < 5:
        return m, 0, m
    e = 0
    while m >= 1 + (8 << e):
        e += 1
    low = 1 + (4 << e)
    if m < low + (2 << e):
        return 5 + 2 * e, e + 1, low
    return 6 + 2 * e, e + 1, low + (2 << e)


@njit(cache=True, nogil=True, error_model="numpy")
def lowest_of(k):
    """(lowest magnitude, raw bits) of a class."""
    if k < 5:
        return k, 0
    e = (k - 5) >> 1
    low = 1 + (4 << e)
    return (low, e + 1) if (k - 5) & 1 == 0 else (low + (2 << e), e + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def binary(mode, bit, one, events, counter, words, cursor):
    """An event of two outcomes, `one` / 65536 the chance of a 1. A 1 has the low slots."""
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
def adapted(logit, kind, place, by_band, by_bin):
    """Logit with what the frame has taught."""
    found = (logit + LIMIT) >> 8
    return min(max(logit + (by_band[kind, place] >> 16) + (by_bin[kind, found] >> 16), -LIMIT), LIMIT)


@njit(cache=True, nogil=True, error_model="numpy")
def learn(bit, one, logit, kind, place, by_band, by_bin, rates):
    error = (65536 if bit else 0) - one
    by_band[kind, place] += error * rates[0]
    by_bin[kind, (logit + LIMIT) >> 8] += error * rates[1]


@njit(cache=True, nogil=True, error_model="numpy")
def logit_of(h, heads, heads_bias, which):
    """A logit in 1/256 of the rectified sums h (32,) int16."""
    return min(max((head(h, heads, which) + int(heads_bias[which])) >> 6, -LIMIT), LIMIT)


@njit(cache=True, nogil=True, error_model="numpy")
def shifted(logits, offsets, j):
    """The logit of 'above class j' from the four of the network."""
    if j < 3:
        return int(logits[j])
    return min(max(int(logits[3]) + int(offsets[min(j, 19)]), -LIMIT), LIMIT)


@njit(cache=True, nogil=True, error_model="numpy")
def magnitude_bits(m, logits, place, offsets, by_band, by_bin, sigmoid, cost):
    """Bits of a magnitude m >= 1 that is known not to be 0, its sign among them."""
    k, raw_bits, _ = class_of(m)
    total = np.float32(1 + raw_bits)
    for j in range(1, k + 1):
        one = sigmoid[adapted(shifted(logits, offsets, j), j, place, by_band, by_bin) + LIMIT]
        total += cost[((one if k > j else 65536 - one) + 8) >> 4]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def size_of(m, logits, points):
    """Where magnitude m >= 1 is restored to, in steps: float32."""
    return np.float32(m) - points[min(m, 3) - 1, (int(logits[min(m, 2)]) + LIMIT) >> 8]


@njit(cache=True, nogil=True, error_model="numpy")
def chosen(a, known, zero, logits, place, offsets, points, by_band, by_bin, sigmoid, cost, price):
    """The encoder's magnitude for |coefficient| a: that of least error + price * bits, among the nearest, the
    one below and 0. `known`, `zero`: bits of being not 0, of being 0.
    """
    top = min(int(a + np.float32(0.5)), LARGEST)
    if price <= 0 or top == 0:
        return top
    best, m = a * a + price * zero, 0
    for t in range(top, max(top - 2, 0), -1):
        bits = known + magnitude_bits(t, logits, place, offsets, by_band, by_bin, sigmoid, cost)
        d = a - size_of(t, logits, points)
        j = d * d + price * bits
        if j < best:
            best, m = j, t
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def code_run(
    mode,
    values,
    r,
    logits,
    place,
    offsets,
    points,
    by_band,
    by_bin,
    sigmoid,
    cost,
    price,
    runs,
    events,
    counter,
    words,
    cursor,
):
    """A run of r quiet places: how many zeros come first, r where all are. runs (17,): of 'not all'."""
    one = int(runs[r])
    found = r
    if mode == 0:
        broken = cost[(one + 8) >> 4] + cost[(65536 // r + 8) >> 4]
        whole = cost[(65536 - one + 8) >> 4]
        for i in range(r):
            a = abs(values[i])
            if a >= 0.5:
                m = chosen(
                    a, broken, whole, logits, place, offsets, points, by_band, by_bin, sigmoid, cost, price
                )
                if m > 0:
                    found = i
                    break
    bit = binary(mode, 1 if found < r else 0, one, events, counter, words, cursor)
    runs[r] = one + (((65536 - 32 if bit else 32) - one) >> 5)
    if bit == 0:
        return r
    frequency = 65536 // r if r > 1 else 32768
    if r == 1:
        return 0
    if mode == 0:
        events[counter[0]] = np.uint32((found * frequency) << 16 | frequency)
        counter[0] += 1
    else:
        found = min((cursor[1] & 0xFFFF) // frequency, r - 1)
        take(words, cursor, found * frequency, frequency)
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def code_band(
    mode,
    values,
    q,
    restored,
    wide,
    own,
    activity,
    signs,
    p_wide,
    parent,
    parent_activity,
    aunts,
    sister,
    sister_2,
    beside,
    level_bias,
    weights,
    heads,
    heads_bias,
    offsets,
    points,
    sign_chances,
    runs,
    place,
    by_band,
    by_bin,
    rates,
    sigmoid,
    cost,
    price,
    events,
    counter,
    words,
    cursor,
):
    """A band in raster order. `values` float32: coefficients by the step (encoding). `q` int32 and `restored`
    float32 (by the step; zero before) are filled. `price`: the encoder's worth of a bit, in squared steps.
    """
    rows, columns = q.shape
    x = np.zeros(34, np.uint8)
    h, quiet_h = np.zeros(HIDDEN, np.int16), np.zeros(HIDDEN, np.int16)
    logits, quiet = np.zeros(4, np.int64), np.zeros(4, np.int64)
    side = np.empty((rows, columns), np.uint8)
    outside(side, wide, p_wide, parent, parent_activity, aunts, sister, sister_2, beside)
    hidden(weights, x, level_bias, quiet_h)
    for k in range(4):
        quiet[k] = logit_of(quiet_h, heads, heads_bias, k)
    still = np.empty(columns + 1, np.uint8)
    for y in range(rows):
        row = (y + PAD) * wide + PAD
        for u in range(columns):
            a, w, one_ = np.uint64(row + u), np.uint64(wide), np.uint64(1)
            n, nn = a - w, a - w - w
            some = side[y, u] | own[n] | own[n - one_] | own[n + one_] | own[n - one_ - one_]
            some |= own[n + one_ + one_] | own[nn] | own[nn - one_] | own[nn + one_]
            still[u] = some | (np.uint8(1) if activity[n] >= LIVELY else np.uint8(0))
        still[columns] = 1
        u = 0
        while u < columns:
            at = row + u
            known = False
            if still[u] == 0 and own[at - 1] | own[at - 2] == 0 and activity[at - 1] < LIVELY:
                r = 1
                while r < LONGEST_RUN and still[u + r] == 0:
                    r += 1
                skipped = code_run(
                    mode,
                    values[y, u : u + r],
                    r,
                    quiet,
                    place,
                    offsets,
                    points,
                    by_band,
                    by_bin,
                    sigmoid,
                    cost,
                    price,
                    runs,
                    events,
                    counter,
                    words,
                    cursor,
                )
                for i in range(skipped):
                    q[y, u + i] = 0
                u += skipped
                if skipped > 0:
                    remember(0, row + u - 1, wide, own, activity)
                if skipped == r:
                    continue
                at = row + u
                known = True
                for k in range(4):
                    logits[k] = quiet[k]
            else:
                p = ((y >> 1) + PAD) * p_wide + (u >> 1) + PAD
                gather(
                    x,
                    at,
                    wide,
                    own,
                    activity,
                    p,
                    p_wide,
                    parent,
                    parent_activity,
                    aunts,
                    sister,
                    sister_2,
                    beside,
                )
                hidden(weights, x, level_bias, h)
                logits[0] = logit_of(h, heads, heads_bias, 0)
                if mode == 0 and abs(values[y, u]) >= 0.5:
                    for k in range(1, 4):
                        logits[k] = logit_of(h, heads, heads_bias, k)
            m = 0
            if mode == 0:
                a_ = abs(values[y, u])
                if known:
                    m = max(
                        1,
                        chosen(
                            a_,
                            np.float32(0.0),
                            np.float32(99.0),
                            logits,
                            place,
                            offsets,
                            points,
                            by_band,
                            by_bin,
                            sigmoid,
                            cost,
                            price,
                        ),
                    )
                elif a_ >= 0.5:
                    one = int(sigmoid[adapted(logits[0], 0, place, by_band, by_bin) + LIMIT])
                    m = chosen(
                        a_,
                        cost[(one + 8) >> 4],
                        cost[(65536 - one + 8) >> 4],
                        logits,
                        place,
                        offsets,
                        points,
                        by_band,
                        by_bin,
                        sigmoid,
                        cost,
                        price,
                    )
            if not known:
                one = int(sigmoid[adapted(logits[0], 0, place, by_band, by_bin) + LIMIT])
                bit = binary(mode, 1 if m > 0 else 0, one, events, counter, words, cursor)
                learn(bit, one, logits[0], 0, place, by_band, by_bin, rates)
                if bit == 0:
                    q[y, u] = 0
                    remember(0, at, wide, own, activity)
                    u += 1
                    continue
                if mode == 1:
                    for k in range(1, 4):
                        logits[k] = logit_of(h, heads, heads_bias, k)
            k, raw_bits, low = class_of(m)
            j = 1
            while j < KINDS - 1:
                logit = shifted(logits, offsets, j)
                one = int(sigmoid[adapted(logit, j, place, by_band, by_bin) + LIMIT])
                bit = binary(mode, 1 if k > j else 0, one, events, counter, words, cursor)
                learn(bit, one, logit, j, place, by_band, by_bin, rates)
                if bit == 0:
                    break
                j += 1
            if mode == 1:
                low, raw_bits = lowest_of(j)
            m = low + raw(mode, m - low, raw_bits, events, counter, words, cursor)
            negative = 1 if mode == 0 and values[y, u] < 0 else 0
            s = 9 * signs[at - 1] + 3 * signs[at - wide] + signs[at - wide - 1]
            one = int(sign_chances[s])
            negative = binary(mode, negative, one, events, counter, words, cursor)
            sign_chances[s] = one + (((65536 - 64 if negative else 64) - one) >> 6)
            signs[at] = 1 + negative
            q[y, u] = -m if negative else m
            size = size_of(m, logits, points)
            restored[y, u] = -size if negative else size
            remember(m, at, wide, own, activity)
            u += 1
