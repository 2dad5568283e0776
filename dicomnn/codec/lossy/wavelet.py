"""The 9/7 wavelet (Cohen, Daubechies, Feauveau 1992; lifting of Daubechies and Sweldens 1998) in float32.

Every operation is one IEEE rounding in one written order, so synthesis has the same bits on every machine
and in the NumPy reference. Bands lie as Mallat laid them: the low half of each level at the top left.
Both halves are scaled so that all bands have the same weight in the squared error (within a few per cent).
"""

from __future__ import annotations

import numpy as np
from numba import njit

ALPHA = np.float32(-1.586134342059924)
BETA = np.float32(-0.052980118572961)
GAMMA = np.float32(0.882911075530934)
DELTA = np.float32(0.443506852043971)
SCALE = np.float32(1.1496043988602418)
UNSCALE = np.float32(1.0 / 1.1496043988602418)

MOST_LEVELS = 5


def levels_of(rows: int, columns: int) -> int:
    """Levels of a plane: as many as leave four samples on the shorter side, at most 5."""
    return max(0, min(MOST_LEVELS, min(rows, columns).bit_length() - 3))


def analyse(plane: np.ndarray, levels: int) -> np.ndarray:
    """(rows, columns) float32 -> coefficients of the same shape."""
    out = np.ascontiguousarray(plane, dtype=np.float32).copy()
    rows, columns = out.shape
    for _ in range(levels):
        _forward(out, rows, columns)
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return out


def synthesise(coefficients: np.ndarray, levels: int) -> np.ndarray:
    """The inverse, in place of a copy."""
    out = np.ascontiguousarray(coefficients, dtype=np.float32).copy()
    sizes = [out.shape]
    for _ in range(levels - 1):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    spare = np.empty(out.shape, np.float32)
    for rows, columns in reversed(sizes[:levels]):
        _backward(out, spare, rows, columns)
    return out


@njit(cache=True, nogil=True)
def _lift_rows(a, first, rows, columns, c):
    """Add c * (row above + row below) to rows first, first + 2, ...; mirrored at the ends."""
    for y in range(first, rows, 2):
        up = y - 1 if y > 0 else y + 1
        down = y + 1 if y + 1 < rows else y - 1
        for x in range(columns):
            a[y, x] += c * (a[up, x] + a[down, x])


@njit(cache=True, nogil=True)
def _lift_row(a, y, first, columns, c):
    """The same along one row."""
    x = first
    if x == 0:
        a[y, 0] += c * (a[y, 1] + a[y, 1])
        x = 2
    while x + 1 < columns:
        a[y, x] += c * (a[y, x - 1] + a[y, x + 1])
        x += 2
    if x < columns:
        a[y, x] += c * (a[y, x - 1] + a[y, x - 1])


@njit(cache=True, nogil=True)
def _forward(a, rows, columns):
    spare = np.empty((rows, columns), np.float32)
    half = (columns + 1) // 2
    for y in range(rows):
        if columns > 1:
            _lift_row(a, y, 1, columns, ALPHA)
            _lift_row(a, y, 0, columns, BETA)
            _lift_row(a, y, 1, columns, GAMMA)
            _lift_row(a, y, 0, columns, DELTA)
            for x in range(0, columns, 2):
                spare[y, x >> 1] = a[y, x] * SCALE
            for x in range(1, columns, 2):
                spare[y, half + (x >> 1)] = a[y, x] * UNSCALE
        else:
            spare[y, 0] = a[y, 0]
    if rows > 1:
        _lift_rows(spare, 1, rows, columns, ALPHA)
        _lift_rows(spare, 0, rows, columns, BETA)
        _lift_rows(spare, 1, rows, columns, GAMMA)
        _lift_rows(spare, 0, rows, columns, DELTA)
    half = (rows + 1) // 2
    for y in range(rows):
        to = (y >> 1) + (half if y & 1 else 0)
        factor = np.float32(1.0) if rows == 1 else (UNSCALE if y & 1 else SCALE)
        for x in range(columns):
            a[to, x] = spare[y, x] * factor


@njit(cache=True, nogil=True)
def _unlift(to, other, y, count, others, first, c):
    """to[y, i] -= c * (other[y, i + first - 1] + other[y, i + first]), mirrored at the ends.

    The halves of a row lie apart, so that the sums go in vectors: the odd neighbours of even sample i are
    i - 1 and i (first 0), the even ones of odd sample i are i and i + 1 (first 1).
    """
    if first == 0:
        end = min(count, others)
        to[y, 0] -= c * (other[y, 0] + other[y, 0])
        for i in range(1, end):
            to[y, i] -= c * (other[y, i - 1] + other[y, i])
        if count > others:
            to[y, count - 1] -= c * (other[y, others - 1] + other[y, others - 1])
    else:
        end = min(count, others - 1)
        for i in range(end):
            to[y, i] -= c * (other[y, i] + other[y, i + 1])
        if count > end:
            to[y, count - 1] -= c * (other[y, others - 1] + other[y, others - 1])


@njit(cache=True, nogil=True)
def _unlift_rows(a, first, rows, columns, c):
    """Subtract c * (row above + row below) from rows first, first + 2, ...; mirrored at the ends."""
    for y in range(first, rows, 2):
        up = y - 1 if y > 0 else y + 1
        down = y + 1 if y + 1 < rows else y - 1
        for x in range(columns):
            a[y, x] -= c * (a[up, x] + a[down, x])


@njit(cache=True, nogil=True)
def _backward(a, spare, rows, columns):
    low, high = (columns + 1) // 2, columns // 2
    half = (rows + 1) // 2
    left, right = np.empty((1, low), np.float32), np.empty((1, max(high, 1)), np.float32)
    for at in range(rows):
        y = 2 * at if at < half else 2 * (at - half) + 1
        factor = np.float32(1.0) if rows == 1 else (SCALE if y & 1 else UNSCALE)
        if columns == 1:
            spare[y, 0] = a[at, 0] * factor
            continue
        for i in range(low):
            left[0, i] = (a[at, i] * UNSCALE) * factor
        for i in range(high):
            right[0, i] = (a[at, low + i] * SCALE) * factor
        _unlift(left, right, 0, low, high, 0, DELTA)
        _unlift(right, left, 0, high, low, 1, GAMMA)
        _unlift(left, right, 0, low, high, 0, BETA)
        _unlift(right, left, 0, high, low, 1, ALPHA)
        for i in range(high):
            spare[y, 2 * i] = left[0, i]
            spare[y, 2 * i + 1] = right[0, i]
        if low > high:
            spare[y, columns - 1] = left[0, low - 1]
    if rows > 1:
        _unlift_rows(spare, 0, rows, columns, DELTA)
        _unlift_rows(spare, 1, rows, columns, GAMMA)
        _unlift_rows(spare, 0, rows, columns, BETA)
        _unlift_rows(spare, 1, rows, columns, ALPHA)
    for y in range(rows):
        for x in range(columns):
            a[y, x] = spare[y, x]
