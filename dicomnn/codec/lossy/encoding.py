"""The encoder's half of the coding loop: what value each coefficient gets, and the events of it."""

from __future__ import annotations

import numpy as np

from .bands import (
    EIGHT,
    begin_band,
    begin_row,
    end_row,
    find_scales,
    learn,
    state_of,
    still_context,
)
from .events import adapted, binary_event_of, event_of
from .kernels import inlined, kernel
from .magnitudes import KINDS, LARGEST, class_of, mark_of


def cost_tables(ends: np.ndarray) -> np.ndarray:
    """(states, 40) float32: bits of each class, its raw bits among them, from `ends` (states, 41)."""
    frequencies = np.diff(ends.astype(np.float64), axis=1)
    more = np.array([class_of(0)[1]] + [max(0, (k - 3) // 2) for k in range(1, KINDS)])
    return (16 - np.log2(frequencies) + more).astype(np.float32)


@inlined
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
    events, counter, values, coded, odd, o, y, whole, room, tables, sign_chances, restored, cost, price
):
    """As `decoding.decode_places`; `values`: the band's row of coefficients, by the step as `restored`."""
    z, corrections, slopes, signs, marks = room.z, room.corrections[o], room.slopes, room.signs, room.marks
    ends, slopes_of, points = tables.ends, tables.slopes, tables.points[o]
    own, new, places = room.rows[4 + odd], 2 * (y & 1), (restored.size + 1 - odd) >> 1
    n = counter[0]
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
        marks[own + i] = mark
        marks[whole + u] = mark
        size = np.float32(m) - points[c, min(m, 3) - 1]
        restored[u] = -size if negative else size
    counter[0] = n


@kernel
def worth(values, first, o, level, room, tables, cost, price, one):
    """Whether a still part that is not all small is better coded than left zero; one / 65536: chance of it.

    Its scales are those that it has with nothing beside its places.
    """
    find_scales(o, level, 0, first, room, tables, room.z)
    find_scales(o, level, 1, first, room, tables, room.z_odd)
    coded = price * (np.float32(16.0) - np.log2(np.float32(one)))
    zero = price * (np.float32(16.0) - np.log2(np.float32(65536 - one)))
    for u in range(2 * first, min(2 * (first + EIGHT), values.size)):
        c = state_of(room.z_odd[u >> 1] if u & 1 else room.z[u >> 1], room.corrections[o])
        a = abs(values[u])
        _, best = chosen(a, cost[c], tables.points[o, c], price)
        coded += best
        zero += a * a
    return coded < zero


@kernel
def encode_bands(events, counter, scaled, bands, strides, room, tables, signs, still, restored, cost, price):
    """As `decoding.decode_bands`, by the step; scaled (rows, columns) float32: the coefficients. cost:
    `cost_tables`; price: of a bit, in squared steps.
    """
    by_four, live, coded = room.activity.view(np.uint64), room.live, room.coded
    for number in range(bands.shape[0] - 3):
        level, o, height, width = bands[number, 0], bands[number, 1], bands[number, 2], bands[number, 3]
        parts, chances = (width + 15) // 16, still[o, level]
        begin_band(room)
        for y in range(height):
            begin_row(bands, strides, number, y, room)
            at, left = bands[number, 4] + y, bands[number, 5]
            values, row = scaled[at, left : left + width], restored[at, left : left + width]
            count = 0
            for s in range(parts):
                if live[1 + s] == 0:
                    c = still_context(room, by_four, s)
                    one, some = np.int64(chances[c]), False
                    for u in range(16 * s, min(16 * s + 16, width)):
                        some |= abs(values[u]) >= np.float32(0.5)
                    if some and price > 0:
                        some = worth(values, EIGHT * s, o, level, room, tables, cost, price, one)
                    events[counter[0]] = binary_event_of(some, one)
                    counter[0] += 1
                    chances[c] = adapted(one, some, 32, 5)
                    if not some:
                        continue
                coded[count] = s
                count += 1
            room.used[y & 1] = 1 if count else 0
            whole = bands[number, 8] + y * strides[level, 1]
            for odd in range(2 if count else 0):
                for n in range(count):
                    find_scales(o, level, odd, EIGHT * coded[n], room, tables, room.z)
                encode_places(
                    events,
                    counter,
                    values,
                    coded[:count],
                    odd,
                    o,
                    y,
                    whole,
                    room,
                    tables,
                    signs[2 * o + odd],
                    row,
                    cost,
                    price,
                )
                learn(room, o)
            end_row(room, parts)
