"""The encoder's half of the coding loop: what value each coefficient gets, and the events of it."""

from __future__ import annotations

import numpy as np
from numba import njit

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
from .events import adapted, binary_event_of, event_of
from .kernels import kernel
from .magnitudes import KINDS, LARGEST, class_of, mark_of


def cost_tables(ends: np.ndarray) -> np.ndarray:
    """(states, 40) float32: bits of each class, its raw bits among them, from `ends` (states, 41)."""
    frequencies = np.diff(ends.astype(np.float64), axis=1)
    more = np.array([class_of(0)[1]] + [max(0, (k - 3) // 2) for k in range(1, KINDS)])
    return (16 - np.log2(frequencies) + more).astype(np.float32)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def chosen(a, cost, points, price):
    """(magnitude, its squared error + price * bits) for |coefficient| a: the best among the nearest, the one
    below and 0. cost (40,), points (3,): of the place's state.
    """
    best, m = a * a + price * cost[0], 0
    if a < 0.5:
        return m, best
    top = min(int(a + np.float32(0.5)), LARGEST)
    if price <= 0:
        return top, best
    for t in range(top, max(top - 2, 0), -1):
        d = a - (np.float32(t) - points[min(t, 3) - 1])
        j = d * d + price * (cost[class_of(t)[0]] + np.float32(1.0))
        if j < best:
            best, m = j, t
    return m, best


@kernel
def encode_places(
    events, counter, values, z, coded, places, odd, ends, slopes_of, corrections, slopes, maps, signs, y, rows, whole,
    sign_chances, points, step, restored, cost, price,
):  # fmt: skip
    """As `decoding.decode_places`; `values`: the band's row of coefficients by the step."""
    own, new, n = rows[4 + odd], 2 * (y & 1), counter[0]
    for number in range(EIGHT * coded.size):
        i = EIGHT * coded[number >> 3] + (number & 7)
        if i >= places:
            break
        u = 2 * i + odd
        c = state_of(z[i], corrections)
        found = np.uint64(z[i]) >> np.uint64(8)
        m, _ = chosen(abs(values[u]), cost[c], points[c], price)
        if m == 0:
            events[n] = event_of(0, ends[c, 1])
            n += 1
            slopes[found] += slopes_of[c, 0]
            continue
        k, raw_bits, low = class_of(m)
        slopes[found] += slopes_of[c, k]
        events[n] = event_of(ends[c, k], ends[c, k + 1] - ends[c, k])
        n += 1
        while raw_bits > 0:
            some = min(raw_bits, 8)
            raw_bits -= some
            part = ((m - low) >> raw_bits) & ((1 << some) - 1)
            events[n] = event_of(part << (16 - some), 1 << (16 - some))
            n += 1
        if odd:
            s = 9 * signs[new, i + 1] + 3 * signs[3 - new, i + 1] + signs[new, i + 2]
        else:
            s = 9 * signs[2 - new, i + 1] + 3 * signs[3 - new, i] + signs[3 - new, i + 1]
        one = np.int64(sign_chances[s])
        negative = values[u] < 0
        events[n] = binary_event_of(negative, one)
        n += 1
        sign_chances[s] = adapted(one, negative, 64, 6)
        signs[new + odd, i + 1] = 2 if negative else 1
        mark = mark_of(m)
        maps[own + i] = mark
        maps[whole + u] = mark
        size = (np.float32(m) - points[c, min(m, 3) - 1]) * step
        restored[u] = -size if negative else size
    counter[0] = n


@kernel
def worth(values, z, z_odd, first, places, ends, corrections, points, cost, price, one):
    """Whether a still part that is not all small is better coded than left zero; one / 65536: chance of it."""
    coded = price * (np.float32(16.0) - np.log2(np.float32(one)))
    zero = price * (np.float32(16.0) - np.log2(np.float32(65536 - one)))
    for u in range(2 * first, min(2 * (first + EIGHT), places)):
        c = state_of(z_odd[u >> 1] if u & 1 else z[u >> 1], corrections)
        a = abs(values[u])
        _, best = chosen(a, cost[c], points[c], price)
        coded += best
        zero += a * a
    return coded < zero


@njit(cache=True, nogil=True, error_model="numpy")
def encode_bands(
    events, counter, scaled, bands, strides, room, bias, weights, last, ends, slopes_of, points, sign_chances,
    still, step, restored, cost, price,
):  # fmt: skip
    """As `decoding.decode_bands`; scaled (rows, columns) float32: the coefficients by the step."""
    signs, z, activity, live, hints, used, coded, rows, corrections, slopes = rooms(scaled.shape[1])
    maps = np.zeros(room, np.uint8)
    z_odd, by_four = np.zeros_like(z), activity.view(np.uint64)
    for number in range(bands.shape[0] - 3):
        level, o, height, width = bands[number, 0], bands[number, 1], bands[number, 2], bands[number, 3]
        parts = (width + 15) // 16
        at_odd = EIGHT * (parts + 1)
        activity[: 2 * at_odd] = 0
        signs[:] = 0
        used[:] = 0
        chances = still[o, level]
        for y in range(height):
            find_rows(rows, bands, strides, number, y)
            find_live(o, maps, rows, parts, live, hints)
            begin_row(signs, y, used)
            left = bands[number, 5]
            values = scaled[bands[number, 4] + y, left : left + width]
            row = restored[bands[number, 4] + y, left : left + width]
            count = 0
            for s in range(parts):
                if live[1 + s] == 0:
                    c = still_context(live, hints, by_four, parts, s)
                    one, some = np.int64(chances[c]), False
                    for u in range(16 * s, min(16 * s + 16, width)):
                        some |= abs(values[u]) >= np.float32(0.5)
                    if some and price > 0:
                        p, first = 2 * o, EIGHT * s
                        scaled_eight(o, 0, maps, rows, activity, 0, bias[p, level], weights[p], last[p], first, z)
                        p += 1
                        scaled_eight(
                            o, 1, maps, rows, activity, at_odd, bias[p, level], weights[p], last[p], first, z_odd
                        )
                        some = worth(
                            values, z, z_odd, first, width, ends, corrections[o], points[o], cost, price, one
                        )
                    events[counter[0]] = binary_event_of(some, one)
                    counter[0] += 1
                    chances[c] = adapted(one, some, 32, 5)
                    if not some:
                        continue
                coded[count] = s
                count += 1
            used[y & 1] = 1 if count else 0
            whole = bands[number, 8] + y * strides[level, 1]
            for odd in range(2 if count else 0):
                places, p = (width + 1 - odd) >> 1, 2 * o + odd
                for n in range(count):
                    scaled_eight(
                        o, odd, maps, rows, activity, at_odd * odd, bias[p, level], weights[p], last[p],
                        EIGHT * coded[n], z,
                    )  # fmt: skip
                encode_places(
                    events, counter, values, z, coded[:count], places, odd, ends, slopes_of, corrections[o],
                    slopes, maps, signs, y, rows, whole, sign_chances[p], points[o], step, row, cost, price,
                )  # fmt: skip
                learn(slopes, corrections[o])
            end_row(maps, rows, activity, 0, at_odd, parts)
