"""Magnitudes of quantised coefficients: the classes in which they are coded, the marks that others see."""

from __future__ import annotations

import numpy as np
from numba import njit

KINDS = 40
LARGEST = 3 << 18
"""The largest magnitude of the last class."""


@njit(cache=True, nogil=True, error_model="numpy")
def class_of(m):
    """(class, raw bits, lowest of the class) of a magnitude: 0..4 alone, then two classes an octave."""
    if m < 5:
        return m, 0, m
    e = 0
    while m >= 1 + (8 << e):
        e += 1
    low = 1 + (4 << e)
    if m < low + (2 << e):
        return 5 + 2 * e, e + 1, low
    return 6 + 2 * e, e + 1, low + (2 << e)


@njit(cache=True, nogil=True, error_model="numpy")
def lowest_of(k):
    """(lowest magnitude, raw bits) of a class."""
    if k < 5:
        return k, 0
    e = (k - 5) >> 1
    low = 1 + (4 << e)
    return (low, e + 1) if (k - 5) & 1 == 0 else (low + (2 << e), e + 1)


def mark_table() -> np.ndarray:
    """(256,) uint8: marks of the magnitudes below 256, 8 * log2(1 + m) to the nearest."""
    return np.array(
        [sum((1 + m) ** 16 >= 1 << (2 * k - 1) for k in range(1, 65)) for m in range(256)], np.uint8
    )


MARKS = mark_table()


@njit(cache=True, nogil=True, error_model="numpy")
def mark_of(m):
    """Mark of a magnitude: 32 more for each four binary digits beyond 255."""
    more = 0
    while m > 255:
        m >>= 4
        more += 32
    return more + MARKS[m]
