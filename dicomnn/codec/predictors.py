"""Adaptive least-squares predictors over causal windows that slide with the pixel.

Each predictor (K neighbours, window radius R, solved every ``step`` pixels) predicts a pixel from
its K nearest causal neighbours with coefficients fitted to the pixels around it that are already
known. Samples enter normalised by their local activity, as small integers, so that the sums over
the window are exact in int32 and can slide: one row in and one out per column, one column in and
one out per pixel. The normal equations are solved in float64 in one fixed order of IEEE operations
without contraction; numba keeps that order because fastmath is off. All else is integer.

Bounds: |u| <= 2047 and a window of at most 25 * 12 + 12 = 312 samples give sums below 2^31.
docs/format.md, section "Neural tile", states the same arithmetic in words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

MARGIN = 4
"""Pixels of margin around a tile in the padded buffer: the reach of the farthest neighbour."""

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

ACTIVITY_NEIGHBOURS = 10
CLAMP = 2047
VECTOR = 32
"""Entries of a sample vector: the target, up to 30 neighbours, a zero."""
FRACTION = 6
"""Predictions, errors and scales are integers in 1/64 of a stored value."""


@dataclass(frozen=True)
class Predictor:
    """One least-squares predictor: neighbours, window radius in pixels, pixels between solutions."""

    neighbours: int
    radius: int
    step: int


EFFORT_PREDICTORS = {
    "fast": (Predictor(18, 8, 8),),
    "default": (Predictor(18, 7, 4), Predictor(10, 4, 2)),
    "max": (Predictor(18, 7, 2), Predictor(10, 4, 1), Predictor(30, 12, 4)),
}
"""The sets that ``effort`` selects; part of the format."""


def predictor_table(effort: str) -> np.ndarray:
    """(P, 3) int64 of neighbours, radius, step for the kernels."""
    return np.array([(p.neighbours, p.radius, p.step) for p in EFFORT_PREDICTORS[effort]], dtype=np.int64)


def pairs_length(neighbours: int) -> int:
    """Number of products (i, j), 0 <= i <= j <= neighbours, i > 0 or j > 0, that a window sums."""
    return (neighbours + 1) * (neighbours + 2) // 2 - 1


@njit(cache=True, nogil=True)
def gather(padded, row, column, offsets, count, values):
    """Differences of ``count`` neighbours to their local mean, times four; returns (4 * mean, activity).

    ``values``: int64 out. The mean is that of the nearest four, kept as their sum; the activity is
    the sum of the ten nearest absolute differences (also times four).
    """
    r = row + 4
    c = column + 4
    m4 = padded[r, c - 1] + padded[r - 1, c] + padded[r - 1, c - 1] + padded[r - 1, c + 1]
    for k in range(count):
        values[k] = 4 * padded[r + offsets[k, 0], c + offsets[k, 1]] - m4
    activity = np.int64(0)
    for k in range(10):
        activity += abs(values[k])
    return m4, activity


@njit(cache=True, nogil=True)
def normalise(values, count, target4, activity, sample):
    """Sample vector of a known pixel: [target, neighbours...] / activity in 1/256, clamped, int32."""
    inverse = (np.int64(2560) << 16) // (activity + 20)
    t = (target4 * inverse) >> 16
    sample[0] = min(max(t, -2047), 2047)
    for k in range(count):
        u = (values[k] * inverse) >> 16
        sample[k + 1] = min(max(u, -2047), 2047)


@njit(cache=True, nogil=True)
def add_outer(left, sample, neighbours, lanes):
    """left += outer(sample, sample) as rows of 32. ``lanes`` is 32: a variable keeps it a vector loop."""
    for i in range(neighbours + 1):
        zi = sample[i]
        row = left[i]
        for t in range(lanes):
            row[t] += np.int32(zi * sample[t])


@njit(cache=True, nogil=True)
def sub_outer(left, sample, neighbours, lanes):
    """left -= outer(sample, sample) as rows of 32."""
    for i in range(neighbours + 1):
        zi = sample[i]
        row = left[i]
        for t in range(lanes):
            row[t] -= np.int32(zi * sample[t])


@njit(cache=True, nogil=True)
def solve(boxes, x, left, neighbours, matrix, rhs, coefficients):
    """Coefficients (int64, 16 fractional bits) of the regularised normal equations at column ``x``.

    The sums are those of the rows above (``boxes``) plus those of the current row (``left``).
    LDL^T by rows: pivot k eliminates rows k+1..K-1 in ascending order; then back substitution from
    the last unknown, subtracting terms in ascending column order. float64, no contraction.
    """
    # Flat arrays and unsigned indices: what the compiler needs to make vector loops of these.
    size = np.uint64(VECTOR)
    m = matrix.ravel()
    d = 0
    for j in range(neighbours):
        rhs[j] = boxes[d + j, x] + left[0, j + 1]
    d += neighbours
    trace = 0.0
    for i in range(neighbours):
        for j in range(i, neighbours):
            m[np.uint64(i) * size + np.uint64(j)] = boxes[d + j - i, x] + left[i + 1, j + 1]
        d += neighbours - i
        trace += matrix[i, i]
    r = 1e-4 * trace / neighbours + 65.0
    for k in range(neighbours):
        matrix[k, k] += r
    rhs[0] += 0.4 * r
    rhs[1] += 0.4 * r
    for k in range(neighbours):
        if matrix[k, k] < 0.5 * r:
            matrix[k, k] = 0.5 * r
        pivot = np.uint64(k) * size
        inverse = 1.0 / matrix[k, k]
        for i in range(k + 1, neighbours):
            row = np.uint64(i) * size
            factor = m[pivot + np.uint64(i)] * inverse
            for j in range(i, neighbours):
                m[row + np.uint64(j)] -= factor * m[pivot + np.uint64(j)]
            rhs[i] -= factor * rhs[k]
    for k in range(neighbours - 1, -1, -1):
        row = np.uint64(k) * size
        total = rhs[k]
        for j in range(k + 1, neighbours):
            total -= m[row + np.uint64(j)] * rhs[j]
        rhs[k] = total / matrix[k, k]
    for k in range(neighbours):
        w = np.floor(rhs[k] * 65536.0 + 0.5)
        coefficients[k] = np.int64(min(max(w, -262144.0), 262144.0))


@njit(cache=True, nogil=True)
def predict(values, neighbours, coefficients, m4, activity, peak):
    """The prediction in 1/64, within four activities of the local mean and within 0..peak."""
    total = np.int64(0)
    for k in range(neighbours):
        total += coefficients[k] * values[k]
    middle = 16 * m4
    reach = 4 * ((activity * 8) // 5 + 32)
    p = middle + (total >> 12)
    p = min(max(p, middle - reach), middle + reach)
    return min(max(p, 0), peak * 64)


@njit(cache=True, nogil=True)
def add_to(out, a, width):
    """out += a along a row."""
    for x in range(width):
        out[x] += a[x]


@njit(cache=True, nogil=True)
def add_shifted(out, a, span, width):
    """out[x] = a[x] + a[x + span]; two arrays, since overlapping ones are no vector loop."""
    b = a[span:]
    for x in range(width):
        out[x] = a[x] + b[x]


@njit(cache=True, nogil=True)
def box(columns, radius, width, scratch, out):
    """out[x] = sum of columns[x .. x + 2 * radius] (columns are padded by radius), by doubling.

    ``scratch``: (2, at least width + 2 * radius) work space.
    """
    n = 2 * radius + 1
    length = width + 2 * radius
    for x in range(width):
        out[x] = columns[x]  # n is odd
    taken = 1
    span = 1
    doubled = columns
    turn = 0
    n >>= 1
    while n > 0:
        length -= span
        add_shifted(scratch[turn], doubled, span, length)
        doubled = scratch[turn]
        turn = 1 - turn
        span *= 2
        if n & 1:
            add_to(out, doubled[taken:], width)
            taken += span
        n >>= 1


@njit(cache=True, nogil=True)
def add_products(sums, a, b, width):
    """sums += a * b along a row."""
    for x in range(width):
        sums[x] += np.int32(a[x] * b[x])


@njit(cache=True, nogil=True)
def sub_products(sums, a, b, width):
    """sums -= a * b along a row."""
    for x in range(width):
        sums[x] -= np.int32(a[x] * b[x])


@njit(cache=True, nogil=True)
def enter_row(y, width, table, history, any_known, samples, columns, boxes, left, scratch, since):
    """Before row y: file row y-1 in the history, then sum the rows y-R .. y-1 around every column.

    ``samples``: (width, 32) int32, vectors of the row just finished; ``history``: (rows, 32, width),
    the last rows, entry-major; ``columns``, ``boxes``: (P, pairs, ...) sums per column and per window.
    The products are taken along the row, one pair (i, j) at a time: long loops that vectorise.
    """
    rows = history.shape[0]
    deepest = 0
    for p in range(table.shape[0]):
        deepest = max(deepest, table[p, 0])
    if y >= 1:
        last = history[(y - 1) % rows]
        for x in range(width):
            for i in range(deepest + 1):
                last[i, x] = samples[x, i]
    for p in range(table.shape[0]):
        radius = table[p, 1]
        k = table[p, 0]
        enters = y >= 1 and any_known[(y - 1) % rows]
        leaves = y - 1 - radius >= 0 and any_known[(y - 1 - radius) % rows]
        if enters or leaves:
            d = 0
            for i in range(k + 1):
                for j in range(max(i, 1), k + 1):
                    sums = columns[p, d, radius : radius + width]
                    if enters:
                        add_products(sums, history[(y - 1) % rows, i], history[(y - 1) % rows, j], width)
                    if leaves:
                        old = (y - 1 - radius) % rows
                        sub_products(sums, history[old, i], history[old, j], width)
                    box(columns[p, d], radius, width, scratch, boxes[p, d])
                    d += 1
        left[p] = 0
        since[p] = 1 << 30


@njit(cache=True, nogil=True)
def enter_pixel(x, table, samples, known, left, lanes):
    """Slide the current row's share of each window to the R pixels left of x; once per pixel, in order."""
    for p in range(table.shape[0]):
        k = table[p, 0]
        gone = x - table[p, 1] - 1
        if gone >= 0 and known[gone]:
            sub_outer(left[p], samples[gone], k, lanes)
        if x >= 1 and known[x - 1]:
            add_outer(left[p], samples[x - 1], k, lanes)
