"""Training of the lossy tier's three small networks, and their export to integers.

Adam on bits: sums of table rows, 32 rectified units, four logits. Written out in numba, as most classes are 0
and cost nothing that way; a minute of one core is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numba import njit

from dicomnn.codec.lossy.bands import LONGEST_RUN, class_of, sigmoid_table
from dicomnn.codec.lossy.contexts import CLASSES, INPUTS
from dicomnn.codec.lossy.model import SCHEMA
from dicomnn.codec.lossy.surroundings import HIDDEN, HIDDEN_TOP
from dicomnn.codec.lossy.wavelet import MOST_LEVELS

from .lossy_samples import Samples

BATCH = 8192
RATE = 6e-3
UNIT = 64
"""Integer steps of a sum for 1.0."""
LOGIT = 256

Parameters = list[np.ndarray]
"""classes (34, 16, 32), levels (6, 32), heads (4, 32), heads_bias (4,), offsets (20,): float32."""


@njit(cache=True, fastmath=True)
def _event(z, bit):  # type: ignore[no-untyped-def]
    """(nats, slope) of a bit at logit z."""
    e = np.exp(-abs(z))
    chance = 1 / (1 + e) if z > 0 else e / (1 + e)
    nats = np.log(1 + e) + (max(-z, 0.0) if bit else max(z, 0.0))
    return nats, chance - (1.0 if bit else 0.0)


@njit(cache=True, fastmath=True)
def _pass(
    at, levels, classes, symbols, weights, w, lev, heads, bias, off, learn, gw, glev, gheads, gbias, goff
):  # type: ignore[no-untyped-def]
    """Weighted nats of the samples `at`; adds the slopes to g... where `learn`."""
    total, a = 0.0, np.zeros(HIDDEN, np.float32)
    h, d = np.zeros(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)
    slopes = np.zeros(4, np.float32)
    for n in at:
        a[:] = lev[levels[n]]
        for i in range(INPUTS):
            c = classes[n, i]
            if c:
                for j in range(HIDDEN):
                    a[j] += w[i, c, j]
        for j in range(HIDDEN):
            h[j] = min(max(a[j], np.float32(0)), np.float32(8))
        k = symbols[n]
        slopes[:] = 0
        nats = 0.0
        for e in range(k + 1):
            which = min(e, 3)
            z = bias[which] + (off[min(e, 19)] if e >= 3 else np.float32(0))
            for j in range(HIDDEN):
                z += h[j] * heads[which, j]
            cost, slope = _event(z, k > e)
            nats += cost
            slopes[which] += slope
            if learn and e >= 3:
                goff[min(e, 19)] += slope * weights[n]
        total += nats * weights[n]
        if learn:
            d[:] = 0
            for which in range(min(k, 3) + 1):
                s = slopes[which] * weights[n]
                gbias[which] += s
                for j in range(HIDDEN):
                    gheads[which, j] += h[j] * s
                    d[j] += heads[which, j] * s
            for j in range(HIDDEN):
                if a[j] <= 0 or a[j] >= 8:
                    d[j] = 0
                glev[levels[n], j] += d[j]
            for i in range(INPUTS):
                c = classes[n, i]
                if c:
                    for j in range(HIDDEN):
                        gw[i, c, j] += d[j]
    return total


def start(seed: int) -> Parameters:
    """Random, rising with the class."""
    rng = np.random.default_rng(seed)
    ramp = np.sqrt(np.arange(CLASSES))[None, :, None]
    classes = rng.normal(0, 0.03, (INPUTS, CLASSES, HIDDEN)) + rng.normal(0, 0.15, (INPUTS, 1, HIDDEN)) * ramp
    classes[:, 0] = 0
    parts = [
        classes,
        rng.normal(0.2, 0.3, (MOST_LEVELS + 1, HIDDEN)),
        rng.normal(0, 0.2, (4, HIDDEN)),
        np.array([-3.0, -1.5, -1.0, -0.5]),
        np.zeros(20),
    ]
    return [part.astype(np.float32) for part in parts]


def train(samples: Samples, seed: int, steps: int) -> Parameters:
    """Parameters after so many steps of 8192 samples; a cosine brings the rate down to 2 %."""
    rng, parameters = np.random.default_rng(seed), start(seed)
    symbols = np.array([class_of(int(m))[0] for m in range(int(np.abs(samples.values).max()) + 1)])
    symbols = symbols[np.abs(samples.values)]
    quiet = ~(samples.classes.any(1) | (samples.values != 0))
    share = samples.weights / samples.weights.sum(dtype=np.float64)
    chance = share**0.75 * np.where(quiet, 0.1, 1.0)
    chance /= chance.sum()
    ladder, weights = np.cumsum(chance), (share / chance).astype(np.float32)
    first = [np.zeros(p.shape) for p in parameters]
    second = [np.zeros(p.shape) for p in parameters]
    for step in range(1, steps + 1):
        rate = RATE * (0.49 * (1 + np.cos(np.pi * step / steps)) + 0.02)
        at = np.minimum(np.searchsorted(ladder, rng.random(BATCH)), len(ladder) - 1)
        slopes = [np.zeros_like(p) for p in parameters]
        _pass(at, samples.levels, samples.classes, symbols, weights, *parameters, True, *slopes)
        for i, (p, slope) in enumerate(zip(parameters, slopes, strict=True)):
            g = slope.astype(np.float64) / BATCH
            first[i] = 0.9 * first[i] + 0.1 * g
            second[i] = 0.98 * second[i] + 0.02 * g * g
            move = first[i] / (1 - 0.9**step) / (np.sqrt(second[i] / (1 - 0.98**step)) + 1e-8)
            p -= (rate * move).astype(np.float32)
        parameters[0][:, 0] = 0
    return parameters


def bits(samples: Samples, parameters: Parameters) -> float:
    """Mean bits of a sample by its weight."""
    symbols = np.array([class_of(abs(int(v)))[0] for v in samples.values])
    none = [np.zeros_like(p) for p in parameters]
    at = np.arange(len(symbols))
    nats = _pass(at, samples.levels, samples.classes, symbols, samples.weights, *parameters, False, *none)
    return float(nats / samples.weights.sum(dtype=np.float64) / np.log(2))


def export(networks: Sequence[Parameters]) -> Mapping[str, np.ndarray]:
    """Arrays of a model from the networks of the three orientations; the rest are first guesses by rule."""
    arrays = {name: np.zeros(shape, np.int64) for name, (_, shape) in SCHEMA.items()}

    def whole(values: np.ndarray, unit: int) -> np.ndarray:
        return np.clip(np.round(values.astype(np.float64) * unit), -32000, 32000).astype(np.int64)

    for o, (classes, levels, heads, bias, offsets) in enumerate(networks):
        arrays["classes"][o], arrays["levels"][o] = whole(classes, UNIT), whole(levels, UNIT)
        arrays["heads"][o], arrays["offsets"][o] = whole(heads, LOGIT), whole(offsets, LOGIT)
        arrays["heads_bias"][o] = np.round(bias.astype(np.float64) * UNIT * LOGIT).astype(np.int64)
        for level in range(MOST_LEVELS + 1):
            h = np.clip(arrays["levels"][o, level], 0, HIDDEN_TOP)
            z = float(h @ arrays["heads"][o, 0] + arrays["heads_bias"][o, 0]) / UNIT / LOGIT
            zero = 1 / (1 + np.exp(min(max(z, -9), 3)))
            for r in range(1, LONGEST_RUN + 1):
                arrays["runs"][o, level, r] = int(np.clip(round(65536 * (1 - zero**r)), 33, 65500))
    arrays["runs"][:, :, 0] = arrays["signs"][:] = 32768
    arrays["points"][:] = np.array([26, 13, 8])[None, :, None]
    arrays["lowest"], arrays["mask"] = _lowest_chances(), _mask_chances()
    arrays["blocks"] = np.array(
        [2000, 16000, 16000, 30000, 30000, 40000, 40000, 50000, 600, 16000, 49000, 64900]
    )
    arrays["sigmoid"] = sigmoid_table().astype(np.int64)
    return arrays


def _lowest_chances() -> np.ndarray:
    digits, k = np.arange(16)[:, None], np.arange(40)[None]
    logit = np.clip((2 * (digits - 1.2) + 1 - k) * 0.9 + 1, -5, 5)
    logit = np.where(k == 0, np.maximum(logit, -1), logit)
    return np.asarray(np.round(65536 / (1 + np.exp(-logit))).astype(np.int64))


def _mask_chances() -> np.ndarray:
    near = np.array([3, 1, 1, 1.5, 3, 1.5, 1, 0.7, 1, 0.7])
    votes = ((np.arange(1024)[:, None] >> np.arange(10)) & 1) * 2 - 1
    return np.asarray(np.round(65536 / (1 + np.exp(-6 * (votes @ near) / near.sum()))).astype(np.int64))
