"""The coding loop of a neural tile: one walk in raster order, the same for encoder, decoder and training.

Per pixel: windows move on, neighbours, flat rule, least-squares predictions, causal network, online stage,
one symbol of the mixture's CDF (with raw low bits where the scale is large, or an escape), then every
learner is told the reconstructed value. docs/format-neural.md is this file in words.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .causal import (
    FIRST_PREDICTION,
    INPUTS,
    ORDER,
    WEST_ERROR,
    WIDTH_1,
    WIDTH_2,
    blend_of,
    error_of_predictor,
    fill_inputs,
    fill_reference_inputs,
    forward,
    local_scale,
    log2_q8,
)
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
from .pixel_tables import distribution_at, find, frequency_at
from .predictors import (
    MOST_PREDICTORS,
    OWN_WITH_REFERENCE,
    ROWS,
    SAMPLE,
    VALUES,
    begin_row,
    gather,
    gather_10,
    keep_sample,
    predict,
    sample_at,
    slide_window,
    solve_window,
)
from .rans import raw, take

ENCODE, DECODE, EXTRACT = 0, 1, 2
EVENTS_PER_PIXEL = 4
GOOD, RAN_OUT = 0, 1


@njit(cache=True, nogil=True, error_model="numpy")
def margins(buffer, first, row, stride, outside):
    """Margins of a row before it is coded: left from the row above, right of the row above itself.

    ``first``: where the padded plane begins in the flat buffer.
    """
    at = first + (row + 4) * stride
    if row == 0:
        for k in range(first, at + 4):
            buffer[k] = outside
    else:
        for c in range(4):
            buffer[at + c] = buffer[at - stride + 4]
            buffer[at - 4 + c] = buffer[at - 5]


@njit(cache=True, nogil=True, error_model="numpy")
def is_flat(values):
    """Whether the nearest ten known pixels are equal."""
    for k in range(1, 10):
        if values[k] != values[0]:
            return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def code_tile(
    mode,
    pixels,
    tile,
    table,
    log_table,
    starts,
    slopes,
    w1,
    bias1,
    gain1,
    w2,
    bias2,
    gain2,
    w3,
    bias3,
    work,
    stream,
    record,
):
    """Code a tile ``pixels`` (h, w) uint16 in place: read it (ENCODE, EXTRACT) or fill it (DECODE).

    With a bound the tile receives the reconstruction in either mode. ``starts``, ``slopes``: from
    `pixel_tables`. EXTRACT records the network's inputs and codes nothing.
    Returns GOOD or RAN_OUT.
    """
    height, width = pixels.shape
    stride = width + 8
    peak, bound = np.int64(tile.peak), np.int64(tile.bound)
    padded, errors, sizes = work.padded, work.errors, work.sizes
    finals, misses = work.finals, work.misses
    samples, sums, columns = work.samples, work.sums, work.columns
    offsets, reference_offsets, online = work.offsets, work.reference_offsets, work.online
    reference = work.reference
    words, cursor, events, counter = stream.words, stream.cursor, stream.events, stream.counter
    with_reference = reference.size > 0
    count = table.shape[0]
    longest = np.int64(10)
    for p in range(count):
        if table[p, 3] == 0:
            longest = max(longest, table[p, 0])
    most = max(longest, 18)
    # Own values first, then those of a predictor with a reference.
    values = np.zeros(2 * VALUES, dtype=np.int32)
    reference_values = np.zeros(12, dtype=np.int32)
    own_reference = np.zeros(16, dtype=np.int32)
    coefficients = np.zeros(MOST_PREDICTORS * VALUES, dtype=np.int32)
    area = padded.size
    reference_sample = ROWS * width * SAMPLE
    solver = np.zeros(1024, dtype=np.float32)
    solution = np.zeros(32, dtype=np.float32)
    predictions = np.zeros(MOST_PREDICTORS, dtype=np.int64)
    recent_misses = np.zeros(MOST_PREDICTORS, dtype=np.int64)
    since = np.zeros(MOST_PREDICTORS, dtype=np.int64)
    differences = np.zeros(12, dtype=np.int32)
    inputs = np.zeros(INPUTS, dtype=np.int16)
    first = np.zeros(WIDTH_1, dtype=np.int16)
    second = np.zeros(WIDTH_2, dtype=np.int16)
    outputs = np.zeros(8, dtype=np.int32)
    recent = np.zeros(6, dtype=np.int64)
    peak_bits = 0
    while (peak >> peak_bits) > 0:
        peak_bits += 1
    step = 2 * bound + 1
    log_step = log2_q8(step, log_table)
    flat_chance = np.zeros(2, dtype=np.int64)
    flat_chance[0] = 32768
    flat_chance[1] = 62000
    flat_before = 0
    m4_reference = np.int64(0)
    reference_activity = np.int64(0)
    for y in range(height):
        margins(padded, 0, y, stride, tile.start)
        margins(errors, 0, y, stride, tile.start_error)
        margins(sizes, 0, y, stride, tile.start_error)
        for p in range(count):
            margins(misses, p * area, y, stride, tile.start_error)
            begin_row(y, width, table, p, sums, columns, samples, since)
        for x in range(width):
            at = (y + 4) * stride + x + 4
            for p in range(count):
                slide_window(y, x, width, table, p, sums, columns, samples)
                since[p] += 1
            m4, activity = gather(padded, at, offsets, most, values)
            west = np.int64(padded[at - 1])
            pixel = np.int64(pixels[y, x]) if mode != 1 else np.int64(0)
            if with_reference:
                m4_reference, reference_activity = gather_10(reference, at, offsets, own_reference)
                for k in range(12):
                    reference_values[k] = 4 * reference[at + reference_offsets[k]] - m4_reference
            same = False
            flat = is_flat(values)
            if flat and mode != 2:
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
            elif flat:
                same = pixel == west
                record.flat[y * width + x] = 2 if same else 1
            if with_reference:
                for k in range(OWN_WITH_REFERENCE):
                    values[VALUES + k] = values[k]
                for k in range(12):
                    values[VALUES + OWN_WITH_REFERENCE + k] = reference_values[k]
            error = np.int64(0)
            final_error = np.int64(0)
            if same:
                pixel = west
                for p in range(count):
                    misses[p * area + at] = 0
            else:
                for p in range(count):
                    if since[p] >= table[p, 2]:
                        solve_window(
                            table[p, 0], sums, table[p, 4], solver, solution, coefficients, VALUES * p
                        )
                        since[p] = 0
                    predictions[p] = predict(
                        values,
                        VALUES * table[p, 3],
                        table[p, 0],
                        coefficients,
                        VALUES * p,
                        m4,
                        activity,
                        peak,
                    )
                    recent_misses[p] = error_of_predictor(misses, p * area + at, stride)
                blend = blend_of(predictions, recent_misses, count)
                scale = local_scale(sizes, at, stride)
                scale_log = fill_inputs(
                    padded,
                    errors,
                    sizes,
                    at,
                    stride,
                    y * width + x,
                    values,
                    m4,
                    activity,
                    predictions,
                    recent_misses,
                    count,
                    blend,
                    scale,
                    offsets,
                    log_table,
                    inputs,
                )
                if with_reference:
                    fill_reference_inputs(
                        reference,
                        at,
                        m4,
                        m4_reference,
                        reference_values,
                        values,
                        reference_activity,
                        blend,
                        scale,
                        own_reference,
                        log_table,
                        differences,
                        inputs,
                    )
                if mode == 2:
                    place = y * width + x
                    for k in range(INPUTS):
                        record.inputs[place, ORDER[k]] = inputs[k]
                    record.scales[place] = scale
                    record.targets[place] = 64 * pixel - blend
                else:
                    forward(
                        inputs,
                        with_reference,
                        w1,
                        bias1,
                        gain1,
                        w2,
                        bias2,
                        gain2,
                        w3,
                        bias3,
                        first,
                        second,
                        outputs,
                    )
                    mean = blend + ((min(max(np.int64(outputs[0]) >> 6, -768), 768) * scale) >> 8)
                    log_scale = scale_log + min(max(np.int64(outputs[1]) >> 6, -768), 768)
                    tail = min(max(((np.int64(outputs[2]) >> 6) + 128) >> 8, 0), 7)

                    # Online: recursive filter over the four nearest final errors, then bias.
                    recent[0] = finals[at - 1]
                    recent[1] = finals[at - stride]
                    recent[2] = finals[at - stride - 1]
                    recent[3] = finals[at - stride + 1]
                    recent[4] = inputs[FIRST_PREDICTION]
                    recent[5] = inputs[WEST_ERROR]
                    correction = filter_prediction(online, recent)
                    class_before = (log_scale - 1536 - log_step + 1280) >> 6
                    context = bias_context(
                        np.int64(errors[at - 1]), np.int64(errors[at - stride]), scale, class_before
                    )
                    shift = correction + (online[BIAS + context] >> 16)
                    mean += (shift * scale) >> 6
                    mean = min(max(mean, 0), peak * 64)

                    # Scale class, bins of 2^low values.
                    scale_slot = scale_context(class_before, np.int64(inputs[34]))
                    log_scale += (online[SCALE + scale_slot] + online[SCALE_ALL]) >> 16
                    scale_class = min(max((log_scale - 1536 - log_step + 1280) >> 6, 0), 31 + 56)
                    low = np.int64(0)
                    if scale_class > 31:
                        low = (scale_class - 28) >> 2
                        scale_class -= 4 * low
                    centre = (mean + 32) >> 6
                    position = mean - 64 * centre + 32
                    if bound > 0:
                        position = (mean - 64 * centre + 32 * step) // step
                    fraction = min(position >> (3 + low), 7)
                    distribution = distribution_at(scale_class, fraction, tail)
                    symbol = np.int64(255)
                    q = np.int64(0)
                    if mode == 0:
                        d = pixel - centre
                        q = abs(d)
                        if bound > 0:
                            q = (q + bound) // step
                        if d < 0:
                            q = -q
                        symbol = (q >> low) + 127
                        place = distribution + symbol
                        if symbol < 0 or symbol > 254 or starts[place + 1] == starts[place]:
                            symbol = np.int64(255)
                        begin = np.int64(starts[distribution + symbol])
                        frequency = frequency_at(starts, distribution, symbol)
                        events[counter[0]] = np.uint32(begin << 16 | frequency)
                        counter[0] += 1
                    else:
                        symbol = find(starts, distribution, cursor[1] & 0xFFFF)
                        begin = np.int64(starts[distribution + symbol])
                        take(words, cursor, begin, frequency_at(starts, distribution, symbol))
                    if symbol == 255:
                        pixel = raw(mode, pixel, peak_bits, events, counter, words, cursor)
                    else:
                        part = raw(mode, q & ((1 << low) - 1), low, events, counter, words, cursor)
                        q = ((symbol - 127) << low) | part
                        pixel = centre + q * step
                    pixel = min(max(pixel, 0), peak)
                    # The learners: what is left of the error, in 1/64 of the scale.
                    rest = (64 * (64 * pixel - mean)) // scale
                    rest = min(max(rest, -512), 512)
                    final_error = min(max(rest + shift, -255), 255)
                    filter_update(online, recent, rest)
                    bias_update(online, context, rest)
                    scale_update(online, scale_slot, np.int64(slopes[distribution + symbol]))
                    if mode == 1 and cursor[2] != 0:
                        return RAN_OUT
                error = 64 * pixel - blend
                for p in range(count):
                    misses[p * area + at] = abs(64 * pixel - predictions[p])
            pixels[y, x] = pixel
            padded[at] = pixel
            errors[at] = error
            sizes[at] = abs(error)
            finals[at] = final_error
            target4 = 4 * pixel - m4
            place = sample_at(y, x, width)
            keep_sample(samples, place, values, 0, longest, target4, activity)
            if with_reference:
                keep_sample(samples, reference_sample + place, values, VALUES, 30, target4, activity)
    return GOOD
