"""The causal integer network: what it reads of a pixel's past, and its exact evaluation.

Inputs are 64 integers in -127..127 made from the predictors, the neighbours, recent errors and local
scales; the last sixteen tell of the reference plane and are zero without one. Two hidden layers,
modulated by the tile code (scale and shift per channel, Perez et al. 2018), give three numbers: a
correction of the mean, of the log scale, and the tail class. All arithmetic is exact: integers, and
float32 operations each rounded on its own where a difference is bent.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .lanes import leading_parts
from .network_lanes import bend_own, log_inputs, make_dense, make_hidden

INPUTS = 64
OWN_INPUTS = 48
"""Inputs that a tile without a reference uses."""
WIDTH_1, WIDTH_2 = 64, 32
NARROW_WIDTH = 32
"""Units of the first layer that work at effort fast: the first ones."""
OUTPUTS = 3
PADDED_OUTPUTS = 8
INPUT_LIMIT = 127
HIDDEN_LIMIT = 255
FIRST_SHIFT = 8
SECOND_SHIFT = 9
OUTPUT_SHIFT = 6
TAIL_CLASSES = 8

ORDER = np.array([*range(5, 31), *range(5), *range(31, INPUTS)], dtype=np.int64)
"""Number (docs/format-neural.md) of the input in each place of the kernels' input vector: neighbours and
errors come before predictions, so that whole vectors are written and read.
"""
FIRST_PREDICTION, WEST_ERROR = 26, 16
"""Places of two inputs that the online stage uses; from 32 on places and numbers are the same."""

hidden_own = make_hidden(OWN_INPUTS, WIDTH_1, FIRST_SHIFT)
hidden_all = make_hidden(INPUTS, WIDTH_1, FIRST_SHIFT)
hidden_second = make_hidden(WIDTH_1, WIDTH_2, SECOND_SHIFT)
narrow_own = make_hidden(OWN_INPUTS, NARROW_WIDTH, FIRST_SHIFT)
narrow_all = make_hidden(INPUTS, NARROW_WIDTH, FIRST_SHIFT)
narrow_second = make_hidden(NARROW_WIDTH, WIDTH_2, SECOND_SHIFT)
dense_third = make_dense(WIDTH_2, PADDED_OUTPUTS)


@njit(cache=True, nogil=True, error_model="numpy")
def log2_q8(value, log_table):
    """log2 of an integer >= 1 in 1/256, from its leading bit and eight more."""
    parts = leading_parts(np.int64(value))
    return (parts & -256) + log_table[parts & 255]


@njit(cache=True, nogil=True, error_model="numpy")
def local_scale(sizes, at, stride):
    """Expected absolute error in 1/64: 0.65 * weighted mean of eight causal ones + 0.08."""
    north = at - stride
    total = (
        4 * (sizes[at - 1] + sizes[north])
        + 2 * (sizes[north - 1] + sizes[north + 1] + sizes[at - 2] + sizes[north - stride])
        + sizes[north - 2]
        + sizes[north + 2]
    )
    return np.int64(((total * 37) >> 10) + 5)


@njit(cache=True, nogil=True, error_model="numpy")
def error_of_predictor(misses, at, stride):
    """Eight times the recent absolute error of one predictor: W and N count twice, NW, NE, WW, NN once."""
    return np.int64(
        2 * (misses[at - 1] + misses[at - stride])
        + misses[at - stride - 1]
        + misses[at - stride + 1]
        + misses[at - 2]
        + misses[at - 2 * stride]
    )


@njit(cache=True, nogil=True, error_model="numpy")
def blend_of(predictions, recent, count):
    """Mean of the predictions weighted by one over their recent error squared, in 1/64."""
    if count == 1:
        return predictions[0]
    least = recent[0]
    for p in range(1, count):
        least = min(least, recent[p])
    total = np.int64(0)
    weights = np.int64(0)
    for p in range(count):
        ratio = ((least + 128) << 10) // (recent[p] + 128)
        weight = ratio * ratio
        weights += weight
        total += weight * predictions[p]
    return total // weights


@njit(cache=True, nogil=True, error_model="numpy")
def bend(differences, count, scale, inputs, first):
    """inputs[first + k] = 127 * t / (1 + |t|), t = difference / (4 * scale), cut towards zero; float32."""
    gain = np.float32(0.25) / np.float32(scale)
    one, most = np.float32(1.0), np.float32(127.0)
    for k in range(count):
        t = np.float32(differences[k]) * gain
        inputs[first + k] = np.int16(most * (t / (one + abs(t))))


@njit(cache=True, nogil=True, error_model="numpy")
def log_input(value, log_scale, log_table):
    """log2 of a value against the local scale, in 1/16, within -127..127."""
    return min(max((log2_q8(value, log_table) - log_scale) >> 4, -127), 127)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_inputs(
    padded,
    errors,
    sizes,
    at,
    stride,
    known,
    values,
    m4,
    activity,
    predictions,
    recent,
    count,
    blend,
    scale,
    offsets,
    log_table,
    inputs,
):
    """The 48 own inputs of a pixel into ``inputs`` (int16), in the kernels' ORDER; returns log2 of the scale.

    ``at``: index of the pixel in the flat padded buffers; ``sizes``: absolute ``errors``; ``known``: pixels
    before this one; ``predictions``, ``recent``: int64 (5,), zero beyond ``count``.
    """
    lowest = highest = predictions[0]
    for p in range(1, count):
        lowest = min(lowest, predictions[p])
        highest = max(highest, predictions[p])
    bend_own(
        values,
        16 * m4 - blend,
        errors,
        at,
        offsets,
        predictions[0] - blend,
        predictions[1] - blend if count > 1 else 0,
        predictions[2] - blend if count > 2 else 0,
        predictions[3] - blend if count > 3 else 0,
        predictions[4] - blend if count > 4 else 0,
        blend,
        scale,
        inputs,
    )
    north = at - stride
    near = sizes[at - 1] + sizes[north]
    wide = np.int64(0)
    for d in range(-3, 4):
        wide += sizes[north + d]
    for d in range(-2, 3):
        wide += sizes[north - stride + d]
    same = np.int64(0)
    for k in range(1, 10):
        same += values[k] == values[0]
    n, w, nw = padded[north], padded[at - 1], padded[north - 1]
    across = abs(w - nw) + abs(n - padded[north - stride])
    along = abs(n - nw) + abs(w - padded[at - 2])
    largest = max(sizes[at - 1], sizes[north])
    for k in range(2, 6):
        largest = max(largest, sizes[at + offsets[k]])
    log_scale = log2_q8(scale, log_table)
    log_inputs(
        log_scale,
        16 * activity // 10 + 16,
        near // 2 + 4,
        wide // 12 + 4,
        highest - lowest + 4,
        ((blend & 63) - 32) * 3,
        same * 12,
        32 * across + 4,
        32 * along + 4,
        largest + 4,
        (recent[0] >> 3) + 4,
        (recent[1] >> 3) + 4,
        (recent[2] >> 3) + 4,
        (recent[3] >> 3) + 4,
        (recent[4] >> 3) + 4,
        count,
        known + 1,
        inputs,
    )
    return log_scale


@njit(cache=True, nogil=True, error_model="numpy")
def fill_reference_inputs(
    reference,
    at,
    m4,
    reference_m4,
    reference_values,
    values,
    reference_activity,
    blend,
    scale,
    own_reference,
    log_table,
    differences,
    inputs,
):
    """Inputs 48..63 from the reference plane.

    ``reference_values``: int32 (12,), four times its pixels less four local means; ``own_reference``: int32
    (10,), the same of the reference at the causal neighbours' places.
    """
    level = 16 * m4 - blend
    for k in range(11):
        differences[k] = 16 * reference_values[k] + level
    differences[11] = 64 * reference[at] - blend
    bend(differences, 12, scale, inputs, 48)
    log_scale = log2_q8(scale, log_table)
    unlike = np.int64(0)
    for k in range(10):
        unlike += abs(values[k] - own_reference[k])
    inputs[60] = log_input(16 * unlike // 10 + 16, log_scale, log_table)
    inputs[61] = 127
    inputs[62] = log_input(16 * reference_activity // 10 + 16, log_scale, log_table)
    inputs[63] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def forward(
    inputs, with_reference, w1, bias1, gain1, w2, bias2, gain2, w3, bias3, first, second, outputs
):
    """Three outputs (int32), to be shifted down by OUTPUT_SHIFT: mean correction in scales, log2 scale
    correction, tail class, each in 1/256.

    ``w1`` .. ``bias3``: from `Model.weights_for`, narrow or wide, the tile's modulation already in biases and
    gains (arrays one by one, not a tuple: numba counts references on every access to one). ``first``,
    ``second``: int16 (64,), (32,) work space; ``outputs``: int32 (8,).
    """
    if w1.size < INPUTS * WIDTH_1:
        if with_reference:
            narrow_all(inputs, w1, bias1, gain1, first)
        else:
            narrow_own(inputs, w1, bias1, gain1, first)
        narrow_second(first, w2, bias2, gain2, second)
    else:
        if with_reference:
            hidden_all(inputs, w1, bias1, gain1, first)
        else:
            hidden_own(inputs, w1, bias1, gain1, first)
        hidden_second(first, w2, bias2, gain2, second)
    dense_third(second, w3, bias3, outputs)
