"""Adaptive least-squares predictors over causal windows that slide with the pixel.

Each predictor (K neighbours, window radius R, solved every ``step`` pixels) predicts a pixel from K
neighbours with coefficients fitted to the pixels around it that are already known. Samples enter
normalised by their local activity, as small integers, so that the sums over the window are exact in
int32 and can slide: one column in and one out per pixel, one row in and one out per column. The normal
equations are solved in float32 in one fixed order of IEEE operations (`window_lanes.make_solve`).

A predictor with a reference sees, beside 18 neighbours in its own plane, 12 pixels of the plane before
(the neighbouring slice), each less its own local mean.

Bounds: |z| <= 2047 and a window of at most 25 * 12 + 12 = 312 samples give sums below 2^31.
docs/format-neural.md states the same arithmetic in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from .window_lanes import SAMPLE, make_dot, make_gather, make_slide, make_solve, triangle_size

NEIGHBOURS = np.array(
    [
        (0, -1),
        (-1, 0),
        (-1, -1),
        (-1, 1),
        (0, -2),
        (-2, 0),
        (-1, -2),
        (-1, 2),
        (-2, -1),
        (-2, 1),
        (-2, -2),
        (-2, 2),
        (0, -3),
        (-3, 0),
        (-1, -3),
        (-1, 3),
        (-3, -1),
        (-3, 1),
        (-2, -3),
        (-2, 3),
        (-3, -2),
        (-3, 2),
        (0, -4),
        (-4, 0),
        (-1, -4),
        (-1, 4),
        (-4, -1),
        (-4, 1),
        (-3, -3),
        (-3, 3),
    ],
    dtype=np.int64,
)
"""(rows, columns) offsets of the causal neighbours, nearest first."""

REFERENCE_NEIGHBOURS = np.array(
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (0, -1),
        (-1, 0),
        (1, 1),
        (1, -1),
        (-1, 1),
        (-1, -1),
        (0, 2),
        (2, 0),
        (0, -2),
    ],
    dtype=np.int64,
)
"""(rows, columns) offsets in the reference plane."""

OWN_WITH_REFERENCE = 18
"""Neighbours of the own plane that a predictor with a reference sees; then come the 12 of the reference."""

FRACTION = 6
"""Predictions, errors and scales are integers in 1/64 of a stored value."""
MOST_PREDICTORS = 5


@dataclass(frozen=True)
class Predictor:
    """One least-squares predictor: neighbours (10, 18 or 30), window radius, pixels between solutions."""

    neighbours: int
    radius: int
    step: int
    reference: bool = False


EFFORT_PREDICTORS = {
    "fast": (Predictor(10, 10, 8),),
    "default": (Predictor(30, 12, 16), Predictor(18, 9, 8), Predictor(10, 12, 16), Predictor(10, 4, 4)),
    "max": (Predictor(30, 12, 2), Predictor(18, 9, 1), Predictor(10, 12, 2), Predictor(10, 4, 1)),
}
"""The sets that ``effort`` selects; part of the format."""

REFERENCE_PREDICTORS = {
    "fast": Predictor(30, 12, 16, True),
    "default": Predictor(30, 12, 8, True),
    "max": Predictor(30, 12, 2, True),
}
"""Added as the last predictor where a tile has a reference; part of the format."""

TABLE_COLUMNS = 6
"""Columns of a predictor table: neighbours, radius, step, reference, first sum, first column entry."""


def predictor_table(effort: str, width: int, reference: bool) -> np.ndarray:
    """(P, 6) int64 for the kernels and a tile of ``width``: see TABLE_COLUMNS."""
    chosen = EFFORT_PREDICTORS[effort]
    if reference:
        chosen = (*chosen, REFERENCE_PREDICTORS[effort])
    return table_of(chosen, width)


def table_of(chosen: tuple[Predictor, ...], width: int) -> np.ndarray:
    """The table of any predictors."""
    rows, first_sum, first_column = [], 0, 0
    for p in chosen:
        size = triangle_size(p.neighbours)
        rows.append((p.neighbours, p.radius, p.step, int(p.reference), first_sum, first_column))
        first_sum += size
        first_column += size * (width + 2 * p.radius + 2)
    return np.array(rows, dtype=np.int64)


def sums_length(table: np.ndarray) -> int:
    """Entries of the sums of all predictors of a table."""
    return int(table[-1, 4]) + triangle_size(int(table[-1, 0]))


def columns_length(table: np.ndarray, width: int) -> int:
    """Entries of the column sums of all predictors of a table."""
    k, radius = int(table[-1, 0]), int(table[-1, 1])
    return int(table[-1, 5]) + triangle_size(k) * (width + 2 * radius + 2)


SIZE_10, SIZE_18, SIZE_30 = (triangle_size(k) for k in (10, 18, 30))
slide_10, slide_18, slide_30 = (make_slide(k) for k in (10, 18, 30))
solve_10, solve_18, solve_30 = (make_solve(k) for k in (10, 18, 30))
gather_10, gather_18, gather_30 = (make_gather(k) for k in (10, 18, 30))
dot_10, dot_18, dot_30 = (make_dot(k // 8 + 1) for k in (10, 18, 30))
VALUES = 32
"""Room for the values or coefficients of one predictor: what a dot product of 30 reads."""
ROWS = 16
"""Rows of samples kept (a power of two, more than the largest radius + 2)."""
NOTHING = np.int64(0)
"""Index of an all-zero sample: the first of the sample buffer."""


@njit(cache=True, nogil=True, error_model="numpy")
def sample_at(row, column, width):
    """Index of a pixel's sample vector in the flat buffer of ROWS rows; row and column 0.. of the tile."""
    return (1 + (row & (ROWS - 1)) * width + column) * SAMPLE


