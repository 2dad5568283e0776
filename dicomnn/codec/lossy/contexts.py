"""What a coefficient's distribution is read from: classes of magnitudes that are already known.

A band lies in padded arrays, two places round it: `q` int32 the quantised values, `classes` uint8 the class
of their magnitude, `activity` uint16 a recursive mean of magnitudes, `signs` uint8. `docs/format-lossy.md`
has the same in words.
"""

from __future__ import annotations

import numpy as np
from numba import njit

PAD = 2
CLASSES = 16
INPUTS = 34
LARGEST = 255
_LOWEST = (0, 1, 2, 3, 4, 5, 7, 10, 14, 20, 29, 42, 61, 91, 131, 201)


def class_table() -> np.ndarray:
    """(256,) uint8: class of a magnitude, 255 standing for all above."""
    return (np.searchsorted(_LOWEST, np.arange(LARGEST + 1), side="right") - 1).astype(np.uint8)


def activity_table() -> np.ndarray:
    """(256,) uint8: binary digits of a byte."""
    return np.array([int(v).bit_length() for v in range(256)], dtype=np.uint8)


CLASS = class_table()
DIGITS = activity_table()

# Causal neighbours inside of the band, then the places round the parent, then round a sibling.
OWN = ((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2), (-2, -1), (-2, 1))
PARENT = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
SIBLING = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))


@njit(cache=True, nogil=True)
def digits(value):
    """min(15, binary digits of value), value below 65536."""
    return min(15, DIGITS[value] if value < 256 else 8 + DIGITS[value >> 8])


@njit(cache=True, nogil=True)
def gather(
    x, y, u, own, own_activity, parent, parent_activity, aunt, aunt_2, sister, sister_2, sister_activity
):
    """Fill x (34,) uint8 for row y, column u (counted without padding); absent bands are all zero."""
    r, c = y + 2, u + 2
    x[0] = own[r, c - 1]
    x[1] = own[r - 1, c]
    x[2] = own[r - 1, c - 1]
    x[3] = own[r - 1, c + 1]
    x[4] = own[r, c - 2]
    x[5] = own[r - 2, c]
    x[6] = own[r - 1, c - 2]
    x[7] = own[r - 1, c + 2]
    x[8] = own[r - 2, c - 1]
    x[9] = own[r - 2, c + 1]
    pr, pc = (y >> 1) + 2, (u >> 1) + 2
    x[10] = parent[pr, pc]
    x[11] = parent[pr, pc + 1]
    x[12] = parent[pr + 1, pc]
    x[13] = parent[pr, pc - 1]
    x[14] = parent[pr - 1, pc]
    x[15] = parent[pr + 1, pc + 1]
    x[16] = parent[pr + 1, pc - 1]
    x[17] = parent[pr - 1, pc + 1]
    x[18] = parent[pr - 1, pc - 1]
    x[19] = aunt[pr, pc]
    x[20] = aunt_2[pr, pc]
    x[21] = sister[r, c]
    x[22] = sister[r, c + 1]
    x[23] = sister[r + 1, c]
    x[24] = sister[r, c - 1]
    x[25] = sister[r - 1, c]
    x[26] = sister_2[r, c]
    x[27] = sister_2[r, c + 1]
    x[28] = sister_2[r + 1, c]
    x[29] = sister_2[r, c - 1]
    x[30] = sister_2[r - 1, c]
    x[31] = digits((int(own_activity[r, c - 1]) + int(own_activity[r - 1, c])) >> 1)
    x[32] = digits(int(parent_activity[pr, pc]))
    x[33] = digits(int(sister_activity[r, c]))


@njit(cache=True, nogil=True)
def remember(q, y, u, own, own_activity):
    """Put the value q into the arrays of its band."""
    r, c = y + 2, u + 2
    m = min(abs(q), 255)
    own[r, c] = CLASS[m]
    w, n, ne = int(own_activity[r, c - 1]), int(own_activity[r - 1, c]), int(own_activity[r - 1, c + 1])
    own_activity[r, c] = (5 * w + 5 * n + 4 * ne + 2 * 64 * m) >> 4
