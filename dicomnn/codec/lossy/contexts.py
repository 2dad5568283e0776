"""What a coefficient's distribution is read from: classes of magnitudes that are already known.

A band lies in flat padded arrays of its level's common width, two places round it: `classes` uint8 the class
of each magnitude, `activity` uint16 a recursive mean of magnitudes. `docs/format-lossy.md` has it in words.
"""

from __future__ import annotations

import numpy as np
from numba import njit

PAD = 2
CLASSES = 16
INPUTS = 34
LARGEST = 255
LIVELY = 2
"""Activity from which on a place is no longer quiet."""
_LOWEST = (0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 29, 42, 61, 91, 131, 201)


def class_table() -> np.ndarray:
    """(256,) uint8: class of a magnitude, 255 standing for all above."""
    return (np.searchsorted(_LOWEST, np.arange(LARGEST + 1), side="right") - 1).astype(np.uint8)


def digits_table() -> np.ndarray:
    """(256,) uint8: binary digits of a byte."""
    return np.array([int(v).bit_length() for v in range(256)], dtype=np.uint8)


CLASS = class_table()
DIGITS = digits_table()


@njit(cache=True, nogil=True)
def digits(value):
    """min(15, binary digits of value), value below 65536."""
    return min(15, int(DIGITS[value]) if value < 256 else 8 + int(DIGITS[value >> 8]))


@njit(cache=True, nogil=True)
def gather(x, at, wide, own, activity, p, high, parent, parent_activity, aunts, sister, sister_2, beside):
    """Fill x (34,) uint8 for the place `at` of a band (its level `wide` across) whose parent is at `p` (its
    level `high` across); absent bands are all zero. `beside`: the activity of the sister that was coded last.
    """
    # Unsigned indices: numba need not look whether they count from the end.
    a, w, q, g = np.uint64(at), np.uint64(wide), np.uint64(p), np.uint64(high)
    one, two = np.uint64(1), np.uint64(2)
    n, nn = a - w, a - w - w
    x[0] = own[a - one]
    x[1] = own[n]
    x[2] = own[n - one]
    x[3] = own[n + one]
    x[4] = own[a - two]
    x[5] = own[nn]
    x[6] = own[n - two]
    x[7] = own[n + two]
    x[8] = own[nn - one]
    x[9] = own[nn + one]
    x[10] = parent[q]
    x[11] = parent[q + one]
    x[12] = parent[q + g]
    x[13] = parent[q - one]
    x[14] = parent[q - g]
    x[15] = parent[q + g + one]
    x[16] = parent[q + g - one]
    x[17] = parent[q - g + one]
    x[18] = parent[q - g - one]
    x[19] = aunts[0][q]
    x[20] = aunts[1][q]
    x[21] = sister[a]
    x[22] = sister[a + one]
    x[23] = sister[a + w]
    x[24] = sister[a - one]
    x[25] = sister[n]
    x[26] = sister_2[a]
    x[27] = sister_2[a + one]
    x[28] = sister_2[a + w]
    x[29] = sister_2[a - one]
    x[30] = sister_2[n]
    x[31] = digits((int(activity[a - one]) + int(activity[n])) >> 1)
    x[32] = digits(int(parent_activity[q]))
    x[33] = digits(int(beside[a]))


@njit(cache=True, nogil=True)
def remember(m, at, wide, own, activity):
    """Put the magnitude m into the arrays of its band."""
    m = min(m, 255)
    own[at] = CLASS[m]
    w, n, ne = int(activity[at - 1]), int(activity[at - wide]), int(activity[at - wide + 1])
    activity[at] = (5 * w + 5 * n + 4 * ne + 128 * m) >> 4


@njit(cache=True, nogil=True)
def outside(side, wide, p_wide, parent, parent_activity, aunts, sister, sister_2, beside):
    """side[y, u] = 0 where everything outside of the band that a coefficient there sees is zero."""
    rows, columns = side.shape
    above = np.zeros((columns + 1) >> 1, np.uint8)
    for y in range(rows):
        if y & 1 == 0:
            p = ((y >> 1) + PAD) * p_wide + PAD
            for i in range(above.size):
                q = np.uint64(p + i)
                g = np.uint64(p_wide)
                one = np.uint64(1)
                some = parent[q] | parent[q + one] | parent[q - one] | aunts[0][q] | aunts[1][q]
                some |= parent[q - g] | parent[q - g + one] | parent[q - g - one]
                some |= parent[q + g] | parent[q + g + one] | parent[q + g - one]
                above[i] = some | (np.uint8(1) if parent_activity[q] != 0 else np.uint8(0))
        at = (y + PAD) * wide + PAD
        for u in range(columns):
            a, w, one = np.uint64(at + u), np.uint64(wide), np.uint64(1)
            some = sister[a] | sister[a + one] | sister[a - one] | sister[a - w] | sister[a + w]
            some |= sister_2[a] | sister_2[a + one] | sister_2[a - one] | sister_2[a - w] | sister_2[a + w]
            side[y, u] = some | (np.uint8(1) if beside[a] != 0 else np.uint8(0))
        for u in range(columns):
            side[y, u] |= above[u >> 1]
