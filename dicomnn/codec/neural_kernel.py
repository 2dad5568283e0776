"""The coding loop of a neural tile: one walk in raster order, the same for encoder and decoder.

Per pixel: neighbours, flat rule, least-squares predictions, causal network, online stage, one symbol
of the mixture's CDF (with raw low bits where the scale is large, or an escape), then every learner is
told the reconstructed value. docs/format.md, section "Neural tile", is this file in words.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .causal import fill_inputs, forward, local_scale, log2_q8
from .features import is_flat, note_sample, pad_row, predict_all
from .online import (
    BIAS,
    SCALE,
    SCALE_ALL,
    bias_context,
    bias_update,
    filter_prediction,
    filter_update,
    scale_context,
    scale_update,
)
from .predictors import enter_pixel, enter_row, gather
from .rans import find

ENCODE, DECODE = 0, 1
EVENTS_PER_PIXEL = 4
GOOD, RAN_OUT, NOT_CLEAN = 0, 1, 2


@njit(cache=True, nogil=True)
def take(words, cursor, start, frequency):
    """Leave the current event behind; cursor: int64 [next word, state, failed]."""
    state = np.uint64(cursor[1])
    state = np.uint64(frequency) * (state >> np.uint64(16)) + (state & np.uint64(0xFFFF)) - np.uint64(start)
    if state < np.uint64(65536):
        if cursor[0] < words.size:
            state = (state << np.uint64(16)) | np.uint64(words[cursor[0]])
            cursor[0] += 1
        else:
            cursor[2] = 1
            state = np.uint64(65536)
    cursor[1] = np.int64(state)


@njit(cache=True, nogil=True)
def raw(mode, value, bits, events, counter, words, cursor):
    """``bits`` equally likely bits, eight at a time from the top; returns the value."""
    left = bits
    result = np.int64(0)
    while left > 0:
        n = min(left, 8)
        left -= n
        frequency = 1 << (16 - n)
        if mode == 0:
            part = (value >> left) & ((1 << n) - 1)
            events[counter[0]] = np.uint32((part * frequency) << 16 | frequency)
            counter[0] += 1
        else:
            part = (cursor[1] & 0xFFFF) // frequency
            take(words, cursor, part * frequency, frequency)
        result = (result << n) | part
    return result


@njit(cache=True, nogil=True)
def code_tile(
    mode,
    tile,
    peak,
    bound,
    start,
    start_error,
    table,
    offsets,
    log_table,
    compand_table,
    cdfs,
    weights1,
    bias1,
    weights2,
    bias2,
    weights3,
    bias3,
    modulation,
    padded,
    errors,
    finals,
    history,
    any_known,
    samples,
    known,
    columns,
    boxes,
    left,
    scratch,
    online,
    events,
    counter,
    words,
    cursor,
):
    """Code a tile (h, w) uint16 in place: read it (ENCODE) or fill it (DECODE).

    ``bound``: largest allowed absolute error; the tile then receives the reconstruction in either
    mode. ``events``/``counter`` are the encoder's output, ``words``/``cursor`` the decoder's input.
    Returns GOOD or RAN_OUT.
    """
    height, width = tile.shape
    most = 0
    for p in range(table.shape[0]):
        most = max(most, table[p, 0])
    count = max(most, 12)
    hidden_width = weights1.shape[1]
    values = np.zeros(30, dtype=np.int64)
    coefficients = np.zeros((table.shape[0], 30), dtype=np.int64)
    matrix = np.zeros((32, 32), dtype=np.float64)
    rhs = np.zeros(30, dtype=np.float64)
    predictions = np.zeros(table.shape[0], dtype=np.int64)
    since = np.zeros(table.shape[0], dtype=np.int64)
    inputs = np.zeros(32, dtype=np.int64)
    first = np.zeros(hidden_width, dtype=np.float32)
    second = np.zeros(hidden_width, dtype=np.float32)
    hidden = np.zeros(hidden_width, dtype=np.float32)
    outputs = np.zeros(3, dtype=np.int64)
    recent = np.zeros(6, dtype=np.int64)
    rows = history.shape[0]
    lanes = samples.shape[1]
    peak_bits = 0
    while (peak >> peak_bits) > 0:
        peak_bits += 1
    step = 2 * bound + 1
    log_step = log2_q8(step, log_table)
    flat_chance = np.zeros(2, dtype=np.int64)
    flat_chance[0] = 32768
    flat_chance[1] = 62000
    flat_before = 0
    for y in range(height):
        pad_row(padded, errors, y, width, start, start_error)
        enter_row(y, width, table, history, any_known, samples, columns, boxes, left, scratch, since)
        any_known[y % rows] = 0
        for x in range(width):
            enter_pixel(x, table, samples, known, left, lanes)
            for p in range(table.shape[0]):
                since[p] += 1
            m4, activity = gather(padded, y, x, offsets, count, values)
            west = np.int64(padded[y + 4, x + 3])
            pixel = np.int64(tile[y, x]) if mode == 0 else np.int64(0)
            same = False
            if is_flat(values):
                chance = flat_chance[flat_before]
                if mode == 0:
                    same = abs(pixel - west) <= bound
                    events[counter[0]] = (
                        np.uint32(chance) if same else np.uint32(chance << 16 | (65536 - chance))
                    )
                    counter[0] += 1
                elif (cursor[1] & 0xFFFF) < chance:
                    same = True
                    take(words, cursor, 0, chance)
                else:
                    take(words, cursor, chance, 65536 - chance)
                if same:
                    flat_chance[flat_before] = min(chance + ((65536 - chance) >> 5), 65472)
                    flat_before = 1
                else:
                    flat_chance[flat_before] = max(chance - (chance >> 5), 64)
                    flat_before = 0
            if same:
                pixel = west
                error = np.int64(0)
                final_error = np.int64(0)
            else:
                blend = predict_all(
                    x,
                    values,
                    m4,
                    activity,
                    peak,
                    table,
                    boxes,
                    left,
                    since,
                    coefficients,
                    matrix,
                    rhs,
                    predictions,
                )
                scale = local_scale(errors, y, x)
                fill_inputs(
                    padded,
                    errors,
                    y,
                    x,
                    values,
                    activity,
                    predictions,
                    blend,
                    scale,
                    offsets,
                    log_table,
                    compand_table,
                    inputs,
                )
                forward(
                    inputs,
                    weights1,
                    bias1,
                    weights2,
                    bias2,
                    weights3,
                    bias3,
                    modulation,
                    first,
                    second,
                    hidden,
                    outputs,
                )
                mean = blend + ((min(max(outputs[0], -768), 768) * scale) >> 8)
                log_scale = log2_q8(scale, log_table) + min(max(outputs[1], -768), 768)
                tail = min(max((outputs[2] + 128) >> 8, 0), 7)

                # Online: recursive filter over the four nearest final errors, then bias.
                c = x + 4
                recent[0] = finals[y + 4, c - 1]
                recent[1] = finals[y + 3, c]
                recent[2] = finals[y + 3, c - 1]
                recent[3] = finals[y + 3, c + 1]
                recent[4] = inputs[0]
                recent[5] = inputs[15]
                correction = filter_prediction(online, recent)
                class_before = (log_scale - 1536 - log_step + 1280) >> 6
                context = bias_context(
                    np.int64(errors[y + 4, c - 1]), np.int64(errors[y + 3, c]), scale, class_before
                )
                shift = correction + (online[BIAS + context] >> 16)
                mean += (shift * scale) >> 6
                mean = min(max(mean, 0), peak * 64)

                # Scale class, bins of 2^low values.
                scale_slot = scale_context(class_before, inputs[23])
                log_scale += (online[SCALE + scale_slot] + online[SCALE_ALL]) >> 16
                scale_class = min(max((log_scale - 1536 - log_step + 1280) >> 6, 0), 31 + 56)
                low = 0
                if scale_class > 31:
                    low = (scale_class - 28) >> 2
                    scale_class -= 4 * low
                centre = (mean + 32) >> 6
                position = (mean - 64 * centre + 32 * step) // step
                fraction = min(position >> (3 + low), 7)
                cdf = cdfs[scale_class, fraction, tail]
                symbol = np.int64(255)
                q = np.int64(0)
                if mode == 0:
                    d = pixel - centre
                    q = (abs(d) + bound) // step
                    if d < 0:
                        q = -q
                    symbol = (q >> low) + 127
                    if symbol < 0 or symbol > 254 or cdf[symbol + 1] == cdf[symbol]:
                        symbol = 255
                    begin = np.int64(cdf[symbol])
                    events[counter[0]] = np.uint32(begin << 16 | (np.int64(cdf[symbol + 1]) - begin))
                    counter[0] += 1
                else:
                    symbol = np.int64(find(cdf, cursor[1] & 0xFFFF))
                    take(
                        words,
                        cursor,
                        np.int64(cdf[symbol]),
                        np.int64(cdf[symbol + 1]) - np.int64(cdf[symbol]),
                    )
                if symbol == 255:
                    pixel = raw(mode, pixel, peak_bits, events, counter, words, cursor)
                else:
                    part = raw(mode, q & ((1 << low) - 1), low, events, counter, words, cursor)
                    q = ((symbol - 127) << low) | part
                    pixel = centre + q * step
                pixel = min(max(pixel, 0), peak)
                error = 64 * pixel - blend
                # The learners: what is left of the error, in 1/64 of the scale.
                rest = (64 * (64 * pixel - mean)) // scale
                rest = min(max(rest, -512), 512)
                final_error = min(max(rest + shift, -255), 255)
                filter_update(online, recent, rest)
                bias_update(online, context, rest)
                if symbol < 255:
                    wider = cdfs[scale_class + 1, fraction, tail]
                    narrower = cdfs[max(scale_class - 1, 0), fraction, tail]
                    up = np.int64(wider[symbol + 1]) - np.int64(wider[symbol])
                    down = np.int64(narrower[symbol + 1]) - np.int64(narrower[symbol])
                    scale_update(
                        online, scale_slot, log2_q8(max(up, 1), log_table) - log2_q8(max(down, 1), log_table)
                    )
                else:
                    scale_update(online, scale_slot, 512)
                if mode == 1 and cursor[2] != 0:
                    return 1
            tile[y, x] = pixel
            padded[y + 4, x + 4] = pixel
            errors[y + 4, x + 4] = error
            finals[y + 4, x + 4] = final_error
            target4 = 4 * pixel - m4
            note_sample(x, values, most, target4, activity, samples, known)
            any_known[y % rows] |= known[x]
    return 0
