"""The coding loop of the lossy tier: the coefficients of a band, each with the distribution that its
surroundings give. One kernel encodes and decodes, so both sides see the same contexts.

All integers, but for the encoder's choice of a value and the values that are handed to the synthesis, which
are products of float32 numbers, one rounding each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ..rans import raw, take
from .contexts import gather, remember

ENCODE, DECODE = 0, 1
LIMIT = 2815
"""Largest logit, in 1/256."""
KINDS = 40
BINS = 23
HIDDEN_TOP = 2047
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
def network(x, inputs, level_bias, w1, b2, w2, b3, w3, a1, a2, out):
    """Classes (34,) uint8 -> four logits in 1/256."""
    a1[:] = level_bias
    for i in range(inputs):
        c = x[i]
        if c != 0:
            for j in range(a1.size):
                a1[j] += w1[i, c, j]
    a2[:] = b2
    for i in range(a1.size):
        h = min(max(a1[i], 0), HIDDEN_TOP)
        if h != 0:
            for j in range(a2.size):
                a2[j] += h * w2[i, j]
    for k in range(4):
        total = b3[k]
        for j in range(a2.size):
            total += min(max(a2[j] >> 8, 0), HIDDEN_TOP) * w3[j, k]
        out[k] = min(max(total >> 8, -LIMIT), LIMIT)


@njit(cache=True, nogil=True, error_model="numpy")
def unused(side, parent, parent_activity, aunt, aunt_2, sister, sister_2, sister_activity):
    """side[y, u] = 0 where everything outside of the band that a coefficient sees is zero."""
    rows, columns = side.shape
    half = np.zeros(((rows + 1) >> 1, (columns + 1) >> 1), np.uint8)
    for y in range(half.shape[0]):
        r = y + 2
        for u in range(half.shape[1]):
            c = u + 2
            some = parent[r, c] | parent[r, c + 1] | parent[r, c - 1] | aunt[r, c] | aunt_2[r, c]
            some |= parent[r - 1, c] | parent[r - 1, c + 1] | parent[r - 1, c - 1]
            some |= parent[r + 1, c] | parent[r + 1, c + 1] | parent[r + 1, c - 1]
            half[y, u] = some | (1 if parent_activity[r, c] != 0 else 0)
    for y in range(rows):
        r = y + 2
        for u in range(columns):
            c = u + 2
            some = sister[r, c] | sister[r, c + 1] | sister[r, c - 1] | sister[r - 1, c] | sister[r + 1, c]
            some |= sister_2[r, c] | sister_2[r, c + 1] | sister_2[r, c - 1]
            some |= sister_2[r - 1, c] | sister_2[r + 1, c]
            side[y, u] = some | half[y >> 1, u >> 1] | (1 if sister_activity[r, c] != 0 else 0)


@njit(cache=True, nogil=True, error_model="numpy")
def magnitude_bits(m, logits, places, place, offsets, by_band, by_bin, sigmoid, cost):
    """Bits of a magnitude >= 1 beyond 'not zero', the sign among them."""
    total = np.float32(1.0)
    k, raw_bits, _ = class_of(m)
    for j in range(1, k + 1):
        logit = logits[min(j, 3)] + (offsets[min(j, 19)] if j >= 3 else 0)
        one = sigmoid[adapted(min(max(logit, -LIMIT), LIMIT), j, place, by_band, by_bin) + LIMIT]
        total += cost[((one if k > j else 65536 - one) + 8) >> 4]
    return total + np.float32(raw_bits)


@njit(cache=True, nogil=True, error_model="numpy")
def code_band(
    mode,
    values,
    q,
    restored,
    own,
    own_activity,
    signs,
    parent,
    parent_activity,
    aunt,
    aunt_2,
    sister,
    sister_2,
    sister_activity,
    inputs,
    level_bias,
    w1,
    b2,
    w2,
    b3,
    w3,
    offsets,
    points,
    sign_chances,
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
    float32 (by the step) are filled. `price`: the encoder's worth of a bit, in squared steps.
    """
    rows, columns = q.shape
    x = np.zeros(34, np.uint8)
    a1, a2 = np.zeros(w1.shape[2], np.int32), np.zeros(w2.shape[1], np.int32)
    logits, quiet = np.zeros(4, np.int32), np.zeros(4, np.int32)
    side = np.zeros((rows, columns), np.uint8)
    unused(side, parent, parent_activity, aunt, aunt_2, sister, sister_2, sister_activity)
    network(x, inputs, level_bias, w1, b2, w2, b3, w3, a1, a2, quiet)
    for y in range(rows):
        r = y + 2
        for u in range(columns):
            c = u + 2
            some = side[y, u] | own[r, c - 1] | own[r, c - 2]
            some |= own[r - 1, c - 2] | own[r - 1, c - 1] | own[r - 1, c]
            some |= own[r - 1, c + 1] | own[r - 1, c + 2]
            some |= own[r - 2, c - 1] | own[r - 2, c] | own[r - 2, c + 1]
            if some == 0 and int(own_activity[r, c - 1]) + int(own_activity[r - 1, c]) < 2:
                logits[:] = quiet
            else:
                gather(
                    x, y, u, own, own_activity, parent, parent_activity,
                    aunt, aunt_2, sister, sister_2, sister_activity,
                )  # fmt: skip
                network(x, inputs, level_bias, w1, b2, w2, b3, w3, a1, a2, logits)
            one = int(sigmoid[adapted(logits[0], 0, place, by_band, by_bin) + LIMIT])
            m, negative = 0, 0
            if mode == 0:
                v = values[y, u]
                negative = 1 if v < 0 else 0
                a = abs(v)
                m = int(a + np.float32(0.5))
                if m > 0 and price > 0:
                    best = a * a + price * cost[(65536 - one + 8) >> 4]
                    top, m = min(m, LARGEST), 0
                    nonzero = cost[(one + 8) >> 4]
                    for t in range(top, max(top - 2, 0), -1):
                        bits = nonzero + magnitude_bits(
                            t, logits, 0, place, offsets, by_band, by_bin, sigmoid, cost
                        )
                        d = a - (np.float32(t) - points[min(t, 3) - 1, (logits[min(t, 2)] + LIMIT) >> 8])
                        j = d * d + price * bits
                        if j < best:
                            best, m = j, t
            bit = binary(mode, 1 if m > 0 else 0, one, events, counter, words, cursor)
            learn(bit, one, logits[0], 0, place, by_band, by_bin, rates)
            if bit == 0:
                q[y, u] = 0
                restored[y, u] = np.float32(0.0)
                remember(0, y, u, own, own_activity)
                continue
            k, raw_bits, low = class_of(m)
            j = 1
            while j < KINDS - 1:
                logit = logits[min(j, 3)] + (offsets[min(j, 19)] if j >= 3 else 0)
                logit = min(max(logit, -LIMIT), LIMIT)
                one = int(sigmoid[adapted(logit, j, place, by_band, by_bin) + LIMIT])
                bit = binary(mode, 1 if k > j else 0, one, events, counter, words, cursor)
                learn(bit, one, logit, j, place, by_band, by_bin, rates)
                if bit == 0:
                    break
                j += 1
            if mode == 1:
                low, raw_bits = lowest_of(j)
            m = low + raw(mode, m - low, raw_bits, events, counter, words, cursor)
            at = 9 * signs[r, c - 1] + 3 * signs[r - 1, c] + signs[r - 1, c - 1]
            one = int(sign_chances[at])
            negative = binary(mode, negative, one, events, counter, words, cursor)
            sign_chances[at] = one + (((64 * 1023 if negative else 64) - one) >> 6)
            signs[r, c] = 1 + negative
            q[y, u] = -m if negative else m
            size = np.float32(m) - points[min(m, 3) - 1, (logits[min(m, 2)] + LIMIT) >> 8]
            restored[y, u] = -size if negative else size
            remember(m, y, u, own, own_activity)
