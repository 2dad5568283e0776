"""Integer tables of a model: logarithm, and the CDFs of the pixel distributions.

They are computed once, in floating point, when a model is exported, and travel inside the model as
integers. The decoder never computes them, so no libm has a say in decoding.

A pixel's distribution is a mixture of two logistics, (1 - tau) * L(s) + tau * L(3.5 s), cut into
bins of one stored value (or of 2^n values when the scale is large). Tables are indexed by scale
class (four per octave, 1/32 to 8 bins), position of the mean inside the bin (eighths) and tail
class. Each is a CDF of 255 bins, -127..127 around the mean's bin, and an escape, in 1/65536.
Bins less likely than 2^-17 get no room: their pixels take the escape.
"""

from __future__ import annotations

import numpy as np

SCALE_CLASSES = 33
CLASSES_PER_OCTAVE = 4
LOWEST_SCALE_LOG2 = -5
FRACTIONS = 8
TAIL_CLASSES = 8
TAIL_SLOPE = 0.9
TAIL_CENTRE = 5.0
WIDE = 3.5
REACH = 127
SYMBOLS = 2 * REACH + 2
ESCAPE = SYMBOLS - 1
TOTAL = 1 << 16


def tail_weight(tail_class: np.ndarray | float) -> np.ndarray:
    """Weight of the wide logistic for a (possibly fractional) tail class."""
    return 1.0 / (1.0 + np.exp(-TAIL_SLOPE * (np.asarray(tail_class, dtype=np.float64) - TAIL_CENTRE)))


def log_table() -> np.ndarray:
    """(256,) int32: log2(1 + i/256) in 1/256, rounded."""
    return np.floor(256.0 * np.log2(1.0 + np.arange(256) / 256.0) + 0.5).astype(np.int32)


def _logistic(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def _integer_frequencies(probabilities: np.ndarray) -> np.ndarray:
    """(SYMBOLS,) int64 summing to TOTAL; unlikely bins 0, the escape at least 2."""
    p = probabilities.copy()
    unlikely = p[:ESCAPE] < 1.0 / (2 * TOTAL)
    p[ESCAPE] += p[:ESCAPE][unlikely].sum()
    p[:ESCAPE][unlikely] = 0.0
    f = np.floor(p * TOTAL + 0.5).astype(np.int64)
    f[:ESCAPE][~unlikely] = np.maximum(f[:ESCAPE][~unlikely], 1)
    f[ESCAPE] = max(int(f[ESCAPE]), 2)
    f[np.argmax(f)] += TOTAL - f.sum()
    return f


def cdf_tables() -> np.ndarray:
    """(SCALE_CLASSES, FRACTIONS, TAIL_CLASSES, SYMBOLS + 1) uint32, each from 0 to 65536."""
    tables = np.zeros((SCALE_CLASSES, FRACTIONS, TAIL_CLASSES, SYMBOLS + 1), dtype=np.uint32)
    edges = np.arange(-REACH, REACH + 2) - 0.5
    for c in range(SCALE_CLASSES):
        scale = 2.0 ** (LOWEST_SCALE_LOG2 + (c + 0.5) / CLASSES_PER_OCTAVE)
        for f in range(FRACTIONS):
            offset = (f + 0.5) / FRACTIONS - 0.5
            narrow = np.diff(_logistic((edges - offset) / scale))
            wide = np.diff(_logistic((edges - offset) / (WIDE * scale)))
            for t in range(TAIL_CLASSES):
                tau = float(tail_weight(t))
                p = np.zeros(SYMBOLS)
                p[:ESCAPE] = (1 - tau) * narrow + tau * wide
                p[ESCAPE] = max(1.0 - p[:ESCAPE].sum(), 0.0)
                tables[c, f, t, 1:] = np.cumsum(_integer_frequencies(p))
    return tables
