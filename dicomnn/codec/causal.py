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

from .lanes import leading_parts, make_dense, make_hidden
from .predictors import MOST_PREDICTORS

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

BENT = 32
"""Inputs 0..31 are bent differences; 32..47 logarithms and counts; 48..59 bent again."""
PREDICTION_INPUTS, NEIGHBOUR_INPUTS, ERROR_INPUTS = 0, MOST_PREDICTORS, MOST_PREDICTORS + 16
LOG_INPUTS = BENT
RATIO_INPUTS = 42
REFERENCE_INPUTS = 48

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
def local_scale(errors, at, stride):
    """Expected absolute error in 1/64: 0.65 * weighted mean of eight causal ones + 0.08."""
    total = (
        4 * (abs(errors[at - 1]) + abs(errors[at - stride]))
        + 2
        * (
            abs(errors[at - stride - 1])
            + abs(errors[at - stride + 1])
            + abs(errors[at - 2])
            + abs(errors[at - 2 * stride])
        )
        + abs(errors[at - stride - 2])
        + abs(errors[at - stride + 2])
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
def bend(differences, first, last, scale, inputs):
    """inputs[k] = 127 * t / (1 + |t|), t = difference / (4 * scale), cut towards zero; float32."""
    gain = np.float32(0.25) / np.float32(scale)
    one, most = np.float32(1.0), np.float32(127.0)
    for k in range(first, last):
        t = np.float32(differences[k]) * gain
        inputs[k] = np.int16(most * (t / (one + abs(t))))


@njit(cache=True, nogil=True, error_model="numpy")
def log_input(value, log_scale, log_table):
    """log2 of a value against the local scale, in 1/16, within -127..127."""
    return min(max((log2_q8(value, log_table) - log_scale) >> 4, -127), 127)


@njit(cache=True, nogil=True, error_model="numpy")
def fill_inputs(
    padded,
    errors,
    at,
    stride,
    known,
    values,
    activity,
    predictions,
    recent,
    count,
    blend,
    scale,
    offsets,
    log_table,
    differences,
    inputs,
):
    """The 48 own inputs of a pixel into ``inputs`` (int16).

    ``at``: index of the pixel in the flat padded buffers; ``known``: pixels before this one;
    ``differences``: int32 (64,) work space, also for `fill_reference_inputs`.
    """
    lowest = highest = predictions[0]
    for p in range(count):
        differences[p] = predictions[p] - blend
        lowest = min(lowest, predictions[p])
        highest = max(highest, predictions[p])
    for p in range(count, 5):
        differences[p] = 0
    for k in range(16):
        differences[5 + k] = 64 * padded[at + offsets[k]] - blend
    for k in range(10):
        differences[21 + k] = errors[at + offsets[k]]
    differences[31] = blend
    bend(differences, 0, 32, scale, inputs)
    log_scale = log2_q8(scale, log_table)
    # Above eight values per scale the cut into whole values no longer matters: say no more than that.
    inputs[32] = max(min((log_scale - 2304) >> 4, 0), -127)
    inputs[33] = log_input(16 * activity // 10 + 16, log_scale, log_table)
    west, north = abs(errors[at - 1]), abs(errors[at - stride])
    inputs[34] = log_input((west + north) // 2 + 4, log_scale, log_table)
    wide = np.int64(0)
    for d in range(-3, 4):
        wide += abs(errors[at - stride + d])
    for d in range(-2, 3):
        wide += abs(errors[at - 2 * stride + d])
    inputs[35] = log_input(wide // 12 + 4, log_scale, log_table)
    inputs[36] = log_input(highest - lowest + 4, log_scale, log_table)
    inputs[37] = ((blend & 63) - 32) * 3
    same = 0
    for k in range(1, 10):
        same += values[k] == values[0]
    inputs[38] = same * 12
    n, w, nw = padded[at - stride], padded[at - 1], padded[at - stride - 1]
    across = abs(w - nw) + abs(n - padded[at - 2 * stride])
    along = abs(n - nw) + abs(w - padded[at - 2])
    inputs[39] = log_input(32 * across + 4, log_scale, log_table)
    inputs[40] = log_input(32 * along + 4, log_scale, log_table)
    largest = max(west, north)
    for k in range(2, 6):
        largest = max(largest, abs(errors[at + offsets[k]]))
    inputs[41] = log_input(largest + 4, log_scale, log_table)
    for p in range(count):
        inputs[42 + p] = log_input((recent[p] >> 3) + 4, log_scale, log_table)
    for p in range(count, 5):
        inputs[42 + p] = -127
    inputs[47] = min(log2_q8(known + 1, log_table) >> 5, 127)


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
        differences[48 + k] = 16 * reference_values[k] + level
    differences[59] = 64 * reference[at] - blend
    bend(differences, 48, 60, scale, inputs)
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
