"""The encoder's search for a better tile code: try neighbouring codes on pixels of the tile's centre.

What it finds is sent like any code; the decoder knows nothing of it. The cost of a code is the static code
length of a sample of pixels (the network's distribution, without the online stage).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .autoencoder import modulation
from .causal import INPUTS, ORDER, WIDTH_1, WIDTH_2, forward, log2_q8
from .features import Features
from .model import CODE_LENGTH, CODE_LIMIT, Model
from .pixel_tables import distribution_at, frequency_at

SAMPLE_PIXELS = 4096
LEAST_GAIN = 1.0005
"""A step is taken when it saves more than this: below lies noise."""


@njit(cache=True, nogil=True, error_model="numpy")
def static_cost(
    inputs, scales, targets, with_reference, w1, bias1, gain1, w2, bias2, gain2, w3, bias3, starts, log_table
):
    """Code length of pixels in 1/256 bit: the coder's distribution of targets, exact, without online stage.

    inputs (n, 64) int16 in the document's order; scales, targets (n,) int32 in 1/64, as `features.extract`
    gives them.
    """
    row = np.zeros(INPUTS, dtype=np.int16)
    first = np.zeros(WIDTH_1, dtype=np.int16)
    second = np.zeros(WIDTH_2, dtype=np.int16)
    outputs = np.zeros(8, dtype=np.int32)
    total = np.int64(0)
    for n in range(inputs.shape[0]):
        for k in range(INPUTS):
            row[k] = inputs[n, ORDER[k]]
        forward(
            row, with_reference, w1, bias1, gain1, w2, bias2, gain2, w3, bias3, first, second, outputs
        )
        scale = np.int64(scales[n])
        correction = (min(max(np.int64(outputs[0]) >> 6, -768), 768) * scale) >> 8
        error = np.int64(targets[n]) - correction
        log_scale = log2_q8(scale, log_table) + min(max(np.int64(outputs[1]) >> 6, -768), 768)
        tail = min(max(((np.int64(outputs[2]) >> 6) + 128) >> 8, 0), 7)
        scale_class = min(max((log_scale - 256) >> 6, 0), 31 + 56)
        low = np.int64(0)
        if scale_class > 31:
            low = (scale_class - 28) >> 2
            scale_class -= 4 * low
        # As in the coding loop, with the mean counted from the pixel: mean = -error.
        position = (32 - error) & 63
        symbol = (-((32 - error) >> 6) >> low) + 127
        fraction = min(position >> (3 + low), 7)
        if symbol < 0 or symbol > 254:
            total += 256 * 24
            continue
        frequency = frequency_at(starts, distribution_at(scale_class, fraction, tail), symbol)
        total += 4096 - log2_q8(max(frequency, 1), log_table) + 256 * low
    return total


def better_code(
    model: Model, seen: Features, code: np.ndarray, with_reference: bool, rounds: int
) -> np.ndarray:
    """A code (16,) that costs no more than ``code`` or the zero code on the pixels that were ``seen``.

    For efforts with the whole network. ``rounds`` of single steps of every symbol; 0 only compares with the
    zero code.
    """
    costly = np.flatnonzero(seen.flat.reshape(-1) < 2)
    if costly.size == 0:
        return np.zeros_like(code)
    costly = costly[:: max(costly.size // SAMPLE_PIXELS, 1)]
    inputs = seen.inputs.reshape(-1, INPUTS)[costly].astype(np.int16)
    scales, targets = seen.scales.reshape(-1)[costly], seen.targets.reshape(-1)[costly]

    def cost(candidate: np.ndarray) -> float:
        weights = model.weights_for(modulation(model, candidate), False)
        return float(
            static_cost(inputs, scales, targets, with_reference, *weights, model.starts, model.log)
        )

    best, least = code, cost(code)
    nothing = np.zeros_like(code)
    if cost(nothing) <= least:
        best, least = nothing, cost(nothing)
    for _ in range(rounds):
        before = least
        for symbol in range(CODE_LENGTH):
            for step in (-1, 1):
                candidate = best.copy()
                candidate[symbol] += step
                if abs(candidate[symbol]) <= CODE_LIMIT and (tried := cost(candidate)) * LEAST_GAIN < least:
                    best, least = candidate, tried
                    break
        if least * LEAST_GAIN >= before:
            break
    return best
