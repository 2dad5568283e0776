"""The causal integer network: what it reads of a pixel's past, and its exact evaluation.

Inputs are 32 integers in -127..127 made from the predictors, the neighbours, recent errors and
local scales. Two hidden layers, modulated by the tile code (scale and shift per channel, Perez et
al. 2018), give three numbers: a correction of the mean, of the log scale, and the tail class.

All arithmetic is integer. The sums are evaluated in float32, which is exact in any order because
sum|w| * max|a| + |b| < 2^24 for every output; `dicomnn.codec.model` checks this at load.
"""

from __future__ import annotations

import numpy as np
from numba import njit

INPUTS = 32
OUTPUTS = 3
INPUT_LIMIT = 127
HIDDEN_LIMIT = 255
FIRST_SHIFT = 8
SECOND_SHIFT = 9
OUTPUT_SHIFT = 6
MODULATION_ONE = 64
TAIL_CLASSES = 8


@njit(cache=True, nogil=True)
def log2_q8(value, log_table):
    """log2 of an integer >= 1 in 1/256, from its leading bit and eight more."""
    v = np.int64(value)
    n = 0
    if v >= (1 << 32):
        n += 32
        v >>= 32
    if v >= (1 << 16):
        n += 16
        v >>= 16
    if v >= (1 << 8):
        n += 8
        v >>= 8
    if v >= (1 << 4):
        n += 4
        v >>= 4
    if v >= (1 << 2):
        n += 2
        v >>= 2
    if v >= 2:
        n += 1
    w = np.int64(value)
    mantissa = (w >> (n - 8)) if n >= 8 else (w << (8 - n))
    return n * 256 + log_table[mantissa & 255]


@njit(cache=True, nogil=True)
def compand(value, inverse, table):
    """16 * value / scale, bent by the compand table; ``inverse`` = 2^24 // scale."""
    q = (abs(value) * inverse) >> 20
    c = table[min(q, 1023)]
    return c if value >= 0 else -c


@njit(cache=True, nogil=True)
def local_scale(errors, row, column):
    """Expected absolute error in 1/64: 0.65 * weighted mean of eight causal ones + 0.08."""
    r = row + 4
    c = column + 4
    total = (
        4 * (abs(errors[r, c - 1]) + abs(errors[r - 1, c]))
        + 2
        * (
            abs(errors[r - 1, c - 1])
            + abs(errors[r - 1, c + 1])
            + abs(errors[r, c - 2])
            + abs(errors[r - 2, c])
        )
        + abs(errors[r - 1, c - 2])
        + abs(errors[r - 1, c + 2])
    )
    return ((total * 37) >> 10) + 5


@njit(cache=True, nogil=True)
def fill_inputs(
    padded,
    errors,
    row,
    column,
    values,
    activity,
    predictions,
    blend,
    scale,
    offsets,
    log_table,
    table,
    inputs,
):
    """The 32 network inputs of a pixel into ``inputs`` (int64), each within -127..127."""
    r = row + 4
    c = column + 4
    inverse = (np.int64(1) << 24) // scale
    count = predictions.shape[0]
    for p in range(3):
        inputs[p] = compand(predictions[p] - blend, inverse, table) if p < count else 0
    for k in range(12):
        inputs[3 + k] = compand(
            64 * np.int64(padded[r + offsets[k, 0], c + offsets[k, 1]]) - blend, inverse, table
        )
    for k in range(6):
        inputs[15 + k] = compand(errors[r + offsets[k, 0], c + offsets[k, 1]], inverse, table)
    log_scale = log2_q8(scale, log_table)
    # Above eight values per scale the cut into whole values no longer matters: say no more than that.
    inputs[21] = min((log_scale - 2304) >> 4, 0)
    inputs[22] = (log2_q8(16 * activity // 10 + 16, log_table) - log_scale) >> 4
    west = abs(errors[r, c - 1])
    north = abs(errors[r - 1, c])
    inputs[23] = (log2_q8((west + north) // 2 + 4, log_table) - log_scale) >> 4
    wide = np.int64(0)
    for d in range(-3, 4):
        wide += abs(errors[r - 1, c + d])
    for d in range(-2, 3):
        wide += abs(errors[r - 2, c + d])
    inputs[24] = (log2_q8(wide // 12 + 4, log_table) - log_scale) >> 4
    spread = abs(predictions[0] - predictions[count - 1]) + 4
    inputs[25] = (log2_q8(spread, log_table) - log_scale) >> 4
    inputs[26] = ((blend & 63) - 32) * 3
    same = 0
    for k in range(1, 10):
        if values[k] == values[0]:
            same += 1
    inputs[27] = same * 12
    n = np.int64(padded[r - 1, c])
    w = np.int64(padded[r, c - 1])
    nw = np.int64(padded[r - 1, c - 1])
    across = abs(w - nw) + abs(n - np.int64(padded[r - 2, c]))
    along = abs(n - nw) + abs(w - np.int64(padded[r, c - 2]))
    inputs[28] = (log2_q8(32 * across + 4, log_table) - log_scale) >> 4
    inputs[29] = (log2_q8(32 * along + 4, log_table) - log_scale) >> 4
    largest = np.int64(0)
    for k in range(6):
        largest = max(largest, abs(errors[r + offsets[k, 0], c + offsets[k, 1]]))
    inputs[30] = (log2_q8(largest + 4, log_table) - log_scale) >> 4
    inputs[31] = 40 * (count - 2)
    for k in range(21, 32):
        inputs[k] = min(max(inputs[k], -127), 127)


@njit(cache=True, nogil=True)
def forward(
    inputs, weights1, bias1, weights2, bias2, weights3, bias3, modulation, first, second, hidden, outputs
):
    """Three outputs in 1/256 (int64): mean correction in scales, log2 scale correction, tail class.

    ``weights*``: (in, out) float32 holding integers, out a multiple of eight; ``modulation``: (4, H)
    int64: scale and shift of both hidden layers; ``first``, ``second``, ``hidden``: work space.
    """
    width = weights1.shape[1]
    for j in range(width):
        first[j] = bias1[j]
    for i in range(weights1.shape[0]):
        a = np.float32(inputs[i])
        if a != 0:
            for j in range(0, width, 8):
                for t in range(8):
                    first[j + t] += a * weights1[i, j + t]
    for j in range(width):
        h = (np.int64(first[j]) + modulation[1, j]) >> 8
        h = (h * (64 + modulation[0, j])) >> 6
        hidden[j] = np.float32(min(max(h, 0), 255))
    for j in range(width):
        second[j] = bias2[j]
    for i in range(width):
        a = hidden[i]
        if a != 0:
            for j in range(0, width, 8):
                for t in range(8):
                    second[j + t] += a * weights2[i, j + t]
    for j in range(width):
        h = (np.int64(second[j]) + modulation[3, j]) >> 9
        h = (h * (64 + modulation[2, j])) >> 6
        hidden[j] = np.float32(min(max(h, 0), 255))
    for j in range(8):
        first[j] = bias3[j]
    for i in range(width):
        a = hidden[i]
        if a != 0:
            for t in range(8):
                first[t] += a * weights3[i, t]
    for j in range(3):
        outputs[j] = np.int64(first[j]) >> 6