@njit(cache=True, nogil=True, error_model="numpy")
def slide_window(y, x, width, table, p, sums, columns, samples):
    """Move the window of predictor ``p`` from (y, x - 1) to (y, x); x from -radius begins a row.

    The window at (y, x): rows y - R .. y - 1 in columns x - R .. x + R, and row y in x - R .. x - 1.
    ``samples``: the sample vectors of the own values and, behind them, those with the reference.
    """
    neighbours, radius, first_sum, first_column = table[p, 0], table[p, 1], table[p, 4], table[p, 5]
    size = SIZE_10 if neighbours == 10 else SIZE_18 if neighbours == 18 else SIZE_30
    first_sample = table[p, 3] * ROWS * width * SAMPLE
    enters = x + radius
    new = old = west = gone = np.int64(0)
    if enters < width:
        if y >= 1:
            new = first_sample + sample_at(y - 1, enters, width)
        if y - 1 - radius >= 0:
            old = first_sample + sample_at(y - 1 - radius, enters, width)
    if x >= 1:
        west = first_sample + sample_at(y, x - 1, width)
        if x - 1 - radius >= 0:
            gone = first_sample + sample_at(y, x - 1 - radius, width)
    # Column 0 of the column sums is always zero: what lies outside of the tile.
    into = first_column + (enters + 1 if enters < width else 0) * size
    out = first_column + (x - radius if x - radius >= 1 else 0) * size
    if neighbours == 10:
        slide_10(sums, first_sum, columns, into, out, samples, new, old, west, gone)
    elif neighbours == 18:
        slide_18(sums, first_sum, columns, into, out, samples, new, old, west, gone)
    else:
        slide_30(sums, first_sum, columns, into, out, samples, new, old, west, gone)


@njit(cache=True, nogil=True, error_model="numpy")
def begin_row(y, width, table, p, sums, columns, samples, since):
    """Window of predictor ``p`` at the pixel before the first of row y."""
    neighbours = table[p, 0]
    size = SIZE_10 if neighbours == 10 else SIZE_18 if neighbours == 18 else SIZE_30
    sums[table[p, 4] : table[p, 4] + size] = 0
    for x in range(-table[p, 1], 0):
        slide_window(y, x, width, table, p, sums, columns, samples)
    since[p] = 1 << 30


@njit(cache=True, nogil=True, error_model="numpy")
def gather(padded, at, offsets, count, values):
    """Differences of the neighbours to their local mean, times four; returns (4 * mean, activity).

    ``padded``: flat int32; ``at``: index of the pixel; ``offsets``: flat offsets of the neighbours, of which
    ``count`` (18 or 30) are read; ``values``: int32 (32,) out. The mean is that of the nearest four, kept as
    their sum; the activity is the sum of the ten nearest absolute differences (also times four).
    """
    if count == 18:
        return gather_18(padded, at, offsets, values)
    return gather_30(padded, at, offsets, values)


@njit(cache=True, nogil=True, error_model="numpy")
def keep_sample(samples, at, values, first, count, target4, activity):
    """Write a sample vector: [target, values...] * 256 / activity, cut towards zero, within 2047.

    ``activity`` / 10 + 2 is the mean difference; float32 operations, each rounded on its own.
    """
    inverse = np.float32(2560.0) / np.float32(activity + 20)
    t = np.float32(target4) * inverse
    samples[at] = np.int16(min(max(t, np.float32(-2047.0)), np.float32(2047.0)))
    for k in range(count):
        u = np.float32(values[first + k]) * inverse
        samples[at + 1 + k] = np.int16(min(max(u, np.float32(-2047.0)), np.float32(2047.0)))


@njit(cache=True, nogil=True, error_model="numpy")
def solve_window(neighbours, sums, first_sum, work, solution, coefficients, first):
    """Coefficients of one predictor's window, from ``first`` on: int32, 16 fractional bits, within +-4."""
    if neighbours == 10:
        solve_10(sums, first_sum, work, solution)
    elif neighbours == 18:
        solve_18(sums, first_sum, work, solution)
    else:
        solve_30(sums, first_sum, work, solution)
    for k in range(neighbours):
        w = np.floor(solution[k] * np.float32(65536.0) + np.float32(0.5))
        coefficients[first + k] = np.int32(min(max(w, np.float32(-262144.0)), np.float32(262144.0)))


@njit(cache=True, nogil=True, error_model="numpy")
def predict(values, first_value, neighbours, coefficients, first, m4, activity, peak):
    """The prediction in 1/64, within four activities of the local mean and within 0..peak."""
    # Coefficients beyond the last neighbour are zero.
    if neighbours == 10:
        total = dot_10(coefficients, first, values, first_value)
    elif neighbours == 18:
        total = dot_18(coefficients, first, values, first_value)
    else:
        total = dot_30(coefficients, first, values, first_value)
    middle = 16 * m4
    reach = 4 * ((activity * 8) // 5 + 32)
    p = middle + (total >> 12)
    p = min(max(p, middle - reach), middle + reach)
    return min(max(p, 0), peak * 64)
