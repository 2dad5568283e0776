"""The 9/7 wavelet (Cohen, Daubechies, Feauveau 1992; lifting of Daubechies and Sweldens 1998) in float32.

Every operation is one IEEE rounding in one written order, so synthesis has the same bits on every machine
and in the NumPy reference. Bands lie as Mallat laid them: the low half of each level at the top left.
Both halves are scaled so that all bands have the same weight in the squared error (within a few per cent).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .kernels import kernel
from .wavelet_lanes import interleave, lift, scale

ALPHA = np.float32(-1.586134342059924)
BETA = np.float32(-0.052980118572961)
GAMMA = np.float32(0.882911075530934)
DELTA = np.float32(0.443506852043971)
SCALE = np.float32(1.1496043988602418)
UNSCALE = np.float32(1.0 / 1.1496043988602418)

MOST_LEVELS = 5
RING = 8


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


def room_of(rows: int, columns: int) -> int:
    """Entries that `synthesise` wants as its room."""
    return sum(((rows + s - 1) // s) * ((columns + s - 1) // s) for s in (2, 4))


@njit(cache=True, nogil=True, error_model="numpy")
def synthesise(a, room, levels, base, low, high, mask, out):
    """From coefficients to values: floor(synthesis + base) within low..high, 0 where masked.

    a (rows * columns,) float32; room (`room_of`,) float32; base, low, high float32; mask (rows + 2, columns
    + 4) uint8, without rows where there is none; out (rows, columns) uint16.
    """
    rows, columns = out.shape
    large = room[: ((rows + 1) // 2) * ((columns + 1) // 2)]
    small = room[large.size :]
    ring = np.empty(RING * columns, np.float32)
    ends = np.array([base, low, high], np.float32)
    source, wide = a, columns
    for level in range(levels, 1, -1):
        height, width = rows, columns
        for _ in range(level - 1):
            height, width = (height + 1) // 2, (width + 1) // 2
        # A level's output is the next one's low half: two rooms take turns.
        made = small if level & 1 else large
        _level(source, wide, a, columns, made, -1, height, width, ends, mask, out)
        source, wide = made, width
    if levels > 0:
        _level(source, wide, a, columns, ring, RING - 1, rows, columns, ends, mask, out)
    else:
        for y in range(rows):
            _finish(a, y * columns, y, ends, mask, out)


@kernel
def _finish(row, at, y, ends, mask, out):
    """Row y of values, from `row` at `at`."""
    base, low, high = ends[0], ends[1], ends[2]
    for x in range(out.shape[1]):
        out[y, x] = np.uint16(np.int32(min(max(np.floor(row[at + x] + base), low), high)))
    if mask.shape[0] > 0:
        for x in range(out.shape[1]):
            if mask[y + 2, x + 2]:
                out[y, x] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _level(low, low_wide, a, wide, made, ring, rows, columns, ends, mask, values):
    """One level, all flat: `low` (rows `low_wide` apart) the half of both low directions, `a` (rows `wide`
    apart) the others in their places, `made` its rows, one behind the other where `ring` is -1; else the last
    ring + 1 of them, and each goes to `values` when it is done.

    Two rows are made at a time and go through the sweeps down the columns while they are near: the sweep over
    even rows with DELTA, a row behind it that over odd ones with GAMMA, then BETA, then ALPHA.
    """
    half, first = (rows + 1) // 2, (columns + 1) // 2
    # Odd sample i of a row lies at right[i + 1]: before and behind them is room for missing neighbours.
    left, right = np.empty(first + 1, np.float32), np.empty(columns - first + 2, np.float32)
    for step in range(half + 2):
        for y in range(2 * step, min(2 * step + 2, rows)):
            at = (y >> 1) + (half if y & 1 else 0)
            factor = np.float32(1.0) if rows == 1 else (SCALE if y & 1 else UNSCALE)
            to = (y & ring) * columns
            if y & 1:
                _row(a, at * wide, a, at * wide, made, to, columns, factor, left, right)
            else:
                _row(low, at * low_wide, a, at * wide, made, to, columns, factor, left, right)
        for lag in range(4 if rows > 1 else 0):
            y = 2 * step - lag
            if 0 <= y < rows:
                up = ((y - 1 if y > 0 else y + 1) & ring) * columns
                down = ((y + 1 if y + 1 < rows else y - 1) & ring) * columns
                _sweep(made, (y & ring) * columns, up, down, lag, columns)
        if ring > 0:
            for y in range(max(2 * step - 4, 0), min(2 * step - 2, rows)):
                _finish(made, (y & ring) * columns, y, ends, mask, values)


@kernel
def _row(low, low_at, a, at, made, to, columns, factor, left, right):
    """A row of a level before the sweeps down its columns. Its halves lie apart in left and right."""
    first = (columns + 1) // 2
    high = columns - first
    if columns == 1:
        made[to] = low[low_at] * factor
        return
    scale(left, 0, low, low_at, UNSCALE, factor, first)
    scale(right, 1, a, at + first, SCALE, factor, high)
    for back in range(2):
        # A missing neighbour is the other one.
        right[0], right[high + 1] = right[1], right[high]
        lift(left, 0, right, 0, right, 1, BETA if back else DELTA, first)
        left[first] = left[first - 1]
        lift(right, 1, left, 0, left, 1, ALPHA if back else GAMMA, high)
    interleave(made, to, left, right, 1, high)
    if first > high:
        made[to + columns - 1] = left[first - 1]


@kernel
def _sweep(made, at, up, down, lag, columns):
    """Down the columns of a row: DELTA, GAMMA, BETA or ALPHA, by the row's lag behind the newest even one."""
    c = (DELTA if lag == 0 else GAMMA) if lag < 2 else (BETA if lag == 2 else ALPHA)
    lift(made, at, made, up, made, down, c, columns)
