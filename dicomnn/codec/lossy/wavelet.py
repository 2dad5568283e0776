"""The 9/7 wavelet (Cohen, Daubechies, Feauveau 1992; lifting of Daubechies and Sweldens 1998) in float32.

Every operation is one IEEE rounding in one written order, so synthesis has the same bits on every machine
and in the NumPy reference. Bands lie as Mallat laid them: the low half of each level at the top left.
Both halves are scaled so that all bands have the same weight in the squared error (within a few per cent).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .wavelet_lanes import interleave, lift, scale

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


def synthesise(coefficients: np.ndarray, levels: int) -> np.ndarray:
    """(rows, columns) float32 -> plane of the same shape."""
    return synthesis(np.ascontiguousarray(coefficients, dtype=np.float32), levels)


@njit(cache=True, nogil=True)
def synthesis(a, levels):
    """`synthesise` for kernels. A level's output is the next one's low half; two rooms take turns."""
    rows, columns = a.shape
    if levels == 0:
        return a.copy()
    large = np.empty(rows * columns, np.float32)
    small = np.empty(((rows + 1) // 2) * ((columns + 1) // 2), np.float32)
    flat = a.ravel()
    low, wide = flat, columns
    for level in range(levels, 0, -1):
        height, width = rows, columns
        for _ in range(level - 1):
            height, width = (height + 1) // 2, (width + 1) // 2
        out = large if level & 1 else small
        _level(low, wide, flat, columns, out, height, width)
        low, wide = out, width
    return large.reshape(rows, columns)


@njit(cache=True, nogil=True)
def _level(low, low_wide, a, wide, out, rows, columns):
    """One level, all flat: `low` (rows `low_wide` apart) the half of both low directions, `a` (rows `wide`
    apart) the others in their places, `out` (rows * columns).

    Two rows are made at a time and go through the sweeps down the columns while they are near: the sweep over
    even rows with DELTA, a row behind it that over odd ones with GAMMA, then BETA, then ALPHA.
    """
    half, first = (rows + 1) // 2, (columns + 1) // 2
    high = columns - first
    # Odd sample i of a row lies at right[i + 1]: before and behind them is room for missing neighbours.
    left, right = np.empty(first + 1, np.float32), np.empty(high + 2, np.float32)
    sweeps = (DELTA, GAMMA, BETA, ALPHA)
    for step in range(half + 2):
        for y in range(2 * step, min(2 * step + 2, rows)):
            at, to = (y >> 1) + (half if y & 1 else 0), y * columns
            factor = np.float32(1.0) if rows == 1 else (SCALE if y & 1 else UNSCALE)
            if columns == 1:
                out[to] = (a[at * wide] if y & 1 else low[at * low_wide]) * factor
                continue
            if y & 1:
                scale(left, 0, a, at * wide, UNSCALE, factor, first)
            else:
                scale(left, 0, low, at * low_wide, UNSCALE, factor, first)
            scale(right, 1, a, at * wide + first, SCALE, factor, high)
            for back in range(2):
                # A missing neighbour is the other one.
                right[0], right[high + 1] = right[1], right[high]
                lift(left, 0, right, 0, right, 1, BETA if back else DELTA, first)
                left[first] = left[first - 1]
                lift(right, 1, left, 0, left, 1, ALPHA if back else GAMMA, high)
            interleave(out, to, left, right, 1, high)
            if first > high:
                out[to + columns - 1] = left[first - 1]
        if rows > 1:
            for lag in range(4):
                y = 2 * step - lag
                if 0 <= y < rows:
                    up = (y - 1 if y > 0 else y + 1) * columns
                    down = (y + 1 if y + 1 < rows else y - 1) * columns
                    lift(out, y * columns, out, up, out, down, sweeps[lag], columns)
