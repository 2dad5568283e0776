"""The online stage: integers that follow the errors of the tile in hand.

Three small learners run in the coding loop, identically in encoder and decoder:
a bias per context, a short recursive (normalised least mean squares) filter over recent errors and
predictor differences, and an offset of the log scale per context that climbs the code length:
its step is the difference of log frequency of the coded symbol between the next wider and the next
narrower scale class. All state is int64; layout constants are below.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FILTER_INPUTS = 6
SCALE_CONTEXTS = 17 * 4
BIAS_CONTEXTS = 9 * 6

FILTER = 0
SCALE = FILTER + FILTER_INPUTS
SCALE_COUNT = SCALE + SCALE_CONTEXTS
BIAS = SCALE_COUNT + SCALE_CONTEXTS
BIAS_COUNT = BIAS + BIAS_CONTEXTS
SCALE_ALL = BIAS_COUNT + BIAS_CONTEXTS
SCALE_ALL_COUNT = SCALE_ALL + 1
STATE = SCALE_ALL_COUNT + 1
"""Offsets of each learner in one state vector, and its length."""


_INVERSES = np.array([0, *((1 << 36) // d + 1 for d in range(1, 1024))], dtype=np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def over(value, count):
    """value // count for |value| <= 2^25 and 1 <= count < 1024: a product instead of a division.

    Exact (Granlund and Montgomery 1994): the inverse is too large by less than 2^-36, so a quotient is by
    less than 2^-11, and what is not whole is at least 1 / count away from the next whole number.
    """
    sign = value >> 63  # a negative value by its complement: rounded down, not towards zero
    return (((value ^ sign) * _INVERSES[count]) >> 36) ^ sign


@njit(cache=True, nogil=True, error_model="numpy")
def sign_class(error, scale):
    """0, 1, 2: clearly negative, small, clearly positive against half the local scale."""
    if 2 * error < -scale:
        return 0
    return 2 if 2 * error > scale else 1


@njit(cache=True, nogil=True, error_model="numpy")
def bias_context(west, north, scale, scale_class):
    """Context of the bias: signs of the two nearest errors, coarse scale class."""
    return (3 * sign_class(west, scale) + sign_class(north, scale)) * 6 + min(
        max((scale_class - 4) // 5, 0), 5
    )


@njit(cache=True, nogil=True, error_model="numpy")
def scale_context(scale_class, short_ratio):
    """Context of the scale offset: scale class by twos, recent error against the local scale."""
    ratio = 0 if short_ratio < -6 else 1 if short_ratio < 6 else 2 if short_ratio < 16 else 3
    return 4 * (min(max(scale_class, 0), 33) // 2) + ratio


@njit(cache=True, nogil=True, error_model="numpy")
def filter_prediction(state, recent):
    """Correction of the mean by the filter, in 1/64 of the local scale."""
    total = np.int64(0)
    for i in range(6):
        total += state[i] * recent[i]
    return min(max(total >> 24, -96), 96)


@njit(cache=True, nogil=True, error_model="numpy")
def filter_update(state, recent, error):
    """One normalised LMS step (weights in 2^-24); ``error``: what is left, in 1/64 of the scale."""
    power = np.int64(1 << 14)
    for i in range(6):
        power += recent[i] * recent[i]
    gain = (min(max(error, -128), 128) << 17) // power
    for i in range(6):
        state[i] += gain * recent[i] - (state[i] >> 11)


@njit(cache=True, nogil=True, error_model="numpy")
def bias_update(state, context, error):
    """Running mean (1/64 of the scale, 16 more fractional bits) of the error that is left."""
    n = state[BIAS_COUNT + context]
    e = min(max(error, -128), 128)
    state[BIAS + context] += over(e * 65536, n + 24)
    if n < 400:
        state[BIAS_COUNT + context] = n + 1


@njit(cache=True, nogil=True, error_model="numpy")
def scale_update(state, context, slope):
    """Move the log-scale offsets (1/256 octave, 16 more fractional bits) by the slope (1/256 bit, +-512)."""
    n = state[SCALE_COUNT + context]
    state[SCALE + context] += over(slope * 65536, n + 40)
    if n < 400:
        state[SCALE_COUNT + context] = n + 1
    m = state[SCALE_ALL_COUNT]
    state[SCALE_ALL] += over(slope * 65536, 2 * (m + 40))
    if m < 300:
        state[SCALE_ALL_COUNT] = m + 1
